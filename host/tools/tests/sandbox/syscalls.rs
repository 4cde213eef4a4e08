//! System calls: what leads around the sandbox or changes the machine is refused.

use libc::{ENOSYS, EPERM, c_long};

use crate::fixture::{Fixture, inside, is_root, outside};
use crate::probe::Answer;

/// A call with arguments that do no harm where it is allowed, what it answers inside, and whether an ordinary user is
/// refused outside as well (so that only root's run shows the difference).
struct Case(&'static str, c_long, [i64; 4], i32, bool);

const CASES: &[Case] = &[
    Case("unshare", libc::SYS_unshare, [0; 4], EPERM, false),
    Case("setns", libc::SYS_setns, [-1, 0, 0, 0], EPERM, false),
    Case("clone3", libc::SYS_clone3, [0; 4], ENOSYS, false),
    Case("io_uring_setup", libc::SYS_io_uring_setup, [0; 4], ENOSYS, false),
    Case("userfaultfd", libc::SYS_userfaultfd, [1 << 30, 0, 0, 0], ENOSYS, false),
    Case("bpf", libc::SYS_bpf, [999, 0, 0, 0], EPERM, true),
    Case("perf_event_open", libc::SYS_perf_event_open, [0; 4], EPERM, false),
    Case("keyctl", libc::SYS_keyctl, [999, 0, 0, 0], EPERM, false),
    Case("add_key", libc::SYS_add_key, [0; 4], EPERM, false),
    Case("request_key", libc::SYS_request_key, [0; 4], EPERM, false),
    Case("mount", libc::SYS_mount, [0; 4], EPERM, true),
    Case("umount2", libc::SYS_umount2, [0; 4], EPERM, true),
    Case("chroot", libc::SYS_chroot, [0; 4], EPERM, true),
    Case("move_mount", libc::SYS_move_mount, [-1, 0, -1, 0], EPERM, true),
    Case("open_tree", libc::SYS_open_tree, [-1, 0, 0, 0], EPERM, false),
    Case("fsopen", libc::SYS_fsopen, [0; 4], EPERM, true),
    Case("pidfd_getfd", libc::SYS_pidfd_getfd, [-1, 0, 0, 0], EPERM, false),
    Case("process_vm_readv", libc::SYS_process_vm_readv, [1, 0, 0, 0], EPERM, false),
    Case("process_vm_writev", libc::SYS_process_vm_writev, [1, 0, 0, 0], EPERM, false),
    Case("open_by_handle_at", libc::SYS_open_by_handle_at, [-1, 0, 0, 0], EPERM, true),
    Case("init_module", libc::SYS_init_module, [0; 4], EPERM, true),
    Case("finit_module", libc::SYS_finit_module, [-1, 0, 0, 0], EPERM, true),
    Case("delete_module", libc::SYS_delete_module, [0; 4], EPERM, true),
    Case("kexec_load", libc::SYS_kexec_load, [0, 0, 0, 0xffff], EPERM, true),
    Case("shmget", libc::SYS_shmget, [0; 4], EPERM, false),
    Case("msgget", libc::SYS_msgget, [0x7fff_fff1, 0, 0, 0], EPERM, false),
    Case("semget", libc::SYS_semget, [0x7fff_fff1, 0, 0, 0], EPERM, false),
    Case("mq_open", libc::SYS_mq_open, [0; 4], EPERM, false),
    Case("syslog", libc::SYS_syslog, [10, 0, 0, 0], EPERM, true),
    Case("sethostname", libc::SYS_sethostname, [0, -1, 0, 0], EPERM, true),
    Case("setpriority of all", libc::SYS_setpriority, [2, 0x7fff_fff1, 0, 0], EPERM, false),
    Case("unknown", 10_000, [0; 4], ENOSYS, true),
];

#[test]
fn calls_around_the_sandbox_are_refused() {
    let fixture = Fixture::new();
    let confinement = fixture.confinement();
    for Case(name, call, arguments, errno, needs_root) in CASES {
        let words: Vec<_> = std::iter::once(call).chain(arguments).map(ToString::to_string).collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        assert_eq!(inside(&confinement, "syscall", &words), Answer::Errno(*errno), "{name}");
        let refused_anyway = *name == "unknown" || (*needs_root && !is_root());
        if !refused_anyway {
            assert_ne!(
                outside("syscall", &words),
                Answer::Errno(*errno),
                "{name} shows nothing: refused outside"
            );
        }
    }
}

#[test]
fn no_namespace_is_made() {
    let fixture = Fixture::new();
    let confinement = fixture.confinement();
    let flags = [
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWUSER | libc::CLONE_NEWNS,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWIPC,
        libc::CLONE_PARENT,
    ];
    for flag in flags {
        assert_eq!(inside(&confinement, "clone", &[&flag.to_string()]), Answer::Errno(EPERM), "{flag:#x}");
    }
    inside(&confinement, "clone", &["0"]).expect();
    for flag in [libc::CLONE_NEWUSER, libc::CLONE_PARENT] {
        outside("clone", &[&flag.to_string()]).expect();
    }
}

#[test]
fn no_terminal_is_typed_into() {
    let fixture = Fixture::new();
    // Standard input is a pipe, so the answer outside is that this is no terminal.
    assert_eq!(outside("type_into_terminal", &[]), Answer::Errno(libc::ENOTTY));
    assert_eq!(fixture.inside("type_into_terminal", &[]), Answer::Errno(EPERM));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_32_bit_entry_is_deadly() {
    let fixture = Fixture::new();
    if let Answer::Signal(signal) = outside("foreign_abi", &[]) {
        eprintln!("skipped: this kernel has no 32-bit entry (signal {signal})");
        return;
    }
    assert_eq!(fixture.inside("foreign_abi", &[]), Answer::Signal(libc::SIGSYS));
}
