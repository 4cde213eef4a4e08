//! Refusals that somebody should see: a credential that does not open what it was tried at, a sign-in that was not let in.
//!
//! They are recorded for audit beside the answer, which waits for nothing and stands whatever becomes of the record; and
//! not more often than bearable, so that whoever knocks without end neither fills the trail nor keeps the database busy.

use std::sync::Arc;
use std::time::Instant;

use lanyard_governance_api::id::TenantId;
use lanyard_protocol::envelope::{BoundedContext, Component, Severity};
use tokio::sync::Semaphore;

use crate::caller::Caller;
use crate::fault::Fault;
use crate::pace::Pace;
use crate::trail::{self, Record};
use crate::{Clock, Database, Foundation};

/// Refusals recorded about one person or host: enough to be noticed, too few to bury what else is recorded.
const NOTES_PER_SECOND: f64 = 1.0 / 60.0;
const NOTES_AT_ONCE: f64 = 10.0;

/// Records being written at once. When more are to be, the log has them.
const AT_ONCE: usize = 4;

/// A credential was known and did not open the endpoint. Found among the extensions of the answer.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Operation id of the endpoint.
    pub endpoint: &'static str,
    /// What the caller was told.
    pub reason: String,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Refusals {
    database: Database,
    clock: Arc<dyn Clock>,
    pace: Arc<Pace<String>>,
    writing: Arc<Semaphore>,
}

impl std::fmt::Debug for Refusals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refusals").finish_non_exhaustive()
    }
}

impl Refusals {
    /// Over the trail of an installation.
    pub fn new(foundation: &Foundation) -> Self {
        Self {
            database: foundation.database.clone(),
            clock: foundation.clock.clone(),
            pace: Arc::new(Pace::new(NOTES_PER_SECOND, NOTES_AT_ONCE)),
            writing: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Records that a caller was not admitted to an endpoint. Callers of no tenant are for the log.
    pub fn note_credential(&self, caller: &Caller, refused: &Refused) {
        let (tenant, whose) = match caller {
            Caller::Person(person) => (&person.tenant, person.user.as_str()),
            Caller::Agent(agent) | Caller::Revoked { whose: agent, .. } => {
                (&agent.tenant, agent.agent.as_str())
            }
            Caller::Nobody | Caller::Service { .. } => return,
        };
        let record =
            Record::new("credential_refused", Component::SessionService, BoundedContext::SessionCoordination);
        let record = record.by(caller).severity(Severity::Warning).with("endpoint", refused.endpoint);
        self.note(tenant, whose, record.with("reason", refused.reason.as_str()));
    }

    /// Writes a record about somebody in a transaction and a task of its own, unless there were many lately. What goes
    /// wrong with it is for the log.
    pub fn note(&self, tenant: &TenantId, about: &str, record: Record) {
        let further = self.pace.take(&format!("{tenant}/{about}"), Instant::now()).is_err();
        let turn = match further {
            true => None,
            false => self.writing.clone().try_acquire_owned().ok(),
        };
        let Some(turn) = turn else {
            tracing::warn!(%tenant, about, "further refusals are not recorded one by one");
            return;
        };
        let (database, clock, tenant) = (self.database.clone(), self.clock.clone(), tenant.clone());
        let about = about.to_owned();
        tokio::spawn(async move {
            let written = async {
                let mut tx = database.write_of(&tenant).await?;
                trail::record(&mut tx, &tenant, &*clock, record).await?;
                Ok::<_, Fault>(tx.commit().await?)
            };
            if let Err(fault) = written.await {
                tracing::error!(%fault, %tenant, about, "a refusal could not be recorded");
            }
            drop(turn);
        });
    }
}
