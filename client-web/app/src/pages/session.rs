//! One session, live: its timeline, what it asks, what it changed, and the next task.

mod changes;
mod feed;
mod follow;
mod menu;
mod output;

use std::sync::Arc;

use lanyard_protocol::id::{SessionId, TaskId};
use lanyard_protocol::method::{CancelTask, ResumeSession};
use lanyard_protocol::principal::Scope;
use lanyard_web_state::sessions::{Standing, standing, title};
use lanyard_web_state::timeline::Activity;
use lanyard_web_state::words;
use lanyard_web_ui::timeline::{Extras, Look, RowView};
use lanyard_web_ui::{Button, Clock, Empty, Glyph, IconButton, Kind, Pill, Problem, Tone, Waiting, Wide};
use lanyard_web_view::{For, component, view};
use leptos::html;
use leptos::prelude::*;

use crate::pages::approvals::ApprovalCard;
use crate::pages::sessions::composer::{Composer, Start};
use crate::route::Route;
use crate::shell::Page;
use crate::store::Store;

use changes::Changes;
use feed::{Feed, Loading};
use follow::Follow;

/// See the module.
#[component]
pub(crate) fn Session(id: SessionId) -> impl IntoView {
    let store = Store::take();
    let feed = Feed::open(store, id.clone());
    let scroller = NodeRef::<html::Div>::new();
    let follow = Follow::new(feed, scroller);
    let changes = RwSignal::new(None::<Look>);
    let menu = RwSignal::new(false);
    // What was typed outlives the tasks that come between.
    let start = Start::next();
    provide_context(feed);
    provide_context(Extras {
        whole: Callback::new(|(entry,)| view! { <output::Whole entry/> }),
        changes,
        kept: Signal::stored(None),
    });
    store.open.set(Some(id.clone()));
    on_cleanup(move || store.open.set(None));
    let row_id = id.clone();
    let name = Memo::new(move |_| {
        let listed = store.sessions.with(|sessions| sessions.get(&row_id).map(title));
        listed.unwrap_or_else(|| feed.name.get().unwrap_or_else(|| "Session".to_owned()))
    });
    let end = move || view! { <Head id=id.clone() menu/> };
    let foot = move || view! { <Foot follow start/> };
    view! {
        <Page title=name back=Route::Sessions end=end foot=foot scroller>
            <Body feed follow/>
        </Page>
        <menu::Menu open=menu changes/>
        <Changes shown=changes/>
    }
}

/// Beside the name: how it stands, and what else can be done.
#[component]
fn Head(id: SessionId, menu: RwSignal<bool>) -> impl IntoView {
    let store = Store::take();
    let feed = Feed::take();
    let row = Memo::new(move |_| {
        store.sessions.with(|sessions| sessions.get(&id).map(|row| (standing(row), row.state.is_final())))
    });
    let pill = Memo::new(move |_| {
        let step = feed.course.with(|course| course.step());
        match (feed.activity.get(), step) {
            (Activity::Asking(_), _) => (Tone::Ask, "asks".to_owned()),
            (Activity::Paused(_), _) => (Tone::Ask, "paused".to_owned()),
            (Activity::Idle | Activity::Over, _) => row.get().map_or_else(
                || (Tone::Plain, String::new()),
                |(standing, _)| (tone(standing), standing.word().to_owned()),
            ),
            (_, Some((step, _))) => (Tone::Run, format!("step {step}")),
            (_, None) => (Tone::Run, "running".to_owned()),
        }
    });
    let shown = move || {
        let (tone, word) = pill.get();
        (!word.is_empty()).then(|| view! { <Pill tone=tone>{word}</Pill> })
    };
    view! {
        <span class="tabular">{shown}</span>
        <IconButton label="More" icon=Glyph::More on_press=move || menu.set(true)/>
    }
}

/// The colour of a standing.
pub(crate) fn tone(standing: Standing) -> Tone {
    match standing {
        Standing::Asks | Standing::Paused => Tone::Ask,
        Standing::Running => Tone::Run,
        Standing::Denied | Standing::Failed => Tone::Bad,
        Standing::New | Standing::Done | Standing::Cancelled => Tone::Plain,
    }
}

/// The timeline.
#[component]
fn Body(feed: Feed, follow: Follow) -> impl IntoView {
    let loading = Memo::new(move |_| feed.loading.with(|loading| loading.kind()));
    let shown = move || match loading.get() {
        feed::Kind::Awaited => view! { <Waiting what="Fetching the session"/> },
        feed::Kind::Failed => view! { <Unreachable feed/> },
        feed::Kind::Gone => view! {
            <Empty title="This session is not on the host any more">
                <p>"It was deleted, with its history and outputs."</p>
                <a class="button" href=Route::Sessions.href()>"To the sessions"</a>
            </Empty>
        },
        feed::Kind::Here => view! { <Items feed follow/> },
    };
    // What is asked covers the end; there is room to scroll it into sight.
    let covered = move || format!("{}px", follow.covered());
    view! { <div class="timeline" node_ref=follow.content() style:padding-bottom=covered>{shown}</div> }
}

#[component]
fn Unreachable(feed: Feed) -> impl IntoView {
    let failed = move || match feed.loading.get() {
        Loading::Failed(failed) => failed,
        _ => crate::store::Failed::ended(),
    };
    view! {
        <Problem
            title="The session could not be read"
            meaning=Signal::derive(move || failed().said)
            code=Signal::derive(move || failed().code_text())
        >
            <Button on_press=move || feed.load()>"Try again"</Button>
        </Problem>
    }
}

#[component]
fn Items(feed: Feed, follow: Follow) -> impl IntoView {
    let empty = Memo::new(move |_| feed.order.with(Vec::is_empty));
    let earlier = move || {
        feed.earlier.get().then(|| {
            view! {
                <div class="timeline-edge">
                    <Button kind=Kind::Quiet busy=feed.fetching on_press=move || follow.load_earlier()>
                        "Earlier steps"
                    </Button>
                </div>
            }
        })
    };
    let none = move || {
        empty.get().then(
            || view! { <Empty title="No task yet"><p>"Say below what this machine should do."</p></Empty> },
        )
    };
    view! {
        {earlier}
        <For each=move || feed.order.get() key=|no| *no children=move |no| view! { <RowView no/> }/>
        {none}
        <Announced feed/>
    }
}

/// For screen readers: what began and ended, not every word.
#[component]
fn Announced(feed: Feed) -> impl IntoView {
    let said = Memo::new(move |_| match feed.activity.get() {
        Activity::Asking(1) => "The task asks for an approval".to_owned(),
        Activity::Asking(count) => format!("The task asks for {count} approvals"),
        Activity::Paused(why) => format!("Paused: {why}"),
        Activity::Idle => "No task is under way".to_owned(),
        Activity::Over => "The session has ended".to_owned(),
        _ => match feed.course.with(|course| course.step()) {
            Some((step, _)) => format!("Step {step}"),
            None => String::new(),
        },
    });
    view! { <p class="unseen" role="status">{move || said.get()}</p> }
}

/// Below what scrolls: the way back to the end, what is asked, the next task.
#[component]
fn Foot(follow: Follow, start: Start) -> impl IntoView {
    let store = Store::take();
    let feed = Feed::take();
    let wide = Wide::take().0;
    let id = feed.id();
    let asked = Memo::new(move |_| {
        store.approvals.with(|approvals| {
            let waiting = approvals.of_session(&id).filter_map(|question| question.record.clone());
            waiting.map(ByPointer).next()
        })
    });
    // A wide screen shows what waits beside the session; twice would be two places to press.
    let question = move || {
        (!wide.get()).then(|| asked.get()).flatten().map(|ByPointer(record)| {
            view! { <Asked record follow/> }
        })
    };
    let below = move || {
        follow.behind().then(|| {
            view! {
                <button type="button" class="below" on:click=move |_| follow.to_end()>
                    {move || if feed.detached.get() { "Back to the latest" } else { "New below" }}
                    <lanyard_web_ui::Icon name=Glyph::Down/>
                </button>
            }
        })
    };
    let stands = Memo::new(move |_| Stands::of(feed));
    let compose = move || match stands.get() {
        Stands::Busy(task) => view! { <Busy task/> },
        Stands::Paused(task, why) => view! { <Paused task why/> },
        Stands::Over => view! {
            <div class="session-over">
                <p class="soft">"This session has ended; its history stays."</p>
                <a class="button" href=Route::Sessions.href()>"To the sessions"</a>
            </div>
        },
        Stands::Free => view! { <Composer start session=feed.id()/> },
    };
    view! {
        <div class="session-foot">
            <div class="below-place">{below}</div>
            {question}
            {compose}
        </div>
    }
}

/// What is asked, over the end of the timeline.
#[component]
fn Asked(record: Arc<lanyard_protocol::approval::ApprovalRecord>, follow: Follow) -> impl IntoView {
    on_cleanup(move || follow.uncovered());
    view! {
        <div class="session-asks" node_ref=follow.cover()>
            <div class="session-asks-scroll"><ApprovalCard record/></div>
        </div>
    }
}

/// The same record is the same question.
#[derive(Debug, Clone)]
struct ByPointer(Arc<lanyard_protocol::approval::ApprovalRecord>);

impl PartialEq for ByPointer {
    fn eq(&self, other: &Self) -> bool {
        self.0.request.approval_id == other.0.request.approval_id
    }
}

/// What can be done next.
#[derive(Debug, Clone, PartialEq)]
enum Stands {
    Free,
    Busy(TaskId),
    Paused(TaskId, String),
    Over,
}

impl Stands {
    fn of(feed: Feed) -> Self {
        let task = feed.course.with(|course| course.task().cloned());
        match (feed.activity.get(), task) {
            (Activity::Over, _) => Self::Over,
            (Activity::Paused(why), Some(task)) => Self::Paused(task, why),
            (Activity::Idle, _) | (_, None) => Self::Free,
            (_, Some(task)) => Self::Busy(task),
        }
    }
}

/// Cancels a task, for those who may.
#[component]
fn Cancel(task: TaskId) -> impl IntoView {
    let store = Store::take();
    let feed = Feed::take();
    let busy = RwSignal::new(false);
    let press = move || {
        let call = CancelTask { session_id: feed.id(), task_id: task.clone(), command_id: None };
        store.tell(busy, call, |_| {});
    };
    let label = move || if busy.get() { "Cancelling" } else { "Cancel" };
    view! { <Button kind=Kind::Danger busy disabled=Signal::derive(move || !store.holds(Scope::Operate)) on_press=press>{label}</Button> }
}

/// What happens at this moment, and the way to end it. Its place is the box's: nothing moves when a task begins or ends.
#[component]
fn Busy(task: TaskId) -> impl IntoView {
    let feed = Feed::take();
    let clock = Clock::take();
    let said = Memo::new(move |_| match feed.activity.get() {
        Activity::Thinking => "thinking".to_owned(),
        Activity::Writing => "writing".to_owned(),
        Activity::Running(1) => "one call runs".to_owned(),
        Activity::Running(count) => format!("{count} calls run"),
        Activity::Asking(1) => "waits for an answer".to_owned(),
        Activity::Asking(count) => format!("waits for {count} answers"),
        Activity::Retrying(until) => match until.millis_since(clock.now()) {
            0 => "asking the model again".to_owned(),
            left => format!("the model is asked again in {}", words::left(left)),
        },
        Activity::Working | Activity::Idle | Activity::Over | Activity::Paused(_) => "working".to_owned(),
    });
    view! {
        <div class="session-busy">
            <div class="grow">
                <p class="now" aria-hidden="true">
                    <span class="now-dots"><i></i><i></i><i></i></span>
                    <span class="tabular">{move || words::sentence(&said.get())}</span>
                </p>
                <p class="soft">"The next task can be given when this one has ended."</p>
            </div>
            <Cancel task/>
        </div>
    }
}

#[component]
fn Paused(task: TaskId, why: String) -> impl IntoView {
    let store = Store::take();
    let feed = Feed::take();
    let busy = RwSignal::new(false);
    let resume = move || {
        let call = ResumeSession { session_id: feed.id(), checkpoint_cursor: None };
        store.tell(busy, call, |_| {});
    };
    let cannot = Signal::derive(move || !store.holds(Scope::Operate));
    view! {
        <div class="session-paused">
            <p>"Paused: " {why}</p>
            <div class="buttons">
                <Cancel task/>
                <Button kind=Kind::Primary busy disabled=cannot on_press=resume>"Resume"</Button>
            </div>
        </div>
    }
}
