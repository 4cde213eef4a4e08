//! Jobs: one tool call each, dispatched to a host.

pub(crate) mod arguments;
pub(crate) mod new;

use lanyard_governance_api::endpoint::{CancelJob, GetJob, ListJobs};
use lanyard_governance_api::id::JobId;
use lanyard_governance_api::job::{Job as Record, JobQuery, JobState};
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::people::Role;
use lanyard_protocol::tool::ToolResult;
use lanyard_web_state::ansi::{Keep, Screen};
use lanyard_web_state::visible::{Marks, line};
use lanyard_web_state::words::{count, exact, path_end, sentence};
use lanyard_web_ui::{
    Ago, Button, Card, ChoiceItem, Clock, Code, Empty, Glyph, KeyValue, Kind, LinkRow, Problem, Row, Section,
    Select, output_line,
};
use lanyard_web_view::{View, component, view};
use leptos::prelude::*;

use crate::api;
use crate::central::Central;
use crate::listing::Listing;
use crate::parts::{State, Sure, pill};
use crate::poll::Poll;
use crate::route::Route;
use crate::shell::Page;
use crate::who::Who;
use crate::words;

/// Lines of a result that are shown: it holds at most some hundred kilobytes.
const MAX_LINES: usize = 5_000;

/// States to choose from.
const STATES: [JobState; 9] = [
    JobState::Queued,
    JobState::Leased,
    JobState::Running,
    JobState::Succeeded,
    JobState::Failed,
    JobState::Denied,
    JobState::Expired,
    JobState::Cancelled,
    JobState::Indeterminate,
];

fn title(job: &Record) -> String {
    let text = if job.title.trim().is_empty() { &job.tool_name } else { &job.title };
    line(text, Marks::Missing).into_owned()
}

/// One line of a list.
pub(crate) fn row(job: &Record) -> View {
    let reason = job.reason.as_ref().map(|reason| format!(" · {reason}")).unwrap_or_default();
    let detail = format!("{} in {}{reason}", job.tool_name, path_end(&job.workspace));
    let detail = line(&detail, Marks::Missing).into_owned();
    let (at, state) = (job.updated_at, words::job(job.state));
    view! {
        <Row title=title(job) detail href=Route::Job(job.job_id.clone()).href() icon=Glyph::Terminal wrap=true>
            <span class="small"><Ago at/></span>
            {pill(state)}
        </Row>
    }
}

/// The list.
#[component]
pub(crate) fn Jobs() -> impl IntoView {
    let central = Central::take();
    let state = RwSignal::new(None::<JobState>);
    let jobs = Listing::start(state.into(), |state, limit, next_token| async move {
        let query = JobQuery { state, limit, next_token, ..JobQuery::default() };
        api::get::<ListJobs>(&[], &query).await
    });
    let none = move || {
        let title = if state.get_untracked().is_some() { "No such jobs" } else { "No jobs yet" };
        view! {
            <Card><Empty title>
                    <p>"A job is one tool call on one host: run a command, read a file. It runs through the same policies and approvals as everything else there, and only where the machine's owner takes jobs. The result is seen here, live."</p>
                </Empty></Card>
        }
    };
    let list = jobs.shown("the jobs", none, |_| true, row);
    let states = STATES.map(|state| ChoiceItem::new(Some(state), sentence(words::job(state).1)));
    let states: Vec<_> = std::iter::once(ChoiceItem::new(None, "All")).chain(states).collect();
    view! {
        <Page title="Jobs">
            {move || central.may(Role::Admin).then(|| view! {
                <LinkRow title="Dispatch a job" href=Route::NewJob(None).href() icon=Glyph::Plus/>
            })}
            <div class="filters"><Select label="State" options=states value=state on_change=move |chosen| state.set(chosen)/></div>
            {list}
        </Page>
    }
}

/// One job.
#[component]
pub(crate) fn Job(id: JobId) -> impl IntoView {
    Who::provide();
    let central = Central::take();
    let asked = id.clone();
    let job = Poll::start(move || {
        let id = asked.clone();
        async move { api::get::<GetJob>(&[id.as_str()], &Nothing {}).await }
    });
    let name = Signal::derive(move || {
        job.now.with(|now| now.as_ref().map(title)).unwrap_or_else(|| "Job".to_owned())
    });
    let end = move || {
        let state = Memo::new(move |_| job.now.with(|now| now.as_ref().map(|job| job.state)));
        move || state.get().map(|state| pill(words::job(state)))
    };
    let open = RwSignal::new(false);
    let busy = RwSignal::new(false);
    let stoppable = Memo::new(move |_| {
        central.may(Role::Approver)
            && job.now.with(|now| now.as_ref().is_some_and(|job| !job.state.is_final()))
    });
    let id = StoredValue::new(id);
    let act = move || {
        let id = id.get_value();
        let what = async move { api::call::<CancelJob>(&[id.as_str()], &Nothing {}, &Nothing {}).await };
        central.tell(busy, what, move |now| {
            open.set(false);
            job.told(now);
        });
    };
    let meaning = "If it has not begun it never will; if it runs, the host is told to stop it. What it has changed by then stays.";
    view! {
        <Page title=name back=Route::Jobs end=end>
            <State poll=job what="the job"/>
            {move || job.now.get().map(|job| view! { <About job/> })}
            {move || stoppable.get().then(|| view! {
                <Button kind=Kind::Danger on_press=move || open.set(true)>"Cancel the job"</Button>
            })}
            <Sure open title="Cancel this job?" meaning act="Cancel it" danger=true busy on_act=act/>
        </Page>
    }
}

#[component]
fn About(job: Record) -> impl IntoView {
    let clock = Clock::take();
    let who = Who::take();
    let zone = clock.zone();
    let reason = job.reason.as_deref().map(|reason| line(reason, Marks::Missing).into_owned());
    let tone = words::job(job.state).0;
    let told = view! {
        <Card tone>
            <p role="status">{words::job_meaning(job.state)}{reason.map(|reason| format!(" {}", sentence(&reason)))}</p>
        </Card>
    };
    let late = job.late.then(|| {
        view! { <p class="soft">"The host said so after central had counted the outcome as unknown."</p> }
    });
    let asks = (job.state == JobState::Leased).then(|| {
        view! { <p class="soft">"If it waits for a person, the question is among "<a href=Route::Approvals.href()>"the approvals"</a>". Whoever dispatched it does not answer it."</p> }
    });
    let live = job.session_id.clone().map(|session| {
        let detail = if job.state.is_final() { "What happened, step by step" } else { "As it happens" };
        view! { <LinkRow title="Its timeline" detail=detail href=Route::Session(session).href() icon=Glyph::Sessions/> }
    });
    let result = job.result.map(|result| view! { <Outcome result/> });
    let arguments = serde_json::to_string_pretty(&job.arguments).unwrap_or_default();
    let arguments = lanyard_web_state::visible::block(&arguments, Marks::Missing).into_owned();
    let mut rows = vec![
        ("Tool", job.tool_name.clone()),
        ("In", job.workspace.clone()),
        ("Dispatched by", who.person(&job.created_by)),
        ("Dispatched", exact(job.created_at, zone)),
        ("Last changed", exact(job.updated_at, zone)),
        ("Not claimed after", exact(job.expires_at, zone)),
        ("Id", job.job_id.to_string()),
    ];
    if let Some(until) = job.lease_until.filter(|_| !job.state.is_final()) {
        rows.push(("The host's claim holds until", exact(until, zone)));
    }
    let rows: Vec<_> = rows
        .into_iter()
        .map(|(name, value)| (name.to_owned(), line(&value, Marks::Missing).into_owned()))
        .collect();
    view! {
        {told}
        {late}
        {asks}
        {live}
        {result}
        <Section title="What it is">
            <Card><KeyValue rows/></Card>
            <Code text=arguments/>
            <LinkRow title="Its host" href=Route::Host(job.agent_id).href() icon=Glyph::Host/>
        </Section>
    }
}

/// What came out of it.
#[component]
fn Outcome(result: ToolResult) -> impl IntoView {
    let error = result.error.map(|error| {
        let meaning = lanyard_web_state::visible::block(&error.message, Marks::Missing).into_owned();
        view! { <Problem title="It did not succeed" meaning code=error.code.as_str()/> }
    });
    let mut screen = Screen::new(Keep::First(MAX_LINES));
    screen.push(result.output_text.as_deref().unwrap_or_default());
    let lines = screen.lines();
    let hidden = screen.hidden();
    let empty = lines.is_empty();
    let shown = lines.iter().map(output_line).collect_view();
    let text = match empty {
        true => view! { <p class="soft">"It printed nothing."</p> },
        false => {
            view! { <pre class="output output-tall" tabindex="0" role="region" aria-label="Output"><code>{shown}</code></pre> }
        }
    };
    view! {
        <Section title="Result">
            {error}
            {text}
            {(hidden > 0).then(|| view! { <p class="soft">{count(hidden as u64, "further line")}" are not shown."</p> })}
        </Section>
    }
}
