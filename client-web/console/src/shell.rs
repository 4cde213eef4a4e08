//! The frame around every page: who is signed in, where one can go, and short messages.
//!
//! On phones one page fills the screen above five tabs. From [`WIDE`] on what can be reached stands beside it.

use lanyard_governance_api::endpoint::{ChooseTenant, Logout};
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::people;
use lanyard_web_ui::{
    Button, Choice, ChoiceItem, Clock, Frame, Glyph, IconButton, KeyHelp, Kind, Problem, Returns, Sheet,
    SkipLink, TabLink, Toasts, Waiting, Wide,
};
use lanyard_web_view::{Content, Effect, View, component, view};
use leptos::html;
use leptos::prelude::*;

use crate::api;
use crate::central::{Central, Who};
use crate::keys;
use crate::pages;
use crate::prefs::{self, Theme};
use crate::route::{Part, Route, Routes};
use crate::words;

/// From this width on there is room for two columns.
const WIDE: &str = "(min-width: 1000px)";

/// The account's sheet is open.
#[derive(Debug, Clone, Copy)]
struct Account(RwSignal<bool>);

/// Light or dark.
#[derive(Debug, Clone, Copy)]
struct Look(RwSignal<Theme>);

/// The whole page.
#[component]
pub(crate) fn App() -> impl IntoView {
    Clock::provide();
    Returns::provide();
    let routes = Routes::provide();
    Wide::provide(WIDE);
    provide_context(Look(prefs::theme()));
    provide_context(Account(RwSignal::new(false)));
    let central = Central::provide();
    central.identify();
    // A link that is followed in an open page signs in anew.
    let token = RwSignal::new(None::<String>);
    Effect::new(move |_| {
        if let Some(new) = routes.take_token() {
            token.set(Some(new));
        }
    });
    let tenant = Memo::new(move |_| central.me().map(|me| (me.tenant.tenant_id, me.user_id)));
    let kind = Memo::new(move |_| central.who.with(std::mem::discriminant));
    let shown = move || {
        kind.get();
        if let Some(token_now) = token.get() {
            return view! { <pages::sign_in::ByLink token=token_now done=move || token.set(None)/> };
        }
        match central.who.get_untracked() {
            Who::Asking => {
                view! { <main class="opening"><h1 class="unseen">"Lanyard"</h1><Waiting what="Opening"/></main> }
            }
            Who::Nobody => view! { <pages::sign_in::SignIn/> },
            Who::Unknown(failed) => view! {
                <main class="full-page">
                    <h1 class="unseen">"Lanyard"</h1>
                    <Problem title="Central does not answer" meaning=failed.said code=failed.code>
                        <Button kind=Kind::Primary on_press=move || central.identify()>"Try again"</Button>
                    </Problem>
                </main>
            },
            Who::Person(_) => {
                // Everything that is known is of one tenant and one person.
                let anew = move || {
                    tenant.get();
                    view! { <Columns/> }
                };
                anew.view()
            }
        }
    };
    view! {
        {shown}
        <Toasts notes=central.notes/>
    }
}

/// Everything somebody who is signed in sees.
#[component]
fn Columns() -> impl IntoView {
    let routes = Routes::take();
    let central = Central::take();
    let wide = Wide::take().0;
    let help = RwSignal::new(false);
    keys::listen(routes, help);
    central.follow_waiting();
    name_the_window(central, routes);
    let place = Memo::new(move |_| routes.current());
    let content = move || page_of(place.get());
    let side = move || wide.get().then(|| view! { <Side/> });
    let tabs = move || (!wide.get()).then(|| view! { <Tabs/> });
    view! {
        <SkipLink says="To the content"/>
        <div class="columns" class:console-wide=move || wide.get()>
            {side}
            <main class="column column-middle" id="main" tabindex="-1">{content}</main>
        </div>
        {tabs}
        <AccountSheet/>
        <KeyHelp open=help keys=keys::KEYS/>
    }
}

fn page_of(route: Route) -> View {
    match route {
        Route::Overview | Route::SignIn => view! { <pages::overview::Overview/> },
        Route::Hosts => view! { <pages::hosts::Hosts/> },
        Route::Host(id) => view! { <pages::hosts::Host id/> },
        Route::Enrolment => view! { <pages::enrolment::Enrolment/> },
        Route::Sessions(host) => view! { <pages::sessions::Sessions host=host/> },
        Route::Session(id) => view! { <pages::session::Session id/> },
        Route::Approvals => view! { <pages::approvals::Approvals/> },
        Route::Approval(id) => view! { <pages::approvals::Approval id/> },
        Route::Pairings => view! { <pages::pairings::Pairings/> },
        Route::Policy => view! { <pages::policy::Policy/> },
        Route::PolicyEdit(from) => view! { <pages::policy::edit::Edit from=from/> },
        Route::PolicyCompare(from, to) => {
            view! { <pages::policy::compare::Compare from=from to=to/> }
        }
        Route::PolicyTry => view! { <pages::policy::dry::Try/> },
        Route::Jobs => view! { <pages::jobs::Jobs/> },
        Route::NewJob(host) => view! { <pages::jobs::new::NewJob host=host/> },
        Route::Job(id) => view! { <pages::jobs::Job id/> },
        Route::Audit(session) => view! { <pages::audit::Audit session=session/> },
        Route::Chains => view! { <pages::audit::chains::Chains/> },
        Route::Telemetry => view! { <pages::telemetry::Telemetry/> },
        Route::People => view! { <pages::people::People/> },
        Route::Tenants => view! { <pages::people::Tenants/> },
        Route::More => view! { <More/> },
    }
}

fn glyph(part: Part) -> Glyph {
    match part {
        Part::Overview => Glyph::Overview,
        Part::Hosts => Glyph::Host,
        Part::Sessions => Glyph::Sessions,
        Part::Approvals => Glyph::Approvals,
        Part::Pairings => Glyph::Phone,
        Part::Policy => Glyph::Shield,
        Part::Jobs => Glyph::Terminal,
        Part::Audit => Glyph::Record,
        Part::Telemetry => Glyph::Chart,
        Part::People => Glyph::People,
        Part::More => Glyph::More,
    }
}

/// The way to a part, and how many questions wait behind it.
fn part_link(part: Part) -> View {
    let (central, routes) = (Central::take(), Routes::take());
    let count = Signal::derive(move || if part == Part::Approvals { central.waiting_count() } else { 0 });
    let current = Signal::derive(move || {
        let now = routes.current().part();
        // What has no tab of its own is behind the last one.
        now == part || (part == Part::More && !Part::TABS.contains(&now))
    });
    view! { <TabLink href=part.route().href() icon=glyph(part) name=part.name() count current/> }
}

/// Along the lower edge of a phone.
#[component]
fn Tabs() -> impl IntoView {
    let links = Part::TABS.map(part_link).collect_view();
    view! { <nav class="tabs" aria-label="Main">{links}</nav> }
}

/// On the left of a wide screen.
#[component]
fn Side() -> impl IntoView {
    let links = Part::ALL.map(part_link).collect_view();
    view! {
        <div class="console-side">
            <Tenant/>
            <nav class="console-nav" aria-label="Main">{links}</nav>
        </div>
    }
}

/// On phones: all that has no tab.
#[component]
fn More() -> impl IntoView {
    let rest = Part::ALL.into_iter().filter(|part| !Part::TABS.contains(part));
    let links = rest
        .map(|part| view! { <lanyard_web_ui::LinkRow title=part.name() href=part.route().href() icon=glyph(part)/> })
        .collect_view();
    view! { <Page title="More">{links}</Page> }
}

/// Which tenant, and who: opens the account's sheet.
#[component]
fn Tenant() -> impl IntoView {
    let central = Central::take();
    let open = use_context::<Account>();
    let name = move || central.me().map(|me| me.tenant.name).unwrap_or_default();
    let who = move || {
        central.me().map(|me| format!("{} · {}", me.name, words::role(me.role).0)).unwrap_or_default()
    };
    let press = move |_| {
        if let Some(Account(open)) = open {
            open.set(true);
        }
    };
    view! {
        <button type="button" class="console-tenant" on:click=press aria-haspopup="dialog">
            <span class="console-tenant-name">{name}</span>
            <span class="console-tenant-who">{who}</span>
            <span class="unseen">": account"</span>
        </button>
    }
}

/// Who one is, other tenants, light or dark, and the way out.
#[component]
fn AccountSheet() -> impl IntoView {
    let central = Central::take();
    let Account(open) = use_context::<Account>().unwrap_or_else(|| Account(RwSignal::new(false)));
    let Look(theme) = use_context::<Look>().unwrap_or_else(|| Look(RwSignal::new(Theme::Auto)));
    let busy = RwSignal::new(false);
    let leave = move || {
        let out = async {
            let done = api::call::<Logout>(&[], &Nothing {}, &Nothing {}).await;
            if done.is_ok() {
                api::key::forget();
            }
            done
        };
        central.tell(busy, out, move |_| {
            open.set(false);
            central.signed_out();
        });
    };
    let change = move |tenant: lanyard_governance_api::id::TenantId| {
        let choice = async move {
            api::call::<ChooseTenant>(&[], &Nothing {}, &people::ChooseTenant { tenant_id: tenant }).await
        };
        central.tell(busy, choice, move |me| {
            open.set(false);
            central.say(format!("You work in {} now.", me.tenant.name));
            central.who.set(Who::Person(me));
        });
    };
    let tenants = move || {
        let me = central.me()?;
        if me.tenants.len() < 2 {
            return None;
        }
        let options: Vec<_> = me
            .tenants
            .iter()
            .map(|tenant| ChoiceItem::new(tenant.tenant_id.clone(), tenant.name.clone()))
            .collect();
        let now = me.tenant.tenant_id.clone();
        Some(view! { <Choice label="Tenant" options value=now on_change=move |tenant| change(tenant)/> })
    };
    let about = move || {
        central.me().map(|me| {
            let (role, may) = words::role(me.role);
            let mail = me.email.map(|mail| format!(" · {mail}")).unwrap_or_default();
            let operator = me.operator.then_some(" You also run this installation.");
            view! {
                <p><strong>{me.name}</strong>{mail}</p>
                <p class="soft">{role}" in "{me.tenant.name}": "{may}"."{operator}</p>
            }
        })
    };
    let themes = || {
        vec![
            ChoiceItem::new(Theme::Auto, "As the device"),
            ChoiceItem::new(Theme::Light, "Light"),
            ChoiceItem::new(Theme::Dark, "Dark"),
        ]
    };
    view! {
        <Sheet open title="Account" on_close=move || open.set(false)>
            {about}
            {tenants}
            <Choice label="Colours" options=themes() value=theme on_change=move |chosen| theme.set(chosen) bar=true/>
            <Button busy on_press=leave>"Sign out"</Button>
        </Sheet>
    }
}

/// One page: its head, what scrolls, and what stays below it. `title` is announced and focused when the page appears.
#[component]
pub(crate) fn Page(
    /// What the page is.
    #[prop(into)]
    title: Signal<String>,
    /// The page above it.
    #[prop(optional, into)]
    back: Option<Route>,
    /// Beside the title: pills, buttons.
    #[prop(optional, into)]
    end: ViewFnOnce,
    /// Below what scrolls.
    #[prop(optional, into)]
    foot: ViewFnOnce,
    /// What scrolls. Kept by pages that follow its end.
    #[prop(optional)]
    scroller: NodeRef<html::Div>,
    /// It was scrolled.
    #[prop(optional, into)]
    on_scroll: Option<Callback<()>>,
    /// What it holds.
    children: Children,
) -> impl IntoView {
    let (routes, wide) = (Routes::take(), Wide::take().0);
    let open = use_context::<Account>();
    let state = move || {
        (!wide.get()).then(|| {
            let press = move || {
                if let Some(Account(open)) = open {
                    open.set(true);
                }
            };
            view! { <IconButton label="Account" icon=Glyph::People on_press=press/> }
        })
    };
    let (back, gone_to) = (back.map(|back| back.href()), routes.was_moved());
    view! { <Frame title back end state foot scroller on_scroll gone_to children/> }
}

/// The window's title: what waits, where, in which tenant.
fn name_the_window(central: Central, routes: Routes) {
    Effect::new(move |_| {
        let place = routes.current().part().name();
        let tenant = central.me().map(|me| me.tenant.name).unwrap_or_default();
        document().set_title(&match central.waiting_count() {
            0 => format!("{place} · {tenant} · Lanyard"),
            waiting => format!("({waiting}) {place} · {tenant} · Lanyard"),
        });
    });
}
