//! System calls that have no safe wrapper, each behind a small safe function. All unsafe code of this crate is here.
#![expect(
    unsafe_code,
    reason = "Landlock, seccomp and fork have no safe wrapper that neither allocates nor restricts the host itself"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;

use rustix::process::{Pid, RawPid};

use super::child::Steps;

/// Has `steps` run in the child of `command`, between fork and exec.
pub(super) fn before_exec(command: &mut Command, mut steps: Steps) {
    // SAFETY: between fork and exec of a threaded process only async-signal-safe calls are allowed. `Steps::take`
    // consists of system calls on values made before the fork; it neither allocates, nor locks, nor panics.
    unsafe {
        command.pre_exec(move || steps.take());
    }
}

/// The newest Landlock ABI of the kernel; 0 without Landlock.
pub(super) fn landlock_abi() -> i32 {
    /// `LANDLOCK_CREATE_RULESET_VERSION`
    const VERSION: u32 = 1;
    // SAFETY: with this flag the kernel wants no attributes and only returns a number.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, ptr::null::<u8>(), 0, VERSION) };
    i32::try_from(abi).unwrap_or(0).max(0)
}

/// Puts the calling thread and its future children into the ruleset's domain, for good. Async-signal-safe.
pub(super) fn landlock_restrict_self(ruleset: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes a descriptor and flags, no memory.
    checked(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) })
}

/// Puts a seccomp filter on the calling thread and its future children, for good. Async-signal-safe.
pub(super) fn install_filter(program: &[libc::sock_filter]) -> io::Result<()> {
    let Ok(len) = u16::try_from(program.len()) else {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    };
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: `program` points to `len` instructions that live across the call; the kernel only reads and copies them.
    checked(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) })
}

/// Has every descriptor from `first` on closed by exec. Async-signal-safe.
pub(super) fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: only marks descriptors, closes none.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) })
}

/// The hard `RLIMIT_LOCKS` of a process, `None` when there is no such process or it is another user's. Allocates
/// nothing.
pub(super) fn lock_limit_of(pid: Pid) -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for the write; the null pointer means "change nothing".
    let result = unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            pid.as_raw_nonzero().get(),
            libc::RLIMIT_LOCKS,
            ptr::null::<libc::rlimit>(),
            &raw mut limit,
        )
    };
    (result == 0).then_some(limit.rlim_max)
}

/// Forks a process that runs `body` and exits. It has every signal but KILL and STOP blocked, no controlling
/// terminal, and no descriptor but `keep`, which it is handed.
///
/// `body` runs in the forked copy of a threaded process: it must make system calls only, neither allocate, nor take a
/// lock, nor panic. That is why it is a plain function and its argument plain data.
pub(super) fn fork_bare<T: Copy>(
    keep: BorrowedFd<'_>,
    argument: T,
    body: fn(BorrowedFd<'_>, T),
) -> io::Result<RawPid> {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets are valid for writes. Signals are blocked before the fork because the copy inherits the host's
    // handlers, which would write into pipes the two share.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    // SAFETY: the child only makes system calls (see above) and never returns.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: system calls on plain numbers. Descriptor 0 is `keep` from here on, everything else is closed: the
        // copy must not hold the host's lock file or sockets open.
        unsafe {
            libc::setsid();
            libc::chdir(c"/".as_ptr());
            libc::prctl(libc::PR_SET_NAME, c"lanyard-guard".as_ptr());
            if libc::dup2(keep.as_raw_fd(), 0) == 0 {
                libc::syscall(libc::SYS_close_range, 1, u32::MAX, 0);
                body(BorrowedFd::borrow_raw(0), argument);
            }
            libc::_exit(0)
        }
    }
    let error = io::Error::last_os_error();
    // SAFETY: `before` was filled by the first call.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    if pid < 0 { Err(error) } else { Ok(pid) }
}

fn checked(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
