//! What this service records for audit.

use lanyard_governance_api::id::{AgentId, TenantId};
use lanyard_governance_foundation::trail::{self, Record};
use lanyard_governance_foundation::{Caller, Fault, Foundation, Tx};
use lanyard_protocol::envelope::{BoundedContext, Component, Severity};
use serde_json::Value;

/// One record in the making. The seed's list of components has no enrolment; sessions are what it is for.
#[derive(Debug, Clone)]
pub(crate) struct Trace(Record);

impl Trace {
    pub(crate) fn of(event_type: &'static str) -> Self {
        Self(Record::new(event_type, Component::SessionService, BoundedContext::SessionCoordination))
    }

    /// Something an administrator should look at.
    pub(crate) fn alarm(event_type: &'static str) -> Self {
        let Self(record) = Self::of(event_type);
        Self(record.severity(Severity::Warning))
    }

    #[must_use]
    pub(crate) fn by(self, caller: &Caller) -> Self {
        Self(self.0.by(caller))
    }

    #[must_use]
    pub(crate) fn about(self, agent: &AgentId) -> Self {
        Self(self.0.about_agent(agent))
    }

    #[must_use]
    pub(crate) fn with(self, key: &str, value: impl Into<Value>) -> Self {
        Self(self.0.with(key, value))
    }

    /// Writes it with the transaction.
    pub(crate) async fn write(
        self,
        tx: &mut Tx,
        tenant: &TenantId,
        foundation: &Foundation,
    ) -> Result<(), Fault> {
        trail::record(tx, tenant, &*foundation.clock, self.0).await
    }
}
