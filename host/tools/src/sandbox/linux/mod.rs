//! Linux: Landlock, seccomp and the rest, prepared before the fork and put on by the child itself.
//!
//! | file | does |
//! |---|---|
//! | `probe` | tries on a throw-away thread what the kernel enforces |
//! | `rules` | the Landlock rules |
//! | `filter` | the seccomp program |
//! | `child` | the steps between fork and exec |
//! | `tree` | finds and ends all processes of a call |
//! | `guardian` | ends them when the host itself is killed |
//! | `modes` | changes file modes for children, where they may |
//! | `sys` | the system calls without a safe wrapper: all unsafe code of this crate |

mod child;
mod filter;
mod guardian;
mod modes;
mod probe;
mod rules;
mod sys;
mod tree;

use std::fmt::Write as _;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, capabilities};

use super::paths::{Access, Grant, WorkingDirectory};
use super::{Gap, Limits, PrepareError, SandboxReport, StartError};

pub(crate) use child::explain_spawn_error;
pub(crate) use modes::{Inlet, Modes};
pub(crate) use tree::{KILL_PAUSE, Pass, Tree};

/// An opened path: Landlock rules and the working directory are taken from what was opened, not from the name again.
pub(super) type Handle = OwnedFd;

/// Opens a path for a rule and says what it really is.
pub(super) fn open_path(path: &Path) -> io::Result<(Handle, PathBuf)> {
    let handle = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let resolved = std::fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&handle)))?;
    Ok((handle, resolved))
}

/// A handle of its own on an open directory.
pub(super) fn handle_of(directory: &std::fs::File) -> io::Result<Handle> {
    directory.try_clone().map(OwnedFd::from)
}

#[derive(Debug)]
pub(super) struct Platform {
    support: probe::Support,
    filters: Option<Filters>,
    instance: tree::Instance,
    calls: AtomicU64,
    guardian: guardian::Guardian,
    may_drop_bounding_set: bool,
}

#[derive(Debug)]
struct Filters {
    online: Arc<filter::Program>,
    offline: Arc<filter::Program>,
}

impl Platform {
    pub(super) fn start(state_dir: &Path) -> Result<(Self, SandboxReport), StartError> {
        let instance = tree::Instance::of(state_dir);
        tree::check_usable()?;
        let support = probe::probe();
        let guards_truncation = support.abi < landlock::ABI::V3;
        let filter = |network| Arc::new(filter::program(filter::Purpose { network, guards_truncation }));
        let filters = support.seccomp.then(|| Filters { online: filter(true), offline: filter(false) });
        let guardian = guardian::Guardian::start(instance).map_err(|source| StartError::ProcessTree {
            reason: "no process could be forked: end some processes or raise the limit",
            source,
        })?;
        let effective =
            capabilities(None).map_or(CapabilitySet::empty(), |capabilities| capabilities.effective);
        let platform = Self {
            support,
            filters,
            instance,
            calls: AtomicU64::new(0),
            guardian,
            may_drop_bounding_set: effective.contains(CapabilitySet::SETPCAP),
        };
        Ok((platform, report(support)))
    }

    pub(super) fn end_leftovers(&self) -> io::Result<u32> {
        let selection = tree::Selection::Host(self.instance);
        let found = tree::sweep(selection, None)?;
        if found > 0 {
            tree::end_now(selection)?;
        }
        Ok(found)
    }

    pub(super) fn prepare(
        &self,
        grants: &[Grant],
        network: bool,
        limits: Limits,
    ) -> Result<Prepared, PrepareError> {
        let ruleset = rules::build(self.support.abi, grants, network)?.map(Arc::new);
        let filter = self
            .filters
            .as_ref()
            .map(|filters| Arc::clone(if network { &filters.online } else { &filters.offline }));
        Ok(Prepared {
            ruleset,
            filter,
            limits,
            drop_bounding_set: self.may_drop_bounding_set,
            writable: grants
                .iter()
                .filter(|grant| grant.access == Access::Write)
                .map(|grant| grant.path.clone())
                .collect(),
        })
    }

    /// The tag of one more call, once it is certain that somebody will clean up after it.
    fn next_call(&self) -> io::Result<tree::Tag> {
        self.guardian.ensure()?;
        Ok(self.instance.tag(self.calls.fetch_add(1, Ordering::Relaxed)))
    }
}

#[derive(Debug)]
pub(super) struct Prepared {
    ruleset: Option<Arc<OwnedFd>>,
    filter: Option<Arc<filter::Program>>,
    limits: Limits,
    drop_bounding_set: bool,
    writable: Arc<[PathBuf]>,
}

impl Prepared {
    /// Makes `command` confine itself between fork and exec.
    pub(super) fn arm(
        &self,
        platform: &Platform,
        cwd: &WorkingDirectory,
        command: &mut Command,
    ) -> io::Result<(Tree, Inlet)> {
        let tag = platform.next_call()?;
        let (outlet, inlet) = modes::channel(self.filter.is_some(), Arc::clone(&self.writable))?;
        let steps = child::Steps {
            cwd: Arc::clone(&cwd.handle),
            limits: resource_limits(self.limits, tag)?,
            drop_bounding_set: self.drop_bounding_set,
            ruleset: self.ruleset.clone(),
            filter: self.filter.clone(),
            outlet,
        };
        sys::before_exec(command, steps);
        Ok((Tree::new(tag), inlet))
    }
}

/// The kernel's limits for one call. The tag comes last: see [`tree`].
fn resource_limits(limits: Limits, tag: tree::Tag) -> io::Result<[Option<child::Limit>; 6]> {
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let running = tasks_of(&load).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    let within = |resource, wanted: u64| {
        let value = getrlimit(resource).maximum.map_or(wanted, |maximum| maximum.min(wanted));
        Some(child::Limit { resource, value })
    };
    Ok([
        within(Resource::Core, 0),
        within(Resource::Fsize, limits.file_bytes),
        within(Resource::Nofile, limits.open_files),
        // It counts every thread of the user; the machine's total is an upper bound that is cheap to read.
        within(Resource::Nproc, running.saturating_add(u64::from(limits.tasks))),
        limits.address_space.and_then(|bytes| within(Resource::As, bytes)),
        Some(child::Limit { resource: Resource::Locks, value: tag.limit() }),
    ])
}

/// The total of the fourth field of /proc/loadavg (`running/total`), see proc(5).
fn tasks_of(load: &str) -> Option<u64> {
    load.split_ascii_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
}

fn report(support: probe::Support) -> SandboxReport {
    use landlock::ABI;
    let mut missing = Vec::new();
    if support.abi == ABI::Unsupported {
        missing.push(Gap::Files);
    }
    if !support.seccomp {
        missing.push(Gap::SystemCalls);
    }
    // With a filter, truncation is refused there.
    if support.abi < ABI::V3 && !support.seccomp {
        missing.push(Gap::Truncate);
    }
    if support.abi < ABI::V6 {
        missing.push(Gap::Signals);
    }
    let mut mechanisms = String::new();
    if support.abi != ABI::Unsupported {
        // Writing to a string cannot fail.
        let _ = write!(mechanisms, "Landlock ABI {}, ", support.abi as i32);
    }
    if support.seccomp {
        mechanisms.push_str("seccomp, file modes by proxy, ");
    }
    mechanisms.push_str("no_new_privs, no capabilities, resource limits, own session, process tag");
    SandboxReport::new(missing, mechanisms)
}

#[cfg(test)]
mod tests {
    use landlock::ABI;
    use lanyard_protocol::policy::SandboxLevel;

    use super::*;

    #[test]
    fn the_level_follows_what_the_kernel_has() {
        let level = |abi, seccomp| report(probe::Support { abi, seccomp }).level;
        assert_eq!(level(ABI::Unsupported, true), SandboxLevel::None);
        assert_eq!(level(ABI::Unsupported, false), SandboxLevel::None);
        assert_eq!(level(ABI::V1, true), SandboxLevel::Partial);
        assert_eq!(level(ABI::V5, true), SandboxLevel::Partial);
        assert_eq!(level(ABI::V7, false), SandboxLevel::Partial);
        assert_eq!(level(ABI::V6, true), SandboxLevel::Full);
        assert_eq!(level(ABI::V9, true), SandboxLevel::Full);
    }

    #[test]
    fn approvals_are_kept_where_files_and_sockets_are() {
        let keeps = |abi, seccomp| report(probe::Support { abi, seccomp }).keeps_approvals();
        assert!(keeps(ABI::V7, true) && keeps(ABI::V1, true), "signals alone approve nothing");
        assert!(!keeps(ABI::V7, false), "sockets are open");
        assert!(!keeps(ABI::Unsupported, true), "files are open");
    }

    #[test]
    fn gaps_are_named() {
        let report = report(probe::Support { abi: ABI::V2, seccomp: false });
        assert_eq!(report.missing, [Gap::SystemCalls, Gap::Truncate, Gap::Signals]);
    }

    #[test]
    fn the_number_of_tasks_is_read_from_loadavg() {
        assert_eq!(tasks_of("0.06 0.27 0.18 2/86 12629\n"), Some(86));
        assert_eq!(tasks_of("nonsense"), None);
    }

    #[test]
    fn an_opened_path_is_what_it_resolves_to() {
        let directory = tempfile::tempdir().unwrap();
        let real = directory.path().canonicalize().unwrap();
        std::os::unix::fs::symlink(&real, real.join("link")).unwrap();
        assert_eq!(open_path(&real.join("link")).unwrap().1, real);
    }
}
