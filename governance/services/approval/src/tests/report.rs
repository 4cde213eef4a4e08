//! What hosts tell.

use lanyard_governance_api::approval::ApprovalStored;
use lanyard_governance_foundation::testing::on_both;
use lanyard_protocol::approval::ApprovalState;

use super::*;
use crate::MIGRATIONS;

#[tokio::test]
async fn a_question_that_its_host_never_settles_lapses_and_its_late_word_stands() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground);
        let host = agent("a", "one");
        let (late, lost) = (rig.ask(&host, "late", "s").await, rig.ask(&host, "lost", "s").await);
        rig.ask(&host, "old", "s").await;
        let mut far = rig.pending("far", "s");
        far["record"]["request"]["deadline"] = json!(rig.now().plus_millis(90_000_000));
        assert_eq!(rig.report(&host, &far).await.status, 201);
        // As it was written before deadlines were kept beside the record.
        let mut tx = rig.ground.foundation.database.across_write().await.unwrap();
        tx.run(Statement::new("UPDATE approvals SET deadline = NULL WHERE approval_id = 'old'"))
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let lapse = || async {
            let all = (0..4).map(|_| crate::lapse::lapse(&rig.ground.foundation));
            assert!(futures_util::future::join_all(all).await.iter().all(Result::is_ok));
        };
        rig.ground.clock.set(300_000 + 3_599_000);
        lapse().await;
        assert_eq!(rig.info("late").await.record.state, ApprovalState::Pending);
        rig.ground.clock.set(300_000 + 3_601_000);
        lapse().await;
        for id in ["late", "lost"] {
            let info = rig.info(id).await;
            assert_eq!(
                (info.record.state, info.settled_at.is_some()),
                (ApprovalState::Expired, true),
                "{id}"
            );
        }
        for id in ["far", "old"] {
            assert_eq!(rig.info(id).await.record.state, ApprovalState::Pending, "{id}");
        }
        let lapsed = rig.trail().await.into_iter().filter(|event| event == "approval_lapsed").count();
        assert_eq!(lapsed, 2, "each once");
        // The host comes back: what waited there when it was last asked, and what was answered.
        assert_eq!(rig.report(&host, &lost).await.status, 201, "told again");
        assert_eq!(rig.info("lost").await.record.state, ApprovalState::Expired);
        assert_eq!(rig.report(&host, &settled(&late, "approved")).await.status, 201);
        assert_eq!(rig.info("late").await.record.state, ApprovalState::Approved);
        assert_eq!(rig.report(&host, &settled(&late, "denied")).await.status, 409, "what is settled stands");
        assert_eq!(rig.report(&host, &settled(&lost, "expired")).await.status, 201);
        lapse().await;
        assert_eq!(rig.info("late").await.record.state, ApprovalState::Approved);
        assert!(rig.facts().await.contains(&"late lapsed".to_owned()), "it is kept that it was so");
        rig.ground.clock.set(8 * 24 * 3_600_000);
        lapse().await;
        assert_eq!(rig.info("old").await.record.state, ApprovalState::Expired);
    })
    .await;
}

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
async fn so_many_questions_of_a_host_wait_and_no_more_whatever_their_sessions() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground);
        let host = agent("a", "one");
        let question = rig.ask(&host, "q", "s").await;
        // 999 more, each of a session of its own.
        let sql = "WITH RECURSIVE more(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more WHERE n < 999) \
            INSERT INTO approvals (tenant_id, approval_id, agent_id, user_id, session_id, state, record, received_at) \
            SELECT tenant_id, approval_id || n, agent_id, user_id, session_id || n, state, record, received_at \
            FROM approvals CROSS JOIN more WHERE tenant_id = $1";
        let mut tx = rig.ground.foundation.database.write(&host).await.unwrap();
        assert_eq!(tx.run(Statement::new(sql)).await.unwrap(), 999);
        tx.commit().await.unwrap();
        let refused = rig.report(&host, &rig.pending("one-more", "another")).await;
        assert_eq!(refused.status, 413, "{}", refused.text());
        // Another host has room of its own, and an answer makes room.
        rig.ask(&agent("a", "two"), "theirs", "s").await;
        assert_eq!(rig.report(&host, &settled(&question, "denied")).await.status, 201);
        rig.ask(&host, "one-more", "another").await;
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
