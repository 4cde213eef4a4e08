//! The frame around every page: navigation, connection state, notes; what to show while the page is not paired, and when
//! it is over.
//!
//! On phones one page fills the screen above four tabs. From [`WIDE`] on there are three columns: where one can go and the
//! sessions, what is open, and what waits beside it.

mod connection;
mod ended;
mod keys;
mod page;

use lanyard_web_ui::{Clock, Glyph, KeyHelp, Problem, Returns, SkipLink, TabLink, Toasts, Waiting, Wide};
use lanyard_web_view::{Effect, View, component, view};
use leptos::context::Provider;
use leptos::prelude::*;

use crate::pages;
use crate::route::{Route, Routes, Tab};
use crate::store::{Phase, Store};

pub(crate) use connection::Connection;
pub(crate) use page::Page;

/// From this width on there is room for three columns.
const WIDE: &str = "(min-width: 1000px)";

/// The whole page.
#[component]
pub(crate) fn App() -> impl IntoView {
    Clock::provide();
    Returns::provide();
    let routes = Routes::provide();
    Wide::provide(WIDE);
    let store = Store::provide();
    name_the_window(store, routes);
    crate::notify::watch(store, routes);
    let paired = Memo::new(move |_| store.phase.with(|phase| matches!(phase, Phase::Paired)));
    let over = Memo::new(move |_| store.ending());
    let shown = move || {
        #[cfg(debug_assertions)]
        if routes.current() == Route::Gallery {
            return view! { <crate::gallery::Gallery/> };
        }
        if paired.get() {
            return match over.get() {
                Some(ending) => view! { <ended::Ended ending/> },
                None => view! { <Columns/> },
            };
        }
        match store.phase.get() {
            Phase::Opening | Phase::Paired => {
                view! { <main class="opening"><Waiting what="Opening"/></main> }
            }
            Phase::Join(invitation) => view! { <pages::join::Join invitation/> },
            Phase::Broken(why) => view! { <Broken why/> },
        }
    };
    view! {
        {shown}
        <Toasts notes=store.notes/>
    }
}

/// The browser's storage is of no use.
#[component]
fn Broken(why: String) -> impl IntoView {
    let store = Store::take();
    view! {
        <main class="full-page">
            <h1 class="unseen">"Lanyard"</h1>
            <Problem
                title="This browser cannot keep the pairing"
                meaning="Without it this device cannot show the host who it is. The host and its sessions are not affected."
                code=why
            >
                <lanyard_web_ui::Button kind=lanyard_web_ui::Kind::Primary on_press=move || store.forget()>
                    "Pair again"
                </lanyard_web_ui::Button>
            </Problem>
        </main>
    }
}

/// Everything a paired page shows.
#[component]
fn Columns() -> impl IntoView {
    let routes = Routes::take();
    let wide = Wide::take().0;
    let help = RwSignal::new(false);
    keys::listen(routes, help);
    let place = Memo::new(move |_| routes.current());
    let middle = move || match place.get() {
        Route::Sessions if wide.get() => view! { <pages::sessions::Begin/> },
        route => page_of(route),
    };
    let tab = Memo::new(move |_| place.get().tab());
    let left = move || {
        wide.get().then(|| {
            view! {
                <aside class="column column-left" aria-label="Sessions">
                    <SideHead/>
                    <Provider value=page::Aside>
                        <pages::sessions::Sessions/>
                    </Provider>
                </aside>
            }
        })
    };
    // What waits is beside what is worked on; on its own page it would be there twice.
    let right = move || {
        (wide.get() && tab.get() == Tab::Sessions).then(|| {
            view! {
                <aside class="column column-right" aria-label="Approvals">
                    <Provider value=page::Aside>
                        <pages::approvals::Approvals/>
                    </Provider>
                </aside>
            }
        })
    };
    view! {
        <SkipLink says="To the content"/>
        <div class="columns" class:columns-wide=move || wide.get() class:columns-two=move || tab.get() != Tab::Sessions>
            {left}
            <main class="column column-middle" id="main" tabindex="-1">{middle}</main>
            {right}
        </div>
        {move || (!wide.get()).then(|| view! { <Tabs/> })}
        <KeyHelp open=help keys=keys::KEYS/>
    }
}

fn page_of(route: Route) -> View {
    match route {
        Route::Sessions | Route::Join => view! { <pages::sessions::Sessions/> },
        Route::Session(id) => view! { <pages::session::Session id/> },
        Route::Approvals => view! { <pages::approvals::Approvals/> },
        Route::Approval(id) => view! { <pages::approvals::Approval id/> },
        Route::Files(path) => view! { <pages::files::Files path/> },
        Route::Host => view! { <pages::host::Host/> },
        Route::Health => view! { <pages::host::Health/> },
        Route::Devices => view! { <pages::host::Devices/> },
        Route::Pairings => view! { <pages::host::Pairings/> },
        Route::Policy => view! { <pages::host::Policy/> },
        Route::Hosts => view! { <pages::hosts::Hosts/> },
        Route::Settings => view! { <pages::settings::Settings/> },
        #[cfg(debug_assertions)]
        Route::Gallery => view! { <crate::gallery::Gallery/> },
    }
}

fn glyph(tab: Tab) -> Glyph {
    match tab {
        Tab::Sessions => Glyph::Sessions,
        Tab::Approvals => Glyph::Approvals,
        Tab::Files => Glyph::Files,
        Tab::Host => Glyph::Host,
    }
}

/// The way to a tab, and how many questions wait behind it.
fn tab_link(tab: Tab) -> View {
    let (store, routes) = (Store::take(), Routes::take());
    let count = Signal::derive(move || match tab {
        Tab::Approvals => store.approvals.with(|approvals| approvals.waiting().len()),
        Tab::Sessions | Tab::Files | Tab::Host => 0,
    });
    let current = Signal::derive(move || routes.current().tab() == tab);
    view! { <TabLink href=tab.route().href() icon=glyph(tab) name=tab.name() count current/> }
}

/// Along the lower edge of a phone.
#[component]
fn Tabs() -> impl IntoView {
    let links = Tab::ALL.map(tab_link).collect_view();
    view! { <nav class="tabs" aria-label="Main">{links}</nav> }
}

/// At the head of the left column of a wide screen.
#[component]
fn SideHead() -> impl IntoView {
    let store = Store::take();
    let links = Tab::ALL.map(tab_link).collect_view();
    view! {
        <div class="side-head">
            <div class="side-host">
                <a class="side-name" href=Route::Hosts.href()>{move || store.host_name()}</a>
                <Connection/>
            </div>
            <nav class="side-nav" aria-label="Main">{links}</nav>
        </div>
    }
}

/// The window's title: what waits, where, on which host. Pages do not change it.
fn name_the_window(store: Store, routes: Routes) {
    Effect::new(move |_| {
        let waiting = store.approvals.with(|approvals| approvals.waiting().len());
        let place = routes.current().tab().name();
        let host = store.host_name();
        document().set_title(&match waiting {
            0 => format!("{place} · {host}"),
            _ => format!("({waiting}) {place} · {host}"),
        });
    });
}
