//! The client against the lab's host, with both codecs.

use lanyard_protocol::codec::{Codec, JsonRpcCodec, PostcardCodec};
use lanyard_protocol::event::EventBody;
use lanyard_protocol::id::RuleId;
use lanyard_protocol::limits::MAX_FRAME_BYTES;
use lanyard_protocol::method::{
    CreateSession, EndSession, GetSessionState, ListSessions, Method, Request, Response, ResumeSession,
    RevokeRule, SessionOpened, StartTask, Subscribe, SubscribeHost, Unsubscribe,
};
use lanyard_protocol::rpc::RequestId;
use lanyard_protocol::session::TaskOptions;
use proptest::prelude::*;

use crate::lab::{Fate, Lab, session};
use crate::pending::MAX_CALLS;
use crate::{Channel, Incoming, MAX_SUBSCRIPTIONS, MISSED_PROBES, PROBE_AFTER, SendError, Tick};

/// Runs a test with each codec.
macro_rules! both_codecs {
    ($($name:ident => $test:ident;)*) => {$(
        #[test]
        fn $name() {
            $test(JsonRpcCodec);
            $test(PostcardCodec);
        }
    )*};
}

both_codecs! {
    a_task_is_created_and_followed => created_and_followed;
    a_gap_is_asked_for_again => gap;
    a_broken_link_loses_nothing => broken_link;
    resuming_a_followed_session_keeps_its_place => resume_keeps_place;
    a_call_that_may_not_be_repeated_is_reported => unrepeatable;
    calls_made_before_connecting_are_sent_then => early_calls;
    what_is_too_much_is_refused => bounds;
    a_silent_host_is_probed_and_given_up => silence;
    a_host_can_be_asked_for_a_sign_of_life_at_once => asked_at_once;
    a_transport_with_few_streams_follows_few_sessions => few_streams;
    a_transport_with_its_own_liveness_is_not_probed => no_probes;
    a_log_that_cannot_be_had_ends => ended;
    an_unsubscribed_session_is_silent => unsubscribed;
}

fn prompt(n: u8, prompt: &str) -> StartTask {
    StartTask {
        model: None,
        attachments: Vec::new(),
        session_id: session(n),
        task_id: None,
        prompt: prompt.into(),
        task_options: TaskOptions::default(),
    }
}

fn subscribe(n: u8, after_seq: u64) -> Subscribe {
    Subscribe { session_id: session(n), after_seq }
}

fn replies<C: Codec>(lab: &Lab<C>, wanted: &RequestId) -> usize {
    lab.seen.iter().filter(|i| matches!(i, Incoming::Reply { id, .. } if id == wanted)).count()
}

fn created_and_followed<C: Codec>(codec: C) {
    let mut lab = Lab::new(codec);
    lab.connect();
    let id = lab.client.call(CreateSession::default()).unwrap();
    lab.settle();
    let opened = lab.seen.iter().find_map(|incoming| match incoming {
        Incoming::Reply { id: of, answer: Ok(response), .. } if *of == id => Some((**response).clone()),
        _ => None,
    });
    let Some(Response::CreateSession(SessionOpened { session_id: session, .. })) = opened else {
        panic!("{opened:?}");
    };
    lab.host.write(&session);
    lab.settle();
    assert_eq!(lab.numbers(&session), [1, 2]);
}

fn gap<C: Codec>(codec: C) {
    let mut lab = Lab::new(codec);
    lab.connect();
    lab.client.call(subscribe(0, 0)).unwrap();
    lab.settle();
    (0..3).for_each(|_| lab.host.write(&session(0)));
    lab.step_down(Fate::Arrives);
    lab.step_down(Fate::IsLost);
    lab.settle();
    assert_eq!(lab.numbers(&session(0)), [1, 2, 3]);
    assert!(!lab.seen.iter().any(|i| matches!(i, Incoming::Skipped { .. } | Incoming::Ended { .. })));
}

fn broken_link<C: Codec>(codec: C) {
    let mut lab = Lab::new(codec);
    lab.connect();
    lab.client.call(subscribe(0, 0)).unwrap();
    lab.client.call(SubscribeHost { after_host_seq: Some(0) }).unwrap();
    lab.settle();
    lab.host.write(&session(0));
    lab.host.write_host();
    lab.settle();
    let task = lab.client.call(prompt(0, "once")).unwrap();
    // The host carries it out; its answer and the events are lost with the link.
    assert!(lab.step_up());
    lab.host.write(&session(0));
    lab.host.write_host();
    lab.disconnect();
    lab.host.write(&session(0));
    lab.connect();
    lab.settle();
    assert_eq!(lab.numbers(&session(0)), [1, 2, 3]);
    assert_eq!(lab.host_numbers(), [1, 2]);
    assert_eq!(replies(&lab, &task), 1);
    assert_eq!(lab.host.effects["StartTask"], 1, "the task id makes the second one harmless");
}

fn resume_keeps_place<C: Codec>(codec: C) {
    let mut lab = Lab::new(codec);
    lab.connect();
    lab.client.call(subscribe(0, 0)).unwrap();
    lab.settle();
    (0..2).for_each(|_| lab.host.write(&session(0)));
    lab.step_down(Fate::Arrives);
    lab.step_down(Fate::IsLost);
    lab.client.call(ResumeSession { session_id: session(0), checkpoint_cursor: None }).unwrap();
    lab.settle();
    assert_eq!(lab.numbers(&session(0)), [1, 2]);
}

fn unrepeatable<C: Codec>(codec: C) {
    let mut lab = Lab::new(codec);
    lab.connect();
    let rule = || RevokeRule { rule_id: RuleId::new("r").unwrap() };
    let sent = lab.client.call(rule()).unwrap();
    assert!(lab.step_up());
    let unsent = lab.client.call(rule()).unwrap();
    lab.disconnect();
    lab.connect();
    lab.settle();
    let unanswered = Incoming::Unanswered { id: sent.clone(), method: Method::RevokeRule };
    assert!(lab.seen.contains(&unanswered));
    assert_eq!((replies(&lab, &sent), replies(&lab, &unsent)), (0, 1), "what was never sent is sent");
    assert_eq!(lab.host.effects["RevokeRule"], 2);
}

fn early_calls<C: Codec>(codec: C) {
    let mut lab = Lab::new(codec);
    let id = lab.client.call(subscribe(0, 0)).unwrap();
    assert_eq!(lab.client.poll_transmit(), None);
    assert_eq!(lab.client.next_timeout(), None);
    lab.connect();
    lab.settle();
    assert_eq!(replies(&lab, &id), 1);
}

fn bounds<C: Codec>(codec: C) {
    let mut lab = Lab::new(codec);
    lab.connect();
    let huge = lab.client.call(prompt(0, &"x".repeat(MAX_FRAME_BYTES)));
    assert!(matches!(huge, Err(SendError::TooLarge(_))), "{huge:?}");
    for n in 0..MAX_SUBSCRIPTIONS {
        lab.client.call(subscribe(u8::try_from(n).unwrap(), 0)).unwrap();
    }
    assert_eq!(lab.client.call(subscribe(255, 0)), Err(SendError::TooManySubscriptions(MAX_SUBSCRIPTIONS)));
    lab.client.call(subscribe(0, 0)).unwrap();
    for _ in MAX_SUBSCRIPTIONS + 1..MAX_CALLS {
        lab.client.call(ListSessions::default()).unwrap();
    }
    assert_eq!(lab.client.call(ListSessions::default()), Err(SendError::TooManyInFlight));
    lab.settle();
    lab.client.call(ListSessions::default()).unwrap();
}

fn silence<C: Codec>(codec: C) {
    let mut lab = Lab::new(codec);
    lab.connect();
    let mut now = Tick::default();
    for _ in 0..MISSED_PROBES {
        now = now.plus(PROBE_AFTER);
        assert_eq!(lab.client.next_timeout(), Some(now));
        assert_eq!(lab.client.handle_timeout(now), []);
        assert!(lab.client.poll_transmit().is_some(), "a probe");
        assert_eq!(lab.client.poll_transmit(), None);
    }
    assert_eq!(lab.client.handle_timeout(now.plus(PROBE_AFTER)), [Incoming::Dead]);
}

fn asked_at_once<C: Codec>(codec: C) {
    let mut lab = Lab::new(codec.clone());
    assert_eq!(lab.client.probe(), [], "nobody is there to be asked");
    assert_eq!(lab.client.next_method(), None);
    lab.connect();
    lab.client.call(ListSessions::default()).unwrap();
    assert_eq!(lab.client.probe(), []);
    assert_eq!(lab.client.probe(), []);
    for method in [Method::ListSessions, Method::Health] {
        assert_eq!(lab.client.next_method(), Some(method));
        let frame = lab.client.poll_transmit().unwrap();
        assert_eq!(codec.decode_call(&frame).unwrap().request.method(), method);
    }
    assert_eq!((lab.client.next_method(), lab.client.poll_transmit()), (None, None), "one probe is enough");
    let later = Tick::default().plus(PROBE_AFTER);
    lab.client.heard(later);
    assert_eq!(lab.client.next_timeout(), Some(later.plus(PROBE_AFTER)));
}

fn few_streams<C: Codec>(codec: C) {
    let mut lab = Lab::new(codec.clone());
    lab.client = lab.client.following_at_most(2);
    for n in 0..2 {
        lab.client.call(subscribe(n, 0)).unwrap();
    }
    assert_eq!(lab.client.call(subscribe(2, 0)), Err(SendError::TooManySubscriptions(2)));
    lab.client.call(subscribe(1, 0)).unwrap();
    lab.client.call(Unsubscribe { session_id: session(1) }).unwrap();
    lab.client.call(subscribe(2, 0)).unwrap();
}

fn no_probes<C: Codec>(codec: C) {
    let mut lab = Lab::new(codec.clone());
    lab.client = lab.client.without_probes();
    lab.connect();
    let mut now = Tick::default();
    for _ in 0..=2 * MISSED_PROBES {
        now = now.plus(PROBE_AFTER);
        assert_eq!(lab.client.next_timeout(), None);
        assert_eq!(lab.client.handle_timeout(now), []);
        assert_eq!(lab.client.poll_transmit(), None);
    }
    // Calls go out as ever, and come back after a broken link.
    let id = lab.client.call(ListSessions::default()).unwrap();
    lab.disconnect();
    assert_eq!(lab.client.poll_transmit(), None, "nothing is sent without a connection");
    lab.connect();
    lab.settle();
    assert_eq!(replies(&lab, &id), 1);
}

fn ended<C: Codec>(codec: C) {
    let mut lab = Lab::new(codec.clone());
    lab.connect();
    lab.client.call(subscribe(0, 0)).unwrap();
    lab.settle();
    (0..2).for_each(|_| lab.host.write(&session(0)));
    lab.step_down(Fate::IsLost);
    lab.step_down(Fate::Arrives);
    let frame = lab.client.poll_transmit().unwrap();
    let call = codec.decode_call(&frame).unwrap();
    assert!(matches!(call.request, Request::Subscribe(Subscribe { after_seq: 0, .. })));
    let error = lanyard_protocol::WireError::new(lanyard_protocol::ErrorCode::CursorExpired, "gone");
    let reply = lanyard_protocol::codec::ServerFrame::Reply(call.id, Err(error.clone()));
    let incoming = lab.client.feed(&codec.encode_server(&reply).unwrap(), Tick::default()).unwrap();
    assert_eq!(incoming, [Incoming::Ended { channel: Channel::Session(session(0)), error }]);
}

fn unsubscribed<C: Codec>(codec: C) {
    let mut lab = Lab::new(codec);
    lab.connect();
    lab.client.call(subscribe(0, 0)).unwrap();
    lab.settle();
    lab.host.write(&session(0));
    lab.client.call(Unsubscribe { session_id: session(0) }).unwrap();
    lab.settle();
    assert!(lab.numbers(&session(0)).is_empty());
}

#[test]
fn every_mutating_call_gets_a_key_of_its_own() {
    let mut lab = Lab::new(JsonRpcCodec);
    lab.connect();
    let end = || EndSession { session_id: session(0), command_id: None };
    lab.client.call(end()).unwrap();
    lab.client.call(end()).unwrap();
    let mut keys = Vec::new();
    while let Some(frame) = lab.client.poll_transmit() {
        match JsonRpcCodec.decode_call(&frame).unwrap().request {
            Request::EndSession(call) => keys.push(call.command_id.unwrap()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(keys.len(), 2);
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn an_answer_that_cannot_be_read_fails_its_call_and_nothing_else() {
    let mut lab = Lab::new(JsonRpcCodec);
    lab.connect();
    let id = lab.client.call(GetSessionState { session_id: session(0) }).unwrap();
    while lab.client.poll_transmit().is_some() {}
    let line = br#"{"jsonrpc":"2.0","id":1,"result":{"from":"the future"}}"#;
    let incoming = lab.client.feed(line, Tick::default()).unwrap();
    let [Incoming::Reply { id: of, answer: Err(error), .. }] = incoming.as_slice() else {
        panic!("{incoming:?}");
    };
    assert_eq!(*of, id);
    assert!(error.message.contains("lanyard stop"), "{error}");
    assert_eq!(lab.client.feed(line, Tick::default()).unwrap(), [], "a second answer is nobody's");
    assert!(lab.client.feed(b"{", Tick::default()).is_err());
    let unknown = br#"{"jsonrpc":"2.0","method":"Weather","params":{}}"#;
    assert_eq!(lab.client.feed(unknown, Tick::default()).unwrap(), [Incoming::Unknown("Weather".into())]);
}

#[test]
fn events_of_a_newer_host_are_skipped_and_counted() {
    let mut lab = Lab::new(JsonRpcCodec);
    lab.connect();
    lab.client.call(subscribe(0, 0)).unwrap();
    lab.settle();
    let unknown = |seq: u64| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"SessionEvent","params":{{"eventId":"e","seq":{seq},"workspaceId":"w",
            "sessionId":"s0","eventType":"of_the_future","timestamp":"2026-01-01T00:00:00Z","payload":{{}}}}}}"#
        )
    };
    // The first gap is asked for again; when the replay cannot be read either, it is passed over.
    for _ in 0..2 {
        lab.client.feed(unknown(1).as_bytes(), Tick::default()).unwrap_err();
        let event = {
            let mut other = Lab::new(JsonRpcCodec);
            other.connect();
            other.host.write(&session(0));
            other.host.write(&session(0));
            lanyard_protocol::codec::ServerFrame::SessionEvent(Box::new(
                other.host.logs[&session(0)][1].clone(),
            ))
        };
        let frame = JsonRpcCodec.encode_server(&event).unwrap();
        lab.seen.extend(lab.client.feed(&frame, Tick::default()).unwrap());
        lab.settle();
    }
    assert_eq!(lab.numbers(&session(0)), [2]);
    assert!(lab.seen.contains(&Incoming::Skipped { channel: Channel::Session(session(0)), count: 1 }));
}

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
enum Op {
    Write(u8),
    WriteHost,
    Stream(u8),
    Up,
    Down(Fate),
    Break,
    Connect,
    Start,
    Revoke,
    Follow(u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..2u8).prop_map(Op::Write),
        2 => Just(Op::WriteHost),
        3 => (0..2u8).prop_map(Op::Stream),
        6 => Just(Op::Up),
        8 => Just(Op::Down(Fate::Arrives)),
        2 => Just(Op::Down(Fate::ArrivesTwice)),
        1 => Just(Op::Down(Fate::IsLost)),
        1 => Just(Op::Break),
        3 => Just(Op::Connect),
        1 => Just(Op::Start),
        1 => Just(Op::Revoke),
        1 => (0..2u8).prop_map(Op::Follow),
    ]
}

/// Frames one case may lose: fewer than the replays a client asks for at one place.
const MAX_LOST: u32 = 12;

fn play<C: Codec>(codec: C, ops: &[Op]) -> Result<(), TestCaseError> {
    let mut lab = Lab::new(codec);
    let mut calls = Vec::new();
    let mut lost = 0;
    for n in 0..2 {
        calls.push(lab.client.call(subscribe(n, 0)).unwrap());
    }
    calls.push(lab.client.call(SubscribeHost { after_host_seq: Some(0) }).unwrap());
    for op in ops {
        match *op {
            Op::Write(n) => lab.host.write(&session(n)),
            Op::WriteHost => lab.host.write_host(),
            Op::Stream(n) => lab.host.stream(&session(n)),
            Op::Up => drop(lab.step_up()),
            Op::Down(fate) => {
                lost += u32::from(fate == Fate::IsLost);
                lab.step_down(if lost > MAX_LOST { Fate::Arrives } else { fate });
            }
            Op::Break => lab.disconnect(),
            Op::Connect => lab.connect(),
            Op::Start => calls.push(lab.client.call(prompt(0, "go")).unwrap()),
            Op::Revoke => {
                calls.push(lab.client.call(RevokeRule { rule_id: RuleId::new("r").unwrap() }).unwrap());
            }
            Op::Follow(n) => {
                let resume = ResumeSession { session_id: session(n), checkpoint_cursor: None };
                calls.push(lab.client.call(resume).unwrap());
            }
        }
    }
    lab.connect();
    lab.settle();
    // A lost last event is noticed by the next connection, at the latest.
    lab.disconnect();
    lab.connect();
    lab.settle();
    check(&lab, &calls)
}

fn check<C: Codec>(lab: &Lab<C>, calls: &[RequestId]) -> Result<(), TestCaseError> {
    for n in 0..2 {
        let last = lab.host.logs.get(&session(n)).map_or(0, |log| log.len() as u64);
        prop_assert_eq!(lab.numbers(&session(n)), (1..=last).collect::<Vec<_>>());
        let mut place = 0;
        let whole = lab.host.streamed.get(&session(n)).cloned().unwrap_or_default();
        for incoming in &lab.seen {
            if let Incoming::Delta { event, missing } = incoming
                && event.session_id == session(n)
                && let EventBody::TextDelta(delta) = &event.body
            {
                prop_assert_eq!(delta.offset, place + missing, "a hole that was not told");
                let from = usize::try_from(delta.offset).unwrap();
                prop_assert_eq!(&whole[from..from + delta.text.len()], &delta.text);
                place = delta.offset + delta.text.len() as u64;
            }
        }
    }
    prop_assert_eq!(lab.host_numbers(), (1..=lab.host.host_log.len() as u64).collect::<Vec<_>>());
    let mut started = 0;
    for id in calls {
        let unanswered =
            lab.seen.iter().filter(|i| matches!(i, Incoming::Unanswered { id: of, .. } if of == id));
        prop_assert_eq!(replies(lab, id) + unanswered.count(), 1, "{} has one end", id);
        started += u32::from(
            lab.seen
                .iter()
                .any(|i| matches!(i, Incoming::Reply { id: of, method: Method::StartTask, .. } if of == id)),
        );
    }
    prop_assert_eq!(lab.host.effects.get("StartTask").copied().unwrap_or_default(), started);
    Ok(())
}

/// More cases on request; the few are enough to catch a defence that was removed.
fn cases() -> u32 {
    if std::env::var_os("LANYARD_LONG").is_some() { 20_000 } else { 256 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_event_once_and_in_order_whatever_the_link_does(ops in prop::collection::vec(op(), 0..120)) {
        play(JsonRpcCodec, &ops)?;
        play(PostcardCodec, &ops)?;
    }

    #[test]
    fn no_bytes_harm_a_client(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut lab = Lab::new(PostcardCodec);
        lab.connect();
        lab.client.call(subscribe(0, 0)).unwrap();
        let _ = lab.client.feed(&bytes, Tick::default());
    }
}
