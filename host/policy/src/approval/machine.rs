//! The states of an approval: pending, then approved, denied, expired or cancelled; the first answer wins.

use lanyard_protocol::{
    Timestamp,
    approval::{ApprovalAnswer, ApprovalRecord, ApprovalRequest, ApprovalState, Decision, DeliveryReceipt},
    error::{ErrorCode, WireError},
    id::{ApprovalId, PrincipalId},
    policy::Remember,
    principal::Principal,
};
use thiserror::Error;

use super::{Entitlement, NotEntitled};
use crate::visible;

/// Longest reason kept with an answer.
const MAX_REASON_CHARS: usize = 1_000;

/// Most delivery receipts kept; one principal counts once.
const MAX_RECEIPTS: usize = 64;

/// What a person says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Yes or no.
    pub decision: Decision,
    /// How long it is to be remembered; only counts for yes.
    pub remember: Remember,
    /// The person's own words.
    pub reason: Option<String>,
}

/// Why an answer does not count.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AnswerFault {
    #[error("it was already answered: {0:?}")]
    Settled(ApprovalState),
    #[error("its deadline passed at {0}")]
    Late(Timestamp),
    #[error(transparent)]
    NotEntitled(#[from] NotEntitled),
    #[error("this answer may be remembered for {longest:?} at most")]
    TooLong {
        /// The longest memory allowed.
        longest: Remember,
    },
}

impl AnswerFault {
    /// The fault as a peer is told.
    pub fn to_wire(&self) -> WireError {
        let code = match self {
            Self::NotEntitled(_) => ErrorCode::Unauthorized,
            Self::Settled(_) | Self::Late(_) | Self::TooLong { .. } => ErrorCode::InvalidRequest,
        };
        WireError::new(code, self.to_string())
    }
}

/// A question just asked.
pub fn pending(request: ApprovalRequest) -> ApprovalRecord {
    ApprovalRecord { request, state: ApprovalState::Pending, answer: None, receipts: Vec::new() }
}

/// Takes an answer. The caller stores the record before acting on it; a second answer finds it settled.
///
/// # Errors
/// [`AnswerFault`]; the record stays as it was, except that a late answer finds the question expired, which
/// [`expire`] records.
pub fn answer(
    record: &ApprovalRecord,
    answer: Answer,
    by: &Principal,
    now: Timestamp,
) -> Result<ApprovalRecord, AnswerFault> {
    let request = &record.request;
    if record.state != ApprovalState::Pending {
        return Err(AnswerFault::Settled(record.state));
    }
    if now > request.deadline {
        return Err(AnswerFault::Late(request.deadline));
    }
    let entitlement = Entitlement::of(request);
    let approved = answer.decision == Decision::Approved;
    // A "no" is never remembered: nothing runs on it.
    let remember = if approved { answer.remember } else { Remember::Once };
    entitlement.check_remembering(by, remember)?;
    if remember > request.max_remember {
        return Err(AnswerFault::TooLong { longest: request.max_remember });
    }
    Ok(ApprovalRecord {
        state: if approved { ApprovalState::Approved } else { ApprovalState::Denied },
        answer: Some(ApprovalAnswer {
            decision: answer.decision,
            remember,
            decided_by: by.id.clone(),
            decided_at: now,
            reason: answer.reason.map(|reason| visible::clipped_line(&reason, MAX_REASON_CHARS)),
        }),
        ..record.clone()
    })
}

/// The record after its deadline, if it was still pending and the deadline has passed.
pub fn expire(record: &ApprovalRecord, now: Timestamp) -> Option<ApprovalRecord> {
    let due = record.state == ApprovalState::Pending && now > record.request.deadline;
    due.then(|| ApprovalRecord { state: ApprovalState::Expired, ..record.clone() })
}

/// The record after its task ended, if it was still pending.
pub fn cancel(record: &ApprovalRecord) -> Option<ApprovalRecord> {
    let pending = record.state == ApprovalState::Pending;
    pending.then(|| ApprovalRecord { state: ApprovalState::Cancelled, ..record.clone() })
}

/// The record after somebody was shown it; `None` when that is known already, or the list is full.
pub fn record_delivery(record: &ApprovalRecord, to: &PrincipalId, now: Timestamp) -> Option<ApprovalRecord> {
    let known = record.receipts.iter().any(|receipt| receipt.principal == *to);
    if known || record.receipts.len() >= MAX_RECEIPTS {
        return None;
    }
    let mut record = record.clone();
    record.receipts.push(DeliveryReceipt { principal: to.clone(), shown_at: now });
    Some(record)
}

/// Proof that a stored approval says yes, and that whoever said it has the right to at this moment.
#[derive(Clone, Debug)]
pub struct ApprovalGrant {
    approval_id: ApprovalId,
    approver: Principal,
}

impl ApprovalGrant {
    /// The approval.
    pub fn approval_id(&self) -> &ApprovalId {
        &self.approval_id
    }

    /// Who gave it, as they are now.
    pub fn approver(&self) -> &Principal {
        &self.approver
    }
}

/// What a stored record amounts to.
#[derive(Clone, Debug)]
pub enum Settlement {
    /// Nobody has answered, and there is time left.
    Waiting,
    /// Yes, by somebody who still may.
    Granted(ApprovalGrant),
    /// No, with the person's words.
    Denied(Option<String>),
    /// The deadline passed.
    Expired,
    /// The task ended first.
    Cancelled,
    /// Yes, by somebody who no longer may.
    RightLost,
}

/// Reads a stored record. `standing` looks a principal up as it is now; `None` for one that no longer exists.
pub fn grant(
    record: &ApprovalRecord,
    now: Timestamp,
    standing: impl Fn(&PrincipalId) -> Option<Principal>,
) -> Settlement {
    match (record.state, &record.answer) {
        (ApprovalState::Pending, _) if now > record.request.deadline => Settlement::Expired,
        (ApprovalState::Pending, _) => Settlement::Waiting,
        (ApprovalState::Expired, _) => Settlement::Expired,
        (ApprovalState::Cancelled, _) => Settlement::Cancelled,
        (ApprovalState::Approved, Some(given)) if given.decision == Decision::Approved => {
            let entitlement = Entitlement::of(&record.request);
            match standing(&given.decided_by).filter(|who| entitlement.check(who).is_ok()) {
                Some(approver) => Settlement::Granted(ApprovalGrant {
                    approval_id: record.request.approval_id.clone(),
                    approver,
                }),
                None => Settlement::RightLost,
            }
        }
        // A record that says approved without an approving answer is damaged: no.
        (ApprovalState::Approved | ApprovalState::Denied, given) => {
            Settlement::Denied(given.as_ref().and_then(|given| given.reason.clone()))
        }
    }
}
