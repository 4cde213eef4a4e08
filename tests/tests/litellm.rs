//! LiteLLM, a gateway people really use, between the host and the scripted model: streams, tool calls, and its own
//! error bodies.
//!
//! Heavy: some 750 MB of Python packages are installed into `target/litellm` the first time (about a minute), and the
//! proxy takes ten seconds to start. Skipped, with the reason printed, only where PyPI is out of reach.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use lanyard_protocol::ErrorCode;
use lanyard_protocol::event::SessionEvent;
use lanyard_tests::gateway::{Script, ScriptedGateway, Turn, call, say, shapes};
use lanyard_tests::host::{HostOptions, TestHost};
use lanyard_tests::look;
use lanyard_tests::port::Port;
use lanyard_tests::stage::unasked;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Installing may take this long on a slow line.
const INSTALL: Duration = Duration::from_secs(600);

/// Starting takes ten seconds on an idle machine.
const START: Duration = Duration::from_secs(120);

/// Keys the proxy knows, as its own plug-in for authentication. The errors raised are LiteLLM's; it words them.
const KEYS: &str = r#"
import litellm
from fastapi import Request
from litellm.proxy._types import UserAPIKeyAuth

async def check(request: Request, api_key: str) -> UserAPIKeyAuth:
    if api_key == "sk-good":
        return UserAPIKeyAuth(api_key=api_key)
    if api_key == "sk-spent":
        raise litellm.BudgetExceededError(current_cost=1.1, max_budget=1.0)
    raise ValueError("no such key")
"#;

/// The directory of the installed packages, or why there are none.
async fn installed() -> Result<Result<PathBuf, String>> {
    let test = std::env::current_exe()?;
    let target =
        test.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists()).context("no target directory")?;
    let venv = target.join("litellm");
    // Written last: an installation that was interrupted is done again.
    let done = venv.join("complete");
    if done.exists() {
        return Ok(Ok(venv));
    }
    println!("installing LiteLLM into {}; this takes a minute or more, once", venv.display());
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))
        .await?
        .map_err(anyhow::Error::msg)
        .context("python3 -m venv (Debian: python3-venv)")?;
    let mut pip = Command::new(venv.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "litellm[proxy]", "prisma"]);
    let installed = run(&mut pip).await?;
    if let Err(why) = installed {
        // pip says this when no index answers, and other things when a package is at fault.
        let unreachable = [
            "Could not find a version",
            "NewConnectionError",
            "Temporary failure",
            "timed out",
            "ProxyError",
        ];
        ensure!(unreachable.iter().any(|word| why.contains(word)), "pip: {why}");
        return Ok(Err(format!("PyPI is out of reach: {}", why.lines().last().unwrap_or_default())));
    }
    std::fs::write(done, "")?;
    Ok(Ok(venv))
}

/// Runs a command to its end; the inner error is what it said.
async fn run(command: &mut Command) -> Result<Result<(), String>> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(INSTALL, output).await.context("it takes too long")??;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(if output.status.success() { Ok(()) } else { Err(said) })
}

/// A running proxy. Killed when dropped.
struct LiteLlm {
    url: String,
    dir: TempDir,
    process: Child,
    _port: Port,
}

impl LiteLlm {
    async fn start(venv: &Path, upstream: &ScriptedGateway) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("keys.py"), KEYS)?;
        let config = json!({
            "model_list": [{"model_name": "scripted", "litellm_params":
                {"model": "openai/scripted", "api_base": upstream.url(), "api_key": "upstream", "max_retries": 0}}],
            "router_settings": {"num_retries": 0},
            "litellm_settings": {"telemetry": false, "num_retries": 0},
            "guardrails": [{"guardrail_name": "no-forbidden", "litellm_params":
                {"guardrail": "litellm_content_filter", "mode": "pre_call", "default_on": true,
                 "blocked_words": [{"keyword": "forbidden", "action": "BLOCK"}]}}],
            "general_settings": {"custom_auth": "keys.check", "master_key": format!("sk-{}", "0123456789abcdef".repeat(3))},
        });
        // JSON is YAML.
        std::fs::write(dir.path().join("config.yaml"), config.to_string())?;
        let held = Port::reserve()?;
        let port = held.address().port();
        let log = std::fs::File::create(dir.path().join("log"))?;
        let mut command = Command::new(venv.join("bin/litellm"));
        command.args(["--config", "config.yaml", "--host", "127.0.0.1", "--port", &port.to_string()]);
        command.current_dir(dir.path()).env("HOME", dir.path()).env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        let process = command.spawn()?;
        let mut proxy = Self { url: format!("http://127.0.0.1:{port}/v1"), dir, process, _port: held };
        tokio::time::timeout(START, proxy.ready(port)).await.with_context(|| proxy.log())??;
        Ok(proxy)
    }

    async fn ready(&mut self, port: u16) -> Result<()> {
        loop {
            if tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok() {
                return Ok(());
            }
            if let Some(status) = self.process.try_wait()? {
                bail!("LiteLLM ended ({status})");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let mut end: Vec<_> = log.lines().rev().take(40).collect();
        end.reverse();
        end.join("\n")
    }

    /// One task in a host of its own that sends this key.
    async fn task(&self, key: &str, prompt: &str) -> Result<Vec<SessionEvent>> {
        let env = vec![("LANYARD_GATEWAY_TOKEN".to_owned(), key.to_owned())];
        let host =
            TestHost::with(HostOptions { gateway: Some(self.url.clone()), env, ..HostOptions::default() })
                .await?;
        let mut peer = host.connect().await?;
        let session = peer.session(&host.workspace()).await?.session_id;
        peer.start(&session, prompt, unasked()).await?;
        peer.until_task_ends().await
    }
}

#[tokio::test]
async fn litellm_streams_calls_tools_and_words_errors_the_host_understands() -> Result<()> {
    let venv = match installed().await? {
        Ok(venv) => venv,
        Err(reason) => {
            println!("skipped: {reason}");
            return Ok(());
        }
    };
    let mut number = 0;
    let script = Script::by(move |_| {
        number += 1;
        match number {
            1 => shapes::throttled("1"),
            2 => call("RunCommand", json!({"argv": ["echo", "from the tool"]})),
            3 => Turn::stream().text("half an answer that ").cut(),
            _ => say("the whole answer, word by word"),
        }
    });
    let upstream = ScriptedGateway::start(script);
    let proxy = LiteLlm::start(&venv, &upstream).await?;
    let checked = check(&proxy, &upstream).await;
    checked.with_context(|| {
        let mut text = proxy.log();
        // What it sent and got is in the log; the requests say what reached the model.
        let _ = write!(text, "\n{} requests reached the model", upstream.requests().len());
        text
    })
}

async fn check(proxy: &LiteLlm, upstream: &ScriptedGateway) -> Result<()> {
    let events = proxy.task("sk-good", "run it").await?;
    ensure!(look::answer(&events) == "the whole answer, word by word", "{:?}", look::failure(&events));
    ensure!(
        look::count(&events, "llm_retry") == 2,
        "throttled once, broken once: {:?}",
        look::names(&events)
    );
    ensure!(look::count(&events, "text_delta") > 3, "it is streamed through: {:?}", look::names(&events));
    ensure!(look::output(&events).contains("from the tool"), "{:?}", look::outcomes(&events));
    let last = upstream.requests().pop().context("no request")?;
    ensure!(last.last("tool").contains("from the tool"), "the model got the result: {:?}", last.messages());
    ensure!(last.tools().contains(&"RunCommand"), "{:?}", last.tools());

    let reached = upstream.requests().len();
    for (key, prompt, code) in [
        ("sk-unknown", "hello", ErrorCode::LlmUnavailable),
        ("sk-spent", "hello", ErrorCode::LlmBudgetExceeded),
        ("sk-good", "this is forbidden", ErrorCode::LlmGuardrailBlocked),
    ] {
        let events = proxy.task(key, prompt).await?;
        let failure = look::failure(&events).with_context(|| format!("{key} {prompt}: no failure"))?;
        ensure!(failure.code == code, "{key} {prompt}: {failure}");
        ensure!(!failure.message.contains(key), "the key is not repeated: {failure}");
        ensure!(look::count(&events, "llm_retry") == 0, "{key} {prompt} is not repeated");
    }
    ensure!(upstream.requests().len() == reached, "refused requests do not reach the model");
    Ok(())
}
