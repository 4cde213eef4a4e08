//! What may be said in a `Hello`: names that a screen shows as they are, rights that make sense.

use lanyard_protocol::limits::MAX_DEVICE_NAME_BYTES;
use lanyard_protocol::principal::Scope;
use lanyard_protocol::visible::is_invisible;

use crate::abort::Abort;
use crate::message::Hello;

/// Longest description of what a device runs on, in bytes.
const MAX_PLATFORM_BYTES: usize = 64;
/// Rights there are.
const MAX_SCOPES: usize = 4;
/// Versions one build may offer: one is spoken at a time, a few are kept for older peers.
const MAX_VERSIONS: usize = 16;

/// Whether a name can be shown: 1–64 bytes, something to see, nothing that hides or turns text around.
pub(crate) fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= MAX_DEVICE_NAME_BYTES && is_plain(name)
}

/// Checks what a device says about itself.
///
/// # Errors
/// [`Abort::BadRequest`], or [`Abort::Malformed`] for what no build of ours sends.
pub(crate) fn check(hello: &Hello) -> Result<(), Abort> {
    if hello.versions.len() > MAX_VERSIONS {
        return Err(Abort::Malformed);
    }
    let platform = hello.platform.len() <= MAX_PLATFORM_BYTES && is_plain(&hello.platform);
    if is_name(&hello.name) && platform && are_scopes(&hello.scopes) {
        Ok(())
    } else {
        Err(Abort::BadRequest)
    }
}

/// Sorted, unique, `observe` among them: without it a device sees nothing of what it does.
fn are_scopes(scopes: &[Scope]) -> bool {
    scopes.len() <= MAX_SCOPES && scopes.is_sorted_by(|a, b| a < b) && scopes.contains(&Scope::Observe)
}

fn is_plain(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || is_invisible(c))
}
