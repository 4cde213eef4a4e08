//! The store against a model: random batches, refused and accepted, with restarts between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lanyard_ports::journal::{CallPhase, Cursor, Journal, Write};
use lanyard_protocol::approval::{ApprovalState, RememberedRule};
use proptest::prelude::*;

use super::disk::SimDisk;
use super::sample::*;
use super::{Heard, counts};
use crate::open::open_on;
use crate::{Store, StoreOptions};

const SESSIONS: [&str; 3] = ["a", "a.b", "b"];
const CALLS: [&str; 2] = ["c1", "c2"];
const APPROVALS: [&str; 2] = ["ap1", "ap2"];
const DEVICES: [&str; 3] = ["d1", "d1.b", "d2"];
const COUNTED: [&str; 2] = ["c", "c.d"];
/// Fewer than the devices, so that they meet.
const KEYS: u8 = 3;
const PHASES: [CallPhase; 6] = [
    CallPhase::Planned,
    CallPhase::Authorized,
    CallPhase::Started,
    CallPhase::Finished,
    CallPhase::Indeterminate,
    CallPhase::Reported,
];
const STATES: [ApprovalState; 3] = [ApprovalState::Pending, ApprovalState::Approved, ApprovalState::Expired];

#[derive(Debug, Clone)]
enum Row {
    Add,
    Delete,
    Event,
    Delta,
    Message,
    Call(usize, usize),
    Approval(usize, usize),
    Checkpoint,
    Clear,
    Progress(i64),
    Device(usize, u8),
    RemoveDevice(usize),
    /// An answer for good, by a device.
    Rule(usize),
    Connection(u64, bool),
    Count(usize, u64),
}

#[derive(Debug, Clone)]
enum Step {
    Batch { rows: Vec<(usize, Row)>, append: bool },
    Reopen,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Session {
    events: u64,
    messages: u64,
    calls: BTreeMap<usize, usize>,
    approvals: BTreeMap<usize, usize>,
    checkpoint: bool,
    changed: i64,
}

#[derive(Debug, Clone, Default)]
struct Model {
    sessions: BTreeMap<usize, Session>,
    /// Each with its key.
    devices: BTreeMap<usize, u8>,
    /// Devices that have answered for good.
    rules: BTreeSet<usize>,
    connections: BTreeMap<u64, bool>,
    counts: BTreeMap<usize, u64>,
}

impl Model {
    /// Whether the row is allowed; applies it if so.
    fn apply(&mut self, at: usize, row: &Row) -> Option<()> {
        match row {
            Row::Add => match self.sessions.contains_key(&at) {
                true => None,
                false => {
                    self.sessions.insert(at, Session { changed: 1_000, ..Session::default() });
                    Some(())
                }
            },
            Row::Clear => {
                if let Some(session) = self.sessions.get_mut(&at) {
                    session.checkpoint = false;
                }
                Some(())
            }
            Row::Delete if self.sessions.get(&at).is_some_and(|session| session.checkpoint) => None,
            Row::Delete => self.sessions.remove(&at).map(|_| ()),
            Row::Delta => None,
            Row::Device(..) | Row::RemoveDevice(_) | Row::Rule(_) | Row::Connection(..) | Row::Count(..) => {
                self.of_the_host(row)
            }
            other => self.change(at, other),
        }
    }

    /// Rows of no session.
    fn of_the_host(&mut self, row: &Row) -> Option<()> {
        match row {
            Row::Device(device, key) => {
                if self.devices.iter().any(|(other, its)| other != device && its == key) {
                    return None;
                }
                self.devices.insert(*device, *key);
            }
            Row::RemoveDevice(device) => {
                self.devices.remove(device);
                self.rules.remove(device);
            }
            Row::Rule(device) => {
                self.rules.insert(*device);
            }
            Row::Connection(number, ended) => {
                self.connections.insert(*number, *ended);
            }
            Row::Count(name, add) => {
                let count = self.counts.entry(*name).or_default();
                *count = count.saturating_add(*add);
            }
            _ => unreachable!("a row of a session"),
        }
        Some(())
    }

    fn change(&mut self, at: usize, row: &Row) -> Option<()> {
        let session = self.sessions.get_mut(&at)?;
        match row {
            Row::Event => session.events += 1,
            Row::Message => session.messages += 1,
            Row::Checkpoint => session.checkpoint = true,
            Row::Progress(millis) => session.changed = session.changed.max(*millis),
            Row::Call(call, phase) => {
                let before = session.calls.get(call).copied().unwrap_or(0);
                let sideways =
                    PHASES[before] == CallPhase::Finished && PHASES[*phase] == CallPhase::Indeterminate;
                if *phase < before || sideways {
                    return None;
                }
                session.calls.insert(*call, *phase);
            }
            Row::Approval(approval, state) => {
                match session.approvals.get(approval) {
                    Some(before) if *before != 0 && before != state => return None,
                    _ => {}
                }
                session.approvals.insert(*approval, *state);
            }
            _ => unreachable!("not a row of a session that is there"),
        }
        Some(())
    }

    /// The whole batch, or nothing of it.
    fn batch(&mut self, rows: &[(usize, Row)]) -> bool {
        let mut trial = self.clone();
        let accepted = rows.iter().all(|(at, row)| trial.apply(*at, row).is_some());
        if accepted {
            *self = trial;
        }
        accepted
    }
}

fn write(at: usize, row: &Row) -> Write {
    let name = SESSIONS[at];
    match row {
        Row::Add => session(name),
        Row::Delete => Write::DeleteSession(sid(name)),
        Row::Event => event(name, "text"),
        Row::Delta => delta(name),
        Row::Message => message(name, "text"),
        Row::Call(c, phase) => call(name, CALLS[*c], PHASES[*phase]),
        Row::Approval(a, state) => approval(name, APPROVALS[*a], STATES[*state]),
        Row::Checkpoint => checkpoint(name),
        Row::Clear => Write::ClearCheckpoint(sid(name)),
        Row::Device(d, key) => device(DEVICES[*d], *key),
        Row::RemoveDevice(d) => Write::RemoveDevice(id(DEVICES[*d])),
        Row::Rule(d) => answered(DEVICES[*d]),
        Row::Connection(number, ended) => connection(*number, *ended),
        Row::Count(n, add) => count(COUNTED[*n], *add),
        Row::Progress(millis) => progress(name, |p| p.at = at_millis(*millis)),
    }
}

/// An answer for good, by a device; named after it.
fn answered(device: &str) -> Write {
    let record = rule_record(device, None);
    Write::Rule(Box::new(RememberedRule { created_by: id(device), fingerprint: device.to_owned(), ..record }))
}

fn at_millis(millis: i64) -> lanyard_protocol::Timestamp {
    lanyard_protocol::Timestamp::from_millis(millis)
}

fn row() -> impl Strategy<Value = Row> {
    prop_oneof![
        4 => Just(Row::Add),
        1 => Just(Row::Delete),
        6 => Just(Row::Event),
        1 => Just(Row::Delta),
        3 => Just(Row::Message),
        4 => (0..CALLS.len(), 0..PHASES.len()).prop_map(|(c, p)| Row::Call(c, p)),
        4 => (0..APPROVALS.len(), 0..STATES.len()).prop_map(|(a, s)| Row::Approval(a, s)),
        2 => Just(Row::Checkpoint),
        1 => Just(Row::Clear),
        3 => (0..5_000_i64).prop_map(Row::Progress),
        3 => (0..DEVICES.len(), 0..KEYS).prop_map(|(d, key)| Row::Device(d, key)),
        1 => (0..DEVICES.len()).prop_map(Row::RemoveDevice),
        2 => (0..DEVICES.len()).prop_map(Row::Rule),
        2 => (1..6_u64, any::<bool>()).prop_map(|(n, ended)| Row::Connection(n, ended)),
        2 => (0..COUNTED.len(), prop_oneof![0..9_u64, Just(u64::MAX - 20)])
            .prop_map(|(n, add)| Row::Count(n, add)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let rows = prop::collection::vec((0..SESSIONS.len(), row()), 1..5);
    prop_oneof![
        12 => (rows, any::<bool>()).prop_map(|(rows, append)| Step::Batch { rows, append }),
        1 => Just(Step::Reopen),
    ]
}

fn compare(store: &Store, model: &Model) {
    for (at, name) in SESSIONS.iter().enumerate() {
        let id = sid(name);
        let Some(expected) = model.sessions.get(&at) else {
            assert!(store.session(&id).is_err(), "{name} should not exist");
            continue;
        };
        let record = store.session(&id).unwrap();
        let waiting = expected.approvals.values().filter(|state| **state == 0).count();
        assert_eq!(record.summary.last_seq, expected.events, "{name}");
        assert_eq!(record.summary.pending_approvals as usize, waiting, "{name}");
        assert_eq!(record.summary.updated_at.as_millis(), expected.changed, "{name}");
        let page = store.events(&id, Cursor::After(0), 1_000).unwrap();
        let seqs: Vec<_> = page.events.iter().filter_map(|event| event.seq).collect();
        assert_eq!(seqs, (1..=expected.events).collect::<Vec<_>>(), "{name}");
        assert_eq!(store.messages(&id, 0, 1_000).unwrap().len() as u64, expected.messages, "{name}");
        for (c, call) in CALLS.iter().enumerate() {
            let phase = store.call(&id, &cid(call)).unwrap().map(|call| call.phase);
            assert_eq!(phase, expected.calls.get(&c).map(|phase| PHASES[*phase]), "{name} {call}");
        }
        let settled = store.approvals(Some(&id), true, 9).unwrap();
        assert_eq!(settled.len(), expected.approvals.len(), "{name}");
        for record in settled {
            let at = APPROVALS.iter().position(|a| *a == record.request.approval_id.as_str()).unwrap();
            assert_eq!(record.state, STATES[expected.approvals[&at]], "{name}");
        }
        assert_eq!(store.checkpoint(&id).unwrap().is_some(), expected.checkpoint, "{name}");
    }
    let mut order: Vec<_> = model.sessions.iter().map(|(at, s)| (s.changed, SESSIONS[*at])).collect();
    order.sort_by(|a, b| b.cmp(a));
    let (listed, _) = store.list_sessions(None, None, 9).unwrap();
    let listed: Vec<_> = listed.iter().map(|s| (s.updated_at.as_millis(), s.session_id.as_str())).collect();
    assert_eq!(listed, order);
    let waiting: usize =
        model.sessions.values().map(|s| s.approvals.values().filter(|a| **a == 0).count()).sum();
    let counters = store.counters().unwrap();
    assert_eq!(counters.approvals_pending as usize, waiting);
    assert_eq!(store.approvals(None, false, 99).unwrap().len(), waiting);
    assert_eq!(counters.events, model.sessions.values().map(|s| s.events).sum::<u64>());
}

fn compare_host(store: &Store, model: &Model) {
    let devices: Vec<_> =
        model.devices.iter().map(|(device, key)| device_record(DEVICES[*device], *key)).collect();
    assert_eq!(store.devices().unwrap(), devices);
    let rules: Vec<_> = store.rules().unwrap().into_iter().map(|rule| rule.rule_id.to_string()).collect();
    assert_eq!(rules, model.rules.iter().map(|device| DEVICES[*device]).collect::<Vec<_>>());
    let connections: Vec<_> =
        model.connections.iter().rev().map(|(number, ended)| connection_record(*number, *ended)).collect();
    assert_eq!(store.connections(9).unwrap(), connections);
    let counts: Vec<_> =
        model.counts.iter().map(|(name, count)| (COUNTED[*name].to_owned(), *count)).collect();
    assert_eq!(store.counts("").unwrap(), counts);
}

/// Runs the steps; appended batches are followed by a flush, so that a refusal shows at a known place.
async fn run(steps: Vec<Step>) {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions::new(dir.path());
    let mut disk = SimDisk::default();
    let mut model = Model::default();
    let mut store = open_on(&options, Arc::new(Heard::default()), disk.clone()).unwrap().0;
    for step in steps {
        match step {
            Step::Reopen => {
                store.close().unwrap();
                drop(store);
                disk = disk.copy();
                store = open_on(&options, Arc::new(Heard::default()), disk.clone()).unwrap().0;
            }
            Step::Batch { rows, append } => {
                let batch: Vec<Write> = rows.iter().map(|(at, row)| write(*at, row)).collect();
                let accepted = model.batch(&rows);
                if append && accepted {
                    store.append(batch).await.unwrap();
                    store.commit(vec![]).await.unwrap();
                } else {
                    assert_eq!(store.commit(batch).await.is_ok(), accepted, "{rows:?}");
                }
            }
        }
        compare(&store, &model);
        compare_host(&store, &model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: counts(40, 2_000) as u32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_does_what_the_model_says(steps in prop::collection::vec(step(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(steps));
    }
}
