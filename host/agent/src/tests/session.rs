//! The session as its owner: one task at a time, idempotent commands, an end.

use std::fs;

use lanyard_protocol::event::EventBody;
use lanyard_protocol::id::PrincipalId;
use lanyard_protocol::limits::MAX_PROMPT_BYTES;
use lanyard_protocol::principal::Scope;
use lanyard_protocol::session::{ApprovalMode, SessionState, TaskOptions};
use lanyard_protocol::{ErrorCode, Timestamp, WireError};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::fakes::{Reply, Way, World, new_task, owner, remote, say, session_id, task_id, workspace_id};
use crate::session::{NewTask, SessionSetup, StartError};
use crate::{PolicyStop, ResumeCause, Session};

fn plain(prompt: &str) -> NewTask {
    new_task(prompt, TaskOptions::default())
}

fn named(id: &str) -> NewTask {
    NewTask { task_id: Some(task_id(id)), ..plain("go") }
}

fn code(error: &StartError) -> ErrorCode {
    WireError::from(error).code
}

#[tokio::test(start_paused = true)]
async fn one_task_at_a_time_and_the_same_id_is_the_same_task() {
    let world = World::new();
    world.model.expect(Reply::Hang);
    let session = world.session();
    let first = session.start_task(named("mine")).await.unwrap();
    assert_eq!(first.last_seq, 3, "the start of the task is on disk");
    let again = session.start_task(named("mine")).await.unwrap();
    assert_eq!(again.task_id, first.task_id);
    let busy = session.start_task(named("other")).await.unwrap_err();
    assert_eq!(busy, StartError::Busy(task_id("mine")));
    assert_eq!(code(&busy), ErrorCode::InvalidRequest);
    assert_eq!(world.names().iter().filter(|name| **name == "task_started").count(), 1);

    session.cancel_task(task_id("mine"), PrincipalId::new("owner").unwrap()).await.unwrap();
    World::rest(&session).await;
    session.start_task(named("mine")).await.unwrap();
    assert_eq!(world.model.requests().len(), 1, "a task that is over is not run again");
}

#[tokio::test(start_paused = true)]
async fn the_same_id_for_something_else_is_refused_while_the_task_runs_and_afterwards() {
    let world = World::new();
    world.router.tool("ReadFile", Way::says("x"));
    for n in 0..3 {
        world.model_calls(&[("ReadFile", json!({ "n": n }))]);
    }
    world.model.expect(Reply::Hang);
    let session = world.session();
    session.start_task(named("mine")).await.unwrap();
    let prompt = || NewTask { prompt: "something else".into(), ..named("mine") };
    let mut options = named("mine");
    options.options.max_steps += 1;
    for over in [false, true] {
        for other in [prompt(), options.clone()] {
            let refused = session.start_task(other).await.unwrap_err();
            assert_eq!(refused, StartError::OtherTask(task_id("mine")));
            assert_eq!(code(&refused), ErrorCode::InvalidRequest);
            assert!(refused.to_string().contains("mine"), "{refused}");
        }
        session.start_task(named("mine")).await.unwrap();
        if !over {
            World::until(|| world.model.requests().len() == 4).await;
            session.cancel_task(task_id("mine"), PrincipalId::new("owner").unwrap()).await.unwrap();
            World::rest(&session).await;
        }
    }
    assert_eq!(world.names().iter().filter(|name| **name == "task_started").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_next_prompt_may_come_with_the_end_event() {
    let world = World::new();
    let session = world.session();
    for n in 0..20 {
        world.model.expect(say("done"));
        session.start_task(plain("go")).await.unwrap();
        let ended = || world.journal.bodies().iter().filter(|body| body.ends_task()).count();
        World::until(|| ended() > n).await;
    }
    let names = world.names();
    assert_eq!(names.iter().filter(|name| **name == "session_started").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn prompts_and_options_are_checked() {
    let world = World::new();
    let session = world.session();
    let options =
        |max_steps, approval_mode| TaskOptions { max_steps, approval_mode, ..TaskOptions::default() };
    let ask = ApprovalMode::OnRiskyActions;
    for (task, code) in [
        (plain(" \n"), ErrorCode::InvalidRequest),
        (plain(&"x".repeat(MAX_PROMPT_BYTES + 1)), ErrorCode::InvalidRequest),
        (new_task("go", options(0, ask)), ErrorCode::InvalidRequest),
        (new_task("go", options(201, ask)), ErrorCode::InvalidRequest),
        (
            NewTask {
                initiator: remote(&[Scope::Operate, Scope::Approve]),
                ..new_task("go", options(5, ApprovalMode::Never))
            },
            ErrorCode::Unauthorized,
        ),
    ] {
        let error = session.start_task(task).await.unwrap_err();
        assert_eq!(self::code(&error), code, "{error}");
    }
    assert!(world.names().is_empty(), "nothing was recorded");
    let admin =
        NewTask { initiator: remote(&[Scope::Admin]), ..new_task("go", options(5, ApprovalMode::Never)) };
    session.start_task(admin).await.unwrap();
    World::rest(&session).await;
    let local = NewTask { initiator: owner(), ..new_task("go", options(5, ApprovalMode::Never)) };
    session.start_task(local).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_task_is_refused_when_policy_or_the_store_refuse() {
    let world = World::new();
    let session = world.session();
    world.gate([Some(PolicyStop::Expired { expired_at: Timestamp::from_millis(1) })]);
    assert_eq!(code(&session.start_task(plain("go")).await.unwrap_err()), ErrorCode::PolicyExpired);
    world.journal.fill_after(0);
    assert_eq!(code(&session.start_task(plain("go")).await.unwrap_err()), ErrorCode::StorageFull);
    assert!(world.names().is_empty());
    assert_eq!(session.status().task, None);
}

#[tokio::test(start_paused = true)]
async fn a_paused_task_blocks_the_next_one() {
    let world = World::new();
    world.gate([None, Some(PolicyStop::Expired { expired_at: Timestamp::from_millis(1) })]);
    let session = world.run("go").await;
    let refused = session.start_task(plain("another")).await.unwrap_err();
    assert!(matches!(&refused, StartError::Paused(_)), "{refused}");
    assert_eq!(code(&refused), ErrorCode::InvalidRequest);
}

#[tokio::test(start_paused = true)]
async fn an_ended_session_takes_no_more_tasks_and_ends_only_once() {
    let world = World::new();
    world.model.expect(say("one"));
    let session = world.run("one").await;
    world.model.expect(Reply::Hang);
    session.start_task(plain("two")).await.unwrap();
    session.end().await.unwrap();
    session.end().await.unwrap();
    let bodies = world.journal.bodies();
    assert!(
        matches!(&bodies[bodies.len() - 2], EventBody::TaskCancelled(cancelled) if cancelled.by.is_none())
    );
    assert!(matches!(bodies.last(), Some(EventBody::SessionCompleted(completed)) if completed.tasks == 2));
    assert_eq!(session.status().state, SessionState::SessionCompleted);
    let refused = session.start_task(plain("three")).await.unwrap_err();
    assert_eq!(code(&refused), ErrorCode::SessionExpired);
}

#[tokio::test(start_paused = true)]
async fn a_session_with_a_paused_task_can_be_ended() {
    let world = World::new();
    world.model.expect(Reply::Hang);
    world.session().start_task(plain("go")).await.unwrap();
    let next = world.after_kill();
    next.session().end().await.unwrap();
    let names = next.names();
    assert_eq!(names[names.len() - 2..], ["task_cancelled", "session_completed"]);
    assert_eq!(next.journal.mark(), None);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_task_cannot_be_cancelled_nor_an_unknown_session_opened() {
    let world = World::new();
    let error = world.session().cancel_task(task_id("no"), PrincipalId::new("o").unwrap()).await.unwrap_err();
    assert_eq!(WireError::from(&error).code, ErrorCode::TaskNotFound);
    let setup = SessionSetup {
        session_id: "ses_2".parse().unwrap(),
        workspace_id: workspace_id(),
        roots: Vec::new(),
    };
    assert_ne!(setup.session_id, session_id());
    assert!(Session::spawn(setup, world.ports(), CancellationToken::new(), &world.tracker).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_stopping_host_answers_that_it_stops() {
    let world = World::new();
    let session = world.session();
    world.shut_down().await;
    let error = WireError::from(&session.start_task(plain("go")).await.unwrap_err());
    assert!(error.retryable && error.message.contains("stopping"));
    assert!(session.resume(ResumeCause::Asked).await.is_err());
    assert!(session.end().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_owner_goes_when_every_handle_has_gone_but_not_before_its_task() {
    let world = World::new();
    world.model.expect(say("done"));
    drop({
        let session = world.session();
        session.start_task(plain("go")).await.unwrap();
        session
    });
    world.tracker.close();
    world.tracker.wait().await;
    assert_eq!(world.names().last(), Some(&"task_completed"));
}

#[tokio::test(start_paused = true)]
async fn instructions_in_force_are_shown_and_sent() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("AGENTS.md"), "Use tabs.").unwrap();
    let world = World::new();
    let session = world.session_in(root.path().to_str().unwrap());
    session.start_task(plain("go")).await.unwrap();
    World::rest(&session).await;
    let path = root.path().join("AGENTS.md").display().to_string();
    let shown = world.journal.bodies().into_iter().find_map(|body| match body {
        EventBody::TaskStarted(started) => Some(started.instructions),
        _ => None,
    });
    assert_eq!(shown, Some(vec![path.clone()]));
    let system = &world.model.requests()[0].messages[0].content;
    assert!(system.contains("Use tabs.") && system.contains(&path));
}

#[tokio::test(start_paused = true)]
async fn tasks_of_a_session_share_one_thread() {
    let world = World::new();
    world.model.expect(say("first answer"));
    let session = world.run("first").await;
    session.start_task(plain("second")).await.unwrap();
    World::rest(&session).await;
    let sent: Vec<_> =
        world.model.requests().pop().unwrap().messages.into_iter().map(|m| m.content).collect();
    assert_eq!(sent[1..], ["first", "first answer", "second"]);
}
