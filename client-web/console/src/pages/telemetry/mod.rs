//! Figures over time: tasks, tool calls, model calls. Each chart is a table too.

mod chart;

use lanyard_governance_api::endpoint::GetTelemetrySummary;
use lanyard_governance_api::id::AgentId;
use lanyard_governance_api::telemetry::{Bucket, NamedCount, SummaryQuery, TelemetrySummary};
use lanyard_web_state::visible::{Marks, line};
use lanyard_web_state::words::{clock as hour, span, thousands};
use lanyard_web_ui::{Card, Choice, ChoiceItem, Clock, Empty, Section, Select};
use lanyard_web_view::{component, view};
use leptos::prelude::*;

use super::sessions::host_choice;
use crate::api;
use crate::parts::loaded;
use crate::poll::Poll;
use crate::shell::Page;
use chart::{Bars, Chart, Curves, Series};

/// Sums over all buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Totals {
    tasks: u64,
    tasks_failed: u64,
    tool_calls: u64,
    tool_calls_failed: u64,
    model_calls: u64,
    tokens: u64,
}

impl Totals {
    fn of(buckets: &[Bucket]) -> Self {
        buckets.iter().fold(Self::default(), |sum, bucket| Self {
            tasks: sum.tasks.saturating_add(bucket.tasks),
            tasks_failed: sum.tasks_failed.saturating_add(bucket.tasks_failed),
            tool_calls: sum.tool_calls.saturating_add(bucket.tool_calls),
            tool_calls_failed: sum.tool_calls_failed.saturating_add(bucket.tool_calls_failed),
            model_calls: sum.model_calls.saturating_add(bucket.model_calls),
            tokens: sum.tokens.saturating_add(bucket.tokens),
        })
    }

    fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// A part of a whole in percent, as words.
fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "none".to_owned() } else { format!("{:.1} %", part as f64 * 100.0 / whole as f64) }
}

/// See the module.
#[component]
pub(crate) fn Telemetry() -> impl IntoView {
    let hours = RwSignal::new(24_u32);
    let host = RwSignal::new(None::<AgentId>);
    let summary = Poll::start(move || {
        let query = SummaryQuery { agent_id: host.get(), hours: Some(hours.get()) };
        async move { api::get::<GetTelemetrySummary>(&[], &query).await }
    });
    let ranges = vec![
        ChoiceItem::new(1, "Hour"),
        ChoiceItem::new(24, "Day"),
        ChoiceItem::new(7 * 24, "Week"),
        ChoiceItem::new(30 * 24, "30 days"),
        ChoiceItem::new(90 * 24, "90 days"),
    ];
    let shown = loaded(summary, "the figures", |summary| {
        if Totals::of(&summary.buckets).is_empty() {
            return view! {
                <Card><Empty title="Nothing was measured in this time">
                    <p>"Hosts send how long tasks, tool calls and model calls took and how they ended: no prompts, no code, no file contents."</p>
                </Empty></Card>
            };
        }
        view! { <Figures summary/> }
    });
    view! {
        <Page title="Telemetry">
            <Choice label="Time" options=ranges value=hours on_change=move |chosen| hours.set(chosen) bar=true/>
            <Select label="Host" options=host_choice("All hosts") value=host on_change=move |chosen| host.set(chosen)/>
            {shown}
        </Page>
    }
}

#[component]
fn Figures(summary: TelemetrySummary) -> impl IntoView {
    let clock = Clock::take();
    let totals = Totals::of(&summary.buckets);
    let now = clock.now_untracked();
    let zone = clock.zone();
    let times: Vec<String> =
        summary.buckets.iter().map(|bucket: &Bucket| hour(bucket.from, now, zone)).collect();
    let times: std::sync::Arc<[String]> = times.into();
    let series = |name: &'static str, class: &'static str, read: fn(&Bucket) -> u64| Series {
        name,
        class,
        values: summary.buckets.iter().map(read).collect(),
    };
    let tasks = Chart {
        title: "Tasks",
        times: times.clone(),
        series: vec![
            series("Ended well", "chart-good", |bucket| bucket.tasks.saturating_sub(bucket.tasks_failed)),
            series("Failed", "chart-bad", |bucket| bucket.tasks_failed),
        ],
        unit: thousands,
    };
    let tools = Chart {
        title: "Tool calls",
        times: times.clone(),
        series: vec![
            series("Done", "chart-good", |bucket| bucket.tool_calls.saturating_sub(bucket.tool_calls_failed)),
            series("Failed or denied", "chart-bad", |bucket| bucket.tool_calls_failed),
        ],
        unit: thousands,
    };
    let tokens = Chart {
        title: "Tokens",
        times: times.clone(),
        series: vec![series("Tokens in and out", "chart-plain", |bucket| bucket.tokens)],
        unit: thousands,
    };
    let latency = Chart {
        title: "How long a model call takes",
        times,
        series: vec![
            series("Half are faster than", "chart-plain", |bucket| bucket.model_p50_millis),
            series("95 % are faster than", "chart-strong", |bucket| bucket.model_p95_millis),
        ],
        unit: span,
    };
    let figures = [
        ("Tasks", thousands(totals.tasks)),
        ("Tasks failed", percent(totals.tasks_failed, totals.tasks)),
        ("Tool calls", thousands(totals.tool_calls)),
        ("Failed or denied", percent(totals.tool_calls_failed, totals.tool_calls)),
        ("Model calls", thousands(totals.model_calls)),
        ("Tokens", thousands(totals.tokens)),
    ];
    let figures =
        figures.map(|(name, value)| view! { <div class="figure"><dt>{name}</dt><dd>{value}</dd></div> });
    view! {
        <dl class="figures">{figures.collect_view()}</dl>
        <div class="charts">
            <Bars chart=tasks/>
            <Bars chart=tools/>
            <Curves chart=latency/>
            <Bars chart=tokens/>
        </div>
        <div class="charts">
            <Counts title="Tools" counts=summary.tools/>
            <Counts title="Models" counts=summary.models/>
        </div>
    }
}

/// Names by how often, most first.
#[component]
fn Counts(title: &'static str, counts: Vec<NamedCount>) -> impl IntoView {
    let rows = counts.into_iter().map(|count| {
        let name = line(&count.name, Marks::Missing).into_owned();
        let failed = percent(count.failed, count.count);
        view! { <tr><th scope="row">{name}</th><td>{thousands(count.count)}</td><td>{failed}</td></tr> }
    });
    let rows: Vec<_> = rows.collect();
    let empty = rows.is_empty();
    view! {
        <Section title>
            {if empty {
                view! { <p class="soft">"None in this time."</p> }
            } else {
                view! {
                    <Card>
                        <div class="table-scroll" tabindex="0" role="region" aria-label=title>
                            <table class="table">
                                <thead><tr><th scope="col">"Name"</th><th scope="col">"Calls"</th><th scope="col">"Failed"</th></tr></thead>
                                <tbody>{rows}</tbody>
                            </table>
                        </div>
                    </Card>
                }
            }}
        </Section>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lanyard_protocol::Timestamp;

    fn bucket(from: i64, tasks: u64, tasks_failed: u64) -> Bucket {
        Bucket {
            from: Timestamp::from_millis(from),
            tasks,
            tasks_failed,
            tool_calls: 0,
            tool_calls_failed: 0,
            model_calls: 0,
            tokens: u64::MAX,
            model_p50_millis: 0,
            model_p95_millis: 0,
        }
    }

    #[test]
    fn sums_do_not_overflow_and_shares_do_not_divide_by_nothing() {
        let totals = Totals::of(&[bucket(0, 3, 1), bucket(1, 4, 0)]);
        assert_eq!((totals.tasks, totals.tasks_failed, totals.tokens), (7, 1, u64::MAX));
        assert!(!totals.is_empty() && Totals::of(&[]).is_empty());
        assert_eq!(percent(1, 8), "12.5 %");
        assert_eq!(percent(0, 0), "none");
    }
}
