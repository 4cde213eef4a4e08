//! What the services themselves record for audit: written with the change it is about, in the same transaction, and
//! delivered to the Audit Service by a chore, at least once. A request never fails because audit is away, and nothing
//! is changed without its record.
//!
//! What is recorded is bounded when it is written, so that it can be delivered; what is refused all the same is set
//! aside and stops nothing.

mod delivery;

use lanyard_governance_api::id::{AgentId, TenantId};
use lanyard_protocol::Json;
use lanyard_protocol::envelope::{BoundedContext, Component, EventEnvelope, Severity};
use lanyard_protocol::id::{IdError, SessionId, TaskId, WorkspaceId};
use serde_json::Value;

use crate::caller::Caller;
use crate::clock::{Clock, fresh_id};
use crate::database::{Migration, Statement, Tx};
use crate::fault::Fault;

pub use delivery::{deliver, deliver_all};

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

/// `parked` is when a record was set aside, or 0.
pub(crate) const PARKED: Migration = Migration {
    service: "foundation",
    number: 3,
    sql: "ALTER TABLE trail ADD COLUMN parked BIGINT NOT NULL DEFAULT 0;
CREATE INDEX trail_of ON trail (tenant_id, at, event_id);
",
};

/// Topic that wakes the chore.
const TOPIC: &str = "trail";

/// Longest text in the payload of a record, in bytes: names, reasons, summaries. The rest is where the thing itself is
/// kept.
const MAX_VALUE_BYTES: usize = 1_000;

/// Longest payload of a record, in bytes of JSON: some hundred records fit into one call of the Audit Service.
const MAX_PAYLOAD_BYTES: usize = 16 * 1024;

/// Member of the payload that says how many particulars were left out of it.
const LEFT_OUT: &str = "leftOut";

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
    /// Bytes of the payload, and particulars that did not fit.
    bytes: usize,
    left_out: u64,
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
            bytes: 0,
            left_out: 0,
        }
    }

    /// Who did it.
    #[must_use]
    pub fn by(mut self, caller: &Caller) -> Self {
        match caller {
            Caller::Person(person) => self.user = Some(person.user.to_string()),
            Caller::Agent(agent) | Caller::Revoked { whose: agent, .. } => {
                self.user = Some(agent.user.to_string());
                self.agent = Some(agent.agent.clone());
            }
            Caller::Nobody | Caller::Service { .. } => {}
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

    /// One particular. Texts in it are cut at 1,000 bytes; where the payload grows beyond 16 KiB, it is left out and
    /// counted in `leftOut`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        let value = cut(value.into());
        // Quotes, colon and comma.
        let bytes = key.len() + value.to_string().len() + 4;
        if self.bytes + bytes > MAX_PAYLOAD_BYTES {
            self.left_out += 1;
            return self;
        }
        self.bytes += bytes;
        self.payload.insert(key.to_owned(), value);
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
        if self.left_out > 0 {
            payload.insert(LEFT_OUT.to_owned(), Value::from(self.left_out));
        }
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

/// The value with every text in it cut.
fn cut(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(cut_text(text)),
        Value::Array(values) => values.into_iter().map(cut).collect(),
        Value::Object(members) => members.into_iter().map(|(key, value)| (key, cut(value))).collect(),
        other => other,
    }
}

/// Cuts a text to at most so many bytes, between two characters.
pub fn truncate(text: &mut String, most: usize) {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

fn cut_text(mut text: String) -> String {
    const MARK: &str = "…";
    if text.len() > MAX_VALUE_BYTES {
        truncate(&mut text, MAX_VALUE_BYTES - MARK.len());
        text.push_str(MARK);
    }
    text
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
