//! System calls that have no safe wrapper, each behind a small safe function. All unsafe code of this crate is here.
#![expect(
    unsafe_code,
    reason = "Landlock, seccomp and fork have no safe wrapper that neither allocates nor restricts the host itself"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;

use rustix::process::Pid;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

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
    set_filter(program, 0).map(drop)
}

/// The same, and returns the descriptor on which the calls arrive that the filter hands over; it is closed by exec.
/// Async-signal-safe.
pub(super) fn install_filter_and_listen(program: &[libc::sock_filter]) -> io::Result<OwnedFd> {
    // Once handed over, a call is not interrupted by ordinary signals: programs that send themselves many (Go) would
    // repeat it without end. Linux 5.19.
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    let listener = match set_filter(program, flags) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            set_filter(program, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?
        }
        other => other?,
    };
    // SAFETY: with this flag the call returns a new descriptor nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(listener as RawFd) })
}

fn set_filter(program: &[libc::sock_filter], flags: libc::c_ulong) -> io::Result<libc::c_long> {
    let Ok(len) = u16::try_from(program.len()) else {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    };
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: `program` points to `len` instructions that live across the call; the kernel only reads and copies them.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    checked(result)?;
    Ok(result)
}

/// Has the async runtime tell when the listener becomes readable. Panics outside of one.
pub(super) fn watch(listener: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor stays open and the same until it is dropped, and nobody takes it out.
    Ok(unsafe { AsyncFd::register_with_interest(listener, Interest::READABLE) }?)
}

/// A system call handed over by the filter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) id: u64,
    /// The calling thread.
    pub(super) thread: u32,
    pub(super) call: libc::c_long,
    pub(super) arguments: [u64; 6],
}

/// Takes the next call. Blocks when there is none; fails with ENOENT when its caller is gone.
pub(super) fn receive_request(listener: BorrowedFd<'_>) -> io::Result<Request> {
    // SAFETY: all of the structure is plain numbers; the kernel wants it zeroed.
    let mut notification: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: `notification` is valid for the write.
    let result =
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut notification) };
    checked(result.into())?;
    Ok(Request {
        id: notification.id,
        thread: notification.pid,
        call: notification.data.nr.into(),
        arguments: notification.data.args,
    })
}

/// Lets the call return 0, or fail with `errno`. Fails with ENOENT when its caller is gone.
pub(super) fn answer_request(listener: BorrowedFd<'_>, id: u64, errno: i32) -> io::Result<()> {
    let answer = libc::seccomp_notif_resp { id, val: 0, error: -errno, flags: 0 };
    // SAFETY: `answer` is valid for the read.
    checked(
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const answer) }
            .into(),
    )
}

/// Whether the caller still waits, so that its thread's number is still its own.
pub(super) fn request_is_valid(listener: BorrowedFd<'_>, id: u64) -> io::Result<()> {
    // SAFETY: `id` is valid for the read.
    checked(
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id) }
            .into(),
    )
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
) -> io::Result<Pid> {
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
    // Negative on failure, and 0 only in the child, which does not come here.
    Pid::from_raw(pid.max(0)).ok_or(error)
}

fn checked(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
