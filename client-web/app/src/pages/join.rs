//! Pairing, from the device's side: by the link the page was opened with, at once; or by a typed code.

mod device;
mod words;

use futures_util::future::{AbortHandle, abortable};
use lanyard_pairing::PairingCode;
use lanyard_pairing::device::Secret;
use lanyard_protocol::principal::Scope;
use lanyard_web_link::{JoinError, Joining};
use lanyard_web_state::words as terms;
use lanyard_web_ui::{Button, Card, Code, Countdown, Digits, Dot, Field, Kind, Mono, Problem, Tone, Waiting};
use lanyard_web_view::{component, view};
use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use crate::pages::settings::Unverified;
use crate::route::{Route, Routes};
use crate::store::{Invitation, Store};

/// How long a host keeps the question of a pairing, in milliseconds (`daemon::network::desk::pending`). Here it is only
/// shown; the host decides.
const PENDING_MS: f64 = 600_000.0;

/// What a page asks for (`lanyard_web_link::join`); the person at the host decides what it gets.
const ASKED: [Scope; 3] = [Scope::Observe, Scope::Operate, Scope::Approve];

/// Where the pairing stands.
#[derive(Debug, Clone)]
enum Stage {
    /// A code is typed.
    Typing,
    /// The owner's page on the host itself, opened without its link.
    Owner,
    /// This page is paired already; somebody has to say that it is to be paired anew.
    Again(Secret),
    /// The two machines find out that they mean each other.
    Meeting,
    /// They agree; a person at the host decides. `until_ms`: when the host gives the question up; not known where the page was loaded again meanwhile.
    Waiting { host: String, short: String, digits: String, until_ms: Option<f64> },
    /// It came to nothing.
    Failed(words::Said),
}

/// The parts that outlive a stage. `Copy`.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    store: Store,
    routes: Routes,
    stage: RwSignal<Stage>,
    name: RwSignal<String>,
    /// Ends the attempt under way; the host is told.
    stop: StoredValue<Option<AbortHandle>>,
}

impl Attempt {
    /// Begins with a code or a link.
    fn begin(self, secret: Secret) {
        self.stage.set(Stage::Meeting);
        self.work(async move {
            let Some(profiles) = self.store.profiles() else { return Ok(()) };
            let name = device::name(&self.name.get_untracked());
            let platform = lanyard_web_link::suggested_platform();
            let joining = lanyard_web_link::join(&profiles, secret, &name, &platform).await?;
            self.wait(joining, Some(js_sys::Date::now() + PENDING_MS)).await
        });
    }

    /// Goes on with what was under way when the page was closed.
    fn go_on(self, joining: Joining) {
        self.work(self.wait(joining, None));
    }

    fn work(self, work: impl Future<Output = Result<(), JoinError>> + 'static) {
        let (work, stop) = abortable(work);
        self.stop.set_value(Some(stop));
        spawn_local(async move {
            match work.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    let _ = self.stage.try_set(Stage::Failed(words::of(&error)));
                }
                // Stopped by the person, who is shown the form again.
                Err(_) => {}
            }
        });
    }

    async fn wait(self, joining: Joining, until_ms: Option<f64>) -> Result<(), JoinError> {
        let Joining { host_name, host_short, digits, .. } = &joining;
        self.stage.set(Stage::Waiting {
            host: host_name.clone(),
            short: host_short.clone(),
            digits: digits.clone(),
            until_ms,
        });
        let profile = joining.answer().await?;
        self.routes.replace(&Route::Sessions);
        self.store.paired(profile);
        Ok(())
    }

    fn stop(self) {
        if let Some(stop) = self.stop.try_update_value(Option::take).flatten() {
            stop.abort();
        }
        let _ = self.stage.try_set(Stage::Typing);
    }
}

/// Whether this is the page on the host's own machine: its links make no questions, and its keys are gone with the tab.
fn is_owners() -> bool {
    location().protocol().is_ok_and(|protocol| protocol == "http:")
}

/// See the module.
#[component]
pub(crate) fn Join(invitation: Invitation) -> impl IntoView {
    let store = Store::take();
    let attempt = Attempt {
        store,
        routes: Routes::take(),
        stage: RwSignal::new(Stage::Meeting),
        name: RwSignal::new(lanyard_web_link::suggested_name()),
        stop: StoredValue::new(None),
    };
    match invitation {
        Invitation::None => attempt.stage.set(if is_owners() { Stage::Owner } else { Stage::Typing }),
        Invitation::Link(secret) => attempt.begin(secret),
        Invitation::Again(secret) => attempt.stage.set(Stage::Again(secret)),
        Invitation::Damaged(error) => attempt.stage.set(Stage::Failed(words::damaged(&error))),
        Invitation::Begun => match store.joining.try_update_value(Option::take).flatten() {
            Some(joining) => attempt.go_on(joining),
            None => attempt.stage.set(Stage::Typing),
        },
    }
    let shown = move || match attempt.stage.get() {
        Stage::Typing => view! { <Typing attempt/> },
        Stage::Owner => view! { <Owner attempt/> },
        Stage::Again(secret) => view! { <Again attempt secret/> },
        Stage::Meeting => view! { <Meeting attempt/> },
        Stage::Waiting { host, short, digits, until_ms } => {
            view! { <Waits attempt host short digits until_ms/> }
        }
        Stage::Failed(said) => view! { <Failed attempt said/> },
    };
    view! {
        <main class="join">
            <div class="join-head"><h1>"Join a host"</h1><Unverified/></div>
            {shown}
        </main>
    }
}

/// A code is typed, and this device gets its name.
#[component]
fn Typing(attempt: Attempt) -> impl IntoView {
    let code = RwSignal::new(String::new());
    let fault = RwSignal::new(None::<String>);
    let name_fault = Signal::derive(move || device::fault(&attempt.name.get()).map(str::to_owned));
    let join = move || match PairingCode::parse(&code.get_untracked()) {
        Ok(code) if name_fault.get_untracked().is_none() => attempt.begin(Secret::Code(code)),
        Ok(_) => {}
        Err(error) => fault.set(Some(terms::sentence(&error.to_string()))),
    };
    let tidy = move |typed: String| {
        fault.set(None);
        device::spelled(&typed)
    };
    view! {
        <div class="join-body">
            <p class="soft">
                "On the host, run " <code>"lanyard pair"</code> " or open its own page. It shows a QR code, which this \
                device's camera opens, and a code to type here."
            </p>
            <Field
                label="Code on the host's screen"
                value=code
                error=fault
                placeholder="K7QX-92MD"
                max=24
                mono=true
                tidy=tidy
                on_enter=join
            />
            <Field
                label="Name of this device"
                value=attempt.name
                error=name_fault
                hint="So the host's owner knows it in the list."
                max=64
                on_enter=join
            />
            <Allowed host=None/>
        </div>
        <div class="join-foot">
            <Button kind=Kind::Primary on_press=join>"Join"</Button>
        </div>
    }
}

/// The owner's page, opened without its link.
#[component]
fn Owner(attempt: Attempt) -> impl IntoView {
    view! {
        <div class="join-body join-middle">
            <Problem
                waits=true
                title="This page is opened by a command"
                meaning="It is the owner's page of this machine. Each tab is let in by a link of its own, and forgotten when it \
                         is closed. In a terminal of this machine, run:"
            >
                <Code text="lanyard open"/>
            </Problem>
        </div>
        <div class="join-foot">
            <Button on_press=move || attempt.stage.set(Stage::Typing)>"Type a code instead"</Button>
        </div>
    }
}

/// The page was opened with a link although it is paired.
#[component]
fn Again(attempt: Attempt, secret: Secret) -> impl IntoView {
    let host = untrack(|| attempt.store.host_name());
    view! {
        <div class="join-body join-middle">
            <Problem
                waits=true
                title=format!("This browser is already paired with {host}")
                meaning="The link pairs it anew and takes the place of the old pairing. That is needed only if the old one no \
                         longer works."
            />
        </div>
        <div class="join-foot buttons">
            <Button on_press=move || attempt.begin(secret.clone())>"Pair anew"</Button>
            <Button kind=Kind::Primary on_press=move || attempt.store.keep_pairing()>"Go on as it is"</Button>
        </div>
    }
}

/// Some tens of milliseconds; longer where the network is bad.
#[component]
fn Meeting(attempt: Attempt) -> impl IntoView {
    view! {
        <div class="join-body join-middle"><Waiting what="Meeting the host"/></div>
        <div class="join-foot">
            <Button kind=Kind::Danger on_press=move || attempt.stop()>"Stop"</Button>
        </div>
    }
}

/// A person at the host decides.
#[component]
fn Waits(
    attempt: Attempt,
    host: String,
    short: String,
    digits: String,
    until_ms: Option<f64>,
) -> impl IntoView {
    view! {
        <div class="join-body join-middle join-waits">
            <div class="center">
                <p class="soft">"You are joining"</p>
                <p class="join-host">{host.clone()}</p>
                <p class="soft"><Mono text=short/></p>
            </div>
            <Allowed host=Some(host)/>
            <p class="soft center">"Show these digits to whoever lets this device in, or compare them with that screen"</p>
            <Digits text=digits/>
            <div class="join-state" role="status">
                <Dot tone=Tone::Ask/>
                <span>"Waiting for the host to approve"</span>
            </div>
            {until_ms.map(|until_ms| view! { <Countdown until_ms total_ms=PENDING_MS after="left"/> })}
            <p class="soft center">"You may lock this device meanwhile."</p>
        </div>
        <div class="join-foot">
            <Button kind=Kind::Danger on_press=move || attempt.stop()>"Stop"</Button>
        </div>
    }
}

/// What the pairing will let this device do.
#[component]
fn Allowed(host: Option<String>) -> impl IntoView {
    let title = match host {
        Some(_) => "It will let this device",
        None => "The host will be asked to let this device",
    };
    view! {
        <Card>
            <p class="join-allowed">{title}</p>
            <p class="soft">{terms::rights(&ASKED)}</p>
        </Card>
    }
}

/// It came to nothing.
#[component]
fn Failed(attempt: Attempt, said: words::Said) -> impl IntoView {
    let is_paired = attempt.store.pairing.with_untracked(Option::is_some);
    view! {
        <div class="join-body join-middle">
            <Problem title=said.title meaning=said.meaning code=said.code/>
        </div>
        <div class="join-foot buttons">
            <Button kind=Kind::Primary on_press=move || attempt.stop()>"Type a code"</Button>
            {is_paired.then(|| view! {
                <Button on_press=move || attempt.store.keep_pairing()>"Go on as it is"</Button>
            })}
        </div>
    }
}
