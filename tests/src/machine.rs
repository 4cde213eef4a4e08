//! A machine with Lanyard on it: directories of its own and the real `lanyard` command, here or in a network namespace of
//! a [`Lan`](crate::lan::Lan). Any machine may be a host, a device, or both, as in life.
//!
//! Host and device are talked to the way people and scripts do it, by commands; only what a host has on record is read
//! from its local socket, so that what a device shows is compared with something it had no part in.

mod pairing;
mod program;

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use lanyard_protocol::method::Health;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::host::{Connection, binary};
use crate::newcomer::Ended;

pub use pairing::{Joining, Way, Window};
pub use program::Program;

/// How long a command may take that waits for the network, for people, or for a link that is down for a minute.
const LONG: Duration = Duration::from_secs(240);

/// See the module. What runs on it is killed when it is dropped.
#[derive(Debug)]
pub struct Machine {
    dir: TempDir,
    name: String,
    /// Where tasks work, below `dir`.
    works_in: PathBuf,
    /// What puts a program onto the machine.
    onto: Vec<OsString>,
    env: Vec<(String, String)>,
    model: Option<Program>,
    host: Option<Program>,
}

impl Machine {
    /// A machine on loopback: its host has an address of its own there and cannot be found by name.
    ///
    /// # Errors
    /// The directories cannot be made.
    pub fn here(name: &str) -> Result<Self> {
        let mut machine = Self::new(name, Vec::new())?;
        machine.set("LANYARD_LISTEN", &own_loopback());
        machine.set("LANYARD_DISCOVERY", "false");
        Ok(machine)
    }

    /// The machine of this number on a network: its host listens as users' do, on all addresses, and can be found.
    ///
    /// # Errors
    /// The directories cannot be made.
    #[cfg(target_os = "linux")]
    pub fn on(lan: &crate::lan::Lan, number: usize, name: &str) -> Result<Self> {
        let template = lan.command_in(number, "");
        let mut onto = vec![template.get_program().to_owned()];
        onto.extend(template.get_args().map(ToOwned::to_owned));
        onto.pop();
        Self::new(name, onto)
    }

    fn new(name: &str, onto: Vec<OsString>) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("lanyard-machine-").tempdir()?;
        std::fs::create_dir(dir.path().join("work"))?;
        std::fs::create_dir(dir.path().join("run"))?;
        let name = name.to_owned();
        let machine =
            Self { dir, name, works_in: "work".into(), onto, env: Vec::new(), model: None, host: None };
        machine.prepare_state()?;
        Ok(machine)
    }

    fn prepare_state(&self) -> Result<()> {
        std::fs::DirBuilder::new().mode(0o700).create(self.state_dir())?;
        let config = format!("[host]\nname = {:?}\n", self.name);
        Ok(std::fs::write(self.state_dir().join("config.toml"), config)?)
    }

    /// Everything Lanyard knows on this machine is lost, as after a reinstallation. No host may run.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn reinstall(&self) -> Result<()> {
        ensure!(self.host.is_none(), "a host runs");
        std::fs::remove_dir_all(self.state_dir())?;
        self.prepare_state()
    }

    /// Sets an environment variable of every command from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The state directory.
    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// The directory tasks work in and commands are typed in.
    pub fn workspace(&self) -> PathBuf {
        self.dir.path().join(&self.works_in)
    }

    /// Tasks work in another directory, which is made: for pictures with names that tell something.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn works_in(&mut self, directory: &str) -> Result<()> {
        std::fs::create_dir_all(self.dir.path().join(directory))?;
        self.works_in = directory.into();
        Ok(())
    }

    /// Makes an empty file in the workspace.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn touch(&self, name: &str) -> Result<()> {
        Ok(std::fs::write(self.workspace().join(name), "")?)
    }

    /// A program on this machine.
    pub fn program(&self, program: impl AsRef<Path>) -> Command {
        let mut words: Vec<OsString> = self.onto.clone();
        words.push(program.as_ref().into());
        let mut words = words.into_iter();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("LANYARD_")) {
            command.env_remove(name);
        }
        command
            .env("LANYARD_STATE_DIR", self.state_dir())
            .env("LANYARD_MODEL_DETECT", "false")
            .env("XDG_RUNTIME_DIR", self.dir.path().join("run"))
            .env("NO_COLOR", "1")
            .envs(self.env.iter().cloned())
            .current_dir(self.workspace())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// A `lanyard` command on this machine.
    ///
    /// # Errors
    /// There is no binary.
    pub fn command(&self, words: &[&str]) -> Result<Command> {
        let mut command = self.program(binary()?);
        command.args(words);
        Ok(command)
    }

    /// Runs a `lanyard` command to its end.
    ///
    /// # Errors
    /// It does not end.
    pub async fn types(&self, words: &[&str]) -> Result<Ended> {
        let output = self.command(words)?.output();
        let ended = tokio::time::timeout(LONG, output).await;
        Ok(ended.with_context(|| format!("`lanyard {}` does not end", words.join(" ")))??.into())
    }

    /// Runs a `lanyard` command with `--json` that must end well, and returns what it says.
    ///
    /// # Errors
    /// It fails, or says something else.
    pub async fn asks(&self, words: &[&str]) -> Result<Value> {
        let words: Vec<_> = words.iter().copied().chain(["--json"]).collect();
        self.types(&words).await?.json().with_context(|| format!("lanyard {}", words.join(" ")))
    }

    /// Starts a `lanyard` command with `--json`, which says one thing a line.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn follows(&self, words: &[&str]) -> Result<Program> {
        let mut command = self.command(words)?;
        command.arg("--json");
        Program::start(command, &format!("lanyard {}", words.join(" ")))
    }

    /// Starts a model on this machine, for the hosts started from now on: the program `lanyard-model` of the tests.
    ///
    /// # Errors
    /// It does not start.
    pub async fn has_model(&mut self, program: &str) -> Result<()> {
        let mut command = self.program(program);
        command.stdin(Stdio::piped());
        let mut model = Program::start(command, "the model")?;
        let url = model.line().await?.context("the model ended")?;
        self.behind(&url);
        self.model = Some(model);
        Ok(())
    }

    /// Hosts started from now on ask this gateway.
    pub fn behind(&mut self, gateway: &str) {
        self.set("LANYARD_GATEWAY_URL", gateway);
        self.set("LANYARD_GATEWAY_TOKEN", "test-token");
        self.set("LANYARD_MODEL", "scripted-1");
    }

    /// `lanyard up`, until it says that it is ready.
    ///
    /// # Errors
    /// It ends, or never is.
    pub async fn host_up(&mut self) -> Result<()> {
        self.host_up_with(&[]).await
    }

    /// [`Machine::host_up`] with environment variables for this one start.
    ///
    /// # Errors
    /// It ends, or never is ready.
    pub async fn host_up_with(&mut self, env: &[(&str, &str)]) -> Result<()> {
        let workspace = self.workspace();
        let mut command = self.command(&["up", "--json", "--workspace"])?;
        command.arg(workspace).envs(env.iter().copied());
        let mut host = Program::start(command, "the host")?;
        if host.line().await?.is_none() {
            bail!("the host ended at its start: {}", host.errors());
        }
        self.host = Some(host);
        Ok(())
    }

    /// The host that runs.
    ///
    /// # Errors
    /// None does.
    pub fn host(&mut self) -> Result<&mut Program> {
        self.host.as_mut().context("no host runs here")
    }

    /// Kills the host with SIGKILL, and waits until it is gone. What it said on standard error.
    ///
    /// # Errors
    /// None runs.
    pub async fn host_killed(&mut self) -> Result<String> {
        let mut host = self.host.take().context("no host runs here")?;
        host.kill().await?;
        Ok(host.errors())
    }

    /// Waits until the host has ended by itself.
    ///
    /// # Errors
    /// It does not.
    pub async fn host_ends(&mut self) -> Result<Ended> {
        self.host.take().context("no host runs here")?.end().await
    }

    /// A connection to the host's local socket.
    ///
    /// # Errors
    /// No host runs.
    pub async fn connect(&self) -> Result<Connection> {
        Connection::open(&self.socket()?).await
    }

    /// The local socket, as the manifest says.
    ///
    /// # Errors
    /// No host has been announced.
    pub fn socket(&self) -> Result<PathBuf> {
        let manifest: Value = serde_json::from_slice(&std::fs::read(self.state_dir().join("server.json"))?)?;
        Ok(manifest["socket"].as_str().context("the manifest names no socket")?.into())
    }

    /// Where devices on this machine reach the host, with whatever it was started.
    ///
    /// # Errors
    /// It listens at no single address.
    pub fn loopback(&self) -> Result<SocketAddr> {
        let listen = self.env.iter().find(|(name, _)| name == "LANYARD_LISTEN");
        Ok(listen.context("it listens everywhere")?.1.parse()?)
    }

    /// The host's id, as it says.
    ///
    /// # Errors
    /// No host runs.
    pub async fn host_id(&self) -> Result<String> {
        Ok(self.connect().await?.call(Health {}).await?.network.host_id.to_string())
    }
}

/// An address of the loopback network that no other machine of any test has, so that a host that was killed finds its
/// port free: 127.0.0.0/8 is large.
pub fn own_loopback() -> String {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{}:7717", Ipv4Addr::new(127, high | 0x80, low, number))
}
