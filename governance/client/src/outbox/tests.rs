//! Against a model of the centre that loses requests and answers, and a host that dies anywhere.

mod model;

use proptest::prelude::*;

use super::batch::{NoBatch, USUAL, batch};
use super::*;
use model::{Centre, Mishap, Source, World, event, events};

/// Drains until nothing is left to do, for some steps.
async fn run(world: &World, steps: usize) -> Result<(), Stop> {
    let mut drain = world.drain();
    for _ in 0..steps {
        if drain.step().await? == Step::Idle {
            return Ok(());
        }
    }
    panic!("it never came to rest");
}

#[tokio::test]
async fn records_arrive_in_order_numbered_and_chained() {
    let world = World::default();
    world.source.append(events(0..2_500));
    run(&world, 10).await.unwrap();
    world.check_everything_arrived_once(2_500);
    let state = world.state.borrow().clone();
    assert_eq!((state.sent, state.duplicates, state.head.unwrap().seq), (2_500, 0, 2_500));
    assert_eq!((state.fault, state.failing), (None, None));
    assert_eq!(world.centre.posts(), 3, "in batches");
    assert_eq!(world.centre.heads(), 1, "the head is asked for once in a life");
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_in_the_same_words() {
    let world = World::default();
    world.source.append(events(0..10));
    world.centre.mishaps([Mishap::AnswerLost]);
    let mut drain = world.drain();
    assert!(matches!(drain.step().await, Err(Stop::Call(CallError::Unreachable { .. }))));
    assert!(world.state.borrow().failing.is_some());
    // What comes meanwhile does not change the batch.
    world.source.append(events(10..20));
    while drain.step().await.unwrap() == Step::Sent {}
    let bodies = world.centre.bodies();
    assert_eq!(bodies[0], bodies[1]);
    world.check_everything_arrived_once(20);
    assert_eq!(world.state.borrow().duplicates, 10);
    assert_eq!(world.state.borrow().failing, None);
}

#[tokio::test]
async fn records_that_the_centre_has_already_are_not_sent_in_another_life() {
    let world = World::default();
    world.source.append(events(0..10));
    world.centre.mishaps([Mishap::AnswerLost]);
    world.drain().step().await.unwrap_err();
    world.source.append(events(10..15));
    run(&world, 10).await.unwrap();
    world.check_everything_arrived_once(15);
    assert_eq!(world.centre.bodies().len(), 2, "the second life sends only what is new");
    assert_eq!(world.state.borrow().adopted, 0);
}

#[tokio::test]
async fn a_host_set_back_goes_on_after_what_the_centre_has() {
    let world = World::default();
    world.source.append(events(0..10));
    run(&world, 10).await.unwrap();
    let backup = world.source.copy();
    world.source.append(events(10..40));
    run(&world, 10).await.unwrap();
    world.source.restore(backup);
    world.source.append(events(100..105));
    run(&world, 10).await.unwrap();
    assert_eq!(world.state.borrow().adopted, 1);
    assert_eq!(world.centre.last(), 45);
    world.centre.check_chain();
    assert_eq!(world.centre.ids().split_off(40), events(100..105).map(|e| e.event_id).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_centre_set_back_is_told_and_nothing_is_renumbered() {
    let world = World::default();
    world.source.append(events(0..10));
    run(&world, 10).await.unwrap();
    let head = world.source.head().await.unwrap();
    world.centre.truncate(4);
    world.source.append(events(10..20));
    let posts = world.centre.posts();
    let fault = Fault::ServerBehind { server: 4, host: 10 };
    for _ in 0..3 {
        assert_eq!(run(&world, 10).await, Err(Stop::Fault(fault.clone())));
    }
    assert_eq!(world.state.borrow().fault, Some(fault));
    assert_eq!((world.centre.posts(), world.centre.last()), (posts, 4), "nothing is sent");
    assert_eq!(world.source.head().await.unwrap(), head);
    assert_eq!(world.source.pending(100).await.unwrap().len(), 10, "and nothing thrown away");
}

#[tokio::test]
async fn a_centre_set_back_within_a_life_is_found_out_too() {
    let world = World::default();
    world.source.append(events(0..10));
    let mut drain = world.drain();
    while drain.step().await.unwrap() == Step::Sent {}
    world.centre.truncate(4);
    world.source.append(events(10..20));
    assert!(matches!(drain.step().await, Err(Stop::Call(CallError::Refused { status: 409, .. }))));
    assert_eq!(drain.step().await, Err(Stop::Fault(Fault::ServerBehind { server: 4, host: 10 })));
    assert_eq!(world.centre.last(), 4);
}

#[tokio::test]
async fn another_chain_of_the_same_length_is_told() {
    let world = World::default();
    world.source.append(events(0..3));
    run(&world, 10).await.unwrap();
    world.centre.tamper(3);
    world.source.append(events(3..4));
    assert_eq!(run(&world, 10).await, Err(Stop::Fault(Fault::Diverged { seq: 3 })));
    assert_eq!(world.source.pending(9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn contradicted_records_are_kept_and_numbered_anew() {
    let world = World::default();
    world.source.append(events(0..3));
    let mut drain = world.drain();
    while drain.step().await.unwrap() == Step::Sent {}
    // A second machine with the same identity.
    world.centre.write(events(50..52));
    world.source.append(events(3..6));
    assert_eq!(drain.step().await, Err(Stop::Fault(Fault::Contradicted { count: 2 })));
    while drain.step().await.unwrap() == Step::Sent {}
    let state = world.state.borrow().clone();
    assert_eq!((state.adopted, state.conflicts, state.fault), (1, 2, None));
    world.centre.check_chain();
    let ids = world.centre.ids();
    assert!(events(0..6).all(|event| ids.contains(&event.event_id)), "{ids:?}");
}

#[tokio::test]
async fn an_event_id_that_was_used_before_is_an_alert_and_no_obstacle() {
    let world = World::default();
    world.source.append(events(0..3));
    run(&world, 10).await.unwrap();
    let mut other = event(1);
    other.event_type = "another".to_owned();
    world.source.append([other, event(3)].into_iter());
    let mut drain = world.drain();
    assert_eq!(drain.step().await, Err(Stop::Fault(Fault::Contradicted { count: 1 })));
    while drain.step().await.unwrap() == Step::Sent {}
    let state = world.state.borrow().clone();
    assert_eq!((state.adopted, state.conflicts, state.fault), (0, 1, None));
    assert_eq!((world.centre.last(), world.source.pending(9).await.unwrap().len()), (5, 0));
    world.centre.check_chain();
}

#[tokio::test]
async fn a_record_that_is_not_taken_holds_up_only_those_after_it() {
    for status in [400, 403, 413] {
        holds_up(status).await;
    }
}

async fn holds_up(status: u16) {
    let world = World::default();
    world.source.append(events(0..100));
    world.centre.refuses(event(70).event_id, status);
    let stopped = run(&world, 50).await.unwrap_err();
    assert!(
        matches!(&stopped, Stop::Fault(Fault::Refused { event_id, .. }) if *event_id == event(70).event_id),
        "{stopped}"
    );
    world.check_everything_arrived_once(70);
    assert_eq!(world.source.pending(100).await.unwrap().len(), 30);
}

#[tokio::test]
async fn what_is_too_long_for_any_batch_is_told() {
    let world = World::default();
    let mut long = event(1);
    long.payload = serde_json::json!({ "text": "x".repeat(9 << 20) }).into();
    world.source.append(vec![event(0), long.clone(), event(2)].into_iter());
    let stopped = run(&world, 10).await.unwrap_err();
    assert!(matches!(stopped, Stop::Fault(Fault::TooLong { bytes, .. }) if bytes > 9 << 20));
    assert_eq!(world.centre.last(), 1);
    assert_eq!(world.source.pending(9).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_store_that_fails_loses_nothing() {
    let world = World::default();
    world.source.append(events(0..5));
    world.source.fail_acknowledgements(1);
    let mut drain = world.drain();
    assert!(matches!(drain.step().await, Err(Stop::Store(_))));
    while drain.step().await.unwrap() == Step::Sent {}
    world.check_everything_arrived_once(5);
}

#[test]
fn batches_are_bounded_and_are_the_contract_s_json() {
    let all: Vec<_> = events(0..6_000).collect();
    let made = batch(ChainHead::START, &all).unwrap();
    assert_eq!(made.count, lanyard_governance_api::limits::MAX_BATCH);
    let parsed: lanyard_governance_api::audit::AuditBatch = serde_json::from_slice(&made.body).unwrap();
    assert_eq!(parsed.records[1].seq, 2);
    assert_eq!(parsed.records.last().unwrap().hash, made.head.hex());
    let mut long: Vec<_> = events(0..40).collect();
    for event in &mut long {
        event.payload = serde_json::json!({ "text": "x".repeat(1 << 20) }).into();
    }
    let made = batch(ChainHead::START, &long).unwrap();
    assert!(
        made.count == 7 && made.body.len() <= lanyard_governance_api::limits::MAX_BATCH_BYTES,
        "{}",
        made.count
    );
    assert_eq!(batch(ChainHead::START, &[]), Err(NoBatch::Empty));
    assert_eq!(USUAL, 1_000);
}

proptest! {
    #[test]
    fn what_is_sent_is_the_text_that_was_hashed(
        fractions in prop::collection::vec(any::<f64>().prop_filter("JSON has no others", |f| f.is_finite()), 0..4),
        text in "\\PC{0,20}",
    ) {
        let mut odd = event(1);
        odd.payload = serde_json::json!({ "z": fractions, "a": text }).into();
        let json = lanyard_protocol::codec::to_json(&odd).unwrap();
        let head = chain(ChainHead::START, &odd).unwrap();
        let body = batch(ChainHead::START, &[odd]).unwrap().body;
        let expected = format!(r#"{{"records":[{{"seq":1,"hash":"{}","event":{json}}}]}}"#, head.hex());
        prop_assert_eq!(std::str::from_utf8(&body).unwrap(), expected);
    }
}

/// What happens to a host and its centre.
#[derive(Debug, Clone)]
enum Happening {
    Records(u64),
    Steps(u8),
    Mishaps(Vec<Mishap>),
    HostDies,
    /// Between the durable acknowledgement and anything after it.
    HostDiesAcknowledging,
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let mishap = prop_oneof![
        Just(Mishap::None),
        Just(Mishap::RequestLost),
        Just(Mishap::AnswerLost),
        Just(Mishap::Repeated),
        Just(Mishap::Busy),
    ];
    let happening = prop_oneof![
        (0_u64..40).prop_map(Happening::Records),
        (0_u8..6).prop_map(Happening::Steps),
        prop::collection::vec(mishap, 0..6).prop_map(Happening::Mishaps),
        Just(Happening::HostDies),
        Just(Happening::HostDiesAcknowledging),
    ];
    prop::collection::vec(happening, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_is_lost_or_doubled_whatever_happens(story in happenings()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = World::default();
            let mut drain = world.drain();
            let mut written = 0;
            for happening in story {
                match happening {
                    Happening::Records(count) => {
                        world.source.append(events(written..written + count));
                        written += count;
                    }
                    Happening::Steps(count) => {
                        for _ in 0..count {
                            let _ = drain.step().await;
                        }
                    }
                    Happening::Mishaps(list) => world.centre.mishaps(list),
                    Happening::HostDies => drain = world.drain(),
                    Happening::HostDiesAcknowledging => {
                        world.source.fail_after_acknowledgement();
                        let _ = drain.step().await;
                        world.source.recover();
                        drain = world.drain();
                    }
                }
            }
            world.centre.mishaps([]);
            for _ in 0..200 {
                match drain.step().await {
                    Ok(Step::Idle) => break,
                    Ok(Step::Sent) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            world.check_everything_arrived_once(written);
            let state = world.state.borrow().clone();
            assert_eq!((state.adopted, state.conflicts, state.fault), (0, 0, None));
        });
    }
}

#[tokio::test]
async fn over_the_wire_it_drains_rings_and_ends() {
    use crate::testing::{Pair, cut_answer, plain, until};
    use axum::response::IntoResponse;
    use std::sync::atomic::{AtomicU32, Ordering};

    let Pair { fake, central, running: _running, .. } = plain().await;
    let centre = Arc::new(Centre::default());
    let (served, lost) = (centre.clone(), AtomicU32::new(0));
    let weak = Arc::downgrade(&fake);
    fake.plan(move |hit| {
        let fake = weak.upgrade().unwrap();
        let ours = hit.path.starts_with("/audit/");
        if !ours || fake.refuse(hit).is_some() {
            return None;
        }
        if hit.path == "/audit/head" {
            return Some(axum::Json(served.head_now()).into_response());
        }
        let accepted = served.take(&hit.body).unwrap();
        // The first answer is lost.
        let answer = (axum::http::StatusCode::ACCEPTED, axum::Json(accepted)).into_response();
        Some(if lost.fetch_add(1, Ordering::SeqCst) == 0 { cut_answer() } else { answer })
    });
    let source = Arc::new(Source::default());
    source.append(events(0..10));
    let (wake, cancel) = (Arc::new(Notify::new()), CancellationToken::new());
    let (sender, state) = watch::channel(OutboxState::default());
    let task = tokio::spawn(drain(central, source.clone(), wake.clone(), sender, cancel.clone()));
    until("the first ones are there", || state.borrow().head.is_some_and(|head| head.seq == 10)).await;
    source.append(events(10..12));
    wake.notify_one();
    until("the others are there", || centre.last() == 12).await;
    until("they are acknowledged", || state.borrow().head.is_some_and(|head| head.seq == 12)).await;
    assert_eq!(state.borrow().duplicates, 10);
    centre.check_chain();
    fake.books().revoked = true;
    fake.plan(|_| None);
    source.append(events(12..13));
    wake.notify_one();
    assert_eq!(task.await.unwrap(), Ended::Revoked("the machine was sold".to_owned()));
    assert_eq!(source.pending(9).await.unwrap().len(), 1);
    assert!(!cancel.is_cancelled());
}
