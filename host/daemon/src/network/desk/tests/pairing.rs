//! From the window to the paired device, crashes in between included.

use lanyard_pairing::Abort;
use lanyard_pairing::device::Secret;
use lanyard_pairing::message::ToDevice;
use lanyard_ports::journal::Journal;
use lanyard_protocol::device::{PairingEnd, PairingMethod};
use lanyard_protocol::error::ErrorCode;
use lanyard_protocol::id::PrincipalId;
use lanyard_protocol::method::DecidePairing;
use lanyard_protocol::principal::{Principal, Scope};

use super::{Lab, MINUTE, OUTSIDER, Phone, Verdict, granted, no, yes};
use crate::command::NewCommand;
use crate::network::desk::DeskError;
use crate::principals::owner;

fn refused<T: std::fmt::Debug>(outcome: Result<T, DeskError>) -> (ErrorCode, String) {
    match outcome.unwrap_err() {
        DeskError::Refused(error) => (error.code, serde_json::to_string(&error.details).unwrap()),
        DeskError::Store(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn after_a_typed_code_the_digits_of_the_device_are_needed() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    let code = lab.open_code().await;
    let asked = phone.pair_by_code(&lab, &code).await.unwrap();
    let (window, pending) = lab.desk.pairings(owner().unwrap()).await.unwrap();
    assert_eq!(window, None, "used up");
    let [question] = pending.as_slice() else { panic!("{pending:?}") };
    assert_eq!(question.method, PairingMethod::Code);
    assert_eq!(question.digits, None, "they must come from the device's screen");
    assert_eq!(question.requested_scopes, [Scope::Observe, Scope::Operate, Scope::Approve]);
    assert_eq!((question.device_id.clone(), question.known), (phone.id(), false));

    let (code, details) = refused(lab.decide(yes(&question.pairing_id)).await);
    assert_eq!((code, details.as_str()), (ErrorCode::PairingDigitsWrong, r#"{"triesLeft":3}"#), "no guess");
    let digits = asked.pending.digits().to_string();
    let other = if digits.starts_with('0') { "100 000" } else { "000 000" };
    let guess = DecidePairing { digits: Some(other.to_owned()), ..yes(&question.pairing_id) };
    assert_eq!(refused(lab.decide(guess).await).1, r#"{"triesLeft":2}"#);
    assert!(lab.standing(&phone).is_none() && matches!(asked.heard(), Verdict::Waiting));

    let answer = DecidePairing { digits: Some(digits), ..yes(&question.pairing_id) };
    let decided = lab.decide(answer).await.unwrap();
    assert_eq!(decided.end, PairingEnd::Approved);
    let device = decided.device.unwrap();
    assert!(device.provisional_until.is_some());
    assert_eq!(lab.standing(&phone).unwrap().scopes, [Scope::Observe, Scope::Operate, Scope::Approve]);
    let Verdict::Granted(id, grant) = asked.heard() else { panic!("{:?}", asked.heard()) };
    assert_eq!(id, phone.id());
    assert_eq!(granted(&asked.pending, &grant), [Scope::Observe, Scope::Operate, Scope::Approve]);

    lab.desk.acknowledge(id, asked.pending.acknowledge()).await.unwrap();
    assert!(lab.row(&phone).unwrap().provisional.is_none());
    assert_eq!(
        lab.events().await,
        [
            "pairing_window_changed",
            "pairing_window_changed",
            "pairing_requested",
            "device_changed",
            "pairing_settled",
            "device_changed",
        ]
    );
    let counters = lab.tally.counters();
    assert_eq!((counters.windows_opened, counters.pairing_attempts, counters.pairings), (1, 1, 1));
}

#[tokio::test]
async fn whom_the_host_knows_otherwise_answers_as_a_device_would_and_nobody_else_does() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    let code = lab.open_code().await;
    let asked = phone.pair_by_code(&lab, &code).await.unwrap();
    let question = &lab.pending().await[0];
    let person = |id: &str| Principal {
        id: PrincipalId::new(id).unwrap(),
        name: "somebody".to_owned(),
        scopes: vec![Scope::Admin],
        local: false,
    };
    let digits = Some(asked.pending.digits().to_string());
    let answer = DecidePairing { digits, ..yes(&question.pairing_id) };
    let decide = |by: Principal, answer: &DecidePairing| {
        let command = NewCommand::of(&by, None);
        lab.desk.decide(by, answer.clone(), command)
    };
    let stranger = refused(decide(person("central:bob"), &answer).await);
    assert_eq!(stranger.0, ErrorCode::Unauthorized, "what it says of itself counts for nothing");
    let blind = refused(decide(person(OUTSIDER), &yes(&question.pairing_id)).await);
    assert_eq!(blind.0, ErrorCode::PairingDigitsWrong);
    let decided = decide(person(OUTSIDER), &answer).await.unwrap();
    assert_eq!(decided.end, PairingEnd::Approved);
}

#[tokio::test]
async fn after_a_link_one_tap_is_enough_and_wrong_digits_are_still_wrong() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    let asked = lab.ask(&phone).await;
    let question = &lab.pending().await[0];
    assert_eq!(question.digits, Some(asked.pending.digits().to_string()), "to be compared");
    let guess = DecidePairing { digits: Some("1".to_owned()), ..yes(&question.pairing_id) };
    assert_eq!(refused(lab.decide(guess).await).0, ErrorCode::PairingDigitsWrong);
    lab.decide(yes(&question.pairing_id)).await.unwrap();
    assert!(lab.standing(&phone).is_some());
}

#[tokio::test]
async fn the_third_wrong_digits_deny_and_the_device_hears_it_when_it_is_back() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    let code = lab.open_code().await;
    let asked = phone.pair_by_code(&lab, &code).await.unwrap();
    let id = lab.pending().await[0].pairing_id.clone();
    let other = if asked.pending.digits().to_string() == "000 000" { "1" } else { "000000" };
    let guess = DecidePairing { digits: Some(other.to_owned()), ..yes(&id) };
    for left in ["2", "1", "0"] {
        let (code, details) = refused(lab.decide(guess.clone()).await);
        assert_eq!((code, details), (ErrorCode::PairingDigitsWrong, format!(r#"{{"triesLeft":{left}}}"#)));
    }
    let right = DecidePairing { digits: Some(asked.pending.digits().to_string()), ..yes(&id) };
    assert_eq!(refused(lab.decide(right).await).0, ErrorCode::PairingNotFound);
    assert!(matches!(asked.heard(), Verdict::Ended(Abort::Denied)));
    assert_eq!(phone.resume(&lab, &asked.pending).await.unwrap_err(), Abort::Denied);
    assert!(lab.standing(&phone).is_none() && lab.row(&phone).is_none());
}

#[tokio::test]
async fn a_repeated_answer_is_answered_the_same_and_kept_with_what_it_did() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    lab.ask(&phone).await;
    let id = lab.pending().await[0].pairing_id.clone();
    let owner = owner().unwrap();
    let command = NewCommand::of(&owner, Some("k1"));
    let decided = lab.desk.decide(owner.clone(), yes(&id), command).await.unwrap();
    let key = lanyard_protocol::id::CommandId::new("k1").unwrap();
    let kept = lab.store.command(&owner.id, &key).unwrap().unwrap();
    assert_eq!(kept.response, lanyard_protocol::method::Response::DecidePairing(decided));
    // The question is gone; the handler finds the kept answer.
    let again = lab.desk.decide(owner.clone(), yes(&id), NewCommand::of(&owner, Some("k1"))).await;
    assert_eq!(refused(again).0, ErrorCode::PairingNotFound);
}

#[tokio::test]
async fn a_host_that_is_killed_between_the_row_and_the_grant_still_has_the_grant() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    let asked = lab.approve(&phone, &[Scope::Observe]).await;
    // The conversation never told the device.
    let lab = lab.kill().await;
    assert_eq!(lab.standing(&phone).unwrap().scopes, [Scope::Observe], "approved is approved");
    let (place, message) = phone.resume(&lab, &asked.pending).await.unwrap();
    assert_eq!(granted(&asked.pending, &message), [Scope::Observe]);
    let verdict = place.verdict.borrow().clone();
    assert!(matches!(verdict, Verdict::Granted(id, _) if id == phone.id()));
    lab.desk.acknowledge(phone.id(), asked.pending.acknowledge()).await.unwrap();
    assert!(lab.row(&phone).unwrap().provisional.is_none());
    // Told once more, it has nothing to say any more.
    assert_eq!(phone.resume(&lab, &asked.pending).await.unwrap_err(), Abort::Unknown);
}

#[tokio::test]
async fn a_host_that_is_killed_before_the_answer_has_forgotten_the_question() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    let asked = lab.ask(&phone).await;
    let lab = lab.kill().await;
    assert_eq!(phone.resume(&lab, &asked.pending).await.unwrap_err(), Abort::Unknown);
    assert!(lab.standing(&phone).is_none() && lab.pending().await.is_empty());
}

#[tokio::test]
async fn another_device_neither_resumes_nor_acknowledges_in_its_place() {
    let lab = Lab::new();
    let (phone, other) = (Phone::new("Pixel"), Phone::new("Other"));
    let asked = lab.approve(&phone, &[Scope::Observe]).await;
    assert_eq!(other.resume(&lab, &asked.pending).await.unwrap_err(), Abort::Unknown);
    let others = lab.ask(&other).await;
    let ack = others.pending.acknowledge();
    assert_eq!(lab.desk.acknowledge(phone.id(), ack).await.unwrap_err(), Abort::BadProof);
    assert!(lab.row(&phone).unwrap().provisional.is_some());
}

#[tokio::test]
async fn a_device_that_is_back_takes_its_place_over() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    let mut asked = lab.ask(&phone).await;
    let (place, message) = phone.resume(&lab, &asked.pending).await.unwrap();
    assert_eq!(message, ToDevice::Waiting);
    assert!(matches!(asked.heard(), Verdict::Superseded));
    asked.place = place;
    assert_eq!(lab.pending().await.len(), 1);
    lab.decide(yes(&lab.pending().await[0].pairing_id)).await.unwrap();
    assert!(matches!(asked.heard(), Verdict::Granted(..)));
}

#[tokio::test]
async fn an_approved_device_that_never_shows_that_it_knows_is_forgotten() {
    let lab = Lab::new();
    let (never, known) = (Phone::new("Never"), Phone::new("Known"));
    lab.paired(&known, &[Scope::Observe]).await;
    let lease = lab.desk.arrived(known.signing(), known.from).await.unwrap();
    lab.desk.left(lease, "closed").await;
    let asked = lab.approve(&never, &[Scope::Observe]).await;
    lab.approve(&known, &[Scope::Observe, Scope::Operate]).await;
    lab.pass(10 * MINUTE - 1).await;
    assert!(lab.standing(&never).is_some());
    lab.pass(1).await;
    assert!(lab.standing(&never).is_none() && lab.row(&never).is_none());
    assert_eq!(never.resume(&lab, &asked.pending).await.unwrap_err(), Abort::Unknown);
    assert!(lab.events().await.contains(&"device_removed"));
    let known_row = lab.row(&known).unwrap();
    assert!(known_row.provisional.is_none(), "it was connected before: it stays");
    assert_eq!(known_row.scopes, [Scope::Observe, Scope::Operate]);
}

#[tokio::test]
async fn an_expired_row_that_a_dead_host_left_lets_nobody_in() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    lab.approve(&phone, &[Scope::Observe]).await;
    let lab = lab.kill().await;
    // Before the desk had any occasion to look at its rows.
    lab.clock.0.fetch_add(10 * MINUTE, std::sync::atomic::Ordering::Relaxed);
    assert!(lab.standing(&phone).is_none());
    assert_eq!(
        lab.desk.arrived(phone.signing(), phone.from).await.unwrap_err(),
        lanyard_transport::close::CloseCode::NotPaired
    );
    lab.pass(0).await;
    assert!(lab.row(&phone).is_none());
}

#[tokio::test]
async fn a_question_nobody_answers_runs_out_and_its_end_is_told_for_a_while() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    let asked = lab.ask(&phone).await;
    lab.pass(10 * MINUTE - 1).await;
    assert_eq!(lab.pending().await.len(), 1);
    lab.pass(1).await;
    assert!(lab.pending().await.is_empty());
    assert!(matches!(asked.heard(), Verdict::Ended(Abort::Unanswered)));
    assert_eq!(phone.resume(&lab, &asked.pending).await.unwrap_err(), Abort::Unanswered);
    assert_eq!(lab.events().await.last(), Some(&"pairing_settled"));
    lab.pass(10 * MINUTE).await;
    assert_eq!(phone.resume(&lab, &asked.pending).await.unwrap_err(), Abort::Unknown);
}

#[tokio::test]
async fn so_many_devices_wait_and_no_more() {
    let lab = Lab::new();
    let mut phones = Vec::new();
    for number in 0..32 {
        let phone = Phone::new(&format!("Phone {number}"));
        let asked = lab.ask(&phone).await;
        phones.push((phone, asked));
    }
    assert_eq!(lab.pending().await.len(), 32);
    let late = Phone::new("Late");
    let link = lab.open_link().await;
    let secret = || Secret::Link(link.secret.clone(), link.host);
    let Err(abort) = late.pair(&lab, secret()).await else { panic!("one too many") };
    assert_eq!(abort, Abort::Full);
    // One that is answered makes room, and the link still works.
    lab.decide(no(&lab.pending().await[0].pairing_id)).await.unwrap();
    late.pair(&lab, secret()).await.unwrap();
    let names: Vec<String> = lab.pending().await.into_iter().map(|p| p.name).collect();
    assert_eq!(names.len(), 32);
    assert_eq!((names[0].as_str(), names[31].as_str()), ("Phone 1", "Late"), "oldest first");
}

#[tokio::test]
async fn a_device_that_asks_again_has_one_question() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    let first = lab.ask(&phone).await;
    let second = lab.ask(&phone).await;
    assert!(matches!(first.heard(), Verdict::Ended(_)));
    assert!(matches!(second.heard(), Verdict::Waiting));
    assert_eq!(lab.pending().await.len(), 1);
    lab.desk.give_up(second.place.sid).await;
    lab.pass(0).await;
    assert!(lab.pending().await.is_empty());
}

#[tokio::test]
async fn an_approver_gives_no_right_it_does_not_hold_and_none_without_observe() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    let tablet = lab.tablet(&[Scope::Observe, Scope::Operate, Scope::Admin]).await;
    lab.ask(&phone).await;
    let id = lab.pending().await[0].pairing_id.clone();
    let ask = |scopes: Option<Vec<Scope>>| {
        let answer = DecidePairing { scopes, ..yes(&id) };
        lab.desk.decide(tablet.clone(), answer, NewCommand::of(&tablet, None))
    };
    // The phone asks for `approve`, which the tablet does not hold.
    assert_eq!(refused(ask(None).await).0, ErrorCode::Unauthorized);
    assert_eq!(refused(ask(Some(vec![Scope::Observe, Scope::Approve])).await).0, ErrorCode::Unauthorized);
    assert_eq!(refused(ask(Some(vec![Scope::Operate])).await).0, ErrorCode::InvalidRequest);
    ask(Some(vec![Scope::Operate, Scope::Observe, Scope::Observe])).await.unwrap();
    assert_eq!(lab.standing(&phone).unwrap().scopes, [Scope::Observe, Scope::Operate]);
}

#[tokio::test]
async fn a_store_that_cannot_write_grants_nothing() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    let asked = lab.ask(&phone).await;
    let id = lab.pending().await[0].pairing_id.clone();
    lab.store.close().unwrap();
    assert!(matches!(lab.decide(yes(&id)).await, Err(DeskError::Store(_))));
    assert!(matches!(asked.heard(), Verdict::Waiting));
    assert!(lab.standing(&phone).is_none());
}
