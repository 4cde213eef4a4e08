//! Approvals: who answers, how long an answer counts, and what it covers.

use anyhow::{Context, Result};
use lanyard_protocol::ErrorCode;
use lanyard_protocol::approval::{ApprovalDetail, ApprovalState, Decision};
use lanyard_protocol::event::{EventBody, PolicyVerdict, SessionEvent};
use lanyard_protocol::method::{ListApprovals, ListRules, RevokeRule};
use lanyard_protocol::policy::Remember;
use lanyard_protocol::session::{ApprovalMode, TaskOptions};
use lanyard_protocol::tool::ToolStatus;
use lanyard_tests::gateway::{Script, call, calls, say};
use lanyard_tests::look;
use lanyard_tests::stage::Stage;
use serde_json::json;

/// Asks for one call a task, again and again.
fn every_task_asks_for(tool: &'static str, arguments: serde_json::Value) -> Script {
    Script::by(move |request| match request.messages().last().map(|message| message["role"] == "tool") {
        Some(true) => say("done"),
        _ => call(tool, arguments.clone()),
    })
}

fn by_rule(events: &[SessionEvent]) -> bool {
    events
        .iter()
        .any(|event| matches!(&event.body, EventBody::ApprovalResolved(resolved) if resolved.by_rule))
}

#[tokio::test]
async fn the_first_answer_wins_and_everybody_is_told() -> Result<()> {
    let mut stage =
        Stage::with(every_task_asks_for("WriteFile", json!({"path": "a", "content": "new\n"}))).await?;
    stage.file("a", "old\n")?;
    let mut phone = stage.follower(0).await?;
    stage.start("go").await?;
    let question = stage.peer.question().await?;
    let seen = phone.question().await?;
    assert_eq!(seen, question, "both are asked the same");
    let ApprovalDetail::FileChange(change) = &question.detail else { panic!("{:?}", question.detail) };
    assert!(change.diff.contains("-old") && change.diff.contains("+new"), "{}", change.diff);
    let first = phone.approve(&seen).await?;
    assert!(first.counted && first.decision == Decision::Approved);
    let second =
        stage.peer.answer(&stage.session, &question.approval_id, Decision::Denied, Remember::Once).await?;
    assert!(!second.counted, "{second:?}");
    assert_eq!((second.decision, second.decided_by), (Decision::Approved, first.decided_by));
    let events = stage.peer.until_task_ends().await?;
    assert_eq!(look::count(&events, "approval_resolved"), 1);
    assert_eq!(stage.content("a")?, "new\n");
    assert_eq!(look::count(&phone.until_task_ends().await?, "approval_resolved"), 1);
    Ok(())
}

#[tokio::test]
async fn a_denied_call_does_not_run_and_the_model_hears_the_reason() -> Result<()> {
    let mut stage =
        Stage::with(every_task_asks_for("RunCommand", json!({"argv": ["touch", "made"]}))).await?;
    stage.start("go").await?;
    let question = stage.peer.question().await?;
    let ApprovalDetail::Command(command) = &question.detail else { panic!("{:?}", question.detail) };
    assert_eq!(command.argv, [["touch", "made"]]);
    stage
        .peer
        .call(lanyard_protocol::method::ApproveAction {
            session_id: stage.session.clone(),
            approval_id: question.approval_id,
            decision: Decision::Denied,
            remember: Remember::Once,
            reason: Some("not on a Friday".into()),
            command_id: None,
        })
        .await?;
    let events = stage.peer.until_task_ends().await?;
    assert_eq!(
        look::outcomes(&events),
        [("RunCommand", ToolStatus::Denied, Some(ErrorCode::ApprovalDenied))]
    );
    let told = stage.gateway.requests()[1].last("tool").to_owned();
    assert!(told.starts_with("denied") && told.contains("not on a Friday"), "{told}");
    assert!(!stage.host.workspace().join("made").exists());
    Ok(())
}

#[tokio::test]
async fn a_question_nobody_answers_counts_as_denied() -> Result<()> {
    let script = every_task_asks_for("WriteFile", json!({"path": "a", "content": "x"}));
    let mut stage = Stage::under(script, &[("LANYARD_APPROVAL_SECONDS", "5")]).await?;
    stage.start("go").await?;
    let events = stage.peer.until_task_ends().await?;
    assert_eq!(look::count(&events, "approval_expired"), 1);
    assert_eq!(look::outcomes(&events), [("WriteFile", ToolStatus::Denied, Some(ErrorCode::ApprovalDenied))]);
    assert!(!stage.host.workspace().join("a").exists());
    let all = ListApprovals { session_id: None, include_settled: true, limit: None };
    let settled = stage.peer.call(all).await?.approvals;
    assert_eq!(settled[0].state, ApprovalState::Expired);
    let late = stage.peer.approve(&settled[0].request).await;
    assert!(late.is_err() || late.is_ok_and(|outcome| !outcome.counted), "a late answer does not count");
    Ok(())
}

#[tokio::test]
async fn never_asks_nobody_and_says_whose_decision_it_was() -> Result<()> {
    let mut stage = Stage::with([
        calls(&[
            ("WriteFile", json!({"path": "a", "content": "x"})),
            ("RunCommand", json!({"argv": ["rm", "a"]})),
            ("ReadFile", json!({"path": "/etc/shadow"})),
        ]),
        say("done"),
    ])
    .await?;
    let events = stage.run("go").await?;
    assert_eq!(look::count(&events, "approval_requested"), 0);
    let outcomes = look::outcomes(&events);
    assert!(outcomes.contains(&("WriteFile", ToolStatus::Succeeded, None)), "{outcomes:?}");
    assert!(outcomes.contains(&("RunCommand", ToolStatus::Succeeded, None)), "{outcomes:?}");
    // Nobody is asked, so what policy denies stays denied.
    assert!(
        outcomes.contains(&("ReadFile", ToolStatus::Denied, Some(ErrorCode::CapabilityDenied))),
        "{outcomes:?}"
    );
    let reasons: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::PolicyDecided(decided) if decided.verdict == PolicyVerdict::Allowed => {
                Some(&decided.reason)
            }
            _ => None,
        })
        .collect();
    assert!(reasons.iter().all(|reason| reason.contains("owner")) && !reasons.is_empty(), "{reasons:?}");
    Ok(())
}

#[tokio::test]
async fn always_asks_about_every_change_and_about_nothing_else() -> Result<()> {
    let mut stage = Stage::with([
        calls(&[("ReadFile", json!({"path": "a"})), ("WriteFile", json!({"path": "a", "content": "y"}))]),
        say("done"),
    ])
    .await?;
    stage.file("a", "x")?;
    let options = TaskOptions { approval_mode: ApprovalMode::Always, ..TaskOptions::default() };
    stage.peer.start(&stage.session, "go", options).await?;
    let question = stage.peer.question().await?;
    assert_eq!(question.tool_name, "WriteFile");
    stage.peer.approve(&question).await?;
    let events = stage.peer.until_task_ends().await?;
    assert_eq!(look::count(&events, "approval_requested"), 0, "one question in all");
    assert_eq!(stage.content("a")?, "y");
    Ok(())
}

#[tokio::test]
async fn an_answer_for_the_session_covers_the_same_call_only() -> Result<()> {
    let mut number = 0;
    let script = Script::by(move |request| {
        if request.messages().last().is_some_and(|message| message["role"] == "tool") {
            return say("done");
        }
        number += 1;
        let name = if number == 3 { "other" } else { "same" };
        call("RunCommand", json!({"argv": ["cat", name]}))
    });
    let mut stage = Stage::with(script).await?;
    stage.file("same", "s")?;
    stage.file("other", "o")?;
    stage.start("first").await?;
    let question = stage.peer.question().await?;
    stage.peer.answer(&stage.session, &question.approval_id, Decision::Approved, Remember::Session).await?;
    stage.peer.until_task_ends().await?;
    stage.start("the same again").await?;
    let events = stage.peer.until_task_ends().await?;
    assert!(by_rule(&events) && look::outcomes(&events)[0].1 == ToolStatus::Succeeded, "{events:?}");
    stage.start("another one").await?;
    let question = stage.peer.question().await?;
    assert!(question.action_summary.contains("other"), "{}", question.action_summary);
    stage.peer.answer(&stage.session, &question.approval_id, Decision::Denied, Remember::Once).await?;
    stage.peer.until_task_ends().await?;
    let rules = stage.peer.call(ListRules {}).await?.rules;
    assert_eq!(rules.len(), 1);
    stage.peer.call(RevokeRule { rule_id: rules[0].rule_id.clone() }).await?;
    stage.start("the first again").await?;
    let question = stage.peer.question().await?;
    assert!(question.action_summary.contains("same"), "a revoked rule answers nothing");
    Ok(())
}

#[tokio::test]
async fn an_answer_for_always_holds_in_later_sessions_until_a_named_file_differs() -> Result<()> {
    let mut stage = Stage::with(every_task_asks_for("RunCommand", json!({"argv": ["cat", "named"]}))).await?;
    stage.file("named", "one\n")?;
    stage.start("first").await?;
    let question = stage.peer.question().await?;
    stage.peer.answer(&stage.session, &question.approval_id, Decision::Approved, Remember::Always).await?;
    stage.peer.until_task_ends().await?;
    stage.host.kill().await?;
    stage.host.boot().await?;
    let mut peer = stage.host.connect().await?;
    let session = peer.session(&stage.host.workspace()).await?.session_id;
    peer.start(&session, "again", TaskOptions::default()).await?;
    let events = peer.until_task_ends().await?;
    assert!(by_rule(&events), "{:?}", look::names(&events));
    assert_eq!(look::outcomes(&events)[0].1, ToolStatus::Succeeded);
    let rule = peer.call(ListRules {}).await?.rules.into_iter().next().context("no rule")?;
    assert!(rule.scope_text.contains("named"), "{}", rule.scope_text);
    stage.file("named", "two\n")?;
    peer.start(&session, "once more", TaskOptions::default()).await?;
    let question = peer.question().await?;
    assert!(question.action_summary.contains("named"), "another file is another question");
    Ok(())
}

#[tokio::test]
async fn an_approval_does_not_outlive_what_it_was_given_for() -> Result<()> {
    let mut stage = Stage::with(every_task_asks_for("RunCommand", json!({"argv": ["sh", "run.sh"]}))).await?;
    stage.file("run.sh", "echo harmless > out\n")?;
    stage.start("go").await?;
    let question = stage.peer.question().await?;
    stage.file("run.sh", "echo harmful > out\n")?;
    stage.peer.approve(&question).await?;
    let events = stage.peer.until_task_ends().await?;
    assert_ne!(look::outcomes(&events)[0].1, ToolStatus::Succeeded);
    let told = stage.gateway.requests()[1].last("tool").to_owned();
    assert!(told.contains("run.sh"), "the model hears which file changed: {told}");
    assert!(!stage.host.workspace().join("out").exists(), "a script changed after the answer does not run");
    Ok(())
}
