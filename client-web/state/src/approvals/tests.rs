//! The queue over whole courses of news, who may answer, and how it is said.

use lanyard_protocol::approval::{
    ApprovalDetail, ApprovalState, Decision, Decision::Approved, Decision::Denied, DeliveryReceipt,
};
use lanyard_protocol::method::ApprovalOutcome;
use lanyard_protocol::overview::{Asker, PolicyOverview};
use lanyard_protocol::policy::{Approver, Capability, Remember, SandboxLevel};
use lanyard_protocol::principal::{Principal, Scope};
use proptest::prelude::*;

use super::samples::{answered, asks, at, id, pending, request, session, settles, who};
use super::words::{self, Names};
use super::{Answering, Approvals, Ending, MAX_SETTLED, NotYours, Want, may_answer, remember_choices};

fn names(queue: &Approvals) -> Vec<String> {
    queue.waiting().iter().map(|question| question.approval_id.to_string()).collect()
}

fn loaded(records: Vec<lanyard_protocol::approval::ApprovalRecord>) -> Approvals {
    let mut queue = Approvals::default();
    let ticket = queue.ticket();
    assert_eq!(queue.listed(&Want::All, ticket, records), None);
    queue
}

fn outcome(name: &str, decision: Decision, counted: bool, by: &str) -> ApprovalOutcome {
    ApprovalOutcome { approval_id: id(name), decision, counted, decided_by: who(by) }
}

#[test]
fn the_soonest_deadline_is_first() {
    let queue = loaded(vec![pending("b", 20), pending("a", 10), pending("c", 30)]);
    assert_eq!(names(&queue), ["a", "b", "c"]);
    assert!(queue.is_loaded() && !Approvals::default().is_loaded());
}

#[test]
fn what_the_log_announces_is_there_at_once_and_asked_for_in_full() {
    let mut queue = loaded(vec![]);
    assert_eq!(queue.host_event(&asks("a", 10)), Some(Want::Pending(session("s"))));
    let question = queue.find(&id("a")).unwrap();
    assert_eq!((question.summary.as_str(), question.record.is_none()), ("cargo test a", true));
    let ticket = queue.ticket();
    queue.listed(&Want::Pending(session("s")), ticket, vec![pending("a", 10)]);
    assert!(queue.find(&id("a")).unwrap().record.is_some());
    assert_eq!(queue.host_event(&asks("a", 10)), None, "told again, known in full");
}

#[test]
fn a_late_list_brings_nothing_back_and_ends_nothing_newer() {
    let mut queue = loaded(vec![pending("old", 10)]);
    let ticket = queue.ticket();
    queue.host_event(&settles("old", 20));
    queue.host_event(&asks("new", 30));
    // Asked for before both events, arriving after them.
    queue.listed(&Want::All, ticket, vec![pending("old", 10)]);
    assert_eq!(names(&queue), ["new"]);
}

#[test]
fn a_list_cut_at_its_oldest_row_ends_only_what_would_be_in_it() {
    let mut queue = loaded(vec![pending("a", 10), pending("b", 20), pending("c", 30)]);
    let ticket = queue.ticket();
    // The page had room for the two newest; "b" is missing from within, "a" may be beyond the cut.
    let want = queue.listed(&Want::All, ticket, vec![pending("d", 40), pending("b2", 15)]);
    assert_eq!(names(&queue), ["a", "b2", "d"]);
    assert_eq!(want, Some(Want::Outcome(session("s"))));
}

#[test]
fn what_was_answered_elsewhere_disappears_and_says_by_whom() {
    let mut queue = loaded(vec![pending("a", 10)]);
    assert_eq!(queue.host_event(&settles("a", 20)), Some(Want::Outcome(session("s"))));
    assert!(queue.waiting().is_empty());
    assert_eq!(queue.settled().next().unwrap().ending, Ending::Unknown);
    let ticket = queue.ticket();
    queue.listed(&Want::Outcome(session("s")), ticket, vec![answered("a", 10, Approved, "laptop-1")]);
    let settled = queue.settled().next().unwrap();
    let mut names = Names::new(who("phone-1"));
    assert_eq!(words::ending(settled, &names), "Approved by another device (laptop).");
    names.add("laptop-1", "Work laptop");
    assert_eq!(words::ending(settled, &names), "Approved by Work laptop.");
    assert!(settled.here);
}

#[test]
fn an_answer_counts_when_the_host_confirms_it() {
    let mut queue = loaded(vec![pending("a", 10)]);
    assert!(queue.answering(&id("a"), Approved, Remember::Session));
    assert!(!queue.answering(&id("a"), Denied, Remember::Once), "one is on its way");
    assert_eq!(names(&queue), ["a"], "nothing is decided yet");
    assert!(!queue.find(&id("a")).unwrap().is_open(at(20)));
    queue.answered(&outcome("a", Approved, true, "phone"), at(20));
    assert!(queue.waiting().is_empty());
    let names = Names::new(who("phone"));
    assert_eq!(words::ending(queue.settled().next().unwrap(), &names), "You approved it, for this session.");
    assert_eq!(queue.settled().next().unwrap().beaten(&who("phone")), None);
    // The log may be faster than the reply.
    let mut queue = loaded(vec![pending("a", 10)]);
    queue.answering(&id("a"), Approved, Remember::Task);
    queue.host_event(&settles("a", 20));
    queue.answered(&outcome("a", Approved, true, "phone"), at(20));
    assert_eq!(words::ending(queue.settled().next().unwrap(), &names), "You approved it, for this task.");
}

#[test]
fn an_answer_that_came_second_is_told_so_in_any_order_of_news() {
    for event_first in [true, false] {
        let mut queue = loaded(vec![pending("a", 10)]);
        queue.answering(&id("a"), Approved, Remember::Once);
        if event_first {
            queue.host_event(&settles("a", 20));
        }
        queue.answered(&outcome("a", Denied, false, "laptop-1"), at(20));
        if !event_first {
            assert_eq!(queue.host_event(&settles("a", 20)), None, "its end is known");
        }
        let settled = queue.settled().next().unwrap();
        let said = words::ending(settled, &Names::new(who("phone")));
        assert_eq!(said, "Already denied by another device (laptop): your answer did not count.");
        assert_eq!(settled.beaten(&who("phone")), Some(Approved));
    }
}

#[test]
fn an_answer_that_did_not_get_through_can_be_given_again() {
    let mut queue = loaded(vec![pending("a", 10)]);
    queue.answering(&id("a"), Approved, Remember::Once);
    assert_eq!(
        queue.not_answered(&id("a"), "the connection broke".into()),
        Some(Want::Outcome(session("s")))
    );
    let question = queue.find(&id("a")).unwrap();
    assert_eq!(question.answer, Answering::Failed { decision: Approved, why: "the connection broke".into() });
    assert!(question.is_open(at(20)));
    // It had counted after all: the list says so.
    let ticket = queue.ticket();
    queue.listed(&Want::Outcome(session("s")), ticket, vec![answered("a", 10, Approved, "phone")]);
    assert_eq!(words::ending(queue.settled().next().unwrap(), &Names::new(who("phone"))), "You approved it.");
}

#[test]
fn time_runs_by_the_hosts_clock() {
    let mut queue = loaded(vec![pending("a", 100)]);
    let left = |queue: &Approvals, now: i64| queue.find(&id("a")).unwrap().left_ms(queue.host_time(at(now)));
    assert_eq!(left(&queue, 100), Some(300_000));
    assert_eq!(left(&queue, 400), None);
    // This phone is an hour ahead; news take between 50 ms and a second to arrive, missed ones longer.
    queue.connected(at(3_690));
    queue.heard_at(at(20), at(3_691));
    assert_eq!(left(&queue, 100), Some(300_000), "a missed event tells nothing of the clocks");
    queue.heard_at(at(100), at(3_701));
    queue.heard_at(at(101), at(3_701).plus_millis(50));
    assert_eq!(left(&queue, 3_700), Some(300_050));
    assert_eq!(queue.page_time(queue.host_time(at(5_000))), at(5_000));
    let question = queue.find(&id("a")).unwrap();
    assert!((question.left_part(at(250)) - 0.5).abs() < 1e-9);
    assert!(!question.is_open(at(401)), "time is up");
}

#[test]
fn the_host_is_told_once_that_it_was_shown() {
    let mut seen = pending("b", 10);
    seen.receipts.push(DeliveryReceipt { principal: who("phone"), shown_at: at(11) });
    let mut queue = loaded(vec![pending("a", 10), seen]);
    let me = who("phone");
    assert!(queue.shown(&id("a"), &me));
    assert!(!queue.shown(&id("a"), &me));
    queue.not_told(&id("a"));
    assert!(queue.shown(&id("a"), &me), "it did not get through");
    assert!(!queue.shown(&id("b"), &me), "the host knows");
    assert!(!queue.shown(&id("z"), &me));
}

#[test]
fn earlier_ones_are_for_looking_back() {
    let mut queue = loaded(vec![]);
    let ticket = queue.ticket();
    let all = (0..80).map(|n| answered(&format!("a{n}"), n, Denied, "owner")).collect();
    queue.listed(&Want::Outcome(session("s")), ticket, all);
    assert_eq!(queue.settled().len(), MAX_SETTLED);
    assert!(queue.settled().all(|settled| !settled.here));
    let times: Vec<_> = queue.settled().map(|settled| settled.at).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "newest first");
}

#[test]
fn endings_in_words() {
    let mut expired = pending("a", 10);
    expired.state = ApprovalState::Expired;
    for (mine, said) in [
        (false, "Nobody answered in time, so it was denied."),
        (true, "Your answer came too late: the time was up, so it was denied."),
    ] {
        let mut queue = loaded(vec![pending("a", 10)]);
        if mine {
            queue.answering(&id("a"), Approved, Remember::Once);
        }
        let ticket = queue.ticket();
        queue.listed(&Want::Outcome(session("s")), ticket, vec![expired.clone()]);
        assert_eq!(words::ending(queue.settled().next().unwrap(), &Names::new(who("p"))), said);
    }
}

fn principal(scopes: &[Scope], local: bool) -> Principal {
    Principal { id: who("phone"), name: "Phone".into(), scopes: scopes.to_vec(), local }
}

#[test]
fn only_who_may_is_offered_to_answer() {
    let phone = principal(&[Scope::Observe, Scope::Approve], false);
    let mut asked = request("a", 0);
    assert_eq!(may_answer(&asked, &phone), Ok(()));
    assert_eq!(may_answer(&asked, &principal(&[Scope::Observe], true)), Err(NotYours::Scope));
    asked.approver = Approver::Local;
    assert_eq!(may_answer(&asked, &phone), Err(NotYours::Local));
    asked.approver = Approver::NotInitiator;
    assert_eq!(may_answer(&asked, &phone), Ok(()));
    asked.initiator = who("phone");
    assert_eq!(may_answer(&asked, &phone), Err(NotYours::Initiator));
    (asked.layer, asked.capability) = ("central".into(), Capability::BackendToolInvoke);
    for here in [&phone, &principal(&[Scope::Approve, Scope::Admin], true)] {
        assert_eq!(may_answer(&asked, here), Err(NotYours::Centre), "not even the owner at the machine");
    }
    asked.layer = "local".into();
    assert_eq!(may_answer(&asked, &principal(&[Scope::Approve], false)), Err(NotYours::Initiator));
}

#[test]
fn always_is_offered_within_policy_and_rights() {
    let phone = principal(&[Scope::Approve], false);
    let admin = principal(&[Scope::Approve, Scope::Admin], false);
    let mut asked = request("a", 0);
    let offered = |asked: &_, who: &_| -> Vec<(Remember, bool)> {
        remember_choices(asked, who).iter().map(|c| (c.remember, c.refused.is_none())).collect()
    };
    let all = [(Remember::Task, true), (Remember::Session, true), (Remember::Always, true)];
    assert_eq!(offered(&asked, &admin), all);
    assert_eq!(offered(&asked, &phone)[2], (Remember::Always, false), "shown, with the reason");
    asked.max_remember = Remember::Session;
    assert_eq!(offered(&asked, &admin), all[..2]);
    asked.max_remember = Remember::Once;
    assert!(offered(&asked, &admin).is_empty());
}

#[test]
fn words_of_a_command_show_where_they_end() {
    let argv = ["git", "commit", "-m", "two words", "", "it's", "a\nb", "⟦U+202E⟧x"].map(String::from);
    let shown: Vec<_> = words::arguments(&argv).into_iter().map(|argument| argument.text).collect();
    assert_eq!(shown, ["git", "commit", "-m", "'two words'", "''", r"'it'\''s'", "'a\nb'", "'⟦U+202E⟧x'"]);
}

#[test]
fn what_is_grave_is_marked() {
    let mut asked = request("a", 0);
    let grave = |asked: &_| -> Vec<&'static str> {
        words::circumstances(asked).iter().filter(|fact| fact.grave).map(|fact| fact.label).collect()
    };
    assert!(grave(&asked).is_empty());
    asked.sandbox_level = SandboxLevel::None;
    let ApprovalDetail::Command(command) = &mut asked.detail else { panic!() };
    command.network = true;
    assert_eq!(grave(&asked), ["Network", "Sandbox"]);
}

#[test]
fn who_can_answer_is_told_as_far_as_it_is_known() {
    let names = Names::new(who("phone"));
    let asker = |name: Option<&str>, scopes: &[Scope], this| Asker {
        name: name.map(str::to_owned),
        scopes: scopes.to_vec(),
        this,
    };
    let mut policy = PolicyOverview {
        layers: vec![],
        version: String::new(),
        expires_at: at(0),
        grants: vec![],
        askers: vec![
            asker(Some("Phone"), &[Scope::Approve], true),
            asker(Some("owner"), &[Scope::Approve], false),
            asker(None, &[Scope::Approve], false),
            asker(Some("Television"), &[Scope::Observe], false),
        ],
        sandbox_level: SandboxLevel::Full,
        protected: vec![],
        approval_seconds: 300,
    };
    let said = |asked: &_, policy: Option<&_>| {
        words::background(asked, &names, policy)
            .into_iter()
            .find(|fact| fact.label == "Who can answer")
            .unwrap()
            .value
    };
    let mut asked = request("a", 0);
    assert_eq!(said(&asked, Some(&policy)), "you, the owner at the machine and one other device");
    assert_eq!(said(&asked, None), "anyone with the right to approve");
    policy.askers.clear();
    assert_eq!(said(&asked, Some(&policy)), "anyone with the right to approve");
    asked.approver = Approver::Local;
    assert_eq!(said(&asked, None), "only somebody at the machine itself");
    (asked.layer, asked.capability) = ("central".into(), Capability::BackendToolInvoke);
    assert_eq!(said(&asked, None), "only somebody signed in at the central services");
    assert_eq!(names.who(&who("central:ada")), "somebody at the central services (ada)");
}

/// One piece of news, in any order.
#[derive(Debug, Clone)]
enum News {
    Asked(u8),
    Settled(u8),
    AskForList,
    ListArrives,
    Answer(u8, bool),
    Confirmed(u8, bool),
    Broke(u8),
}

fn news() -> impl Strategy<Value = Vec<News>> {
    let which = 0_u8..6;
    let one = prop_oneof![
        which.clone().prop_map(News::Asked),
        which.clone().prop_map(News::Settled),
        Just(News::AskForList),
        Just(News::ListArrives),
        (which.clone(), any::<bool>()).prop_map(|(n, yes)| News::Answer(n, yes)),
        (which.clone(), any::<bool>()).prop_map(|(n, counted)| News::Confirmed(n, counted)),
        which.prop_map(News::Broke),
    ];
    proptest::collection::vec(one, 0..60)
}

proptest! {
    /// A host that asks each question once and settles it once, whose lists are as old as they like: the page shows what
    /// the events say, whatever lists and answers come between.
    #[test]
    fn lists_never_contradict_events(news in news()) {
        let mut queue = loaded(vec![]);
        let (mut open, mut over) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
        let mut asked_lists = Vec::new();
        for piece in news {
            match piece {
                News::Asked(n) if !over.contains(&n) => {
                    open.insert(n);
                    queue.host_event(&asks(&format!("q{n}"), i64::from(n)));
                }
                News::Settled(n) if open.remove(&n) => {
                    over.insert(n);
                    queue.host_event(&settles(&format!("q{n}"), 99));
                }
                News::AskForList => asked_lists.push((queue.ticket(), open.clone())),
                News::ListArrives if !asked_lists.is_empty() => {
                    let (ticket, rows) = asked_lists.remove(0);
                    let records = rows.iter().rev().map(|n: &u8| pending(&format!("q{n}"), i64::from(*n))).collect();
                    queue.listed(&Want::All, ticket, records);
                }
                News::Answer(n, yes) => {
                    let decision = if yes { Approved } else { Denied };
                    let may = queue.answering(&id(&format!("q{n}")), decision, Remember::Once);
                    prop_assert!(!may || open.contains(&n), "answered what does not wait");
                }
                News::Confirmed(n, counted) if open.remove(&n) => {
                    over.insert(n);
                    queue.answered(&outcome(&format!("q{n}"), Denied, counted, "someone"), at(20));
                }
                News::Broke(n) => {
                    queue.not_answered(&id(&format!("q{n}")), "broke".into());
                }
                _ => {}
            }
            let shown: std::collections::BTreeSet<_> = queue.waiting().iter().map(|q| q.approval_id.to_string()).collect();
            let wanted: std::collections::BTreeSet<_> = open.iter().map(|n| format!("q{n}")).collect();
            prop_assert_eq!(shown, wanted);
            prop_assert!(queue.waiting().is_sorted_by_key(|q| (q.deadline, q.approval_id.clone())));
            prop_assert!(queue.settled().all(|s| queue.find(&s.approval_id).is_none()));
        }
    }
}
