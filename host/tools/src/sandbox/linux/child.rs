//! What a child does to itself between fork and exec.
//!
//! Everything is prepared before the fork; here are only system calls. Each must succeed, or the program is not
//! started: the level reported for a call is therefore what was really put on.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit, fchdir, setrlimit, setsid, umask};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_capabilities_secure_bits, set_no_new_privs,
};

use super::{filter, modes, sys};

/// Children are the kernel's choice before the host (0) and the desktop (100, 200) when memory runs out.
const OOM_SCORE: &[u8] = b"500";

/// What files get that ask for no particular mode: a build's products and a git checkout are meant to be read by
/// others, and the parts that are not stay closed by their directory.
const UMASK: u32 = 0o022;

/// Capabilities are numbered from 0; the kernel knows 41 today and refuses the first it does not know.
const MAX_CAPABILITIES: u32 = 64;

/// One resource limit, soft and hard alike.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) resource: Resource,
    pub(super) value: u64,
}

/// The prepared values.
#[derive(Debug)]
pub(super) struct Steps {
    pub(super) cwd: Arc<OwnedFd>,
    pub(super) limits: [Option<Limit>; 6],
    /// Root's exec would otherwise be given everything in it; needs CAP_SETPCAP. For others no_new_privs suffices.
    pub(super) drop_bounding_set: bool,
    pub(super) ruleset: Option<Arc<OwnedFd>>,
    pub(super) filter: Option<Arc<filter::Program>>,
    /// Where the filter's listener goes; there is one when there is a filter.
    pub(super) outlet: Option<modes::Outlet>,
}

/// A step that failed. The number travels from child to parent above the error number, see [`Steps::take`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Step {
    WorkingDirectory = 1,
    Session,
    Limits,
    Capabilities,
    NoNewPrivileges,
    Landlock,
    Descriptors,
    Seccomp,
}

impl Step {
    const ALL: [Self; 8] = [
        Self::WorkingDirectory,
        Self::Session,
        Self::Limits,
        Self::Capabilities,
        Self::NoNewPrivileges,
        Self::Landlock,
        Self::Descriptors,
        Self::Seccomp,
    ];

    fn describe(self) -> &'static str {
        match self {
            Self::WorkingDirectory => "entering the working directory",
            Self::Session => "starting a session of its own",
            Self::Limits => "setting resource limits",
            Self::Capabilities => "giving up capabilities",
            Self::NoNewPrivileges => "setting no_new_privs",
            Self::Landlock => "entering the Landlock domain",
            Self::Descriptors => "closing inherited descriptors",
            Self::Seccomp => "installing the seccomp filter",
        }
    }
}

/// Error numbers are below 4096; the step is kept above.
const STEP_SHIFT: u32 = 16;

impl Steps {
    /// Runs in the child. Async-signal-safe: system calls on prepared values only.
    pub(super) fn take(&mut self) -> io::Result<()> {
        self.run().map_err(|(step, error)| {
            // The standard library carries one number to the parent; so the number says both.
            let errno = error.raw_os_error().unwrap_or(0) & 0xffff;
            io::Error::from_raw_os_error(((step as i32) << STEP_SHIFT) | errno)
        })
    }

    fn run(&self) -> Result<(), (Step, io::Error)> {
        step(Step::WorkingDirectory, fchdir(&*self.cwd))?;
        step(Step::Session, setsid().map(drop))?;
        umask(Mode::from_raw_mode(UMASK));
        offer_to_oom_killer();
        for limit in self.limits.iter().flatten() {
            let both = Rlimit { current: Some(limit.value), maximum: Some(limit.value) };
            step(Step::Limits, setrlimit(limit.resource, both))?;
        }
        step(Step::Capabilities, self.give_up_capabilities())?;
        step(Step::NoNewPrivileges, set_no_new_privs(true))?;
        if let Some(ruleset) = &self.ruleset {
            sys::landlock_restrict_self(ruleset.as_fd()).map_err(|error| (Step::Landlock, error))?;
        }
        // All of Rust's own descriptors are closed by exec; this is for those of C libraries. The call is younger
        // (5.11) than kernels without Landlock (5.13) may be, and on those nothing is confined anyway.
        match sys::close_on_exec_from(3) {
            Err(error) if self.ruleset.is_some() => return Err((Step::Descriptors, error)),
            _ => {}
        }
        // Last, because it refuses what the steps above need.
        if let (Some(filter), Some(outlet)) = (&self.filter, &self.outlet) {
            let listening = sys::install_filter_and_listen(filter.instructions());
            listening
                .and_then(|listener| outlet.send(listener.as_fd()))
                .map_err(|error| (Step::Seccomp, error))?;
        }
        Ok(())
    }

    fn give_up_capabilities(&self) -> rustix::io::Result<()> {
        if self.drop_bounding_set {
            for number in 0..MAX_CAPABILITIES {
                if remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)).is_err()
                {
                    break;
                }
            }
            set_capabilities_secure_bits(
                CapabilitiesSecureBits::NO_ROOT
                    | CapabilitiesSecureBits::NO_ROOT_LOCKED
                    | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
                    | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED,
            )?;
        }
        clear_ambient_capability_set()?;
        let none = CapabilitySet::empty();
        set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
    }
}

fn step(step: Step, result: rustix::io::Result<()>) -> Result<(), (Step, io::Error)> {
    result.map_err(|error| (step, error.into()))
}

/// Not a boundary and therefore allowed to fail (a read-only `/proc`): it only spares the host.
fn offer_to_oom_killer() {
    if let Ok(file) =
        rustix::fs::open(c"/proc/self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
    {
        let _ = rustix::io::write(&file, OOM_SCORE);
    }
}

/// Which step of the sandbox an error of `spawn` comes from (`None`: it is the exec's own), and the error itself.
pub(crate) fn explain_spawn_error(error: io::Error) -> (Option<&'static str>, io::Error) {
    let Some(number) = error.raw_os_error() else { return (None, error) };
    match Step::ALL.into_iter().find(|step| number >> STEP_SHIFT == *step as i32) {
        Some(step) => (Some(step.describe()), io::Error::from_raw_os_error(number & 0xffff)),
        None => (None, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_which_step_it_comes_from() {
        for step in Step::ALL {
            let carried = io::Error::from_raw_os_error(((step as i32) << STEP_SHIFT) | libc::EPERM);
            let (description, error) = explain_spawn_error(carried);
            assert_eq!(description, Some(step.describe()));
            assert_eq!(error.raw_os_error(), Some(libc::EPERM));
        }
        let (description, error) = explain_spawn_error(io::Error::from_raw_os_error(libc::ENOENT));
        assert_eq!(description, None);
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    }
}
