//! Pairing from end to end, with real `lanyard` processes on loopback: the ways in, what people are told when it does not
//! work, the life of a paired device, and SIGKILL at every step.
#![cfg(target_os = "linux")]

mod crash;
mod first;
mod life;
mod relay;
mod words;

use anyhow::{Context, Result, ensure};
use lanyard_tests::gateway::{Script, ScriptedGateway, errands};
use lanyard_tests::machine::{Machine, Way};
use lanyard_tests::newcomer::Ended;
use serde_json::Value;

/// A host that runs, and a device that knows it not yet.
struct Pair {
    host: Machine,
    device: Machine,
    _gateway: ScriptedGateway,
}

impl Pair {
    async fn strangers() -> Result<Self> {
        let gateway = ScriptedGateway::start(Script::by(errands::script));
        let (mut host, device) = (Machine::here("studio")?, Machine::here("laptop")?);
        host.behind(&gateway.url());
        host.host_up().await?;
        Ok(Self { host, device, _gateway: gateway })
    }

    /// Paired by the link.
    async fn friends() -> Result<Self> {
        let pair = Self::strangers().await?;
        pair.device.pairs_with(&pair.host, Way::Link).await?;
        Ok(pair)
    }

    /// By the typed code.
    fn by_code(&self) -> Result<Way> {
        Ok(Way::Address(self.host.loopback()?))
    }

    /// What the device is called on the host, and what the host knows of it.
    async fn row(&self) -> Result<Value> {
        let shown = self.host.asks(&["devices", "list"]).await?;
        let rows = shown["devices"].as_array().context("no list")?;
        ensure!(rows.len() == 1, "{shown}");
        Ok(rows[0].clone())
    }

    /// `lanyard run` on the device, on the host.
    fn runs(&self, prompt: &str) -> Result<lanyard_tests::machine::Program> {
        let workspace = self.host.workspace();
        let workspace = workspace.to_str().context("the path of a workspace")?;
        self.device.follows(&[
            "run",
            prompt,
            "--host",
            "studio",
            "--workspace",
            workspace,
            "--approve",
            "always",
        ])
    }

    /// Joins with these words, which must come to nothing, and returns how.
    async fn fails_to_join(&self, words: &[String]) -> Result<Ended> {
        let mut words: Vec<_> = words.iter().map(String::as_str).collect();
        words.push("--json");
        let ended = self.device.types(&words).await?;
        ensure!(ended.code != Some(0), "{ended:?}");
        let said: Value = serde_json::from_str(&ended.out).with_context(|| format!("{ended:?}"))?;
        ensure!(said["event"] == "failed", "{said}");
        let message = said["message"].as_str().context("no message")?;
        ensure!(ended.err.contains(message), "a person is told the same as a script: {ended:?}");
        let known = self.device.asks(&["hosts", "list", "--offline"]).await?;
        ensure!(known["waiting"] == Value::Array(Vec::new()), "{known}");
        Ok(ended)
    }
}
