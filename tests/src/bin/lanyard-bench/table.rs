//! What was measured, as a table for people and as JSON.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

/// A budget and how it was kept.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Budget {
    /// The most that p50 should be, in the row's unit. Relative budgets are worked out for this machine.
    limit: f64,
    /// p50 over the limit.
    used: f64,
    /// How the limit came about.
    basis: String,
}

/// What a row is set against, where there is no promise.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Against {
    /// p50 over the other's p50.
    ratio: f64,
    /// What the other is.
    of: String,
}

/// One line.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    name: String,
    unit: &'static str,
    p50: f64,
    p99: Option<f64>,
    samples: usize,
    budget: Option<Budget>,
    against: Option<Against>,
}

/// All lines.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

/// Sorted samples.
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// Of durations, in milliseconds.
    pub(crate) fn of(times: &[Duration]) -> Result<Self> {
        Self::sorted(times.iter().map(|time| time.as_secs_f64() * 1e3).collect())
    }

    /// Of bytes moved in so long, in megabytes (10^6) a second.
    pub(crate) fn of_rates(bytes: u64, times: &[Duration]) -> Result<Self> {
        Self::sorted(times.iter().map(|time| bytes as f64 / 1e6 / time.as_secs_f64()).collect())
    }

    fn sorted(mut values: Vec<f64>) -> Result<Self> {
        values.sort_by(f64::total_cmp);
        values.first().context("nothing was measured")?;
        Ok(Self(values))
    }

    /// The value that this part of the samples does not exceed.
    pub(crate) fn at(&self, part: f64) -> f64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index within the samples"
        )]
        let index = (part * (self.0.len() - 1) as f64).round() as usize;
        self.0[index.min(self.0.len() - 1)]
    }
}

impl Table {
    /// Adds times.
    pub(crate) fn times(&mut self, name: &str, samples: &Samples, budget: Option<(f64, String)>) {
        self.row(name, "ms", samples, budget);
    }

    /// Adds times of very short things.
    pub(crate) fn micros(&mut self, name: &str, times: &[Duration]) -> Result<()> {
        let samples = Samples::sorted(times.iter().map(|time| time.as_secs_f64() * 1e6).collect())?;
        self.row(name, "µs", &samples, None);
        Ok(())
    }

    /// Adds an amount of memory.
    pub(crate) fn memory(&mut self, name: &str, bytes: u64, limit: Option<f64>) -> Result<()> {
        let samples = Samples::sorted(vec![bytes as f64 / 1e6])?;
        self.row(name, "MB", &samples, limit.map(|limit| (limit, "absolute".to_owned())));
        Ok(())
    }

    /// Adds times that are compared with others of the same run.
    pub(crate) fn times_against(&mut self, name: &str, samples: &Samples, floor: &Samples, of: &str) {
        self.row(name, "ms", samples, None);
        self.set_against(samples.at(0.5) / floor.at(0.5), of);
    }

    /// Adds rates, in megabytes (10^6) a second; compared with another rate of the same run where one is given.
    pub(crate) fn rates(&mut self, name: &str, samples: &Samples, raw: Option<(&Samples, &str)>) {
        self.row(name, "MB/s", samples, None);
        if let Some(row) = self.rows.last_mut() {
            // Of rates it would be the best, not the worst.
            row.p99 = None;
        }
        if let Some((raw, of)) = raw {
            self.set_against(samples.at(0.5) / raw.at(0.5), of);
        }
    }

    /// Adds a single number.
    pub(crate) fn number(&mut self, name: &str, value: f64, unit: &'static str) {
        self.row(name, unit, &Samples(vec![value]), None);
    }

    /// Adds a size, in bytes; compared with the most it should be, in KiB, where there is such a promise.
    pub(crate) fn size(&mut self, name: &str, bytes: u64, limit: Option<f64>) {
        let limit = limit.map(|limit| (limit, "absolute".to_owned()));
        self.row(name, "KiB", &Samples(vec![bytes as f64 / 1024.0]), limit);
    }

    /// Says of the row added last how it compares with another of the same run.
    pub(crate) fn set_against(&mut self, ratio: f64, of: &str) {
        if let Some(row) = self.rows.last_mut() {
            row.against = Some(Against { ratio, of: of.to_owned() });
        }
    }

    fn row(&mut self, name: &str, unit: &'static str, samples: &Samples, budget: Option<(f64, String)>) {
        let p50 = samples.at(0.5);
        let p99 = (samples.0.len() > 1).then(|| samples.at(0.99));
        let budget = budget.map(|(limit, basis)| Budget { limit, used: p50 / limit, basis });
        self.rows.push(Row {
            name: name.to_owned(),
            unit,
            p50,
            p99,
            samples: samples.0.len(),
            budget,
            against: None,
        });
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text =
            format!("{:<46} {:>9} {:>9} {:<4} {:>7}  {}\n", "", "p50", "p99", "", "samples", "budget");
        for row in &self.rows {
            let p99 = row.p99.map(|p99| format!("{p99:.3}")).unwrap_or_default();
            let budget = row.budget.as_ref().map(words);
            let against = row.against.as_ref().map(|other| format!("{:.2} × {}", other.ratio, other.of));
            let last = budget.or(against).unwrap_or_default();
            let line = format!(
                "{:<46} {:>9.3} {p99:>9} {:<4} {:>7}  {last}",
                row.name, row.p50, row.unit, row.samples
            );
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// For programs.
    pub(crate) fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(&self.rows)?)
    }
}

fn words(budget: &Budget) -> String {
    let verdict = if budget.used <= 1.0 { "kept" } else { "MISSED" };
    format!("{verdict}: {:.2} of {:.2} ({})", budget.used, budget.limit, budget.basis)
}
