//! Other processes: not signalled, not traced, not read, not limited; and what a child itself looks like.

use std::fs::File;
use std::os::fd::AsRawFd;

use lanyard_protocol::policy::SandboxLevel;

use crate::fixture::{Fixture, Victim, inside, is_root, outside};
use crate::probe::Answer;

#[test]
fn the_level_is_full_and_named_with_every_call() {
    let fixture = Fixture::new();
    let report = fixture.sandbox.report();
    // A kernel with less is no failure of the code, but none of these tests could hold on it.
    assert_eq!(report.level, SandboxLevel::Full, "this kernel lacks: {:?}", report.missing);
    assert!(report.missing.is_empty());
    assert_eq!(fixture.shell("true").sandbox.level, SandboxLevel::Full);
}

#[test]
fn processes_outside_are_not_signalled() {
    let fixture = Fixture::new();
    let mut victim = Victim::new();
    let pid = victim.pid();
    let kill = |signal: i32| [libc::SYS_kill.to_string(), pid.clone(), signal.to_string()];
    let tgkill = [libc::SYS_tgkill.to_string(), pid.clone(), pid.clone(), libc::SIGCONT.to_string()];
    let refused = Answer::Errno(libc::EPERM);
    outside("syscall", &kill(libc::SIGCONT).each_ref().map(String::as_str)).expect();
    outside("syscall", &tgkill.each_ref().map(String::as_str)).expect();
    for signal in [libc::SIGCONT, libc::SIGTERM, libc::SIGKILL] {
        assert_eq!(fixture.inside("syscall", &kill(signal).each_ref().map(String::as_str)), refused);
    }
    assert_eq!(fixture.inside("syscall", &tgkill.each_ref().map(String::as_str)), refused);
    for attempt in ["queue_signal", "pidfd_signal"] {
        outside(attempt, &[&pid]).expect();
        assert_eq!(fixture.inside(attempt, &[&pid]), refused, "{attempt}");
    }
    assert!(victim.lives());
}

#[test]
fn processes_outside_are_not_traced() {
    let fixture = Fixture::new();
    let victim = Victim::new();
    let seize = [libc::SYS_ptrace.to_string(), libc::PTRACE_SEIZE.to_string(), victim.pid()];
    let seize = seize.each_ref().map(String::as_str);
    outside("syscall", &seize).expect();
    assert_eq!(fixture.inside("syscall", &seize), Answer::Errno(libc::EPERM));
}

#[test]
fn processes_outside_are_not_read() {
    let fixture = Fixture::new();
    let victim = Victim::new();
    let of = |name: &str| format!("/proc/{}/{name}", victim.pid());
    assert!(outside("read", &[&of("environ")]).expect().contains("SECRET=hidden"));
    for (attempt, name) in [("read", "environ"), ("write", "mem"), ("list", "root/"), ("list", "cwd/")] {
        outside(attempt, &[&of(name)]).expect();
        assert_eq!(fixture.inside(attempt, &[&of(name)]), Answer::Errno(libc::EACCES), "{name}");
    }
    outside("read_link", &[&of("fd/0")]).expect();
    assert_eq!(fixture.inside("read_link", &[&of("fd/0")]), Answer::Errno(libc::EACCES));
}

/// Lowering the host's limits would kill it (RLIMIT_CPU) or its store (RLIMIT_FSIZE).
#[test]
fn limits_of_processes_outside_are_not_set() {
    let fixture = Fixture::new();
    let victim = Victim::new();
    outside("limit_of_other", &[&victim.pid()]).expect();
    assert_eq!(fixture.inside("limit_of_other", &[&victim.pid()]), Answer::Errno(libc::EPERM));
    fixture.inside("limit_own", &[]).expect();
}

/// The limit by which a call's processes are found again.
#[test]
fn the_tag_cannot_be_taken_off() {
    let fixture = Fixture::new();
    outside("limit_tag", &[]).expect();
    assert_eq!(fixture.inside("limit_tag", &[]), Answer::Errno(libc::EPERM));
}

#[test]
fn a_child_has_no_capabilities_and_gets_no_privileges() {
    let fixture = Fixture::new();
    let status = fixture.shell("cat /proc/self/status").stdout.to_text();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim().to_owned()
    };
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    if is_root() {
        assert_eq!(field("CapBnd"), "0000000000000000");
    }
    assert_eq!(field("NoNewPrivs"), "1");
    assert_eq!(field("Seccomp"), "2");
    assert_eq!(field("Umask"), "0022");
    // The host is spared when memory runs out.
    assert_eq!(fixture.shell("cat /proc/self/oom_score_adj").stdout.to_text(), "500\n");
}

#[test]
fn a_child_inherits_no_descriptor() {
    let fixture = Fixture::new();
    let file = File::open(fixture.secret.join("key")).unwrap();
    // Rust opens everything close-on-exec; C libraries do not.
    // SAFETY: only changes a flag.
    assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFD, 0) }, 0);
    let key = fixture.secret.join("key").display().to_string();
    assert!(outside("descriptors", &[]).expect().contains(&key));
    assert!(!fixture.inside("descriptors", &[]).expect().contains(&key));
}

#[test]
fn a_child_leads_a_session_without_terminal() {
    let fixture = Fixture::new();
    assert_eq!(outside("session", &[]), Answer::Ok("false".into()));
    assert_eq!(fixture.inside("session", &[]), Answer::Ok("true".into()));
    assert!(matches!(fixture.inside("read", &["/dev/tty"]), Answer::Errno(libc::EACCES | libc::ENXIO)));
}

#[test]
fn debuggers_work_on_a_childs_own_processes() {
    let fixture = Fixture::new();
    inside(&fixture.confinement(), "trace_own_child", &[]).expect();
}

/// The host would become the tracer of its child and have to collect its threads.
#[test]
fn a_child_does_not_make_the_host_its_tracer() {
    let fixture = Fixture::new();
    let traceme = [libc::SYS_ptrace.to_string(), libc::PTRACE_TRACEME.to_string()];
    let finished = fixture.inside("syscall", &traceme.each_ref().map(String::as_str));
    assert_eq!(finished, Answer::Errno(libc::EPERM));
}
