//! What ends a task before the model does: steps, budgets, guardrails, the network switch, a person.

use anyhow::{Context, Result};
use lanyard_protocol::ErrorCode;
use lanyard_protocol::event::EventBody;
use lanyard_protocol::method::{CancelTask, GetSessionState};
use lanyard_protocol::session::{SessionState, TaskOptions};
use lanyard_protocol::tool::ToolStatus;
use lanyard_tests::gateway::{Script, Turn, call, calls, say, shapes};
use lanyard_tests::look;
use lanyard_tests::stage::{Stage, eventually, unasked};
use serde_json::json;

#[tokio::test]
async fn a_task_that_uses_all_its_steps_is_warned_about_and_fails() -> Result<()> {
    let mut number = 0;
    let script = Script::by(move |_| {
        number += 1;
        call("FindFiles", json!({"pattern": format!("*.{number}")}))
    });
    let mut stage = Stage::with(script).await?;
    let options = TaskOptions { max_steps: 5, ..unasked() };
    stage.peer.start(&stage.session, "go on for ever", options).await?;
    let events = stage.peer.until_task_ends().await?;
    let near = events.iter().find_map(|event| match &event.body {
        EventBody::StepLimitNear(near) => Some((near.step_number, near.max_steps)),
        _ => None,
    });
    assert_eq!(near, Some((4, 5)));
    let failure = look::failure(&events).context("the task did not fail")?;
    assert_eq!(failure.code, ErrorCode::MaxStepsExceeded);
    assert_eq!((stage.gateway.requests().len(), look::count(&events, "step_started")), (5, 5));
    Ok(())
}

#[tokio::test]
async fn the_hosts_own_token_budget_stops_before_anything_is_sent() -> Result<()> {
    let mut stage = Stage::under([say("hello")], &[("LANYARD_MAX_SESSION_TOKENS", "100")]).await?;
    let events = stage.run("go").await?;
    let failure = look::failure(&events).context("the task did not fail")?;
    assert_eq!(failure.code, ErrorCode::LlmBudgetExceeded);
    assert!(failure.message.contains("100"), "{failure}");
    assert_eq!(stage.gateway.requests().len(), 0);
    Ok(())
}

#[tokio::test]
async fn budgets_and_guardrails_of_the_gateway_are_told_and_not_retried() -> Result<()> {
    for (turn, code) in [
        (shapes::budget(429), ErrorCode::LlmBudgetExceeded),
        (shapes::quota(), ErrorCode::LlmBudgetExceeded),
        (shapes::guardrail("no-secrets"), ErrorCode::LlmGuardrailBlocked),
        (shapes::guardrail_inside("no-secrets"), ErrorCode::LlmGuardrailBlocked),
        (shapes::unauthorised("test-token"), ErrorCode::LlmUnavailable),
    ] {
        let mut stage = Stage::with([turn]).await?;
        let events = stage.run("go").await?;
        let failure = look::failure(&events).context("the task did not fail")?;
        assert_eq!(failure.code, code, "{failure}");
        assert!(!failure.message.contains("test-token"), "the token is not repeated: {failure}");
        assert_eq!(stage.gateway.requests().len(), 1, "{failure}");
        assert_eq!(look::count(&events, "llm_retry"), 0);
    }
    Ok(())
}

#[tokio::test]
async fn without_the_network_nothing_is_sent_whatever_is_approved() -> Result<()> {
    // The gateway itself is the address: it is there, and it keeps what reaches it.
    let script = Script::by(|request| match request.tool_results().is_empty() {
        false => say("done"),
        true => {
            let connect =
                format!("exec 3<>/dev/tcp/{} && echo GET / >&3", request.headers["host"].replace(':', "/"));
            let run = ("RunCommand", json!({"argv": ["bash", "-c", connect]}));
            calls(&[("HttpRequest", json!({"method": "GET", "url": "https://example.com/"})), run])
        }
    });
    let mut stage = Stage::with(script).await?;
    let options = TaskOptions { allow_network: false, ..unasked() };
    stage.peer.start(&stage.session, "go", options).await?;
    let events = stage.peer.until_task_ends().await?;
    let outcomes = look::outcomes(&events);
    assert_eq!(outcomes[0], ("HttpRequest", ToolStatus::Denied, Some(ErrorCode::CapabilityDenied)));
    assert_eq!((outcomes[1].0, outcomes[1].1), ("RunCommand", ToolStatus::Failed), "{outcomes:?}");
    assert!(look::output(&events).to_lowercase().contains("permission denied"), "{}", look::output(&events));
    Ok(())
}

#[tokio::test]
async fn a_model_call_can_be_cancelled() -> Result<()> {
    let mut stage = Stage::with([Turn::stream().text("thinking about it ").stall(), say("fresh")]).await?;
    let task = stage.start("go").await?;
    stage.peer.events_until(|body| matches!(body, EventBody::TextDelta(_))).await?;
    let cancel = CancelTask { session_id: stage.session.clone(), task_id: task.task_id, command_id: None };
    stage.peer.call(cancel.clone()).await?;
    let events = stage.peer.until_task_ends().await?;
    assert_eq!(look::count(&events, "task_cancelled"), 1, "{:?}", look::names(&events));
    let state = stage.peer.call(GetSessionState { session_id: stage.session.clone() }).await?;
    assert_eq!(state.state, SessionState::SessionRunning, "idle, ready for more");
    assert_eq!(look::answer(&stage.run("again").await?), "fresh");
    let late = stage.peer.try_call(cancel).await?;
    assert_eq!(late.map(|accepted| accepted.session_id), Ok(stage.session), "a repetition is harmless");
    Ok(())
}

#[tokio::test]
async fn cancelling_a_running_program_ends_its_whole_process_tree() -> Result<()> {
    let script = "setsid sleep 1000 & sleep 1000 & echo started $! $$; wait";
    let mut stage =
        Stage::with([call("RunCommand", json!({"argv": ["sh", "-c", script]})), say("never")]).await?;
    let task = stage.peer.start(&stage.session, "go", unasked()).await?;
    let mut printed = String::new();
    while !printed.contains('\n') {
        if let EventBody::ToolOutputDelta(delta) = stage.peer.event().await?.body {
            printed.push_str(&delta.text);
        }
    }
    let pids: Vec<u32> = printed.split_whitespace().skip(1).filter_map(|pid| pid.parse().ok()).collect();
    assert_eq!(pids.len(), 2, "{printed:?}");
    assert!(pids.iter().all(|pid| runs(*pid)), "{printed:?}");
    let started = std::time::Instant::now();
    let cancel = CancelTask { session_id: stage.session.clone(), task_id: task.task_id, command_id: None };
    stage.peer.call(cancel).await?;
    let events = stage.peer.until_task_ends().await?;
    assert_eq!(look::outcomes(&events)[0].1, ToolStatus::Cancelled);
    assert!(started.elapsed().as_secs() < 30, "cancelling is bounded");
    for pid in pids {
        eventually("the programs are gone", || !runs(pid)).await?;
    }
    Ok(())
}

/// Whether one of the programs runs under this number; a dead one nobody has waited for does not.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let ours = stat.contains("(sleep)") || stat.contains("(sh)");
    ours && stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
