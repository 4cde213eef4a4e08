//! The newcomer's flow: the commands of the README with the built-in demo model, and what scripts rely on.

use anyhow::{Context, Result};
use lanyard_protocol::event::EventBody;
use lanyard_protocol::method::{GetSessionState, Health, ListSessions, SubscribeHost};
use lanyard_protocol::session::SessionState;
use lanyard_tests::gateway::{ScriptedGateway, call, say, shapes};
use lanyard_tests::host::HostOptions;
use lanyard_tests::look;
use lanyard_tests::newcomer::{Newcomer, Signal, line_with, runs};
use lanyard_tests::stage::gapless;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn the_first_command_starts_a_host_that_stays() -> Result<()> {
    let me = Newcomer::new()?;
    me.file("README.md", "# Hello\n")?;
    let first = me.types(&["run", "list the files"]).await?;
    assert_eq!(first.code, Some(0), "{first:?}");
    assert!(first.out.contains("README.md") && first.out.contains("demo model, no AI"), "{first:?}");
    let pid = me.host_pid()?;
    assert!(runs(pid), "the host outlives the command");
    let second = me.types(&["run", "read README.md"]).await?;
    assert!(second.out.contains("# Hello"), "{second:?}");
    assert_eq!(me.host_pid()?, pid, "the second command uses the same host");
    me.types(&["stop"]).await?.ok()?;
    lanyard_tests::stage::eventually("the host has stopped", || !runs(pid)).await?;
    assert!(
        !me.home().state_dir().join("server.json").exists(),
        "a host that stopped in order is not announced"
    );
    assert_eq!(me.types(&["sessions"]).await?.code, Some(5));
    Ok(())
}

#[tokio::test]
async fn commands_that_start_at_the_same_moment_share_one_host() -> Result<()> {
    let me = Newcomer::new()?;
    let commands: Vec<_> = (0..4).map(|_| me.start(&["run", "list the files"])).collect::<Result<_>>()?;
    for command in commands {
        command.end().await?.ok()?;
    }
    let sessions = me.connect().await?.call(ListSessions::default()).await?.sessions;
    assert_eq!(sessions.len(), 4, "one host knows all four");
    Ok(())
}

#[tokio::test]
async fn a_change_is_approved_in_a_second_terminal_with_the_diff_in_view() -> Result<()> {
    let me = Newcomer::new()?;
    me.file("notes.txt", "old\n")?;
    let mut run = me.start(&["run", "write 'new words' to notes.txt"])?;
    let mut said = run.error_lines()?;
    let line = line_with(&mut said, "lanyard approve").await?;
    let id = line.split_whitespace().last().context("no id")?.to_owned();
    let listed = me.types(&["approvals"]).await?.ok()?;
    assert!(listed.contains("notes.txt"), "{listed}");
    let shown = me.types(&["approvals", &id]).await?.ok()?;
    assert!(shown.contains("-old") && shown.contains("+new words"), "{shown}");
    assert_eq!(me.content("notes.txt")?, "old\n", "nothing changed before the answer");
    me.types(&["approve", &id]).await?.ok()?;
    let ended = run.end().await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(me.content("notes.txt")?, "new words\n");
    let again = me.types(&["deny", &id]).await?;
    assert_eq!(again.code, Some(1), "the first answer counts: {again:?}");
    let session = me.types(&["sessions", "--json"]).await?.json()?["sessions"][0]["sessionId"].clone();
    let diff = me.types(&["diff", session.as_str().context("no session")?]).await?.ok()?;
    assert!(diff.contains("notes.txt") && diff.contains("-old") && diff.contains("+new words"), "{diff}");
    Ok(())
}

#[tokio::test]
async fn exit_codes_say_how_a_task_ended() -> Result<()> {
    let me = Newcomer::new()?;
    let always = me.types(&["run", "write 'x' to a.txt then run `cat a.txt`", "--approve", "always"]).await?;
    assert_eq!(always.code, Some(0), "{always:?}");
    assert_eq!(me.content("a.txt")?, "x\n");
    let never = me.types(&["run", "write 'y' to a.txt", "--approve", "never"]).await?;
    assert_eq!(never.code, Some(3), "{never:?}");
    assert_eq!(me.content("a.txt")?, "x\n");
    for usage in [
        &["run"][..],
        &["run", ""],
        &["run", "x", "--approve", "maybe"],
        &["run", "x", "--workspace", "/nowhere"],
        &["run", "x", "--max-steps", "201"],
        &["sessions", "show"],
        &["fly"],
    ] {
        let ended = me.types(usage).await?;
        assert_eq!(ended.code, Some(2), "{usage:?}: {ended:?}");
        assert!(!ended.err.is_empty(), "{usage:?} says what is wrong");
    }
    Ok(())
}

#[tokio::test]
async fn a_failed_task_and_a_missing_host_have_codes_of_their_own() -> Result<()> {
    let gateway = ScriptedGateway::start([shapes::unknown_model("scripted")]);
    let me = Newcomer::with(HostOptions { gateway: Some(gateway.url()), ..HostOptions::default() })?;
    for words in [&["sessions"][..], &["approvals"], &["health"], &["cancel", "s"]] {
        assert_eq!(me.types(words).await?.code, Some(5), "{words:?}");
    }
    assert_eq!(me.types(&["stop"]).await?.code, Some(0), "that none runs is what was asked for");
    let failed = me.types(&["run", "anything"]).await?;
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(failed.out.contains("Invalid model name"), "the gateway's words are shown: {failed:?}");
    Ok(())
}

#[tokio::test]
async fn a_task_is_cancelled_from_elsewhere_or_with_ctrl_c() -> Result<()> {
    let me = Newcomer::new()?;
    for from_elsewhere in [true, false] {
        let mut run = me.start(&["run", "run `sleep 1000`", "--approve", "always", "--json"])?;
        let mut lines = run.lines()?;
        let line = line_with(&mut lines, "approval_resolved").await?;
        let event: Value = serde_json::from_str(&line)?;
        if from_elsewhere {
            me.types(&["cancel", event["sessionId"].as_str().context("no session")?]).await?.ok()?;
        } else {
            run.signal(Signal::INT)?;
        }
        line_with(&mut lines, "task_cancelled").await?;
        assert_eq!(run.end().await?.code, Some(4), "from elsewhere: {from_elsewhere}");
    }
    Ok(())
}

#[tokio::test]
async fn json_output_is_the_events_one_a_line_without_gaps() -> Result<()> {
    let me = Newcomer::new()?;
    me.file("a.txt", "alpha\n")?;
    let ended = me.types(&["run", "read a.txt", "--json"]).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let events = ended.events()?;
    let first = events.iter().find_map(|event| event.seq).context("no numbered event")?;
    gapless(&events, first)?;
    assert!(first <= 2, "nothing of the task is missing: {first}");
    assert!(events.last().is_some_and(|event| matches!(event.body, EventBody::TaskCompleted(_))));
    assert!(look::output(&events).contains("alpha"));
    Ok(())
}

#[tokio::test]
async fn sessions_are_listed_shown_searched_and_deleted() -> Result<()> {
    let me = Newcomer::new()?;
    me.file("a.txt", "alpha\n")?;
    me.types(&["run", "read a.txt"]).await?.ok()?;
    me.types(&["run", "list the files"]).await?.ok()?;
    let listed = me.types(&["sessions", "--json"]).await?.json()?;
    let rows = listed["sessions"].as_array().context("no rows")?;
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["name"], "list the files", "last changed first: {listed}");
    let id = rows[1]["sessionId"].as_str().context("no id")?;
    let shown = me.types(&["sessions", "show", id, "--events"]).await?.ok()?;
    assert!(shown.contains("read a.txt") && shown.contains("alpha"), "{shown}");
    let found = me.types(&["sessions", "search", "READ A"]).await?.ok()?;
    assert!(found.contains("read a.txt") && !found.contains("list the files"), "{found}");
    me.types(&["sessions", "delete", id]).await?.ok()?;
    let left = me.types(&["sessions"]).await?.ok()?;
    assert!(!left.contains("read a.txt") && left.contains("list the files"), "{left}");
    assert_eq!(me.types(&["sessions", "show", id]).await?.code, Some(1));
    Ok(())
}

#[tokio::test]
async fn a_session_goes_on_with_what_was_said() -> Result<()> {
    let gateway = ScriptedGateway::start([say("I keep that in mind."), say("Blue.")]);
    let me = Newcomer::with(HostOptions { gateway: Some(gateway.url()), ..HostOptions::default() })?;
    let first = me.types(&["run", "my favourite colour is blue", "--json"]).await?;
    let session = first.events()?[0].session_id.to_string();
    let second = me.types(&["run", "--session", &session, "which one is it?"]).await?;
    assert!(second.out.contains("Blue."), "{second:?}");
    let thread = gateway.requests()[1].body["messages"].to_string();
    assert!(thread.contains("favourite colour") && thread.contains("keep that in mind"), "{thread}");
    Ok(())
}

#[tokio::test]
async fn kill_dash_nine_in_the_middle_loses_nothing() -> Result<()> {
    let gateway = ScriptedGateway::start([
        call("WriteFile", json!({"path": "a.txt", "content": "one\n"})),
        call("WriteFile", json!({"path": "b.txt", "content": "two\n"})),
        say("both are written"),
    ]);
    let me = Newcomer::with(HostOptions { gateway: Some(gateway.url()), ..HostOptions::default() })?;
    let mut run = me.start(&["run", "write both"])?;
    let mut said = run.error_lines()?;
    let first = line_with(&mut said, "lanyard approve").await?;
    me.types(&["approve", first.split_whitespace().last().unwrap_or_default()]).await?.ok()?;
    let second = line_with(&mut said, "lanyard approve").await?;
    me.kill_host().await?;
    let waits = me.types(&["approvals"]).await?;
    assert_eq!(waits.code, Some(5), "no host: {waits:?}");
    let mut up = me.start(&["up"])?;
    line_with(&mut up.lines()?, "ready").await?;
    // The question survived with its id, and whoever followed is back by himself.
    me.types(&["approve", second.split_whitespace().last().unwrap_or_default()]).await?.ok()?;
    let ended = run.end().await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("both are written"), "{ended:?}");
    assert_eq!((me.content("a.txt")?, me.content("b.txt")?), ("one\n".to_owned(), "two\n".to_owned()));
    assert_eq!(gateway.requests().len(), 3, "the model is not asked twice");
    up.signal(Signal::TERM)?;
    assert_eq!(up.end().await?.code, Some(0), "a host that is asked to stop stops in order");
    Ok(())
}

#[tokio::test]
async fn an_interrupted_task_waits_to_be_resumed_where_that_is_wanted() -> Result<()> {
    let gateway = ScriptedGateway::start([
        call("WriteFile", json!({"path": "a.txt", "content": "one\n"})),
        say("written"),
    ]);
    let config = "[host]\nresume = \"ask\"\n".to_owned();
    let me = Newcomer::with(HostOptions { gateway: Some(gateway.url()), config, ..HostOptions::default() })?;
    let mut run = me.start(&["run", "write it", "--json"])?;
    let line = line_with(&mut run.lines()?, "approval_requested").await?;
    let event: Value = serde_json::from_str(&line)?;
    let session = event["sessionId"].as_str().context("no session")?;
    run.child().kill().await?;
    me.kill_host().await?;
    let mut up = me.start(&["up"])?;
    line_with(&mut up.lines()?, "ready").await?;
    // The host can be reached before it has looked at everything it left.
    let mut peer = me.connect().await?;
    peer.call(SubscribeHost { after_host_seq: Some(0) }).await?;
    let look = GetSessionState { session_id: session.parse()? };
    while peer.call(look.clone()).await?.state != SessionState::SessionPaused {
        peer.line().await?;
    }
    let resumed = me.types(&["resume", session, "--approve", "always"]).await?;
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    assert_eq!(me.content("a.txt")?, "one\n");
    Ok(())
}

#[tokio::test]
async fn rpc_is_the_socket_byte_for_byte_and_starts_a_host() -> Result<()> {
    let me = Newcomer::new()?;
    let input = concat!(
        "not json\n",
        "{\"jsonrpc\":\"2.0\",\"id\":\"ü \\u00fc\",\"method\":\"ListSessions\",\"params\":{}}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"Nothing\"}\n",
        "\n",
        "{ \"jsonrpc\" : \"2.0\", \"id\" : 2, \"method\" : \"ListRules\" }\r\n",
        "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"ListApprovals\",\"params\":{\"limit\":-1}}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"Shutdown\",\"params\":{}}",
    );
    let mut rpc = me.start(&["rpc", "--state-dir", &me.home().state_dir().display().to_string()])?;
    let mut stdin = rpc.child().stdin.take().context("no stdin")?;
    stdin.write_all(input.as_bytes()).await?;
    drop(stdin);
    let pumped = rpc.end().await?;
    assert_eq!(pumped.code, Some(0), "{pumped:?}");
    assert!(runs(me.host_pid()?), "the host outlives it");
    let mut direct = tokio::net::UnixStream::connect(me.home().socket()?).await?;
    direct.write_all(input.as_bytes()).await?;
    direct.shutdown().await?;
    let mut answers = String::new();
    direct.read_to_string(&mut answers).await?;
    // Answers may overtake each other; each is the same to the byte.
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&pumped.out), sorted(&answers));
    assert_eq!(
        answers.lines().count(),
        5,
        "a last line without its end is a cut one, not a request: {answers}"
    );
    assert!(runs(me.host_pid()?));
    Ok(())
}

#[tokio::test]
async fn doctor_health_and_completions_help() -> Result<()> {
    let me = Newcomer::new()?;
    let before = me.types(&["doctor"]).await?;
    assert!(before.out.contains("lanyard up"), "it says how to start one: {before:?}");
    me.types(&["run", "list the files"]).await?.ok()?;
    let health = me.types(&["health", "--json"]).await?.json()?;
    assert_eq!(health["model"]["demo"], true, "{health}");
    let report = me.connect().await?.call(Health {}).await?;
    assert!(report.checks.iter().any(|check| check.name == "sandbox"), "{report:?}");
    let after = me.types(&["doctor", "--json"]).await?.json()?;
    assert!(
        after.as_array().is_some_and(|checks| checks.iter().any(|check| check["name"] == "model")),
        "{after}"
    );
    for shell in ["bash", "zsh", "fish"] {
        let script = me.types(&["completions", shell]).await?.ok()?;
        assert!(script.contains("lanyard") && script.contains("approvals"), "{shell}");
    }
    Ok(())
}

#[tokio::test]
async fn the_guided_tour_runs_whole() -> Result<()> {
    let me = Newcomer::new()?;
    me.file("README.md", "# Project\n\nWords.\n")?;
    let tour = me.types(&["run", "tour", "--approve", "always"]).await?;
    assert_eq!(tour.code, Some(0), "{tour:?}");
    assert!(me.content("lanyard-tour.txt").is_ok(), "{tour:?}");
    Ok(())
}
