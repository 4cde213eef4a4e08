//! Payloads of the events, one shape an event name.

use serde::{Deserialize, Serialize};

use crate::approval::{ApprovalAnswer, ApprovalRequest, ChangeKind, RiskLevel};
use crate::device::PairingEnd;
use crate::error::WireError;
use crate::id::{
    ApprovalId, DeviceId, HostId, PairingId, PrincipalId, SessionId, StepId, StreamId, ToolCallId,
};
use crate::json::Json;
use crate::policy::{Capability, SandboxLevel};
use crate::principal::Principal;
use crate::session::{ModelInfo, SessionState, SessionSummary, TaskOptions};
use crate::timestamp::Timestamp;
use crate::tool::ToolResult;

macro_rules! payloads {
    ($($(#[$meta:meta])* $name:ident { $($(#[$fmeta:meta])* $field:ident: $ty:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(rename_all = "camelCase")]
        pub struct $name { $($(#[$fmeta])* pub $field: $ty,)* }
    )*};
}

payloads! {
    /// Payload of `session_created`.
    SessionCreated {
        /// Name for people; empty until the first prompt names it.
        name: String,
        /// Directories the session is about.
        workspace_roots: Vec<String>,
        /// Model that will answer.
        model: ModelInfo,
    }
    /// Payload of `session_started`.
    SessionStarted {
        /// Version of the bundle in force.
        policy_bundle_version: String,
    }
    /// Payload of `task_started`.
    TaskStarted {
        /// What was asked.
        prompt: String,
        /// How the task may run.
        options: TaskOptions,
        /// Who asked.
        initiator: Principal,
        /// Model that will answer.
        model: ModelInfo,
        /// Files whose instructions are in force for the task (`AGENTS.md`), nearest first.
        #[serde(default)]
        instructions: Vec<String>,
    }
    /// Payload of `step_started`.
    StepStarted {
        /// The step.
        step_id: StepId,
        /// 1, 2, … within the task.
        step_number: u32,
        /// Most steps of the task.
        max_steps: u32,
    }
    /// Payload of `llm_request_started`.
    LlmRequestStarted {
        /// Model asked.
        model: String,
        /// The built-in demo model: no AI.
        demo: bool,
        /// Messages sent.
        message_count: u32,
        /// Estimated size of the request in tokens.
        estimated_tokens: u32,
    }
    /// Tokens used.
    #[derive(Copy, Eq, Default)]
    Usage {
        /// Tokens read.
        input_tokens: u64,
        /// Tokens written.
        output_tokens: u64,
    }
    /// Payload of `llm_request_completed`.
    LlmRequestCompleted {
        /// Model that answered.
        model: String,
        /// Why it stopped: `stop`, `tool_calls`, `length`, …
        finish_reason: String,
        /// The text of the answer, whole.
        text: String,
        /// The stream its deltas came on.
        stream_id: StreamId,
        /// Tool calls asked for.
        tool_calls: u32,
        /// Tokens, as reported, else estimated.
        usage: Usage,
        /// Milliseconds from request to last byte.
        duration_ms: u64,
    }
    /// Payload of `llm_retry`.
    LlmRetry {
        /// The attempt that failed, from 1.
        attempt: u32,
        /// Most attempts.
        max_attempts: u32,
        /// Milliseconds until the next.
        delay_ms: u64,
        /// What went wrong.
        error: WireError,
        /// The stream whose deltas are void.
        stream_id: StreamId,
    }
    /// Payload of `text_delta`.
    TextDelta {
        /// The stream.
        stream_id: StreamId,
        /// Bytes of the stream before this piece.
        offset: u64,
        /// The piece.
        text: String,
    }
    /// Payload of `tool_requested`.
    ToolRequested {
        /// The call.
        tool_call_id: ToolCallId,
        /// The tool.
        tool_name: String,
        /// Its arguments.
        arguments: Json,
        /// The capability it needs most.
        capability: Option<Capability>,
        /// One line for people: "Run cargo check", "Write src/a.rs".
        summary: String,
        /// How much harm it could do.
        risk_level: RiskLevel,
    }
    /// Payload of `policy_decided`.
    PolicyDecided {
        /// The call.
        tool_call_id: ToolCallId,
        /// The verdict.
        verdict: PolicyVerdict,
        /// The layer that decided.
        layer: String,
        /// Why, in a sentence.
        reason: String,
        /// How the child would be confined.
        sandbox_level: SandboxLevel,
    }
    /// Payload of `policy_expired`.
    PolicyExpired {
        /// When it ran out.
        expired_at: Timestamp,
    }
    /// Payload of `approval_requested`.
    ApprovalRequested {
        /// The question.
        approval: ApprovalRequest,
    }
    /// Payload of `approval_resolved`.
    ApprovalResolved {
        /// The question.
        approval_id: ApprovalId,
        /// The call.
        tool_call_id: ToolCallId,
        /// The answer that counted.
        answer: ApprovalAnswer,
        /// A remembered rule answered, not a person just now.
        by_rule: bool,
    }
    /// Payload of `approval_expired`.
    ApprovalExpired {
        /// The question.
        approval_id: ApprovalId,
        /// The call.
        tool_call_id: ToolCallId,
    }
    /// Payload of `tool_output_delta`.
    ToolOutputDelta {
        /// The call.
        tool_call_id: ToolCallId,
        /// The stream.
        stream_id: StreamId,
        /// Bytes of the stream before this piece.
        offset: u64,
        /// The piece, control characters included; clients must render it harmless.
        text: String,
    }
    /// A file changed by a call.
    FileChange {
        /// The file, relative to the workspace where it lies in it.
        path: String,
        /// What happened to it.
        change: ChangeKind,
        /// Lines added.
        lines_added: u32,
        /// Lines removed.
        lines_removed: u32,
    }
    /// Payload of `tool_completed`.
    ToolCompleted {
        /// The result, whole.
        result: ToolResult,
        /// Exit code of the program, for tools that run one.
        exit_code: Option<i32>,
        /// Milliseconds the tool ran, waiting for a person not counted.
        duration_ms: u64,
        /// How the child really was confined; `none` for tools without a child.
        sandbox_level: SandboxLevel,
        /// Files changed.
        changes: Vec<FileChange>,
        /// The result was recorded before a restart and is told again.
        replayed: bool,
    }
    /// Payload of `context_compacted`.
    ContextCompacted {
        /// Estimated tokens before.
        tokens_before: u32,
        /// Estimated tokens after.
        tokens_after: u32,
        /// Tool outputs masked.
        outputs_masked: u32,
        /// Messages replaced by a summary.
        messages_summarised: u32,
    }
    /// Payload of `step_completed`.
    StepCompleted {
        /// The step.
        step_id: StepId,
        /// 1, 2, … within the task.
        step_number: u32,
        /// Calls made.
        tool_calls: u32,
    }
    /// Payload of `step_limit_near`.
    StepLimitNear {
        /// Steps taken.
        step_number: u32,
        /// Most steps of the task.
        max_steps: u32,
    }
    /// Payload of `task_completed`.
    TaskCompleted {
        /// The answer.
        text: String,
        /// Steps taken.
        steps: u32,
        /// Tokens used by the task.
        usage: Usage,
    }
    /// Payload of `task_failed`.
    TaskFailed {
        /// Why.
        error: WireError,
        /// Steps taken.
        steps: u32,
    }
    /// Payload of `task_cancelled`.
    TaskCancelled {
        /// Who cancelled; absent when the host did (shutdown of the session).
        by: Option<PrincipalId>,
        /// Steps taken.
        steps: u32,
    }
    /// Payload of `session_paused`.
    SessionPaused {
        /// Why it stands still and what makes it go on.
        reason: String,
    }
    /// Payload of `session_resumed`.
    SessionResumed {
        /// What happened to calls that were under way.
        reason: String,
    }
    /// Payload of `session_completed`.
    SessionCompleted {
        /// Tasks it had.
        tasks: u32,
    }
    /// Payload of `session_failed`.
    SessionFailed {
        /// Why.
        error: WireError,
    }
}

/// What policy said of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PolicyVerdict {
    /// It may run.
    Allowed,
    /// A person must be asked.
    ApprovalRequired,
    /// It may not run.
    Denied,
}

payloads! {
    /// Payload of `session_changed`.
    SessionChanged {
        /// The session as lists show it.
        session: SessionSummary,
    }
    /// Payload of `session_deleted`.
    SessionDeleted {
        /// The session.
        session_id: SessionId,
    }
    /// Payload of `approval_pending`.
    ApprovalPending {
        /// The session.
        session_id: SessionId,
        /// The question.
        approval_id: ApprovalId,
        /// One line: the command, the path, the address.
        action_summary: String,
        /// How much harm it could do.
        risk_level: RiskLevel,
        /// Counts as denied after this instant.
        deadline: Timestamp,
    }
    /// Payload of `approval_settled`.
    ApprovalSettled {
        /// The session.
        session_id: SessionId,
        /// The question.
        approval_id: ApprovalId,
    }
    /// Payload of `pairing_requested`.
    PairingRequested {
        /// The question.
        pairing_id: PairingId,
    }
    /// Payload of `pairing_settled`.
    PairingSettled {
        /// The question.
        pairing_id: PairingId,
        /// How it ended.
        end: PairingEnd,
    }
    /// Payload of `pairing_window_changed`.
    PairingWindowChanged {
        /// Whether one is open.
        open: bool,
        /// Why it changed, in a sentence.
        reason: String,
    }
    /// Payload of `device_changed`.
    DeviceChanged {
        /// The device.
        device_id: DeviceId,
    }
    /// Payload of `device_removed`.
    DeviceRemoved {
        /// The device.
        device_id: DeviceId,
    }
    /// Payload of `host_key_changed`.
    HostKeyChanged {
        /// What the host is known by now.
        host_id: HostId,
    }
    /// Payload of `central_changed`.
    CentralChanged {
        /// Whether the host is enrolled.
        enrolled: bool,
        /// Why it changed, in a sentence.
        reason: String,
    }
    /// Payload of `host_stopping`.
    HostStopping {
        /// State sessions are left in.
        state: SessionState,
    }
}
