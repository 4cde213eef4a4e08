//! Who may ask and answer: without pairing, the owner at the machine alone.

use lanyard_ports::authority::Principals;
use lanyard_protocol::id::{IdError, PrincipalId};
use lanyard_protocol::principal::{Principal, Scope};

/// Id of the owner at the machine.
const OWNER: &str = "owner";

/// The owner: every right, by virtue of being the user the host runs as.
pub(crate) fn owner() -> Result<Principal, IdError> {
    let scopes = vec![Scope::Observe, Scope::Operate, Scope::Approve, Scope::Admin];
    Ok(Principal { id: PrincipalId::new(OWNER)?, name: OWNER.to_owned(), scopes, local: true })
}

/// The principals of a host without paired devices.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalPrincipals;

impl Principals for LocalPrincipals {
    fn standing(&self, id: &PrincipalId) -> Option<Principal> {
        owner().ok().filter(|owner| owner.id == *id)
    }
}
