//! The addresses of this host's page. To a browser each is a place of its own with a storage of its own: a link that works
//! once takes this device's rights there, when a person has said yes on this page, which shows the digits of the page that
//! came, and from where it came: somebody who only read the link shows others, or none.

use std::net::SocketAddr;

use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::Decision;
use lanyard_protocol::device::{PairingEnd, PendingPairing};
use lanyard_protocol::method::{ClosePairing, CreateLink, DecidePairing, LinkCreated, ListPairings};
use lanyard_web_state::host;
use lanyard_web_ui::{Button, Clock, Countdown, Digits, Kind, Problem, QrCode, Row, Section, Sheet, Waiting};
use lanyard_web_view::{Effect, View, component, view};
use leptos::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};

use crate::route::Route;
use crate::store::{Failed, Store};

/// See the module.
#[component]
pub(super) fn Addresses() -> impl IntoView {
    let store = Store::take();
    let chosen = RwSignal::new(None::<String>);
    // The owner's tab goes with the tab: what it would take elsewhere is a device's to be given.
    let owners = Memo::new(move |_| store.me.with(|me| me.as_ref().is_some_and(|me| me.principal.local)));
    let here = location().origin().unwrap_or_default();
    let origins = Memo::new(move |_| {
        store.health.with(|health| health.as_ref().map(|health| health.network.origins.clone()))
    });
    let row = move |origin: String| {
        if origin == here {
            return view! { <Row title=origin detail="This page" current=true/> };
        }
        if owners.get() {
            return view! { <Row title=origin/> };
        }
        let target = origin.clone();
        view! {
            <Row title=origin detail="Open there, with the same rights" on_press=move || chosen.set(Some(target.clone()))/>
        }
    };
    let rows = move || match origins.get() {
        None => view! { <Waiting what="Asking the host"/> },
        Some(origins) if origins.is_empty() => {
            view! { <p class="soft">"The host serves its page to this machine only."</p> }
        }
        Some(origins) => View::all(origins.into_iter().map(row.clone()).collect()),
    };
    let hint = move || {
        owners.get().then(|| {
            view! {
                <p class="soft">
                    "To use one of them in another browser or on another device, "
                    <a href=Route::Pairings.href()>"pair a device"</a> "."
                </p>
            }
        })
    };
    let link = move || chosen.get().map(|origin| view! { <OneLink origin/> });
    view! {
        <Section title="Addresses of this host">
            {rows}
            {hint}
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
        None => view! { <Waiting what="Asking the host for a link"/> },
        Some(Err(failed)) => view! {
            <Problem title="There is no link" meaning=failed.said.clone() code=failed.code_text()/>
        },
        Some(Ok(made)) => view! { <Made made asked/> },
    }
}

/// What has come of the link.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    /// Nobody has used it.
    Unused,
    /// Somebody came by it and waits for an answer.
    Asks(Box<PendingPairing>),
    /// It is over, as these words say.
    Over(&'static str),
}

#[component]
fn Made(made: LinkCreated, asked: Timestamp) -> impl IntoView {
    let store = Store::take();
    let clock = Clock::take();
    let expires_at = made.expires_at;
    let run_out = Memo::new(move |_| clock.now() >= expires_at);
    let step = RwSignal::new(Step::Unused);
    let busy = RwSignal::new(false);
    look_for_the_question(store, step, busy);
    // Closed before it was used or answered: nobody is to come by it any more.
    on_cleanup(move || {
        let open = step.try_with_untracked(|step| match step {
            Step::Unused => !run_out.try_get_untracked().unwrap_or(true),
            Step::Asks(_) => true,
            Step::Over(_) => false,
        });
        if open == Some(true) {
            spawn_local(async move {
                if let Err(failed) = store.call(ClosePairing {}).await {
                    store.warn(failed.said);
                }
            });
        }
    });
    move || match step.get() {
        Step::Unused if run_out.get() => {
            view! { <p>"The link has run out. Close this and make another."</p> }
        }
        Step::Unused => view! { <TheLink made=made.clone() asked/> },
        Step::Asks(asking) => view! { <Asks asking=*asking step busy/> },
        Step::Over(words) => view! { <p role="status">{words}</p> },
    }
}

/// Asks the host who came by this device's link, whenever its log says that somebody did or was answered.
fn look_for_the_question(store: Store, step: RwSignal<Step>, busy: RwSignal<bool>) {
    Effect::new(move |_| {
        store.devices_changed.track();
        store.connections.track();
        store.ask(ListPairings {}, move |answer| {
            let pending = match answer {
                Ok(page) => page.pending,
                Err(failed) => return store.warn(failed.said),
            };
            let me = store.me.with_untracked(|me| me.as_ref().map(|me| me.principal.id.to_string()));
            let mine = |one: &PendingPairing| one.made_by.as_ref().map(|id| id.as_str()) == me.as_deref();
            let found = pending.into_iter().find(|one| one.made_by.is_some() && mine(one));
            step.maybe_update(|step| {
                let next = match (found, &*step) {
                    (_, Step::Over(_)) => return false,
                    (Some(asking), _) => Step::Asks(Box::new(asking)),
                    // An answer of this page is on its way, and says more.
                    (None, Step::Asks(_)) if !busy.get_untracked() => {
                        Step::Over("It no longer waits: it gave up, or was answered elsewhere.")
                    }
                    (None, _) => return false,
                };
                let other = *step != next;
                *step = next;
                other
            });
        });
    });
}

#[component]
fn TheLink(made: LinkCreated, asked: Timestamp) -> impl IntoView {
    let store = Store::take();
    let LinkCreated { link, expires_at } = made;
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
    view! {
        <p class="soft">
            "It works once. Leave this open: the page that comes by it shows digits, and you say here whether it is let in."
        </p>
        <QrCode text=link.clone() label="QR code of the link"/>
        <Countdown
            until_ms=expires_at.as_millis() as f64
            total_ms=expires_at.millis_since(asked) as f64
            before="Works for"
        />
        <div class="buttons">
            <Button on_press=copy>"Copy the link"</Button>
            // In a tab of its own: the question comes to this one.
            <a class="button button-primary" href=link target="_blank" rel="noopener noreferrer">"Open here"</a>
        </div>
    }
}

/// Somebody came by the link.
#[component]
fn Asks(asking: PendingPairing, step: RwSignal<Step>, busy: RwSignal<bool>) -> impl IntoView {
    let store = Store::take();
    let error = RwSignal::new(None::<String>);
    let id = asking.pairing_id.clone();
    let answer = Callback::new(move |decision: Decision| {
        error.set(None);
        busy.set(true);
        let answer = DecidePairing {
            pairing_id: id.clone(),
            decision,
            digits: None,
            scopes: None,
            name: None,
            command_id: None,
        };
        store.ask(answer, move |decided| {
            busy.set(false);
            match decided.map(|decided| decided.end) {
                Ok(PairingEnd::Approved) => {
                    step.set(Step::Over("It is let in. It is listed beside this device."))
                }
                Ok(PairingEnd::Denied) => step.set(Step::Over("It was turned away.")),
                Ok(PairingEnd::Expired) => step.set(Step::Over("It no longer waits.")),
                Err(failed) => error.set(Some(failed.said)),
            }
        });
    });
    let from = asking.address.parse::<SocketAddr>().map_or(asking.address, |at| at.ip().to_string());
    let rights = host::levels(&asking.requested_scopes);
    view! {
        <div class="stack" role="status">
            <p>{format!("A page at {from} shows these digits:")}</p>
            <Digits text=asking.digits.unwrap_or_default()/>
            <p class="soft">{format!("Let it in only if you see them there. It may then: {rights}.")}</p>
            {move || error.get().map(|text| view! { <p class="bad-words">{text}</p> })}
            <div class="buttons">
                <Button kind=Kind::Danger consequential=true busy on_press=move || answer.run(Decision::Denied)>
                    "Deny"
                </Button>
                <Button kind=Kind::Primary consequential=true busy on_press=move || answer.run(Decision::Approved)>
                    "Let it in"
                </Button>
            </div>
        </div>
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
