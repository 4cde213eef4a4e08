//! Pairing, from the host's side: the window with its code and QR code (the owner at the machine sees it), and who asks.

use lanyard_protocol::approval::Decision;
use lanyard_protocol::device::{PairingEnd, PairingMethod, PairingWindow, PendingPairing};
use lanyard_protocol::id::PairingId;
use lanyard_protocol::method::{ClosePairing, DecidePairing, ListPairings, OpenPairing, PairingPage};
use lanyard_protocol::principal::Scope;
use lanyard_web_state::{host, words};
use lanyard_web_ui::{
    Button, Card, Clock, Code, Countdown, Digits, Empty, Field, Kind, Problem, QrCode, Switch, Tone, Waiting,
};
use lanyard_web_view::{Effect, component, view};
use leptos::prelude::*;

use super::devices::NotAllowed;
use crate::route::Route;
use crate::shell::Page;
use crate::store::{Failed, Store};

/// How long a window is open, in milliseconds (`pairing::window`): only for the bar that runs down.
const WINDOW_MS: f64 = 120_000.0;

/// See the module.
#[component]
pub(crate) fn Pairings() -> impl IntoView {
    let store = Store::take();
    let found = RwSignal::new(None::<Result<PairingPage, Failed>>);
    Effect::new(move |_| {
        store.devices_changed.track();
        store.connections.track();
        // Devices come and go all the time: cards that stand as before are not made anew, with what was typed in them.
        store.ask(ListPairings {}, move |answer| {
            found.maybe_update(|known| {
                let other = known.as_ref() != Some(&answer);
                *known = Some(answer);
                other
            });
        });
    });
    let shown = move || match found.get() {
        None => view! { <Waiting what="Asking the host"/> },
        Some(Err(failed)) => view! {
            <Problem title="It could not be seen who asks" meaning=failed.said.clone() code=failed.code_text()/>
        },
        Some(Ok(page)) => {
            let local = store.me.with_untracked(|me| me.as_ref().is_some_and(|me| me.principal.local));
            let asks = page.pending.is_empty();
            view! {
                <Asking pending=page.pending/>
                {if local { view! { <Window window=page.window/> } } else { view! { <Elsewhere alone=asks/> } }}
            }
        }
    };
    view! { <Page title="Pair a device" back=Route::Host>{shown}</Page> }
}

/// On a device that may answer, but is not at the machine.
#[component]
fn Elsewhere(alone: bool) -> impl IntoView {
    let store = Store::take();
    let admin = store.holds(Scope::Admin);
    alone.then(|| {
        if !admin {
            return view! { <NotAllowed what="pair devices"/> };
        }
        view! {
            <Card><Empty title="No device asks">
                <p>"The code and the QR code are shown on the machine itself: run lanyard pair there, or lanyard open."</p>
            </Empty></Card>
        }
    })
}

/// The window: open it, show it, close it.
#[component]
fn Window(window: Option<PairingWindow>) -> impl IntoView {
    let store = Store::take();
    let busy = RwSignal::new(false);
    // Opening and closing are told by the host's log too, which has this page ask again.
    let open =
        move || store.tell(busy, OpenPairing {}, move |_| store.devices_changed.update(|count| *count += 1));
    let close =
        move || store.tell(busy, ClosePairing {}, move |_| store.devices_changed.update(|count| *count += 1));
    match window {
        None => view! {
            <Card><Empty title="No device can join at this moment">
                <p>"For two minutes a code and a QR code let one device ask. You are asked before it is let in."</p>
                <Button kind=Kind::Primary busy on_press=open>"Show the QR code"</Button>
            </Empty></Card>
        },
        Some(window) => view! {
            <Card><Open window/></Card>
            <Button busy on_press=close>"Close it"</Button>
        },
    }
}

#[component]
fn Open(window: PairingWindow) -> impl IntoView {
    let clock = Clock::take();
    let until = window.expires_at;
    let over = Memo::new(move |_| clock.now() >= until);
    let guessed = window.warning.clone();
    let warning =
        move || guessed.clone().map(|text| view! { <Problem title=words::sentence(&text) waits=true/> });
    let by_address = RwSignal::new(false);
    let (link, other) = (window.link.clone(), window.link_by_address.clone());
    let has_other = other.is_some();
    let shown = Signal::derive(move || match (by_address.get(), &other) {
        (true, Some(other)) => other.clone(),
        _ => link.clone(),
    });
    let switch = move || {
        has_other.then(|| {
            view! {
                <Switch
                    label="By address instead of by name"
                    hint="For networks and phones that do not find this machine's name"
                    on=by_address
                    on_change=move |wanted| by_address.set(wanted)
                />
            }
        })
    };
    let typed = window.code.clone();
    let code = move || {
        typed
            .clone()
            .map(|code| view! { <p class="soft">"Or type this code"</p><p class="pair-code">{code}</p> })
    };
    move || {
        if over.get() {
            return view! { <p>"The code has run out. Close it and open another."</p> };
        }
        view! {
            <div class="stack pair-window">
                {warning.clone()}
                <p>
                    "Scan this with the phone's camera. Its browser warns once about this host's certificate: that is expected. \
                    Where somebody else may control the network, compare its fingerprint with the one on the "
                    <a href=Route::Health.href()>"health page"</a> " first."
                </p>
                <QrCode text=shown label="QR code of the pairing link"/>
                {switch}
                {code.clone()}
                <Countdown until_ms=until.as_millis() as f64 total_ms=WINDOW_MS before="Open for"/>
                <details><summary>"The link as text"</summary><Code text=shown/></details>
            </div>
        }
    }
}

/// Everybody who waits for an answer, oldest first.
#[component]
fn Asking(pending: Vec<PendingPairing>) -> impl IntoView {
    let cards = pending.into_iter().map(|asking| view! { <Asks asking/> }).collect_view();
    view! { <div role="status" class="stack">{cards}</div> }
}

#[component]
fn Asks(asking: PendingPairing) -> impl IntoView {
    let store = Store::take();
    let busy = RwSignal::new(false);
    let digits = RwSignal::new(String::new());
    let error = RwSignal::new(None::<String>);
    let scopes = RwSignal::new(asking.requested_scopes.clone());
    let typed = asking.method == PairingMethod::Code;
    let answer = Callback::new({
        let (id, name) = (asking.pairing_id.clone(), asking.name.clone());
        move |decision: Decision| {
            error.set(None);
            let answer =
                answer(id.clone(), decision, typed.then(|| digits.get_untracked()), scopes.get_untracked());
            let name = name.clone();
            busy.set(true);
            store.ask(answer, move |decided| {
                busy.set(false);
                match decided.map(|decided| decided.end) {
                    Ok(PairingEnd::Approved) => store.say(format!("{name} is paired.")),
                    Ok(PairingEnd::Denied) => store.say(format!("{name} was turned away.")),
                    Ok(PairingEnd::Expired) => store.warn(format!("{name} no longer waits.")),
                    Err(failed) => error.set(Some(failed.said)),
                }
                store.devices_changed.update(|count| *count += 1);
            });
        }
    });
    let lines = host::pairing_lines(&asking)
        .into_iter()
        .map(|line| view! { <p class="soft">{line}</p> })
        .collect_view();
    let compare = asking.digits.clone().map(|digits| {
        view! { <p>"The device shows the same digits:"</p><Digits text=digits/> }
    });
    let type_them = typed.then(|| {
        view! {
            <Field
                label="Digits on the device's screen"
                value=digits
                keyboard="numeric"
                error=error
                hint="Only somebody who sees the device can know them"
            />
        }
    });
    let other_error =
        move || if typed { None } else { error.get() }.map(|text| view! { <p class="bad-words">{text}</p> });
    let short = Signal::derive(move || {
        typed && digits.with(|digits| digits.chars().filter(char::is_ascii_digit).count() < 6)
    });
    view! {
        <Card tone=Tone::Ask>
            <div class="stack">
                <h2 class="asks-name">{format!("{} asks to be paired", asking.name)}</h2>
                {lines}
                {compare}
                {type_them}
                {other_error}
                <Grants scopes/>
                <div class="buttons">
                    <Button kind=Kind::Danger consequential=true busy on_press=move || answer.run(Decision::Denied)>"Deny"</Button>
                    <Button
                        kind=Kind::Primary
                        consequential=true
                        busy
                        disabled=short
                        on_press=move || answer.run(Decision::Approved)
                    >
                        "Approve"
                    </Button>
                </div>
            </div>
        </Card>
    }
}

fn answer(
    pairing_id: PairingId,
    decision: Decision,
    digits: Option<String>,
    scopes: Vec<Scope>,
) -> DecidePairing {
    // Digits and rights belong to a yes only.
    let approved = decision == Decision::Approved;
    let digits = digits.filter(|_| approved);
    let scopes = approved.then_some(scopes);
    DecidePairing { pairing_id, decision, digits, scopes, name: None, command_id: None }
}

/// Which of the rights it gets.
#[component]
fn Grants(scopes: RwSignal<Vec<Scope>>) -> impl IntoView {
    let store = Store::take();
    let switch = move |scope: Scope| {
        let change = move |wanted: bool| {
            scopes.update(|scopes| {
                scopes.retain(|held| *held != scope);
                if wanted {
                    scopes.push(scope);
                }
                scopes.sort();
            });
        };
        view! {
            <Switch
                label=words::sentence(words::right(scope))
                on=Signal::derive(move || scopes.with(|scopes| scopes.contains(&scope)))
                on_change=change
            />
        }
    };
    // Nobody can give what they do not hold.
    let mine =
        [Scope::Operate, Scope::Approve, Scope::Admin].into_iter().filter(move |scope| store.holds(*scope));
    view! {
        <details>
            <summary>{move || scopes.with(|scopes| format!("It may: {}", host::levels(scopes)))}</summary>
            <div class="stack">{mine.map(switch).collect_view()}</div>
        </details>
    }
}
