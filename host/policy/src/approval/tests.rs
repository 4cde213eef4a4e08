//! Bindings, answers, rights, remembered rules.

use lanyard_protocol::{
    Timestamp,
    approval::{ApprovalDetail, ApprovalRecord, ApprovalState, Decision, OtherDetail, RememberedRule},
    error::ErrorCode,
    id::{HostId, PrincipalId, RuleId},
    policy::{Approver, Capability, Remember},
    principal::{Principal, Scope},
    session::ApprovalMode,
};
use proptest::prelude::*;
use serde_json::json;

use super::{
    Answer, AnswerFault, Entitlement, NotEntitled, Settlement, answer, cancel, expire, fingerprint, grant,
    pending, record_delivery, remembered_rule, rule_applies,
};
use crate::{
    decide::{DenialReason, Verdict},
    demand::{Demand, PlannedCall},
    layer::Layers,
    permit::{Ask, Basis, GrantMismatch},
    testing::*,
};

fn later(seconds: i64) -> Timestamp {
    now().plus_millis(seconds * 1_000)
}

fn everybody(id: &PrincipalId) -> Option<Principal> {
    [owner(), phone()].into_iter().find(|who| who.id == *id)
}

fn nobody(_: &PrincipalId) -> Option<Principal> {
    None
}

fn question(layers: &Layers, call: PlannedCall) -> (Box<Ask>, ApprovalRecord) {
    let ask = asked(World::new().decide(layers, call));
    let detail = ApprovalDetail::Other(OtherDetail { text: "x".into() });
    let record = pending(ask.request("ls", detail, now(), later(300)));
    (ask, record)
}

fn simple() -> (Box<Ask>, ApprovalRecord) {
    question(&layers(vec![local()]), call(shell("ls")))
}

fn yes(remember: Remember) -> Answer {
    Answer { decision: Decision::Approved, remember, reason: None }
}

fn no() -> Answer {
    Answer { decision: Decision::Denied, remember: Remember::Once, reason: Some("not\u{1b} now".into()) }
}

fn granted(record: &ApprovalRecord) -> super::ApprovalGrant {
    match grant(record, now(), everybody) {
        Settlement::Granted(grant) => grant,
        other => panic!("not granted: {other:?}"),
    }
}

#[test]
fn a_yes_lets_exactly_the_asked_call_run() {
    let (ask, record) = simple();
    let record = answer(&record, yes(Remember::Once), &phone(), later(1)).unwrap();
    assert_eq!(record.state, ApprovalState::Approved);
    let permitted = ask.approve(&granted(&record)).unwrap();
    assert!(matches!(permitted.basis(), Basis::Approved { by, .. } if *by == phone().id));
}

#[test]
fn an_approval_of_one_call_never_answers_another() {
    let (_, record) = simple();
    let record = answer(&record, yes(Remember::Once), &owner(), later(1)).unwrap();
    let grant = granted(&record);
    let base = || request("Tool", json!({}));
    let mut other_call = base();
    other_call.tool_call_id = "call-2".parse().unwrap();
    let mut other_task = base();
    other_task.task_id = "task-2".parse().unwrap();
    let mut other_arguments = base();
    other_arguments.arguments.0 = json!({"stdin": "y"});
    let plan = |request, demand| PlannedCall::new(request, demand, vec![], vec![]);
    let changed = [
        plan(other_call, shell("ls")),
        plan(other_task, shell("ls")),
        plan(other_arguments, shell("ls")),
        plan(base(), shell("ls ")),
        plan(base(), argv(&["ls"])),
        plan(base(), fed("ls", &[("A", "1")], None)),
        plan(base(), fed("ls", &[], Some(""))),
        call_with(shell("ls"), vec![content("/usr/bin/ls", "aa")]),
        PlannedCall::new(base(), shell("ls"), vec![read("/home/mia/app/x")], vec![]),
    ];
    for call in changed {
        let (ask, _) = question(&layers(vec![local()]), call);
        let (_, mismatch) = ask.approve(&grant).unwrap_err();
        assert_eq!(mismatch, GrantMismatch::OtherCall);
    }
    // Another policy epoch, another initiator, another host: another question.
    let mut renewed = local();
    renewed.policy_epoch += 1;
    let (ask, _) = question(&layers(vec![renewed]), call(shell("ls")));
    assert!(ask.approve(&grant).is_err());
    let mut world = World::new();
    world.initiator = phone();
    assert!(asked(world.decide(&layers(vec![local()]), call(shell("ls")))).approve(&grant).is_err());
    let mut world = World::new();
    world.host = HostId::new("host-2").unwrap();
    assert!(asked(world.decide(&layers(vec![local()]), call(shell("ls")))).approve(&grant).is_err());
}

#[test]
fn the_same_call_asked_again_after_a_restart_finds_its_answer() {
    let (ask, _) = simple();
    let (again, _) = simple();
    assert_eq!(ask.approval_id(), again.approval_id());
}

#[test]
fn the_first_answer_wins() {
    let (_, record) = simple();
    let denied = answer(&record, no(), &phone(), later(1)).unwrap();
    assert_eq!(
        answer(&denied, yes(Remember::Once), &owner(), later(2)),
        Err(AnswerFault::Settled(ApprovalState::Denied))
    );
    assert!(
        matches!(grant(&denied, later(2), everybody), Settlement::Denied(Some(why)) if why == "not⟦U+001B⟧ now")
    );
    assert!(expire(&denied, later(999)).is_none() && cancel(&denied).is_none());
}

#[test]
fn deadlines_and_cancelled_tasks_end_a_question() {
    let (ask, record) = simple();
    assert_eq!(
        answer(&record, yes(Remember::Once), &owner(), later(301)),
        Err(AnswerFault::Late(later(300)))
    );
    assert!(expire(&record, later(300)).is_none());
    assert_eq!(expire(&record, later(301)).unwrap().state, ApprovalState::Expired);
    assert!(matches!(grant(&record, later(301), everybody), Settlement::Expired));
    assert!(matches!(grant(&record, later(1), everybody), Settlement::Waiting));
    let cancelled = cancel(&record).unwrap();
    assert!(matches!(grant(&cancelled, later(1), everybody), Settlement::Cancelled));
    assert!(answer(&cancelled, yes(Remember::Once), &owner(), later(1)).is_err());
    assert_eq!(ask.refuse(DenialReason::Unanswered).code(), ErrorCode::ApprovalDenied);
}

#[test]
fn who_may_answer() {
    let initiator = owner().id;
    let with = |scopes: &[Scope], local| Principal { scopes: scopes.to_vec(), local, ..phone() };
    let check = |approvers: &[Approver], who: &Principal| {
        Entitlement::new(approvers.to_vec(), initiator.clone()).check(who)
    };
    assert_eq!(check(&[Approver::Any], &phone()), Ok(()));
    assert_eq!(
        check(&[Approver::Any], &with(&[Scope::Admin, Scope::Operate], true)),
        Err(NotEntitled::Scope)
    );
    assert_eq!(check(&[Approver::NotInitiator], &owner()), Err(NotEntitled::Initiator));
    assert_eq!(check(&[Approver::NotInitiator], &phone()), Ok(()));
    assert_eq!(check(&[Approver::Local], &phone()), Err(NotEntitled::Local));
    assert_eq!(check(&[Approver::Local], &owner()), Ok(()));
    assert_eq!(check(&[Approver::Local, Approver::NotInitiator], &owner()), Err(NotEntitled::Initiator));
    assert_eq!(check(&[Approver::Local, Approver::NotInitiator], &phone()), Err(NotEntitled::Local));

    // The right of this moment counts, and nobody has none.
    let any = Entitlement::new([Approver::Any], initiator.clone());
    assert_eq!(any.check_standing(None), Err(NotEntitled::Gone));
    assert_eq!(any.check_standing(Some(with(&[Scope::Operate], true))), Err(NotEntitled::Scope));
    assert_eq!(any.check_standing(Some(phone())), Ok(phone()));
    assert_eq!(AnswerFault::from(NotEntitled::Gone).to_wire().code, ErrorCode::Unauthorized);

    let (_, record) = simple();
    let always = answer(&record, yes(Remember::Always), &phone(), later(1));
    assert_eq!(always, Err(AnswerFault::NotEntitled(NotEntitled::Admin)));
    assert_eq!(always.unwrap_err().to_wire().code, ErrorCode::Unauthorized);
    assert!(answer(&record, yes(Remember::Always), &owner(), later(1)).is_ok());
}

#[test]
fn an_answer_from_somebody_who_lost_the_right_does_not_count() {
    let (ask, record) = simple();
    let record = answer(&record, yes(Remember::Once), &phone(), later(1)).unwrap();
    assert!(matches!(grant(&record, later(2), nobody), Settlement::RightLost));
    let stripped = |_: &PrincipalId| Some(Principal { scopes: vec![Scope::Observe], ..phone() });
    assert!(matches!(grant(&record, later(2), stripped), Settlement::RightLost));

    let permitted = ask.approve(&granted(&record)).unwrap();
    let denial =
        permitted.confirm(vec![], &layers(vec![local()]), &World::new().terms(), nobody).unwrap_err();
    assert_eq!(denial.reason, DenialReason::RightLost);
}

#[test]
fn a_damaged_record_does_not_grant() {
    let (_, record) = simple();
    let damaged = ApprovalRecord { state: ApprovalState::Approved, ..record };
    assert!(matches!(grant(&damaged, now(), everybody), Settlement::Denied(None)));
}

#[test]
fn at_the_start_contents_policy_and_rights_are_checked_again() {
    let approved = || {
        let (ask, record) = question(
            &layers(vec![local()]),
            call_with(shell("sh run.sh"), vec![content("/home/mia/app/run.sh", "aa")]),
        );
        let record = answer(&record, yes(Remember::Once), &owner(), later(1)).unwrap();
        ask.approve(&granted(&record)).unwrap()
    };
    let same = vec![content("/home/mia/app/run.sh", "aa")];
    let world = World::new();
    let terms = world.terms();
    assert!(approved().confirm(same.clone(), &layers(vec![local()]), &terms, everybody).is_ok());
    // The script was changed between approval and start.
    let swapped = vec![content("/home/mia/app/run.sh", "bb")];
    let denial = approved().confirm(swapped, &layers(vec![local()]), &terms, everybody).unwrap_err();
    assert!(matches!(denial.reason, DenialReason::Changed(_)));
    // Policy was changed or revoked.
    let mut renewed = local();
    renewed.policy_epoch = 2;
    let denial = approved().confirm(same.clone(), &layers(vec![renewed]), &terms, everybody).unwrap_err();
    assert!(matches!(denial.reason, DenialReason::Changed(_)));
    let mut revoked = local();
    revoked.capabilities.retain(|grant| grant.name != Capability::ShellExec);
    let denial = approved().confirm(same, &layers(vec![revoked]), &terms, everybody).unwrap_err();
    assert!(matches!(denial.reason, DenialReason::CapabilityMissing(_)));
    // What policy allowed without asking is asked about by then.
    let free_call = allowed(world.decide(&layers(vec![free(|_| ())]), call(shell("ls"))));
    let denial = free_call.confirm(vec![], &layers(vec![local()]), &terms, everybody).unwrap_err();
    assert!(matches!(denial.reason, DenialReason::Changed(_)));
}

fn remembered(remember: Remember, call: PlannedCall) -> RememberedRule {
    let (ask, record) = question(&layers(vec![local()]), call);
    let record = answer(&record, yes(remember), &owner(), later(1)).unwrap();
    remembered_rule(&record, ask.fingerprint(), RuleId::new("rule-1").unwrap()).unwrap()
}

#[test]
fn a_remembered_answer_covers_exactly_the_same_call() {
    let rule = remembered(Remember::Session, call(shell("ls")));
    let ask_for = |call: PlannedCall| asked(World::new().decide(&layers(vec![local()]), call));
    let again = || {
        PlannedCall::new(
            lanyard_protocol::tool::ToolRequest {
                tool_call_id: "call-9".parse().unwrap(),
                ..request("Tool", json!({}))
            },
            shell("ls"),
            vec![],
            vec![],
        )
    };
    let permitted = ask_for(again()).recall([&rule], everybody).unwrap();
    assert!(matches!(permitted.basis(), Basis::Remembered { .. }));
    assert!(permitted.confirm(vec![], &layers(vec![local()]), &World::new().terms(), everybody).is_ok());
    for other in [shell("ls -a"), shell("ls; ls"), argv(&["ls"])] {
        assert!(ask_for(call(other)).recall([&rule], everybody).is_err());
    }
    assert!(
        ask_for(call_with(shell("ls"), vec![content("/bin/ls", "x")])).recall([&rule], everybody).is_err()
    );
    assert!(ask_for(again()).recall([&rule], nobody).is_err());
    assert!(ask_for(again()).recall([], everybody).is_err());
}

#[test]
fn a_remembered_answer_is_checked_again_at_the_start() {
    let script = |hash| vec![content("/home/mia/app/run.sh", hash)];
    let rule = remembered(Remember::Session, call_with(shell("sh run.sh"), script("aa")));
    let recalled = || {
        let call = call_with(shell("sh run.sh"), script("aa"));
        asked(World::new().decide(&layers(vec![local()]), call)).recall([&rule], everybody).unwrap()
    };
    let world = World::new();
    let confirm =
        |contents, bundle| recalled().confirm(contents, &layers(vec![bundle]), &world.terms(), everybody);
    assert!(confirm(script("aa"), local()).is_ok());
    assert!(matches!(confirm(script("bb"), local()).unwrap_err().reason, DenialReason::Changed(_)));
    let mut strict = local();
    strict.approval_rules.iter_mut().for_each(|rule| rule.must_ask = true);
    assert!(matches!(confirm(script("aa"), strict).unwrap_err().reason, DenialReason::Changed(_)));
    let lost = recalled().confirm(script("aa"), &layers(vec![local()]), &world.terms(), nobody).unwrap_err();
    assert_eq!(lost.reason, DenialReason::RightLost);
}

#[test]
fn a_remembered_answer_never_satisfies_must_ask_or_a_stricter_rule() {
    let rule = remembered(Remember::Session, call(shell("ls")));
    let mut strict = local();
    strict.approval_rules.iter_mut().for_each(|rule| rule.must_ask = true);
    assert!(
        asked(World::new().decide(&layers(vec![strict]), call(shell("ls"))))
            .recall([&rule], everybody)
            .is_err()
    );
    let mut shorter = local();
    shorter.approval_rules.iter_mut().for_each(|rule| rule.max_remember = Remember::Task);
    assert!(
        asked(World::new().decide(&layers(vec![shorter]), call(shell("ls"))))
            .recall([&rule], everybody)
            .is_err()
    );
    let mut others = local();
    others.approval_rules.iter_mut().for_each(|rule| rule.approver = Approver::NotInitiator);
    assert!(
        asked(World::new().decide(&layers(vec![others]), call(shell("ls"))))
            .recall([&rule], everybody)
            .is_err()
    );
    let always = World::mode(ApprovalMode::Always);
    assert!(
        asked(always.decide(&layers(vec![local()]), call(shell("ls")))).recall([&rule], everybody).is_err()
    );
}

#[test]
fn a_remembered_answer_holds_only_where_it_was_given() {
    let plain = request("Tool", json!({}));
    let print = "f";
    let mut rule = remembered(Remember::Task, call(shell("ls")));
    rule.fingerprint = print.into();
    let moved = |change: fn(&mut lanyard_protocol::tool::ToolRequest)| {
        let mut request = request("Tool", json!({}));
        change(&mut request);
        request
    };
    let other_task = moved(|r| r.task_id = "t2".parse().unwrap());
    let other_session = moved(|r| r.session_id = "s2".parse().unwrap());
    let other_workspace = moved(|r| r.workspace_id = "w2".parse().unwrap());
    let applies = |rule: &RememberedRule| {
        [&plain, &other_task, &other_session, &other_workspace]
            .map(|request| rule_applies(rule, request, print))
    };
    assert_eq!(applies(&rule), [true, false, false, false]);
    rule.remember = Remember::Session;
    assert_eq!(applies(&rule), [true, true, false, false]);
    rule.remember = Remember::Always;
    assert_eq!(applies(&rule), [true, true, true, false]);
    rule.remember = Remember::Once;
    assert_eq!(applies(&rule), [false; 4]);
    rule.remember = Remember::Session;
    rule.session_id = None;
    assert_eq!(applies(&rule), [false; 4]);
}

#[test]
fn answers_may_not_be_remembered_longer_than_the_rule_allows() {
    let (ask, record) = question(&layers(vec![local()]), call(write("/home/mia/app/a")));
    assert_eq!(
        answer(&record, yes(Remember::Always), &owner(), later(1)),
        Err(AnswerFault::TooLong { longest: Remember::Session })
    );
    let once = answer(&record, yes(Remember::Once), &owner(), later(1)).unwrap();
    assert!(remembered_rule(&once, ask.fingerprint(), RuleId::new("r").unwrap()).is_none());
    let denied = answer(&record, Answer { remember: Remember::Session, ..no() }, &owner(), later(1)).unwrap();
    assert!(remembered_rule(&denied, ask.fingerprint(), RuleId::new("r").unwrap()).is_none());
    // Questions of the host itself are never remembered.
    let (_, record) = question(&layers(vec![local()]), call(write("/home/mia/app/.envrc")));
    assert_eq!(record.request.max_remember, Remember::Once);
}

#[test]
fn delivery_is_recorded_once_a_principal() {
    let (_, record) = simple();
    let shown = record_delivery(&record, &phone().id, later(1)).unwrap();
    assert!(record_delivery(&shown, &phone().id, later(2)).is_none());
    assert_eq!(record_delivery(&shown, &owner().id, later(2)).unwrap().receipts.len(), 2);
}

#[test]
fn item_22_the_question_shows_everything_visibly() {
    let ask =
        asked(World::new().decide(&layers(vec![local()]), call(argv(&["echo", "\u{202e}x", "\u{1b}[2K"]))));
    let detail = ApprovalDetail::Other(OtherDetail { text: "a\u{1b}]52;c;x\u{7}\nb".into() });
    let request = ask.request("echo \u{202e}x\nrm", detail, now(), later(300));
    assert_eq!(request.action_summary, "echo ⟦U+202E⟧x⟦U+000A⟧rm");
    assert_eq!(
        request.detail,
        ApprovalDetail::Other(OtherDetail { text: "a⟦U+001B⟧]52;c;x⟦U+0007⟧\nb".into() })
    );
    assert_eq!(request.title, "Run a command?");
    assert!(request.reasons.iter().any(|reason| reason.contains("cannot be seen")), "{:?}", request.reasons);
}

#[test]
fn the_fingerprint_does_not_depend_on_member_order_and_separates_fields() {
    let host = HostId::new("h").unwrap();
    let of = |arguments| {
        fingerprint(
            &PlannedCall::new(
                request("T", arguments),
                Demand::Backend { tool: "t".into(), definition: String::new() },
                vec![],
                vec![],
            ),
            &host,
        )
    };
    assert_eq!(of(json!({"a": 1, "b": [true]})), of(serde_json::from_str(r#"{"b":[true],"a":1}"#).unwrap()));
    let different = [
        json!({}),
        json!([]),
        json!(null),
        json!({"a": "1"}),
        json!({"a": 1}),
        json!({"a": [1]}),
        json!({"a": {"1": null}}),
        json!({"a1": ""}),
        json!(["a", "b"]),
        json!(["ab"]),
        json!([["a"], "b"]),
        json!(1.5),
        json!("null"),
    ];
    let all: std::collections::BTreeSet<_> = different.iter().cloned().map(of).collect();
    assert_eq!(all.len(), different.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever order answers, expiry and cancellation come in, exactly one settles the question.
    #[test]
    fn a_question_is_settled_once(events in prop::collection::vec(0..5u8, 1..8), pause in 1..200i64) {
        let (_, mut record) = simple();
        let mut settled = 0;
        for (at, event) in events.into_iter().enumerate() {
            let time = later(pause * at as i64);
            let next = match event {
                0 => answer(&record, yes(Remember::Once), &owner(), time).ok(),
                1 => answer(&record, no(), &phone(), time).ok(),
                2 => expire(&record, time),
                3 => cancel(&record),
                _ => record_delivery(&record, &owner().id, time),
            };
            if let Some(next) = next {
                settled += u8::from(next.state != record.state);
                record = next;
            }
        }
        prop_assert!(settled <= 1);
        prop_assert_eq!(settled == 0, record.state == ApprovalState::Pending);
        prop_assert_eq!(record.answer.is_some(), matches!(record.state, ApprovalState::Approved | ApprovalState::Denied));
    }
}

#[test]
fn the_fingerprint_covers_variables_and_standard_input() {
    let host = HostId::new("h").unwrap();
    let different = [
        fed("ls", &[], None),
        fed("ls", &[], Some("")),
        fed("ls", &[], Some("a")),
        fed("ls", &[("a", "")], None),
        fed("ls", &[("", "a")], None),
        fed("ls", &[("a", "b")], None),
        fed("ls", &[("a", ""), ("b", "")], None),
    ];
    let all: std::collections::BTreeSet<_> =
        different.iter().map(|demand| fingerprint(&call(demand.clone()), &host)).collect();
    assert_eq!(all.len(), different.len());
}

#[test]
fn an_answer_remembered_for_longer_than_it_now_may_be_does_not_count() {
    let opaque = || call_with(shell("./t.sh $HOME"), vec![content("/home/mia/app/t.sh", "aa")]);
    let (ask, record) = question(&layers(vec![local()]), opaque());
    let session = answer(&record, yes(Remember::Session), &owner(), later(1));
    assert_eq!(session, Err(AnswerFault::TooLong { longest: Remember::Once }));
    let mut rule = remembered(Remember::Session, call(shell("ls")));
    rule.fingerprint = ask.fingerprint().into();
    assert!(ask.recall([&rule], everybody).is_err());
}

#[test]
fn the_fingerprint_keeps_words_apart() {
    let host = HostId::new("h").unwrap();
    let of = |words: &[&str]| fingerprint(&call(argv(words)), &host);
    assert_ne!(of(&["rm", "a b"]), of(&["rm", "a", "b"]));
    assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
}

#[test]
fn where_two_rules_ask_both_must_be_satisfied_by_whoever_answered() {
    let with = |approver| {
        let mut bundle = local();
        bundle.approval_rules.iter_mut().for_each(|rule| rule.approver = approver);
        bundle
    };
    let both = layers(vec![with(Approver::Local), with(Approver::NotInitiator)]);
    let (ask, record) = question(&both, call(shell("ls")));
    // The record can name one demand only; the other is checked when the answer is used.
    let record = answer(&record, yes(Remember::Once), &phone(), later(1)).unwrap();
    let (_, mismatch) = ask.approve(&granted(&record)).unwrap_err();
    assert_eq!(mismatch, GrantMismatch::NotEntitled);
}

#[test]
fn verdicts_are_not_approvals() {
    // A denied call has no question that could be answered.
    assert!(matches!(World::new().decide(&layers(vec![local()]), call(write("/etc/x"))), Verdict::Denied(_)));
}
