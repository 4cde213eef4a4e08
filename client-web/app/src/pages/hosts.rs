//! This host's addresses, and other hosts.

mod install;
mod transfer;

use lanyard_protocol::method::{FindHosts, SeenHost};
use lanyard_web_ui::{Button, Card, Empty, Problem, Row, Section, Waiting};
use lanyard_web_view::{Effect, component, view};
use leptos::prelude::*;

use crate::route::Route;
use crate::shell::Page;
use crate::store::{Failed, Store};

/// See the module.
#[component]
pub(crate) fn Hosts() -> impl IntoView {
    let store = Store::take();
    Effect::new(move |_| {
        store.connections.track();
        store.refresh_health();
    });
    view! {
        <Page title=Signal::derive(move || store.host_name()) back=Route::Host>
            <transfer::Addresses/>
            <Others/>
            <install::Install/>
        </Page>
    }
}

/// What announces itself on the network.
#[component]
fn Others() -> impl IntoView {
    let store = Store::take();
    let found = RwSignal::new(None::<Result<Vec<SeenHost>, Failed>>);
    let busy = RwSignal::new(false);
    let look = move || {
        busy.set(true);
        store.ask(FindHosts {}, move |answer| {
            busy.set(false);
            found.set(Some(answer.map(|page| page.hosts)));
        });
    };
    look();
    let row = |host: SeenHost| {
        let origin = host.origins.first().cloned();
        let detail = origin.clone().unwrap_or_else(|| "It does not say where its page is.".to_owned());
        view! { <Row title=host.name detail=detail href=origin/> }
    };
    let shown = move || match found.get() {
        None => view! { <Waiting what="Listening on the network"/> },
        Some(Err(failed)) => view! {
            <Problem title="The host could not look" meaning=failed.said.clone() code=failed.code_text()/>
        },
        Some(Ok(hosts)) if hosts.is_empty() => view! {
            <Card><Empty title="No other host announces itself">
                <p>"Hosts that are not found this way are opened by their address, or by the QR code on their screen."</p>
            </Empty></Card>
        },
        Some(Ok(hosts)) => view! {
            {hosts.into_iter().map(row).collect_view()}
            <p class="soft">"Names on the network are not proven. Each host has a pairing of its own."</p>
        },
    };
    view! {
        <Section title="Other hosts">
            {shown}
            <Button busy on_press=look>"Look again"</Button>
        </Section>
    }
}
