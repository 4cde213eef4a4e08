//! People of the centre as principals of this host: `central:` and their user id. They hold what the owner lets the
//! centre do, at this moment, and nothing without an enrolment in force.

use std::sync::Arc;

use lanyard_governance_api::id::UserId;
use lanyard_ports::authority::Principals;
use lanyard_protocol::id::{IdError, PrincipalId};
use lanyard_protocol::principal::{CENTRE_PEOPLE, Principal, Scope};

use super::Centre;
use super::consent::Consent;
use crate::network::Devices;

/// Somebody of the centre. Fails for a user id that is too long to become a principal's.
pub(super) fn principal(user: &UserId, name: Option<&str>, scopes: Vec<Scope>) -> Result<Principal, IdError> {
    let id = PrincipalId::new(format!("{CENTRE_PEOPLE}{user}"))?;
    let name = name.map_or_else(|| format!("{user} (central)"), |name| format!("{name} (central)"));
    Ok(Principal { id, name, scopes, local: false })
}

/// The user of the centre that an id stands for.
pub(super) fn user_of(id: &str) -> Option<UserId> {
    UserId::new(id.strip_prefix(CENTRE_PEOPLE)?).ok()
}

impl Centre {
    /// What somebody of the centre may do to sessions: have a job done, answer a question.
    fn scopes(&self) -> Vec<Scope> {
        let Consent { accept_jobs, accept_answers, .. } = self.tie.borrow().consent();
        let mut scopes = Vec::new();
        if accept_jobs || accept_answers {
            scopes.push(Scope::Observe);
        }
        if accept_jobs {
            scopes.push(Scope::Operate);
        }
        if accept_answers {
            scopes.push(Scope::Approve);
        }
        scopes
    }
}

impl Principals for Centre {
    fn standing(&self, id: &PrincipalId) -> Option<Principal> {
        let user = user_of(id.as_str())?;
        let scopes = self.scopes();
        if scopes.is_empty() {
            return None;
        }
        principal(&user, None, scopes).ok()
    }
}

/// Everybody this host knows: its owner, paired devices, and people of its centre.
pub(crate) struct Known {
    pub(crate) devices: Devices,
    pub(crate) centre: Arc<Centre>,
}

impl Principals for Known {
    fn standing(&self, id: &PrincipalId) -> Option<Principal> {
        self.devices.standing(id).or_else(|| self.centre.standing(id))
    }
}

/// People of the centre as the network desk takes them: who may answer questions may answer pairings. They do so with
/// `admin`, which that takes; it stays with the desk, and nobody gets it from them (`commands`).
pub(crate) struct AtTheDesk(pub(crate) Arc<Centre>);

impl Principals for AtTheDesk {
    fn standing(&self, id: &PrincipalId) -> Option<Principal> {
        let mut principal = self.0.standing(id).filter(|principal| principal.holds(Scope::Approve))?;
        principal.scopes = vec![Scope::Observe, Scope::Operate, Scope::Approve, Scope::Admin];
        Some(principal)
    }
}
