//! Rows of tool calls: phases only go forward, and an outcome that is on disk is the outcome.

use lanyard_ports::journal::{CallPhase, CallRecord};

use super::stage::Stage;
use crate::error::{Rejection, refused, unstorable};
use crate::keys;
use crate::record::{CallRow, Record};
use crate::table::TableId;

impl Stage<'_, '_> {
    pub(super) fn call(&mut self, record: CallRecord) -> Result<(), Rejection> {
        let CallRecord { request, phase, replay, approval_id, completed } = record;
        self.expect_session(&request.session_id)?;
        let key = keys::call(&request.session_id, &request.tool_call_id);
        let before: Option<CallRow> = self.get(&key)?;
        let call = format!("call {} of session {}", request.tool_call_id, request.session_id);
        let known = before.as_ref().and_then(|before| before.completed.clone());
        if let Some(before) = &before {
            check_move(&call, before.phase, phase)?;
        }
        if known.is_some() && completed.is_some() && known != completed {
            return Err(refused(format!("{call} has an outcome already, which does not change")));
        }
        let completed = known.or(completed);
        if phase >= CallPhase::Finished && completed.is_none() {
            return Err(refused(format!("{call} cannot be {phase:?} without an outcome")));
        }
        let bytes = request.encode().map_err(|why| unstorable(TableId::CallRequests, &why))?;
        if self.raw(TableId::CallRequests, &key)?.as_ref() != Some(&bytes) {
            self.put_raw(TableId::CallRequests, key.clone(), bytes);
        }
        self.put(key, &CallRow { phase, replay, approval_id, completed })
    }
}

/// `Planned → Authorized → Started → Finished | Indeterminate → Reported`; steps may be left out (a denied call goes
/// from `Planned` to `Finished`), and writing a phase again is no move.
fn check_move(call: &str, from: CallPhase, to: CallPhase) -> Result<(), Rejection> {
    let sideways = from == CallPhase::Finished && to == CallPhase::Indeterminate;
    if to < from || sideways {
        return Err(refused(format!("{call} is {from:?} and cannot become {to:?}")));
    }
    Ok(())
}
