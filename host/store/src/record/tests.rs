//! Every record comes back as it went in, and its bytes do not change by accident.

use data_encoding::HEXLOWER;
use lanyard_ports::journal::{CallPhase, SessionRecord};
use lanyard_protocol::approval::ApprovalState;
use lanyard_protocol::event::{
    EventBody, HostEvent, HostEventBody, SessionDeleted, SessionEvent, SessionPaused,
};
use lanyard_protocol::session::TaskState;
use proptest::prelude::*;
use sha2::Digest as _;

use super::*;
use crate::tests::sample;

fn sample_event() -> SessionEvent {
    SessionEvent {
        event_id: sample::id("ev"),
        seq: Some(7),
        workspace_id: sample::id("ws1"),
        session_id: sample::id("a"),
        task_id: None,
        step_id: Some(sample::id("s1")),
        timestamp: sample::at(5),
        body: EventBody::SessionPaused(SessionPaused { reason: "wait".to_owned() }),
    }
}

fn call_row() -> CallRow {
    let call = sample::call_record("a", "c1", CallPhase::Finished);
    CallRow {
        phase: call.phase,
        replay: call.replay,
        approval_id: call.approval_id,
        completed: call.completed,
    }
}

fn central_row() -> CentralRow {
    CentralRow {
        enrolment: Some(EnrolmentRow {
            agent_id: "agent-1".to_owned(),
            tenant_id: "acme".to_owned(),
            first_outbox: 300,
        }),
        sent: 310,
        head_seq: 11,
        head_hash: [7; 32],
        command: 4,
        place: 500,
    }
}

fn central_session_row() -> CentralSessionRow {
    CentralSessionRow {
        workspace_id: sample::id("ws1"),
        shipped_seq: 300,
        timeline: true,
        job_id: Some("job-1".to_owned()),
        deleted: false,
        place: Some(500),
        upload: None,
    }
}

/// Encodes, decodes, compares, and says what the bytes hash to.
fn round_trip<R: Record + PartialEq + std::fmt::Debug>(record: &R) -> String {
    let bytes = record.encode().unwrap();
    assert_eq!(R::decode(&bytes).as_ref(), Ok(record));
    assert!(decodes(R::TABLE, &bytes));
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(R::decode(&longer).is_err(), "trailing bytes are taken for a record");
    let digest = HEXLOWER.encode(&sha2::Sha256::digest(&bytes));
    format!("{} {}", R::TABLE.name(), &digest[..16])
}

fn every_record() -> Vec<String> {
    let host = HostEvent {
        host_seq: 3,
        timestamp: sample::at(9),
        body: HostEventBody::SessionDeleted(SessionDeleted { session_id: sample::id("a") }),
    };
    let mut digest = Digest::default();
    digest.add("A Prompt");
    vec![
        round_trip(&Totals { host_seq: 1, row_bytes: 2, ..Totals::default() }),
        round_trip(&MigrationRow { applied_at: sample::at(1), by: "0.1.0".to_owned() }),
        round_trip(&sample::session_record("a", 1)),
        round_trip(&Head { last_seq: 1, messages: 2, pending_approvals: 3 }),
        round_trip(&digest),
        round_trip(&sample::id::<WorkspaceId>("ws1")),
        round_trip(&sample::task("t1", TaskState::Failed)),
        round_trip(&sample_event()),
        round_trip(&sample::message_record("a", "text")),
        round_trip(&sample::request("a", "c1")),
        round_trip(&call_row()),
        round_trip(&sample::approval_record("a", "ap1", ApprovalState::Approved, 1)),
        round_trip(&sample::rule_record("r1", Some("a"))),
        round_trip(&sample::checkpoint_record("a")),
        round_trip(&sample::baseline_record("a", "/f", Some(sample::id("sha256-ab")))),
        round_trip(&sample::command_record("k", "ff", 1)),
        round_trip(&host),
        round_trip(&sample::envelope("a")),
        round_trip(&OwnerRow { size: 5 }),
        round_trip(&sample::device_record("d1", 7)),
        round_trip(&sample::connection_record(300, true)),
        round_trip(&CounterRow { count: 300 }),
        round_trip(&central_row()),
        round_trip(&central_session_row()),
    ]
}

#[test]
fn the_tasks_of_the_last_days_round_trip_and_their_bytes_are_pinned() {
    let mut days = DaysRow::default();
    days.day(20_400).completed = 3;
    days.day(20_401).failed = 300;
    assert_eq!(round_trip(&days), "meta 45e4895bdf7fd3b4");
}

#[test]
fn days_far_from_the_one_counted_go() {
    let mut days = DaysRow::default();
    let mut kept = |day: u32| {
        days.day(day).completed += 1;
        days.days.iter().map(|row| row.day).collect::<Vec<_>>()
    };
    assert_eq!(kept(100), [100]);
    assert_eq!(kept(113), [100, 113]);
    assert_eq!(kept(114), [113, 114], "a fortnight is over");
    assert_eq!(kept(101), [101, 113, 114], "a clock set back a little loses nothing");
    assert_eq!(kept(90_000), [90_000]);
    assert_eq!(kept(115), [115], "a clock that was wrong for a while leaves nothing behind");
    for day in 0..1_000 {
        days.day(day).completed += 1;
        assert!(days.days.len() <= 2 * lanyard_protocol::limits::HEALTH_DAYS);
    }
}

/// What is on people's disks. A change here needs a new version byte and a decoder for the old form.
const PINNED: &[&str] = &[
    "meta c0ddac4c5614c901",
    "migrations 0974d2c05903a1fd",
    "sessions 959eb063955368a9",
    "heads 9184abd2bb318731",
    "digests 796e9adea6442ec5",
    "workspaces 0dac2155a1a7bdd0",
    "tasks d360308c8e73438f",
    "events a793ea67959d7afa",
    "messages 80d2eb9e0c0575a8",
    "call_requests 0854bb3aa2d41c30",
    "calls 6f44bb5db018e8d0",
    "approvals 642ebbafffdfade8",
    "rules 31431ba65732abeb",
    "checkpoints 8a6d1fab46faa068",
    "baselines 319a8722448d0774",
    "commands 3b987edf79edfcd1",
    "host_events ff2e8f27c2f34a13",
    "outbox d9adfedc23e2aac7",
    "artifact_owners bc5959f43bc6e471",
    "devices 7acd385e8c057750",
    "connections a88ea3fcb9f350af",
    "counters 261d5919e9e0b27f",
    "central 38ff96e82cac180f",
    "central_sessions c0dcee18e024c124",
];

#[test]
fn every_record_round_trips_and_its_bytes_are_pinned() {
    assert_eq!(every_record(), PINNED);
}

#[test]
fn every_phase_and_every_replay_round_trips() {
    use lanyard_ports::journal::Replay;
    let phases = [
        CallPhase::Planned,
        CallPhase::Authorized,
        CallPhase::Started,
        CallPhase::Finished,
        CallPhase::Indeterminate,
        CallPhase::Reported,
    ];
    for phase in phases {
        for replay in [Replay::PureRead, Replay::Opaque, call_row().replay] {
            round_trip(&CallRow { phase, replay, approval_id: None, completed: None });
        }
    }
}

#[test]
fn a_device_without_what_may_be_missing_round_trips() {
    use lanyard_ports::journal::DeviceRecord;
    let bare =
        DeviceRecord { scopes: vec![], last_seen: None, provisional: None, ..sample::device_record("d1", 0) };
    round_trip(&bare);
}

#[test]
fn a_device_that_another_one_let_in_has_a_version_of_its_own() {
    use lanyard_ports::journal::DeviceRecord;
    let made = DeviceRecord { made_by: Some(sample::id("d0")), ..sample::device_record("d1", 0) };
    round_trip(&made);
    let (bytes, bare) = (made.encode().unwrap(), sample::device_record("d1", 0).encode().unwrap());
    assert_eq!((bytes[0], bare[0]), (2, 1));
    assert_eq!(bytes[1..bare.len()], bare[1..], "what there was before, and then its maker");
    assert_eq!(bytes[bare.len()..], *b"\x02d0");
}

#[cfg(unix)]
#[test]
fn a_path_that_is_not_unicode_round_trips() {
    use std::os::unix::ffi::OsStrExt;
    let mut baseline = sample::baseline_record("a", "/f", None);
    baseline.path = std::ffi::OsStr::from_bytes(b"/\xff\xfe/f").into();
    round_trip(&baseline);
    let mut session = sample::session_record("a", 1);
    session.roots = vec![baseline.path];
    round_trip(&session);
}

#[test]
fn what_an_enrolment_adds_to_a_session_has_a_version_of_its_own() {
    let bare = sample::session_record("a", 1);
    let enrolled = SessionRecord { agent_id: Some("agent-1".to_owned()), ..bare.clone() };
    assert_eq!(round_trip(&enrolled), "sessions 7be3bc6723703109");
    assert_eq!((bare.encode().unwrap()[0], enrolled.encode().unwrap()[0]), (1, 2));
    let bare = central_session_row();
    let uploading = CentralSessionRow { upload: Some(1 << 20), ..bare.clone() };
    assert_eq!(round_trip(&uploading), "central_sessions c20284a9ca194329");
    assert_eq!((bare.encode().unwrap()[0], uploading.encode().unwrap()[0]), (1, 2));
}

#[test]
fn an_unknown_version_is_named() {
    let mut bytes = Head::default().encode().unwrap();
    bytes[0] = 2;
    assert_eq!(Head::decode(&bytes), Err(RecordError::Version(2)));
    assert_eq!(Head::decode(&[]), Err(RecordError::Empty));
}

#[test]
fn every_table_has_a_decoder_and_no_other_number_does() {
    assert!(
        (0..=u8::MAX).filter(|table| TableId::from_index(*table).is_some()).count() == TableId::ALL.len()
    );
    assert!(!fuzz_decode(u8::MAX, &[]));
    for (i, table) in TableId::ALL.iter().enumerate() {
        assert_eq!(table.index(), i);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(table in 0..32_u8, mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz_decode(table, &bytes);
        if let Some(first) = bytes.first_mut() {
            *first = VERSION;
        }
        fuzz_decode(table, &bytes);
    }
}
