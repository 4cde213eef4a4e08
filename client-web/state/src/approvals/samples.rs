//! Questions for tests.

use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::{
    ApprovalAnswer, ApprovalDetail, ApprovalRecord, ApprovalRequest, ApprovalState, CommandDetail, Decision,
    RiskLevel,
};
use lanyard_protocol::event::{ApprovalPending, ApprovalSettled, HostEvent, HostEventBody};
use lanyard_protocol::id::{ApprovalId, PrincipalId, SessionId, StepId, TaskId, ToolCallId, WorkspaceId};
use lanyard_protocol::policy::{Approver, Capability, Remember, SandboxLevel};

pub(crate) fn id(text: &str) -> ApprovalId {
    ApprovalId::new(text).unwrap()
}

pub(crate) fn session(text: &str) -> SessionId {
    SessionId::new(text).unwrap()
}

pub(crate) fn who(text: &str) -> PrincipalId {
    PrincipalId::new(text).unwrap()
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

/// Asked at `asked` seconds, with five minutes to answer.
pub(crate) fn request(name: &str, asked: i64) -> ApprovalRequest {
    ApprovalRequest {
        approval_id: id(name),
        workspace_id: WorkspaceId::new("w").unwrap(),
        session_id: session("s"),
        task_id: TaskId::new("t").unwrap(),
        step_id: StepId::new("st").unwrap(),
        tool_call_id: ToolCallId::new("c").unwrap(),
        tool_name: "shell".into(),
        capability: Capability::ShellExec,
        title: "Run this command?".into(),
        action_summary: format!("cargo test {name}"),
        risk_level: RiskLevel::Medium,
        reasons: vec!["Programs are asked about.".into()],
        detail: ApprovalDetail::Command(CommandDetail {
            argv: vec![vec!["cargo".into(), "test".into()]],
            shell: None,
            opaque_reason: None,
            cwd: "/home/mia/code".into(),
            stdin: None,
            environment: vec![],
            network: false,
        }),
        sandbox_level: SandboxLevel::Full,
        layer: "local".into(),
        approval_rule_id: None,
        approver: Approver::Any,
        max_remember: Remember::Always,
        remember_scope: "exactly this call of shell: cargo test, in /home/mia/code".into(),
        initiator: who("owner"),
        requested_at: at(asked),
        deadline: at(asked + 300),
        policy_epoch: 0,
    }
}

pub(crate) fn pending(name: &str, asked: i64) -> ApprovalRecord {
    ApprovalRecord {
        request: request(name, asked),
        state: ApprovalState::Pending,
        answer: None,
        receipts: vec![],
    }
}

pub(crate) fn answered(name: &str, asked: i64, decision: Decision, by: &str) -> ApprovalRecord {
    let state = match decision {
        Decision::Approved => ApprovalState::Approved,
        Decision::Denied => ApprovalState::Denied,
    };
    let answer = ApprovalAnswer {
        decision,
        remember: Remember::Once,
        decided_by: who(by),
        decided_at: at(asked + 10),
        reason: None,
    };
    ApprovalRecord { state, answer: Some(answer), ..pending(name, asked) }
}

pub(crate) fn asks(name: &str, asked: i64) -> HostEvent {
    let request = request(name, asked);
    HostEvent {
        host_seq: 1,
        timestamp: at(asked),
        body: HostEventBody::ApprovalPending(ApprovalPending {
            session_id: request.session_id,
            approval_id: request.approval_id,
            action_summary: request.action_summary,
            risk_level: request.risk_level,
            deadline: request.deadline,
        }),
    }
}

pub(crate) fn settles(name: &str, when: i64) -> HostEvent {
    let body = ApprovalSettled { session_id: session("s"), approval_id: id(name) };
    HostEvent { host_seq: 2, timestamp: at(when), body: HostEventBody::ApprovalSettled(body) }
}
