//! Where a session stands, as its host says, and what it is called.

use lanyard_governance_api::endpoint::{RenameSession, ReportState};
use lanyard_governance_api::limits::MAX_TEXT_BYTES;
use lanyard_governance_api::session::SessionInfo;
use lanyard_governance_foundation::{Ask, Fault, Statement, trail};
use lanyard_protocol::id::SessionId;
use lanyard_protocol::session::SessionState;

use crate::State;
use crate::store::{self, Session};

/// Why a session is failed that nobody ended in time.
pub(crate) const EXPIRED: &str = "expired";

impl Session {
    /// It was ended here because its time was over, not by its host.
    pub(crate) fn lapsed(&self) -> bool {
        self.state == SessionState::SessionFailed && self.reason.as_deref() == Some(EXPIRED)
    }

    /// It never started, because host and policy did not fit.
    pub(crate) fn never_fitted(&self) -> bool {
        self.state == SessionState::SessionFailed && !self.compatible && self.state_seq == 0 && !self.lapsed()
    }
}

/// Whether a session may come from one state to another (seed 004 §7). Hosts report the last state of a page of events,
/// so what lies in between may be left out; the beginning is not come back to, and an end is one.
pub(crate) fn follows(from: SessionState, to: SessionState) -> bool {
    use SessionState::{
        SessionCancelled, SessionCompleted, SessionCreated, SessionFailed, SessionPaused, SessionRunning,
        WaitingForApproval, WaitingForLlm, WaitingForTool,
    };
    match (from, to) {
        (SessionCompleted | SessionFailed | SessionCancelled, _) => false,
        (_, SessionCreated) => false,
        (
            SessionCreated | SessionRunning | WaitingForLlm | WaitingForApproval | WaitingForTool
            | SessionPaused,
            SessionRunning | WaitingForLlm | WaitingForApproval | WaitingForTool | SessionPaused
            | SessionCompleted | SessionFailed | SessionCancelled,
        ) => true,
    }
}

/// What a report does to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It is known already, or older than what is.
    Nothing,
    /// The session comes to that state.
    Change,
    /// It cannot.
    Refused,
}

/// What a report of `to` with number `seq` does.
pub(crate) fn effect(session: &Session, to: SessionState, seq: u64) -> Effect {
    if seq <= session.state_seq {
        return Effect::Nothing;
    }
    // Its host knows better how a session ended that was given up here.
    let corrects = session.lapsed() && to.is_final();
    if corrects || follows(session.state, to) || (session.state == to && !to.is_final()) {
        return Effect::Change;
    }
    if session.state == to { Effect::Nothing } else { Effect::Refused }
}

/// `POST /sessions/{id}/state`.
pub(crate) async fn report(state: State, ask: Ask<ReportState>) -> Result<SessionInfo, Fault> {
    let agent = ask.caller.agent()?;
    let id: SessionId = ask.path.get("session_id")?;
    let report = ask.body;
    let foundation = &state.foundation;
    let mut tx = foundation.database.write(&ask.caller).await?;
    let session = store::held(&mut tx, &ask.caller, &id).await?;
    match effect(&session, report.state, report.seq) {
        Effect::Nothing => return store::shown(&mut tx, &id).await,
        Effect::Refused => {
            let now = serde_json::to_value(session.state).unwrap_or_default();
            let text = match session.state.is_final() {
                true => format!("the session {id} has ended; it comes to no other state"),
                false => format!("the session {id} has begun; it does not come back to its beginning"),
            };
            return Err(Fault::conflict(text).with("state", now));
        }
        Effect::Change => {}
    }
    let ended = report.state.is_final();
    let sql = "UPDATE sessions SET state = $3, reason = $4, state_seq = $5, ended = $6, updated_at = $7 \
               WHERE tenant_id = $1 AND session_id = $2";
    let reason = report.reason.as_deref().map(|reason| clipped(reason, MAX_TEXT_BYTES));
    let statement =
        Statement::new(sql).bind_id(&id).bind_json(&report.state).bind(reason).bind_u64(report.seq);
    tx.run(statement.bind(ended).bind(foundation.clock.now())).await?;
    if ended {
        let how = serde_json::to_value(report.state).unwrap_or_default();
        let record =
            store::record("session_ended", &id, &session.workspace).by(&ask.caller).with("state", how);
        trail::record(&mut tx, &agent.tenant, &*foundation.clock, record).await?;
    }
    let info = store::shown(&mut tx, &id).await?;
    tx.commit().await?;
    Ok(info)
}

/// A text cut to so many bytes, at the end of a character. What hosts say in passing is not refused for its length.
pub(crate) fn clipped(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// `PATCH /sessions/{id}/name`.
pub(crate) async fn rename(state: State, ask: Ask<RenameSession>) -> Result<SessionInfo, Fault> {
    let id: SessionId = ask.path.get("session_id")?;
    let name = ask.body.name.trim();
    if name.is_empty() || name.len() > MAX_TEXT_BYTES {
        return Err(Fault::invalid(format!("a name has 1 to {MAX_TEXT_BYTES} bytes")));
    }
    let foundation = &state.foundation;
    let mut tx = foundation.database.write(&ask.caller).await?;
    let session = store::held(&mut tx, &ask.caller, &id).await?;
    if session.name != name {
        let sql = "UPDATE sessions SET name = $3, updated_at = $4 WHERE tenant_id = $1 AND session_id = $2";
        tx.run(Statement::new(sql).bind_id(&id).bind(name).bind(foundation.clock.now())).await?;
        let record = store::record("session_renamed", &id, &session.workspace).by(&ask.caller);
        trail::record(&mut tx, ask.caller.tenant()?, &*foundation.clock, record).await?;
    }
    let info = store::shown(&mut tx, &id).await?;
    tx.commit().await?;
    Ok(info)
}
