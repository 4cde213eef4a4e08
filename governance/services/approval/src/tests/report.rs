//! What hosts tell.

use lanyard_governance_api::approval::ApprovalStored;
use lanyard_governance_foundation::testing::on_both;
use lanyard_protocol::approval::ApprovalState;

use super::*;
use crate::MIGRATIONS;

#[tokio::test]
async fn a_question_is_told_settled_and_told_again_without_changing() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground);
        let host = agent("a", "one");
        let question = rig.pending("q", "s");
        let first: ApprovalStored = rig.report(&host, &question).await.json();
        rig.ground.clock.set(5_000);
        assert_eq!(rig.report(&host, &question).await.json::<ApprovalStored>(), first);
        let answered = settled(&question, "approved");
        let second: ApprovalStored = rig.report(&host, &answered).await.json();
        assert!(second.server_timestamp > first.server_timestamp);
        rig.ground.clock.set(10_000);
        assert_eq!(rig.report(&host, &answered).await.json::<ApprovalStored>(), second);
        // The question arrives once more, after its answer.
        assert_eq!(rig.report(&host, &question).await.json::<ApprovalStored>(), first);
        let info = rig.info("q").await;
        assert_eq!(info.record.state, ApprovalState::Approved);
        assert_eq!(
            (info.received_at, info.settled_at),
            (first.server_timestamp, Some(second.server_timestamp))
        );
        assert_eq!(rig.facts().await, ["q approved", "q pending"]);
        assert_eq!(rig.trail().await, ["approval_requested", "approval_resolved"]);
        // Settled from the beginning.
        let late = settled(&rig.pending("r", "s"), "expired");
        assert_eq!(rig.report(&host, &late).await.status, 201);
        assert_eq!(rig.info("r").await.record.state, ApprovalState::Expired);
    })
    .await;
}

#[tokio::test]
async fn what_is_settled_never_changes_and_the_contradiction_is_kept() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground);
        let host = agent("a", "one");
        let question = rig.ask(&host, "q", "s").await;
        let denied = settled(&question, "denied");
        assert_eq!(rig.report(&host, &denied).await.status, 201);
        let mut other_question = question.clone();
        other_question["record"]["request"]["actionSummary"] = json!("rm -rf /");
        let mut other_words = denied.clone();
        other_words["record"]["answer"]["reason"] = json!("changed my mind");
        for told in
            [settled(&question, "approved"), settled(&question, "expired"), other_question, other_words]
        {
            let answer = rig.report(&host, &told).await;
            assert_eq!(answer.status, 409, "{}", answer.text());
        }
        assert_eq!(rig.report(&agent("a", "two"), &denied).await.status, 409, "another host's");
        assert_eq!(rig.info("q").await.record.state, ApprovalState::Denied);
        assert_eq!(rig.facts().await.iter().filter(|fact| fact.starts_with("q conflict:")).count(), 5);
        assert_eq!(rig.trail().await.iter().filter(|event| *event == "approval_conflict").count(), 5);
        for _ in 0..20 {
            assert_eq!(rig.report(&host, &settled(&question, "approved")).await.status, 409);
        }
        assert_eq!(rig.facts().await.len(), 22, "bounded");
        // The same id in another tenant is another question.
        assert_eq!(rig.report(&agent("b", "one"), &settled(&question, "approved")).await.status, 201);
        assert_eq!(rig.info("q").await.record.state, ApprovalState::Denied);
    })
    .await;
}

#[tokio::test]
async fn a_record_that_contradicts_itself_is_refused() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground);
        let host = agent("a", "one");
        let question = rig.pending("q", "s");
        let mut unanswered = settled(&question, "approved");
        unanswered["record"]["answer"] = json!(null);
        let mut otherwise = settled(&question, "approved");
        otherwise["record"]["answer"]["decision"] = json!("denied");
        let mut answered = settled(&question, "approved");
        answered["record"]["state"] = json!("pending");
        for bad in [unanswered, otherwise, answered] {
            assert_eq!(rig.report(&host, &bad).await.status, 400);
        }
        assert_eq!(rig.report(&person("a", Role::Admin, "x"), &question).await.status, 403);
        assert!(rig.facts().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn told_by_many_at_once_it_is_one() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Arc::new(Rig::new(ground));
        let question = rig.pending("q", "s");
        let told = (0..12).map(|n| {
            let (rig, question) = (rig.clone(), question.clone());
            tokio::spawn(async move {
                let told = if n % 2 == 0 { question } else { settled(&question, "approved") };
                rig.report(&agent("a", "one"), &told).await.status
            })
        });
        for told in told.collect::<Vec<_>>() {
            assert_eq!(told.await.unwrap(), 201);
        }
        assert_eq!(rig.info("q").await.record.state, ApprovalState::Approved);
        let facts = rig.facts().await;
        assert!(facts == ["q approved"] || facts == ["q approved", "q pending"], "{facts:?}");
        assert_eq!(rig.trail().await.len(), facts.len());
    })
    .await;
}
