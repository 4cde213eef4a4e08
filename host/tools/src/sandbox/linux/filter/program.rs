//! The filter's rules, and their translation to classic BPF.

use std::collections::BTreeMap;

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W,
    EACCES, ENOSYS, EOPNOTSUPP, EPERM, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS,
    SECCOMP_RET_USER_NOTIF, c_int, c_long, sock_filter,
};
use rustix::process::Resource;

use super::Purpose;

/// `linux/audit.h`
#[cfg(target_arch = "x86_64")]
pub(super) const AUDIT_ARCH: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
pub(super) const AUDIT_ARCH: u32 = 0xC000_00B7;

/// The newest call reviewed for this list (Linux 6.10).
pub(super) const NEWEST: c_long = libc::SYS_mseal;

/// Missing in the libc crate for aarch64, with one C library or the other.
#[cfg(target_arch = "aarch64")]
pub(super) const SYS_SETRLIMIT: c_long = 164;
#[cfg(target_arch = "aarch64")]
const SYS_KEXEC_FILE_LOAD: c_long = 294;
#[cfg(target_arch = "x86_64")]
pub(super) const SYS_SETRLIMIT: c_long = libc::SYS_setrlimit;
#[cfg(target_arch = "x86_64")]
const SYS_KEXEC_FILE_LOAD: c_long = libc::SYS_kexec_file_load;

/// As if the kernel were older or built without: programs fall back.
pub(super) const ABSENT: &[c_long] = &[
    // Its flags are behind a pointer a filter cannot follow; libraries fall back to clone.
    libc::SYS_clone3,
    // Makes other calls (socket, connect, open) past this filter.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_userfaultfd,
];

/// The same number everywhere; missing in the libc crate for aarch64.
pub(in crate::sandbox::linux) const SYS_FCHMODAT2: c_long = 452;

/// Calls that change modes, and which argument is the mode. Handed to the host, see `modes`.
pub(super) const HANDED_OVER: &[(c_long, u32)] = &[
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chmod, 1),
    (libc::SYS_fchmod, 1),
    (libc::SYS_fchmodat, 2),
    (SYS_FCHMODAT2, 2),
];

/// Set user and group on execution. A program left behind with them would act as the owner for whoever starts it, long
/// after the call and outside of any sandbox.
pub(super) const SPECIAL_BITS: u32 = 0o6000;

/// As if the file system had none: an access list is a file mode by another name.
pub(super) const UNSUPPORTED: &[c_long] = &[
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
];

/// Refused outright.
pub(super) const REFUSED: &[c_long] = &[
    // Other processes. Signals and attaching by ptrace are scoped by Landlock, so debuggers work on the
    // child's own processes.
    libc::SYS_pidfd_getfd,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    // Shared memory, queues and semaphores are found by number across all processes of the user.
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_semctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    // The owner's keys.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // Namespaces and mounts, ways around Landlock.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    // Programs and probes in the kernel.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_fanotify_init,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    SYS_KEXEC_FILE_LOAD,
    libc::SYS_lookup_dcookie,
    // The machine as a whole.
    libc::SYS_syslog,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    libc::SYS_nfsservctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
];

/// Namespaces; and CLONE_PARENT, which would make the new process a child of the host.
/// CLONE_NEWTIME shares its bit with the exit signal and is not accepted by clone.
pub(super) const CLONE_REFUSED: c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_PARENT;

/// Typing into a terminal, selecting on the console, loading line disciplines.
pub(super) const IOCTL_REFUSED: [u32; 3] =
    [libc::TIOCSTI as u32, libc::TIOCLINUX as u32, libc::TIOCSETD as u32];

/// Of a type that differs between C libraries.
const PTRACE_TRACEME: u32 = 0;
const PRIO_PROCESS: u32 = 0;
const TAG_RESOURCE: u32 = Resource::Locks as u32;

/// Selects the socket type among flags like SOCK_CLOEXEC.
const SOCK_TYPE_MASK: u32 = 0xf;

/// Builds the whole program: the call's number is searched for in a binary tree. Installing a filter makes the kernel
/// try it on every call number once, so a list would cost each child twice as much (some 60 µs more).
pub(super) fn build(purpose: Purpose) -> Vec<sock_filter> {
    let mut program = vec![
        load(ARCHITECTURE),
        // A call of another ABI has other numbers, nothing below would fit it.
        jump(BPF_JEQ, AUDIT_ARCH, 1, 0),
        answer(SECCOMP_RET_KILL_PROCESS),
        load(NUMBER),
    ];
    program.extend(tree(&intervals(purpose)));
    program
}

/// What happens from a call number on, until the next entry.
#[derive(Clone)]
enum Leaf {
    Answer(u32),
    Checks(Vec<sock_filter>),
}

fn intervals(purpose: Purpose) -> Vec<(u32, Leaf)> {
    let mut calls = BTreeMap::new();
    calls.extend(ABSENT.iter().map(|call| (number(*call), Leaf::Answer(errno(ENOSYS)))));
    calls.extend(REFUSED.iter().map(|call| (number(*call), Leaf::Answer(errno(EPERM)))));
    calls.extend(UNSUPPORTED.iter().map(|call| (number(*call), Leaf::Answer(errno(EOPNOTSUPP)))));
    calls.extend(HANDED_OVER.iter().map(|(call, mode)| {
        (number(*call), Leaf::Checks(block(&change_mode(*mode), EPERM, SECCOMP_RET_USER_NOTIF)))
    }));
    let checked = [
        (libc::SYS_socket, socket(purpose.network), EACCES),
        (libc::SYS_socketpair, socketpair(), EACCES),
        (libc::SYS_ioctl, ioctl(), EPERM),
        (libc::SYS_clone, clone(), EPERM),
        (libc::SYS_ptrace, ptrace(), EPERM),
        (libc::SYS_prlimit64, prlimit(), EPERM),
        (SYS_SETRLIMIT, setrlimit(), EPERM),
        (libc::SYS_setpriority, setpriority(), EPERM),
    ];
    calls.extend(checked.map(|(call, checks, refusal)| {
        (number(call), Leaf::Checks(block(&checks, refusal, SECCOMP_RET_ALLOW)))
    }));

    if purpose.guards_truncation {
        calls.extend(against_truncation());
    }

    let mut intervals: Vec<(u32, Leaf)> = Vec::new();
    let mut push = |start, leaf| {
        let same = matches!((intervals.last(), &leaf),
            (Some((_, Leaf::Answer(last))), Leaf::Answer(this)) if last == this);
        if !same {
            intervals.push((start, leaf));
        }
    };
    let mut next = 0;
    for (call, leaf) in calls {
        if call > next || call == 0 {
            push(next, Leaf::Answer(SECCOMP_RET_ALLOW));
        }
        push(call, leaf);
        next = call + 1;
    }
    push(next, Leaf::Answer(SECCOMP_RET_ALLOW));
    // Newer calls, and the x32 ABI, which sets a high bit in the numbers of the same calls.
    push(number(NEWEST) + 1, Leaf::Answer(errno(ENOSYS)));
    intervals
}

fn tree(intervals: &[(u32, Leaf)]) -> Vec<sock_filter> {
    match intervals {
        [] => Vec::new(),
        [(_, Leaf::Answer(action))] => vec![answer(*action)],
        [(_, Leaf::Checks(block))] => block.clone(),
        _ => {
            let (below, from) = intervals.split_at(intervals.len() / 2);
            let start = from.first().map_or(0, |(start, _)| *start);
            let (below, from) = (tree(below), tree(from));
            let mut program = match u8::try_from(below.len()) {
                Ok(skip) => vec![jump(BPF_JGE, start, skip, 0)],
                // Only unconditional jumps reach farther.
                Err(_) => vec![jump(BPF_JGE, start, 0, 1), jump(BPF_JA, below.len() as u32, 0, 0)],
            };
            program.extend(below);
            program.extend(from);
            program
        }
    }
}

/// IP and, because resolvers ask it for addresses and interfaces, the routing part of netlink. Never AF_UNIX: the
/// host's socket, docker, D-Bus and ssh-agent are there.
fn socket(network: bool) -> Vec<Check> {
    if !network {
        return vec![Check::End(Verdict::Refuse)];
    }
    vec![
        Check::Load(low(0)),
        Check::Equal(libc::AF_INET as u32, Verdict::Allow, Verdict::Next),
        Check::Equal(libc::AF_INET6 as u32, Verdict::Allow, Verdict::Next),
        Check::Equal(libc::AF_NETLINK as u32, Verdict::Next, Verdict::Refuse),
        Check::Load(low(2)),
        Check::Equal(libc::NETLINK_ROUTE as u32, Verdict::Allow, Verdict::Refuse),
    ]
}

fn socketpair() -> Vec<Check> {
    vec![
        Check::Load(low(0)),
        Check::Equal(libc::AF_UNIX as u32, Verdict::Next, Verdict::Refuse),
        Check::Load(low(1)),
        Check::Mask(SOCK_TYPE_MASK),
        Check::Equal(libc::SOCK_STREAM as u32, Verdict::Allow, Verdict::Next),
        Check::Equal(libc::SOCK_SEQPACKET as u32, Verdict::Allow, Verdict::Refuse),
    ]
}

fn ioctl() -> Vec<Check> {
    let mut checks = vec![Check::Load(low(1))];
    checks.extend(IOCTL_REFUSED.map(|request| Check::Equal(request, Verdict::Refuse, Verdict::Next)));
    checks.push(Check::End(Verdict::Allow));
    checks
}

fn clone() -> Vec<Check> {
    vec![Check::Load(low(0)), Check::AnyBit(CLONE_REFUSED as u32, Verdict::Refuse, Verdict::Allow)]
}

/// TRACEME makes the parent the tracer, which for the first process is the host: it would have to collect every traced
/// thread by itself, or the process would never be gone. Debuggers attach instead (`gdb -p`, `strace`).
fn ptrace() -> Vec<Check> {
    vec![Check::Load(low(0)), Check::Equal(PTRACE_TRACEME, Verdict::Refuse, Verdict::Allow)]
}

/// Reading limits is free. Setting them is for the caller itself (lowering the host's RLIMIT_CPU would kill it), and
/// never for the one limit that marks a call's processes, see `tree`.
fn prlimit() -> Vec<Check> {
    let new_limit = 2;
    vec![
        Check::Load(low(new_limit)),
        Check::Equal(0, Verdict::Next, Verdict::Skip(2)),
        Check::Load(high(new_limit)),
        Check::Equal(0, Verdict::Allow, Verdict::Next),
        Check::Load(low(0)),
        Check::Equal(0, Verdict::Next, Verdict::Refuse),
        Check::Load(low(1)),
        Check::Equal(TAG_RESOURCE, Verdict::Refuse, Verdict::Allow),
    ]
}

fn setrlimit() -> Vec<Check> {
    vec![Check::Load(low(0)), Check::Equal(TAG_RESOURCE, Verdict::Refuse, Verdict::Allow)]
}

/// One process, not all of the user's.
fn setpriority() -> Vec<Check> {
    vec![Check::Load(low(0)), Check::Equal(PRIO_PROCESS, Verdict::Allow, Verdict::Refuse)]
}

/// For kernels whose Landlock does not know truncation. `openat2` keeps its flags behind a pointer; libraries fall
/// back to `openat`.
fn against_truncation() -> Vec<(u32, Leaf)> {
    let opens = |flags| Leaf::Checks(block(&emptying(flags), EACCES, SECCOMP_RET_ALLOW));
    vec![
        (number(libc::SYS_truncate), Leaf::Answer(errno(EACCES))),
        (number(libc::SYS_openat2), Leaf::Answer(errno(ENOSYS))),
        #[cfg(target_arch = "x86_64")]
        (number(libc::SYS_open), opens(1)),
        (number(libc::SYS_openat), opens(2)),
    ]
}

/// Opening for reading only, and emptying the file all the same: POSIX leaves it undefined, Linux does it.
fn emptying(flags: u32) -> Vec<Check> {
    vec![
        Check::Load(low(flags)),
        Check::Mask((libc::O_ACCMODE | libc::O_TRUNC) as u32),
        Check::Equal(libc::O_TRUNC as u32, Verdict::Refuse, Verdict::Allow),
    ]
}

/// The host need not even be asked for special bits.
fn change_mode(mode: u32) -> Vec<Check> {
    vec![Check::Load(low(mode)), Check::AnyBit(SPECIAL_BITS, Verdict::Refuse, Verdict::Allow)]
}

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Both supported processors are little-endian.
const fn low(argument: u32) -> u32 {
    ARGUMENTS + 8 * argument
}

const fn high(argument: u32) -> u32 {
    low(argument) + 4
}

/// Where a check leads.
#[derive(Clone, Copy)]
enum Verdict {
    Next,
    /// Past that many of the following checks.
    Skip(u8),
    Allow,
    Refuse,
}

/// One step of looking at a call's arguments.
#[derive(Clone, Copy)]
enum Check {
    Load(u32),
    Mask(u32),
    Equal(u32, Verdict, Verdict),
    AnyBit(u32, Verdict, Verdict),
    End(Verdict),
}

/// The checks of one call, after which the program has answered: with an error, or with what `Allow` means for it.
fn block(checks: &[Check], refusal: c_int, allowed: u32) -> Vec<sock_filter> {
    let count = checks.len();
    let mut block = Vec::with_capacity(count + 2);
    for (index, check) in checks.iter().enumerate() {
        // After the checks stand "refuse" and "allow".
        let target = |verdict| match verdict {
            Verdict::Next => 0,
            Verdict::Skip(checks) => checks,
            Verdict::Refuse => offset(count - index - 1),
            Verdict::Allow => offset(count - index),
        };
        block.push(match *check {
            Check::Load(at) => load(at),
            Check::Mask(mask) => statement(BPF_ALU | BPF_AND | BPF_K, mask),
            Check::Equal(value, yes, no) => jump(BPF_JEQ, value, target(yes), target(no)),
            Check::AnyBit(mask, yes, no) => jump(BPF_JSET, mask, target(yes), target(no)),
            Check::End(verdict) => jump(BPF_JEQ, 0, target(verdict), target(verdict)),
        });
    }
    block.extend([answer(errno(refusal)), answer(allowed)]);
    block
}

fn number(call: c_long) -> u32 {
    call as u32
}

fn errno(number: c_int) -> u32 {
    SECCOMP_RET_ERRNO | number as u32
}

/// Within one call's checks, of which there are ten at most.
fn offset(instructions: usize) -> u8 {
    u8::try_from(instructions).unwrap_or(u8::MAX)
}

fn load(at: u32) -> sock_filter {
    statement(BPF_LD | BPF_W | BPF_ABS, at)
}

fn answer(action: u32) -> sock_filter {
    statement(BPF_RET | BPF_K, action)
}

fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

fn jump(test: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: (BPF_JMP | test | BPF_K) as u16, jt, jf, k }
}
