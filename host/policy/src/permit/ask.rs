//! The question: everything a person is shown and an answer is bound to.

use lanyard_protocol::{
    Timestamp,
    approval::{ApprovalDetail, ApprovalRequest, RememberedRule, RiskLevel},
    id::{ApprovalId, PrincipalId},
    policy::{ApprovalRule, Approver, Capability, Remember, SandboxLevel},
    principal::Principal,
};
use thiserror::Error;

use super::{Basis, Permitted, title::plain_title};
use crate::{
    approval::{ApprovalGrant, Binding, Entitlement, fingerprint, rule_applies, visible_detail},
    decide::{Denial, DenialReason, Findings, HOST_LAYER, Limits, Terms},
    demand::{Demand, PlannedCall},
    layer::Layers,
    visible,
};

/// Longest title and summary shown.
const MAX_LINE_CHARS: usize = 500;

/// Most reasons shown; the rest is counted.
const MAX_REASONS: usize = 12;

/// A call that a person must agree to.
#[derive(Debug)]
#[must_use = "an unanswered question means the call never runs"]
pub struct Ask {
    call: PlannedCall,
    binding: Binding,
    approval_id: ApprovalId,
    fingerprint: String,
    limits: Limits,
    capability: Capability,
    layer: &'static str,
    title: String,
    rule: Option<ApprovalRule>,
    must_ask: bool,
    entitlement: Entitlement,
    max_remember: Remember,
    risk_level: RiskLevel,
    reasons: Vec<String>,
    sandbox: SandboxLevel,
    policy_epoch: u64,
}

/// Why an answer does not permit the call; the question stays as it was.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GrantMismatch {
    #[error("the approval was given for another call")]
    OtherCall,
    #[error("whoever approved may not answer this question")]
    NotEntitled,
}

impl Ask {
    pub(crate) fn new(
        call: PlannedCall,
        findings: Findings,
        layers: &Layers,
        terms: &Terms<'_>,
    ) -> Result<Self, Denial> {
        let binding = Binding::of(&call, terms.host, &terms.initiator.id, layers);
        let Findings { questions, limits, risk, at_most } = findings;
        // The strictest question leads: it names the layer, the rule and the title.
        let lead = questions.iter().reduce(|a, b| if (b.must, b.level) > (a.must, a.level) { b } else { a });
        let nobody = |_| Denial { layer: HOST_LAYER, capability: None, reason: DenialReason::NobodyToAsk };
        let approval_id = binding.approval_id().map_err(nobody)?;
        let Some(lead) = lead else {
            return Err(Denial { layer: HOST_LAYER, capability: None, reason: DenialReason::NobodyToAsk });
        };
        // A question of the host itself borrows the title and the rule of the policy's question, if there is one.
        let ruled = if lead.rule.is_some() {
            Some(lead)
        } else {
            questions.iter().find(|other| other.rule.is_some())
        };
        let rule = ruled.and_then(|question| question.rule.clone());
        let title = match (lead.title, &rule) {
            (Some(title), _) => title.to_owned(),
            (None, Some(rule)) => rule.title.clone(),
            (None, None) => plain_title(lead.capability).to_owned(),
        };
        let mut reasons: Vec<String> = Vec::new();
        for reason in
            risk.iter().map(|(_, sentence)| sentence).chain(questions.iter().map(|question| &question.reason))
        {
            let reason = visible::clipped_line(reason, MAX_LINE_CHARS);
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        if reasons.len() > MAX_REASONS {
            let more = reasons.len() - MAX_REASONS;
            reasons.truncate(MAX_REASONS);
            reasons.push(format!("{more} more reasons."));
        }
        let level =
            questions.iter().map(|question| question.level).chain(risk.iter().map(|(level, _)| *level)).max();
        let approvers = questions.iter().map(|question| question.approver());
        Ok(Self {
            fingerprint: fingerprint(&call, terms.host),
            approval_id,
            limits,
            capability: lead.capability,
            layer: lead.layer,
            title,
            rule,
            must_ask: questions.iter().any(|question| question.must),
            entitlement: Entitlement::new(approvers, terms.initiator.id.clone())
                .at_the_centre(questions.iter().any(|question| question.at_the_centre)),
            max_remember: questions
                .iter()
                .map(|question| question.longest)
                .chain(at_most)
                .min()
                .unwrap_or(Remember::Once),
            risk_level: level.unwrap_or(RiskLevel::High),
            reasons,
            sandbox: terms.sandbox,
            policy_epoch: layers.epoch(),
            call,
            binding,
        })
    }

    /// The call as asked about.
    pub fn call(&self) -> &PlannedCall {
        &self.call
    }

    /// The content-bound id of the approval. The same call planned again has the same id, so an answer given before
    /// a restart is found again.
    pub fn approval_id(&self) -> &ApprovalId {
        &self.approval_id
    }

    /// The layer that asks.
    pub fn layer(&self) -> &'static str {
        self.layer
    }

    /// The reasons, in sentences, fit for display.
    pub fn reasons(&self) -> &[String] {
        &self.reasons
    }

    /// The risk shown.
    pub fn risk_level(&self) -> RiskLevel {
        self.risk_level
    }

    /// Whether a person must answer, whatever was remembered.
    pub fn must_ask(&self) -> bool {
        self.must_ask
    }

    /// Hex digest that a remembered rule for exactly this call has.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The question as it is stored and shown. `summary` is the command, path or address in one line; every text is
    /// made visible here.
    pub fn request(
        &self,
        summary: &str,
        detail: ApprovalDetail,
        requested_at: Timestamp,
        deadline: Timestamp,
    ) -> ApprovalRequest {
        let request = self.call.request();
        let summary = visible::clipped_line(summary, MAX_LINE_CHARS);
        ApprovalRequest {
            approval_id: self.approval_id.clone(),
            workspace_id: request.workspace_id.clone(),
            session_id: request.session_id.clone(),
            task_id: request.task_id.clone(),
            step_id: request.step_id.clone(),
            tool_call_id: request.tool_call_id.clone(),
            tool_name: visible::clipped_line(&request.tool_name, MAX_LINE_CHARS),
            capability: self.capability,
            title: visible::clipped_line(&self.title, MAX_LINE_CHARS),
            remember_scope: format!(
                "exactly this call of {}: {summary}{}",
                visible::clipped_line(&request.tool_name, 80),
                self.covered()
            ),
            action_summary: summary,
            risk_level: self.risk_level,
            reasons: self.reasons.clone(),
            detail: visible_detail(detail),
            sandbox_level: self.sandbox,
            layer: self.layer.to_owned(),
            approval_rule_id: self.rule.as_ref().map(|rule| rule.approval_rule_id.clone()),
            approver: self.entitlement.as_wire(),
            max_remember: if self.must_ask { Remember::Once } else { self.max_remember },
            initiator: self.entitlement.initiator().clone(),
            requested_at,
            deadline,
            policy_epoch: self.policy_epoch,
        }
    }

    /// What a remembered answer covers besides the words of the call; what [`fingerprint`] takes in.
    fn covered(&self) -> String {
        let cwd = self.call.demands().iter().find_map(|demand| match demand {
            Demand::Exec(exec) => Some(visible::clipped_line(&exec.cwd.to_string_lossy(), MAX_LINE_CHARS)),
            _ => None,
        });
        match cwd {
            Some(cwd) => {
                format!(", in {cwd}, with the same program and file contents")
            }
            None if self.call.contents().is_empty() => String::new(),
            None => String::from(", with the same file contents"),
        }
    }

    /// Lets the call run on an approval of exactly it.
    ///
    /// # Errors
    /// The question back, and why the approval does not answer it.
    pub fn approve(
        self: Box<Self>,
        grant: &ApprovalGrant,
    ) -> Result<Permitted<PlannedCall>, (Box<Self>, GrantMismatch)> {
        if !self.binding.is_of(grant.approval_id()) {
            return Err((self, GrantMismatch::OtherCall));
        }
        if self.entitlement.check(grant.approver()).is_err() {
            return Err((self, GrantMismatch::NotEntitled));
        }
        let basis = Basis::Approved {
            approval: grant.approval_id().clone(),
            by: grant.approver().id.clone(),
            binding: self.binding,
        };
        Ok(self.permit(basis))
    }

    /// Lets the call run on a remembered answer that covers exactly it, if there is one that still counts.
    ///
    /// `standing` looks a principal up as it is now; `None` for one that no longer exists.
    ///
    /// # Errors
    /// The question back, to be put to a person.
    pub fn recall<'r>(
        self: Box<Self>,
        rules: impl IntoIterator<Item = &'r RememberedRule>,
        standing: impl Fn(&PrincipalId) -> Option<Principal>,
    ) -> Result<Permitted<PlannedCall>, Box<Self>> {
        if self.must_ask {
            return Err(self);
        }
        let applies = |rule: &&RememberedRule| {
            rule_applies(rule, self.call.request(), &self.fingerprint)
                && rule.remember <= self.max_remember
                && standing(&rule.created_by)
                    .is_some_and(|who| self.entitlement.check_remembering(&who, rule.remember).is_ok())
        };
        let Some(rule) = rules.into_iter().find(applies) else { return Err(self) };
        let basis = Basis::Remembered {
            rule: rule.rule_id.clone(),
            by: rule.created_by.clone(),
            remember: rule.remember,
            binding: self.binding,
        };
        Ok(self.permit(basis))
    }

    /// Ends the question without a permit: denied, unanswered, cancelled, or nobody there to ask.
    pub fn refuse(self: Box<Self>, reason: DenialReason) -> Denial {
        Denial { layer: self.layer, capability: Some(self.capability), reason }
    }

    pub(super) fn binding(&self) -> Binding {
        self.binding
    }

    /// Who may answer: every demand, also where the record can name but one.
    pub fn entitlement(&self) -> &Entitlement {
        &self.entitlement
    }

    pub(super) fn permit(self: Box<Self>, basis: Basis) -> Permitted<PlannedCall> {
        Permitted::new(self.call, basis, self.limits)
    }

    /// Who may answer, for the machine that takes answers.
    pub fn approver(&self) -> Approver {
        self.entitlement.as_wire()
    }
}
