//! The calls of a step: side by side, in order, held back, cancelled.

use std::sync::Arc;

use lanyard_ports::journal::CallPhase;
use lanyard_ports::router::Lane;
use lanyard_protocol::event::EventBody;
use lanyard_protocol::id::PrincipalId;
use lanyard_protocol::message::Role;
use lanyard_protocol::session::{SessionState, TaskOptions};
use lanyard_protocol::tool::ToolStatus;
use proptest::prelude::*;
use serde_json::json;
use tokio::sync::Semaphore;

use super::cases;
use super::fakes::{Act, Reply, Way, World, new_task, pairs_are_whole};
use crate::Session;

fn gate() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(0))
}

fn after(gate: &Arc<Semaphore>, text: &str) -> Act {
    Act::SayAfter(gate.clone(), text.into())
}

async fn start(world: &World, prompt: &str) -> Session {
    let session = world.session();
    session.start_task(new_task(prompt, TaskOptions::default())).await.unwrap();
    session
}

fn by() -> PrincipalId {
    PrincipalId::new("phone").unwrap()
}

async fn cancel(session: &Session) {
    let task = session.status().task.unwrap().task_id;
    session.cancel_task(task, by()).await.unwrap();
}

fn result_lines(world: &World) -> Vec<String> {
    let tools = world.journal.thread().into_iter().filter(|message| message.role == Role::Tool);
    tools.map(|message| message.content).collect()
}

fn statuses(world: &World) -> Vec<ToolStatus> {
    let completed = world.journal.bodies().into_iter().filter_map(|body| match body {
        EventBody::ToolCompleted(completed) => Some(completed.result.status),
        _ => None,
    });
    completed.collect()
}

#[tokio::test(start_paused = true)]
async fn results_stand_in_the_models_order_whatever_order_they_came_in() {
    let world = World::new();
    let slow = gate();
    world.router.tool("Slow", Way::read(after(&slow, "first")));
    world.router.tool("Fast", Way::says("second"));
    world.model_calls(&[("Slow", json!({})), ("Fast", json!({}))]);
    let session = start(&world, "go").await;
    World::until(|| world.router.log().contains(&"end Fast".into())).await;
    slow.add_permits(1);
    World::rest(&session).await;
    assert_eq!(
        world.router.log(),
        ["prepare Slow", "prepare Fast", "start Slow", "start Fast", "end Fast", "end Slow"]
    );
    assert_eq!(result_lines(&world), ["succeeded\nfirst", "succeeded\nsecond"]);
}

#[tokio::test(start_paused = true)]
async fn a_barrier_waits_for_what_is_before_it_and_holds_what_is_after_it() {
    let world = World::new();
    let read = gate();
    world.router.tool("Read", Way::read(after(&read, "r")));
    world.router.tool("Shell", Way { lane: Lane::Barrier, ..Way::says("s") });
    world.router.tool("Late", Way::says("l"));
    world.model_calls(&[("Read", json!({})), ("Shell", json!({})), ("Late", json!({}))]);
    let session = start(&world, "go").await;
    World::until(|| world.router.log().contains(&"start Read".into())).await;
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert!(!world.router.log().contains(&"start Shell".into()));
    read.add_permits(1);
    World::rest(&session).await;
    let runs: Vec<_> = world.router.log().into_iter().filter(|line| !line.starts_with("prepare")).collect();
    assert_eq!(runs, ["start Read", "end Read", "start Shell", "end Shell", "start Late", "end Late"]);
}

#[tokio::test(start_paused = true)]
async fn an_approval_holds_back_only_its_own_call_and_shows_in_the_state() {
    let world = World::new();
    let person = gate();
    let write = Lane::Write(vec!["/w/a".into()]);
    world.router.tool("Write", Way { lane: write, asks: Some(person.clone()), act: Act::Say("w".into()) });
    world.router.tool("Read", Way::says("r"));
    world.model_calls(&[("Write", json!({})), ("Read", json!({}))]);
    let session = start(&world, "go").await;
    World::until(|| world.router.log().contains(&"end Read".into())).await;
    assert_eq!(session.status().state, SessionState::WaitingForApproval);
    assert!(!world.router.log().contains(&"start Write".into()));
    person.add_permits(1);
    World::rest(&session).await;
    assert_eq!(result_lines(&world), ["succeeded\nw", "succeeded\nr"]);
    let states = world.journal.states();
    let asked = states.iter().position(|state| *state == SessionState::WaitingForApproval).unwrap();
    assert_eq!(states[asked + 1], SessionState::WaitingForTool, "answered: the tool runs");
}

#[tokio::test(start_paused = true)]
async fn cancel_while_the_model_answers() {
    let world = World::new();
    world.model.expect(Reply::Hang);
    let session = start(&world, "go").await;
    World::until(|| world.model.in_flight() == 1).await;
    cancel(&session).await;
    World::rest(&session).await;
    assert_eq!(world.model.in_flight(), 0, "the call is ended, not left behind");
    let last = world.journal.bodies().pop();
    assert!(matches!(last, Some(EventBody::TaskCancelled(cancelled)) if cancelled.by == Some(by())));
    assert_eq!(session.status().state, SessionState::SessionRunning, "the session goes on");
}

#[tokio::test(start_paused = true)]
async fn after_a_cancel_nothing_starts_and_every_call_has_a_result() {
    let world = World::new();
    let person = gate();
    world.router.tool("Running", Way::read(Act::UntilStopped));
    world.router.tool("Asking", Way { asks: Some(person), ..Way::says("never") });
    world.router.tool("Held", Way { lane: Lane::Barrier, ..Way::says("never") });
    world.model_calls(&[("Running", json!({})), ("Asking", json!({})), ("Held", json!({}))]);
    let session = start(&world, "go").await;
    World::until(|| world.router.log().contains(&"start Running".into())).await;
    cancel(&session).await;
    World::rest(&session).await;
    let mut log = world.router.log();
    log.sort();
    assert_eq!(
        log,
        [
            "end Running",
            "prepare Asking",
            "prepare Held",
            "prepare Running",
            "start Running",
            "withdraw Asking"
        ]
    );
    assert_eq!(statuses(&world), [ToolStatus::Cancelled; 3], "each told once");
    assert_eq!(result_lines(&world).len(), 3);
    assert_eq!(world.names().last(), Some(&"task_cancelled"));
    assert_eq!(world.model.requests().len(), 1, "no model call either");
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_does_not_stop_is_given_up_after_the_grace() {
    let world = World::new();
    world.router.tool("Deaf", Way::read(Act::Deaf));
    world.model_calls(&[("Deaf", json!({}))]);
    let session = start(&world, "go").await;
    World::until(|| world.router.log().contains(&"start Deaf".into())).await;
    cancel(&session).await;
    World::rest(&session).await;
    assert_eq!(statuses(&world), [ToolStatus::Indeterminate]);
    assert!(result_lines(&world)[0].starts_with("outcome unknown"));
    assert_eq!(world.names().last(), Some(&"task_cancelled"));
    assert_eq!(world.journal.call_records()[0].phase, CallPhase::Started, "the record does not pretend");
}

#[tokio::test(start_paused = true)]
async fn at_most_eight_calls_run_at_a_time() {
    let world = World::new();
    let hold = gate();
    world.router.tool("Read", Way::read(after(&hold, "r")));
    world.model_calls(&vec![("Read", json!({})); 20]);
    let session = start(&world, "go").await;
    let started = || world.router.log().iter().filter(|line| *line == "start Read").count();
    World::until(|| started() == 8).await;
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(started(), 8);
    hold.add_permits(20);
    World::rest(&session).await;
    assert_eq!(result_lines(&world).len(), 20);
}

/// A tool, what its lane is, whether a person is asked, and what it does.
fn any_way() -> impl Strategy<Value = (u8, bool, u8)> {
    (0u8..4, prop::bool::weighted(0.3), 0u8..6)
}

fn way((lane, asks, act): (u8, bool, u8), open: &Arc<Semaphore>) -> Way {
    let lane = match lane {
        0 => Lane::Read,
        1 => Lane::Write(vec!["/w/a".into()]),
        2 => Lane::Write(vec!["/w/b".into(), "/w/c".into()]),
        _ => Lane::Barrier,
    };
    let act = match act {
        0 => Act::Deny,
        1 => Act::UntilStopped,
        2 => Act::Panic,
        _ => after(open, "x"),
    };
    Way { lane, asks: asks.then(|| open.clone()), act }
}

/// Runs one step of such tools; cancels it after so many turns of the runtime.
async fn random_step(ways: Vec<(u8, bool, u8)>, cancel_after: usize, permits: usize) {
    let world = World::new();
    let open = Arc::new(Semaphore::new(permits));
    let tools: Vec<String> = (0..ways.len()).map(|n| format!("T{n}")).collect();
    for (tool, one) in tools.iter().zip(&ways) {
        world.router.tool(tool, way(*one, &open));
    }
    let calls: Vec<_> = tools.iter().map(|tool| (tool.as_str(), json!({}))).collect();
    world.model_calls(&calls);
    let session = start(&world, "go").await;
    for _ in 0..cancel_after {
        tokio::task::yield_now().await;
    }
    let Some(task) = session.status().task else { return };
    session.cancel_task(task.task_id, by()).await.unwrap();
    let starts = |world: &World| world.router.log().iter().filter(|line| line.starts_with("start")).count();
    let before = starts(&world);
    let asked = world.model.requests().len();
    World::rest(&session).await;
    assert_eq!(starts(&world), before, "a call started after the cancel");
    assert_eq!(world.model.requests().len(), asked, "the model was asked after the cancel");
    assert!(pairs_are_whole(&world.journal.thread()), "a call without a result, or out of order");
    let ends = world.journal.bodies().iter().filter(|body| body.ends_task()).count();
    assert_eq!(ends, 1);
    let requested = world.names().iter().filter(|name| **name == "tool_requested").count();
    let completed = world.names().iter().filter(|name| **name == "tool_completed").count();
    assert_eq!(requested, completed, "each announced call is told to be over, once");
}

proptest! {
    #![proptest_config(cases(64))]

    /// Whatever the tools do and whenever the cancel comes.
    #[test]
    fn a_cancel_at_any_moment_leaves_a_whole_thread(
        ways in prop::collection::vec(any_way(), 1..6),
        cancel_after in 0usize..120,
        permits in 0usize..6,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(random_step(ways, cancel_after, permits));
    }
}
