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

/// What the owner is called in a browser tab of this machine.
const TAB: &str = "owner (browser)";

/// The owner in a tab that was opened with a link made at the machine (`lanyard open`). The same principal as the owner:
/// what was begun in the tab goes on, and what was answered there counts, when the tab is closed. `scopes`: what the tab
/// was left with.
pub(crate) fn owner_in_a_tab(scopes: Vec<Scope>) -> Result<Principal, IdError> {
    Ok(Principal { name: TAB.to_owned(), scopes, ..owner()? })
}

/// Whether it is the owner, not at the local socket but in a tab. The names of devices are never those of somebody local.
pub(crate) fn is_in_a_tab(principal: &Principal) -> bool {
    principal.local && principal.name == TAB
}
