//! A network namespace that exists while this process wants it.
//!
//! A `cat` holds it and reads from a pipe of ours: when we are gone, for whatever reason, it reads the end and goes too,
//! and the system takes the namespace and its interfaces back.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal};

/// How often the programs of a namespace are killed before it is left to them. A killed one is gone at the next look.
const KILL_ROUNDS: u32 = 100;

/// Whether a program can be found.
pub(super) fn is_installed(program: &str) -> bool {
    std::env::split_paths(&path()).any(|dir| dir.join(program).is_file())
}

/// Where programs are looked for. Those for networks lie where only root's path leads.
fn path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}

/// See the module.
#[derive(Debug)]
pub(super) struct Space {
    holder: Child,
    /// The pipe that keeps the holder; taken when this is dropped.
    hold: Option<ChildStdin>,
    /// Names the namespace: two processes are in the same one when this link reads the same.
    identity: PathBuf,
}

impl Space {
    /// A new namespace. Who is not root becomes root in a user namespace, which is the first one's; all others have to
    /// be made from there, or no cable could lead from one to the other.
    pub(super) fn new(beside: Option<&Space>) -> Result<Self> {
        let mut command = match beside {
            Some(first) => first.command("unshare"),
            None => Command::new("unshare"),
        };
        if beside.is_none() && !is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--net", "sh", "-c", "echo made && exec cat"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut holder = command.spawn().context("unshare")?;
        let mut line = String::new();
        let stdout = holder.stdout.take().context("a pipe was asked for")?;
        BufReader::new(stdout).read_line(&mut line)?;
        if line != "made\n" {
            let output = holder.wait_with_output()?;
            bail!("unshare: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let identity = fs::read_link(format!("/proc/{}/ns/net", holder.id()))?;
        let hold = holder.stdin.take();
        Ok(Self { holder, hold, identity })
    }

    /// Whose process holds it; for `ip link … netns PID`.
    pub(super) fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// A command in it.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.env("PATH", path());
        command.arg(format!("--target={}", self.pid())).arg("--net");
        if !is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--").arg(program);
        command
    }

    /// Runs a program to its end and returns what it printed.
    pub(super) fn run(&self, program: &str, words: &[&str]) -> Result<String> {
        let output = self.command(program).args(words).stdin(Stdio::null()).output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} {}: {}", words.join(" "), told.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs a program to its end, with something to read.
    pub(super) fn feed(&self, program: &str, words: &[&str], text: &str) -> Result<()> {
        let mut command = self.command(program);
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| program.to_owned())?;
        // It may have ended already, and then says why.
        let written = child.stdin.take().context("a pipe was asked for")?.write_all(text.as_bytes());
        let output = child.wait_with_output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} did not take {text:?}: {}", told.trim());
        Ok(written?)
    }

    /// Runs several `ip` commands as one.
    pub(super) fn ip(&self, lines: &[&str]) -> Result<()> {
        self.feed("ip", &["-batch", "-"], &format!("{}\n", lines.join("\n")))
    }

    /// Sets a knob below `/proc/sys/net`.
    pub(super) fn set(&self, knob: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/net/{knob}");
        self.feed("sh", &["-c", &format!("cat > {path}")], value)
    }

    /// The processes in it, its holder included.
    fn processes(&self) -> Vec<Pid> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids =
            entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw));
        pids.filter(|pid| {
            let link = fs::read_link(format!("/proc/{}/ns/net", pid.as_raw_nonzero()));
            link.is_ok_and(|link| link == self.identity)
        })
        .collect()
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // Nobody but us can have started anything in here; the holder, last, keeps the namespace ours until then. A
        // program may start another while we look, so we look again.
        let holder = Pid::from_child(&self.holder);
        for _ in 0..KILL_ROUNDS {
            let mut left = self.processes();
            left.retain(|pid| *pid != holder);
            if left.is_empty() {
                break;
            }
            for pid in left {
                // It may have ended meanwhile.
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        drop(self.hold.take());
        let _ = self.holder.wait();
    }
}

/// Whether namespaces can be made without a user namespace around them.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
