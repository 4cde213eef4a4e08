//! A central on a machine of a network: at an address that is not loopback, therefore with TLS by its own CA. Whoever
//! administers it sits at the same machine, with `curl`, and trusts that CA alone.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use super::binary;
use crate::host::PATIENCE;
use crate::lan::Lan;
use crate::machine::Machine;

/// Where it listens.
const PORT: u16 = 8787;

/// See the module. Killed when dropped.
#[derive(Debug)]
pub struct Remote {
    machine: Machine,
    listen: String,
    clock_offset: i64,
    token: Option<String>,
    child: Option<Child>,
}

impl Remote {
    /// On the machine of this number; several may take turns there. Not started yet.
    ///
    /// # Errors
    /// The directories cannot be made.
    pub fn on(lan: &Lan, number: usize, name: &str) -> Result<Self> {
        let machine = Machine::on(lan, number, name)?;
        let listen = format!("{}:{PORT}", lan.address(number));
        Ok(Self { machine, listen, clock_offset: 0, token: None, child: None })
    }

    /// Starts with its clock so many seconds off.
    pub fn is_off_by(&mut self, seconds: i64) {
        self.clock_offset = seconds;
    }

    /// Where it is reached.
    pub fn url(&self) -> String {
        format!("https://{}", self.listen)
    }

    /// Where its keys and its database lie.
    pub fn state_dir(&self) -> PathBuf {
        self.machine.workspace().join("central")
    }

    fn log(&self) -> PathBuf {
        self.machine.workspace().join("central.log")
    }

    fn command(&self) -> Result<Command> {
        let mut command = self.machine.program(binary()?);
        command.env("LANYARD_CENTRAL_CLOCK_OFFSET_SECONDS", self.clock_offset.to_string());
        command.env_remove("DATABASE_URL").arg("--state-dir").arg(self.state_dir());
        Ok(command)
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// It does not start; with its log.
    pub async fn start(&mut self) -> Result<()> {
        let ready = self.machine.workspace().join("ready");
        let _ = std::fs::remove_file(&ready);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = self.command()?;
        command.args(["--listen", &self.listen]).env("LANYARD_CENTRAL_READY_FILE", &ready);
        let mut child = command.stdout(log.try_clone()?).stderr(log).spawn()?;
        let until = Instant::now() + PATIENCE;
        while !ready.exists() {
            let said = || std::fs::read_to_string(self.log()).unwrap_or_default();
            if let Some(status) = child.try_wait()? {
                bail!("central ended at its start ({status}):\n{}", said());
            }
            ensure!(Instant::now() < until, "central cannot be reached:\n{}", said());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.child = Some(child);
        Ok(())
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// It does not run.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.take().context("it does not run")?.kill().await?)
    }

    /// Signs the operator in; again where the sign-in has run out.
    ///
    /// # Errors
    /// The link is not made or not taken.
    pub async fn sign_in(&mut self) -> Result<()> {
        let mut command = self.command()?;
        command.arg("sign-in-link").args(["--public-url", &self.url()]);
        let output = command.output().await?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let link =
            said.lines().find(|line| line.contains("#/sign-in/")).with_context(|| format!("{output:?}"))?;
        let token = link.rsplit('/').next().unwrap_or_default().trim();
        self.token = None;
        let signed_in = self.asks("POST", "/login/link", Some(json!({"token": token}))).await?;
        self.token = Some(signed_in["token"].as_str().context("no sign-in")?.to_owned());
        Ok(())
    }

    /// Asks its API for something and returns what is answered.
    ///
    /// # Errors
    /// It refuses, or is not who the CA says.
    pub async fn asks(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value> {
        let mut curl = self.machine.program("curl");
        curl.args(["--silent", "--show-error", "--fail-with-body", "--max-time", "30", "--noproxy", "*"]);
        curl.arg("--cacert").arg(self.state_dir().join("ca.pem")).args(["--request", method]);
        curl.args(["--header", "content-type: application/json"]);
        if let Some(token) = &self.token {
            curl.args(["--header", &format!("authorization: Bearer {token}")]);
        }
        if body.is_some() {
            curl.args(["--data-binary", "@-"]);
        }
        curl.arg(format!("{}{path}", self.url()));
        curl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = curl.spawn().context("curl (Debian: curl)")?;
        if let Some(body) = body {
            let mut stdin = child.stdin.take().context("a pipe was asked for")?;
            stdin.write_all(body.to_string().as_bytes()).await?;
        }
        let output = child.wait_with_output().await?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "{method} {path}: {}{said}",
            String::from_utf8_lossy(&output.stderr)
        );
        if said.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&said).with_context(|| said.clone())
    }

    /// A fresh enrolment token.
    ///
    /// # Errors
    /// Refused.
    pub async fn token(&self) -> Result<String> {
        let issued = self.asks("POST", "/enrolment/tokens", Some(json!({"class": "laptop"}))).await?;
        Ok(issued["token"].as_str().context("no token")?.to_owned())
    }
}
