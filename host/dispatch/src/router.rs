//! Prepares calls: recognises interrupted ones, plans, asks policy, and records what was decided.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lanyard_policy::decide::{
    Denial, Terms, Unconfined, Verdict, commands_may_use_network, decide, permit_initiator, permit_planning,
    programs_may_run,
};
use lanyard_policy::demand::PlannedCall;
use lanyard_policy::filter::ReadFilter;
use lanyard_policy::layer::Layers;
use lanyard_policy::permit::{Basis, Permitted};
use lanyard_ports::authority::Principals;
use lanyard_ports::journal::{ArtifactStore, CallPhase, Journal, JournalError, Write};
use lanyard_ports::remote::{RemoteTool, RemoteTools};
use lanyard_ports::router::{PreparedCall, TaskTerms, ToolRouter};
use lanyard_ports::sink::DeltaSink;
use lanyard_ports::source::{Clock, IdSource};
use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::{ApprovalAnswer, Decision, RiskLevel};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::event::{ApprovalResolved, EventBody, PolicyDecided, PolicyVerdict, ToolRequested};
use lanyard_protocol::id::HostId;
use lanyard_protocol::policy::Capability;
use lanyard_protocol::principal::Principal;
use lanyard_protocol::tool::{ToolRequest, ToolResult, ToolSpec, ToolStatus};
use lanyard_tools::{PlanError, PlanTerms, Searchable, Workspace};

use crate::backlog;
use crate::call::{Asking, Call, Over, Permitting};
use crate::desk::ApprovalDesk;
use crate::plan::Planned;
use crate::policy::SessionPolicy;
use crate::record::Recorder;
use crate::recover::{Interrupted, look_up};
use crate::remote;

/// The layer that stands for the host itself, beside those of policy.
const HOST: &str = "host";

/// What is true of the whole host.
#[derive(Debug, Clone)]
pub struct HostFacts {
    /// This host.
    pub host_id: HostId,
    /// Its tenant; `local` without a backend.
    pub tenant_id: String,
    /// Whether programs may run where the sandbox cannot keep them from approving themselves.
    pub unconfined: Unconfined,
    /// Seconds a question waits.
    pub approval_seconds: u32,
    /// When it started; what is older and half-written is an earlier host's.
    pub started_at: Timestamp,
}

/// What a session's router is made of.
#[derive(Clone)]
pub struct RouterParts {
    /// What is true of the host.
    pub facts: HostFacts,
    /// The policy in force for the session.
    pub policy: Arc<SessionPolicy>,
    /// Where its tools work.
    pub workspace: Arc<Workspace>,
    /// Tools that run elsewhere.
    pub remote: Arc<dyn RemoteTools>,
    /// Where questions wait.
    pub desk: ApprovalDesk,
    /// Who may answer, as of now.
    pub principals: Arc<dyn Principals>,
    /// The durable record.
    pub journal: Arc<dyn Journal>,
    /// Long outputs and pre-images.
    pub artifacts: Arc<dyn ArtifactStore>,
    /// Where output goes while it streams.
    pub deltas: Arc<dyn DeltaSink>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Fresh ids.
    pub ids: Arc<dyn IdSource>,
}

impl std::fmt::Debug for RouterParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RouterParts")
            .field("facts", &self.facts)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl RouterParts {
    pub(crate) fn recorder(&self) -> Recorder {
        let tenant_id = self.facts.tenant_id.clone();
        Recorder { clock: self.clock.clone(), ids: self.ids.clone(), tenant_id }
    }

    /// Who started the task, with the rights held at this moment: those the task began with may be gone.
    pub(crate) fn initiator(&self, task: &TaskTerms) -> Result<Principal, Denial> {
        permit_initiator(self.principals.standing(&task.initiator.id))
    }

    /// What a decision depends on besides policy and call. `initiator` comes from [`RouterParts::initiator`].
    pub(crate) fn terms<'t>(&'t self, task: &'t TaskTerms, initiator: &'t Principal) -> Terms<'t> {
        Terms {
            host: &self.facts.host_id,
            initiator,
            options: &task.options,
            sandbox: self.workspace.sandbox_level(),
            unconfined: self.facts.unconfined,
            places: self.workspace.places(),
            now: self.clock.now(),
        }
    }
}

/// The tools of one session, behind policy and approval.
#[derive(Debug)]
pub struct SessionRouter {
    parts: Arc<RouterParts>,
    /// Whether the log says already that not everything is offered.
    told_of_room: AtomicBool,
}

impl SessionRouter {
    /// A router over its parts.
    pub fn new(parts: RouterParts) -> Self {
        Self { parts: Arc::new(parts), told_of_room: AtomicBool::new(false) }
    }
}

#[async_trait::async_trait]
impl ToolRouter for SessionRouter {
    fn specs(&self) -> Vec<ToolSpec> {
        // A tool none of whose capabilities is granted would only be asked for in vain.
        let layers = self.parts.policy.held();
        let granted = |c: &Capability| {
            layers.iter().all(|layer| layer.bundle().capabilities.iter().any(|grant| grant.name == *c))
        };
        let own = lanyard_tools::specs().into_iter().filter(|spec| spec.capabilities.iter().all(granted));
        let (elsewhere, left_out) = remote::offered(&self.parts.remote.known(), &layers);
        if left_out > 0 && !self.told_of_room.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                left_out,
                "more tools outside this host are granted to a session than it has room for; the first by name are offered"
            );
        }
        own.chain(elsewhere).collect()
    }

    async fn prepare(&self, request: ToolRequest, terms: &TaskTerms) -> Box<dyn PreparedCall> {
        match prepare(&self.parts, &request, terms).await {
            Ok(call) => call,
            Err(error) => {
                tracing::error!(%error, call = %request.tool_call_id, "a call could not be recorded");
                let error = WireError::new(ErrorCode::InternalError, error.to_string());
                Box::new(Over(ToolResult::of(&request, ToolStatus::Failed).with_error(error)))
            }
        }
    }
}

async fn prepare(
    parts: &Arc<RouterParts>,
    request: &ToolRequest,
    terms: &TaskTerms,
) -> Result<Box<dyn PreparedCall>, JournalError> {
    let reached = match look_up(parts, request).await? {
        Interrupted::Over(result) => return Ok(Box::new(Over(*result))),
        Interrupted::Again(phase) => Some(phase),
        Interrupted::No => None,
    };
    let call = Call::new(parts.clone(), request.clone(), terms.clone(), reached);
    let layers = match parts.policy.current().await {
        Ok(layers) => layers,
        Err(lapse) => {
            call.announce_unplanned().await?;
            return Ok(Box::new(Over(call.refuse(lapse.to_wire()).await?)));
        }
    };
    let elsewhere = remote::find(parts, &request.tool_name, &layers).await;
    let needs = match elsewhere {
        Some(_) => remote::NEEDS,
        None => lanyard_tools::demands_of(&request.tool_name).unwrap_or_default(),
    };
    let admitted = permit_planning(&layers, needs, parts.clock.now()).and_then(|()| parts.initiator(terms));
    let initiator = match admitted {
        Ok(initiator) => initiator,
        Err(denial) => {
            call.announce_unplanned().await?;
            let decided = call.decided(PolicyVerdict::Denied, denial.layer, denial.to_string())?;
            call.append(vec![decided]).await?;
            return Ok(Box::new(Over(call.refuse(denial.to_wire()).await?)));
        }
    };
    let backlog = parts.journal.audit_backlog()?;
    if let Some(error) = backlog::refusal(needs, backlog) {
        call.announce_unplanned().await?;
        let decided = call.decided(PolicyVerdict::Denied, HOST, error.message.clone())?;
        call.append(vec![decided]).await?;
        return Ok(Box::new(Over(call.refuse(error).await?)));
    }
    let plan = match plan(parts, request, terms, &layers, elsewhere.as_ref()).await {
        Ok(plan) => plan,
        Err(error) => {
            call.announce_unplanned().await?;
            return Ok(Box::new(Over(call.refuse(error.into()).await?)));
        }
    };
    judge(call, plan, &layers, &initiator).await
}

/// Planning reads files, so it runs where blocking is allowed.
async fn plan(
    parts: &Arc<RouterParts>,
    request: &ToolRequest,
    terms: &TaskTerms,
    layers: &Arc<Layers>,
    elsewhere: Option<&RemoteTool>,
) -> Result<Planned, PlanError> {
    if let Some(tool) = elsewhere {
        return remote::plan(tool, request, layers);
    }
    let allow_network = terms.options.allow_network;
    let unconfined = parts.facts.unconfined;
    let (workspace, layers, request) = (parts.workspace.clone(), layers.clone(), request.clone());
    let planned = tokio::task::spawn_blocking(move || {
        let searched = (workspace.clone(), layers.clone());
        let plan_terms = PlanTerms {
            allow_network,
            command_network: commands_may_use_network(&layers, allow_network),
            programs_allowed: programs_may_run(&layers, workspace.sandbox_level(), unconfined),
            searchable: Searchable::new(move |path| {
                ReadFilter::new(&searched.1, searched.0.places()).admits(path)
            }),
        };
        lanyard_tools::plan(&workspace, &request, &plan_terms).map(Planned::from)
    });
    planned.await.unwrap_or_else(|error| {
        tracing::error!(%error, "planning ended abnormally");
        Err(PlanError::Impossible {
            reason: "the call could not be planned: the host's log has the detail".to_owned(),
        })
    })
}

async fn judge(
    mut call: Call,
    plan: Planned,
    layers: &Layers,
    initiator: &Principal,
) -> Result<Box<dyn PreparedCall>, JournalError> {
    let capability = plan.call.request().capability;
    let mut batch = Vec::new();
    if call.reached.is_none() {
        batch.push(call.requested(capability, plan.summary.clone(), plan.risk)?);
    }
    let verdict = decide(layers, plan.call, &call.parts.terms(&call.terms, initiator));
    call.lane = plan.lane;
    call.replay = plan.replay;
    call.summary = plan.summary;
    match verdict {
        Verdict::Denied(denial) => {
            batch.push(call.decided(PolicyVerdict::Denied, denial.layer, denial.to_string())?);
            call.append(batch).await?;
            Ok(Box::new(Over(call.refuse(denial.to_wire()).await?)))
        }
        Verdict::Allowed(permit) => {
            batch.push(call.decided(
                PolicyVerdict::Allowed,
                permit_layer(layers),
                allowed_reason(&permit),
            )?);
            batch.extend(call.advance(CallPhase::Authorized, None));
            call.append(batch).await?;
            Ok(Box::new(Permitting { call, permit, baselines: plan.baselines, work: plan.work }))
        }
        Verdict::Ask(ask) => {
            batch.push(call.decided(
                PolicyVerdict::ApprovalRequired,
                ask.layer(),
                ask.reasons().join(" "),
            )?);
            batch.extend(call.advance(CallPhase::Planned, None));
            let rules = call.parts.journal.rules()?;
            let standing = |id: &_| call.parts.principals.standing(id);
            match ask.recall(&rules, standing) {
                Ok(permit) => {
                    batch.extend(recalled(&call, &permit)?);
                    batch.extend(call.advance(CallPhase::Authorized, None));
                    call.append(batch).await?;
                    let (baselines, work) = (plan.baselines, plan.work);
                    Ok(Box::new(Permitting { call, permit, baselines, work }))
                }
                Err(ask) => {
                    call.append(batch).await?;
                    let (baselines, work, detail) = (plan.baselines, plan.work, plan.detail);
                    Ok(Box::new(Asking { call, ask, detail, baselines, work }))
                }
            }
        }
    }
}

/// The event that tells clients that a remembered answer let the call run.
fn recalled(call: &Call, permit: &Permitted<PlannedCall>) -> Result<Option<Write>, JournalError> {
    let &Basis::Remembered { ref by, remember, ref binding, .. } = permit.basis() else { return Ok(None) };
    let approval_id = binding.approval_id().map_err(|e| JournalError::Refused(e.to_string()))?;
    let answer = ApprovalAnswer {
        decision: Decision::Approved,
        remember,
        decided_by: by.clone(),
        decided_at: call.parts.clock.now(),
        reason: None,
    };
    let tool_call_id = call.request.tool_call_id.clone();
    let body =
        EventBody::ApprovalResolved(ApprovalResolved { approval_id, tool_call_id, answer, by_rule: true });
    call.event(body).map(Some)
}

fn permit_layer(layers: &Layers) -> &'static str {
    layers.iter().next().map_or(HOST, lanyard_policy::layer::Layer::name)
}

fn allowed_reason(permit: &Permitted<PlannedCall>) -> String {
    match permit.basis() {
        Basis::Waived { by } => format!("policy would ask; {by} switched questions off for this task"),
        Basis::Policy | Basis::Approved { .. } | Basis::Remembered { .. } => "policy allows it".to_owned(),
    }
}

impl Call {
    /// Tells clients of a call that could not even be planned.
    async fn announce_unplanned(&self) -> Result<(), JournalError> {
        if self.reached.is_some() {
            return Ok(());
        }
        let event = self.requested(None, self.request.tool_name.clone(), RiskLevel::Low)?;
        self.append(vec![event]).await
    }

    fn requested(
        &self,
        capability: Option<Capability>,
        summary: String,
        risk_level: RiskLevel,
    ) -> Result<Write, JournalError> {
        self.event(EventBody::ToolRequested(ToolRequested {
            tool_call_id: self.request.tool_call_id.clone(),
            tool_name: self.request.tool_name.clone(),
            arguments: self.request.arguments.clone(),
            capability,
            summary,
            risk_level,
        }))
    }

    fn decided(&self, verdict: PolicyVerdict, layer: &str, reason: String) -> Result<Write, JournalError> {
        self.event(EventBody::PolicyDecided(PolicyDecided {
            tool_call_id: self.request.tool_call_id.clone(),
            verdict,
            layer: layer.to_owned(),
            reason,
            sandbox_level: self.parts.workspace.sandbox_level(),
        }))
    }
}
