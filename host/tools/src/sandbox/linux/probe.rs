//! What the running kernel really enforces, found by trying it.

use landlock::ABI;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType};
use rustix::thread::set_no_new_privs;

use super::{filter, rules, sys};

/// What works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Support {
    /// The Landlock ABI in force.
    pub(super) abi: ABI,
    /// Whether a seccomp filter is obeyed.
    pub(super) seccomp: bool,
}

/// Both mechanisms bind the calling thread only, so a thread is restricted, tries what it must no longer be able to
/// do, and ends.
pub(super) fn probe() -> Support {
    let attempt = std::thread::Builder::new().name("sandbox-probe".into()).spawn(|| {
        if let Err(error) = set_no_new_privs(true) {
            tracing::warn!(%error, "no_new_privs refused: no sandbox");
            return Support { abi: ABI::Unsupported, seccomp: false };
        }
        // Landlock first: the filter is the stricter environment.
        let abi = landlock_in_force();
        Support { abi, seccomp: seccomp_in_force() }
    });
    let nothing = Support { abi: ABI::Unsupported, seccomp: false };
    match attempt.map(std::thread::JoinHandle::join) {
        Ok(Ok(support)) => support,
        Ok(Err(_)) => nothing,
        Err(error) => {
            tracing::warn!(%error, "no thread to probe the sandbox on: taken as missing");
            nothing
        }
    }
}

fn landlock_in_force() -> ABI {
    // A newer kernel than the crate knows counts as the newest known.
    let abi = ABI::from(sys::landlock_abi());
    if abi == ABI::Unsupported {
        return abi;
    }
    // No grants at all: every open must fail.
    let restricted = rules::build(abi, &[], false).is_ok_and(|ruleset| {
        ruleset.is_some_and(|ruleset| {
            use std::os::fd::AsFd;
            sys::landlock_restrict_self(ruleset.as_fd()).is_ok()
        })
    });
    let opened = rustix::fs::open(c"/", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    if restricted && matches!(opened, Err(Errno::ACCESS)) {
        abi
    } else {
        tracing::warn!("the kernel offers Landlock but does not enforce it: taken as missing");
        ABI::Unsupported
    }
}

fn seccomp_in_force() -> bool {
    let program = filter::program(filter::Purpose { network: false, guards_truncation: true });
    if program.instructions().is_empty() {
        return false;
    }
    if let Err(error) = sys::install_filter(program.instructions()) {
        tracing::warn!(%error, "seccomp filter refused: taken as missing");
        return false;
    }
    let made = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None);
    matches!(made, Err(Errno::ACCESS))
}
