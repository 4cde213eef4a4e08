//! Which hosts take answers from the centre: the owner's choice, as of the last heartbeat.
//!
//! A list asks once per host, a few at a time, and remembers for some seconds; a proposal asks anew.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use lanyard_governance_api::agent::{AgentInfo, AgentState};
use lanyard_governance_api::endpoint::GetAgent;
use lanyard_governance_api::id::{AgentId, TenantId};
use lanyard_governance_api::page::Nothing;
use lanyard_governance_foundation::{Fault, Foundation};

/// How long an answer is believed. Hosts say it once a minute.
const BELIEVED: Duration = Duration::from_secs(10);

/// Hosts remembered; when there are more, all are forgotten.
const MAX_KNOWN: usize = 20_000;

/// Hosts asked about at once.
const AT_ONCE: usize = 8;

/// What was heard lately.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashMap<(TenantId, AgentId), (Instant, bool)>>);

impl Known {
    fn believed(&self, tenant: &TenantId, agent: &AgentId, now: Instant) -> Option<bool> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, accepts) = known.get(&(tenant.clone(), agent.clone()))?;
        (now.saturating_duration_since(*at) < BELIEVED).then_some(*accepts)
    }

    fn remember(&self, tenant: &TenantId, agent: &AgentId, accepts: bool, now: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert((tenant.clone(), agent.clone()), (now, accepts));
    }

    /// Those of the hosts that take answers. A host that cannot be asked about takes none.
    pub(crate) async fn of(
        &self,
        foundation: &Foundation,
        tenant: &TenantId,
        agents: BTreeSet<AgentId>,
    ) -> HashSet<AgentId> {
        let now = Instant::now();
        let asked = futures_util::stream::iter(agents).map(|agent| async move {
            let accepts = match self.believed(tenant, &agent, now) {
                Some(accepts) => accepts,
                None => {
                    let accepts = match ask(foundation, tenant, &agent).await {
                        Ok(info) => accepts(&info),
                        Err(fault) => {
                            tracing::debug!(%fault, %agent, "whether a host takes answers is not known");
                            false
                        }
                    };
                    self.remember(tenant, &agent, accepts, now);
                    accepts
                }
            };
            accepts.then_some(agent)
        });
        asked.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await
    }
}

/// Asks about one host now.
pub(crate) async fn ask(
    foundation: &Foundation,
    tenant: &TenantId,
    agent: &AgentId,
) -> Result<AgentInfo, Fault> {
    let path = [("agent_id", agent.as_str())];
    foundation.peers.call::<GetAgent>(Some(tenant), &path, &Nothing {}, &Nothing {}).await
}

/// Whether the host takes answers.
pub(crate) fn accepts(info: &AgentInfo) -> bool {
    info.state != AgentState::Revoked
        && info.heartbeat.as_ref().is_some_and(|heartbeat| heartbeat.accepts_answers)
}
