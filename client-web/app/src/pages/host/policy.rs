//! What this host may do, whom it asks, and who may ask it, in plain words.

use lanyard_protocol::method::GetPolicy;
use lanyard_protocol::overview::{GrantOverview, PolicyOverview, Standing};
use lanyard_web_state::{host, words};
use lanyard_web_ui::{Card, Clock, KeyValue, Pill, Problem, Row, Section, Tone, Waiting};
use lanyard_web_view::{Effect, View, component, view};
use leptos::prelude::*;

use crate::route::Route;
use crate::shell::Page;
use crate::store::{Failed, Store};

/// See the module.
#[component]
pub(crate) fn Policy() -> impl IntoView {
    let store = Store::take();
    let found = RwSignal::new(None::<Result<PolicyOverview, Failed>>);
    Effect::new(move |_| {
        store.connections.track();
        store.devices_changed.track();
        store.ask(GetPolicy {}, move |answer| found.set(Some(answer)));
    });
    let shown = move || match found.get() {
        None => view! { <Waiting what="Asking the host"/> },
        Some(Err(failed)) => view! {
            <Problem title="The rules could not be had" meaning=failed.said.clone() code=failed.code_text()/>
        },
        Some(Ok(policy)) => view! { <Shown policy/> },
    };
    view! { <Page title="What it may do" back=Route::Host>{shown}</Page> }
}

#[component]
fn Shown(policy: PolicyOverview) -> impl IntoView {
    let clock = Clock::take();
    let sentence = |(_, text): (Standing, String)| view! { <p>{text}</p> };
    let sentences = host::policy_sentences(&policy).into_iter().map(sentence).collect_view();
    let grants = policy.grants.clone().into_iter().map(grant).collect_view();
    let protected = policy.protected.clone().into_iter().map(|what| view! { <li>{what}</li> }).collect_view();
    let askers =
        policy.askers.iter().map(|asker| view! { <li>{host::asker_line(asker)}</li> }).collect_view();
    let (layers, version, expires) = (policy.layers.join(", "), policy.version.clone(), policy.expires_at);
    let level = words::sentence(words::sandbox(policy.sandbox_level));
    let rows = move || {
        let named = |name: &str, value: String| (name.to_owned(), value);
        vec![
            named("Programs run", level.clone()),
            named("Rules from", layers.clone()),
            named("Version", version.clone()),
            named("To be renewed", words::clock(expires, clock.now(), clock.zone())),
        ]
    };
    view! {
        <Card><div class="stack policy-words">{sentences}</div></Card>
        <Section title="Who may ask it">
            <Card><ul class="plain-list">{askers}</ul></Card>
        </Section>
        <Section title="One by one">{grants}</Section>
        <Section title="Never touched">
            <Card><ul class="plain-list">{protected}</ul></Card>
        </Section>
        <Section title="In force">
            <Card><KeyValue rows=Signal::derive(rows)/></Card>
        </Section>
    }
}

fn grant(grant: GrantOverview) -> View {
    let tone = match grant.standing {
        Standing::Free => Tone::Good,
        Standing::Asks => Tone::Plain,
        Standing::Never => Tone::Bad,
    };
    let limits = host::limits(&grant);
    let detail = (!limits.is_empty()).then_some(limits);
    view! {
        <Row title=words::capability(grant.capability) detail wrap=true>
            <Pill tone>{words::standing(grant.standing)}</Pill>
        </Row>
    }
}
