//! A host that is killed leaves no children.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use lanyard_tools::process::{Invocation, run};
use lanyard_tools::sandbox::{Limits, Sandbox, SandboxSpec};
use tokio_util::sync::CancellationToken;

use crate::fixture::{eventually, runs, seconds, setup};
use crate::probe;

/// The part of the host, played by this binary in a process of its own: runs a command that leaves an orphan in a
/// session of its own and never ends.
pub(crate) fn be_host(state: &str, work: &str) {
    // Not to outlive a test that is interrupted.
    // SAFETY: numbers only.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let (state, work) = (Path::new(state), PathBuf::from(work));
    let sandbox = Sandbox::start(&setup(state)).unwrap();
    let spec = SandboxSpec {
        read: Vec::new(),
        write: vec![work.clone()],
        read_held: Vec::new(),
        write_held: Vec::new(),
        private_tmp: work.join("tmp"),
        cwd: work,
        network: false,
        limits: Limits::default(),
        env: Vec::new(),
        host_env: Vec::new(),
    };
    let confinement = sandbox.prepare(&spec).unwrap();
    let script = "setsid sleep 1000 >/dev/null & echo $! > orphan; echo $$ > child; echo > ready; sleep 1000";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cancel = CancellationToken::new();
    let call = run(&confinement, Invocation::new("sh", ["-c", script], seconds(600)), None, &cancel);
    let _ = runtime.block_on(call);
}

struct Host {
    process: Child,
    guardian: String,
    children: Vec<String>,
    state: PathBuf,
    _base: tempfile::TempDir,
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start_host() -> Host {
    let base = tempfile::tempdir().unwrap();
    let (state, work) = (base.path().join("state"), base.path().join("work"));
    std::fs::create_dir(&state).unwrap();
    std::fs::create_dir(&work).unwrap();
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(probe::ARGUMENTS)
        .env(probe::MARK, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let request = probe::request("be_host", &[state.to_str().unwrap(), work.to_str().unwrap()]);
    process.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
    eventually("the host has started its command", || work.join("ready").exists());
    let number = |name: &str| std::fs::read_to_string(work.join(name)).unwrap().trim().to_owned();
    let children = vec![number("orphan"), number("child")];
    assert!(children.iter().all(|pid| runs(pid)));
    let guardian = guardian_of(process.id());
    Host { process, guardian, children, state, _base: base }
}

fn guardian_of(host: u32) -> String {
    let named = |pid: &str| {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "lanyard-guard")
    };
    let parent = |pid: &str| {
        let file = std::fs::File::open(format!("/proc/{pid}/status")).ok()?;
        let lines = BufReader::new(file).lines().map_while(Result::ok);
        lines.filter_map(|line| Some(line.strip_prefix("PPid:")?.trim().to_owned())).next()
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| entry.file_name().into_string().ok())
        .find(|pid| named(pid) && parent(pid) == Some(host.to_string()))
        .expect("a guardian of the host")
}

fn kill(pid: &str) {
    assert!(Command::new("kill").args(["-9", pid]).status().unwrap().success());
}

#[test]
fn the_children_of_a_killed_host_are_ended() {
    let mut host = start_host();
    host.process.kill().unwrap();
    host.process.wait().unwrap();
    for pid in &host.children {
        eventually("a child of the killed host ends", || !runs(pid));
    }
    eventually("the guardian ends", || !runs(&host.guardian));
}

#[test]
fn the_next_host_ends_what_is_left_when_the_guardian_died_too() {
    let mut host = start_host();
    kill(&host.guardian);
    host.process.kill().unwrap();
    host.process.wait().unwrap();
    // The control: with nobody to do it, they live.
    assert!(host.children.iter().all(|pid| runs(pid)));

    // Another host on the machine leaves them alone.
    let other = tempfile::tempdir().unwrap();
    assert_eq!(Sandbox::start(&setup(other.path())).unwrap().end_leftovers().unwrap(), 0);
    assert!(host.children.iter().all(|pid| runs(pid)));

    let next = Sandbox::start(&setup(&host.state)).unwrap();
    // The shell and the orphan at least.
    assert!(next.end_leftovers().unwrap() >= 2);
    assert!(host.children.iter().all(|pid| !runs(pid)));
    assert_eq!(next.end_leftovers().unwrap(), 0);
}
