//! The real HAProxy with the configuration that is shipped, before replicas on loopback.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::host::PATIENCE;
use crate::port::Port;

/// Debian puts it where only root's PATH looks.
const PROGRAM: &str = "/usr/sbin/haproxy";

/// See the module. Killed when dropped.
#[derive(Debug)]
pub struct HaProxy {
    address: SocketAddr,
    _child: Child,
    _port: Port,
}

impl HaProxy {
    /// The configuration that is shipped.
    pub fn shipped() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../installers/central/haproxy.cfg")
    }

    /// Has HAProxy itself check a configuration.
    ///
    /// # Errors
    /// What it does not like about it.
    pub async fn check(file: &Path) -> Result<()> {
        let checked = Command::new(PROGRAM).arg("-c").arg("-f").arg(file).output().await;
        let checked = checked.context("haproxy (Debian: haproxy)")?;
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        ensure!(checked.status.success() && !said.contains("[WARNING]"), "{}: {said}", file.display());
        Ok(())
    }

    /// Starts it before these replicas, with what is shipped but for the addresses and TLS, which loopback has not.
    ///
    /// # Errors
    /// It does not start.
    pub async fn before(replicas: &[SocketAddr], dir: &Path) -> Result<Self> {
        let port = Port::reserve()?;
        let address = port.address();
        let mut text = String::new();
        for line in std::fs::read_to_string(Self::shipped())?.lines() {
            let line = match line.trim() {
                "bind :8787" => format!("    bind {address}"),
                servers if servers.starts_with("server-template ") => {
                    ensure!(servers.contains(" send-proxy-v2 "), "{servers}");
                    let one = |(number, replica): (usize, &SocketAddr)| {
                        format!("    server central{number} {replica} check send-proxy-v2\n")
                    };
                    replicas.iter().enumerate().map(one).collect()
                }
                _ => line.to_owned(),
            };
            text.push_str(&line);
            text.push('\n');
        }
        let file = dir.join("haproxy.cfg");
        std::fs::write(&file, text)?;
        Self::check(&file).await?;
        let mut command = Command::new(PROGRAM);
        command.arg("-db").arg("-f").arg(&file).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(Stdio::null()).kill_on_drop(true).spawn()?;
        let (proxy, until) = (Self { address, _child: child, _port: port }, Instant::now() + PATIENCE);
        while TcpStream::connect(address).await.is_err() {
            ensure!(Instant::now() < until, "haproxy does not start");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Ok(proxy)
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}
