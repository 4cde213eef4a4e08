//! Values for tests.

use lanyard_protocol::approval::{
    ApprovalAnswer, ApprovalDetail, ApprovalRequest, ChangeKind, CommandDetail, Decision, FileChangeDetail,
    RiskLevel,
};
use lanyard_protocol::device::{Device, PairingMethod, PendingPairing};
use lanyard_protocol::event::{
    ApprovalResolved, EventBody, FileChange, LlmRequestCompleted, SessionEvent, StepStarted, TaskCancelled,
    TaskCompleted, TaskFailed, TextDelta, ToolCompleted, ToolOutputDelta, ToolRequested, Usage,
};
use lanyard_protocol::health::{
    DiscoveryHealth, DiscoveryState, NetworkCounters, NetworkHealth, ReasonCount,
};
use lanyard_protocol::id::{
    ApprovalId, DeviceId, EventId, HostId, PairingId, PrincipalId, SessionId, StepId, StreamId, TaskId,
    ToolCallId, WorkspaceId,
};
use lanyard_protocol::policy::{Approver, Capability, Remember, SandboxLevel};
use lanyard_protocol::principal::Scope;
use lanyard_protocol::session::ModelInfo;
use lanyard_protocol::tool::{ToolResult, ToolStatus};
use lanyard_protocol::{ErrorCode, Json, Timestamp, WireError};

pub(crate) fn at() -> Timestamp {
    Timestamp::from_millis(1_771_686_262_123)
}

pub(crate) fn event(body: EventBody) -> SessionEvent {
    SessionEvent {
        event_id: EventId::new("e1").unwrap(),
        seq: body.is_durable().then_some(1),
        workspace_id: WorkspaceId::new("w1").unwrap(),
        session_id: SessionId::new("s1").unwrap(),
        task_id: Some(TaskId::new("t1").unwrap()),
        step_id: None,
        timestamp: at(),
        body,
    }
}

pub(crate) fn demo() -> ModelInfo {
    ModelInfo { name: "demo".into(), endpoint: String::new(), demo: true, source: "demo".into() }
}

fn request(detail: ApprovalDetail) -> ApprovalRequest {
    ApprovalRequest {
        approval_id: ApprovalId::new("apr1").unwrap(),
        workspace_id: WorkspaceId::new("w1").unwrap(),
        session_id: SessionId::new("s1").unwrap(),
        task_id: TaskId::new("t1").unwrap(),
        step_id: StepId::new("st1").unwrap(),
        tool_call_id: ToolCallId::new("c1").unwrap(),
        tool_name: "RunCommand".into(),
        capability: Capability::ShellExec,
        title: "Run this command?".into(),
        action_summary: "cargo test -p x".into(),
        risk_level: RiskLevel::High,
        reasons: vec!["Programs are asked about.".into()],
        detail,
        sandbox_level: SandboxLevel::Full,
        layer: "local".into(),
        approval_rule_id: None,
        approver: Approver::Any,
        max_remember: Remember::Always,
        remember_scope: "cargo test -p x in /w".into(),
        initiator: PrincipalId::new("owner").unwrap(),
        requested_at: at(),
        deadline: at().plus_millis(300_000),
        policy_epoch: 1,
    }
}

pub(crate) fn command_detail() -> CommandDetail {
    CommandDetail {
        argv: vec![vec!["cargo".into(), "test".into(), "a b".into(), "it's".into(), String::new()]],
        shell: None,
        opaque_reason: None,
        cwd: "/w".into(),
        stdin: None,
        environment: Vec::new(),
        network: false,
    }
}

pub(crate) fn command_request_of(detail: CommandDetail) -> ApprovalRequest {
    request(ApprovalDetail::Command(detail))
}

pub(crate) fn command_request() -> ApprovalRequest {
    command_request_of(command_detail())
}

pub(crate) fn file_request() -> ApprovalRequest {
    let diff = "@@ -1 +1 @@\n-old\n+new\n".to_owned();
    let change = FileChangeDetail {
        path: "src/a.rs".into(),
        new_path: None,
        change: ChangeKind::Modified,
        diff,
        truncated: false,
    };
    request(ApprovalDetail::FileChange(change))
}

pub(crate) fn resolved(decision: Decision, remember: Remember, reason: Option<&str>) -> EventBody {
    EventBody::ApprovalResolved(ApprovalResolved {
        approval_id: ApprovalId::new("apr1").unwrap(),
        tool_call_id: ToolCallId::new("c1").unwrap(),
        answer: ApprovalAnswer {
            decision,
            remember,
            decided_by: PrincipalId::new("phone").unwrap(),
            decided_at: at(),
            reason: reason.map(str::to_owned),
        },
        by_rule: false,
    })
}

pub(crate) fn step(step_number: u32) -> EventBody {
    EventBody::StepStarted(StepStarted { step_id: StepId::new("st1").unwrap(), step_number, max_steps: 50 })
}

pub(crate) fn text(offset: u64, text: &str) -> EventBody {
    EventBody::TextDelta(TextDelta { stream_id: StreamId::new("x1").unwrap(), offset, text: text.into() })
}

pub(crate) fn answered(text: &str) -> EventBody {
    EventBody::LlmRequestCompleted(LlmRequestCompleted {
        model: "m".into(),
        finish_reason: "stop".into(),
        text: text.into(),
        stream_id: StreamId::new("x1").unwrap(),
        tool_calls: 0,
        usage: Usage::default(),
        duration_ms: 7,
    })
}

pub(crate) fn requested(call: &str, summary: &str, risk_level: RiskLevel) -> EventBody {
    EventBody::ToolRequested(ToolRequested {
        tool_call_id: ToolCallId::new(call).unwrap(),
        tool_name: "RunCommand".into(),
        arguments: Json::object(),
        capability: None,
        summary: summary.into(),
        risk_level,
    })
}

pub(crate) fn output(call: &str, offset: u64, text: &str) -> EventBody {
    EventBody::ToolOutputDelta(ToolOutputDelta {
        tool_call_id: ToolCallId::new(call).unwrap(),
        stream_id: StreamId::new(format!("o-{call}")).unwrap(),
        offset,
        text: text.into(),
    })
}

pub(crate) fn tool_completed(status: ToolStatus) -> ToolCompleted {
    ToolCompleted {
        result: ToolResult {
            tool_name: "RunCommand".into(),
            workspace_id: WorkspaceId::new("w1").unwrap(),
            session_id: SessionId::new("s1").unwrap(),
            task_id: TaskId::new("t1").unwrap(),
            step_id: StepId::new("st1").unwrap(),
            tool_call_id: ToolCallId::new("c1").unwrap(),
            status,
            output_text: None,
            artifact_uris: Vec::new(),
            error: match status {
                ToolStatus::Succeeded => None,
                _ => Some(WireError::new(ErrorCode::ToolExecutionFailed, "it did not work")),
            },
        },
        exit_code: None,
        duration_ms: 12,
        sandbox_level: SandboxLevel::Full,
        changes: Vec::new(),
        replayed: false,
    }
}

pub(crate) fn change(path: &str) -> FileChange {
    FileChange { path: path.into(), change: ChangeKind::Created, lines_added: 3, lines_removed: 1 }
}

pub(crate) fn task_completed() -> TaskCompleted {
    let usage = Usage { input_tokens: 1_200, output_tokens: 34 };
    TaskCompleted { text: "All done.".into(), steps: 2, usage }
}

pub(crate) fn task_failed(code: ErrorCode) -> TaskFailed {
    TaskFailed { error: WireError::new(code, "It gave up."), steps: 1 }
}

pub(crate) fn task_cancelled() -> TaskCancelled {
    TaskCancelled { by: Some(PrincipalId::new("owner").unwrap()), steps: 1 }
}

pub(crate) fn pairing_asked(method: PairingMethod) -> PendingPairing {
    PendingPairing {
        pairing_id: PairingId::new("pair1").unwrap(),
        device_id: DeviceId::new("dev1").unwrap(),
        name: "Büro\u{1b}[2J".into(),
        platform: "linux".into(),
        address: "192.168.1.9:40000".into(),
        requested_scopes: vec![Scope::Approve, Scope::Observe, Scope::Operate],
        method,
        digits: None,
        known: false,
        made_by: None,
        asked_at: at(),
        expires_at: at().plus_millis(600_000),
    }
}

pub(crate) fn device(name: &str, id: &str) -> Device {
    Device {
        device_id: DeviceId::new(id).unwrap(),
        name: name.into(),
        platform: "linux".into(),
        scopes: vec![Scope::Observe, Scope::Operate],
        paired_at: at().plus_millis(-61_000),
        provisional_until: None,
        last_seen: None,
        last_address: None,
        connections: 0,
        page: None,
        temporary: false,
        made_by: None,
    }
}

pub(crate) fn network_health() -> NetworkHealth {
    let count = |reason: &str, count| ReasonCount { reason: reason.into(), count };
    NetworkHealth {
        origins: Vec::new(),
        host_id: HostId::new("host1").unwrap(),
        listening: Some("[::]:7717".into()),
        reachable_at: vec!["192.168.1.7:7717".into(), "[fd00::7]:7717".into()],
        discovery: DiscoveryHealth { state: DiscoveryState::Advertising, detail: "nas.local".into() },
        devices: 2,
        devices_connected: 1,
        counters: NetworkCounters {
            windows_opened: 3,
            pairing_attempts: 4,
            pairings: 2,
            pairing_aborts: vec![count("wrong_secret", 2)],
            connections: 9,
            refused: Vec::new(),
            disconnects: vec![count("closed", 7), count("timed_out", 1)],
            resumes: 5,
        },
    }
}
