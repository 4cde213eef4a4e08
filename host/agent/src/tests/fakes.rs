//! Sample values, and the ports held in memory.

mod journal;
mod model;
mod router;
mod world;

use lanyard_ports::journal::Checkpoint;
use lanyard_protocol::event::Usage;
use lanyard_protocol::id::{MessageId, PrincipalId, SessionId, StepId, TaskId, ToolCallId, WorkspaceId};
use lanyard_protocol::message::{ConversationMessage, MessageToolCall, Provenance, Role, Trust};
use lanyard_protocol::principal::{Principal, Scope};
use lanyard_protocol::session::TaskOptions;
use lanyard_protocol::tool::ToolRequest;
use lanyard_protocol::{Json, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

pub(crate) use journal::MemoryJournal;
pub(crate) use model::{Reply, ScriptedModel, ask_for, malformed, say, says};
pub(crate) use router::{Act, ScriptedRouter, Way};
pub(crate) use world::{World, names, new_task, owner, remote, task_id};

pub(crate) fn session_id() -> SessionId {
    SessionId::new("ses_1").unwrap()
}

pub(crate) fn workspace_id() -> WorkspaceId {
    WorkspaceId::new("wsp_1").unwrap()
}

fn step(n: u32) -> StepId {
    StepId::new(format!("step_{n}")).unwrap()
}

pub(crate) fn call_id(n: u32) -> ToolCallId {
    ToolCallId::new(format!("call_{n}")).unwrap()
}

pub(crate) fn request(tool: &str, n: u32) -> ToolRequest {
    ToolRequest {
        tool_name: tool.into(),
        arguments: json!({}).into(),
        workspace_id: workspace_id(),
        session_id: session_id(),
        task_id: TaskId::new("task_1").unwrap(),
        step_id: step(n),
        tool_call_id: call_id(n),
        capability: None,
    }
}

pub(crate) fn checkpoint() -> Checkpoint {
    Checkpoint {
        session_id: session_id(),
        task_id: TaskId::new("task_1").unwrap(),
        prompt: "go".into(),
        options: TaskOptions::default(),
        initiator: principal("owner", true, &[Scope::Operate]),
        step_id: step(1),
        step_number: 1,
        calls_under_way: false,
        usage: Usage::default(),
        started_at: Timestamp::from_millis(1),
        resumes: 0,
    }
}

pub(crate) fn principal(id: &str, local: bool, scopes: &[Scope]) -> Principal {
    Principal { id: PrincipalId::new(id).unwrap(), name: id.into(), scopes: scopes.into(), local }
}

fn message(role: Role, content: &str, source: &str, trust: Trust) -> ConversationMessage {
    ConversationMessage {
        message_id: MessageId::new("msg_1").unwrap(),
        session_id: session_id(),
        task_id: Some(TaskId::new("task_1").unwrap()),
        step_id: None,
        role,
        content: content.into(),
        tool_calls: Vec::new(),
        tool_call_id: None,
        token_count: None,
        provenance: Some(Provenance { source: source.into(), trust }),
        timestamp: Timestamp::from_millis(1),
    }
}

pub(crate) fn prompt(text: &str) -> ConversationMessage {
    message(Role::User, text, "user", Trust::Trusted)
}

pub(crate) fn assistant(text: &str, tool_calls: Vec<MessageToolCall>) -> ConversationMessage {
    let step_id = Some(step(u32::try_from(tool_calls.len()).unwrap() + 100));
    ConversationMessage { tool_calls, step_id, ..message(Role::Assistant, text, "model:m", Trust::Untrusted) }
}

pub(crate) fn message_call(n: u32, tool: &str, arguments: Value) -> MessageToolCall {
    MessageToolCall { tool_call_id: call_id(n), tool_name: tool.into(), arguments: Json(arguments) }
}

pub(crate) fn tool_message(n: u32, content: &str) -> ConversationMessage {
    let base = message(Role::Tool, content, "tool:ReadFile", Trust::Untrusted);
    ConversationMessage { tool_call_id: Some(call_id(n)), step_id: Some(step(102)), ..base }
}

/// Whether every call is followed by exactly its results, and no result stands alone.
pub(crate) fn pairs_are_whole(thread: &[ConversationMessage]) -> bool {
    let mut open: Vec<&ToolCallId> = Vec::new();
    for message in thread {
        if message.role == Role::Tool {
            let id = message.tool_call_id.as_ref();
            let Some(position) = open.iter().position(|open| Some(*open) == id) else { return false };
            open.remove(position);
        } else if !open.is_empty() {
            return false;
        } else {
            open = message.tool_calls.iter().map(|call| &call.tool_call_id).collect();
        }
    }
    open.is_empty()
}

/// A thread as it should be: prompts, notes, answers, steps with all their results.
pub(crate) fn whole_thread(turns: usize) -> impl Strategy<Value = Vec<ConversationMessage>> {
    let turn = (0u8..4, prop::collection::vec(0usize..3_000, 1..4), 0usize..900);
    prop::collection::vec(turn, 1..turns).prop_map(|turns| {
        let mut thread = vec![prompt("first prompt")];
        let mut n = 0;
        for (position, (kind, sizes, words)) in turns.into_iter().enumerate() {
            match kind {
                0 => thread.push(prompt(&format!("prompt {position} {}", "p".repeat(words)))),
                1 => thread.push(assistant(&format!("answer {position} {}", "a".repeat(words)), vec![])),
                _ => {
                    let ids: Vec<u32> = sizes
                        .iter()
                        .map(|_| {
                            n += 1;
                            n
                        })
                        .collect();
                    let arguments = json!({ "content": "c".repeat(words) });
                    let calls = ids.iter().map(|id| message_call(*id, "ReadFile", arguments.clone()));
                    thread.push(assistant("", calls.collect()));
                    for (id, size) in ids.iter().zip(&sizes) {
                        thread.push(tool_message(*id, &format!("succeeded\n{}", "x".repeat(*size))));
                    }
                }
            }
        }
        thread
    })
}

/// A whole thread from which messages were lost, doubled or moved.
pub(crate) fn any_thread(turns: usize) -> impl Strategy<Value = Vec<ConversationMessage>> {
    let harm = (0u8..3, any::<prop::sample::Index>(), any::<prop::sample::Index>());
    (whole_thread(turns), prop::collection::vec(harm, 0..5)).prop_map(|(mut thread, harms)| {
        for (kind, at, other) in harms {
            let (at, other) = (at.index(thread.len()), other.index(thread.len()));
            match kind {
                0 if thread.len() > 1 => drop(thread.remove(at)),
                1 => thread.insert(at, thread[other].clone()),
                _ => thread.swap(at, other),
            }
        }
        thread
    })
}
