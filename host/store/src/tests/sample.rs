//! One of each: rows as the rest of the host would write them.

use lanyard_ports::journal::{
    AuditHead, Baseline, CallPhase, CallRecord, CentralSession, Checkpoint, CommandRecord, DeviceRecord,
    Enrolment, NewEvent, ProvisionalDevice, Replay, SessionProgress, SessionRecord, Write,
};
use lanyard_protocol::approval::{
    ApprovalAnswer, ApprovalDetail, ApprovalRecord, ApprovalRequest, ApprovalState, ChangeKind, Decision,
    DeliveryReceipt, OtherDetail, RememberedRule, RiskLevel,
};
use lanyard_protocol::device::ConnectionRecord;
use lanyard_protocol::envelope::{BoundedContext, Component, EventEnvelope, Severity};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::event::{
    EventBody, SessionPaused, StepStarted, TaskCompleted, TaskStarted, TextDelta, ToolCompleted, Usage,
};
use lanyard_protocol::id::{ArtifactId, SessionId, TaskId, ToolCallId};
use lanyard_protocol::message::{ConversationMessage, MessageToolCall, Provenance, Role, Trust};
use lanyard_protocol::method::{Done, Response};
use lanyard_protocol::policy::{Approver, Capability, Remember, SandboxLevel};
use lanyard_protocol::principal::{Principal, Scope};
use lanyard_protocol::session::{
    ModelInfo, SessionState, SessionSummary, TaskOptions, TaskState, TaskSummary, WorkspaceScope,
};
use lanyard_protocol::tool::{ToolRequest, ToolResult, ToolStatus};
use lanyard_protocol::{Json, Timestamp};

/// Any id, of the type that is wanted.
pub(crate) fn id<T: TryFrom<String>>(text: &str) -> T
where
    T::Error: std::fmt::Debug,
{
    T::try_from(text.to_owned()).unwrap()
}

pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn principal() -> Principal {
    Principal {
        id: id("owner"),
        name: "owner".to_owned(),
        scopes: vec![Scope::Observe, Scope::Operate],
        local: true,
    }
}

pub(crate) fn session_record(session: &str, created: i64) -> SessionRecord {
    SessionRecord {
        summary: SessionSummary {
            session_id: id(session),
            workspace_id: id("ws1"),
            workspace_scope: WorkspaceScope::Local,
            workspace_roots: vec!["/work/p".to_owned()],
            name: format!("Session {session}"),
            state: SessionState::SessionCreated,
            last_task: None,
            pending_approvals: 0,
            last_seq: 0,
            created_at: at(created),
            updated_at: at(created),
        },
        roots: vec!["/work/p".into(), "/work/q".into()],
        scope: WorkspaceScope::Local,
        created_by: principal(),
        tokens_used: 0,
        agent_id: None,
    }
}

pub(crate) fn session(session: &str) -> Write {
    Write::Session(Box::new(session_record(session, 1_000)))
}

fn progress_record(session: &str) -> SessionProgress {
    SessionProgress {
        session_id: id(session),
        state: None,
        task: None,
        name: None,
        add_tokens: 0,
        at: at(2_000),
    }
}

/// A change that `with` fills in.
pub(crate) fn progress(session: &str, with: impl FnOnce(&mut SessionProgress)) -> Write {
    let mut progress = progress_record(session);
    with(&mut progress);
    Write::Progress(Box::new(progress))
}

pub(crate) fn task(task: &str, state: TaskState) -> TaskSummary {
    TaskSummary {
        task_id: id(task),
        prompt: "do it".to_owned(),
        state,
        steps: 2,
        error: (state == TaskState::Failed).then(|| WireError::new(ErrorCode::MaxStepsExceeded, "too many")),
        started_at: at(1_500),
        ended_at: (state != TaskState::Running).then(|| at(1_900)),
    }
}

pub(crate) fn event_of(session: &str, body: EventBody) -> Write {
    Write::Event(Box::new(NewEvent {
        event_id: id("ev"),
        workspace_id: id("ws1"),
        session_id: id(session),
        task_id: Some(id("t1")),
        step_id: None,
        timestamp: at(1_700),
        body,
    }))
}

/// An event that carries a text.
pub(crate) fn event(session: &str, text: &str) -> Write {
    event_of(session, EventBody::SessionPaused(SessionPaused { reason: text.to_owned() }))
}

pub(crate) fn events(session: &str, texts: impl IntoIterator<Item = String>) -> Vec<Write> {
    texts.into_iter().map(|text| event(session, &text)).collect()
}

pub(crate) fn step_started(session: &str) -> Write {
    event_of(
        session,
        EventBody::StepStarted(StepStarted { step_id: id("s1"), step_number: 1, max_steps: 50 }),
    )
}

pub(crate) fn delta(session: &str) -> Write {
    event_of(
        session,
        EventBody::TextDelta(TextDelta { stream_id: id("st1"), offset: 0, text: "part".to_owned() }),
    )
}

pub(crate) fn prompt(session: &str, text: &str) -> Write {
    event_of(
        session,
        EventBody::TaskStarted(TaskStarted {
            prompt: text.to_owned(),
            options: TaskOptions::default(),
            initiator: principal(),
            model: ModelInfo {
                name: "demo".to_owned(),
                endpoint: String::new(),
                demo: true,
                source: "demo".to_owned(),
            },
            instructions: vec!["AGENTS.md".to_owned()],
        }),
    )
}

pub(crate) fn answer(session: &str, text: &str) -> Write {
    event_of(
        session,
        EventBody::TaskCompleted(TaskCompleted {
            text: text.to_owned(),
            steps: 1,
            usage: Usage { input_tokens: 3, output_tokens: 4 },
        }),
    )
}

pub(crate) fn message_record(session: &str, text: &str) -> ConversationMessage {
    ConversationMessage {
        message_id: id("m1"),
        session_id: id(session),
        task_id: Some(id("t1")),
        step_id: Some(id("s1")),
        role: Role::Assistant,
        content: text.to_owned(),
        tool_calls: vec![MessageToolCall {
            tool_call_id: id("c1"),
            tool_name: "ReadFile".to_owned(),
            arguments: Json(serde_json::json!({"path": "a"})),
        }],
        tool_call_id: None,
        token_count: Some(9),
        provenance: Some(Provenance { source: "user".to_owned(), trust: Trust::Trusted }),
        timestamp: at(1_600),
    }
}

pub(crate) fn message(session: &str, text: &str) -> Write {
    Write::Message(Box::new(message_record(session, text)))
}

pub(crate) fn request(session: &str, call: &str) -> ToolRequest {
    ToolRequest {
        tool_name: "RunCommand".to_owned(),
        arguments: Json(serde_json::json!({"argv": ["cargo", "check"]})),
        workspace_id: id("ws1"),
        session_id: id(session),
        task_id: id("t1"),
        step_id: id("s1"),
        tool_call_id: id(call),
        capability: Some(Capability::ShellExec),
    }
}

pub(crate) fn completed(session: &str, call: &str, output: &str) -> ToolCompleted {
    let mut result = ToolResult::of(&request(session, call), ToolStatus::Succeeded);
    result.output_text = Some(output.to_owned());
    ToolCompleted {
        result,
        exit_code: Some(0),
        duration_ms: 12,
        sandbox_level: SandboxLevel::Full,
        changes: Vec::new(),
        replayed: false,
    }
}

/// A call in a phase; with an outcome from `Finished` on.
pub(crate) fn call_record(session: &str, call: &str, phase: CallPhase) -> CallRecord {
    CallRecord {
        request: request(session, call),
        phase,
        replay: Replay::FileWrite { path: "/work/p/a".into(), pre: None, post: Some("ab".to_owned()) },
        approval_id: Some(id("ap1")),
        completed: (phase >= CallPhase::Finished).then(|| completed(session, call, "fine")),
    }
}

pub(crate) fn call(session: &str, call: &str, phase: CallPhase) -> Write {
    Write::Call(Box::new(call_record(session, call, phase)))
}

pub(crate) fn approval_record(
    session: &str,
    approval: &str,
    state: ApprovalState,
    asked: i64,
) -> ApprovalRecord {
    let decision = match state {
        ApprovalState::Approved => Some(Decision::Approved),
        ApprovalState::Denied => Some(Decision::Denied),
        ApprovalState::Pending | ApprovalState::Expired | ApprovalState::Cancelled => None,
    };
    ApprovalRecord {
        request: ApprovalRequest {
            approval_id: id(approval),
            workspace_id: id("ws1"),
            session_id: id(session),
            task_id: id("t1"),
            step_id: id("s1"),
            tool_call_id: id("c1"),
            tool_name: "RunCommand".to_owned(),
            capability: Capability::ShellExec,
            title: "Run this command?".to_owned(),
            action_summary: "cargo check".to_owned(),
            risk_level: RiskLevel::High,
            reasons: vec!["it runs a program".to_owned()],
            detail: ApprovalDetail::Other(OtherDetail { text: "cargo check".to_owned() }),
            sandbox_level: SandboxLevel::Full,
            layer: "local".to_owned(),
            approval_rule_id: None,
            approver: Approver::Any,
            max_remember: Remember::Always,
            remember_scope: "cargo check in /work/p".to_owned(),
            initiator: id("owner"),
            requested_at: at(asked),
            deadline: at(asked + 300_000),
            policy_epoch: 1,
        },
        state,
        answer: decision.map(|decision| ApprovalAnswer {
            decision,
            remember: Remember::Once,
            decided_by: id("owner"),
            decided_at: at(asked + 10),
            reason: None,
        }),
        receipts: vec![DeliveryReceipt { principal: id("owner"), shown_at: at(asked + 1) }],
    }
}

pub(crate) fn approval(session: &str, approval: &str, state: ApprovalState) -> Write {
    Write::Approval(Box::new(approval_record(session, approval, state, 3_000)))
}

pub(crate) fn rule_record(rule: &str, session: Option<&str>) -> RememberedRule {
    RememberedRule {
        rule_id: id(rule),
        remember: if session.is_some() { Remember::Session } else { Remember::Always },
        session_id: session.map(id),
        task_id: None,
        workspace_id: id("ws1"),
        tool_name: "RunCommand".to_owned(),
        fingerprint: "ab".repeat(32),
        scope_text: "cargo check".to_owned(),
        created_by: id("owner"),
        created_at: at(3_100),
    }
}

pub(crate) fn rule(rule: &str, session: Option<&str>) -> Write {
    Write::Rule(Box::new(rule_record(rule, session)))
}

pub(crate) fn checkpoint_record(session: &str) -> Checkpoint {
    Checkpoint {
        session_id: id(session),
        task_id: id("t1"),
        prompt: "do it".to_owned(),
        options: TaskOptions::default(),
        initiator: principal(),
        step_id: id("s1"),
        step_number: 3,
        calls_under_way: true,
        usage: Usage { input_tokens: 1, output_tokens: 2 },
        started_at: at(1_500),
        resumes: 1,
    }
}

pub(crate) fn checkpoint(session: &str) -> Write {
    Write::Checkpoint(Box::new(checkpoint_record(session)))
}

pub(crate) fn baseline_record(session: &str, path: &str, content: Option<ArtifactId>) -> Baseline {
    Baseline {
        session_id: id(session),
        task_id: id("t1"),
        path: path.into(),
        content,
        change: ChangeKind::Modified,
    }
}

pub(crate) fn command_record(command: &str, fingerprint: &str, millis: i64) -> CommandRecord {
    CommandRecord {
        command_id: id(command),
        principal: id("owner"),
        fingerprint: fingerprint.to_owned(),
        response: Response::EndSession(Done {}),
        at: at(millis),
    }
}

pub(crate) fn command(command: &str, fingerprint: &str, millis: i64) -> Write {
    Write::Command(Box::new(command_record(command, fingerprint, millis)))
}

pub(crate) fn envelope(session: &str) -> EventEnvelope {
    EventEnvelope {
        event_id: id("ev"),
        event_type: "tool_completed".to_owned(),
        timestamp: at(1_800),
        tenant_id: "local".to_owned(),
        user_id: "owner".to_owned(),
        workspace_id: id("ws1"),
        session_id: id(session),
        task_id: Some(id("t1")),
        step_id: None,
        tool_call_id: Some(id("c1")),
        component: Component::LocalToolRuntime,
        bounded_context: BoundedContext::ToolExecution,
        severity: Severity::Info,
        payload: Json(serde_json::json!({"exit": 0})),
    }
}

/// A device that is not yet known to know; `key` fills both of its keys.
pub(crate) fn device_record(device: &str, key: u8) -> DeviceRecord {
    DeviceRecord {
        device_id: id(device),
        name: format!("Device {device}"),
        platform: "linux".to_owned(),
        signing_key: [key; 32],
        agreement_key: [key ^ 0xff; 32],
        scopes: vec![Scope::Observe, Scope::Approve],
        paired_at: at(5_000),
        last_seen: Some((at(5_100), "192.0.2.7:4242".to_owned())),
        provisional: Some(ProvisionalDevice { until: at(605_000), state: vec![1, 2, 0xff] }),
        made_by: None,
    }
}

pub(crate) fn device(device: &str, key: u8) -> Write {
    Write::Device(Box::new(device_record(device, key)))
}

pub(crate) fn connection_record(number: u64, ended: bool) -> ConnectionRecord {
    ConnectionRecord {
        connection: number,
        device_id: id("d1"),
        name: "Device d1".to_owned(),
        address: "[fe80::1%2]:4242".to_owned(),
        connected_at: at(6_000),
        ended_at: ended.then(|| at(7_000)),
        end_reason: ended.then(|| "timed_out".to_owned()),
    }
}

pub(crate) fn connection(number: u64, ended: bool) -> Write {
    Write::Connection(Box::new(connection_record(number, ended)))
}

pub(crate) fn count(name: &str, add: u64) -> Write {
    Write::Count(vec![(name.to_owned(), add)])
}

/// What a step with one tool call writes before the tool starts.
pub(crate) fn step_before(session: &str, number: usize) -> Vec<Write> {
    let call_id = format!("c{number}");
    vec![
        step_started(session),
        event(session, &"the model's answer, a paragraph of it. ".repeat(8)),
        message(session, "I will run cargo check."),
        event(session, "tool_requested"),
        event(session, "policy_decided"),
        call(session, &call_id, CallPhase::Started),
        checkpoint(session),
        progress(session, |p| p.state = Some(SessionState::WaitingForTool)),
    ]
}

/// What it writes afterwards.
pub(crate) fn step_after(session: &str, number: usize) -> Vec<Write> {
    let call_id = format!("c{number}");
    vec![
        call(session, &call_id, CallPhase::Finished),
        event_of(
            session,
            EventBody::ToolCompleted(completed(session, &call_id, &"a line of output\n".repeat(60))),
        ),
        message(session, &"a line of output\n".repeat(60)),
        call(session, &call_id, CallPhase::Reported),
        Write::Audit(Box::new(envelope(session))),
        checkpoint(session),
        progress(session, |p| {
            p.state = Some(SessionState::WaitingForLlm);
            p.add_tokens = 100;
        }),
    ]
}

pub(crate) fn audit(session: &str) -> Write {
    Write::Audit(Box::new(envelope(session)))
}

pub(crate) fn enrolment_record(agent: &str, tenant: &str, first_outbox: u64) -> Enrolment {
    Enrolment { agent_id: agent.to_owned(), tenant_id: tenant.to_owned(), first_outbox }
}

pub(crate) fn enrol(agent: &str, tenant: &str) -> Write {
    // The number is the store's own; a wrong one must not matter.
    Write::Enrol(Box::new(enrolment_record(agent, tenant, 99)))
}

pub(crate) fn head(seq: u64) -> AuditHead {
    AuditHead { seq, hash: [u8::try_from(seq % 256).unwrap(); 32] }
}

pub(crate) fn central_session_record(session: &str, shipped_seq: u64) -> CentralSession {
    CentralSession {
        session_id: sid(session),
        workspace_id: id("ws1"),
        shipped_seq,
        timeline: true,
        upload: Some(1 << 20),
        job_id: Some("job-1".to_owned()),
        deleted: false,
    }
}

pub(crate) fn central_session(session: &str, shipped_seq: u64) -> Write {
    Write::CentralSession(Box::new(central_session_record(session, shipped_seq)))
}

pub(crate) fn sid(text: &str) -> SessionId {
    id(text)
}

pub(crate) fn tid(text: &str) -> TaskId {
    id(text)
}

pub(crate) fn cid(text: &str) -> ToolCallId {
    id(text)
}
