//! What the layers found: questions to be asked and limits to be kept.

use lanyard_protocol::{
    approval::RiskLevel,
    policy::{ApprovalRule, Approver, Capability, Remember},
};

use super::HOST_LAYER;
use crate::layer::{CENTRAL, Grant, Layer};

/// Something a person has to agree to.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) layer: &'static str,
    pub(crate) capability: Capability,
    /// Neither `approvalMode: never` nor a remembered answer is enough.
    pub(crate) must: bool,
    pub(crate) level: RiskLevel,
    /// Why it is asked, a sentence.
    pub(crate) reason: String,
    /// The title of a question of the host itself about something particular.
    pub(crate) title: Option<&'static str>,
    pub(crate) rule: Option<ApprovalRule>,
    /// The longest memory an answer may have.
    pub(crate) longest: Remember,
    /// Answered by a person of the centre and nobody else.
    pub(crate) at_the_centre: bool,
}

impl Question {
    /// Who may answer, by the rule that asks.
    pub(crate) fn approver(&self) -> Approver {
        self.rule.as_ref().map_or(Approver::Any, |rule| rule.approver)
    }
}

/// Numbers a tool has to keep to: the smallest of all grants that apply. Absent is not limited by policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Largest file read or written, bytes.
    pub max_file_size_bytes: Option<u64>,
    /// Largest output returned to the model, bytes.
    pub max_output_bytes: Option<u64>,
    /// Longest run, seconds.
    pub max_execution_time_seconds: Option<u32>,
}

fn smaller<T: Ord + Copy>(known: Option<T>, other: Option<T>) -> Option<T> {
    match (known, other) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (known, other) => known.or(other),
    }
}

/// Collected over all layers and demands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    pub(crate) questions: Vec<Question>,
    pub(crate) limits: Limits,
    /// The highest risk of what was judged, with its sentence.
    pub(crate) risk: Option<(RiskLevel, String)>,
    /// The longest memory an answer may have, whatever the questions say.
    pub(crate) at_most: Option<Remember>,
}

impl Findings {
    /// Records a grant that applies: its limits, and its question if it asks.
    pub(super) fn apply(&mut self, layer: &Layer, grant: &Grant, level: RiskLevel) {
        self.apply_saying(layer, grant, level, None);
    }

    /// As [`Findings::apply`], with another reason than the rule's description; that of a rule that must be asked
    /// stays.
    pub(super) fn apply_saying(
        &mut self,
        layer: &Layer,
        grant: &Grant,
        level: RiskLevel,
        instead: Option<&'static str>,
    ) {
        let limits = &grant.limits;
        let known = &mut self.limits;
        known.max_file_size_bytes = smaller(known.max_file_size_bytes, limits.max_file_size_bytes);
        known.max_output_bytes = smaller(known.max_output_bytes, limits.max_output_bytes);
        known.max_execution_time_seconds =
            smaller(known.max_execution_time_seconds, limits.max_execution_time_seconds);
        if !limits.requires_approval {
            return;
        }
        let rule = layer.rule(grant).cloned();
        let must = rule.as_ref().is_some_and(|rule| rule.must_ask);
        self.ask(Question {
            layer: layer.name(),
            capability: grant.capability,
            must,
            level,
            reason: match (&rule, instead) {
                (_, Some(instead)) if !must => instead.to_owned(),
                (Some(rule), _) if !rule.description.is_empty() => rule.description.clone(),
                _ => format!("Policy asks before {}.", grant.capability),
            },
            title: None,
            longest: rule.as_ref().map_or(Remember::Session, |rule| rule.max_remember),
            rule,
            at_the_centre: false,
        });
    }

    /// Records a question once; the same one from another layer adds nothing.
    pub(super) fn ask(&mut self, question: Question) {
        let known = self.questions.iter().any(|other| {
            other.layer == question.layer
                && other.reason == question.reason
                && other.must == question.must
                && other.level == question.level
                && other.capability == question.capability
        });
        if !known {
            self.questions.push(question);
        }
    }

    /// Leaves the central layer's questions about a capability to the people of the centre: asked each time, answered
    /// there. `true`: one of them wants an answer at the machine as well, which nobody can give.
    pub(super) fn leave_to_the_centre(&mut self, capability: Capability) -> bool {
        let theirs =
            |question: &&mut Question| question.layer == CENTRAL && question.capability == capability;
        let mut contradicts = false;
        for question in self.questions.iter_mut().filter(theirs) {
            question.at_the_centre = true;
            question.must = true;
            question.longest = Remember::Once;
            question.reason.push_str(" It is answered in the centre's console, not at this host.");
            contradicts |= question.approver() == Approver::Local;
        }
        contradicts
    }

    /// Limits the memory of an answer, without asking about anything by itself.
    pub(super) fn remember_at_most(&mut self, longest: Remember) {
        self.at_most = smaller(self.at_most, Some(longest));
    }

    /// Records a risk; the highest counts, the first of equals.
    pub(super) fn note_risk(&mut self, level: RiskLevel, sentence: impl FnOnce() -> String) {
        if self.risk.as_ref().is_none_or(|(known, _)| level > *known) {
            self.risk = Some((level, sentence()));
        }
    }

    /// `approvalMode: always`: a person answers each call that changes anything, and answers are not remembered.
    pub(super) fn ask_about_every_change(&mut self, capability: Capability) {
        let level = self.risk.as_ref().map_or(RiskLevel::Medium, |(level, _)| *level);
        self.ask(Question {
            layer: HOST_LAYER,
            capability,
            must: true,
            level,
            reason: String::from("This task asks about every change."),
            title: None,
            rule: None,
            longest: Remember::Once,
            at_the_centre: false,
        });
    }
}
