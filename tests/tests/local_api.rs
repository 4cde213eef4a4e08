//! The local socket as a hostile or clumsy client sees it: every bad line has one standard answer and harms nobody.

use anyhow::Result;
use lanyard_protocol::error::ErrorCode;
use lanyard_protocol::limits::MAX_FRAME_BYTES;
use lanyard_protocol::method::{
    CreateSession, GetHistory, GetSessionState, Health, ListSessions, StartTask, Subscribe,
};
use lanyard_protocol::session::{ApprovalMode, TaskOptions, WorkspaceHint};
use lanyard_tests::host::TestHost;
use serde_json::{Value, json};

#[tokio::test]
async fn every_bad_line_gets_its_standard_error_and_the_connection_lives_on() -> Result<()> {
    let host = TestHost::start().await?;
    let mut peer = host.connect().await?;
    let cases: &[(&str, i64)] = &[
        ("{", -32_700),
        ("not json", -32_700),
        ("\u{0}", -32_700),
        ("[]", -32_600),
        ("[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"Health\"}]", -32_600),
        ("\"Health\"", -32_600),
        ("{\"id\":1,\"method\":\"Health\"}", -32_600),
        ("{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"Health\"}", -32_600),
        ("{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"Health\"}", -32_600),
        ("{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"Health\"}", -32_600),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}", -32_600),
        ("{\"jsonrpc\":\"2.0\",\"id\":1}", -32_600),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"health\"}", -32_601),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"Reboot\"}", -32_601),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"Health\",\"params\":[]}", -32_602),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"Health\",\"params\":{\"x\":1}}", -32_602),
        (
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"StartTask\",\"params\":{\"sessionId\":7,\"prompt\":\"x\"}}",
            -32_602,
        ),
        (
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"StartTask\",\"params\":{\"sessionId\":\"../x\",\"prompt\":\"x\"}}",
            -32_602,
        ),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"StartTask\"}", -32_602),
    ];
    for (line, number) in cases {
        peer.send_line(line).await?;
        let reply = peer.line().await?;
        assert_eq!(reply["error"]["code"], *number, "{line} -> {reply}");
        assert_eq!(reply["jsonrpc"], "2.0");
        assert!(reply["error"]["message"].as_str().is_some_and(|m| m.len() > 10), "{reply}");
    }
    let deep = "[".repeat(100_000);
    peer.send_line(&deep).await?;
    assert_eq!(peer.line().await?["error"]["code"], -32_700, "deep nesting is a parse error, not a crash");
    peer.call(Health {}).await?;
    Ok(())
}

#[tokio::test]
async fn a_huge_line_is_refused_without_being_kept_and_the_next_request_is_served() -> Result<()> {
    let host = TestHost::start().await?;
    let mut peer = host.connect().await?;
    let huge = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{}\"}}", "x".repeat(8 * MAX_FRAME_BYTES));
    peer.send_line(&huge).await?;
    let reply = peer.line().await?;
    assert_eq!(reply["error"]["code"], -32_600, "{reply}");
    assert_eq!(reply["id"], Value::Null);
    peer.call(Health {}).await?;
    Ok(())
}

#[tokio::test]
async fn a_thousand_requests_in_flight_are_all_answered_and_others_are_served_meanwhile() -> Result<()> {
    let host = TestHost::start().await?;
    let mut busy = host.connect().await?;
    let mut other = host.connect().await?;
    let lines: String = (0..1000)
        .map(|id| {
            json!({ "jsonrpc": "2.0", "id": id, "method": "ListSessions", "params": {} }).to_string() + "\n"
        })
        .collect();
    busy.send_line(lines.trim_end()).await?;
    other.call(ListSessions::default()).await?;
    let mut answered = std::collections::BTreeSet::new();
    for _ in 0..1000 {
        let reply = busy.line().await?;
        assert!(reply.get("result").is_some(), "{reply}");
        answered.insert(reply["id"].as_i64());
    }
    assert_eq!(answered.len(), 1000, "each request is answered once");
    Ok(())
}

#[tokio::test]
async fn a_peer_that_never_reads_hurts_nobody() -> Result<()> {
    let host = TestHost::start().await?;
    let mut deaf = host.connect().await?;
    let mut other = host.connect().await?;
    let line = json!({ "jsonrpc": "2.0", "id": 1, "method": "Health", "params": {} }).to_string() + "\n";
    // Far more answers than pipe, outbox and in-flight bound hold together; sending must stall, not the host.
    let flood = async {
        for _ in 0..200 {
            deaf.send_line(line.repeat(100).trim_end()).await?;
        }
        anyhow::Ok(())
    };
    let stalled = tokio::time::timeout(std::time::Duration::from_secs(2), flood).await;
    for _ in 0..20 {
        other.call(Health {}).await?;
    }
    drop(stalled);
    Ok(())
}

#[tokio::test]
async fn things_that_are_not_there_are_named() -> Result<()> {
    let host = TestHost::start().await?;
    let mut peer = host.connect().await?;
    let missing: lanyard_protocol::id::SessionId = "sess_missing".parse()?;
    let error = peer.try_call(GetSessionState { session_id: missing.clone() }).await?.unwrap_err();
    assert_eq!(error.code, ErrorCode::SessionNotFound);
    assert!(error.message.contains("sess_missing"), "{error}");
    let task = StartTask {
        model: None,
        attachments: Vec::new(),
        session_id: missing.clone(),
        task_id: None,
        prompt: "x".into(),
        task_options: TaskOptions::default(),
    };
    assert_eq!(peer.try_call(task).await?.unwrap_err().code, ErrorCode::SessionNotFound);
    let error = peer.try_call(Subscribe { session_id: missing, after_seq: 0 }).await?.unwrap_err();
    assert_eq!(error.code, ErrorCode::SessionNotFound);
    Ok(())
}

#[tokio::test]
async fn values_out_of_range_are_refused_with_the_range() -> Result<()> {
    let host = TestHost::start().await?;
    let mut peer = host.connect().await?;
    let session = peer.session(&host.workspace()).await?.session_id;
    let steps = TaskOptions { max_steps: 201, ..TaskOptions::default() };
    let task = |prompt: &str, task_options: TaskOptions| StartTask {
        model: None,
        attachments: Vec::new(),
        session_id: session.clone(),
        task_id: None,
        prompt: prompt.to_owned(),
        task_options,
    };
    let error = peer.try_call(task("x", steps)).await?.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidRequest);
    assert!(error.message.contains("200"), "{error}");
    let error = peer.try_call(task("  \n", TaskOptions::default())).await?.unwrap_err();
    assert!(error.message.contains("prompt"), "{error}");
    let both = GetHistory {
        session_id: session.clone(),
        after_seq: Some(1),
        before_seq: Some(2),
        limit: None,
        query: None,
    };
    assert_eq!(peer.try_call(both).await?.unwrap_err().code, ErrorCode::InvalidRequest);
    let beyond = Subscribe { session_id: session.clone(), after_seq: 1_000 };
    assert_eq!(peer.try_call(beyond).await?.unwrap_err().code, ErrorCode::CursorExpired);
    // The owner at the machine may switch approvals off; the request is accepted.
    let never = TaskOptions { approval_mode: ApprovalMode::Never, ..TaskOptions::default() };
    peer.call(task("what can you do?", never)).await?;
    Ok(())
}

#[tokio::test]
async fn workspaces_must_exist_and_must_not_be_the_hosts_own() -> Result<()> {
    let host = TestHost::start().await?;
    let mut peer = host.connect().await?;
    for (path, word) in [
        ("relative/path".to_owned(), "absolute"),
        (host.dir().join("nowhere").display().to_string(), "does not exist"),
        (host.state_dir().display().to_string(), "belongs to the host"),
        (host.state_dir().join("store").display().to_string(), "belongs to the host"),
    ] {
        let error = peer.session(path.as_ref()).await.unwrap_err().to_string();
        assert!(error.contains(word), "{path}: {error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_repeated_command_has_one_effect_and_one_answer_even_when_raced() -> Result<()> {
    let host = TestHost::start().await?;
    let create = |path: &std::path::Path| CreateSession {
        workspace_hint: WorkspaceHint { local_paths: vec![path.display().to_string()], workspace_id: None },
        command_id: Some("the-same".parse().unwrap()),
        ..CreateSession::default()
    };
    let mut racing = Vec::new();
    for _ in 0..8 {
        let (mut peer, params) = (host.connect().await?, create(&host.workspace()));
        racing.push(tokio::spawn(async move { peer.call(params).await }));
    }
    let mut ids = std::collections::BTreeSet::new();
    for answer in racing {
        ids.insert(answer.await??.session_id);
    }
    assert_eq!(ids.len(), 1, "{ids:?}");
    let mut peer = host.connect().await?;
    assert_eq!(peer.call(ListSessions::default()).await?.sessions.len(), 1);
    let other = peer.try_call(create(host.dir())).await?.unwrap_err();
    assert_eq!(other.code, ErrorCode::InvalidRequest, "the same key for something else is a mistake");
    Ok(())
}

#[tokio::test]
async fn a_notification_is_carried_out_and_never_answered() -> Result<()> {
    let host = TestHost::start().await?;
    let mut peer = host.connect().await?;
    for line in [
        json!({ "jsonrpc": "2.0", "method": "Reboot" }),
        json!({ "jsonrpc": "2.0", "method": "Health", "params": { "x": 1 } }),
        json!({ "jsonrpc": "2.0", "method": "Health" }),
    ] {
        peer.send_line(&line.to_string()).await?;
    }
    peer.send_line(&json!({ "jsonrpc": "2.0", "id": "last", "method": "ListRules" }).to_string()).await?;
    assert_eq!(peer.line().await?["id"], "last");
    Ok(())
}
