//! Tool calls: order, concurrency, and calls that cannot be made.

use anyhow::{Context, Result};
use lanyard_protocol::ErrorCode;
use lanyard_protocol::event::EventBody;
use lanyard_protocol::method::{CancelTask, GetSessionState, StartTask};
use lanyard_protocol::session::{SessionState, TaskOptions};
use lanyard_protocol::tool::ToolStatus;
use lanyard_tests::gateway::{Turn, call, calls, say};
use lanyard_tests::look;
use lanyard_tests::stage::{Stage, gapless, unasked};
use serde_json::json;

#[tokio::test]
async fn calls_of_one_answer_run_together_and_are_answered_in_order() -> Result<()> {
    let mut stage = Stage::with([
        calls(&[
            ("ReadFile", json!({"path": "a"})),
            ("WriteFile", json!({"path": "c", "content": "gamma"})),
            ("ReadFile", json!({"path": "b"})),
            ("RunCommand", json!({"argv": ["cat", "c"]})),
            ("ReadFile", json!({"path": "c"})),
        ]),
        say("done"),
    ])
    .await?;
    stage.file("a", "alpha")?;
    stage.file("b", "beta")?;
    let events = stage.run("go").await?;
    assert_eq!(look::answer(&events), "done", "{:?}", look::failure(&events));
    let requests = stage.gateway.requests();
    let results = requests[1].tool_results();
    let expected = ["alpha", "", "beta", "gamma", "gamma"];
    assert_eq!(results.len(), expected.len());
    for (result, text) in results.iter().zip(expected) {
        assert!(result.starts_with("succeeded") && result.contains(text), "{text:?}: {result}");
    }
    // A command is a barrier: the write before it is done, the read behind it has not begun.
    let order: Vec<_> =
        look::completed(&events).into_iter().map(|done| done.result.tool_name.as_str()).collect();
    assert_eq!(order[3..], ["RunCommand", "ReadFile"], "{order:?}");
    assert_eq!(gapless(&stage.history().await?, 1)?, stage.peer.last_seq(&stage.session).await?);
    Ok(())
}

#[tokio::test]
async fn a_question_holds_back_only_its_own_call() -> Result<()> {
    let mut stage = Stage::with([
        calls(&[("WriteFile", json!({"path": "b", "content": "new"})), ("ReadFile", json!({"path": "a"}))]),
        say("done"),
    ])
    .await?;
    stage.file("a", "alpha")?;
    stage.start("go").await?;
    let before = stage.peer.events_until(|body| matches!(body, EventBody::ToolCompleted(_))).await?;
    assert_eq!(look::outcomes(&before), [("ReadFile", ToolStatus::Succeeded, None)]);
    let question =
        look::questions(&before).first().copied().cloned().context("the write was not asked about")?;
    let state = stage.peer.call(GetSessionState { session_id: stage.session.clone() }).await?;
    assert_eq!(state.state, SessionState::WaitingForApproval);
    assert_eq!(state.pending_approvals.len(), 1);
    assert!(!stage.host.workspace().join("b").exists(), "nothing is written before the answer");
    stage.peer.approve(&question).await?;
    stage.peer.until_task_ends().await?;
    assert_eq!(stage.content("b")?, "new");
    let requests = stage.gateway.requests();
    let results = requests[1].tool_results();
    assert!(
        results[0].starts_with("succeeded") && results[1].contains("alpha"),
        "the model's order: {results:?}"
    );
    Ok(())
}

#[tokio::test]
async fn calls_that_cannot_be_made_are_explained_to_the_model_and_the_task_goes_on() -> Result<()> {
    let mut stage = Stage::with([
        call("Teleport", json!({"to": "mars"})),
        Turn::stream().call_in("ReadFile", &["{\"path\": ", "\"a"]).finish("tool_calls").done(),
        call("ReadFile", json!({"pth": "a"})),
        call("ReadFile", json!({"path": "nowhere"})),
        call("RunCommand", json!({"argv": ["no-such-program-here"]})),
        say("sorry"),
    ])
    .await?;
    let events = stage.run("go").await?;
    assert_eq!(look::answer(&events), "sorry", "{:?}", look::failure(&events));
    let outcomes = look::outcomes(&events);
    assert_eq!(outcomes.len(), 5, "{outcomes:?}");
    assert!(outcomes.iter().all(|(_, status, _)| *status == ToolStatus::Failed), "{outcomes:?}");
    assert_eq!(outcomes[0].2, Some(ErrorCode::ToolNotFound));
    let requests = stage.gateway.requests();
    let results = requests[5].tool_results();
    for (result, word) in results.iter().zip(["ReadFile", "JSON", "pth", "nowhere", "no-such-program-here"]) {
        assert!(result.starts_with("failed") && result.contains(word), "{word}: {result}");
    }
    Ok(())
}

#[tokio::test]
async fn a_second_task_is_refused_while_one_runs_and_the_same_task_is_the_same() -> Result<()> {
    let mut stage = Stage::with([Turn::stream().text("one moment ").stall(), say("second")]).await?;
    let task = |id: &str, prompt: &str| {
        let (session_id, prompt) = (stage.session.clone(), prompt.to_owned());
        anyhow::Ok(StartTask {
            model: None,
            attachments: Vec::new(),
            session_id,
            task_id: Some(id.parse()?),
            prompt,
            task_options: TaskOptions::default(),
        })
    };
    let (first, again, second) = (task("t-1", "first")?, task("t-1", "first")?, task("t-2", "second")?);
    let accepted = stage.peer.call(first).await?;
    stage.peer.events_until(|body| matches!(body, EventBody::TextDelta(_))).await?;
    assert_eq!(stage.peer.call(again).await?.task_id, accepted.task_id);
    let refused = stage.peer.try_call(second.clone()).await?.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidRequest, "{refused}");
    assert!(refused.message.contains("t-1"), "{refused}");
    let session_id = stage.session.clone();
    stage.peer.call(CancelTask { session_id, task_id: accepted.task_id, command_id: None }).await?;
    stage.peer.until_task_ends().await?;
    stage.peer.call(second).await?;
    assert_eq!(look::answer(&stage.peer.until_task_ends().await?), "second");
    Ok(())
}

#[tokio::test]
async fn a_program_streams_its_output_and_its_end_is_known() -> Result<()> {
    let script = "echo one; echo two >&2; exit 3";
    let mut stage =
        Stage::with([call("RunCommand", json!({"argv": ["sh", "-c", script]})), say("it failed")]).await?;
    stage.peer.start(&stage.session, "go", unasked()).await?;
    let events = stage.peer.until_task_ends().await?;
    assert!(look::count(&events, "tool_output_delta") > 0);
    let completed = look::completed(&events);
    assert_eq!((completed[0].result.status, completed[0].exit_code), (ToolStatus::Failed, Some(3)));
    let output = look::output(&events);
    assert!(output.contains("one") && output.contains("two"), "{output}");
    Ok(())
}
