//! One session: its timeline as it happens, its tasks, and what can be done about it.

mod changes;
mod feed;
mod history;
mod output;

use lanyard_governance_api::endpoint::{CancelSession, GetSession, ListTasks, RenameSession};
use lanyard_governance_api::page::{Nothing, PageQuery};
use lanyard_governance_api::people::Role;
use lanyard_governance_api::session::{CancelRequest, CentralTask, RenameRequest, SessionInfo};
use lanyard_protocol::id::SessionId;
use lanyard_protocol::session::{CompatibilityStatus, SessionState};
use lanyard_web_state::visible::{Marks, line};
use lanyard_web_state::words::{count, exact, sentence};
use lanyard_web_ui::timeline::{Extras, RowView};
use lanyard_web_ui::{
    Ago, Button, Card, Clock, Dot, Field, Glyph, IconButton, KeyValue, Kind, LinkRow, Problem, Section,
    Sheet, Tone, Waiting,
};
use lanyard_web_view::{Content, Effect, For, View, component, view};
use leptos::html;
use leptos::prelude::*;

use super::sessions::name;
use crate::api;
use crate::central::Central;
use crate::parts::{Reasoned, State, loaded, pill};
use crate::poll::Poll;
use crate::route::Route;
use crate::shell::Page;
use crate::who::Who;
use crate::words;
use changes::{Changes, Kept};
use feed::{Feed, Loading};

/// Pixels from the end that still count as the end: half a line of a zoomed page.
const NEAR_END: i32 = 24;

/// Tasks listed; the timeline has the rest.
const TASKS: u32 = 50;

/// See the module.
#[component]
pub(crate) fn Session(id: SessionId) -> impl IntoView {
    let (asked, of_feed, of_menu) = (id.clone(), id.clone(), id);
    let session = Poll::start(move || {
        let id = asked.clone();
        async move { api::get::<GetSession>(&[id.as_str()], &Nothing {}).await }
    });
    let title = Signal::derive(move || {
        session.now.with(|now| now.as_ref().map(name)).unwrap_or_else(|| "Session".to_owned())
    });
    let menu = RwSignal::new(false);
    let end = move || {
        let state = Memo::new(move |_| session.now.with(|now| now.as_ref().map(|session| session.state)));
        view! {
            {move || state.get().map(|state| pill(words::session(state)))}
            <IconButton label="About this session" icon=Glyph::More on_press=move || menu.set(true)/>
        }
    };
    let scroller = NodeRef::<html::Div>::new();
    let who = Who::provide();
    let feed = Feed::open(of_feed);
    let (kept, look) = (Kept::follow(session), RwSignal::new(None));
    provide_context(Extras {
        whole: Callback::new(|(entry,)| view! { <output::Whole entry/> }),
        changes: look,
        kept: kept.tasks(),
    });
    Effect::new(move |_| {
        let over = session.now.with(|now| now.as_ref().is_some_and(|now| now.state.is_final()));
        feed.over.maybe_update(|was| std::mem::replace(was, over) != over);
    });
    let (to_end, scrolled) = follow_end(feed, scroller);
    let foot = move || view! { <Below feed to_end/> };
    view! {
        <Page title back=Route::Sessions(None) end=end foot=foot scroller on_scroll=scrolled>
            <State poll=session what="the session"/>
            {move || session.now.get().map(|session| view! { <Standing session/> })}
            <Items feed session/>
        </Page>
        <About id=of_menu open=menu session who/>
        <Changes kept look/>
    }
}

/// Why it stands still, where it does.
#[component]
fn Standing(session: SessionInfo) -> impl IntoView {
    let reason = session.reason.as_deref().map(|reason| line(reason, Marks::Missing).into_owned());
    let unfit = (session.compatibility_status != CompatibilityStatus::Compatible).then(|| {
        view! {
            <Problem
                waits=true
                title="Host and policy do not fit each other"
                meaning="The session got no policy, so it does nothing. The reason below says what is missing: usually the host must be updated, or the policy asks for tools it does not have."
            />
        }
    });
    let paused = (session.state == SessionState::SessionPaused).then(|| {
        let meaning = reason.clone().unwrap_or_else(|| "The host did not say why.".to_owned());
        view! { <Problem waits=true title="It is paused" meaning=sentence(&meaning)/> }
    });
    let over = matches!(session.state, SessionState::SessionFailed | SessionState::SessionCancelled);
    let over = over.then(|| {
        let title =
            if session.state == SessionState::SessionFailed { "It failed" } else { "It was cancelled" };
        view! { <Problem title meaning=reason.clone().unwrap_or_else(|| "No reason was given.".to_owned())/> }
    });
    let job = session.job_id.clone().map(|job| {
        view! { <p class="soft">"It was opened for " <a href=Route::Job(job).href()>"a job"</a> "."</p> }
    });
    view! { {unfit} {paused} {over} {job} }
}

/// The timeline; where none is sent, the history.
#[component]
fn Items(feed: Feed, session: Poll<SessionInfo>) -> impl IntoView {
    let place = Memo::new(move |_| {
        session.now.with(|now| now.as_ref().map(|now| (now.workspace_id.clone(), now.session_id.clone())))
    });
    let empty = Memo::new(move |_| feed.is_empty());
    let stopped = Memo::new(move |_| {
        let last = session.now.with(|now| Some(now.as_ref()?.last_task.as_ref()?.started_at));
        feed.news.track();
        // A task begins with an event of its own: where there is none, events have not been sent.
        last.zip(feed.last_at()).is_some_and(|(begun, at)| begun > at)
    });
    let ended = Memo::new(move |_| session.now.with(|now| now.as_ref()?.last_task.as_ref()?.ended_at));
    let loading = Memo::new(move |_| feed.loading.get());
    move || match loading.get() {
        Loading::Awaited => view! { <Waiting what="Fetching the timeline"/> },
        Loading::Failed(failed) => view! {
            <Problem title="The timeline could not be read" meaning=failed.said code=failed.code>
                <Button on_press=move || feed.load()>"Try again"</Button>
            </Problem>
        },
        Loading::Here if empty.get() => place
            .get()
            .map(|(workspace, session)| view! { <history::History workspace session ended/> })
            .view(),
        Loading::Here => view! {
            <h2 class="unseen">"Timeline"</h2>
            <div class="timeline">
                {move || feed.earlier.get().then(|| view! {
                    <div class="timeline-edge">
                        <Button kind=Kind::Quiet busy=feed.fetching on_press=move || feed.fetch_earlier()>"Earlier steps"</Button>
                    </div>
                })}
                <For each=move || feed.order.get() key=|no| *no children=move |no| view! { <RowView no/> }/>
            </div>
            {move || stopped.get().then(|| place.get()).flatten().map(|(workspace, session)| view! {
                <Problem
                    waits=true
                    title="The timeline ends here"
                    meaning="What came after was not sent: the policy does not want the live timeline any more, or it has become too long. The thread is stored after each task."
                />
                <history::History workspace session ended/>
            })}
        },
    }
}

/// Keeps the end in sight until the reader scrolls up. Gives what leads back to it, and what is to be told of scrolling.
fn follow_end(feed: Feed, scroller: NodeRef<html::Div>) -> (Callback<()>, Callback<()>) {
    let stick = move || {
        if let Some(scroller) = scroller.try_get_untracked().flatten()
            && feed.following.try_get_untracked() == Some(true)
        {
            scroller.set_scroll_top(scroller.scroll_height());
        }
    };
    Effect::new(move |_| {
        feed.news.track();
        request_animation_frame(stick);
    });
    let to_end = Callback::new(move |()| {
        feed.to_end();
        stick();
    });
    let scrolled = Callback::new(move |()| {
        let Some(place) = scroller.get_untracked() else { return };
        let at_end = place.scroll_height() - place.scroll_top() - place.client_height() <= NEAR_END;
        feed.following.maybe_update(|following| {
            let other = *following != at_end;
            *following = at_end;
            other
        });
    });
    (to_end, scrolled)
}

/// Below what scrolls: whether it is live, and the way back to the end.
#[component]
fn Below(feed: Feed, to_end: Callback<()>) -> impl IntoView {
    let here = Memo::new(move |_| feed.loading.with(|loading| *loading == Loading::Here) && !feed.is_empty());
    let tone = Signal::derive(move || if feed.live.get() { Tone::Good } else { Tone::Plain });
    let says = move || match (feed.over.get(), feed.live.get()) {
        (true, _) => "The session has ended",
        (false, true) => "Live",
        (false, false) => "Not live: connecting again",
    };
    move || {
        here.get().then(|| {
            view! {
                <div class="live-line">
                    <Dot tone/>
                    <span>{says}</span>
                    <span class="grow"></span>
                    {move || (!feed.following.get()).then(|| view! {
                        <Button kind=Kind::Quiet on_press=move || to_end.run(())>"To the end"</Button>
                    })}
                </div>
            }
        })
    }
}

/// What is known of it, its tasks, and what can be done.
#[component]
fn About(id: SessionId, open: RwSignal<bool>, session: Poll<SessionInfo>, who: Who) -> impl IntoView {
    let central = Central::take();
    let clock = Clock::take();
    let id = StoredValue::new(id);
    let (ending, renaming, busy) = (RwSignal::new(false), RwSignal::new(false), RwSignal::new(false));
    let facts = Signal::derive(move || {
        session.now.with(|now| now.as_ref().map(|now| facts(now, who, clock))).unwrap_or_default()
    });
    let is_open =
        Memo::new(move |_| session.now.with(|now| now.as_ref().is_some_and(|now| !now.state.is_final())));
    let host = move || {
        let host = session.now.with(|now| now.as_ref().map(|now| now.agent_id.clone()));
        host.map(|host| view! { <LinkRow title="Its host" href=Route::Host(host).href() icon=Glyph::Host/> })
    };
    let cancel = move |(reason,): (String,)| {
        let id = id.get_value();
        let what = async move {
            api::call::<CancelSession>(&[id.as_str()], &Nothing {}, &CancelRequest { reason }).await
        };
        central.tell(busy, what, move |changed| {
            ending.set(false);
            session.told(changed);
            central.say("The session is cancelled. Its host hears of it now.");
        });
    };
    view! {
        <Sheet open title="About this session" on_close=move || open.set(false)>
            <KeyValue rows=facts/>
            {host}
            <LinkRow title="Its audit records" href=Route::Audit(Some(id.get_value())).href() icon=Glyph::Record/>
            {move || open.get().then(|| view! { <Tasks id=id.get_value()/> })}
            {move || central.may(Role::Admin).then(|| view! {
                <Button on_press=move || { open.set(false); renaming.set(true); }>"Rename it"</Button>
            })}
            {move || (is_open.get() && central.may(Role::Approver)).then(|| view! {
                <Button kind=Kind::Danger on_press=move || { open.set(false); ending.set(true); }>"Cancel the session"</Button>
            })}
        </Sheet>
        <Reasoned
            open=ending
            title="Cancel this session?"
            meaning="Running calls end, and no further task can be given to it. What it has changed stays as it is. Whoever works in it is told why."
            act="Cancel the session"
            busy
            on_act=cancel
        />
        <Rename id=id.get_value() open=renaming session/>
    }
}

#[component]
fn Rename(id: SessionId, open: RwSignal<bool>, session: Poll<SessionInfo>) -> impl IntoView {
    let central = Central::take();
    let typed = RwSignal::new(String::new());
    let busy = RwSignal::new(false);
    Effect::new(move |_| {
        if open.get() {
            typed.set(session.now.with_untracked(|now| now.as_ref().map(name)).unwrap_or_default());
        }
    });
    let id = StoredValue::new(id);
    let act = move || {
        let id = id.get_value();
        let body = RenameRequest { name: typed.get_untracked().trim().to_owned() };
        let what = async move { api::call::<RenameSession>(&[id.as_str()], &Nothing {}, &body).await };
        central.tell(busy, what, move |changed| {
            open.set(false);
            session.told(changed);
        });
    };
    let empty = Signal::derive(move || typed.with(|typed| typed.trim().is_empty()));
    view! {
        <Sheet open title="Rename the session" on_close=move || open.set(false)>
            <Field label="Name" value=typed max=200 on_enter=act/>
            <div class="buttons">
                <Button on_press=move || open.set(false)>"Back"</Button>
                <Button kind=Kind::Primary busy disabled=empty on_press=act>"Rename"</Button>
            </div>
        </Sheet>
    }
}

fn facts(session: &SessionInfo, who: Who, clock: Clock) -> Vec<(String, String)> {
    let zone = clock.zone();
    let client = &session.client_info;
    let system = [client.os_family.as_deref(), client.os_version.as_deref()];
    let system = system.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let mut rows = vec![
        ("Of", who.person(&session.user_id)),
        ("Tasks", session.tasks.to_string()),
        ("Begun", exact(session.created_at, zone)),
        ("Last changed", exact(session.updated_at, zone)),
        ("Not resumable after", exact(session.expires_at, zone)),
        ("Policy", session.policy_bundle_version.clone().unwrap_or_else(|| "none".to_owned())),
        ("System", system),
        ("Host version", client.local_agent_host_version.clone().unwrap_or_default()),
        ("Id", session.session_id.to_string()),
    ];
    rows.retain(|(_, value)| !value.is_empty());
    rows.into_iter()
        .map(|(name, value)| (name.to_owned(), line(&value, Marks::Missing).into_owned()))
        .collect()
}

/// Its tasks, newest first.
#[component]
fn Tasks(id: SessionId) -> impl IntoView {
    let tasks = Poll::once(move || {
        let id = id.clone();
        let query = PageQuery { limit: Some(TASKS), next_token: None };
        async move { api::get::<ListTasks>(&[id.as_str()], &query).await }
    });
    let list = loaded(tasks, "its tasks", |page| {
        if page.items.is_empty() {
            return view! { <p class="soft">"None yet."</p> };
        }
        view! { <div class="rows">{page.items.into_iter().map(task).collect_view()}</div> }
    });
    view! { <Section title="Tasks">{list}</Section> }
}

fn task(task: CentralTask) -> View {
    let prompt = task.prompt.as_deref().and_then(|prompt| prompt.lines().next());
    let title = line(prompt.unwrap_or("Its prompt is not sent here"), Marks::Missing).into_owned();
    let facts = format!("{} · {}", count(task.steps.into(), "step"), count(task.tokens, "token"));
    let error = task.error.map(|error| line(&error.message, Marks::Missing).into_owned());
    view! {
        <Card>
            <div class="stack-tight">
                <div class="beside"><span class="grow task-prompt">{title}</span>{pill(words::task(task.state))}</div>
                <p class="soft">{facts}" · "<Ago at=task.started_at/></p>
                {error.map(|error| view! { <p class="bad-words">{error}</p> })}
            </div>
        </Card>
    }
}
