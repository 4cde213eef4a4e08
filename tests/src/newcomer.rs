//! Somebody at a terminal: commands as typed, and the hosts they start.

use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use lanyard_protocol::codec::from_json;
use lanyard_protocol::event::SessionEvent;
use rustix::process::Pid;
pub use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};
use tokio::process::Child;

use crate::host::{Connection, HostOptions, PATIENCE, TestHost};

/// See the module. No host runs at first; one that a command started is ended when this is dropped.
#[derive(Debug)]
pub struct Newcomer {
    home: TestHost,
}

/// What a command came to.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Ended {
    /// Standard output of a command that ended well.
    pub fn ok(self) -> Result<String> {
        ensure!(self.code == Some(0), "{self:?}");
        Ok(self.out)
    }

    /// Standard output as one JSON value.
    pub fn json(self) -> Result<Value> {
        let text = self.ok()?;
        serde_json::from_str(&text).with_context(|| text.clone())
    }

    /// Standard output as events, one a line.
    pub fn events(&self) -> Result<Vec<SessionEvent>> {
        self.out.lines().map(|line| from_json(line).with_context(|| line.to_owned())).collect()
    }
}

/// A command that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Newcomer {
    /// With the demo model.
    pub fn new() -> Result<Self> {
        Self::with(HostOptions::default())
    }

    /// With other options for the host.
    pub fn with(options: HostOptions) -> Result<Self> {
        Ok(Self { home: TestHost::idle(options)? })
    }

    /// Directories and environment.
    pub fn home(&self) -> &TestHost {
        &self.home
    }

    /// Writes a file into the workspace, where commands are typed.
    pub fn file(&self, name: &str, content: &str) -> Result<()> {
        Ok(std::fs::write(self.home.workspace().join(name), content)?)
    }

    /// Reads a file of the workspace.
    pub fn content(&self, name: &str) -> Result<String> {
        std::fs::read_to_string(self.home.workspace().join(name)).with_context(|| name.to_owned())
    }

    /// Runs a command to its end, without a terminal.
    pub async fn types(&self, words: &[&str]) -> Result<Ended> {
        self.start(words)?.end().await
    }

    /// Starts a command.
    pub fn start(&self, words: &[&str]) -> Result<Running> {
        let mut command = self.home.command();
        command
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Ok(Running { child: command.spawn()? })
    }

    /// Process id of the host that runs, as its manifest says.
    pub fn host_pid(&self) -> Result<u32> {
        let manifest: Value =
            serde_json::from_slice(&std::fs::read(self.home.state_dir().join("server.json"))?)?;
        manifest["pid"]
            .as_u64()
            .and_then(|pid| u32::try_from(pid).ok())
            .context("the manifest names no process")
    }

    /// A connection to the host that runs.
    pub async fn connect(&self) -> Result<Connection> {
        self.home.connect().await
    }

    /// Kills the host with SIGKILL and waits until it is gone.
    pub async fn kill_host(&self) -> Result<()> {
        let pid = self.host_pid()?;
        kill(pid, Signal::KILL)?;
        crate::stage::eventually("the host is gone", || !runs(pid)).await
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        if let Ok(pid) = self.host_pid() {
            // A stale manifest may name somebody else's process by now.
            let ours = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let state = self.home.state_dir().display().to_string();
            if String::from_utf8_lossy(&ours).contains(&state)
                && let Err(error) = kill(pid, Signal::KILL)
            {
                eprintln!("host {pid} is left behind: {error}");
            }
        }
    }
}

/// Whether a process runs; a dead one nobody has waited for does not.
pub fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Sends a signal to a process a test started.
pub fn kill(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("no process has this number")?;
    Ok(rustix::process::kill_process(pid, signal)?)
}

impl Running {
    /// The process.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Lines of its standard output.
    pub fn lines(&mut self) -> Result<Lines<BufReader<impl AsyncRead + use<>>>> {
        Ok(BufReader::new(self.child.stdout.take().context("taken before")?).lines())
    }

    /// Lines of its standard error.
    pub fn error_lines(&mut self) -> Result<Lines<BufReader<impl AsyncRead + use<>>>> {
        Ok(BufReader::new(self.child.stderr.take().context("taken before")?).lines())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.child.id().context("it has ended")?, signal)
    }

    /// Waits for its end; standard input ends first.
    pub async fn end(self) -> Result<Ended> {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait_with_output()).await;
        Ok(ended.context("the command does not end")??.into())
    }
}

/// The first line that contains a word, those before it dropped.
pub async fn line_with(lines: &mut Lines<BufReader<impl AsyncRead + Unpin>>, word: &str) -> Result<String> {
    let find = async {
        while let Some(line) = lines.next_line().await? {
            if line.contains(word) {
                return Ok(line);
            }
        }
        anyhow::bail!("no line with {word:?} came")
    };
    tokio::time::timeout(PATIENCE, find).await.with_context(|| format!("no line with {word:?} came"))?
}
