//! The sessions of the host: what waits first, then what is under way, then the rest; and a box for the next task.

mod attach;
pub(crate) mod composer;
mod options;
mod search;

use lanyard_protocol::id::SessionId;
use lanyard_protocol::principal::Scope;
use lanyard_web_state::sessions::draft::{Example, examples};
use lanyard_web_state::sessions::{Groups, detail, standing, title};
use lanyard_web_ui::{Button, Clock, Empty, Kind, Pill, Row, Section, Tone, Waiting, Wide};
use lanyard_web_view::{For, View, component, view};
use leptos::prelude::*;

use crate::pages::session::tone;
use crate::route::Route;
use crate::shell::Page;
use crate::store::Store;

use composer::{Composer, Start};
use options::Offers;
use search::{Found, Search};

/// The list, and below it the box; on a wide screen the box is in the middle ([`Begin`]).
#[component]
pub(crate) fn Sessions() -> impl IntoView {
    let store = Store::take();
    let wide = Wide::take().0;
    let start = Start::fresh();
    let query = RwSignal::new(String::new());
    let name = move || store.host_name();
    let sought = Memo::new(move |_| query.with(|query| !query.trim().is_empty()));
    let list = move || {
        if sought.get() {
            view! { <Found query/> }
        } else {
            view! { <List start/> }
        }
    };
    let foot = move || {
        let compose = move || (!wide.get()).then(|| view! { <Composer start/> });
        view! { {compose} }
    };
    view! {
        <Page title=Signal::derive(name) foot>
            <div class="stack sessions">
                <Asks/>
                <Search query/>
                {list}
            </div>
        </Page>
    }
}

/// The middle of a wide screen while no session is open: the box, and something to begin with.
#[component]
pub(crate) fn Begin() -> impl IntoView {
    let start = Start::fresh();
    let foot = move || view! { <Composer start/> };
    view! {
        <Page title="A new task" foot>
            <Examples start/>
        </Page>
    }
}

/// The way to what waits for a person: first and largest.
#[component]
fn Asks() -> impl IntoView {
    let store = Store::take();
    let wide = Wide::take().0;
    let clock = Clock::take();
    let count = Memo::new(move |_| store.approvals.with(|approvals| approvals.waiting().len()));
    let soonest = Memo::new(move |_| {
        store.approvals.with(|approvals| approvals.waiting().iter().map(|question| question.deadline).min())
    });
    let detail = Signal::derive(move || {
        let deadline = soonest.get()?;
        let now = store.approvals.with(|approvals| approvals.host_time(clock.now()));
        Some(format!(
            "the first counts as denied in {}",
            lanyard_web_state::words::left(deadline.millis_since(now))
        ))
    });
    let title = Signal::derive(move || match count.get() {
        1 => "1 approval waits for you".to_owned(),
        count => format!("{count} approvals wait for you"),
    });
    // Beside the list of a wide screen they are there in full.
    let shown = Memo::new(move |_| count.get() > 0 && !wide.get());
    move || {
        shown.get().then(|| {
            view! {
                <div class="asks tabular">
                    <Row title detail href=Route::Approvals.href() tone=Tone::Ask>
                        <Pill tone=Tone::Ask>"Review"</Pill>
                    </Row>
                </div>
            }
        })
    }
}

#[component]
fn List(start: Start) -> impl IntoView {
    let store = Store::take();
    let groups = Memo::new(move |_| store.sessions.with(|sessions| sessions.groups()));
    let loaded = Memo::new(move |_| store.sessions.with(|sessions| sessions.is_loaded()));
    let empty = Memo::new(move |_| groups.with(Groups::is_empty));
    let more = Memo::new(move |_| store.sessions.with(|sessions| sessions.next().is_some()));
    let wide = Wide::take().0;
    let busy = RwSignal::new(false);
    let fetch = move || {
        busy.set(true);
        leptos::task::spawn_local(async move {
            if let Err(failed) = store.more_sessions().await {
                store.warn(failed.said);
            }
            let _ = busy.try_set(false);
        });
    };
    move || {
        match (empty.get(), loaded.get()) {
            (true, false) => view! { <Waiting what="Asking the host"/> },
            // A wide screen has the examples in its middle.
            (true, true) if wide.get() => view! { <p class="soft">"No sessions yet."</p> },
            (true, true) => view! { <Examples start/> },
            _ => view! {
                <Group title="Waits for you" ids=Signal::derive(move || groups.with(|groups| groups.waits.clone()))/>
                <Group title="Now" ids=Signal::derive(move || groups.with(|groups| groups.now.clone()))/>
                <Group title="Earlier" ids=Signal::derive(move || groups.with(|groups| groups.earlier.clone()))/>
                {move || more.get().then(|| view! { <Button kind=Kind::Quiet busy on_press=fetch>"Earlier sessions"</Button> })}
            },
        }
    }
}

#[component]
fn Group(title: &'static str, #[prop(into)] ids: Signal<Vec<SessionId>>) -> impl IntoView {
    let empty = Memo::new(move |_| ids.with(Vec::is_empty));
    move || {
        (!empty.get()).then(|| {
            view! {
                <Section title=title>
                    <div class="stack" role="list">
                        <For each=move || ids.get() key=Clone::clone children=|id| view! { <Line id/> }/>
                    </div>
                </Section>
            }
        })
    }
}

/// One session of the store.
#[component]
fn Line(id: SessionId) -> impl IntoView {
    let store = Store::take();
    let clock = Clock::take();
    let key = id.clone();
    // Rows change by themselves, not with the list.
    let row = Memo::new(move |_| store.sessions.with(|sessions| sessions.get(&key).cloned()));
    let name = Signal::derive(move || row.with(|row| row.as_ref().map(title)).unwrap_or_default());
    let below =
        Memo::new(move |_| row.with(|row| row.as_ref().map(|row| detail(row, clock.now(), clock.zone()))));
    let pill = Memo::new(move |_| row.with(|row| row.as_ref().map(standing)));
    let own = id.clone();
    let current = Signal::derive(move || store.open.with(|open| open.as_ref() == Some(&own)));
    let href = Route::Session(id).href();
    view! {
        <div role="listitem">
            <Row title=name detail=Signal::derive(move || below.get()) href current>
                {move || pill.get().map(|standing| view! { <Pill tone=tone(standing)>{standing.word()}</Pill> })}
            </Row>
        </div>
    }
}

/// Three tasks for this machine: a press puts one into the box.
#[component]
fn Examples(start: Start) -> impl IntoView {
    let store = Store::take();
    let offers = start.offers.unwrap_or_else(|| Offers::fetch(store));
    let shown = move || {
        // They come once, as they stay.
        if !offers.are_here() {
            return view! { <Waiting what="Asking the host"/> };
        }
        let tasks = offers
            .workspaces
            .with(|workspaces| examples(workspaces.as_deref().unwrap_or_default(), offers.is_demo()));
        let row = |example: Example| {
            let (prompt, place) = (example.prompt.clone(), example.workspace.clone());
            let at = place.map(|path| lanyard_web_state::words::path_end(&path));
            let press = Callback::new(move |()| start.take_example(&example));
            view! { <Row title=prompt detail=at on_press=press wrap=true/> }
        };
        View::all(tasks.map(row).into_iter().collect())
    };
    let may = move || store.holds(Scope::Operate);
    move || {
        if may() {
            view! {
                <Empty title="What should this machine do?">
                    <p>"Say it below, or begin with one of these."</p>
                    <div class="stack examples">{shown}</div>
                </Empty>
            }
        } else {
            view! { <Empty title="No sessions yet"><p>"Sessions that others start appear here."</p></Empty> }
        }
    }
}
