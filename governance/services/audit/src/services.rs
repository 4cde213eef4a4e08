//! What central's own services record: chained here, one chain a service.

use std::collections::{BTreeMap, HashMap};

use lanyard_governance_api::audit::AuditAccepted;
use lanyard_governance_api::endpoint::PostServiceAudit;
use lanyard_governance_api::id::{AgentId, TenantId};
use lanyard_governance_api::limits::MAX_BATCH;
use lanyard_governance_foundation::database::{DatabaseError, Value};
use lanyard_governance_foundation::{Ask, Fault, Tx};
use lanyard_protocol::envelope::{Component, EventEnvelope};
use lanyard_protocol::{ErrorCode, Timestamp, codec};

use crate::State;
use crate::chain::{Digest, event_key};
use crate::conflict::{self, Conflict, Whose};
use crate::event::rank;
use crate::head::Head;
use crate::ingest::{COLUMNS, Stored, stored};

/// Tries of a batch. It fails only where the same events arrive twice at the same time.
const TRIES: usize = 3;

/// The chain of a component, if it is a service.
fn source_of(component: Component) -> Option<&'static str> {
    match component {
        Component::SessionService => Some("service:session"),
        Component::PolicyService => Some("service:policy"),
        Component::ApprovalService => Some("service:approval"),
        Component::WorkspaceService => Some("service:workspace"),
        Component::AuditService => Some("service:audit"),
        Component::TelemetryService => Some("service:telemetry"),
        Component::BackendToolService => Some("service:tools"),
        Component::LlmGateway => Some("service:llm-gateway"),
        Component::DesktopApp
        | Component::LocalAgentHost
        | Component::LocalToolRuntime
        | Component::LocalPolicyEnforcer
        | Component::LocalApprovalUi => None,
    }
}

/// An event and the text of it that is hashed.
struct Written {
    event: EventEnvelope,
    text: String,
    key: Vec<u8>,
}

impl Written {
    /// This contradicts a stored event with its id. It was never given a number: it stands at that of the other.
    fn against(&self, stored: &Stored) -> Conflict {
        Conflict {
            seq: stored.seq,
            hash: Digest::START.then(stored.seq, &self.text),
            event_id: self.event.event_id.clone(),
            session: self.event.session_id.clone(),
            workspace: self.event.workspace_id.clone(),
            text: self.text.clone(),
            stored_seq: stored.seq,
            stored_hash: stored.hash,
        }
    }
}

pub(crate) async fn post(state: State, ask: Ask<PostServiceAudit>) -> Result<AuditAccepted, Fault> {
    let tenant = ask.caller.tenant()?.clone();
    if ask.body.events.len() > MAX_BATCH {
        let message = format!("a batch has at most {MAX_BATCH} events, this one {}", ask.body.events.len());
        return Err(Fault::new(ErrorCode::PayloadTooLarge, message));
    }
    // By name, so that everybody locks heads in the same order.
    let mut chains: BTreeMap<&'static str, Vec<Written>> = BTreeMap::new();
    for event in ask.body.events {
        let (source, written) = write(&tenant, ask.body.agent_id.as_ref(), event)?;
        chains.entry(source).or_default().push(written);
    }
    let mut tries = 0;
    loop {
        match append(&state, &tenant, &chains).await {
            Err(Failed::Taken) if tries < TRIES => tries += 1,
            Err(Failed::Taken) => {
                return Err(Fault::unavailable("the same events are being stored; try again"));
            }
            Err(Failed::Fault(fault)) => return Err(fault),
            Ok(accepted) => return Ok(accepted),
        }
    }
}

fn write(
    tenant: &TenantId,
    agent: Option<&AgentId>,
    mut event: EventEnvelope,
) -> Result<(&'static str, Written), Fault> {
    let id = event.event_id.clone();
    let source = source_of(event.component)
        .ok_or_else(|| Fault::invalid(format!("event {id}: {:?} is no service", event.component)))?;
    if event.tenant_id != tenant.as_str() {
        return Err(Fault::forbidden(format!("event {id} belongs to another tenant")));
    }
    let Some(payload) = event.payload.0.as_object_mut() else {
        return Err(Fault::invalid(format!("event {id}: the payload is an object")));
    };
    if let Some(agent) = agent {
        payload.entry("agentId").or_insert_with(|| agent.as_str().into());
    }
    let text = codec::to_json(&event).map_err(|e| Fault::internal("an event cannot be written", &e))?;
    let key = event_key(tenant.as_str(), source, id.as_str());
    Ok((source, Written { event, text, key }))
}

enum Failed {
    Taken,
    Fault(Fault),
}

impl From<DatabaseError> for Failed {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Taken => Self::Taken,
            other => Self::Fault(other.into()),
        }
    }
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

async fn append(
    state: &State,
    tenant: &TenantId,
    chains: &BTreeMap<&'static str, Vec<Written>>,
) -> Result<AuditAccepted, Failed> {
    let mut tx = state.foundation.database.write_of(tenant).await?;
    let mut told = AuditAccepted { last_seq: 0, accepted: 0, duplicates: 0, conflicts: 0 };
    for (source, events) in chains {
        let whose = Whose { tenant, source, agent: None };
        let mut conflicts = extend(&mut tx, whose, events, state.foundation.clock.now(), &mut told).await?;
        conflicts.sort_by_key(|conflict| conflict.seq);
        conflict::keep(&mut tx, &state.foundation, whose, &conflicts).await?;
    }
    tx.commit().await?;
    Ok(told)
}

/// Adds what is not there yet to one chain, and tells what contradicts it.
async fn extend(
    tx: &mut Tx,
    whose: Whose<'_>,
    events: &[Written],
    now: Timestamp,
    told: &mut AuditAccepted,
) -> Result<Vec<Conflict>, DatabaseError> {
    let source = whose.source;
    let mut head = Head::lock(tx, source).await?;
    head.updated_at = head.updated_at.max(now);
    let keys = events.iter().map(|event| event.key.clone()).collect();
    let mut known: HashMap<Vec<u8>, Stored> = stored(tx, keys).await?;
    let (mut rows, mut conflicts) = (Vec::new(), Vec::new());
    for written in events {
        match known.get(&written.key) {
            Some(stored) if stored.text == written.text => told.duplicates += 1,
            Some(stored) => {
                told.conflicts += 1;
                conflicts.push(written.against(stored));
            }
            None => {
                head.seq += 1;
                head.hash = head.hash.then(head.seq, &written.text);
                rows.push(row(source, &head, written));
                let stored = Stored { seq: head.seq, hash: head.hash, text: written.text.clone() };
                known.insert(written.key.clone(), stored);
            }
        }
    }
    told.last_seq = head.seq;
    if !rows.is_empty() {
        told.accepted += rows.len() as u64;
        tx.insert_many("audit_records", COLUMNS, rows, "").await?;
        head.save(tx, source).await?;
    }
    Ok(conflicts)
}

fn row(source: &str, head: &Head, written: &Written) -> Vec<Value> {
    let event = &written.event;
    vec![
        source.into(),
        Value::Int(i64::try_from(head.seq).ok()),
        head.updated_at.into(),
        rank(event.severity).into(),
        0_i64.into(),
        head.hash.value(),
        Value::Bytes(Some(written.key.clone())),
        event.event_type.as_str().into(),
        event.session_id.as_str().into(),
        event.task_id.as_ref().map(|id| id.as_str()).into(),
        event.workspace_id.as_str().into(),
        event.user_id.as_str().into(),
        written.text.as_str().into(),
    ]
}
