//! What charts need of spans, added up per hour and source in the transaction that stores them.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use lanyard_governance_api::telemetry::{Operation, Span};
use lanyard_governance_foundation::database::{DatabaseError, Value};
use lanyard_governance_foundation::{Statement, Tx};
use lanyard_protocol::Timestamp;

use crate::histogram::{Histogram, STEPS};
use crate::spans::operation_number;

/// An hour, in milliseconds.
pub(crate) const HOUR: i64 = 3_600_000;

/// Names of tools, and of models, that are told apart per hour and source. Names come from models: the rest is one.
const MAX_NAMES: usize = 100;

/// Stands for the names beyond these.
const REST: &str = "(other)";

/// Most tokens of one call that are believed: what is beyond is a defect, and would spoil every sum.
const MAX_TOKENS: u64 = 1_000_000_000;

/// Columns that are summed up, in the order of [`Sums::values`].
const SUMS: [&str; 6] = ["tasks", "tasks_failed", "tool_calls", "tool_calls_failed", "model_calls", "tokens"];

/// Names of the histogram's columns.
pub(crate) const BUCKETS: [&str; STEPS] = [
    "b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "b9", "b10", "b11", "b12", "b13", "b14", "b15",
    "b16", "b17",
];

static COLUMNS: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| ["source", "hour", "slowest"].into_iter().chain(SUMS).chain(BUCKETS).collect());

static ADD_HOURS: LazyLock<String> = LazyLock::new(|| {
    let sums: Vec<String> = SUMS
        .into_iter()
        .chain(BUCKETS)
        .map(|column| format!("{column} = telemetry_hours.{column} + excluded.{column}"))
        .collect();
    format!(
        "ON CONFLICT (tenant_id, source, hour) DO UPDATE SET slowest = CASE WHEN excluded.slowest > \
         telemetry_hours.slowest THEN excluded.slowest ELSE telemetry_hours.slowest END, {}",
        sums.join(", ")
    )
});

const ADD_NAMES: &str = "ON CONFLICT (tenant_id, source, hour, kind, name) DO UPDATE SET
    calls = telemetry_names.calls + excluded.calls, failed = telemetry_names.failed + excluded.failed";

/// What is summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sums {
    pub(crate) tasks: u64,
    pub(crate) tasks_failed: u64,
    pub(crate) tool_calls: u64,
    pub(crate) tool_calls_failed: u64,
    pub(crate) model_calls: u64,
    pub(crate) tokens: u64,
    pub(crate) lengths: Histogram,
}

impl Sums {
    fn add(&mut self, span: &Span) {
        let failed = u64::from(!span.ok);
        match span.operation {
            Operation::InvokeAgent => {
                self.tasks += 1;
                self.tasks_failed += failed;
            }
            Operation::ExecuteTool => {
                self.tool_calls += 1;
                self.tool_calls_failed += failed;
            }
            Operation::Chat => {
                self.model_calls += 1;
                self.lengths.add(span.duration_millis);
                for key in ["gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"] {
                    let tokens = span.attributes.get(key).and_then(|text| text.parse::<u64>().ok());
                    self.tokens += tokens.unwrap_or(0).min(MAX_TOKENS);
                }
            }
        }
    }

    /// Adds another.
    pub(crate) fn merge(&mut self, other: &Sums) {
        self.tasks += other.tasks;
        self.tasks_failed += other.tasks_failed;
        self.tool_calls += other.tool_calls;
        self.tool_calls_failed += other.tool_calls_failed;
        self.model_calls += other.model_calls;
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.lengths.merge(&other.lengths);
    }

    fn values(&self) -> impl Iterator<Item = u64> {
        [
            self.tasks,
            self.tasks_failed,
            self.tool_calls,
            self.tool_calls_failed,
            self.model_calls,
            self.tokens,
        ]
        .into_iter()
        .chain(self.lengths.counts)
    }
}

/// The name that is counted: the tool's or the model's.
fn named(span: &Span) -> Option<&str> {
    let key = match span.operation {
        Operation::InvokeAgent => return None,
        Operation::Chat => "gen_ai.request.model",
        Operation::ExecuteTool => "gen_ai.tool.name",
    };
    let told = span.attributes.get(key).map(String::as_str).filter(|name| !name.is_empty());
    told.or_else(|| span.name.split_once(' ').map(|(_, name)| name)).filter(|name| !name.is_empty())
}

/// Where one name is counted: hour, kind, name.
type NameKey = (i64, i64, String);

/// Adds spans that were not there before. The source is locked.
pub(crate) async fn add(
    tx: &mut Tx,
    source: &str,
    spans: &[&Span],
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let mut hours: BTreeMap<i64, Sums> = BTreeMap::new();
    let mut names: BTreeMap<NameKey, (i64, i64)> = BTreeMap::new();
    for span in spans {
        let millis = i64::try_from(span.duration_millis).unwrap_or(i64::MAX);
        // By its end; a host whose clock is ahead does not write into the future.
        let ended = span.started_at.plus_millis(millis).min(now);
        let hour = ended.as_millis() - ended.as_millis().rem_euclid(HOUR);
        hours.entry(hour).or_default().add(span);
        if let Some(name) = named(span) {
            let counts = names.entry((hour, operation_number(span.operation), name.to_owned())).or_default();
            counts.0 += 1;
            counts.1 += i64::from(!span.ok);
        }
    }
    let row = |(hour, sums): (i64, Sums)| {
        let number = |n: u64| Value::Int(Some(i64::try_from(n).unwrap_or(i64::MAX)));
        let mut row = vec![source.into(), hour.into(), number(sums.lengths.slowest)];
        row.extend(sums.values().map(number));
        row
    };
    let (first, last) = (hours.keys().next().copied(), hours.keys().next_back().copied());
    tx.insert_many("telemetry_hours", &COLUMNS, hours.into_iter().map(row).collect(), ADD_HOURS.as_str())
        .await?;
    let (Some(first), Some(last)) = (first, last) else { return Ok(()) };
    let names = few_names(tx, source, (first, last), names).await?;
    let row = |((hour, kind, name), (calls, failed)): (NameKey, (i64, i64))| {
        vec![source.into(), hour.into(), kind.into(), name.into(), calls.into(), failed.into()]
    };
    let columns = &["source", "hour", "kind", "name", "calls", "failed"];
    tx.insert_many("telemetry_names", columns, names.into_iter().map(row).collect(), ADD_NAMES).await?;
    Ok(())
}

/// The same counts with no more names than may be told apart, those that are there included.
async fn few_names(
    tx: &mut Tx,
    source: &str,
    (first, last): (i64, i64),
    names: BTreeMap<NameKey, (i64, i64)>,
) -> Result<BTreeMap<NameKey, (i64, i64)>, DatabaseError> {
    let sql = "SELECT hour, kind, name FROM telemetry_names
        WHERE tenant_id = $1 AND source = $2 AND hour >= $3 AND hour <= $4";
    let mut there: HashMap<(i64, i64), Vec<String>> = HashMap::new();
    for row in tx.all(Statement::new(sql).bind(source).bind(first).bind(last)).await? {
        there.entry((row.int("hour")?, row.int("kind")?)).or_default().push(row.text("name")?);
    }
    let mut few: BTreeMap<NameKey, (i64, i64)> = BTreeMap::new();
    for ((hour, kind, name), (calls, failed)) in names {
        let known = there.entry((hour, kind)).or_default();
        let name = if known.contains(&name) {
            name
        } else if known.len() < MAX_NAMES {
            known.push(name.clone());
            name
        } else {
            REST.to_owned()
        };
        let counts = few.entry((hour, kind, name)).or_default();
        counts.0 += calls;
        counts.1 += failed;
    }
    Ok(few)
}
