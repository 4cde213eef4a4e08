//! The questions that wait, across sessions: kept current by the host's log, answered by one tap, gone when anybody has
//! answered.
//!
//! The host alone says what became of a question. An answer given here is *on its way* until the host confirms it
//! ([`Approvals::answered`]); the first answer counts, so a confirmation may say that another one did. What the log tells
//! is short; the question itself comes from `ListApprovals`, and [`Want`] says when to ask. Lists and events travel on
//! different streams: a list asked for before an event may come after it. So a question that has ended never comes back
//! by a list, and one heard of since a list was asked for ([`Ticket`]) is not ended by it.

mod guard;
mod ledger;
mod rights;
mod shown;
pub mod words;

pub use guard::{Guard, INERT_MS, KEY_AGAIN_MS, Press};
pub use ledger::{Approvals, MAX_SETTLED, Ticket, Want};
pub use rights::{Choice, NotYours, may_answer, remember_choices};
pub use shown::{SHOWN_LINES, hidden_lines};

use std::sync::Arc;

use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::{ApprovalRecord, Decision, RiskLevel};
use lanyard_protocol::id::{ApprovalId, PrincipalId, SessionId};
use lanyard_protocol::policy::Remember;

/// A question that waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Which.
    pub approval_id: ApprovalId,
    /// Where it came up.
    pub session_id: SessionId,
    /// One line: the command, the path, the address.
    pub summary: String,
    /// How much harm it could do.
    pub risk: RiskLevel,
    /// Counts as denied after this instant, by the host's clock.
    pub deadline: Timestamp,
    /// The whole, as it first came (receipts may have been added since); absent until the list has brought it.
    pub record: Option<Arc<ApprovalRecord>>,
    /// The answer given here, if one was.
    pub answer: Answering,
    /// The host was told that it stood before a person here.
    told: bool,
    /// When it was heard of, counted by the queue's changes.
    heard: u64,
}

/// How an answer given here stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Answering {
    /// None was given.
    #[default]
    Open,
    /// It is on its way; nothing is decided.
    Sending {
        /// The answer.
        decision: Decision,
        /// How long it is to be remembered.
        remember: Remember,
    },
    /// The host did not take it; it can be given again.
    Failed {
        /// The answer.
        decision: Decision,
        /// Why, in a sentence.
        why: String,
    },
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Somebody answered.
    Answered {
        /// What.
        decision: Decision,
        /// Who.
        by: PrincipalId,
        /// How long it is remembered.
        remember: Remember,
        /// Their words.
        reason: Option<String>,
    },
    /// Nobody did in time: denied.
    Expired,
    /// The task ended first.
    Cancelled,
    /// It waits no more; the host has not said why yet.
    Unknown,
}

/// A question that waits no more.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// Which.
    pub approval_id: ApprovalId,
    /// Where it came up.
    pub session_id: SessionId,
    /// One line.
    pub summary: String,
    /// What became of it.
    pub ending: Ending,
    /// The answer given here, if one was on its way when the question ended, and how long it was to be remembered.
    pub mine: Option<(Decision, Remember)>,
    /// Whether it was the one that counted, once the host has said so.
    pub counted: Option<bool>,
    /// When, by the host's clock where it is known.
    pub at: Timestamp,
    /// It waited on this page and ended while somebody could see it; false for those of a list of earlier ones.
    pub here: bool,
    /// The whole, if it was here.
    pub record: Option<Arc<ApprovalRecord>>,
}

impl Settled {
    /// The answer given here, when it is certain that it did not count.
    pub fn beaten(&self, me: &PrincipalId) -> Option<Decision> {
        let beaten = match (&self.ending, self.counted) {
            (_, Some(counted)) => !counted,
            (Ending::Answered { by, .. }, None) => by != me,
            (Ending::Expired | Ending::Cancelled, None) => true,
            (Ending::Unknown, None) => false,
        };
        self.mine.filter(|_| beaten).map(|(decision, _)| decision)
    }
}

impl Question {
    /// Milliseconds left at `now` of the host's clock; none: the time is up, and the host will say so.
    pub fn left_ms(&self, now: Timestamp) -> Option<u64> {
        Some(self.deadline.millis_since(now)).filter(|left| *left > 0)
    }

    /// The part of its time that is left, 0 to 1; 1 while it is not known when it was asked.
    pub fn left_part(&self, now: Timestamp) -> f64 {
        let Some(record) = &self.record else { return 1.0 };
        let whole = self.deadline.millis_since(record.request.requested_at).max(1);
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of minutes fit")]
        let part = self.deadline.millis_since(now) as f64 / whole as f64;
        part.clamp(0.0, 1.0)
    }

    /// Whether an answer can be given now: none is on its way, and there is time.
    pub fn is_open(&self, now: Timestamp) -> bool {
        !matches!(self.answer, Answering::Sending { .. }) && self.left_ms(now).is_some()
    }
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
