//! A session as long as years of use make it, written straight into a store before a host opens it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use lanyard_ports::journal::{Journal, NewEvent, SessionRecord, Write};
use lanyard_ports::sink::CommitObserver;
use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::RiskLevel;
use lanyard_protocol::event::{
    EventBody, HostEvent, LlmRequestCompleted, LlmRequestStarted, SessionCreated, SessionEvent, StepStarted,
    TaskCompleted, TaskStarted, ToolCompleted, ToolRequested, Usage,
};
use lanyard_protocol::id::{SessionId, TaskId};
use lanyard_protocol::json::Json;
use lanyard_protocol::message::{ConversationMessage, Provenance, Role, Trust};
use lanyard_protocol::policy::{Capability, SandboxLevel};
use lanyard_protocol::principal::{Principal, Scope};
use lanyard_protocol::session::{
    ModelInfo, SessionState, SessionSummary, TaskOptions, TaskState, TaskSummary, WorkspaceScope,
};
use lanyard_protocol::tool::{ToolResult, ToolStatus};
use lanyard_store::{Store, StoreOptions};
use serde_json::json;

/// The session.
pub const SESSION: &str = "sess_long";

/// Occurs in the output of every thousandth task, and nowhere else.
pub const NEEDLE: &str = "Needle-in-the-haystack";

/// Events of one task, see [`task`].
pub const EVENTS_PER_TASK: u64 = 8;

/// Tasks written in one transaction.
const TASKS_PER_COMMIT: u64 = 250;

/// Nobody listens.
struct Silence;

impl CommitObserver for Silence {
    fn committed(&self, _: &[Arc<SessionEvent>], _: &[Arc<HostEvent>]) {}
}

/// Writes a session of at least `events` events into the store of a state directory. No host may run there.
/// Returns how many there are.
pub async fn session(state_dir: &Path, workspace: &Path, events: u64) -> Result<u64> {
    let mut options = StoreOptions::new(state_dir.join("store"));
    // As much as it takes: this process is not the one that is measured.
    options.cache_bytes = 256 << 20;
    let (store, _) = Store::open(options, Arc::new(Silence))?;
    store
        .commit(vec![Write::Session(Box::new(record(workspace)?)), event(None, created(workspace))?])
        .await?;
    let tasks = events.saturating_sub(1).div_ceil(EVENTS_PER_TASK);
    for first in (0..tasks).step_by(usize::try_from(TASKS_PER_COMMIT)?) {
        let mut batch = Vec::new();
        for number in first..(first + TASKS_PER_COMMIT).min(tasks) {
            task(number, &mut batch)?;
        }
        store.commit(batch).await?;
    }
    store.close()?;
    Ok(1 + tasks * EVENTS_PER_TASK)
}

fn at(number: u64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000).plus_millis(i64::try_from(number).unwrap_or(0) * 60_000)
}

fn model() -> ModelInfo {
    ModelInfo {
        name: "scripted".into(),
        endpoint: "http://127.0.0.1:1/v1".into(),
        demo: false,
        source: "config".into(),
    }
}

fn owner() -> Result<Principal> {
    let scopes = vec![Scope::Observe, Scope::Operate, Scope::Approve, Scope::Admin];
    Ok(Principal { id: "owner".parse()?, name: "owner".into(), scopes, local: true })
}

fn record(workspace: &Path) -> Result<SessionRecord> {
    let roots = workspace.canonicalize()?;
    Ok(SessionRecord {
        summary: SessionSummary {
            session_id: SESSION.parse()?,
            workspace_id: "ws_long".parse()?,
            workspace_scope: WorkspaceScope::Local,
            workspace_roots: vec![roots.display().to_string()],
            name: "years of work".into(),
            state: SessionState::SessionRunning,
            last_task: Some(TaskSummary {
                task_id: "task_0".parse()?,
                prompt: "the first of many".into(),
                state: TaskState::Completed,
                steps: 1,
                error: None,
                started_at: at(0),
                ended_at: Some(at(0)),
            }),
            pending_approvals: 0,
            last_seq: 0,
            created_at: at(0),
            updated_at: at(0),
        },
        roots: vec![roots],
        scope: WorkspaceScope::Local,
        created_by: owner()?,
        tokens_used: 0,
        agent_id: None,
    })
}

fn created(workspace: &Path) -> EventBody {
    let workspace_roots = vec![workspace.display().to_string()];
    EventBody::SessionCreated(SessionCreated {
        name: "years of work".into(),
        workspace_roots,
        model: model(),
    })
}

fn event(task: Option<(u64, &TaskId)>, body: EventBody) -> Result<Write> {
    let number = task.map_or(0, |(number, _)| number);
    let place = body.name();
    Ok(Write::Event(Box::new(NewEvent {
        event_id: format!("evt_{number}_{place}").parse()?,
        workspace_id: "ws_long".parse()?,
        session_id: SESSION.parse()?,
        task_id: task.map(|(_, task)| task.clone()),
        step_id: task.map(|(number, _)| format!("step_{number}").parse()).transpose()?,
        timestamp: at(number),
        body,
    })))
}

/// One task: a prompt, a read, an answer; eight events and four messages.
fn task(number: u64, batch: &mut Vec<Write>) -> Result<()> {
    let session: SessionId = SESSION.parse()?;
    let task: TaskId = format!("task_{number}").parse()?;
    let call = format!("call_{number}");
    let prompt = format!("look at part {number} and say what it does");
    let needle = if number % 1000 == 500 { NEEDLE } else { "nothing special" };
    let output =
        format!("part {number}: {needle}\n{}", "    let value = compute(input, &mut state)?;\n".repeat(20));
    let answer =
        format!("Part {number} computes a value from its input and the state, and passes errors on.");
    let usage = Usage { input_tokens: 900, output_tokens: 40 };
    let result = ToolResult {
        tool_name: "ReadFile".into(),
        workspace_id: "ws_long".parse()?,
        session_id: session.clone(),
        task_id: task.clone(),
        step_id: format!("step_{number}").parse()?,
        tool_call_id: call.parse()?,
        status: ToolStatus::Succeeded,
        output_text: Some(output.clone()),
        artifact_uris: Vec::new(),
        error: None,
    };
    let finished = |text: &str, tool_calls| {
        anyhow::Ok(EventBody::LlmRequestCompleted(LlmRequestCompleted {
            model: "scripted".into(),
            finish_reason: "stop".into(),
            text: text.to_owned(),
            stream_id: format!("stream_{number}").parse()?,
            tool_calls,
            usage,
            duration_ms: 900,
        }))
    };
    let bodies = [
        EventBody::TaskStarted(TaskStarted {
            prompt: prompt.clone(),
            options: TaskOptions::default(),
            initiator: owner()?,
            model: model(),
            instructions: Vec::new(),
        }),
        EventBody::StepStarted(StepStarted {
            step_id: format!("step_{number}").parse()?,
            step_number: 1,
            max_steps: 50,
        }),
        EventBody::LlmRequestStarted(LlmRequestStarted {
            model: "scripted".into(),
            demo: false,
            message_count: 4,
            estimated_tokens: 900,
        }),
        finished("", 1)?,
        EventBody::ToolRequested(ToolRequested {
            tool_call_id: call.parse()?,
            tool_name: "ReadFile".into(),
            arguments: Json(json!({"path": format!("src/part_{number}.rs")})),
            capability: Some(Capability::FileRead),
            summary: format!("Read src/part_{number}.rs"),
            risk_level: RiskLevel::Low,
        }),
        EventBody::ToolCompleted(ToolCompleted {
            result,
            exit_code: None,
            duration_ms: 1,
            sandbox_level: SandboxLevel::None,
            changes: Vec::new(),
            replayed: false,
        }),
        finished(&answer, 0)?,
        EventBody::TaskCompleted(TaskCompleted { text: answer.clone(), steps: 2, usage }),
    ];
    for (place, body) in bodies.into_iter().enumerate() {
        let mut write = event(Some((number, &task)), body)?;
        if let Write::Event(event) = &mut write {
            event.event_id = format!("evt_{number}_{place}").parse()?;
        }
        batch.push(write);
    }
    let asked = serde_json::from_value(json!([{
        "toolCallId": call, "toolName": "ReadFile", "arguments": {"path": format!("src/part_{number}.rs")}
    }]))
    .context("a call")?;
    let (user, tool) = (("user", Trust::Trusted), ("tool:ReadFile", Trust::Untrusted));
    let message = |place: u64, role, content: String, (source, trust): (&str, Trust)| {
        anyhow::Ok(ConversationMessage {
            message_id: format!("msg_{number}_{place}").parse()?,
            session_id: session.clone(),
            task_id: Some(task.clone()),
            step_id: None,
            role,
            content,
            tool_calls: Vec::new(),
            tool_call_id: None,
            token_count: None,
            provenance: Some(Provenance { source: source.to_owned(), trust }),
            timestamp: at(number),
        })
    };
    let messages = [
        message(0, Role::User, prompt, user)?,
        ConversationMessage { tool_calls: asked, ..message(1, Role::Assistant, String::new(), user)? },
        ConversationMessage {
            tool_call_id: Some(call.parse()?),
            ..message(2, Role::Tool, format!("succeeded\n{output}"), tool)?
        },
        message(3, Role::Assistant, answer, user)?,
    ];
    batch.extend(messages.map(|message| Write::Message(Box::new(message))));
    Ok(())
}
