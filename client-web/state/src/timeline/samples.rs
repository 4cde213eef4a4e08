//! Sessions as a host tells them, for tests: every kind of event, calls side by side, retries, pauses, deltas.

use lanyard_protocol::approval::{
    ApprovalAnswer, ApprovalDetail, ApprovalRequest, ChangeKind, Decision, OtherDetail, RiskLevel,
};
use lanyard_protocol::event::*;
use lanyard_protocol::id::*;
use lanyard_protocol::json::Json;
use lanyard_protocol::policy::{Approver, Capability, Remember, SandboxLevel};
use lanyard_protocol::principal::Principal;
use lanyard_protocol::session::{ModelInfo, TaskOptions};
use lanyard_protocol::tool::{ToolRequest, ToolResult, ToolStatus};
use lanyard_protocol::{ErrorCode, Timestamp, WireError};

/// Writes a log.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    pub(super) events: Vec<SessionEvent>,
    seq: u64,
    task: u32,
    step: u32,
    steps: u32,
    call: u32,
    stream: u32,
    usage: Usage,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Done,
    Failed,
    Refused,
    Approved,
    Denied,
    Expired,
    Unknown,
    Open,
}

impl Log {
    pub(super) fn task_id(&self) -> TaskId {
        TaskId::new(format!("task-{}", self.task)).unwrap()
    }

    fn step_id(&self) -> StepId {
        StepId::new(format!("step-{}-{}", self.task, self.step)).unwrap()
    }

    fn stream_id(&self) -> StreamId {
        StreamId::new(format!("stream-{}", self.stream)).unwrap()
    }

    fn write(&mut self, durable: bool, step: bool, body: EventBody) {
        self.seq += u64::from(durable);
        let event = SessionEvent {
            event_id: EventId::new(format!("e{}", self.events.len())).unwrap(),
            seq: durable.then_some(self.seq),
            workspace_id: WorkspaceId::new("w").unwrap(),
            session_id: SessionId::new("s").unwrap(),
            task_id: (self.task > 0).then(|| self.task_id()),
            step_id: step.then(|| self.step_id()),
            timestamp: Timestamp::from_millis(1_000 * i64::try_from(self.events.len()).unwrap()),
            body,
        };
        self.events.push(event);
    }

    pub(super) fn task(&mut self, prompt: &str) {
        self.task += 1;
        self.step = 0;
        self.steps = 0;
        self.usage = Usage::default();
        let initiator = Principal {
            id: PrincipalId::new("owner").unwrap(),
            name: "owner".into(),
            scopes: vec![],
            local: true,
        };
        let model =
            ModelInfo { name: "m".into(), endpoint: String::new(), demo: true, source: "demo".into() };
        let (options, prompt) = (TaskOptions::default(), prompt.to_owned());
        self.write(
            true,
            false,
            EventBody::TaskStarted(TaskStarted { prompt, options, initiator, model, instructions: vec![] }),
        );
    }

    pub(super) fn step(&mut self) {
        self.step += 1;
        self.steps += 1;
        let (step_id, step_number) = (self.step_id(), self.step);
        self.write(true, true, EventBody::StepStarted(StepStarted { step_id, step_number, max_steps: 50 }));
        let asked =
            LlmRequestStarted { model: "m".into(), demo: true, message_count: 1, estimated_tokens: 1 };
        self.write(true, true, EventBody::LlmRequestStarted(asked));
        self.stream += 1;
    }

    pub(super) fn piece(&mut self, offset: u64, text: &str) {
        let delta = TextDelta { stream_id: self.stream_id(), offset, text: text.into() };
        self.write(false, true, EventBody::TextDelta(delta));
    }

    pub(super) fn retry(&mut self) {
        let error = WireError::new(ErrorCode::LlmUnavailable, "no answer");
        let retry =
            LlmRetry { attempt: 1, max_attempts: 3, delay_ms: 10, error, stream_id: self.stream_id() };
        self.write(true, true, EventBody::LlmRetry(retry));
        self.stream += 1;
    }

    pub(super) fn answer(&mut self, text: &str, calls: u32) {
        let usage = Usage { input_tokens: 10, output_tokens: 3 };
        self.usage.input_tokens += 10;
        self.usage.output_tokens += 3;
        let done = LlmRequestCompleted {
            model: "m".into(),
            finish_reason: "stop".into(),
            text: text.into(),
            stream_id: self.stream_id(),
            tool_calls: calls,
            usage,
            duration_ms: 5,
        };
        self.write(true, true, EventBody::LlmRequestCompleted(done));
    }

    pub(super) fn request(&mut self) -> ToolCallId {
        self.call += 1;
        let tool_call_id = ToolCallId::new(format!("call-{}", self.call)).unwrap();
        let asked = ToolRequested {
            tool_call_id: tool_call_id.clone(),
            tool_name: "RunCommand".into(),
            arguments: Json::object(),
            capability: Some(Capability::ShellExec),
            summary: format!("Run command {}", self.call),
            risk_level: RiskLevel::Medium,
        };
        self.write(true, true, EventBody::ToolRequested(asked));
        tool_call_id
    }

    pub(super) fn judged(&mut self, call: &ToolCallId, verdict: PolicyVerdict) {
        let decided = PolicyDecided {
            tool_call_id: call.clone(),
            verdict,
            layer: "local".into(),
            reason: "because".into(),
            sandbox_level: SandboxLevel::Full,
        };
        self.write(true, true, EventBody::PolicyDecided(decided));
    }

    pub(super) fn asked(&mut self, call: &ToolCallId) {
        let approval = ApprovalRequest {
            approval_id: approval_of(call),
            workspace_id: WorkspaceId::new("w").unwrap(),
            session_id: SessionId::new("s").unwrap(),
            task_id: self.task_id(),
            step_id: self.step_id(),
            tool_call_id: call.clone(),
            tool_name: "RunCommand".into(),
            capability: Capability::ShellExec,
            title: "Run this command?".into(),
            action_summary: "cargo test".into(),
            risk_level: RiskLevel::Medium,
            reasons: vec![],
            detail: ApprovalDetail::Other(OtherDetail { text: "x".into() }),
            sandbox_level: SandboxLevel::Full,
            layer: "local".into(),
            approval_rule_id: None,
            approver: Approver::Any,
            max_remember: Remember::Once,
            remember_scope: String::new(),
            initiator: PrincipalId::new("owner").unwrap(),
            requested_at: Timestamp::from_millis(0),
            deadline: Timestamp::from_millis(300_000),
            policy_epoch: 1,
        };
        self.write(true, true, EventBody::ApprovalRequested(ApprovalRequested { approval }));
    }

    pub(super) fn resolved(&mut self, call: &ToolCallId, decision: Decision) {
        let answer = ApprovalAnswer {
            decision,
            remember: Remember::Once,
            decided_by: PrincipalId::new("owner").unwrap(),
            decided_at: Timestamp::from_millis(0),
            reason: None,
        };
        let (approval_id, tool_call_id) = (approval_of(call), call.clone());
        let resolved = ApprovalResolved { approval_id, tool_call_id, answer, by_rule: false };
        self.write(true, true, EventBody::ApprovalResolved(resolved));
    }

    pub(super) fn output(&mut self, call: &ToolCallId, offset: u64, text: &str) {
        let stream_id = StreamId::new(format!("out-{call}")).unwrap();
        let delta = ToolOutputDelta { tool_call_id: call.clone(), stream_id, offset, text: text.into() };
        self.write(false, true, EventBody::ToolOutputDelta(delta));
    }

    pub(super) fn finished(&mut self, call: &ToolCallId, status: ToolStatus, output: &str) {
        let request = ToolRequest {
            tool_name: "RunCommand".into(),
            arguments: Json::object(),
            workspace_id: WorkspaceId::new("w").unwrap(),
            session_id: SessionId::new("s").unwrap(),
            task_id: self.task_id(),
            step_id: self.step_id(),
            tool_call_id: call.clone(),
            capability: None,
        };
        let mut result = ToolResult::of(&request, status);
        result.output_text = Some(output.to_owned());
        let changes = vec![FileChange {
            path: "src/a.rs".into(),
            change: ChangeKind::Modified,
            lines_added: 4,
            lines_removed: 1,
        }];
        let done = ToolCompleted {
            result,
            exit_code: Some(0),
            duration_ms: 38,
            sandbox_level: SandboxLevel::Full,
            changes,
            replayed: false,
        };
        self.write(true, true, EventBody::ToolCompleted(done));
    }

    /// The whole course of some calls side by side.
    pub(super) fn calls(&mut self, fates: &[Fate], output: &str) {
        let calls: Vec<ToolCallId> = fates.iter().map(|_| self.request()).collect();
        for (call, fate) in calls.iter().zip(fates) {
            let verdict = match fate {
                Fate::Refused => PolicyVerdict::Denied,
                Fate::Approved | Fate::Denied | Fate::Expired => PolicyVerdict::ApprovalRequired,
                _ => PolicyVerdict::Allowed,
            };
            self.judged(call, verdict);
            if verdict == PolicyVerdict::ApprovalRequired {
                self.asked(call);
            }
        }
        for (call, fate) in calls.iter().zip(fates) {
            match fate {
                Fate::Approved => self.resolved(call, Decision::Approved),
                Fate::Denied => self.resolved(call, Decision::Denied),
                Fate::Expired => {
                    let (approval_id, tool_call_id) = (approval_of(call), call.clone());
                    let expired = ApprovalExpired { approval_id, tool_call_id };
                    self.write(true, true, EventBody::ApprovalExpired(expired));
                }
                _ => {}
            }
            if matches!(fate, Fate::Done | Fate::Failed | Fate::Approved | Fate::Unknown) {
                self.output(call, 0, output);
            }
        }
        for (call, fate) in calls.iter().zip(fates) {
            let status = match fate {
                Fate::Open => continue,
                Fate::Done | Fate::Approved => ToolStatus::Succeeded,
                Fate::Failed => ToolStatus::Failed,
                Fate::Unknown => ToolStatus::Indeterminate,
                _ => ToolStatus::Denied,
            };
            self.finished(call, status, output);
        }
    }

    pub(super) fn step_done(&mut self, tool_calls: u32) {
        let (step_id, step_number) = (self.step_id(), self.step);
        self.write(true, true, EventBody::StepCompleted(StepCompleted { step_id, step_number, tool_calls }));
    }

    pub(super) fn paused(&mut self) {
        self.write(
            true,
            false,
            EventBody::SessionPaused(SessionPaused { reason: "the host stopped".into() }),
        );
        self.write(true, false, EventBody::SessionResumed(SessionResumed { reason: "it is back".into() }));
    }

    pub(super) fn compacted(&mut self) {
        let compacted =
            ContextCompacted { tokens_before: 9, tokens_after: 3, outputs_masked: 1, messages_summarised: 0 };
        self.write(true, true, EventBody::ContextCompacted(compacted));
    }

    pub(super) fn done(&mut self, text: &str) {
        let done = TaskCompleted { text: text.into(), steps: self.steps, usage: self.usage };
        self.write(true, false, EventBody::TaskCompleted(done));
    }

    pub(super) fn failed(&mut self) {
        let error = WireError::new(ErrorCode::LlmUnavailable, "the model is gone");
        self.write(true, false, EventBody::TaskFailed(TaskFailed { error, steps: self.steps }));
    }

    pub(super) fn cancelled(&mut self) {
        self.write(true, false, EventBody::TaskCancelled(TaskCancelled { by: None, steps: self.steps }));
    }

    /// Only what is stored.
    pub(super) fn durable(&self) -> Vec<SessionEvent> {
        self.events.iter().filter(|event| event.seq.is_some()).cloned().collect()
    }
}

fn approval_of(call: &ToolCallId) -> ApprovalId {
    ApprovalId::new(format!("approval-{call}")).unwrap()
}
