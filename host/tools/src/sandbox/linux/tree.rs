//! All processes of a call, wherever they went.
//!
//! A child may leave its process group (`setsid`), lose its parent (double fork) and change its environment and name;
//! a cgroup would hold it but takes 15 ms to enter (measured; the kernel waits for an RCU grace period) and is rarely
//! writable. So each call's children carry a tag they cannot change: the hard limit of `RLIMIT_LOCKS`, a resource the
//! kernel has not enforced since 2.4. It is inherited by every descendant, unprivileged processes cannot raise it, and
//! the seccomp filter refuses to set it at all. The host reads it from outside.
//!
//! Everything here allocates nothing: the guardian runs it in a forked copy of the host.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, RawDir, openat};
use rustix::process::{
    Pid, PidfdFlags, RawPid, Resource, Rlimit, Signal, getrlimit, pidfd_open, pidfd_send_signal, prlimit,
};
use rustix::thread::{NanosleepRelativeResult, nanosleep};
use sha2::{Digest, Sha256};

use super::sys;
use crate::sandbox::StartError;

/// Calls of one host are told apart by this many bits; numbers come round after eight million calls.
const CALL_BITS: u32 = 23;
/// A host by this many; together below 2^63, so never "unlimited".
const INSTANCE_BITS: u32 = 39;

/// Passes that stop processes until no new one appears. A fork bomb that is stopped keeps its places in the process
/// table and so starves itself; killing it at once would make room for the next generation.
const FREEZE_PASSES: u32 = 64;
/// Passes that kill, and the pause between them: two seconds for what sits in the kernel to come out.
const KILL_PASSES: u32 = 1000;
pub(crate) const KILL_PAUSE: Duration = Duration::from_millis(2);

/// One host, by its state directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instance(u64);

impl Instance {
    pub(super) fn of(state_dir: &Path) -> Self {
        let digest = Sha256::digest(state_dir.as_os_str().as_encoded_bytes());
        let number = digest.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        // Never 0: a limit of zero is an ordinary value.
        Self((number >> (64 - INSTANCE_BITS)).max(1))
    }

    pub(super) fn tag(self, call: u64) -> Tag {
        Tag((self.0 << CALL_BITS) | (call & ((1 << CALL_BITS) - 1)))
    }
}

/// One call of one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag(u64);

impl Tag {
    /// The value of `RLIMIT_LOCKS`.
    pub(super) fn limit(self) -> u64 {
        self.0
    }
}

/// Whose processes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Selection {
    Call(Tag),
    Host(Instance),
}

impl Selection {
    fn holds(self, pid: Pid) -> bool {
        sys::lock_limit_of(pid).is_some_and(|limit| match self {
            Self::Call(tag) => limit == tag.0,
            Self::Host(instance) => limit >> CALL_BITS == instance.0,
        })
    }
}

/// Whether tags can be set and found on this machine.
pub(super) fn check_usable() -> Result<(), StartError> {
    let failed = |reason, source| StartError::ProcessTree { reason, source };
    if getrlimit(Resource::Locks).maximum.is_some() {
        let reason = "RLIMIT_LOCKS is limited here: start the host without `LimitLOCKS=` or `ulimit -x`";
        return Err(failed(reason, io::Error::from(io::ErrorKind::PermissionDenied)));
    }
    sweep(Selection::Host(Instance(0)), None)
        .map(drop)
        .map_err(|source| failed("/proc cannot be read: mount it", source))
}

/// Goes through all processes once, sends `signal` to those selected, and returns how many of them live (zombies do
/// not count).
pub(super) fn sweep(selection: Selection, signal: Option<Signal>) -> io::Result<u32> {
    let processes =
        openat(CWD, c"/proc", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut buffer = [MaybeUninit::uninit(); 16 << 10];
    let mut entries = RawDir::new(processes.as_fd(), &mut buffer);
    let mut live = 0;
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let Some(pid) = process_id(entry.file_name()) else { continue };
        if !selection.holds(pid) {
            continue;
        }
        if let Some(signal) = signal {
            send(pid, selection, signal);
        }
        if !is_dead(processes.as_fd(), entry.file_name()) {
            live += 1;
        }
    }
    Ok(live)
}

/// Ends everything selected, one pass through the process table at a time, so that both a thread and a task of an
/// async runtime can drive it: first passes that stop, then passes that kill.
#[derive(Debug)]
pub(crate) struct Ending {
    selection: Selection,
    stopped: u32,
    freezes: u32,
    kills: u32,
}

/// What to do after a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Make the next one at once.
    Again,
    /// Make the next one after [`KILL_PAUSE`].
    Wait,
    /// All is done; so many processes still live. They sit in the kernel (a dead network file system) and end when it
    /// lets them.
    Done(u32),
}

impl Ending {
    fn new(selection: Selection) -> Self {
        Self { selection, stopped: 0, freezes: 0, kills: 0 }
    }

    /// Makes one pass: a tenth of a millisecond on a quiet machine.
    pub(crate) fn pass(&mut self) -> io::Result<Pass> {
        if self.freezes < FREEZE_PASSES {
            let live = sweep(self.selection, Some(Signal::STOP))?;
            let settled = live == self.stopped;
            self.stopped = live;
            self.freezes = if settled { FREEZE_PASSES } else { self.freezes + 1 };
            return Ok(if live == 0 { Pass::Done(0) } else { Pass::Again });
        }
        let live = sweep(self.selection, Some(Signal::KILL))?;
        self.kills += 1;
        Ok(if live == 0 || self.kills == KILL_PASSES { Pass::Done(live) } else { Pass::Wait })
    }
}

/// Makes all passes and returns how many processes still live. Blocks.
pub(super) fn end_now(selection: Selection) -> io::Result<u32> {
    let mut ending = Ending::new(selection);
    loop {
        match ending.pass()? {
            Pass::Again => {}
            Pass::Wait => pause(),
            Pass::Done(left) => return Ok(left),
        }
    }
}

/// The handle holds the process found now; the second look makes sure it is still the one meant, for the number may
/// have been given to another in between.
fn send(pid: Pid, selection: Selection, signal: Signal) {
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    if !selection.holds(pid) {
        return;
    }
    if signal == Signal::STOP || signal == Signal::KILL {
        // No more children, for all but root. May fail only because the process is gone.
        let _ = prlimit(Some(pid), Resource::Nproc, Rlimit { current: Some(0), maximum: Some(0) });
    }
    // An error means it is gone.
    let _ = pidfd_send_signal(&process, signal);
}

fn process_id(name: &CStr) -> Option<Pid> {
    let mut number: RawPid = 0;
    for byte in name.to_bytes() {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(RawPid::from(byte - b'0'))?;
    }
    Pid::from_raw(number)
}

/// Whether the process is a zombie: the letter after the name in `/proc/PID/stat`, see proc(5).
fn is_dead(processes: BorrowedFd<'_>, name: &CStr) -> bool {
    let mut path = [0_u8; 32];
    let name = name.to_bytes();
    let suffix = b"/stat\0";
    let Some(target) = path.get_mut(..name.len() + suffix.len()) else { return false };
    let (start, end) = target.split_at_mut(name.len());
    start.copy_from_slice(name);
    end.copy_from_slice(suffix);
    let Ok(path) = CStr::from_bytes_until_nul(&path) else { return false };
    let Ok(file) = openat(processes, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) else {
        return true;
    };
    let mut text = [0_u8; 128];
    // A vanished process cannot be read.
    let Ok(length) = rustix::io::read(&file, &mut text) else { return true };
    let text = text.get(..length).unwrap_or_default();
    // The name may hold anything, also parentheses.
    let state = text.iter().rposition(|byte| *byte == b')').and_then(|at| text.get(at + 2));
    matches!(state, Some(b'Z' | b'X'))
}

fn pause() {
    let mut wait = rustix::fs::Timespec { tv_sec: 0, tv_nsec: i64::from(KILL_PAUSE.subsec_nanos()) };
    while let NanosleepRelativeResult::Interrupted(rest) = nanosleep(&wait) {
        wait = rest;
    }
}

/// The processes of one call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tree {
    tag: Tag,
}

impl Tree {
    pub(super) fn new(tag: Tag) -> Self {
        Self { tag }
    }

    /// Tells the number of the first process. Not needed here: the tag says it all.
    pub(crate) fn started(&mut self, _pid: u32) {}

    /// How many processes live.
    pub(crate) fn count(&self) -> io::Result<u32> {
        sweep(Selection::Call(self.tag), None)
    }

    /// Asks all of them to end, and returns how many there were.
    pub(crate) fn terminate(&self) -> io::Result<u32> {
        // A stopped process would not notice.
        sweep(Selection::Call(self.tag), Some(Signal::TERM))?;
        sweep(Selection::Call(self.tag), Some(Signal::CONT))
    }

    /// Kills all of them and returns how many are left after two seconds. Blocks, usually for some milliseconds.
    pub(crate) fn end_now(&self) -> io::Result<u32> {
        end_now(Selection::Call(self.tag))
    }

    /// The same, pass by pass.
    pub(crate) fn ending(&self) -> Ending {
        Ending::new(Selection::Call(self.tag))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn tags_keep_hosts_and_calls_apart(a in ".{1,20}", b in ".{1,20}", call in 0..(1_u64 << CALL_BITS)) {
            let (host, other) = (Instance::of(Path::new(&a)), Instance::of(Path::new(&b)));
            let tag = host.tag(call);
            prop_assert!(tag.limit() < 1 << 62);
            prop_assert_eq!(tag.limit() >> CALL_BITS, host.0);
            prop_assert_ne!(tag, host.tag(call ^ 1));
            if a != b {
                prop_assert_ne!(tag, other.tag(call));
            }
        }

        #[test]
        fn only_numbers_are_processes(name in "[0-9a-z.]{0,12}") {
            let text = std::ffi::CString::new(name.clone()).unwrap();
            let expected = name.parse::<i32>().ok().and_then(Pid::from_raw);
            prop_assert_eq!(process_id(&text), expected);
        }
    }

    #[test]
    fn this_process_is_alive_and_nobodys_child() {
        let processes =
            openat(CWD, c"/proc", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .unwrap();
        assert!(!is_dead(processes.as_fd(), c"self"));
        assert!(is_dead(processes.as_fd(), c"999999999"));
        assert_eq!(sweep(Selection::Host(Instance::of(Path::new("/nobody"))), None).unwrap(), 0);
    }

    #[test]
    fn a_zombie_counts_as_dead() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let name = std::ffi::CString::new(child.id().to_string()).unwrap();
        let processes =
            openat(CWD, c"/proc", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .unwrap();
        // It ends by itself and stays a zombie until waited for.
        while !is_dead(processes.as_fd(), &name) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }
}
