//! The decision: what each layer says to each demand of a call, and the strictest of it.
//!
//! Order within a layer: expired → denied; capability missing → denied; out of scope → denied; approval required →
//! asked; else allowed. A list that is present and empty allows nothing. Layers are never merged: adding one can
//! only make the verdict stricter.

mod denial;
mod exec;
mod findings;
mod git;
mod scope;
mod unseen;

#[cfg(test)]
mod bound;
#[cfg(test)]
mod elsewhere;
#[cfg(test)]
mod items;
#[cfg(test)]
mod tests;

use lanyard_protocol::{
    Timestamp,
    id::HostId,
    policy::{Capability, SandboxLevel},
    principal::{Principal, Scope},
    session::{ApprovalMode, TaskOptions},
};

pub use denial::{Denial, DenialReason};
pub use exec::commands_may_use_network;
pub use findings::Limits;
pub(crate) use findings::{Findings, Question};

use crate::{
    demand::{Demand, PlannedCall},
    layer::{CENTRAL, Grant, Layer, Layers},
    path::Places,
    permit::{Ask, Basis, Permitted},
};

/// Layer name of refusals that no policy can lift.
pub(crate) const HOST_LAYER: &str = "host";

/// What the decision depends on besides policy and call; all of it handed in.
#[derive(Clone, Debug)]
pub struct Terms<'t> {
    /// This host.
    pub host: &'t HostId,
    /// Who started the task, as they stand at this moment: see [`permit_initiator`].
    pub initiator: &'t Principal,
    /// How the task may run: `approvalMode` and `allowNetwork` count here.
    pub options: &'t TaskOptions,
    /// The confinement really enforced for children.
    pub sandbox: SandboxLevel,
    /// Whether weaker confinement than full is acceptable.
    pub unconfined: Unconfined,
    /// What is protected on this machine.
    pub places: &'t Places,
    /// The time of the decision.
    pub now: Timestamp,
}

/// Whether programs may run where the sandbox is not full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Unconfined {
    /// They are denied: nothing keeps them from approving themselves.
    #[default]
    Refused,
    /// The sandbox, though not full, keeps them from the host's socket and state: an approval is a boundary.
    BoundaryHolds,
    /// The owner of this host has accepted that approval is then no boundary.
    AcceptedByOwner,
}

/// What became of a call.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a verdict is taken apart as soon as it is returned")]
pub enum Verdict {
    /// It does not run.
    Denied(Denial),
    /// A person must say yes first.
    Ask(Box<Ask>),
    /// It may run.
    Allowed(Permitted<PlannedCall>),
}

/// Judges a call. Consumes it: what comes out is what was judged.
pub fn decide(layers: &Layers, call: PlannedCall, terms: &Terms<'_>) -> Verdict {
    let mut findings = match judge_all(layers, &call, terms) {
        Ok(findings) => findings,
        Err(denial) => return Verdict::Denied(denial),
    };
    let mode = terms.options.approval_mode;
    if mode == ApprovalMode::Always && call.changes_something() {
        findings.ask_about_every_change(first_change(&call));
    }
    if findings.questions.is_empty() {
        return Verdict::Allowed(Permitted::new(call, Basis::Policy, findings.limits));
    }
    let must_ask = findings.questions.iter().any(|question| question.must);
    if mode == ApprovalMode::Never && !must_ask && may_waive(terms.initiator) {
        let basis = Basis::Waived { by: terms.initiator.id.clone() };
        return Verdict::Allowed(Permitted::new(call, basis, findings.limits));
    }
    match Ask::new(call, findings, layers, terms) {
        Ok(ask) => Verdict::Ask(Box::new(ask)),
        Err(denial) => Verdict::Denied(denial),
    }
}

/// Judges the use of a model: policy must be in force and allow the model in every layer.
///
/// # Errors
/// [`Denial`] of the first layer that refuses.
pub fn permit_model(layers: &Layers, model: &str, now: Timestamp) -> Result<(), Denial> {
    for layer in layers.iter() {
        in_force(layer, now)?;
        let deny = |reason| Denial { layer: layer.name(), capability: Some(Capability::LlmCall), reason };
        if layer.grants(Capability::LlmCall).next().is_none() {
            return Err(deny(DenialReason::CapabilityMissing(Capability::LlmCall)));
        }
        let models = &layer.bundle().llm_policy.allowed_models;
        if !models.iter().any(|allowed| allowed == "*" || allowed == model) {
            let what = format!("the model {model}");
            return Err(deny(DenialReason::OutOfScope { what, limit: "llmPolicy.allowedModels" }));
        }
    }
    Ok(())
}

/// What can be said of a call before it is planned: every capability its tool needs is granted in every layer in
/// force. Planning may read files and start programs; it must not for a call that can only be denied.
///
/// # Errors
/// [`Denial`] of the first layer that refuses.
pub fn permit_planning(layers: &Layers, needs: &[Capability], now: Timestamp) -> Result<(), Denial> {
    for layer in layers.iter() {
        in_force(layer, now)?;
        if let Some(missing) = needs.iter().find(|need| layer.grants(**need).next().is_none()) {
            let reason = DenialReason::CapabilityMissing(*missing);
            return Err(Denial { layer: layer.name(), capability: Some(*missing), reason });
        }
    }
    Ok(())
}

/// Whether every layer grants the use of a tool outside this host, asked about or not: one that is not is not offered.
pub fn grants_tool(layers: &Layers, tool: &str) -> bool {
    layers
        .iter()
        .all(|layer| layer.grants(Capability::BackendToolInvoke).any(|grant| grant.covers_tool(tool)))
}

/// Whether the central services grant the use of any of their tools: where they do not, there is none to ask about.
pub fn has_tools_elsewhere(layers: &Layers) -> bool {
    let some =
        |grant: &Grant| grant.limits.allowed_tool_names.as_deref().is_none_or(|names| !names.is_empty());
    layers
        .iter()
        .filter(|layer| layer.name() == CENTRAL)
        .any(|layer| layer.grants(Capability::BackendToolInvoke).any(some))
}

/// Whether a task may still act for whoever started it. `standing` is that principal as of now; `None` for one that is
/// unknown or was revoked. A task outlives the request that started it, and a restart too; the right may not have.
///
/// # Errors
/// [`DenialReason::InitiatorLost`] when the principal is gone or may no longer start tasks.
pub fn permit_initiator(standing: Option<Principal>) -> Result<Principal, Denial> {
    let lost = Denial { layer: HOST_LAYER, capability: None, reason: DenialReason::InitiatorLost };
    standing.filter(|who| who.holds(Scope::Operate)).ok_or(lost)
}

/// Whether programs may run at a sandbox level at all: every layer is content with it, and it is full or the owner
/// has accepted less.
pub fn programs_may_run(layers: &Layers, sandbox: SandboxLevel, unconfined: Unconfined) -> bool {
    let accepted = sandbox >= SandboxLevel::Full || unconfined != Unconfined::Refused;
    accepted && layers.iter().all(|layer| sandbox >= layer.required_sandbox())
}

/// Whether a person may switch questions off: 4-host.md gives that to `admin` and to the owner at the machine.
fn may_waive(initiator: &Principal) -> bool {
    initiator.local || initiator.holds(Scope::Admin)
}

fn first_change(call: &PlannedCall) -> Capability {
    let changing = call.demands().iter().find(|demand| demand.changes_something());
    changing.or(call.demands().first()).map_or(Capability::ShellExec, Demand::capability)
}

fn in_force(layer: &Layer, now: Timestamp) -> Result<(), Denial> {
    let expires_at = layer.bundle().expires_at;
    if expires_at > now {
        return Ok(());
    }
    Err(Denial { layer: layer.name(), capability: None, reason: DenialReason::Expired(expires_at) })
}

fn judge_all(layers: &Layers, call: &PlannedCall, terms: &Terms<'_>) -> Result<Findings, Denial> {
    let mut findings = Findings::default();
    let subjects = scope::subjects(call.demands())?;
    for layer in layers.iter() {
        in_force(layer, terms.now)?;
        for subject in &subjects {
            let judge = scope::Judge { layer, terms, call };
            judge.subject(subject, &mut findings)?;
        }
    }
    Ok(findings)
}
