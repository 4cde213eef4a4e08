//! The process runner: input, output, limits, ends.

use std::os::fd::AsRawFd;
use std::time::Duration;

use lanyard_tools::process::{
    DEFAULT_KEEP, End, Finished, Invocation, MAX_OUTPUT, MAX_STDIN, OutputChunk, RunError, Stream, Streams,
    Timeout, run,
};
use lanyard_tools::sandbox::Limits;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::fixture::{Fixture, is_root, run_in, seconds, shell};

fn shell_invocation(command: &str) -> Invocation {
    Invocation::new("sh", ["-c", command], seconds(60))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn the_end_of_a_program_is_told() {
    let fixture = Fixture::new();
    assert_eq!(fixture.shell("exit 7").end, End::Exited { code: 7 });
    assert_eq!(fixture.shell("kill -9 $$").end, End::Signaled { signal: 9 });
}

#[test]
fn a_program_without_input_does_not_wait_for_one() {
    let fixture = Fixture::new();
    // A standard input of the host that never ends; no other test looks at it.
    let (reader, writer) = std::io::pipe().unwrap();
    // SAFETY: both descriptors are open.
    assert_eq!(unsafe { libc::dup2(reader.as_raw_fd(), 0) }, 0);
    std::mem::forget(writer);
    let finished = fixture.shell("cat; read x; readlink /proc/self/fd/0");
    assert_eq!(finished.stdout.to_text(), "/dev/null\n");
}

#[test]
fn input_is_fed_while_output_is_read() {
    let fixture = Fixture::new();
    let mut invocation = shell_invocation("cat");
    // More than the two pipes hold: writing all before reading any would hang.
    let input: Vec<u8> = (0..MAX_STDIN).map(|index| (index % 251) as u8).collect();
    invocation.stdin = Some(input.clone());
    assert_eq!(run_in(&fixture.confinement(), invocation).stdout.head, input);

    let mut unread = shell_invocation("exec 0<&-; echo ignored");
    unread.stdin = Some(input);
    assert_eq!(run_in(&fixture.confinement(), unread).stdout.to_text(), "ignored\n");
}

#[test]
fn too_much_input_and_odd_timeouts_are_refused() {
    let fixture = Fixture::new();
    let mut invocation = shell_invocation("cat");
    invocation.stdin = Some(vec![0; MAX_STDIN + 1]);
    let refused = runtime()
        .block_on(run(&fixture.confinement(), invocation, None, &CancellationToken::new()))
        .unwrap_err();
    assert!(matches!(refused, RunError::StdinTooLarge { .. }));
    for seconds in [0, 601, u64::MAX] {
        assert!(matches!(Timeout::from_secs(seconds), Err(RunError::Timeout { .. })));
    }
}

#[test]
fn merged_output_keeps_the_programs_order() {
    let fixture = Fixture::new();
    let finished = fixture.shell("for i in 1 2 3 4 5; do echo out$i; echo err$i >&2; done");
    assert_eq!(finished.stdout.to_text(), "out1\nerr1\nout2\nerr2\nout3\nerr3\nout4\nerr4\nout5\nerr5\n");
    assert_eq!(finished.stderr.total(), 0);
}

#[test]
fn separate_streams_stay_separate() {
    let fixture = Fixture::new();
    let mut invocation = shell_invocation("echo out; echo err >&2; echo more");
    invocation.streams = Streams::Separate;
    let finished = run_in(&fixture.confinement(), invocation);
    assert_eq!(
        (finished.stdout.to_text(), finished.stderr.to_text()),
        ("out\nmore\n".into(), "err\n".into())
    );
}

async fn collect(mut receiver: mpsc::Receiver<OutputChunk>, pause: Duration) -> Vec<OutputChunk> {
    let mut chunks = Vec::new();
    while let Some(chunk) = receiver.recv().await {
        chunks.push(chunk);
        tokio::time::sleep(pause).await;
    }
    chunks
}

#[test]
fn output_is_streamed_whole_also_to_a_slow_reader() {
    let fixture = Fixture::new();
    let confinement = fixture.confinement();
    let (sender, receiver) = mpsc::channel(1);
    let mut invocation = shell_invocation("seq 1 60000; echo problem >&2");
    invocation.streams = Streams::Separate;
    let (finished, chunks) = runtime().block_on(async {
        let cancel = CancellationToken::new();
        tokio::join!(
            run(&confinement, invocation, Some(sender), &cancel),
            collect(receiver, Duration::from_millis(1))
        )
    });
    let finished = finished.unwrap();
    for (stream, kept) in [(Stream::Stdout, &finished.stdout), (Stream::Stderr, &finished.stderr)] {
        let mut bytes: Vec<u8> = Vec::new();
        for chunk in chunks.iter().filter(|chunk| chunk.stream == stream) {
            assert_eq!(chunk.offset, bytes.len() as u64);
            bytes.extend(&chunk.bytes);
        }
        assert_eq!(bytes, kept.head);
        assert!(!bytes.is_empty());
    }
}

#[test]
fn a_reader_that_goes_away_costs_nothing() {
    let fixture = Fixture::new();
    let (sender, receiver) = mpsc::channel(1);
    drop(receiver);
    let cancel = CancellationToken::new();
    let confinement = fixture.confinement();
    let finished =
        runtime().block_on(run(&confinement, shell_invocation("seq 1 60000"), Some(sender), &cancel));
    assert!(finished.unwrap().stdout.to_text().ends_with("60000\n"));
}

#[test]
fn a_reader_that_takes_nothing_does_not_hold_up_the_timeout() {
    let fixture = Fixture::new();
    let (sender, receiver) = mpsc::channel(1);
    let mut invocation = shell_invocation("seq 1 60000");
    invocation.timeout = seconds(1);
    let cancel = CancellationToken::new();
    let confinement = fixture.confinement();
    let finished = runtime().block_on(run(&confinement, invocation, Some(sender), &cancel)).unwrap();
    assert_eq!(finished.end, End::TimedOut);
    drop(receiver);
}

/// 6-security.md, row 21: neither memory nor disk is filled.
#[test]
fn endless_output_is_cut_and_ended() {
    let fixture = Fixture::new();
    let finished = fixture.shell("yes 'a line of endless output that says nothing at all'");
    assert_eq!(finished.end, End::OutputLimit);
    assert!((MAX_OUTPUT..MAX_OUTPUT + (1 << 20)).contains(&finished.stdout.total()));
    assert_eq!(finished.stdout.head.len(), DEFAULT_KEEP);
    assert!(finished.stdout.tail.len() < DEFAULT_KEEP);
    assert_eq!(finished.surviving_processes, 0);
}

#[test]
fn the_end_of_long_output_is_kept() {
    let fixture = Fixture::new();
    let mut invocation = shell_invocation("seq 1 100000; echo the error");
    invocation.keep = 100;
    let finished = run_in(&fixture.confinement(), invocation);
    assert_eq!(finished.stdout.head.len(), 100);
    assert!(finished.stdout.tail.ends_with(b"100000\nthe error\n"));
    assert!(finished.stdout.omitted > 0 && finished.stdout.to_text().contains("bytes of output not kept"));
}

/// Row 21: one file cannot fill the disk.
#[test]
fn a_large_file_is_refused() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec();
    spec.limits = Limits { file_bytes: 1 << 20, ..Limits::default() };
    let confinement = fixture.sandbox.prepare(&spec).unwrap();
    let finished = shell(&confinement, "exec head -c 3000000 /dev/zero > file");
    assert_eq!(finished.end, End::Signaled { signal: libc::SIGXFSZ });
    assert_eq!(fixture.work.join("file").metadata().unwrap().len(), 1 << 20);
}

#[test]
fn no_core_is_dumped_and_limits_hold() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec();
    spec.limits.address_space = Some(64 << 20);
    spec.limits.open_files = 100;
    let confinement = fixture.sandbox.prepare(&spec).unwrap();
    let finished = shell(&confinement, "ulimit -Hc; ulimit -Hn; ulimit -v");
    assert_eq!(finished.stdout.to_text(), "0\n100\n65536\n");
}

/// What runs already, and this call's own, and nothing more: the count is per user and the user runs other things.
#[test]
fn the_process_limit_of_the_kernel_is_close_to_what_is_needed() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec();
    spec.limits.tasks = 40;
    let confinement = fixture.sandbox.prepare(&spec).unwrap();
    let limits = shell(&confinement, "cat /proc/self/limits").stdout.to_text();
    let hard = limits.lines().find_map(|line| line.strip_prefix("Max processes")).unwrap();
    let hard: u64 = hard.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
    // No machine that builds this runs more.
    assert!((40..50_000).contains(&hard), "{hard}");
}

/// Row 21. The kernel holds an ordinary user's processes down; root's are counted and ended.
#[test]
fn a_fork_bomb_is_ended() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec();
    spec.limits.tasks = 40;
    let confinement = fixture.sandbox.prepare(&spec).unwrap();
    // Bounded, so that a failing test does not take the machine down.
    let finished: Finished = shell(&confinement, "for i in $(seq 300); do setsid sleep 1000 & done; wait");
    if is_root() {
        assert_eq!(finished.end, End::ProcessLimit);
    } else {
        assert_ne!(finished.end, End::Exited { code: 0 });
    }
    assert_eq!(finished.surviving_processes, 0);
    let mut unlimited = fixture.spec();
    unlimited.limits.tasks = 4096;
    let confinement = fixture.sandbox.prepare(&unlimited).unwrap();
    let control = shell(&confinement, "for i in $(seq 300); do sleep 0.5 & done; wait");
    assert_eq!(control.end, End::Exited { code: 0 });
}

#[test]
fn a_cancelled_call_starts_nothing() {
    let fixture = Fixture::new();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let confinement = fixture.confinement();
    let refused =
        runtime().block_on(run(&confinement, shell_invocation("touch started"), None, &cancel)).unwrap_err();
    assert!(matches!(refused, RunError::Cancelled));
    assert!(!fixture.work.join("started").exists());
}

/// What developers run every day, where it is installed.
#[test]
fn ordinary_tools_work() {
    let fixture = Fixture::new();
    for command in [
        "bash -c 'cat <(echo x)'",
        "git init -q . && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x && git log --oneline",
        "python3 -c 'import subprocess, ssl; subprocess.run([\"true\"], check=True)'",
        "perl -e 'system(\"true\") == 0 or die'",
        "cc --version",
        "rustc --version",
        "cargo --version",
        "node -e 'require(\"child_process\").execSync(\"true\")'",
    ] {
        let tool = command.split(' ').next().unwrap();
        if fixture.confinement().resolve(tool.as_ref()).is_err() {
            eprintln!("skipped: no {tool} here");
            continue;
        }
        let finished = fixture.shell(command);
        assert_eq!(finished.end, End::Exited { code: 0 }, "{command}: {}", finished.stdout.to_text());
    }
}
