//! All processes of a call end with it, wherever they went.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use lanyard_tools::process::{End, Invocation, run};
use tokio_util::sync::CancellationToken;

use crate::fixture::{Fixture, run_in, runs, seconds};

/// Leaves a process that left its group, session and parent, and writes its number to `pid`.
const ORPHAN: &str = "(setsid sh -c 'sleep 1000 & echo $! > pid.new; mv pid.new pid' >/dev/null 2>&1 </dev/null &) ; \
                      while ! test -e pid; do sleep 0.01; done";

fn pid_in(work: &Path) -> String {
    std::fs::read_to_string(work.join("pid")).unwrap().trim().to_owned()
}

#[test]
fn an_orphan_in_a_session_of_its_own_is_ended() {
    let fixture = Fixture::new();
    let finished = fixture.shell(ORPHAN);
    assert_eq!(finished.end, End::Exited { code: 0 });
    assert!(!runs(&pid_in(&fixture.work)));
    // The shell that started it may not be gone yet.
    assert!(finished.ended_descendants >= 1);
    assert_eq!(finished.surviving_processes, 0);

    // The control: without the runner it lives on.
    std::fs::remove_file(fixture.work.join("pid")).unwrap();
    let status =
        Command::new("sh").args(["-c", ORPHAN]).current_dir(&fixture.work).stdin(Stdio::null()).status();
    assert!(status.unwrap().success());
    let pid = pid_in(&fixture.work);
    assert!(runs(&pid));
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
}

/// A background process that holds the pipe open does not hold up the call.
#[test]
fn a_background_process_with_the_output_open_is_ended() {
    let fixture = Fixture::new();
    let finished = fixture.shell("sleep 1000 & echo $! > pid; echo out");
    assert_eq!((finished.end, finished.stdout.to_text().as_str()), (End::Exited { code: 0 }, "out\n"));
    assert!(!runs(&pid_in(&fixture.work)));
}

#[test]
fn a_stopped_process_is_ended() {
    let fixture = Fixture::new();
    let finished = fixture.shell("sh -c 'kill -STOP $$' & echo $! > pid; sleep 0.1");
    assert_eq!(finished.end, End::Exited { code: 0 });
    assert!(!runs(&pid_in(&fixture.work)));
}

#[test]
fn a_timeout_ends_the_tree_and_lets_it_say_goodbye() {
    let fixture = Fixture::new();
    let script =
        "trap 'echo goodbye; exit 0' TERM; setsid sleep 1000 & echo $! > pid; while :; do sleep 0.05; done";
    let finished = run_in(&fixture.confinement(), Invocation::new("sh", ["-c", script], seconds(8)));
    assert_eq!(finished.end, End::TimedOut);
    assert!(finished.stdout.to_text().ends_with("goodbye\n"), "{}", finished.stdout.to_text());
    assert!(!runs(&pid_in(&fixture.work)));
}

#[test]
fn who_ignores_the_request_is_killed() {
    let fixture = Fixture::new();
    let script =
        "trap '' TERM; (trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 1000' & echo $! > pid; wait)";
    let finished = run_in(&fixture.confinement(), Invocation::new("sh", ["-c", script], seconds(8)));
    assert_eq!(finished.end, End::TimedOut);
    assert_eq!(finished.surviving_processes, 0);
    assert!(!runs(&pid_in(&fixture.work)));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn cancellation_ends_the_tree() {
    let fixture = Fixture::new();
    let (confinement, work) = (fixture.confinement(), fixture.work.clone());
    let cancel = CancellationToken::new();
    let finished = runtime().block_on(async {
        let script = format!("{ORPHAN}; sleep 1000");
        let call = run(&confinement, Invocation::new("sh", ["-c", &script], seconds(600)), None, &cancel);
        let canceller = async {
            while !work.join("pid").exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            cancel.cancel();
        };
        tokio::join!(call, canceller).0
    });
    assert_eq!(finished.unwrap().end, End::Cancelled);
    assert!(!runs(&pid_in(&fixture.work)));
}

#[test]
fn a_dropped_call_leaves_nothing() {
    let fixture = Fixture::new();
    let (confinement, work) = (fixture.confinement(), fixture.work.clone());
    runtime().block_on(async {
        let script = format!("{ORPHAN}; sleep 1000");
        let call = async {
            let cancel = CancellationToken::new();
            run(&confinement, Invocation::new("sh", ["-c", &script], seconds(600)), None, &cancel).await
        };
        let started = async {
            while !work.join("pid").exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            finished = call => panic!("ended by itself: {finished:?}"),
            () = started => {}
        }
    });
    assert!(!runs(&pid_in(&fixture.work)));
}

/// Two calls at once: the end of one does not touch the other.
#[test]
fn calls_do_not_end_each_others_processes() {
    let fixture = Fixture::new();
    let confinement = fixture.confinement();
    runtime().block_on(async {
        let cancel = CancellationToken::new();
        let long = run(
            &confinement,
            Invocation::new("sh", ["-c", "echo > a; while ! test -e b; do sleep 0.02; done"], seconds(60)),
            None,
            &cancel,
        );
        let short = run(
            &confinement,
            Invocation::new(
                "sh",
                ["-c", "while ! test -e a; do sleep 0.02; done; sleep 1000 &"],
                seconds(60),
            ),
            None,
            &cancel,
        );
        let short = async {
            let finished = short.await;
            std::fs::write(fixture.work.join("b"), "").unwrap();
            finished
        };
        let (long, short) = tokio::join!(long, short);
        assert_eq!(long.unwrap().end, End::Exited { code: 0 });
        assert!(short.unwrap().ended_descendants >= 1);
    });
}
