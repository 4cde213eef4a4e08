//! The Landlock rules of a confinement.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset,
    RulesetAttr, RulesetCreatedAttr, Scope,
};

use crate::sandbox::PrepareError;
use crate::sandbox::paths::{Access, Grant};

/// `None` when the kernel has no Landlock.
pub(super) fn build(abi: ABI, grants: &[Grant], network: bool) -> Result<Option<OwnedFd>, PrepareError> {
    if abi == ABI::Unsupported {
        return Ok(None);
    }
    let whole = |error: landlock::RulesetError| refused(Path::new("/"), &error.to_string());
    // The ABI was probed, so anything the kernel does not accept now is an error, never a silently weaker sandbox.
    // Everything is handled, thus denied unless granted below: making devices and sockets, device ioctls, and from
    // ABI 9 on connecting to unix sockets (which seccomp refuses on all kernels).
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(abi))
        .map_err(whole)?;
    if !network && abi >= ABI::V4 {
        ruleset = ruleset.handle_access(AccessNet::from_all(abi)).map_err(whole)?;
    }
    if abi >= ABI::V6 {
        ruleset = ruleset.scope(Scope::from_all(abi)).map_err(whole)?;
    }
    let mut ruleset = ruleset.create().map_err(whole)?;
    for grant in grants {
        let failed = |reason: String| refused(&grant.path, &reason);
        let metadata = rustix::fs::fstat(&grant.handle).map_err(|error| failed(error.to_string()))?;
        let directory = rustix::fs::FileType::from_raw_mode(metadata.st_mode).is_dir();
        let rule =
            PathBeneath::new(grant.handle.as_fd(), rights(grant.access, directory) & AccessFs::from_all(abi));
        ruleset = ruleset.add_rule(rule).map_err(|error| failed(error.to_string()))?;
    }
    Ok(ruleset.into())
}

fn rights(access: Access, directory: bool) -> BitFlags<AccessFs> {
    let read = AccessFs::Execute | AccessFs::ReadFile;
    match (access, directory) {
        (Access::Read, false) => read,
        (Access::Read, true) => read | AccessFs::ReadDir,
        (Access::Write, false) => read | AccessFs::WriteFile | AccessFs::Truncate,
        // No devices and no sockets.
        (Access::Write, true) => {
            read | AccessFs::ReadDir
                | AccessFs::WriteFile
                | AccessFs::Truncate
                | AccessFs::RemoveFile
                | AccessFs::RemoveDir
                | AccessFs::MakeReg
                | AccessFs::MakeDir
                | AccessFs::MakeSym
                | AccessFs::MakeFifo
                | AccessFs::Refer
        }
        (Access::Device, _) => AccessFs::ReadFile | AccessFs::WriteFile,
    }
}

fn refused(path: &Path, reason: &str) -> PrepareError {
    PrepareError::Rules { path: PathBuf::from(path), reason: reason.to_owned() }
}
