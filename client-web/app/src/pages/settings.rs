//! What this page keeps to itself: look, notifications, pairing.

mod notify;
mod pairing;
mod unverified;

use lanyard_web_state::words;
use lanyard_web_ui::{Card, Choice, ChoiceItem, KeyValue, LinkRow, Section};
use lanyard_web_view::{component, view};
use leptos::prelude::*;

use crate::prefs::{TextSize, Theme};
use crate::route::Route;
use crate::shell::Page;
use crate::store::Store;

pub(crate) use unverified::Unverified;

/// See the module.
#[component]
pub(crate) fn Settings() -> impl IntoView {
    view! {
        <Page title="Settings" back=Route::Host>
            <Look/>
            <notify::Notify/>
            <pairing::ThisDevice/>
            <Section title="Hosts">
                <LinkRow title="Addresses and other hosts" href=Route::Hosts.href()/>
            </Section>
            <About/>
        </Page>
    }
}

#[component]
fn Look() -> impl IntoView {
    let prefs = Store::take().prefs;
    let themes = vec![
        ChoiceItem::new(Theme::Auto, "As the device"),
        ChoiceItem::new(Theme::Light, "Light"),
        ChoiceItem::new(Theme::Dark, "Dark"),
    ];
    let sizes = vec![
        ChoiceItem::new(TextSize::Small, "Small"),
        ChoiceItem::new(TextSize::Normal, "Normal"),
        ChoiceItem::new(TextSize::Large, "Large"),
        ChoiceItem::new(TextSize::Largest, "Largest"),
    ];
    view! {
        <Section title="Look">
            <Card>
                <div class="stack">
                    <Choice label="Colours" options=themes value=prefs.theme bar=true
                        on_change=move |theme| prefs.theme.set(theme)/>
                    <Choice label="Text" options=sizes value=prefs.size bar=true
                        on_change=move |size| prefs.size.set(size)/>
                </div>
            </Card>
        </Section>
    }
}

#[component]
fn About() -> impl IntoView {
    let store = Store::take();
    let rows = move || {
        let mut rows = Vec::new();
        if let Some(me) = store.me.get() {
            rows.push(("Host".to_owned(), format!("{} · Lanyard {}", me.host_name, me.version)));
            rows.push(("Host's id".to_owned(), me.host_id.to_string()));
        }
        rows.push(("Page".to_owned(), format!("Lanyard {}", env!("CARGO_PKG_VERSION"))));
        rows.push(("Loaded from".to_owned(), location().origin().unwrap_or_default()));
        if let Some(pairing) = store.pairing.get() {
            rows.push(("This device's key".to_owned(), words::key_storage(pairing.storage).to_owned()));
        }
        rows
    };
    view! {
        <Section title="About">
            <Card>
                <div class="stack">
                    <KeyValue rows=Signal::derive(rows)/>
                    <Unverified/>
                </div>
            </Card>
        </Section>
    }
}
