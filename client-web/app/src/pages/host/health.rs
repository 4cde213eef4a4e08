//! The health panel: everything that was looked at, with what to do where something is not as it should be.

use lanyard_protocol::health::{HealthCheck, HealthReport, HealthStatus};
use lanyard_web_state::{host, words};
use lanyard_web_ui::{Button, Card, Clock, Dot, KeyValue, Problem, Row, Section, Tone, Waiting};
use lanyard_web_view::{View, component, view};
use leptos::prelude::*;

use super::keep_fresh;
use crate::route::Route;
use crate::shell::Page;
use crate::store::Store;

/// See the module.
#[component]
pub(crate) fn Health() -> impl IntoView {
    let store = Store::take();
    keep_fresh(store);
    let panel = move || match store.health.get() {
        None => view! { <Waiting what="Asking the host how it is"/> },
        Some(report) => view! { <Panel report/> },
    };
    view! { <Page title="Health" back=Route::Host>{panel}</Page> }
}

/// What is not as it should be.
#[component]
pub(super) fn Troubles(report: HealthReport) -> impl IntoView {
    let told = host::troubles(&report).into_iter().map(|(status, found, action)| {
        view! { <Problem title=found meaning=action waits=status != HealthStatus::Bad/> }
    });
    told.collect_view()
}

#[component]
fn Panel(report: HealthReport) -> impl IntoView {
    let store = Store::take();
    let checks = report.checks.clone();
    let numbers = report.clone();
    let network = report.clone();
    view! {
        <Troubles report/>
        <Button on_press=move || store.refresh_health()>"Look again"</Button>
        <Section title="Looked at">{checks.into_iter().map(check).collect_view()}</Section>
        <Section title="In numbers">
            <Card><Numbers report=numbers/></Card>
        </Section>
        <Section title="Network">
            <Card><Network report=network/></Card>
        </Section>
    }
}

fn check(check: HealthCheck) -> View {
    let tone = match check.status {
        HealthStatus::Ok => Tone::Good,
        HealthStatus::Degraded => Tone::Ask,
        HealthStatus::Bad => Tone::Bad,
    };
    let title = words::sentence(&check.name.replace(['_', '-'], " "));
    let says = words::health(check.status);
    view! {
        <Row title detail=words::sentence(&check.message) wrap=true>
            <span class="check-status"><Dot tone/><span class="unseen">{says}</span></span>
        </Row>
    }
}

#[component]
fn Numbers(report: HealthReport) -> impl IntoView {
    let clock = Clock::take();
    let rows = move || {
        let (counters, now) = (&report.counters, clock.now());
        let ended = format!(
            "{} done · {} failed · {} cancelled",
            counters.tasks_completed, counters.tasks_failed, counters.tasks_cancelled
        );
        let kept =
            format!("{} of {}", words::bytes(counters.store_bytes), words::bytes(counters.store_max_bytes));
        let memory = report.rss_bytes.map_or_else(|| "not told by this system".to_owned(), words::bytes);
        let named = |name: &str, value: String| (name.to_owned(), value);
        vec![
            named("Version", report.version.clone()),
            named("Running for", words::span(now.millis_since(report.started_at))),
            named(
                "Model",
                if report.model.demo { "demo: no AI answers".to_owned() } else { report.model.name.clone() },
            ),
            named("Programs run", words::sandbox(report.sandbox_level).to_owned()),
            named("Tasks", ended),
            named("Sessions", counters.sessions.to_string()),
            named("Kept on disk", kept),
            named("Memory", memory),
            named("Records to forward", counters.outbox_depth.to_string()),
        ]
    };
    view! { <KeyValue rows=Signal::derive(rows)/> }
}

#[component]
fn Network(report: HealthReport) -> impl IntoView {
    let network = report.network;
    let counters = network.counters;
    let count = |reasons: &[lanyard_protocol::health::ReasonCount]| {
        let all: u64 = reasons.iter().map(|reason| reason.count).sum();
        match reasons {
            [] => "none".to_owned(),
            reasons => {
                let each = reasons.iter().map(|r| format!("{} {}", r.count, r.reason.replace('_', " ")));
                format!("{all} ({})", each.collect::<Vec<_>>().join(", "))
            }
        }
    };
    let named = |name: &str, value: String| (name.to_owned(), value);
    let rows = vec![
        named("Devices", format!("{} paired · {} connected", network.devices, network.devices_connected)),
        named("Listens at", network.listening.unwrap_or_else(|| "nowhere: switched off".to_owned())),
        named("Found by name", network.discovery.detail),
        named("Pairings", format!("{} of {} attempts", counters.pairings, counters.pairing_attempts)),
        named("Came to nothing", count(&counters.pairing_aborts)),
        named("Turned away", count(&counters.refused)),
        named("Connections", counters.connections.to_string()),
        named("Ended", count(&counters.disconnects)),
        named("Went on where they were", counters.resumes.to_string()),
    ];
    view! { <KeyValue rows/> }
}
