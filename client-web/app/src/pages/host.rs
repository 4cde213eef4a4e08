//! The host: how it is, who may use it, what it may do.

mod device;
mod devices;
mod health;
mod pairings;
mod policy;

use lanyard_protocol::health::HealthReport;
use lanyard_protocol::principal::Scope;
use lanyard_web_state::{host, words};
use lanyard_web_ui::{Card, Clock, Dot, KeyValue, LinkRow, Section, Sparkline, Tone, Waiting};
use lanyard_web_view::{Effect, component, view};
use leptos::prelude::*;

use crate::route::Route;
use crate::shell::Page;
use crate::store::Store;

pub(crate) use devices::Devices;
pub(crate) use health::Health;
pub(crate) use pairings::Pairings;
pub(crate) use policy::Policy;

/// Asks for a fresh report with each connection, and while somebody looks.
fn keep_fresh(store: Store) {
    /// Milliseconds between two reports while the page is looked at: what changes faster has events of its own.
    const EVERY: f64 = 15_000.0;
    let last = StoredValue::new(0.0_f64);
    Effect::new(move |_| {
        let now = store.now_ms.get();
        store.connections.track();
        if store.is_connected() && now - last.get_value() >= EVERY {
            last.set_value(now);
            store.refresh_health();
        }
    });
}

/// Health at a glance, and the way to everything about the host.
#[component]
pub(crate) fn Host() -> impl IntoView {
    let store = Store::take();
    keep_fresh(store);
    let glance = move || match store.health.get() {
        None => view! { <Waiting what="Asking the host how it is"/> },
        Some(report) => view! { <Glance report/> },
    };
    let admin = move || {
        store.holds(Scope::Admin).then(|| {
            view! {
                <LinkRow title="Pair a device" detail="The code, the QR code, and who asks" href=Route::Pairings.href()/>
                <LinkRow title="Devices" detail="Names, rights, and who may no longer connect" href=Route::Devices.href()/>
            }
        })
    };
    view! {
        <Page title=Signal::derive(move || store.host_name())>
            {glance}
            <Section title="This host">
                {admin}
                <LinkRow title="What it may do" detail="And who may ask it" href=Route::Policy.href()/>
                <LinkRow title="Health" detail="Everything that was looked at" href=Route::Health.href()/>
                <LinkRow title="Addresses and other hosts" href=Route::Hosts.href()/>
                <LinkRow title="Settings" detail="Look, notifications, this device" href=Route::Settings.href()/>
            </Section>
        </Page>
    }
}

#[component]
fn Glance(report: HealthReport) -> impl IntoView {
    let clock = Clock::take();
    let (started, task, days) = (report.started_at, report.last_task.clone(), report.days.clone());
    let week = host::week_words(&days);
    let rows = move || {
        let (now, zone) = (clock.now(), clock.zone());
        let up = words::span(now.millis_since(started));
        vec![
            ("Up since".to_owned(), format!("{} · {up}", words::clock(started, now, zone))),
            ("Last task".to_owned(), host::last_task(task.as_ref(), now, zone)),
            ("Tasks in seven days".to_owned(), week.clone()),
        ]
    };
    let tone =
        if report.status == lanyard_protocol::health::HealthStatus::Ok { Tone::Good } else { Tone::Ask };
    let condition = words::sentence(host::condition(&report));
    let label = format!("Tasks a day, the last {} days", days.len());
    let curve = host::curve(&days);
    view! {
        <Card>
            <div class="stack">
                <p class="host-condition"><Dot tone/>{condition}</p>
                <KeyValue rows=Signal::derive(rows)/>
                <Sparkline points=Signal::stored(curve) label/>
            </div>
        </Card>
        <health::Troubles report/>
    }
}
