//! What the store costs, measured on the disk of a directory given as argument (default: the temporary directory):
//! commits of a typical step beside bare fsyncs, opening, and a session of 100,000 events.
//!
//! `cargo run --release -p lanyard-store --example cost -- DIR`

use std::error::Error;
use std::io::{Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lanyard_ports::journal::{
    CallPhase, CallRecord, Cursor, Journal, NewEvent, Replay, SessionProgress, SessionRecord, Write,
};
use lanyard_ports::sink::CommitObserver;
use lanyard_protocol::event::{
    EventBody, HostEvent, SessionEvent, SessionPaused, StepStarted, ToolCompleted,
};
use lanyard_protocol::id::{IdError, SessionId};
use lanyard_protocol::message::{ConversationMessage, Role};
use lanyard_protocol::policy::SandboxLevel;
use lanyard_protocol::principal::Principal;
use lanyard_protocol::session::{SessionState, SessionSummary, WorkspaceScope};
use lanyard_protocol::tool::{ToolRequest, ToolResult, ToolStatus};
use lanyard_protocol::{Json, Timestamp};
use lanyard_store::{Store, StoreOptions};

/// Repetitions of what takes about a millisecond.
const ROUNDS: usize = 500;

/// Events of the long session.
const LONG: u64 = 100_000;

#[derive(Debug)]
struct Nobody;

impl CommitObserver for Nobody {
    fn committed(&self, _: &[Arc<SessionEvent>], _: &[Arc<HostEvent>]) {}
}

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let place = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = place.join(format!("lanyard-store-cost-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let measured = measure(&dir).await;
    std::fs::remove_dir_all(&dir)?;
    measured
}

async fn measure(dir: &Path) -> Outcome<()> {
    let syncs = fsyncs(dir)?;
    show("two fsyncs of 4 KiB", &syncs);
    commits(&dir.join("steps")).await?;
    long_session(&dir.join("long")).await?;
    let again = fsyncs(dir)?;
    show("two fsyncs of 4 KiB, again", &again);
    println!("resident memory at the end: {} KiB", resident_kib());
    Ok(())
}

/// The floor: what one commit cannot be faster than on this disk.
fn fsyncs(dir: &Path) -> Outcome<Vec<Duration>> {
    let mut file = std::fs::File::create(dir.join("floor"))?;
    file.set_len(1 << 20)?;
    file.sync_all()?;
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let started = Instant::now();
        for half in 0..2 {
            file.seek(SeekFrom::Start(4096 * ((round * 2 + half) % 250) as u64))?;
            file.write_all(&[7; 4096])?;
            file.sync_data()?;
        }
        times.push(started.elapsed());
    }
    Ok(times)
}

async fn commits(dir: &Path) -> Outcome<()> {
    let started = Instant::now();
    let (store, _) = Store::open(StoreOptions::new(dir), Arc::new(Nobody))?;
    println!("open, new: {:?}", started.elapsed());
    let id = SessionId::new("s1")?;
    store.commit(vec![session(&id)?]).await?;
    let (mut single, mut before, mut after) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..ROUNDS {
        let started = Instant::now();
        store.commit(vec![event(&id, "one line")?]).await?;
        single.push(started.elapsed());
        store.append(vec![event(&id, "asked the model")?]).await?;
        let batch = step_before(&id, number)?;
        let started = Instant::now();
        store.commit(batch).await?;
        before.push(started.elapsed());
        let batch = step_after(&id, number)?;
        let started = Instant::now();
        store.commit(batch).await?;
        after.push(started.elapsed());
    }
    show("commit of one event", &single);
    show("commit before a tool starts", &before);
    show("commit of its result", &after);
    store.close()?;
    drop(store);
    let started = Instant::now();
    let (store, _) = Store::open(StoreOptions::new(dir), Arc::new(Nobody))?;
    println!("open, {} events: {:?}", store.counters()?.events, started.elapsed());
    println!("store file: {} KiB", std::fs::metadata(dir.join("store.redb"))?.len() / 1024);
    Ok(())
}

async fn long_session(dir: &Path) -> Outcome<()> {
    let id = SessionId::new("long")?;
    let (store, _) = Store::open(StoreOptions::new(dir), Arc::new(Nobody))?;
    store.commit(vec![session(&id)?]).await?;
    let text = "a sentence that an agent may well have written to the log. ".repeat(5);
    for chunk in 0..LONG / 1000 {
        let rows = (0..1000).map(|i| event(&id, &format!("{} {text}", chunk * 1000 + i)));
        store.commit(rows.collect::<Result<_, _>>()?).await?;
    }
    store.close()?;
    drop(store);
    println!("resident memory before opening {LONG} events: {} KiB", resident_kib());
    let started = Instant::now();
    let (store, _) = Store::open(StoreOptions::new(dir), Arc::new(Nobody))?;
    println!("open, {LONG} events: {:?}", started.elapsed());
    let mut pages = Vec::new();
    let mut after = 0;
    loop {
        let started = Instant::now();
        let page = store.events(&id, Cursor::After(after), 1000)?;
        pages.push(started.elapsed());
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    show("page of 1,000 events", &pages);
    println!("resident memory after paging through: {} KiB", resident_kib());
    let mut calls = Vec::new();
    let mut cursor = Cursor::End;
    loop {
        let started = Instant::now();
        let page = store.search_events(&id, "not in there", cursor, 100)?;
        calls.push(started.elapsed());
        match page.next {
            Some(next) => cursor = Cursor::Before(next),
            None => break,
        }
    }
    show("call of a search", &calls);
    println!("search through all: {:?}", calls.iter().sum::<Duration>());
    println!("resident memory after searching: {} KiB", resident_kib());
    let started = Instant::now();
    store.commit(vec![Write::DeleteSession(id)]).await?;
    println!("delete of {LONG} events: {:?}", started.elapsed());
    Ok(())
}

fn show(what: &str, times: &[Duration]) {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = |percent: usize| sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default();
    println!("{what}: p50 {:?}, p90 {:?}, p99 {:?} ({} times)", at(50), at(90), at(99), sorted.len());
}

/// Resident memory in KiB; 0 where the system does not tell.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn session(id: &SessionId) -> Outcome<Write> {
    Ok(Write::Session(Box::new(SessionRecord {
        summary: SessionSummary {
            session_id: id.clone(),
            workspace_id: "ws".parse()?,
            workspace_scope: WorkspaceScope::Local,
            workspace_roots: vec!["/work/p".to_owned()],
            name: "Mend the build".to_owned(),
            state: SessionState::SessionCreated,
            last_task: None,
            pending_approvals: 0,
            last_seq: 0,
            created_at: Timestamp::now(),
            updated_at: Timestamp::now(),
        },
        roots: vec!["/work/p".into()],
        scope: WorkspaceScope::Local,
        created_by: Principal { id: "owner".parse()?, name: "owner".to_owned(), scopes: vec![], local: true },
        tokens_used: 0,
        agent_id: None,
    })))
}

fn event_of(id: &SessionId, body: EventBody) -> Result<Write, IdError> {
    Ok(Write::Event(Box::new(NewEvent {
        event_id: "ev_0123456789abcdef".parse()?,
        workspace_id: "ws".parse()?,
        session_id: id.clone(),
        task_id: Some("task_0123456789abcdef".parse()?),
        step_id: Some("step_0123456789abcdef".parse()?),
        timestamp: Timestamp::now(),
        body,
    })))
}

fn event(id: &SessionId, text: &str) -> Result<Write, IdError> {
    event_of(id, EventBody::SessionPaused(SessionPaused { reason: text.to_owned() }))
}

fn call(id: &SessionId, number: usize, phase: CallPhase) -> Outcome<(Write, ToolCompleted)> {
    let request = ToolRequest {
        tool_name: "RunCommand".to_owned(),
        arguments: Json(serde_json::json!({"argv": ["cargo", "check", "--workspace"]})),
        workspace_id: "ws".parse()?,
        session_id: id.clone(),
        task_id: "task_0123456789abcdef".parse()?,
        step_id: "step_0123456789abcdef".parse()?,
        tool_call_id: format!("call_{number}").parse()?,
        capability: None,
    };
    let mut result = ToolResult::of(&request, ToolStatus::Succeeded);
    result.output_text = Some("    Checking lanyard-store v0.1.0\n".repeat(60));
    let completed = ToolCompleted {
        result,
        exit_code: Some(0),
        duration_ms: 900,
        sandbox_level: SandboxLevel::Full,
        changes: vec![],
        replayed: false,
    };
    let outcome = (phase >= CallPhase::Finished).then(|| completed.clone());
    let record = CallRecord { request, phase, replay: Replay::Opaque, approval_id: None, completed: outcome };
    Ok((Write::Call(Box::new(record)), completed))
}

fn message(id: &SessionId, text: String) -> Result<Write, IdError> {
    Ok(Write::Message(Box::new(ConversationMessage {
        message_id: "msg_0123456789abcdef".parse()?,
        session_id: id.clone(),
        task_id: None,
        step_id: None,
        role: Role::Assistant,
        content: text,
        tool_calls: vec![],
        tool_call_id: None,
        token_count: None,
        provenance: None,
        timestamp: Timestamp::now(),
    })))
}

fn progress(id: &SessionId, state: SessionState) -> Write {
    Write::Progress(Box::new(SessionProgress {
        session_id: id.clone(),
        state: Some(state),
        task: None,
        name: None,
        add_tokens: 10,
        at: Timestamp::now(),
    }))
}

/// What a step with one call writes before its tool starts.
fn step_before(id: &SessionId, number: usize) -> Outcome<Vec<Write>> {
    let started = StepStarted { step_id: "step_0123456789abcdef".parse()?, step_number: 1, max_steps: 50 };
    Ok(vec![
        event_of(id, EventBody::StepStarted(started))?,
        event(id, &"The build fails in one place; I will look at it. ".repeat(6))?,
        message(id, "The build fails in one place; I will look at it.".to_owned())?,
        event(id, "tool_requested")?,
        event(id, "policy_decided")?,
        call(id, number, CallPhase::Started)?.0,
        progress(id, SessionState::WaitingForTool),
    ])
}

/// What it writes afterwards.
fn step_after(id: &SessionId, number: usize) -> Outcome<Vec<Write>> {
    let (finished, completed) = call(id, number, CallPhase::Finished)?;
    let output = completed.result.output_text.clone().unwrap_or_default();
    Ok(vec![
        finished,
        event_of(id, EventBody::ToolCompleted(completed))?,
        message(id, output)?,
        call(id, number, CallPhase::Reported)?.0,
        progress(id, SessionState::WaitingForLlm),
    ])
}
