//! Signing in: by a one-time link, or by the organisation's own provider.

use lanyard_governance_api::endpoint::{GetLoginWays, LoginByLink, StartOidc};
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::people::{LinkLogin, LoginWays};
use lanyard_web_ui::{Button, Card, Code, Field, Kind, Problem, Waiting};
use lanyard_web_view::{component, view};
use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use crate::api::{self, Failed, address};
use crate::central::{Central, Who};
use crate::route::{Route, Routes, sign_in_token};

/// The command that prints a link, on central's machine.
const COMMAND: &str = "lanyard-central sign-in-link";

/// Somebody followed a sign-in link. Asked for once more before the link is used up: whatever opens links by itself, to
/// look at what is behind them, presses nothing.
#[component]
pub(crate) fn ByLink(
    /// The link's token.
    token: String,
    /// It was used, or given up.
    #[prop(into)]
    done: Callback<()>,
) -> impl IntoView {
    let busy = RwSignal::new(false);
    let failed = RwSignal::new(None::<Failed>);
    let token = StoredValue::new(token);
    let (central, routes) = (Central::take(), Routes::take());
    let press = move || sign_in(central, routes, token.get_value(), busy, failed, done);
    let give_up = move || {
        done.run(());
        central.identify();
    };
    view! {
        <main class="full-page">
            <h1>"Sign in to Lanyard"</h1>
            {move || match failed.get() {
                None => view! {
                    <p class="soft">"The link you opened signs you in once, in this browser. It is used up by it."</p>
                    <Button kind=Kind::Primary busy on_press=press>"Sign in"</Button>
                },
                Some(failed) => view! {
                    <Problem title="This link does not sign in" meaning=failed.said code=failed.code>
                        <Button on_press=give_up>"Other ways to sign in"</Button>
                    </Problem>
                },
            }}
        </main>
    }
}

fn sign_in(
    central: Central,
    routes: Routes,
    token: String,
    busy: RwSignal<bool>,
    failed: RwSignal<Option<Failed>>,
    done: Callback<()>,
) {
    // Enter comes past the button: a link that is used twice has failed the second time.
    if busy.get_untracked() {
        return;
    }
    busy.set(true);
    spawn_local(async move {
        let answer = api::call::<LoginByLink>(&[], &Nothing {}, &LinkLogin { token }).await;
        let _ = busy.try_set(false);
        match answer {
            // With the cookie, which scripts do not see.
            Ok(signed_in) => {
                api::key::keep(signed_in.console_key.as_deref().unwrap_or_default());
                central.who.set(Who::Asking);
                central.identify();
                routes.replace(&Route::Overview);
                done.run(());
            }
            Err(why) => {
                let used = "Links work once and for a short time. Print another one on central's machine.";
                let said = if why.is_signed_out() { used.to_owned() } else { why.said.clone() };
                let _ = failed.try_set(Some(Failed { said, ..why }));
            }
        }
    });
}

/// Nobody is signed in.
#[component]
pub(crate) fn SignIn() -> impl IntoView {
    let ways = RwSignal::new(None::<Result<LoginWays, Failed>>);
    let ask = move || {
        ways.set(None);
        spawn_local(async move {
            let answer = api::get::<GetLoginWays>(&[], &Nothing {}).await;
            let _ = ways.try_set(Some(answer));
        });
    };
    ask();
    let shown = move || match ways.get() {
        None => view! { <Waiting what="Asking central how one signs in"/> },
        Some(Err(failed)) => view! {
            <Problem title="Central does not answer" meaning=failed.said code=failed.code>
                <Button kind=Kind::Primary on_press=ask>"Try again"</Button>
            </Problem>
        },
        Some(Ok(ways)) => view! { <Ways ways/> },
    };
    view! {
        <main class="full-page">
            <h1>"Sign in to Lanyard"</h1>
            {shown}
        </main>
    }
}

#[component]
fn Ways(ways: LoginWays) -> impl IntoView {
    let provider = ways.oidc.map(|provider| {
        let href = address::path::<StartOidc>(&[]);
        view! { <a class="button button-primary" href=href>"Continue with "{provider}</a> }
    });
    let has_provider = provider.is_some();
    let links = ways.links.then(|| {
        view! {
            <Card>
                <div class="stack">
                    <h2>{if has_provider { "Or with a one-time link" } else { "With a one-time link" }}</h2>
                    <p class="soft">"On the machine that runs central, this prints a link. Open it in this browser; it works once."</p>
                    <Code text=COMMAND.to_owned()/>
                    <Typed/>
                </div>
            </Card>
        }
    });
    view! { {provider} {links} }
}

/// A link, or its token, put in by hand: for those whose terminal is on another machine.
#[component]
fn Typed() -> impl IntoView {
    let typed = RwSignal::new(String::new());
    let busy = RwSignal::new(false);
    let failed = RwSignal::new(None::<Failed>);
    let (central, routes) = (Central::take(), Routes::take());
    let press = move || {
        let text = typed.get_untracked().trim().to_owned();
        let token = text.split_once('#').and_then(|(_, fragment)| sign_in_token(fragment)).unwrap_or(text);
        if !token.is_empty() {
            sign_in(central, routes, token, busy, failed, Callback::new(|()| ()));
        }
    };
    let error =
        Signal::derive(move || failed.with(|failed| failed.as_ref().map(|failed| failed.said.clone())));
    let empty = Signal::derive(move || typed.with(|typed| typed.trim().is_empty()));
    view! {
        <Field label="Link or token" value=typed max=2000 error on_enter=press hint="The whole link, or what stands behind sign-in/."/>
        <Button busy disabled=empty on_press=press>"Sign in"</Button>
    }
}
