//! Word for word: what an owner reads about the centre.

use lanyard_protocol::Timestamp;
use lanyard_protocol::central::{CentralEnrolment, CentralLink, CentralStatus, CentralWaiting};

use super::{Consent, central, consent_question, consent_words, enrolled, unenrolled};
use crate::render::Paint;
use crate::render::samples::at;

const MINUTE: i64 = 60_000;

fn ago(millis: i64) -> Timestamp {
    at().plus_millis(-millis)
}

fn away(audit_records: u64) -> CentralStatus {
    let link =
        CentralLink { reached: false, since: ago(12 * MINUTE), reason: Some("connection refused".into()) };
    let enrolment = CentralEnrolment {
        url: "https://central.example:7720".into(),
        agent_id: "agt_1".into(),
        tenant_id: "acme".into(),
        user_id: "mia".into(),
        enrolled_at: ago(26 * 60 * MINUTE),
        certificate_not_after: at().plus_millis(9 * 60 * MINUTE),
        link,
        clock_ahead_millis: -40,
        policy_epoch: 7,
        policy_revoked: None,
        revoked: None,
        last_sent_at: Some(ago(13 * MINUTE)),
        last_command: 4,
    };
    let waiting = CentralWaiting {
        audit_records,
        oldest_at: (audit_records > 0).then(|| ago(12 * MINUTE)),
        events: 240,
        sessions: 2,
    };
    CentralStatus { enrolment: Some(enrolment), accept_jobs: true, accept_answers: false, waiting }
}

fn with(change: impl FnOnce(&mut CentralEnrolment)) -> CentralStatus {
    let mut status = away(31);
    change(status.enrolment.as_mut().unwrap());
    status
}

fn shown(status: &CentralStatus) -> String {
    central(Paint::PLAIN, None, status, "lanyard enroll URL", at())
}

#[test]
fn away_is_said_with_what_it_means() {
    let text = shown(&away(31));
    let first = text.lines().next().unwrap();
    assert_eq!(
        first,
        "Central backend not reached for 12 min. 31 audit records wait on this machine; nothing is lost."
    );
    assert!(
        text.contains(
            "this machine ──── ✗ ╌╌╌╌ central.example:7720   last answered 12 min ago: connection refused"
        ),
        "{text}"
    );
    assert!(text.contains("▓░░░░░░░░░░░░░░░░░░░ 31 audit records, the oldest 12 min ago"), "{text}");
    assert!(text.contains("240 events of 2 sessions"), "{text}");
    assert!(text.contains("jobs allowed, answers not allowed") && text.contains("epoch 7"), "{text}");
    assert!(!text.contains("clock"), "{text}");
    assert!(shown(&away(1)).contains("1 audit record waits on this machine"));
}

#[test]
fn reached_and_nothing_waiting_is_short() {
    let mut status = with(|enrolment| {
        enrolment.link = CentralLink { reached: true, since: ago(3 * MINUTE), reason: None };
    });
    status.waiting = CentralWaiting::default();
    let text = shown(&status);
    assert!(text.starts_with("Central backend reached. Nothing waits to be sent.\n"), "{text}");
    assert!(text.contains("──────────── central.example:7720   reached since 3 min ago"), "{text}");
    assert!(!text.contains('░') && !text.contains("events of"), "{text}");
}

#[test]
fn what_is_worse_comes_first() {
    let revoked = shown(&with(|it| it.policy_revoked = Some("mia: a token leaked".into())));
    assert!(
        revoked.starts_with("The policy was revoked by mia: a token leaked. Sessions stand still"),
        "{revoked}"
    );
    assert!(revoked.contains("revoked at epoch 7"), "{revoked}");
    let ended = shown(&with(|it| {
        it.policy_revoked = Some("x".into());
        it.revoked = Some("machine lost".into());
    }));
    assert!(ended.starts_with("The centre ended this enrolment (machine lost)."), "{ended}");
    assert!(ended.contains("lanyard unenroll") && ended.contains("enrolment ended"), "{ended}");
    let full = shown(&away(10_000));
    assert!(full.starts_with("10,000 audit records wait on this machine: until"), "{full}");
    assert!(full.contains(&"▓".repeat(20)) && !full.contains('░'), "{full}");
    assert!(shown(&away(1_000_000)).contains(&"▓".repeat(20)), "more than full is full");
}

#[test]
fn a_clock_that_is_off_and_a_certificate_that_ran_out_are_said() {
    let text = shown(&with(|it| {
        it.clock_ahead_millis = 3 * 3_600_000;
        it.certificate_not_after = ago(MINUTE);
        it.policy_epoch = 0;
        it.last_sent_at = None;
    }));
    assert!(text.contains("3 h ahead of the centre's"), "{text}");
    assert!(
        text.contains("has run out") && text.contains("none heard of yet") && text.contains("nothing yet"),
        "{text}"
    );
    assert!(shown(&with(|it| it.clock_ahead_millis = -6_000)).contains("6.0 s behind the centre's"));
}

#[test]
fn foreign_text_does_not_act_on_the_terminal() {
    let text = shown(&with(|it| {
        it.url = "https://\u{1b}[2J".into();
        it.tenant_id = "a\u{1b}]0;x\u{7}".into();
        it.policy_revoked = Some("\u{202e}x\r\n".into());
        it.link.reason = Some("\u{1b}[31m".into());
    }));
    assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}', '\r']), "{text:?}");
}

#[test]
fn a_host_of_its_own_is_told_the_way() {
    let text = shown(&CentralStatus::default());
    assert!(text.contains("works by itself") && text.contains("lanyard enroll URL"), "{text}");
}

#[test]
fn the_beginning_and_the_end() {
    let text = enrolled(Paint::PLAIN, &away(0), ("lanyard sync status", false), at());
    assert!(text.starts_with("This host belongs to acme at https://central.example:7720 now."), "{text}");
    assert!(
        text.contains("What was recorded before stays here") && text.contains("lanyard sync status"),
        "{text}"
    );
    let text = unenrolled(&CentralStatus::default(), "lanyard enroll URL");
    assert!(text.contains("its own again") && text.contains("lanyard enroll URL"), "{text}");
    assert!(unenrolled(&away(0), "x").contains("still enrolled"));
}

#[test]
fn what_is_allowed_is_said_plainly() {
    for what in [Consent::Jobs, Consent::Answers] {
        assert!(consent_question(what).contains('?'));
        assert_ne!(consent_words(what, true), consent_words(what, false));
    }
    assert!(consent_question(Consent::Jobs).contains("your approvals"));
    assert!(consent_question(Consent::Answers).contains("only you and your devices"));
}
