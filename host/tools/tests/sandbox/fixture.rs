//! A host's directories, a sandbox over them, and ways to run things inside and outside of it.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use lanyard_tools::process::{End, Finished, Invocation, Timeout, run};
use lanyard_tools::sandbox::{Confinement, Limits, PrivateTmp, Sandbox, SandboxSetup, SandboxSpec};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::probe::{self, Answer};

pub(crate) struct Fixture {
    pub(crate) sandbox: Sandbox,
    /// Protected.
    pub(crate) state: PathBuf,
    /// Neither protected nor allowed.
    pub(crate) secret: PathBuf,
    /// Writable; the working directory.
    pub(crate) work: PathBuf,
    /// Readable.
    pub(crate) library: PathBuf,
    private: PrivateTmp,
    _base: TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        let root = base.path().canonicalize().unwrap();
        let directory = |name: &str| {
            let path = root.join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        let (state, secret) = (directory("state"), directory("secret"));
        let (work, library) = (directory("work"), directory("library"));
        std::fs::write(secret.join("key"), "secret").unwrap();
        std::fs::write(state.join("store"), "state").unwrap();
        std::fs::write(library.join("data"), "data").unwrap();
        let sandbox = Sandbox::start(&setup(&state)).unwrap();
        let private = PrivateTmp::create_in(&root).unwrap();
        Self { sandbox, state, secret, work, library, private, _base: base }
    }

    pub(crate) fn spec(&self) -> SandboxSpec {
        let binary = std::env::current_exe().unwrap();
        SandboxSpec {
            read: vec![self.library.clone(), binary],
            write: vec![self.work.clone()],
            read_held: Vec::new(),
            write_held: Vec::new(),
            private_tmp: self.private.path().to_owned(),
            cwd: self.work.clone(),
            network: false,
            limits: Limits::default(),
            env: Vec::new(),
            host_env: vec![(probe::MARK.into(), "1".into())],
        }
    }

    pub(crate) fn confinement(&self) -> Confinement {
        self.sandbox.prepare(&self.spec()).unwrap()
    }

    /// Runs a probe of this binary in the default confinement.
    pub(crate) fn inside(&self, name: &str, arguments: &[&str]) -> Answer {
        inside(&self.confinement(), name, arguments)
    }

    /// Runs a shell command in the default confinement.
    pub(crate) fn shell(&self, command: &str) -> Finished {
        shell(&self.confinement(), command)
    }
}

pub(crate) fn setup(state: &Path) -> SandboxSetup {
    SandboxSetup {
        state_dir: state.to_owned(),
        protected: Vec::new(),
        home: std::env::home_dir(),
        search_path: std::env::var_os("PATH"),
    }
}

pub(crate) fn seconds(seconds: u64) -> Timeout {
    Timeout::from_secs(seconds).unwrap()
}

/// Blocks until the invocation has ended.
pub(crate) fn run_in(confinement: &Confinement, invocation: Invocation) -> Finished {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(confinement, invocation, None, &CancellationToken::new())).unwrap()
}

pub(crate) fn shell(confinement: &Confinement, command: &str) -> Finished {
    run_in(confinement, Invocation::new("sh", ["-c", command], seconds(60)))
}

pub(crate) fn inside(confinement: &Confinement, name: &str, arguments: &[&str]) -> Answer {
    let binary = std::env::current_exe().unwrap();
    let mut invocation = Invocation::new(binary, probe::ARGUMENTS, seconds(60));
    invocation.stdin = Some(probe::request(name, arguments).into_bytes());
    let finished = run_in(confinement, invocation);
    match finished.end {
        End::Signaled { signal } => Answer::Signal(signal),
        _ => probe::answer(&finished.stdout.to_text()),
    }
}

/// Runs the same probe without any sandbox: the positive control.
pub(crate) fn outside(name: &str, arguments: &[&str]) -> Answer {
    use std::os::unix::process::ExitStatusExt;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(probe::ARGUMENTS)
        .env(probe::MARK, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(probe::request(name, arguments).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    match output.status.signal() {
        Some(signal) => Answer::Signal(signal),
        None => probe::answer(&String::from_utf8_lossy(&output.stdout)),
    }
}

/// A process of this user outside every sandbox, ended on drop.
pub(crate) struct Victim(std::process::Child);

impl Victim {
    pub(crate) fn new() -> Self {
        Self(Command::new("sleep").arg("1000").env("SECRET", "hidden").spawn().unwrap())
    }

    pub(crate) fn pid(&self) -> String {
        self.0.id().to_string()
    }

    pub(crate) fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn is_root() -> bool {
    // SAFETY: takes nothing, cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Waits for something that must happen; the limit only turns a hang into a failure.
pub(crate) fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if happened() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("never happened: {what}");
}

/// Whether a process runs (a zombie does not).
pub(crate) fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

pub(crate) fn os(text: &str) -> OsString {
    OsString::from(text)
}
