//! The process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::process::{Child, Command};

use crate::host::PATIENCE;

/// The `lanyard-central` binary of this build; built once if it is not there.
///
/// # Errors
/// It cannot be built.
pub fn binary() -> Result<PathBuf> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BINARY.get_or_init(|| build().map_err(|e| format!("{e:#}"))).clone().map_err(anyhow::Error::msg)
}

fn build() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("LANYARD_CENTRAL_BIN") {
        return Ok(given.into());
    }
    let test = std::env::current_exe()?;
    let profile = test.ancestors().find(|dir| dir.ends_with("debug") || dir.ends_with("release"));
    let profile =
        profile.context("the test does not lie in a cargo target directory; set LANYARD_CENTRAL_BIN")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = std::process::Command::new(cargo);
    build.args(["build", "--quiet", "--package", "lanyard-central"]).stdin(Stdio::null());
    if profile.ends_with("release") {
        build.arg("--release");
    }
    ensure!(build.status()?.success(), "the lanyard-central binary could not be built");
    Ok(profile.join("lanyard-central"))
}

/// One process of an installation. Killed when dropped.
#[derive(Debug)]
pub struct Replica {
    state_dir: PathBuf,
    log: PathBuf,
    listen: String,
    bound: Option<SocketAddr>,
    child: Option<Child>,
}

impl Replica {
    pub(super) fn new(state_dir: PathBuf, log: PathBuf, listen: String) -> Self {
        Self { state_dir, log, listen, bound: None, child: None }
    }

    /// Where it is reached.
    pub fn url(&self) -> String {
        self.bound.map_or_else(String::new, |address| format!("http://{address}"))
    }

    /// Its address.
    ///
    /// # Errors
    /// It has never run.
    pub fn address(&self) -> Result<SocketAddr> {
        self.bound.context("it has never run")
    }

    /// What it has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its number.
    ///
    /// # Errors
    /// It has ended.
    pub fn pid(&self) -> Result<u32> {
        self.child.as_ref().and_then(Child::id).context("it does not run")
    }

    pub(super) async fn start(&mut self, env: &[(String, String)], flags: &[String]) -> Result<()> {
        let ready = self.log.with_extension("ready");
        let _ = std::fs::remove_file(&ready);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log)?;
        let listen = self.bound.map_or_else(|| self.listen.clone(), |address| address.to_string());
        let mut command = Command::new(binary()?);
        command.arg("--state-dir").arg(&self.state_dir).args(["--listen", &listen]).args(flags);
        command.envs(env.iter().map(|(name, value)| (name, value))).env("LANYARD_CENTRAL_READY_FILE", &ready);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        let mut child = command.spawn()?;
        let until = Instant::now() + PATIENCE;
        loop {
            if let Ok(text) = std::fs::read_to_string(&ready)
                && let Ok(address) = text.trim().parse()
            {
                self.bound = Some(address);
                self.child = Some(child);
                return Ok(());
            }
            if let Some(status) = child.try_wait()? {
                bail!("central ended at its start ({status}):\n{}", self.log());
            }
            ensure!(Instant::now() < until, "central cannot be reached:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(super) async fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("it does not run")?;
        child.kill().await?;
        Ok(())
    }

    /// Ends it in order and returns how it ended.
    ///
    /// # Errors
    /// It does not end.
    pub async fn stop(&mut self) -> Result<std::process::ExitStatus> {
        let mut child = self.child.take().context("it does not run")?;
        let pid = child.id().context("it has ended")?;
        crate::newcomer::kill(pid, crate::newcomer::Signal::TERM)?;
        Ok(tokio::time::timeout(PATIENCE, child.wait()).await.context("it does not end")??)
    }
}
