//! A judged call on its way: waiting for a person, permitted, over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lanyard_policy::approval::{Settlement, grant};
use lanyard_policy::decide::{Denial, DenialReason};
use lanyard_policy::demand::PlannedCall;
use lanyard_policy::layer::Layers;
use lanyard_policy::permit::{Ask, Basis, Permitted};
use lanyard_ports::fault;
use lanyard_ports::journal::{Baseline, CallPhase, CallRecord, JournalError, Replay, Write};
use lanyard_ports::router::{Lane, PreparedCall, ReadyCall, Settled, TaskTerms};
use lanyard_protocol::approval::{ApprovalDetail, ApprovalRecord};
use lanyard_protocol::envelope::{BoundedContext, Component, Severity};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::event::{EventBody, ToolCompleted};
use lanyard_protocol::id::ApprovalId;
use lanyard_protocol::limits::MAX_TOOL_OUTPUT_BYTES;
use lanyard_protocol::policy::SandboxLevel;
use lanyard_protocol::tool::{ToolRequest, ToolResult, ToolStatus};
use lanyard_tools::{Outcome, PreImage};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::desk::Question;
use crate::output;
use crate::plan::Work;
use crate::policy::PolicyLapse;
use crate::record::About;
use crate::remote;
use crate::router::RouterParts;

/// Looks at policy before a call that is about to start is given up. A look fails only when the policy changed in the
/// milliseconds it took.
const MAX_CONFIRMATIONS: u32 = 3;

/// What every stage of a call needs.
pub(crate) struct Call {
    pub(crate) parts: Arc<RouterParts>,
    pub(crate) request: ToolRequest,
    pub(crate) terms: TaskTerms,
    /// How far a record of before a restart says it came; the phase only moves forward.
    pub(crate) reached: Option<CallPhase>,
    pub(crate) lane: Lane,
    pub(crate) replay: Replay,
    pub(crate) summary: String,
}

impl Call {
    /// A call not yet planned: until then it counts as one that nothing may be done beside.
    pub(crate) fn new(
        parts: Arc<RouterParts>,
        request: ToolRequest,
        terms: TaskTerms,
        reached: Option<CallPhase>,
    ) -> Self {
        let (lane, replay) = (Lane::Barrier, Replay::Opaque);
        Self { parts, request, terms, reached, lane, replay, summary: String::new() }
    }

    pub(crate) fn event(&self, body: EventBody) -> Result<Write, JournalError> {
        self.parts.recorder().event(&self.request, body)
    }

    /// The call's row in a phase, unless it has come that far before.
    pub(crate) fn advance(&self, phase: CallPhase, approval_id: Option<ApprovalId>) -> Option<Write> {
        let forward = self.reached.is_none_or(|reached| reached < phase);
        forward.then(|| self.row(phase, approval_id, None))
    }

    fn row(
        &self,
        phase: CallPhase,
        approval_id: Option<ApprovalId>,
        completed: Option<ToolCompleted>,
    ) -> Write {
        Write::Call(Box::new(CallRecord {
            request: self.request.clone(),
            phase,
            replay: self.replay.clone(),
            approval_id,
            completed,
        }))
    }

    pub(crate) async fn append(&self, batch: Vec<Write>) -> Result<(), JournalError> {
        self.parts.journal.append(batch).await
    }

    /// Ends a call that never ran because somebody or something said no.
    pub(crate) async fn refuse(&self, error: WireError) -> Result<ToolResult, JournalError> {
        let status = match error.code {
            ErrorCode::ToolNotFound | ErrorCode::InvalidRequest | ErrorCode::ToolExecutionFailed => {
                ToolStatus::Failed
            }
            _ => ToolStatus::Denied,
        };
        self.never_ran(ToolResult::of(&self.request, status).with_error(error)).await
    }

    async fn never_ran(&self, result: ToolResult) -> Result<ToolResult, JournalError> {
        let completed = ToolCompleted {
            result: result.clone(),
            exit_code: None,
            duration_ms: 0,
            sandbox_level: SandboxLevel::None,
            changes: Vec::new(),
            replayed: false,
        };
        let batch = self.ended(completed, None, None)?;
        self.append(batch).await?;
        Ok(result)
    }

    /// The rows of a call's end: its record, its event, its audit record. One transaction.
    fn ended(
        &self,
        completed: ToolCompleted,
        basis: Option<&Basis>,
        approval_id: Option<ApprovalId>,
    ) -> Result<Vec<Write>, JournalError> {
        let severity = match completed.result.status {
            ToolStatus::Succeeded | ToolStatus::Cancelled => Severity::Info,
            ToolStatus::Failed | ToolStatus::Denied => Severity::Warning,
            ToolStatus::Indeterminate => Severity::Error,
        };
        let about = About {
            component: Component::LocalToolRuntime,
            context: BoundedContext::ToolExecution,
            severity,
        };
        let payload = json!({
            "toolName": self.request.tool_name,
            "capability": self.request.capability,
            "summary": self.summary,
            "status": completed.result.status,
            "errorCode": completed.result.error.as_ref().map(|e| e.code),
            "exitCode": completed.exit_code,
            "durationMs": completed.duration_ms,
            "sandboxLevel": completed.sandbox_level,
            "permittedBy": basis.map(basis_name),
            "approvalId": approval_id,
            "pathsChanged": completed.changes.iter().map(|c| c.path.as_str()).collect::<Vec<_>>(),
        });
        let user = self.terms.initiator.id.as_str();
        let audit = self.parts.recorder().audit(&self.request, user, "tool_completed", about, payload)?;
        let event = self.event(EventBody::ToolCompleted(completed.clone()))?;
        let phase = match completed.result.status {
            ToolStatus::Indeterminate => CallPhase::Indeterminate,
            _ => CallPhase::Finished,
        };
        Ok(vec![self.row(phase, approval_id, Some(completed)), event, audit])
    }

    fn failed(&self, error: &JournalError) -> ToolResult {
        tracing::error!(%error, call = %self.request.tool_call_id, "a call could not be recorded");
        let code = match error {
            JournalError::Full(_) => ErrorCode::StorageFull,
            _ => ErrorCode::InternalError,
        };
        ToolResult::of(&self.request, ToolStatus::Failed).with_error(WireError::new(code, error.to_string()))
    }
}

fn basis_name(basis: &Basis) -> &'static str {
    match basis {
        Basis::Policy => "policy",
        Basis::Waived { .. } => "waived by the initiator",
        Basis::Approved { .. } => "approval",
        Basis::Remembered { .. } => "remembered approval",
    }
}

/// A call that has its result.
pub(crate) struct Over(pub(crate) ToolResult);

#[async_trait::async_trait]
impl PreparedCall for Over {
    fn lane(&self) -> Lane {
        Lane::Read
    }

    fn awaits_person(&self) -> bool {
        false
    }

    async fn settle(self: Box<Self>, _: &CancellationToken) -> Settled {
        Settled::Done(Box::new(self.0))
    }
}

/// A call about which a person is asked.
pub(crate) struct Asking {
    pub(crate) call: Call,
    pub(crate) ask: Box<Ask>,
    pub(crate) detail: ApprovalDetail,
    pub(crate) baselines: Vec<PreImage>,
    pub(crate) work: Work,
}

#[async_trait::async_trait]
impl PreparedCall for Asking {
    fn lane(&self) -> Lane {
        self.call.lane.clone()
    }

    fn awaits_person(&self) -> bool {
        true
    }

    async fn settle(self: Box<Self>, cancel: &CancellationToken) -> Settled {
        let Self { call, ask, detail, baselines, work } = *self;
        match settle(&call, ask, detail, cancel).await {
            Ok(Ok(permit)) => Settled::Ready(Box::new(Permitting { call, permit, baselines, work })),
            Ok(Err(result)) => Settled::Done(Box::new(result)),
            Err(error) => Settled::Done(Box::new(call.failed(&error))),
        }
    }
}

/// Asks and waits. The inner error is the recorded result of a call that will not run.
async fn settle(
    call: &Call,
    ask: Box<Ask>,
    detail: ApprovalDetail,
    cancel: &CancellationToken,
) -> Result<Result<Permitted<PlannedCall>, ToolResult>, JournalError> {
    let parts = &call.parts;
    let now = parts.clock.now();
    let deadline = now.plus_millis(i64::from(parts.facts.approval_seconds) * 1000);
    let request = ask.request(&call.summary, detail, now, deadline);
    let (session, approval) = (request.session_id.clone(), request.approval_id.clone());
    let question = Question {
        request,
        fingerprint: ask.fingerprint().to_owned(),
        entitlement: ask.entitlement().clone(),
        principals: parts.principals.clone(),
    };
    let record: ApprovalRecord = tokio::select! {
        settled = parts.desk.ask(question) => settled?,
        lapse = parts.policy.revoked() => {
            parts.desk.withdraw(session, approval).await?;
            return call.refuse(lapse.to_wire()).await.map(Err);
        }
        () = cancel.cancelled() => {
            parts.desk.withdraw(session, approval).await?;
            return cancelled(call).await.map(Err);
        }
    };
    let reason = match grant(&record, parts.clock.now(), |id| parts.principals.standing(id)) {
        Settlement::Granted(granted) => match ask.approve(&granted) {
            Ok(permit) => {
                let row = call.advance(CallPhase::Authorized, Some(approval));
                call.append(row.into_iter().collect()).await?;
                return Ok(Ok(permit));
            }
            Err((ask, mismatch)) => {
                tracing::error!(%mismatch, approval = %approval, "an approval did not fit its question");
                let denial = ask.refuse(DenialReason::RightLost);
                return call.refuse(denial.to_wire()).await.map(Err);
            }
        },
        Settlement::Denied(reason) => DenialReason::NotApproved(reason),
        Settlement::Expired | Settlement::Waiting => DenialReason::Unanswered,
        Settlement::RightLost => DenialReason::RightLost,
        Settlement::Cancelled => return cancelled(call).await.map(Err),
    };
    call.refuse(ask.refuse(reason).to_wire()).await.map(Err)
}

async fn cancelled(call: &Call) -> Result<ToolResult, JournalError> {
    let error = WireError::new(ErrorCode::ApprovalDenied, "the task was cancelled before anybody answered");
    call.never_ran(ToolResult::of(&call.request, ToolStatus::Cancelled).with_error(error)).await
}

/// A call that may run.
pub(crate) struct Permitting {
    pub(crate) call: Call,
    pub(crate) permit: Permitted<PlannedCall>,
    pub(crate) baselines: Vec<PreImage>,
    pub(crate) work: Work,
}

#[async_trait::async_trait]
impl PreparedCall for Permitting {
    fn lane(&self) -> Lane {
        self.call.lane.clone()
    }

    fn awaits_person(&self) -> bool {
        false
    }

    async fn settle(self: Box<Self>, _: &CancellationToken) -> Settled {
        Settled::Ready(self)
    }
}

#[async_trait::async_trait]
impl ReadyCall for Permitting {
    async fn run(self: Box<Self>, cancel: &CancellationToken) -> ToolResult {
        let Self { call, permit, baselines, work } = *self;
        let started = match start(&call, permit, baselines).await {
            Ok(Ok(started)) => started,
            Ok(Err(refused)) => return refused,
            Err(error) => return call.failed(&error),
        };
        let Started { permit, basis, approval_id } = started;
        fault::point("tool.before");
        let began = Instant::now();
        let limits = permit.limits();
        let output = output::sink(&call);
        let limited = cancel.child_token();
        let running = async {
            let parts = &call.parts;
            match work {
                Work::Here(prepared) => {
                    lanyard_tools::execute(&parts.workspace, permit, prepared, &output, &limited).await
                }
                Work::Elsewhere(tool) => remote::run(parts, permit, tool, &limited).await,
            }
        };
        let seconds = limits.max_execution_time_seconds;
        // On the heap: the future of a command is large, and the loop holds several calls.
        let revoked = call.parts.policy.revoked();
        let outcome = Box::pin(within(running, seconds, revoked, &limited)).await;
        fault::point("tool.after");
        let cap = limits.max_output_bytes.and_then(|b| usize::try_from(b).ok()).unwrap_or(usize::MAX);
        finish(&call, outcome, began.elapsed(), cap.min(MAX_TOOL_OUTPUT_BYTES), &basis, approval_id).await
    }
}

struct Started {
    permit: Permitted<PlannedCall>,
    basis: Basis,
    approval_id: Option<ApprovalId>,
}

/// The last look and the record that the tool is about to begin. The inner error is the result of a call that may no
/// longer run.
///
/// Since the call was judged it may have waited for a person or behind another call. Policy, the approver's right and
/// the initiator's are asked again here, and policy once more when the record is on disk, because that takes a while;
/// that the files still are what was planned, `execute` finds out right before it acts.
async fn start(
    call: &Call,
    mut permit: Permitted<PlannedCall>,
    baselines: Vec<PreImage>,
) -> Result<Result<Started, ToolResult>, JournalError> {
    let policy = &call.parts.policy;
    let mut baselines = Some(baselines);
    for _ in 0..MAX_CONFIRMATIONS {
        let layers = match policy.current().await {
            Ok(layers) => layers,
            Err(lapse) => return call.refuse(lapse.to_wire()).await.map(Err),
        };
        permit = match confirmed(call, permit, &layers) {
            Ok(permit) => permit,
            Err(denial) => return call.refuse(denial.to_wire()).await.map(Err),
        };
        let approval_id = match permit.basis() {
            Basis::Approved { approval, .. } => Some(approval.clone()),
            Basis::Policy | Basis::Waived { .. } | Basis::Remembered { .. } => None,
        };
        if let Some(baselines) = baselines.take() {
            let mut batch = keep_baselines(call, baselines).await?;
            batch.extend(call.advance(CallPhase::Started, approval_id.clone()));
            call.parts.journal.commit(batch).await?;
        }
        if policy.still(&layers) {
            let basis = permit.basis().clone();
            return Ok(Ok(Started { permit, basis, approval_id }));
        }
    }
    let text = "the policy changed again and again while the call was about to start; ask for it once more";
    call.refuse(WireError::new(ErrorCode::PolicyExpired, text)).await.map(Err)
}

fn confirmed(
    call: &Call,
    permit: Permitted<PlannedCall>,
    layers: &Layers,
) -> Result<Permitted<PlannedCall>, Denial> {
    let contents = permit.get().contents().to_vec();
    let initiator = call.parts.initiator(&call.terms)?;
    let terms = call.parts.terms(&call.terms, &initiator);
    permit.confirm(contents, layers, &terms, |id| call.parts.principals.standing(id))
}

/// Pre-images of the files the call will change, kept as artifacts for the patch preview.
async fn keep_baselines(call: &Call, baselines: Vec<PreImage>) -> Result<Vec<Write>, JournalError> {
    if baselines.is_empty() {
        return Ok(Vec::new());
    }
    let artifacts = call.parts.artifacts.clone();
    let (session_id, task_id) = (call.request.session_id.clone(), call.request.task_id.clone());
    let keep = move || {
        let keep_one = |image: PreImage| {
            let content = image.content.map(|bytes| artifacts.put(&session_id, &bytes)).transpose()?;
            Ok(Write::Baseline(Box::new(Baseline {
                session_id: session_id.clone(),
                task_id: task_id.clone(),
                path: image.path,
                content,
                change: image.change,
            })))
        };
        baselines.into_iter().map(keep_one).collect()
    };
    tokio::task::spawn_blocking(keep).await.unwrap_or_else(|e| Err(JournalError::Refused(e.to_string())))
}

/// Holds a call to the seconds policy gives it, and to policy itself: a call over its time, or one whose policy is
/// taken back, is cancelled and says so.
async fn within(
    running: impl Future<Output = Outcome>,
    seconds: Option<u32>,
    revoked: impl Future<Output = PolicyLapse>,
    limited: &CancellationToken,
) -> Outcome {
    let out_of_time = async {
        match seconds {
            Some(seconds) => {
                tokio::time::sleep(Duration::from_secs(u64::from(seconds))).await;
                seconds
            }
            None => std::future::pending().await,
        }
    };
    tokio::pin!(running);
    let (status, error) = tokio::select! {
        biased;
        lapse = revoked => {
            let text = format!("ended because {lapse}");
            (ToolStatus::Cancelled, WireError::new(lapse.code(), text))
        }
        outcome = &mut running => return outcome,
        seconds = out_of_time => {
            let text = format!("ended after the {seconds} seconds that policy gives a call");
            (ToolStatus::Failed, WireError::new(ErrorCode::ToolExecutionFailed, text))
        }
    };
    limited.cancel();
    let mut outcome = running.await;
    match (outcome.status, &mut outcome.error) {
        (ToolStatus::Cancelled, _) => {
            outcome.status = status;
            outcome.error = Some(error);
        }
        // Ended here, and perhaps not where it runs.
        (ToolStatus::Indeterminate, Some(unknown)) => {
            unknown.message = format!("{}; {}", error.message, unknown.message);
        }
        _ => {}
    }
    outcome
}

/// Records the result. A result that cannot be recorded is not told as one: what happened is unknown to the record.
async fn finish(
    call: &Call,
    outcome: Outcome,
    took: Duration,
    cap: usize,
    basis: &Basis,
    approval_id: Option<ApprovalId>,
) -> ToolResult {
    let recorded = async {
        let mut result = ToolResult::of(&call.request, outcome.status);
        output::keep(&call.parts, &mut result, outcome.output, cap).await?;
        result.error = outcome.error;
        let completed = ToolCompleted {
            result: result.clone(),
            exit_code: outcome.exit_code,
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            sandbox_level: outcome.sandbox_level,
            changes: outcome.changes,
            replayed: false,
        };
        call.parts.journal.commit(call.ended(completed, Some(basis), approval_id)?).await?;
        Ok::<_, JournalError>(result)
    };
    match recorded.await {
        Ok(result) => result,
        Err(error) => {
            tracing::error!(%error, call = %call.request.tool_call_id, "the result of a call could not be recorded");
            let text = format!("the tool ran, but its result could not be recorded: {error}");
            let error = WireError::new(ErrorCode::OutcomeUnknown, text);
            ToolResult::of(&call.request, ToolStatus::Indeterminate).with_error(error)
        }
    }
}
