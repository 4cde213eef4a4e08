//! A real `lanyard-central`, on any of its stores, and those who use it.
//!
//! Processes are killed when dropped, and can be killed and started again with what they left. Nothing here depends on
//! the services' code: what is known of them is the API.

mod admin;
mod agent;
pub mod chain;
mod front;
mod haproxy;
mod install;
pub mod newcomers;
pub mod pile;
mod program;
mod provider;
mod proxy;
#[cfg(target_os = "linux")]
mod remote;
mod s3;
pub mod team;
mod world;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lanyard_governance_foundation::testing::Server;
use tempfile::TempDir;

use crate::host::PATIENCE;
use crate::port::Port;

pub use admin::{Admin, Refused};
pub use agent::{TestAgent, heartbeat, machine, nonce, request};
pub use front::Front;
pub use haproxy::HaProxy;
pub use install::{npm, python, unreachable};
pub use program::{Replica, binary};
pub use provider::{Provider, Wanderer};
pub use proxy::{RoundRobin, announcement};
#[cfg(target_os = "linux")]
pub use remote::Remote;
pub use s3::S3;
pub use world::{World, approval, session_request};

/// Where records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Records {
    /// The embedded SQLite file.
    Sqlite,
    /// A PostgreSQL server.
    Postgres,
}

/// An installation: one or more processes over the same stores.
#[derive(Debug)]
pub struct Installation {
    dir: TempDir,
    /// A server of its own, where it may be killed; else the one of the test process.
    postgres: Option<Server>,
    database_url: Option<String>,
    env: Vec<(String, String)>,
    flags: Vec<String>,
    replicas: Vec<Replica>,
    /// Of processes that may be killed and started again at the same address.
    ports: Vec<Port>,
}

impl Installation {
    /// One process, started.
    ///
    /// # Errors
    /// It does not start; with its log.
    pub async fn start(records: Records) -> Result<Self> {
        let mut made = Self::prepare(records)?;
        made.add().await?;
        Ok(made)
    }

    /// Directories and database, and no process yet.
    ///
    /// # Errors
    /// They cannot be made.
    pub fn prepare(records: Records) -> Result<Self> {
        cryptography();
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let dir = tempfile::Builder::new().prefix("lanyard-central-").tempdir()?;
        let database_url = match records {
            Records::Sqlite => None,
            Records::Postgres => {
                let name = format!("central_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
                Some(Server::shared().create_database(&name))
            }
        };
        let (env, flags, replicas, ports) = Default::default();
        Ok(Self { dir, postgres: None, database_url, env, flags, replicas, ports })
    }

    /// With a PostgreSQL server that is its own: [`Installation::kill_database`].
    ///
    /// # Errors
    /// The directories cannot be made.
    pub fn prepare_with_own_postgres() -> Result<Self> {
        cryptography();
        let server = Server::start();
        let url = server.create_database("central");
        let dir = tempfile::Builder::new().prefix("lanyard-central-").tempdir()?;
        let (env, flags, replicas, ports) = Default::default();
        Ok(Self { dir, postgres: Some(server), database_url: Some(url), env, flags, replicas, ports })
    }

    /// Sets a variable for processes started from here on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Adds an argument for processes started from here on.
    pub fn flag(&mut self, words: &[&str]) {
        self.flags.extend(words.iter().map(|word| (*word).to_owned()));
    }

    /// Starts one more process over the same stores; waits until it is ready. Returns its position.
    ///
    /// # Errors
    /// It does not start; with its log.
    pub async fn add(&mut self) -> Result<usize> {
        self.add_at(Port::reserve()?).await
    }

    /// The same, at an address that is known before.
    ///
    /// # Errors
    /// As [`Installation::add`].
    pub async fn add_at(&mut self, port: Port) -> Result<usize> {
        let number = self.replicas.len();
        let log = self.dir.path().join(format!("central-{number}.log"));
        let mut replica = Replica::new(self.state_dir(), log, port.address().to_string());
        self.ports.push(port);
        replica.start(&self.environment(), &self.flags).await?;
        self.replicas.push(replica);
        Ok(number)
    }

    fn environment(&self) -> Vec<(String, String)> {
        let mut env = self.env.clone();
        if let Some(url) = &self.database_url {
            env.push(("DATABASE_URL".to_owned(), url.clone()));
        }
        env
    }

    /// Where the keys lie.
    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// A directory for the test's own things.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The database, where it is not the embedded one.
    pub fn database_url(&self) -> Option<&str> {
        self.database_url.as_deref()
    }

    /// Where a process is reached.
    pub fn url(&self, replica: usize) -> String {
        self.replicas[replica].url()
    }

    /// A process.
    pub fn replica(&self, replica: usize) -> &Replica {
        &self.replicas[replica]
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// It has ended already.
    pub async fn kill(&mut self, replica: usize) -> Result<()> {
        self.replicas[replica].kill().await
    }

    /// Starts a killed process again at the same address.
    ///
    /// # Errors
    /// It does not start; with its log.
    pub async fn revive(&mut self, replica: usize) -> Result<()> {
        let (env, flags) = (self.environment(), self.flags.clone());
        self.replicas[replica].start(&env, &flags).await
    }

    /// SIGKILL to the database, and its start.
    ///
    /// # Errors
    /// It has no server of its own.
    pub fn kill_database(&mut self) -> Result<()> {
        let server = self.postgres.as_mut().context("this installation has no PostgreSQL of its own")?;
        server.kill_and_restart();
        Ok(())
    }

    /// A sign-in of the operator, by a link as `lanyard-central sign-in-link` prints it.
    ///
    /// # Errors
    /// The link is not made or not taken.
    pub async fn operator(&self) -> Result<Admin> {
        let link = self.sign_in_link().await?;
        Admin::by_link(&self.url(0), &link).await
    }

    /// The token of a fresh link.
    ///
    /// # Errors
    /// The command fails.
    pub async fn sign_in_link(&self) -> Result<String> {
        let mut command = tokio::process::Command::new(binary()?);
        command.arg("sign-in-link").arg("--state-dir").arg(self.state_dir());
        command.args(["--public-url", &self.url(0)]).envs(self.environment());
        let output = command.output().await?;
        let (said, errors) =
            (String::from_utf8(output.stdout)?, String::from_utf8_lossy(&output.stderr).into_owned());
        ensure!(output.status.success(), "sign-in-link: {errors}");
        let link = said.lines().find(|line| line.contains("#/sign-in/")).context("no link is printed")?;
        let token = link.rsplit('/').next().unwrap_or_default().trim();
        Ok(token.to_owned())
    }
}

/// What every HTTP client of this process needs, whichever test makes the first.
fn cryptography() {
    // Only fails when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Waits until something is so.
///
/// # Errors
/// It is not so for [`PATIENCE`]; the last that was seen.
pub async fn until<T, F>(what: &str, mut look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let end = Instant::now() + PATIENCE;
    loop {
        let seen = look().await;
        match seen {
            Ok(Some(found)) => return Ok(found),
            Ok(None) if Instant::now() < end => {}
            Err(_) if Instant::now() < end => {}
            Ok(None) => anyhow::bail!("{what}: not within {PATIENCE:?}"),
            Err(error) => return Err(error.context(format!("{what}: not within {PATIENCE:?}"))),
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}
