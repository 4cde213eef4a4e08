//! What central services have and what waits for them: the outbox and its chain, the sessions they know.

use std::collections::BTreeMap;

use lanyard_ports::journal::{
    AuditBacklog, AuditHead, CentralSession, Journal, LogBacklog, SessionRecord, Write,
};
use proptest::prelude::*;

use super::Fixture;
use super::sample::*;
use crate::table::TableId;
use crate::writer::{OUTBOX, OUTBOX_SLACK};

fn acknowledge(up_to: u64, seq: u64) -> Write {
    Write::AcknowledgeOutbox { up_to, head: head(seq) }
}

fn shipped(session: &str, seq: u64) -> Write {
    Write::Shipped { session_id: sid(session), seq }
}

fn numbers(f: &Fixture) -> Vec<u64> {
    f.store.outbox(0, usize::MAX).unwrap().into_iter().map(|(number, _)| number).collect()
}

fn tenants(f: &Fixture) -> Vec<String> {
    f.store.outbox(0, usize::MAX).unwrap().into_iter().map(|(_, record)| record.tenant_id).collect()
}

/// Sessions in line, with what was sent of them and where they end.
fn line(f: &Fixture) -> Vec<(String, u64, u64)> {
    let waiting = f.store.unshipped(usize::MAX).unwrap();
    let row = |one: &lanyard_ports::journal::Unshipped| {
        (one.session.session_id.to_string(), one.session.shipped_seq, one.last_seq)
    };
    waiting.iter().map(row).collect()
}

async fn enrolled() -> Fixture {
    let f = Fixture::new();
    f.commit(vec![enrol("agent-1", "acme"), session("a"), session("b")]).await;
    f
}

#[tokio::test]
async fn a_machine_of_its_own_has_nothing_to_send() {
    let f = Fixture::new();
    f.commit(vec![session("a"), audit("a"), event("a", "one")]).await;
    assert_eq!(f.store.enrolment(), Ok(None));
    assert_eq!(f.store.audit_backlog(), Ok(AuditBacklog::default()));
    assert_eq!(f.store.log_backlog(), Ok(LogBacklog::default()));
    assert_eq!((f.store.unshipped(9), f.store.central_session(&sid("a"))), (Ok(vec![]), Ok(None)));
    assert_eq!((f.store.audit_head(), f.store.central_command()), (Ok(AuditHead::default()), Ok(0)));
    assert_eq!(f.store.counters().unwrap().outbox_depth, 1, "its own log, as ever");
    for row in [acknowledge(1, 1), Write::AuditHead(head(1)), central_session("a", 0)] {
        assert!(f.refused(vec![row]).await.contains("this host is enrolled nowhere"));
    }
}

#[tokio::test]
async fn only_what_was_made_since_is_the_centres_and_carries_its_tenant() {
    let f = Fixture::new();
    f.commit(vec![session("a"), audit("a"), audit("a")]).await;
    f.commit(vec![enrol("agent-1", "acme"), audit("a")]).await;
    f.commit(vec![audit("a")]).await;
    assert_eq!(f.store.enrolment().unwrap(), Some(enrolment_record("agent-1", "acme", 3)));
    assert_eq!((numbers(&f), tenants(&f)), (vec![3, 4], vec!["acme".to_owned(), "acme".to_owned()]));
    assert_eq!(f.store.outbox(3, 9).unwrap().len(), 1);
    let backlog = AuditBacklog { records: 2, oldest_at: Some(envelope("a").timestamp) };
    assert_eq!(f.store.audit_backlog(), Ok(backlog));
    assert_eq!(f.store.counters().unwrap().outbox_depth, 2);
    // The machine's own log is still there, and comes to light when it is its own again.
    let f = f.reopen();
    f.commit(vec![acknowledge(4, 2), Write::Unenrol, audit("a")]).await;
    assert_eq!(numbers(&f), [1, 2, 5]);
    assert_eq!(tenants(&f)[2], "local");
}

#[tokio::test]
async fn what_was_taken_goes_with_the_chains_new_end() {
    let f = enrolled().await;
    f.commit(vec![audit("a"), audit("a"), audit("a")]).await;
    f.commit(vec![acknowledge(2, 2)]).await;
    let f = f.reopen();
    assert_eq!((f.store.audit_head(), numbers(&f)), (Ok(head(2)), vec![3]));
    assert_eq!(f.store.audit_backlog().unwrap().records, 1);
    // Neither twice, nor what is not there, nor with a chain that goes back.
    assert!(f.refused(vec![acknowledge(2, 3)]).await.contains("3 to 3 wait"));
    assert!(f.refused(vec![acknowledge(4, 4)]).await.contains("3 to 3 wait"));
    assert!(f.refused(vec![acknowledge(3, 2)]).await.contains("cannot go back to 2"));
    assert_eq!((f.store.audit_head(), numbers(&f)), (Ok(head(2)), vec![3]));
    f.commit(vec![acknowledge(3, 3)]).await;
    assert_eq!(f.store.audit_backlog(), Ok(AuditBacklog::default()));
    // A centre that knows better where the chain stands.
    f.commit(vec![Write::AuditHead(head(40)), audit("a"), acknowledge(4, 41)]).await;
    assert_eq!((f.store.audit_head(), numbers(&f)), (Ok(head(41)), vec![]));
}

#[tokio::test]
async fn nothing_that_waits_is_dropped() {
    let f = Fixture::new();
    let own = 100;
    f.commit(std::iter::once(session("a")).chain((0..own).map(|_| audit("a"))).collect()).await;
    f.commit(vec![enrol("agent-1", "acme")]).await;
    let whole = OUTBOX + OUTBOX_SLACK + 2_000;
    let mut left = whole;
    while left > 0 {
        let chunk = left.min(10_000);
        f.commit((0..chunk).map(|_| audit("a")).collect()).await;
        left -= chunk;
    }
    assert_eq!(f.store.audit_backlog().unwrap().records, whole);
    assert_eq!(f.store.outbox(0, 1).unwrap()[0].0, own + 1, "the first that waits is there");
    let rows = f.store.view().unwrap().len(TableId::Outbox).unwrap();
    assert_eq!(rows, whole, "the machine's own log makes room");
    // Given up by the owner, it is the machine's own log again and bounded as such.
    f.commit(vec![Write::Unenrol, audit("a")]).await;
    assert_eq!(f.store.view().unwrap().len(TableId::Outbox).unwrap(), OUTBOX);
}

#[tokio::test]
async fn another_agent_begins_another_chain_and_another_tenant_gets_nothing_old() {
    let f = enrolled().await;
    f.commit(vec![
        audit("a"),
        audit("a"),
        acknowledge(1, 1),
        Write::CentralCommand(7),
        central_session("a", 0),
        event("a", "one"),
    ])
    .await;
    // The same agent again: nothing is forgotten.
    f.commit(vec![enrol("agent-1", "acme")]).await;
    assert_eq!((f.store.audit_head(), f.store.central_command()), (Ok(head(1)), Ok(7)));
    assert_eq!((numbers(&f), line(&f).len()), (vec![2], 1));
    // Enrolled anew at the same tenant: what waits is sent under the new name.
    f.commit(vec![enrol("agent-2", "acme")]).await;
    assert_eq!((f.store.audit_head(), f.store.central_command()), (Ok(AuditHead::default()), Ok(0)));
    assert_eq!((numbers(&f), line(&f)), (vec![2], vec![]));
    assert_eq!(f.store.central_session(&sid("a")), Ok(None));
    // At another tenant: not a row.
    f.commit(vec![enrol("agent-3", "other"), audit("a")]).await;
    assert_eq!((numbers(&f), tenants(&f)), (vec![3], vec!["other".to_owned()]));
    assert_eq!(f.store.enrolment().unwrap(), Some(enrolment_record("agent-3", "other", 3)));
}

#[tokio::test]
async fn a_session_stays_with_the_enrolment_that_first_knew_it() {
    let f = enrolled().await;
    let whose = |f: &Fixture, name: &str| f.store.session(&sid(name)).unwrap().agent_id;
    f.commit(vec![central_session("a", 0), event("a", "one")]).await;
    let f = f.reopen();
    assert_eq!((whose(&f, "a").as_deref(), whose(&f, "b")), (Some("agent-1"), None));
    // Forgotten by the centre, it can be registered anew.
    f.commit(vec![Write::ForgetCentralSession(sid("a")), central_session("a", 0)]).await;
    f.commit(vec![Write::Unenrol, event("a", "private"), enrol("agent-2", "other")]).await;
    let refusal = f.refused(vec![central_session("a", 0)]).await;
    assert!(refusal.contains("belongs to agent-1, an earlier enrolment"), "{refusal}");
    assert_eq!((line(&f), f.store.central_session(&sid("a"))), (vec![], Ok(None)));
    // Nobody's is whose it is handed to first.
    f.commit(vec![central_session("b", 0), event("b", "two")]).await;
    assert_eq!((whose(&f, "b").as_deref(), line(&f).len()), (Some("agent-2"), 1));
    // What the daemon writes there does not count.
    let forged = SessionRecord { agent_id: Some("agent-2".to_owned()), ..session_record("c", 1) };
    f.commit(vec![Write::Session(Box::new(forged))]).await;
    assert_eq!(whose(&f, "c"), None);
}

#[tokio::test]
async fn the_command_cursor_only_goes_forward() {
    let f = enrolled().await;
    f.commit(vec![Write::CentralCommand(5), Write::CentralCommand(3)]).await;
    assert_eq!(f.reopen().store.central_command(), Ok(5));
}

#[tokio::test]
async fn a_session_waits_while_its_log_is_ahead() {
    let f = enrolled().await;
    f.commit(vec![event("a", "before"), central_session("a", 0), event("b", "nobody else's")]).await;
    assert_eq!(line(&f), [("a".to_owned(), 0, 1)]);
    f.commit(vec![event("a", "two"), event("a", "three")]).await;
    assert_eq!(f.store.log_backlog(), Ok(LogBacklog { sessions: 1, events: 3 }));
    f.commit(vec![shipped("a", 2)]).await;
    assert_eq!(line(&f), [("a".to_owned(), 2, 3)]);
    // An answer that comes late changes nothing; one that cannot be is refused.
    f.commit(vec![shipped("a", 1), shipped("b", 1)]).await;
    assert!(f.refused(vec![shipped("a", 4)]).await.contains("ends at 3"));
    f.commit(vec![shipped("a", 3)]).await;
    assert_eq!((line(&f), f.store.log_backlog()), (vec![], Ok(LogBacklog::default())));
    let f = f.reopen();
    f.commit(vec![event("a", "four")]).await;
    assert_eq!(line(&f), [("a".to_owned(), 3, 4)]);
    let known = CentralSession { shipped_seq: 3, ..central_session_record("a", 0) };
    assert_eq!(f.store.central_session(&sid("a")), Ok(Some(known)));
}

#[tokio::test]
async fn what_is_known_of_a_session_changes_but_not_how_far_it_was_sent() {
    let f = enrolled().await;
    f.commit(vec![event("a", "one"), event("a", "two"), central_session("a", 1)]).await;
    let changed = CentralSession {
        workspace_id: id("ws-of-the-centre"),
        timeline: false,
        upload: None,
        job_id: None,
        shipped_seq: 0,
        ..central_session_record("a", 0)
    };
    f.commit(vec![Write::CentralSession(Box::new(changed.clone()))]).await;
    let kept = f.store.central_session(&sid("a")).unwrap().unwrap();
    assert_eq!(kept, CentralSession { shipped_seq: 1, ..changed });
    assert_eq!(line(&f), [("a".to_owned(), 1, 2)]);
    assert!(f.refused(vec![central_session("b", 1)]).await.contains("the log of session b ends at 0"));
    assert_eq!(f.refused(vec![central_session("x", 0)]).await, "session x does not exist");
}

#[tokio::test]
async fn who_waits_longest_is_first_and_a_part_sent_goes_to_the_end() {
    let f = enrolled().await;
    f.commit(vec![central_session("a", 0), central_session("b", 0)]).await;
    f.commit(vec![event("b", "one"), event("b", "two")]).await;
    f.commit(vec![event("a", "one"), event("b", "three")]).await;
    let order = |f: &Fixture| line(f).into_iter().map(|(id, ..)| id).collect::<Vec<_>>();
    assert_eq!(order(&f), ["b", "a"]);
    f.commit(vec![shipped("b", 1)]).await;
    assert_eq!(order(&f), ["a", "b"]);
    assert_eq!(f.store.unshipped(1).unwrap().len(), 1);
}

#[tokio::test]
async fn a_deleted_session_waits_until_the_centre_knows() {
    let f = enrolled().await;
    f.commit(vec![central_session("a", 0), central_session("b", 0), event("a", "one"), event("b", "one")])
        .await;
    f.commit(vec![shipped("b", 1)]).await;
    f.commit(vec![Write::DeleteSession(sid("a")), Write::DeleteSession(sid("b"))]).await;
    let f = f.reopen();
    // What the centre has not received of it is gone; that it is gone is not.
    assert_eq!(line(&f), [("a".to_owned(), 0, 0), ("b".to_owned(), 1, 1)]);
    assert!(f.store.unshipped(9).unwrap().iter().all(|one| one.session.deleted));
    assert_eq!(f.store.log_backlog(), Ok(LogBacklog { sessions: 2, events: 0 }));
    f.commit(vec![shipped("a", 1), Write::ForgetCentralSession(sid("a"))]).await;
    f.commit(vec![Write::ForgetCentralSession(sid("b")), Write::ForgetCentralSession(sid("x"))]).await;
    assert_eq!((line(&f), f.store.central_session(&sid("a"))), (vec![], Ok(None)));
    // One that the centre never knew leaves nothing behind.
    f.commit(vec![session("c"), event("c", "one"), Write::DeleteSession(sid("c"))]).await;
    assert_eq!(line(&f), []);
}

#[tokio::test]
async fn leaving_the_centre_leaves_nothing_in_line() {
    let f = enrolled().await;
    f.commit(vec![central_session("a", 0), event("a", "one"), central_session("b", 0), Write::Unenrol]).await;
    for table in [TableId::CentralSessions, TableId::CentralQueue] {
        assert_eq!(f.store.view().unwrap().len(table), Ok(0), "{}", table.name());
    }
    f.commit(vec![event("a", "two")]).await;
    assert_eq!(line(&f), []);
}

#[tokio::test]
async fn a_hole_in_a_log_does_not_hold_up_what_was_sent() {
    let f = enrolled().await;
    f.commit(vec![central_session("a", 0), event("a", "one")]).await;
    f.store.append(vec![event("a", "lost"), event("x", "nowhere")]).await.unwrap();
    assert!(f.store.commit(vec![]).await.is_ok());
    assert!(f.store.commit(vec![event("a", "builds on a hole")]).await.is_err());
    f.commit(vec![shipped("a", 1)]).await;
    assert_eq!(line(&f), []);
}

/// The names of the sessions of the model.
const NAMES: [&str; 3] = ["a", "a.b", "b"];

#[derive(Debug, Clone)]
enum Act {
    Enrol(usize, usize),
    Unenrol,
    Audit(usize),
    Acknowledge(u64),
    Session(usize),
    Delete(usize),
    Event(usize),
    Know(usize),
    Ship(usize, u64),
    Forget(usize),
    Reopen,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let session = 0..NAMES.len();
    let one = prop_oneof![
        1 => (0..2_usize, 0..2_usize).prop_map(|(agent, tenant)| Act::Enrol(agent, tenant)),
        1 => Just(Act::Unenrol),
        4 => (1..4_usize).prop_map(Act::Audit),
        3 => (1..6_u64).prop_map(Act::Acknowledge),
        4 => session.clone().prop_map(Act::Session),
        1 => session.clone().prop_map(Act::Delete),
        6 => session.clone().prop_map(Act::Event),
        3 => session.clone().prop_map(Act::Know),
        5 => (session.clone(), 0..6_u64).prop_map(|(of, seq)| Act::Ship(of, seq)),
        1 => session.prop_map(Act::Forget),
        1 => Just(Act::Reopen),
    ];
    prop::collection::vec(one, 1..40)
}

/// The same, as simple as it can be said.
#[derive(Default)]
struct Model {
    owner: Option<(usize, usize)>,
    /// All outbox rows: number, tenant, whether it waits for the centre.
    outbox: Vec<(u64, String, bool)>,
    made: u64,
    chain: u64,
    logs: BTreeMap<usize, u64>,
    /// Sent up to, deleted.
    known: BTreeMap<usize, (u64, bool)>,
    /// The agent that first knew a session.
    whose: BTreeMap<usize, usize>,
}

impl Model {
    /// Whether the store must take it, and what it then holds.
    fn act(&mut self, act: &Act) -> Option<Vec<Write>> {
        match *act {
            Act::Enrol(agent, tenant) => {
                if self.owner != Some((agent, tenant)) {
                    (self.chain, self.known) = (0, BTreeMap::new());
                    if self.owner.is_none_or(|(_, t)| t != tenant) {
                        self.outbox.iter_mut().for_each(|row| row.2 = false);
                    }
                }
                self.owner = Some((agent, tenant));
                Some(vec![enrol(&format!("agent-{agent}"), &format!("t{tenant}"))])
            }
            Act::Unenrol => {
                (self.owner, self.chain, self.known) = (None, 0, BTreeMap::new());
                self.outbox.iter_mut().for_each(|row| row.2 = false);
                Some(vec![Write::Unenrol])
            }
            Act::Audit(count) => {
                for _ in 0..count {
                    self.made += 1;
                    let tenant = self.owner.map_or("local".to_owned(), |(_, tenant)| format!("t{tenant}"));
                    self.outbox.push((self.made, tenant, self.owner.is_some()));
                }
                Some((0..count).map(|_| audit("a")).collect())
            }
            Act::Acknowledge(count) => {
                let waiting: Vec<u64> = self.outbox.iter().filter(|row| row.2).map(|row| row.0).collect();
                let up_to = *waiting.get(usize::try_from(count).unwrap() - 1)?;
                self.outbox.retain(|row| !row.2 || row.0 > up_to);
                self.chain += count;
                Some(vec![acknowledge(up_to, self.chain)])
            }
            Act::Session(of) => {
                let new = !self.logs.contains_key(&of);
                new.then(|| {
                    self.logs.insert(of, 0);
                    vec![session(NAMES[of])]
                })
            }
            Act::Delete(of) => {
                self.logs.remove(&of)?;
                self.whose.remove(&of);
                if let Some(known) = self.known.get_mut(&of) {
                    known.1 = true;
                }
                Some(vec![Write::DeleteSession(sid(NAMES[of]))])
            }
            Act::Event(of) => {
                *self.logs.get_mut(&of)? += 1;
                Some(vec![event(NAMES[of], "text")])
            }
            Act::Know(of) => {
                let (agent, _) = self.logs.get(&of).and(self.owner)?;
                if *self.whose.entry(of).or_insert(agent) != agent {
                    return None;
                }
                self.known
                    .entry(of)
                    .and_modify(|known| {
                        if known.1 {
                            *known = (0, false)
                        }
                    })
                    .or_default();
                Some(vec![central_session(NAMES[of], 0)])
            }
            Act::Ship(of, seq) => {
                if let Some((sent, false)) = self.known.get_mut(&of) {
                    if *sent < seq && self.logs[&of] < seq {
                        return None;
                    }
                    *sent = seq.max(*sent);
                }
                Some(vec![shipped(NAMES[of], seq)])
            }
            Act::Forget(of) => {
                self.known.remove(&of);
                Some(vec![Write::ForgetCentralSession(sid(NAMES[of]))])
            }
            Act::Reopen => Some(vec![]),
        }
    }

    fn matches(&self, f: &Fixture) {
        let waits: Vec<_> =
            self.outbox.iter().filter(|row| self.owner.is_none() || row.2).map(|row| row.0).collect();
        assert_eq!(numbers(f), waits);
        let all = f.store.view().unwrap().len(TableId::Outbox).unwrap();
        assert_eq!(all, self.outbox.len() as u64);
        let backlog = if self.owner.is_some() { waits.len() } else { 0 };
        assert_eq!(f.store.audit_backlog().unwrap().records, backlog as u64);
        assert_eq!(f.store.audit_head().unwrap().seq, self.chain);
        let expected = self.known.iter().filter_map(|(of, (sent, deleted))| {
            let last = if *deleted { *sent } else { self.logs[of] };
            (*deleted || *sent < last).then(|| (NAMES[*of].to_owned(), *sent, last))
        });
        let (mut expected, mut line) = (expected.collect::<Vec<_>>(), line(f));
        expected.sort();
        line.sort();
        assert_eq!(line, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(super::counts(48, 3_000) as u32))]

    #[test]
    fn whatever_happens_the_store_holds_what_a_simple_model_holds(script in acts()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut f, mut model) = (Fixture::new(), Model::default());
            for act in script {
                if let Act::Reopen = act {
                    f = f.reopen();
                }
                if let Some(batch) = model.act(&act) {
                    f.commit(batch).await;
                }
                model.matches(&f);
            }
        });
    }
}
