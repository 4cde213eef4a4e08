//! The owner at the machine: the one principal that is not paired. The others are devices, see [`crate::network`].

use lanyard_protocol::id::{IdError, PrincipalId};
use lanyard_protocol::principal::{Principal, Scope};

/// Id of the owner at the machine.
const OWNER: &str = "owner";

/// The owner: every right, by virtue of being the user the host runs as.
pub(crate) fn owner() -> Result<Principal, IdError> {
    let scopes = vec![Scope::Observe, Scope::Operate, Scope::Approve, Scope::Admin];
    Ok(Principal { id: PrincipalId::new(OWNER)?, name: OWNER.to_owned(), scopes, local: true })
}
