//! An approved program must not reach what would let it approve itself: tried from RunCommand in a real host, as
//! whoever runs the tests and, when that is root, once more as an ordinary user.
//!
//! Every attempt is made twice by the same program: outside it succeeds, inside it is refused.
#![cfg(target_os = "linux")]

use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use lanyard_protocol::event::EventBody;
use lanyard_protocol::method::{Health, ListApprovals};
use lanyard_protocol::policy::SandboxLevel;
use lanyard_protocol::session::TaskOptions;
use lanyard_protocol::tool::ToolStatus;
use lanyard_tests::executable;
use lanyard_tests::gateway::{Script, call, calls, say};
use lanyard_tests::host::binary;
use lanyard_tests::look;
use lanyard_tests::stage::Stage;
use serde_json::{Value, json};

/// Names the probe where it is not beside the tests: for the second run as another user.
const PROBE: &str = "LANYARD_PROBE";

/// The user that owns nothing.
const NOBODY: u32 = 65534;

fn probe() -> PathBuf {
    std::env::var_os(PROBE).map_or_else(|| env!("CARGO_BIN_EXE_lanyard-probe").into(), PathBuf::from)
}

/// A host whose model runs what the prompt says: arguments of RunCommand as JSON.
async fn cage() -> Result<Stage> {
    let script =
        Script::by(|request| match request.messages().last().is_some_and(|last| last["role"] == "tool") {
            true => say("done"),
            false => call("RunCommand", serde_json::from_str(request.last("user")).unwrap_or_default()),
        });
    let stage = Stage::with(script).await?;
    executable::copy(&probe(), &stage.host.workspace().join("probe"))?;
    Ok(stage)
}

/// Runs a command in the host, approved by its owner; returns what it printed.
async fn inside(stage: &mut Stage, arguments: Value, allow_network: bool) -> Result<String> {
    let options = TaskOptions { allow_network, ..TaskOptions::default() };
    stage.peer.start(&stage.session, &arguments.to_string(), options).await?;
    let question = stage.peer.question().await?;
    stage.peer.approve(&question).await?;
    let events = stage.peer.until_task_ends().await?;
    let completed = look::completed(&events).into_iter().next().context("no call ended")?;
    ensure!(completed.sandbox_level == SandboxLevel::Full, "{completed:?}");
    Ok(completed.result.output_text.clone().unwrap_or_default())
}

/// One attempt of the probe, in the host.
async fn tries(stage: &mut Stage, what: &str, on: &str) -> Result<String> {
    inside(stage, json!({"argv": ["./probe"], "stdin": format!("{what}\n{on}\n")}), true).await
}

/// The same attempt without any host: the positive control.
fn outside(what: &str, on: &str) -> Result<String> {
    let mut child = Command::new(probe()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().context("no stdin")?.write_all(format!("{what}\n{on}\n").as_bytes())?;
    Ok(String::from_utf8_lossy(&child.wait_with_output()?.stdout).trim_end().to_owned())
}

/// Whether the kernel refused: EPERM or EACCES. Anything else would be a fault of the attempt.
fn is_refusal(output: &str) -> bool {
    output.starts_with("refused 1 ") || output.starts_with("refused 13 ")
}

#[tokio::test]
async fn what_would_make_approval_void_is_out_of_reach() -> Result<()> {
    let mut stage = cage().await?;
    let work = stage.host.workspace();
    let (stream, datagram) = (work.join("agent.sock"), work.join("datagram.sock"));
    let _stream = UnixListener::bind(&stream)?;
    let _datagram = UnixDatagram::bind(&datagram)?;
    let socket = stage.host.socket()?;
    let state = stage.host.state_dir();
    let host = stage.host.pid()?.to_string();
    let text = |path: &Path| path.display().to_string();
    let store = std::fs::read_dir(state.join("store"))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.is_file())
        .context("no store file")?;
    let attempts = [
        ("connect", text(&socket)),
        ("connect", text(&stream)),
        ("send", text(&datagram)),
        ("list", text(socket.parent().context("no directory")?)),
        ("read", text(&state.join("server.json"))),
        ("read", text(&state.join("config.toml"))),
        ("list", text(&state)),
        ("list", text(&state.join("store"))),
        ("append", text(&store)),
        ("create", text(&state.join("planted"))),
        ("signal", host.clone()),
        ("test-signal", host.clone()),
        ("memory", host.clone()),
        ("environment", host.clone()),
        ("descriptor", host),
    ];
    for (what, on) in attempts {
        let refused = tries(&mut stage, what, &on).await?;
        assert!(is_refusal(&refused), "{what} {on} inside: {refused}");
        let control = outside(what, &on)?;
        // Yama may forbid tracing strangers to everybody; there the attempt proves nothing and says so.
        if what == "memory" && is_refusal(&control) {
            println!("no control for {what}: this kernel forbids it to this user anyway");
            continue;
        }
        assert!(control.starts_with("ok"), "{what} {on} outside: {control}");
    }
    assert!(tries(&mut stage, "list", &text(&work)).await?.starts_with("ok"), "the workspace itself is open");
    Ok(())
}

#[tokio::test]
async fn the_network_is_there_when_allowed_and_only_then() -> Result<()> {
    let mut stage = cage().await?;
    let (tcp, udp) = (TcpListener::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    for (what, on) in [("tcp", tcp.local_addr()?), ("udp", udp.local_addr()?)] {
        let arguments = json!({"argv": ["./probe"], "stdin": format!("{what}\n{on}\n")});
        let refused = inside(&mut stage, arguments.clone(), false).await?;
        assert!(is_refusal(&refused), "{what} {on}: {refused}");
        let control = inside(&mut stage, arguments, true).await?;
        assert!(control.starts_with("ok"), "{what} {on}: {control}");
    }
    Ok(())
}

/// The attack itself: the product's own command line, run by the agent, while a question waits.
#[tokio::test]
async fn an_agent_cannot_approve_itself() -> Result<()> {
    let attack = "for try in 1 2 3; do ./lanyard approvals --json; done; echo code $?";
    let script = Script::by(move |request| {
        match request.messages().last().is_some_and(|last| last["role"] == "tool") {
            true => say("done"),
            false => calls(&[
                ("RunCommand", json!({"argv": ["sh", "attack.sh"]})),
                ("WriteFile", json!({"path": "loot", "content": "x"})),
            ]),
        }
    });
    let mut stage = Stage::with(script).await?;
    let (work, state) = (stage.host.workspace(), stage.host.state_dir());
    executable::copy(&binary()?, &work.join("lanyard"))?;
    let attack = format!("export LANYARD_STATE_DIR='{}'\n{attack}\n", state.display());
    stage.file("attack.sh", &attack)?;
    stage.start("go").await?;
    let first = stage.peer.question().await?;
    let second = stage.peer.question().await?;
    let (run, write) = if first.tool_name == "RunCommand" { (first, second) } else { (second, first) };
    stage.peer.approve(&run).await?;
    let events = stage.peer.events_until(|body| matches!(body, EventBody::ToolCompleted(_))).await?;
    let output = look::output(&events).to_owned();
    assert!(output.contains("code 5"), "the host is unreachable: {output}");
    assert!(!output.contains(write.approval_id.as_str()), "{output}");
    let waiting = ListApprovals { session_id: None, include_settled: false, limit: None };
    let waiting = stage.peer.call(waiting).await?.approvals;
    assert_eq!(waiting.len(), 1, "the question still waits for a person");
    // The control: the same script, by the owner.
    let control = Command::new("sh").arg("attack.sh").current_dir(&work).output()?;
    let control = String::from_utf8_lossy(&control.stdout).into_owned();
    assert!(control.contains("code 0") && control.contains(write.approval_id.as_str()), "{control}");
    stage.peer.approve(&write).await?;
    stage.peer.until_task_ends().await?;
    Ok(())
}

#[tokio::test]
async fn policy_refuses_the_hosts_own_files_by_name_too() -> Result<()> {
    let script = Script::by(|request| match request.tool_results().is_empty() {
        true => {
            let prompt: Value = serde_json::from_str(request.last("user")).unwrap_or_default();
            let state = prompt["state"].as_str().unwrap_or_default().to_owned();
            calls(&[
                ("ReadFile", json!({"path": format!("{state}/server.json")})),
                ("WriteFile", json!({"path": format!("{state}/config.toml"), "content": "x"})),
                ("ListDirectory", json!({"path": state})),
                ("RunCommand", json!({"argv": ["cat", format!("{state}/server.json")]})),
            ])
        }
        false => say("done"),
    });
    let mut stage = Stage::with(script).await?;
    let state = stage.host.state_dir();
    let events = stage.run(&json!({"state": state}).to_string()).await?;
    let outcomes = look::outcomes(&events);
    assert_eq!(outcomes.len(), 4);
    assert!(outcomes.iter().all(|(_, status, _)| *status == ToolStatus::Denied), "{outcomes:?}");
    Ok(())
}

#[tokio::test]
async fn the_level_of_confinement_is_told() -> Result<()> {
    let stage = cage().await?;
    let report = stage.host.connect().await?.call(Health {}).await?;
    assert_eq!(report.sandbox_level, SandboxLevel::Full);
    Ok(())
}

#[test]
fn everything_holds_for_an_ordinary_user() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: the tests above ran as an ordinary user already");
        return Ok(());
    }
    // Where the binaries lie may be closed to others.
    let directory = tempfile::tempdir()?;
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755))?;
    let give = |from: PathBuf, name: &str| {
        let to = directory.path().join(name);
        executable::copy(&from, &to).map(|()| to)
    };
    let suite = give(std::env::current_exe()?, "suite")?;
    let (lanyard, probe) = (give(binary()?, "lanyard")?, give(probe(), "probe")?);
    let output = Command::new("setpriv")
        .args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".into()])
        .arg(suite)
        .args(["--skip", "everything_holds_for_an_ordinary_user", "--test-threads=2"])
        .env_clear()
        .envs([("PATH", "/usr/local/bin:/usr/bin:/bin"), ("HOME", "/nonexistent")])
        .envs([("LANYARD_BIN", lanyard), (PROBE, probe)])
        .current_dir("/")
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            println!("skipped: setpriv (util-linux) cannot be run: {error}");
            return Ok(());
        }
    };
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
