//! What may be uploaded to the central services: no tool's call, but what the host does by itself after a task. So this
//! machine's own policy has no say in it, nobody can be asked about it, and only the centre's layer counts.

use lanyard_protocol::policy::{Capability, CapabilityGrant, PolicyBundle};

/// The longest artifact, in bytes, that a bundle of the centre lets a host upload; `None` where it grants no
/// `Workspace.Upload`. Of several grants the strictest counts. One that asks first grants nothing: there is no question
/// about what a host does by itself.
pub fn longest_upload(bundle: &PolicyBundle) -> Option<u64> {
    let grants = bundle.capabilities.iter().filter(|grant| grant.name == Capability::WorkspaceUpload);
    grants.map(longest).reduce(|one, other| Some(one?.min(other?))).flatten().filter(|bytes| *bytes > 0)
}

fn longest(grant: &CapabilityGrant) -> Option<u64> {
    (!grant.requires_approval).then(|| grant.max_file_size_bytes.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::local;

    fn of(grants: Vec<CapabilityGrant>) -> Option<u64> {
        let mut bundle = local();
        bundle.capabilities.extend(grants);
        longest_upload(&bundle)
    }

    fn up_to(max_file_size_bytes: Option<u64>) -> CapabilityGrant {
        CapabilityGrant { max_file_size_bytes, ..CapabilityGrant::unlimited(Capability::WorkspaceUpload) }
    }

    #[test]
    fn what_is_not_granted_is_not_uploaded_and_the_strictest_grant_counts() {
        assert_eq!(of(vec![]), None);
        assert_eq!(of(vec![up_to(None)]), Some(u64::MAX));
        assert_eq!(of(vec![up_to(None), up_to(Some(9)), up_to(Some(10))]), Some(9));
        assert_eq!(of(vec![up_to(Some(0))]), None);
        let asks = CapabilityGrant { requires_approval: true, ..up_to(None) };
        assert_eq!(of(vec![asks, up_to(None)]), None);
    }
}
