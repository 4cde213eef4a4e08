//! Rights are those held now: when somebody answers, when a call starts, and of whoever the task acts for.

use lanyard_protocol::approval::{ApprovalState, Decision};
use lanyard_protocol::error::ErrorCode;
use lanyard_protocol::policy::{Approver, Remember};
use lanyard_protocol::principal::{Principal, Scope};
use lanyard_protocol::session::ApprovalMode;
use lanyard_protocol::tool::{ToolResult, ToolStatus};

use super::fakes::People;
use super::*;

/// The local default, answered by anybody with the right.
const ANY: LayerOf = ("local", |_| ());
const LOCAL: LayerOf = ("local", |bundle| by(bundle, Approver::Local));
const NOT_INITIATOR: LayerOf = ("local", |bundle| by(bundle, Approver::NotInitiator));
const FOR_EVER: LayerOf = ("local", |bundle| {
    bundle.approval_rules.iter_mut().for_each(|rule| rule.max_remember = Remember::Always)
});
const CENTRAL_NOT_INITIATOR: LayerOf = ("central", |bundle| by(bundle, Approver::NotInitiator));

fn by(bundle: &mut PolicyBundle, approver: Approver) {
    bundle.approval_rules.iter_mut().for_each(|rule| rule.approver = approver);
}

/// A change of somebody's rights.
type Change = (&'static str, fn(&People, &Principal));

const REVOKED: Change = ("revoked", |people, who| people.revoke(who));
const NOT_APPROVING: Change =
    ("may not approve", |people, who| people.give(who, &[Scope::Observe, Scope::Operate, Scope::Admin]));
const NOT_OPERATING: Change =
    ("may not operate", |people, who| people.give(who, &[Scope::Observe, Scope::Approve, Scope::Admin]));
const NOT_ADMINISTERING: Change = ("may not administer", |people, who| people.give(who, &ALL[..3]));

fn assert_denied(result: &ToolResult, code: ErrorCode, text: &str) {
    let error = result.error.as_ref().unwrap();
    assert_eq!((result.status, error.code), (ToolStatus::Denied, code), "{error}");
    assert!(error.message.contains(text), "{error}");
}

#[tokio::test]
async fn who_may_answer_from_afar() {
    // Rule, who started the task, who answers, whether that counts.
    let cases = [
        (ANY, phone(), phone(), None),
        (ANY, owner(), tablet(), None),
        (LOCAL, phone(), phone(), Some("at the machine itself")),
        (LOCAL, owner(), tablet(), Some("at the machine itself")),
        (LOCAL, phone(), owner(), None),
        (NOT_INITIATOR, phone(), phone(), Some("whoever started the task")),
        (NOT_INITIATOR, owner(), owner(), Some("whoever started the task")),
        (NOT_INITIATOR, phone(), tablet(), None),
        (NOT_INITIATOR, tablet(), owner(), None),
    ];
    for (layer, initiator, answers, refusal) in cases {
        let rig = Rig::new(vec![layer]).await;
        let call = rig.prepare("c", initiator, ApprovalMode::default()).await;
        let (waits, question) = rig.ask(call).await;
        let said = rig.say(&question, Decision::Approved, Remember::Once, answers).await;
        match refusal {
            None => {
                assert!(said.unwrap().counted);
                assert_eq!(run(ready(waits.await.unwrap())).await.status, ToolStatus::Succeeded);
                assert!(rig.file().exists());
            }
            Some(text) => {
                let error = said.unwrap_err();
                assert_eq!(error.code, ErrorCode::Unauthorized);
                assert!(error.message.contains(text), "{error}");
                assert_eq!(rig.pending(), Some(question), "somebody else can still answer");
            }
        }
    }
}

#[tokio::test]
async fn of_two_demands_both_count_when_somebody_answers() {
    let rig = Rig::new(vec![LOCAL, CENTRAL_NOT_INITIATOR]).await;
    let (waits, question) = rig.ask(rig.prepare("c", phone(), ApprovalMode::default()).await).await;
    for (decision, answers) in
        [(Decision::Approved, tablet()), (Decision::Denied, tablet()), (Decision::Approved, phone())]
    {
        assert!(rig.say(&question, decision, Remember::Once, answers).await.is_err());
    }
    assert!(rig.say(&question, Decision::Approved, Remember::Once, owner()).await.unwrap().counted);
    assert_eq!(run(ready(waits.await.unwrap())).await.status, ToolStatus::Succeeded);
}

#[tokio::test]
async fn an_answer_counts_for_the_rights_of_the_moment_it_is_taken() {
    for (name, change) in [REVOKED, NOT_APPROVING] {
        for decision in [Decision::Approved, Decision::Denied] {
            let rig = Rig::new(vec![ANY]).await;
            let (_waits, question) = rig.ask(rig.prepare("c", owner(), ApprovalMode::default()).await).await;
            // What the connection knew when it passed the answer on.
            let before = phone();
            change(&rig.people, &before);
            let refused = rig.say(&question, decision, Remember::Once, before).await.unwrap_err();
            assert_eq!(refused.code, ErrorCode::Unauthorized, "{name}");
            assert_eq!(rig.pending(), Some(question), "{name}");
        }
    }
    let rig = Rig::new(vec![FOR_EVER]).await;
    let (waits, question) = rig.ask(rig.prepare("c", owner(), ApprovalMode::default()).await).await;
    (NOT_ADMINISTERING.1)(&rig.people, &phone());
    let refused = rig.say(&question, Decision::Approved, Remember::Always, phone()).await.unwrap_err();
    assert!(refused.message.contains("`admin`"), "{refused}");
    rig.say(&question, Decision::Approved, Remember::Session, phone()).await.unwrap();
    drop(ready(waits.await.unwrap()));
    assert_eq!(rig.journal.rules.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_approver_who_lost_the_right_before_the_start_approved_nothing() {
    for (name, change) in [REVOKED, NOT_APPROVING] {
        let rig = Rig::new(vec![ANY]).await;
        let call = rig.approved("c", owner(), phone()).await;
        change(&rig.people, &phone());
        assert_denied(&run(call).await, ErrorCode::ApprovalDenied, "whoever approved the call");
        assert!(!rig.file().exists(), "{name}");
    }
    // Of somebody else's rights nothing changes.
    let rig = Rig::new(vec![ANY]).await;
    let call = rig.approved("c", owner(), phone()).await;
    rig.people.revoke(&tablet());
    assert_eq!(run(call).await.status, ToolStatus::Succeeded);
}

#[tokio::test]
async fn an_answer_found_after_a_restart_counts_for_the_rights_of_then() {
    for (name, change) in [REVOKED, NOT_APPROVING, ("as before", |_, _| ())] {
        let rig = Rig::new(vec![ANY]).await;
        let (waits, question) = rig.ask(rig.prepare("c", owner(), ApprovalMode::default()).await).await;
        waits.abort();
        let rig = rig.restart(vec![ANY]).await;
        let said = rig.say(&question, Decision::Approved, Remember::Session, phone()).await;
        assert!(said.unwrap().counted, "{name}: taken, although no call waits");
        change(&rig.people, &phone());
        let settled = settle(rig.prepare("c", owner(), ApprovalMode::default()).await).await;
        let remembered = rig.journal.rules.lock().unwrap().len();
        if name == "as before" {
            assert_eq!(run(ready(settled)).await.status, ToolStatus::Succeeded);
            assert_eq!(remembered, 1);
        } else {
            assert_denied(&over(settled), ErrorCode::ApprovalDenied, "whoever approved the call");
            assert_eq!(remembered, 0, "{name}: nor is it remembered");
        }
    }
}

#[tokio::test]
async fn a_remembered_answer_ends_with_the_right_of_whoever_gave_it() {
    let cases = [
        (Remember::Session, REVOKED),
        (Remember::Session, NOT_APPROVING),
        (Remember::Always, NOT_ADMINISTERING),
        (Remember::Always, REVOKED),
    ];
    for (remember, (name, change)) in cases {
        let rig = Rig::new(vec![FOR_EVER]).await;
        let (waits, question) = rig.ask(rig.prepare("c1", owner(), ApprovalMode::default()).await).await;
        rig.say(&question, Decision::Approved, remember, phone()).await.unwrap();
        drop(ready(waits.await.unwrap()));
        let again = rig.prepare("c2", owner(), ApprovalMode::default()).await;
        assert!(!again.awaits_person(), "{name}: it is remembered");
        let recalled = ready(settle(again).await);
        change(&rig.people, &phone());
        // The one on its way ends at its start, the next is asked about.
        assert_denied(&run(recalled).await, ErrorCode::ApprovalDenied, "whoever approved the call");
        assert!(!rig.file().exists(), "{name}");
        assert!(rig.prepare("c3", owner(), ApprovalMode::default()).await.awaits_person(), "{name}");
    }
}

#[tokio::test]
async fn questions_stay_switched_off_only_for_whoever_still_may_switch_them_off() {
    let rig = Rig::new(vec![ANY]).await;
    let waived = rig.prepare("c1", phone(), ApprovalMode::Never).await;
    assert!(!waived.awaits_person());
    let waived = ready(settle(waived).await);
    (NOT_ADMINISTERING.1)(&rig.people, &phone());
    assert_denied(&run(waived).await, ErrorCode::ApprovalDenied, "policy now asks");
    // The task goes on as it began, with the principal as it was then.
    assert!(rig.prepare("c2", phone(), ApprovalMode::Never).await.awaits_person());
    assert!(!rig.prepare("c3", owner(), ApprovalMode::Never).await.awaits_person());
    assert!(!rig.file().exists());
}

#[tokio::test]
async fn a_task_does_nothing_more_for_whoever_lost_the_right_to_start_it() {
    let read = serde_json::json!({"path": "given"});
    for (name, change) in [REVOKED, NOT_OPERATING] {
        let rig = Rig::new(vec![ANY]).await;
        std::fs::write(rig.base.path().join("work/given"), "text").unwrap();
        let prepare = |call: &'static str| {
            rig.prepare_tool(call, "ReadFile", read.clone(), phone(), ApprovalMode::default())
        };
        // Judged before, started after; approved by somebody whose rights stand.
        let read_before = ready(settle(prepare("c1").await).await);
        let write_before = rig.approved("c2", phone(), owner()).await;
        change(&rig.people, &phone());
        for result in
            [run(read_before).await, run(write_before).await, over(settle(prepare("c3").await).await)]
        {
            assert_denied(&result, ErrorCode::CapabilityDenied, "whoever started this task");
            assert_eq!(result.output_text, None, "{name}");
        }
        assert!(!rig.file().exists(), "{name}");
        // Back in their rights they go on.
        rig.people.give(&phone(), &ALL);
        assert_eq!(run(ready(settle(prepare("c4").await).await)).await.status, ToolStatus::Succeeded);
    }
}

#[tokio::test]
async fn a_question_whose_initiator_is_revoked_meanwhile_lets_nothing_run() {
    let rig = Rig::new(vec![ANY]).await;
    let (waits, question) = rig.ask(rig.prepare("c", phone(), ApprovalMode::default()).await).await;
    rig.people.revoke(&phone());
    rig.say(&question, Decision::Approved, Remember::Once, owner()).await.unwrap();
    let result = run(ready(waits.await.unwrap())).await;
    assert_denied(&result, ErrorCode::CapabilityDenied, "whoever started this task");
    let records = rig.journal.approvals.lock().unwrap();
    assert!(records.values().all(|record| record.state == ApprovalState::Approved));
    assert!(!rig.file().exists());
}
