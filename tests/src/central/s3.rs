//! A real S3 API on loopback: moto.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::process::{Child, Command};

use super::Installation;
use crate::host::PATIENCE;
use crate::port::Port;

/// A server with a bucket. Killed when dropped.
#[derive(Debug)]
pub struct S3 {
    endpoint: String,
    _child: Child,
    _port: Port,
}

impl S3 {
    /// Starts it from a Python environment that has `moto[server]`.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(venv: &Path) -> Result<Self> {
        super::cryptography();
        let held = Port::reserve()?;
        let port = held.address().port();
        let mut command = Command::new(venv.join("bin/moto_server"));
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let server =
            Self { endpoint: format!("http://127.0.0.1:{port}"), _child: command.spawn()?, _port: held };
        let (http, until) = (reqwest::Client::new(), Instant::now() + PATIENCE);
        loop {
            let made = http.put(format!("{}/lanyard", server.endpoint)).send().await;
            if made.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(server);
            }
            ensure!(Instant::now() < until, "moto does not start");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Has an installation keep its artifacts here.
    pub fn serve(&self, central: &mut Installation) {
        let url =
            format!("s3://lanyard/artifacts?endpoint={}&region=us-east-1&allow_http=true", self.endpoint);
        central.set("ARTIFACT_STORE_URL", &url);
        central.set("AWS_ACCESS_KEY_ID", "test");
        central.set("AWS_SECRET_ACCESS_KEY", "test");
    }

    /// Keys of the objects that are kept.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn keys(&self) -> Result<Vec<String>> {
        let text = reqwest::get(format!("{}/lanyard?list-type=2", self.endpoint)).await?.text().await?;
        Ok(text.split("<Key>").skip(1).filter_map(|part| part.split('<').next()).map(str::to_owned).collect())
    }
}
