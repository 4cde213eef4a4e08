//! The outbox of audit records, as the drain takes it.

use std::sync::Arc;

use lanyard_governance_api::id::UserId;
use lanyard_governance_client::StoreError;
use lanyard_governance_client::outbox::{AuditSource, ChainHead};
use lanyard_ports::journal::{AuditHead, Journal, JournalError, Write};
use lanyard_protocol::Json;
use lanyard_protocol::envelope::{BoundedContext, Component, EventEnvelope, Severity};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::id::{IdError, SessionId, WorkspaceId};
use serde_json::Value;

use super::standing::user_of;
use crate::host::Host;
use crate::ids::fresh;
use crate::principals::owner;

/// The journal's outbox. The store numbers rows; the drain numbers the chain.
pub(super) struct Outbox {
    pub(super) journal: Arc<dyn Journal>,
    /// Whose host it is at the centre.
    pub(super) user: UserId,
}

/// A record as the centre takes it: by its own names of people. Whoever acted on this machine, its owner or one of the
/// paired devices, acted for the user whose host it is, and is named in the payload; somebody of the centre is that user.
/// Always the same for the same record, because its place in the chain hangs on that.
fn told(mut event: EventEnvelope, user: &UserId) -> EventEnvelope {
    let here = std::mem::replace(&mut event.user_id, user.to_string());
    if let Some(theirs) = user_of(&here) {
        event.user_id = theirs.to_string();
    }
    if let Value::Object(payload) = &mut event.payload.0 {
        payload.insert("principal".to_owned(), Value::String(here));
    }
    event
}

/// Stands where a record belongs to no session.
const NONE: &str = "none";

/// A record of what the owner has decided about the host as a whole.
pub(super) fn of_owner(host: &Host, event_type: &str, payload: Value) -> Result<Write, WireError> {
    let defect = |error: IdError| WireError::new(ErrorCode::InternalError, error.to_string());
    Ok(Write::Audit(Box::new(EventEnvelope {
        event_id: fresh(host, "aud")?,
        event_type: event_type.to_owned(),
        timestamp: host.clock.now(),
        tenant_id: host.centre.tenant_id(),
        user_id: owner().map_err(defect)?.id.to_string(),
        workspace_id: WorkspaceId::new(NONE).map_err(defect)?,
        session_id: SessionId::new(NONE).map_err(defect)?,
        task_id: None,
        step_id: None,
        tool_call_id: None,
        component: Component::LocalAgentHost,
        bounded_context: BoundedContext::PolicyGuardrails,
        severity: Severity::Info,
        payload: Json(payload),
    })))
}

fn fault(error: JournalError) -> StoreError {
    StoreError(error.to_string())
}

#[async_trait::async_trait]
impl AuditSource for Outbox {
    async fn head(&self) -> Result<ChainHead, StoreError> {
        let AuditHead { seq, hash } = self.journal.audit_head().map_err(fault)?;
        Ok(ChainHead { seq, hash })
    }

    async fn pending(&self, limit: usize) -> Result<Vec<EventEnvelope>, StoreError> {
        let journal = self.journal.clone();
        let rows = tokio::task::spawn_blocking(move || journal.outbox(0, limit)).await;
        let rows = rows.map_err(|e| StoreError(e.to_string()))?.map_err(fault)?;
        Ok(rows.into_iter().map(|(_, event)| told(event, &self.user)).collect())
    }

    async fn acknowledge(&self, count: usize, head: ChainHead) -> Result<(), StoreError> {
        let kept = AuditHead { seq: head.seq, hash: head.hash };
        if count == 0 {
            return self.journal.commit(vec![Write::AuditHead(kept)]).await.map_err(fault);
        }
        // Rows are only ever added behind these, so the oldest so many are those that were sent.
        let journal = self.journal.clone();
        let rows = tokio::task::spawn_blocking(move || journal.outbox(0, count)).await;
        let rows = rows.map_err(|e| StoreError(e.to_string()))?.map_err(fault)?;
        let Some((up_to, _)) = rows.last().filter(|_| rows.len() == count) else {
            return Err(StoreError(format!("{count} records were sent, and {} are there", rows.len())));
        };
        self.journal.commit(vec![Write::AcknowledgeOutbox { up_to: *up_to, head: kept }]).await.map_err(fault)
    }
}

#[cfg(test)]
mod tests {
    use lanyard_protocol::Timestamp;
    use lanyard_protocol::id::EventId;

    use super::*;

    #[test]
    fn people_are_called_as_the_centre_calls_them_and_who_acted_here_is_kept() {
        let by = |who: &str| EventEnvelope {
            event_id: EventId::new("aud_1").unwrap(),
            event_type: "tool_completed".to_owned(),
            timestamp: Timestamp::from_millis(0),
            tenant_id: "acme".to_owned(),
            user_id: who.to_owned(),
            workspace_id: WorkspaceId::new("ws").unwrap(),
            session_id: SessionId::new("sess").unwrap(),
            task_id: None,
            step_id: None,
            tool_call_id: None,
            component: Component::LocalToolRuntime,
            bounded_context: BoundedContext::ToolExecution,
            severity: Severity::Info,
            payload: Json::object(),
        };
        let user = UserId::new("mia").unwrap();
        for (here, there) in [("owner", "mia"), ("a-device", "mia"), ("central:ann", "ann")] {
            let told = told(by(here), &user);
            assert_eq!(told.user_id, there);
            assert_eq!(told.payload.0["principal"], here);
            assert_eq!(told, super::told(by(here), &user));
        }
    }
}
