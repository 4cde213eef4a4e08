//! First answer, deadlines, restarts, memory: against a journal that keeps what it is given.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use lanyard_policy::approval::{Answer, Entitlement};
use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::*;
use lanyard_protocol::error::ErrorCode;
use lanyard_protocol::id::*;
use lanyard_protocol::policy::{Approver, Capability, Remember, SandboxLevel};
use lanyard_protocol::principal::{Principal, Scope};

use super::{ApprovalDesk, Question};
use crate::tests::fakes::{Count, Hands, Kept, People};

struct Rig {
    journal: Arc<Kept>,
    clock: Arc<Hands>,
    desk: ApprovalDesk,
}

fn rig() -> Rig {
    let journal = Arc::new(Kept::default());
    let clock = Arc::new(Hands(AtomicI64::new(1_000)));
    let (desk, _) =
        ApprovalDesk::start(journal.clone(), clock.clone(), Arc::new(Count::default()), "local").unwrap();
    Rig { journal, clock, desk }
}

fn question() -> Question {
    let request = ApprovalRequest {
        approval_id: id(),
        workspace_id: "w".parse().unwrap(),
        session_id: session(),
        task_id: "t".parse().unwrap(),
        step_id: "st".parse().unwrap(),
        tool_call_id: "c".parse().unwrap(),
        tool_name: "RunCommand".into(),
        capability: Capability::ShellExec,
        title: "Run?".into(),
        action_summary: "true".into(),
        risk_level: RiskLevel::High,
        reasons: vec![],
        detail: ApprovalDetail::Other(OtherDetail { text: "true".into() }),
        sandbox_level: SandboxLevel::Full,
        layer: "local".into(),
        approval_rule_id: None,
        approver: Approver::Any,
        max_remember: Remember::Always,
        remember_scope: "exactly this".into(),
        initiator: "owner".parse().unwrap(),
        requested_at: Timestamp::from_millis(1_000),
        deadline: Timestamp::from_millis(61_000),
        policy_epoch: 1,
    };
    let people = (0..20).map(|n| person(&format!("p{n}"))).chain([person("p"), guest()]);
    Question {
        entitlement: Entitlement::new([request.approver], request.initiator.clone()),
        request,
        fingerprint: "print".into(),
        principals: Arc::new(People::of(people)),
    }
}

fn id() -> ApprovalId {
    "apr".parse().unwrap()
}

fn session() -> SessionId {
    "s".parse().unwrap()
}

fn person(name: &str) -> Principal {
    let scopes = vec![Scope::Observe, Scope::Approve, Scope::Admin];
    Principal { id: name.parse().unwrap(), name: name.into(), scopes, local: true }
}

fn guest() -> Principal {
    Principal { scopes: vec![Scope::Observe, Scope::Operate], ..person("guest") }
}

fn words(decision: Decision, remember: Remember) -> Answer {
    Answer { decision, remember, reason: None }
}

#[tokio::test]
async fn exactly_one_of_many_answers_counts_and_the_others_are_told_which() {
    let rig = rig();
    let asked = tokio::spawn({
        let desk = rig.desk.clone();
        async move { desk.ask(question()).await }
    });
    while rig.journal.approvals.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let answers = (0..20).map(|n| {
        let desk = rig.desk.clone();
        let decision = if n % 2 == 0 { Decision::Approved } else { Decision::Denied };
        let by = person(&format!("p{n}"));
        tokio::spawn(async move { desk.answer(session(), id(), words(decision, Remember::Once), by).await })
    });
    let mut outcomes = Vec::new();
    for answer in answers.collect::<Vec<_>>() {
        outcomes.push(answer.await.unwrap().unwrap());
    }
    let counted: Vec<_> = outcomes.iter().filter(|o| o.counted).collect();
    assert_eq!(counted.len(), 1);
    assert!(
        outcomes.iter().all(|o| o.decided_by == counted[0].decided_by && o.decision == counted[0].decision)
    );
    let record = asked.await.unwrap().unwrap();
    assert_eq!(record.answer.unwrap().decided_by, counted[0].decided_by);
    assert_eq!(*rig.journal.events.lock().unwrap(), ["approval_requested", "approval_resolved"]);
    assert_eq!(rig.journal.audits.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_question_expires_and_a_late_answer_does_not_count() {
    let rig = rig();
    let asked = tokio::spawn({
        let desk = rig.desk.clone();
        async move { desk.ask(question()).await }
    });
    while rig.journal.approvals.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    rig.clock.0.store(61_001, Ordering::SeqCst);
    let late = rig.desk.answer(session(), id(), words(Decision::Approved, Remember::Once), person("p")).await;
    assert_eq!(late.unwrap_err().code, ErrorCode::ApprovalDenied);
    let record = tokio::time::timeout(Duration::from_secs(120), asked).await.unwrap().unwrap().unwrap();
    assert_eq!(record.state, ApprovalState::Expired);
    assert_eq!(record.answer, None);
}

#[tokio::test]
async fn an_answer_given_while_no_call_waited_is_found_and_remembered_when_it_comes_back() {
    let rig = rig();
    let record = lanyard_policy::approval::pending(question().request);
    rig.journal.approvals.lock().unwrap().insert("apr".into(), record);
    let desk =
        ApprovalDesk::start(rig.journal.clone(), rig.clock.clone(), Arc::new(Count::default()), "local")
            .unwrap()
            .0;
    let outcome = desk
        .answer(session(), id(), words(Decision::Approved, Remember::Session), person("p"))
        .await
        .unwrap();
    assert!(outcome.counted);
    assert!(rig.journal.rules.lock().unwrap().is_empty(), "what it covers is not known yet");
    let found = desk.ask(question()).await.unwrap();
    assert_eq!(found.state, ApprovalState::Approved);
    let again = desk.ask(question()).await.unwrap();
    assert_eq!(again.state, ApprovalState::Approved);
    let rules = rig.journal.rules.lock().unwrap();
    assert_eq!(rules.len(), 1, "remembered once");
    assert_eq!(rules[0].fingerprint, "print");
}

#[tokio::test]
async fn a_withdrawn_question_cannot_be_answered_and_unknown_ones_are_named() {
    let rig = rig();
    let asked = tokio::spawn({
        let desk = rig.desk.clone();
        async move { desk.ask(question()).await }
    });
    while rig.journal.approvals.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    asked.abort();
    rig.desk.withdraw(session(), id()).await.unwrap();
    let late = rig.desk.answer(session(), id(), words(Decision::Approved, Remember::Once), person("p")).await;
    assert_eq!(late.unwrap_err().code, ErrorCode::ApprovalDenied);
    let unknown = rig.desk.answer(
        session(),
        "no".parse().unwrap(),
        words(Decision::Denied, Remember::Once),
        person("p"),
    );
    let unknown = unknown.await.unwrap_err();
    assert_eq!(unknown.code, ErrorCode::ApprovalNotFound);
    assert!(unknown.message.contains("no"), "{unknown}");
}

#[tokio::test]
async fn a_receipt_is_kept_once_a_principal_and_without_the_right_nothing_counts() {
    let rig = rig();
    let desk = rig.desk.clone();
    let _asked = tokio::spawn(async move { desk.ask(question()).await });
    while rig.journal.approvals.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    for _ in 0..3 {
        rig.desk.shown(session(), id(), "phone".parse().unwrap()).await.unwrap();
    }
    assert_eq!(rig.journal.approvals.lock().unwrap()["apr"].receipts.len(), 1);
    let refused = rig.desk.answer(session(), id(), words(Decision::Approved, Remember::Once), guest()).await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::Unauthorized);
    assert_eq!(rig.journal.approvals.lock().unwrap()["apr"].state, ApprovalState::Pending);
}
