//! Rows of approvals: a question never changes, and an answer is given once.

use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::{ApprovalRecord, ApprovalState, Decision};
use lanyard_protocol::event::{ApprovalPending, ApprovalSettled, HostEventBody};

use super::stage::Stage;
use crate::error::{Rejection, refused};
use crate::keys;
use crate::table::TableId;

impl Stage<'_, '_> {
    /// Adds or changes an approval. The host log hears of those that wait and of those that no longer do; one that is
    /// settled from the start (a remembered rule answered) never waited.
    pub(super) fn approval(&mut self, record: &ApprovalRecord) -> Result<(), Rejection> {
        let request = &record.request;
        check_answer(record)?;
        let mut head = self.head(&request.session_id)?;
        let key = keys::approval(&request.session_id, &request.approval_id);
        let before: Option<ApprovalRecord> = self.get(&key)?;
        let by_time = keys::approval_by_time(request.requested_at, &request.session_id, &request.approval_id);
        match &before {
            Some(before) => check_change(before, record)?,
            None => {
                self.mark(TableId::ApprovalsByTime, by_time.clone());
                let by_session = keys::approval_by_session(
                    &request.session_id,
                    request.requested_at,
                    &request.approval_id,
                );
                self.mark(TableId::ApprovalsBySession, by_session);
            }
        }
        let waited = before.is_some_and(|before| before.state == ApprovalState::Pending);
        let waits = record.state == ApprovalState::Pending;
        if waits && !waited {
            head.pending_approvals += 1;
            self.totals.approvals_pending += 1;
            self.mark(TableId::ApprovalsPending, by_time);
            self.tell_host(request.requested_at, pending(record))?;
        } else if waited && !waits {
            head.pending_approvals = head.pending_approvals.saturating_sub(1);
            self.totals.approvals_pending = self.totals.approvals_pending.saturating_sub(1);
            self.remove(TableId::ApprovalsPending, by_time);
            let at = record.answer.as_ref().map_or_else(Timestamp::now, |answer| answer.decided_at);
            self.tell_host(at, settled(record))?;
        }
        self.put(request.session_id.as_str().as_bytes().to_vec(), &head)?;
        self.put(key, record)
    }
}

fn pending(record: &ApprovalRecord) -> HostEventBody {
    HostEventBody::ApprovalPending(ApprovalPending {
        session_id: record.request.session_id.clone(),
        approval_id: record.request.approval_id.clone(),
        action_summary: record.request.action_summary.clone(),
        risk_level: record.request.risk_level,
        deadline: record.request.deadline,
    })
}

fn settled(record: &ApprovalRecord) -> HostEventBody {
    HostEventBody::ApprovalSettled(ApprovalSettled {
        session_id: record.request.session_id.clone(),
        approval_id: record.request.approval_id.clone(),
    })
}

/// The state and the answer must say the same.
fn check_answer(record: &ApprovalRecord) -> Result<(), Rejection> {
    let given = record.answer.as_ref().map(|answer| answer.decision);
    let fitting = match record.state {
        ApprovalState::Approved => Some(Decision::Approved),
        ApprovalState::Denied => Some(Decision::Denied),
        ApprovalState::Pending | ApprovalState::Expired | ApprovalState::Cancelled => None,
    };
    if given == fitting {
        return Ok(());
    }
    Err(refused(format!(
        "approval {} is {:?} with the answer {given:?}",
        record.request.approval_id, record.state
    )))
}

/// What may change: receipts, and a pending one may be settled.
fn check_change(before: &ApprovalRecord, after: &ApprovalRecord) -> Result<(), Rejection> {
    let id = &before.request.approval_id;
    if before.request != after.request {
        return Err(refused(format!("approval {id} stands for another question")));
    }
    let settled = before.state != ApprovalState::Pending;
    if settled && (before.state != after.state || before.answer != after.answer) {
        return Err(refused(format!("approval {id} is {:?} already, which does not change", before.state)));
    }
    Ok(())
}
