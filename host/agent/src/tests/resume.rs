//! Tasks taken up again: after `kill -9`, after an orderly stop, after too many crashes.

use std::sync::Arc;

use lanyard_ports::journal::CallPhase;
use lanyard_protocol::event::EventBody;
use lanyard_protocol::id::PrincipalId;
use lanyard_protocol::message::Role;
use lanyard_protocol::session::{SessionState, TaskOptions, TaskState};
use serde_json::json;
use tokio::sync::Semaphore;

use super::fakes::{Act, Reply, Way, World, new_task, pairs_are_whole, say};
use crate::session::Resumed;
use crate::{ResumeCause, Session};

async fn start(world: &World) -> Session {
    let session = world.session();
    session.start_task(new_task("go", TaskOptions::default())).await.unwrap();
    session
}

fn count(world: &World, name: &str) -> usize {
    world.names().iter().filter(|one| **one == name).count()
}

#[tokio::test(start_paused = true)]
async fn an_acknowledged_task_survives_a_kill_at_once() {
    let world = World::new();
    let accepted = start(&world).await.status();
    let next = world.after_kill();
    next.model.expect(say("done after all"));
    next.resume(ResumeCause::HostStarted).await;
    assert_eq!(
        next.names(),
        [
            "session_started",
            "task_started",
            "step_started",
            "session_resumed",
            "llm_request_started",
            "llm_request_completed",
            "step_completed",
            "task_completed"
        ]
    );
    let task = next.journal.record().summary.last_task.unwrap();
    assert_eq!((task.state, Some(task.task_id)), (TaskState::Completed, accepted.task.map(|t| t.task_id)));
}

#[tokio::test(start_paused = true)]
async fn a_kill_while_the_model_answers_asks_it_again() {
    let world = World::new();
    world.router.tool("ReadFile", Way::says("x"));
    world.model_calls(&[("ReadFile", json!({}))]);
    world.model.expect(Reply::Hang);
    start(&world).await;
    World::until(|| world.model.requests().len() == 2).await;
    let next = world.after_kill();
    next.router.tool("ReadFile", Way::says("x"));
    next.resume(ResumeCause::HostStarted).await;
    assert_eq!(next.names().last(), Some(&"task_completed"));
    assert_eq!(count(&next, "tool_completed"), 1);
    assert_eq!(next.router.log(), ["prepare ReadFile"], "the recorded result is told, nothing runs twice");
    assert!(pairs_are_whole(&next.journal.thread()));
}

#[tokio::test(start_paused = true)]
async fn a_kill_while_a_tool_runs_prepares_its_calls_again() {
    let world = World::new();
    let hold = Arc::new(Semaphore::new(0));
    world.router.tool("Quick", Way::says("q"));
    world.router.tool("Slow", Way::read(Act::SayAfter(hold, "never".into())));
    world.model_calls(&[("Quick", json!({})), ("Slow", json!({}))]);
    start(&world).await;
    World::until(|| world.router.log().contains(&"end Quick".into())).await;
    let next = world.after_kill();
    next.router.tool("Quick", Way::says("must not run again"));
    next.router.tool("Slow", Way::says("s"));
    next.resume(ResumeCause::HostStarted).await;
    assert_eq!(next.router.log(), ["prepare Quick", "prepare Slow", "start Slow", "end Slow"]);
    let thread = next.journal.thread();
    let results: Vec<_> =
        thread.iter().filter(|m| m.role == Role::Tool).map(|m| m.content.as_str()).collect();
    assert_eq!(results, ["succeeded\nq", "succeeded\ns"]);
    assert_eq!(next.journal.record().summary.last_task.unwrap().steps, 2);
    assert!(next.journal.call_records().iter().all(|call| call.phase == CallPhase::Reported));
}

#[tokio::test(start_paused = true)]
async fn three_resumes_without_progress_then_a_person_decides() {
    let mut world = World::new();
    world.model.expect(Reply::Hang);
    start(&world).await;
    for crash in 1..=3 {
        world = world.after_kill();
        world.model.expect(Reply::Hang);
        let session = world.session();
        let resumed = session.resume(ResumeCause::HostStarted).await.unwrap();
        assert!(matches!(resumed, Resumed::Running(_)), "crash {crash}");
        assert_eq!(world.journal.mark().unwrap().resumes, crash, "on disk before the model is asked");
    }
    let world = world.after_kill();
    let session = world.session();
    let resumed = session.resume(ResumeCause::HostStarted).await.unwrap();
    assert!(matches!(resumed, Resumed::StaysPaused { reason } if reason.contains("stopped 4 times")));
    assert_eq!(world.names().last(), Some(&"session_paused"));
    assert_eq!(world.journal.record().summary.state, SessionState::SessionPaused);

    let world = world.after_kill();
    let session = world.session();
    let resumed = session.resume(ResumeCause::HostStarted).await.unwrap();
    assert!(matches!(resumed, Resumed::StaysPaused { .. }), "and it is not said again at every start");
    assert_eq!(count(&world, "session_paused"), 1);

    world.model.expect(say("done"));
    session.resume(ResumeCause::Asked).await.unwrap();
    World::rest(&session).await;
    assert_eq!(world.names().last(), Some(&"task_completed"));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_stops_in_order_leaves_the_task_paused_and_questions_pending() {
    let world = World::new();
    let person = Arc::new(Semaphore::new(0));
    world.router.tool("Running", Way::read(Act::UntilStopped));
    world.router.tool("Asking", Way { asks: Some(person), ..Way::says("later") });
    world.model_calls(&[("Running", json!({})), ("Asking", json!({}))]);
    start(&world).await;
    World::until(|| world.router.log().contains(&"start Running".into())).await;
    world.shut_down().await;
    assert!(!world.router.log().contains(&"withdraw Asking".into()), "the question still stands");
    assert!(world.router.log().contains(&"end Running".into()), "no process outlives the host");
    assert_eq!(world.names().last(), Some(&"session_paused"));
    assert_eq!(count(&world, "task_cancelled"), 0);

    let next = world.after_kill();
    let person = Arc::new(Semaphore::new(1));
    next.router.tool("Asking", Way { asks: Some(person), ..Way::says("later") });
    next.resume(ResumeCause::HostStarted).await;
    assert_eq!(next.journal.record().summary.last_task.unwrap().state, TaskState::Completed);
    let thread = next.journal.thread();
    let results: Vec<_> = thread.iter().filter(|m| m.role == Role::Tool).map(|m| m.content.clone()).collect();
    assert!(results[0].starts_with("cancelled"), "{results:?}");
    assert_eq!(results[1], "succeeded\nlater");
}

#[tokio::test(start_paused = true)]
async fn an_orderly_stop_does_not_count_as_a_crash() {
    let mut world = World::new();
    world.model.expect(Reply::Hang);
    start(&world).await;
    for _ in 0..6 {
        World::until(|| world.model.in_flight() == 1).await;
        world.shut_down().await;
        world = world.after_kill();
        world.model.expect(Reply::Hang);
        let session = world.session();
        let resumed = session.resume(ResumeCause::HostStarted).await.unwrap();
        assert!(matches!(resumed, Resumed::Running(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_task_can_be_cancelled_and_its_question_is_withdrawn() {
    let world = World::new();
    let person = Arc::new(Semaphore::new(0));
    let asking = Way { asks: Some(person), ..Way::says("never") };
    world.router.tool("Asking", asking.clone());
    world.router.tool("Held", Way { lane: lanyard_ports::router::Lane::Barrier, ..Way::says("never") });
    world.model_calls(&[("Asking", json!({})), ("Held", json!({}))]);
    let session = start(&world).await;
    World::until(|| session.status().state == SessionState::WaitingForApproval).await;
    world.shut_down().await;

    let next = world.after_kill();
    next.router.tool("Asking", asking);
    let session = next.session();
    let task = session.status().task.unwrap().task_id;
    session.cancel_task(task.clone(), PrincipalId::new("owner").unwrap()).await.unwrap();
    World::until(|| session.status().task.is_none()).await;
    assert!(next.router.log().contains(&"withdraw Asking".into()));
    assert!(!next.router.log().iter().any(|line| line.starts_with("start")));
    assert!(matches!(next.journal.bodies().last(), Some(EventBody::TaskCancelled(_))));
    assert!(pairs_are_whole(&next.journal.thread()));
    assert_eq!(next.journal.mark(), None);
    session.cancel_task(task, PrincipalId::new("owner").unwrap()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn cancelling_a_task_that_was_killed_announces_no_call_any_more() {
    let world = World::new();
    let asking = Way { asks: Some(Arc::new(Semaphore::new(0))), ..Way::says("never") };
    world.router.tool("Asking", asking.clone());
    world.router.tool("Later", Way::says("never"));
    world.model_calls(&[("Asking", json!({})), ("Later", json!({}))]);
    start(&world).await;
    // The question is on disk; the call after it is not.
    World::until(|| world.router.log().contains(&"prepare Later".into())).await;

    let next = world.after_kill();
    next.router.tool("Asking", asking);
    next.router.tool("Later", Way::says("never"));
    let session = next.session();
    let task = session.status().task.unwrap().task_id;
    session.cancel_task(task, PrincipalId::new("owner").unwrap()).await.unwrap();
    World::until(|| session.status().task.is_none()).await;
    assert_eq!(next.router.log(), ["prepare Asking", "withdraw Asking"]);
    assert!(pairs_are_whole(&next.journal.thread()));
    assert_eq!((count(&next, "tool_requested"), count(&next, "tool_completed")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn with_nothing_under_way_there_is_nothing_to_resume() {
    let world = World::new();
    assert_eq!(world.session().resume(ResumeCause::HostStarted).await.unwrap(), Resumed::Nothing);
}
