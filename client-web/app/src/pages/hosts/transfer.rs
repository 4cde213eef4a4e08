//! The addresses of this host's page. To a browser each is a place of its own with a storage of its own: a link that works
//! once takes this device's rights there.

use lanyard_protocol::Timestamp;
use lanyard_protocol::method::{CreateLink, LinkCreated};
use lanyard_web_ui::{Button, Clock, Countdown, Problem, QrCode, Row, Section, Sheet, Waiting};
use leptos::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};

use crate::store::{Failed, Store};

/// See the module.
#[component]
pub(super) fn Addresses() -> impl IntoView {
    let store = Store::take();
    let chosen = RwSignal::new(None::<String>);
    let here = location().origin().unwrap_or_default();
    let origins = Memo::new(move |_| {
        store.health.with(|health| health.as_ref().map(|health| health.network.origins.clone()))
    });
    let row = move |origin: String| {
        if origin == here {
            return view! { <Row title=origin detail="This page" current=true/> }.into_any();
        }
        let target = origin.clone();
        view! {
            <Row title=origin detail="Open there, with the same rights" on_press=move || chosen.set(Some(target.clone()))/>
        }
        .into_any()
    };
    let rows = move || match origins.get() {
        None => view! { <Waiting what="Asking the host"/> }.into_any(),
        Some(origins) if origins.is_empty() => {
            view! { <p class="soft">"The host serves its page to this machine only."</p> }.into_any()
        }
        Some(origins) => origins.into_iter().map(row.clone()).collect_view().into_any(),
    };
    let link = move || chosen.get().map(|origin| view! { <OneLink origin/> });
    view! {
        <Section title="Addresses of this host">
            {rows}
            <Sheet
                open=Signal::derive(move || chosen.with(Option::is_some))
                title="Open at another address"
                on_close=move || chosen.set(None)
            >
                {link}
            </Sheet>
        </Section>
    }
}

/// Makes the link and shows it.
#[component]
fn OneLink(origin: String) -> impl IntoView {
    let store = Store::take();
    let made = RwSignal::new(None::<Result<LinkCreated, Failed>>);
    let asked = Clock::take().now_untracked();
    store.ask(CreateLink { origin: Some(origin) }, move |answer| made.set(Some(answer)));
    move || match made.get() {
        None => view! { <Waiting what="Asking the host for a link"/> }.into_any(),
        Some(Err(failed)) => view! {
            <Problem title="There is no link" meaning=failed.said.clone() code=failed.code_text()/>
        }
        .into_any(),
        Some(Ok(made)) => view! { <Made made asked/> }.into_any(),
    }
}

#[component]
fn Made(made: LinkCreated, asked: Timestamp) -> impl IntoView {
    let store = Store::take();
    let LinkCreated { link, expires_at } = made;
    let clock = Clock::take();
    let over = Memo::new(move |_| clock.now() >= expires_at);
    let copied = link.clone();
    let copy = move || {
        let link = copied.clone();
        spawn_local(async move {
            match copy_text(&link).await {
                true => store.say("Copied. It works once."),
                false => store.warn(
                    "This browser does not let the page copy. Hold the link and copy it from its menu.",
                ),
            }
        });
    };
    let (shown, opened) = (link.clone(), link);
    move || {
        if over.get() {
            return view! { <p>"The link has run out. Close this and make another."</p> }.into_any();
        }
        view! {
            <p class="soft">
                "It pairs one browser with this device's rights, without a question, and works once. Show it to nobody else."
            </p>
            <QrCode text=shown.clone() label="QR code of the link"/>
            <Countdown
                until_ms=expires_at.as_millis() as f64
                total_ms=expires_at.millis_since(asked) as f64
                before="Works for"
            />
            <div class="buttons">
                <Button on_press=copy.clone()>"Copy the link"</Button>
                <a class="button button-primary" href=opened.clone()>"Open here"</a>
            </div>
        }
        .into_any()
    }
}

/// Whether the text is on the clipboard. Pages that are not verified are refused that by some browsers.
async fn copy_text(text: &str) -> bool {
    let navigator = window().navigator();
    if js_sys::Reflect::get(&navigator, &"clipboard".into()).map_or(true, |found| found.is_undefined()) {
        return false;
    }
    JsFuture::from(navigator.clipboard().write_text(text)).await.is_ok()
}
