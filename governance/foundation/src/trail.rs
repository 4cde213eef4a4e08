//! What the services themselves record for audit: written with the change it is about, in the same transaction, and
//! delivered to the Audit Service by a chore, at least once. A request never fails because audit is away, and nothing
//! is changed without its record.

use std::time::Duration;

use lanyard_governance_api::audit::ServiceRecords;
use lanyard_governance_api::endpoint::PostServiceAudit;
use lanyard_governance_api::id::{AgentId, TenantId};
use lanyard_governance_api::page::Nothing;
use lanyard_protocol::Json;
use lanyard_protocol::envelope::{BoundedContext, Component, EventEnvelope, Severity};
use lanyard_protocol::id::{IdError, SessionId, TaskId, WorkspaceId};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::caller::Caller;
use crate::clock::fresh_id;
use crate::database::{Migration, Statement, Tx};
use crate::fault::Fault;
use crate::{Clock, Foundation};

pub(crate) const MIGRATION: Migration = Migration {
    service: "foundation",
    number: 2,
    sql: "CREATE TABLE trail (
    tenant_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    at BIGINT NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (tenant_id, event_id));
{{isolate trail}}
CREATE INDEX trail_at ON trail (at);
",
};

/// Topic that wakes the chore.
const TOPIC: &str = "trail";

/// Records delivered at once, per tenant.
const BATCH: i64 = 200;

/// How often the chore looks by itself, and its longest pause after failures.
const LOOK: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Stands where a record belongs to no session, workspace or user.
const NONE: &str = "none";

/// One record.
#[derive(Debug, Clone)]
pub struct Record {
    event_type: &'static str,
    component: Component,
    context: BoundedContext,
    severity: Severity,
    user: Option<String>,
    agent: Option<AgentId>,
    workspace: Option<WorkspaceId>,
    session: Option<SessionId>,
    task: Option<TaskId>,
    payload: serde_json::Map<String, Value>,
}

impl Record {
    /// A record of a service. The payload holds neither secrets nor contents.
    pub fn new(event_type: &'static str, component: Component, context: BoundedContext) -> Self {
        Self {
            event_type,
            component,
            context,
            severity: Severity::Info,
            user: None,
            agent: None,
            workspace: None,
            session: None,
            task: None,
            payload: serde_json::Map::new(),
        }
    }

    /// Who did it.
    #[must_use]
    pub fn by(mut self, caller: &Caller) -> Self {
        match caller {
            Caller::Person(person) => self.user = Some(person.user.to_string()),
            Caller::Agent(agent) => {
                self.user = Some(agent.user.to_string());
                self.agent = Some(agent.agent.clone());
            }
            Caller::Nobody | Caller::Revoked { .. } | Caller::Service { .. } => {}
        }
        self
    }

    /// Which host it is about.
    #[must_use]
    pub fn about_agent(mut self, agent: &AgentId) -> Self {
        self.agent = Some(agent.clone());
        self
    }

    /// Which session it is about.
    #[must_use]
    pub fn about_session(mut self, session: &SessionId, workspace: Option<&WorkspaceId>) -> Self {
        self.session = Some(session.clone());
        self.workspace = workspace.cloned();
        self
    }

    /// Which task it is about.
    #[must_use]
    pub fn about_task(mut self, task: &TaskId) -> Self {
        self.task = Some(task.clone());
        self
    }

    /// How urgent.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// One particular.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.payload.insert(key.to_owned(), value.into());
        self
    }

    fn envelope(self, tenant: &TenantId, clock: &dyn Clock) -> Result<EventEnvelope, Fault> {
        fn or_none<T: TryFrom<String, Error = IdError>>(id: Option<T>) -> Result<T, Fault> {
            match id {
                Some(id) => Ok(id),
                None => {
                    T::try_from(NONE.to_owned()).map_err(|e| Fault::internal("a placeholder is no id", &e))
                }
            }
        }
        let mut payload = self.payload;
        if let Some(agent) = &self.agent {
            payload.insert("agentId".to_owned(), Value::from(agent.as_str()));
        }
        Ok(EventEnvelope {
            event_id: fresh_id("evt")?,
            event_type: self.event_type.to_owned(),
            timestamp: clock.now(),
            tenant_id: tenant.to_string(),
            user_id: self.user.unwrap_or_else(|| NONE.to_owned()),
            workspace_id: or_none(self.workspace)?,
            session_id: or_none(self.session)?,
            task_id: self.task,
            step_id: None,
            tool_call_id: None,
            component: self.component,
            bounded_context: self.context,
            severity: self.severity,
            payload: Json(Value::Object(payload)),
        })
    }
}

/// Writes a record with the transaction that changes what it is about.
pub async fn record(tx: &mut Tx, tenant: &TenantId, clock: &dyn Clock, record: Record) -> Result<(), Fault> {
    let event = record.envelope(tenant, clock)?;
    let sql = "INSERT INTO trail (tenant_id, event_id, at, event) VALUES ($1, $2, $3, $4)";
    let mut statement = Statement::new(sql);
    if tx.tenant().is_none() {
        statement = statement.bind_id(tenant);
    }
    let statement = statement.bind_id(&event.event_id).bind(event.timestamp).bind_json(&event);
    tx.run(statement).await?;
    tx.wake(TOPIC).await?;
    Ok(())
}

/// Delivers what was recorded, until stopped. Several replicas may do it at once: the Audit Service dedupes by id.
pub async fn deliver(foundation: Foundation, stop: CancellationToken) {
    let mut waiter = foundation.signals.listen(TOPIC);
    let mut pause = LOOK;
    loop {
        match deliver_all(&foundation).await {
            Ok(()) => pause = LOOK,
            Err(fault) => {
                tracing::warn!(%fault, "audit records of the services wait");
                pause = (pause * 2).min(LONGEST_PAUSE);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => continue,
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = waiter.wait(pause) => {}
        }
    }
}

/// Delivers everything that waits now.
pub async fn deliver_all(foundation: &Foundation) -> Result<(), Fault> {
    loop {
        let mut tx = foundation.database.across_read().await?;
        let sql = "SELECT tenant_id FROM trail ORDER BY at LIMIT 1";
        let Some(row) = tx.one(Statement::new(sql)).await? else { return Ok(()) };
        let tenant: TenantId = row.id("tenant_id")?;
        drop(tx);
        let mut tx = foundation.database.read_of(&tenant).await?;
        let sql = "SELECT event FROM trail WHERE tenant_id = $1 ORDER BY at, event_id LIMIT $2";
        let rows = tx.all(Statement::new(sql).bind(BATCH)).await?;
        drop(tx);
        let events = rows.iter().map(|row| row.json("event")).collect::<Result<Vec<EventEnvelope>, _>>()?;
        let ids: Vec<String> = events.iter().map(|event| event.event_id.to_string()).collect();
        let body = ServiceRecords { agent_id: None, events };
        foundation.peers.call::<PostServiceAudit>(Some(&tenant), &[], &Nothing {}, &body).await?;
        let mut tx = foundation.database.write_of(&tenant).await?;
        for id in ids {
            let sql = "DELETE FROM trail WHERE tenant_id = $1 AND event_id = $2";
            tx.run(Statement::new(sql).bind(id)).await?;
        }
        tx.commit().await?;
    }
}
