//! What the writer refuses, and that it refuses the batch alone.

use lanyard_ports::journal::{CallPhase, Cursor, Journal, JournalError, Write};
use lanyard_protocol::approval::ApprovalState;

use super::Fixture;
use super::sample::*;

async fn with_session() -> Fixture {
    let f = Fixture::new();
    f.commit(vec![session("a")]).await;
    f
}

#[tokio::test]
async fn rows_of_unknown_sessions_are_refused() {
    let f = with_session().await;
    let rows = [
        event("x", "one"),
        message("x", "one"),
        progress("x", |_| {}),
        call("x", "c1", CallPhase::Planned),
        approval("x", "ap1", ApprovalState::Pending),
        rule("r1", Some("x")),
        checkpoint("x"),
        Write::Baseline(Box::new(baseline_record("x", "/a", None))),
        Write::DeleteSession(sid("x")),
    ];
    for row in rows {
        assert_eq!(f.refused(vec![row]).await, "session x does not exist");
    }
    assert_eq!(f.refused(vec![session("a")]).await, "session a exists already");
}

#[tokio::test]
async fn an_ephemeral_event_is_refused() {
    let f = with_session().await;
    assert!(f.refused(vec![delta("a")]).await.contains("text_delta is ephemeral"));
}

#[tokio::test]
async fn a_refused_batch_leaves_nothing_and_harms_no_neighbour() {
    let f = with_session().await;
    let (good, bad, later) = tokio::join!(
        f.store.commit(vec![event("a", "one")]),
        f.store.commit(vec![event("a", "half"), session("b"), message("a", "half"), event("x", "bad")]),
        f.store.commit(vec![event("a", "two")]),
    );
    assert_eq!((good, later), (Ok(()), Ok(())));
    assert!(matches!(bad, Err(JournalError::Refused(_))));
    let page = f.store.events(&sid("a"), Cursor::After(0), 10).unwrap();
    assert_eq!(page.events.iter().map(|e| e.seq).collect::<Vec<_>>(), [Some(1), Some(2)]);
    assert_eq!(f.store.message_count(&sid("a")), Ok(0));
    assert!(f.store.session(&sid("b")).is_err());
    assert_eq!(f.heard.seqs(), [1, 2]);
    assert_eq!(f.heard.host_names(), ["session_changed"]);
    assert_eq!(f.store.counters().unwrap().sessions, 1);
}

#[tokio::test]
async fn a_call_only_goes_forward() {
    use CallPhase::*;
    let phases = [Planned, Authorized, Started, Finished, Indeterminate, Reported];
    for (from_at, from) in phases.into_iter().enumerate() {
        for (to_at, to) in phases.into_iter().enumerate() {
            let f = with_session().await;
            f.commit(vec![call("a", "c1", from)]).await;
            let done = f.store.commit(vec![call("a", "c1", to)]).await;
            let allowed = to_at >= from_at && !(from == Finished && to == Indeterminate);
            assert_eq!(done.is_ok(), allowed, "{from:?} to {to:?}: {done:?}");
            let kept = f.store.call(&sid("a"), &cid("c1")).unwrap().unwrap();
            assert_eq!(kept.phase, if allowed { to } else { from });
        }
    }
}

#[tokio::test]
async fn an_outcome_is_needed_kept_and_never_replaced() {
    let f = with_session().await;
    let mut bare = call_record("a", "c1", CallPhase::Finished);
    bare.completed = None;
    assert!(f.refused(vec![Write::Call(Box::new(bare.clone()))]).await.contains("without an outcome"));
    f.commit(vec![call("a", "c1", CallPhase::Finished)]).await;
    let mut other = call_record("a", "c1", CallPhase::Reported);
    other.completed = Some(completed("a", "c1", "something else"));
    assert!(f.refused(vec![Write::Call(Box::new(other))]).await.contains("has an outcome already"));
    bare.phase = CallPhase::Reported;
    f.commit(vec![Write::Call(Box::new(bare))]).await;
    let kept = f.store.call(&sid("a"), &cid("c1")).unwrap().unwrap();
    assert_eq!(kept, call_record("a", "c1", CallPhase::Reported));
}

#[tokio::test]
async fn an_answer_counts_once() {
    use ApprovalState::*;
    for settled in [Approved, Denied, Expired, Cancelled] {
        let f = with_session().await;
        f.commit(vec![approval("a", "ap1", Pending)]).await;
        f.commit(vec![approval("a", "ap1", settled)]).await;
        for next in [Pending, Approved, Denied, Expired, Cancelled] {
            let done = f.store.commit(vec![approval("a", "ap1", next)]).await;
            assert_eq!(done.is_ok(), next == settled, "{settled:?} to {next:?}: {done:?}");
        }
        let mut by_another = approval_record("a", "ap1", settled, 3_000);
        if let Some(answer) = &mut by_another.answer {
            answer.decided_by = id("somebody-else");
            assert!(f.store.commit(vec![Write::Approval(Box::new(by_another))]).await.is_err());
        }
        assert_eq!(f.store.session(&sid("a")).unwrap().summary.pending_approvals, 0);
        assert_eq!(f.store.counters().unwrap().approvals_pending, 0);
    }
}

#[tokio::test]
async fn an_approval_stands_for_one_question() {
    let f = with_session().await;
    f.commit(vec![approval("a", "ap1", ApprovalState::Pending)]).await;
    let mut other = approval_record("a", "ap1", ApprovalState::Approved, 3_000);
    other.request.action_summary = "rm -rf /".to_owned();
    assert!(f.refused(vec![Write::Approval(Box::new(other))]).await.contains("another question"));
}

#[tokio::test]
async fn state_and_answer_of_an_approval_agree() {
    let f = with_session().await;
    for (state, with) in [
        (ApprovalState::Approved, ApprovalState::Denied),
        (ApprovalState::Approved, ApprovalState::Pending),
        (ApprovalState::Pending, ApprovalState::Approved),
        (ApprovalState::Expired, ApprovalState::Denied),
    ] {
        let mut record = approval_record("a", "ap1", state, 3_000);
        record.answer = approval_record("a", "ap1", with, 3_000).answer;
        assert!(f.refused(vec![Write::Approval(Box::new(record))]).await.contains("with the answer"));
    }
}

#[tokio::test]
async fn receipts_are_added_without_asking_again() {
    let f = with_session().await;
    f.commit(vec![approval("a", "ap1", ApprovalState::Pending)]).await;
    let mut seen = approval_record("a", "ap1", ApprovalState::Pending, 3_000);
    seen.receipts.push(seen.receipts[0].clone());
    f.commit(vec![Write::Approval(Box::new(seen.clone()))]).await;
    assert_eq!(f.store.approval(&sid("a"), &id("ap1")), Ok(Some(seen)));
    assert_eq!(f.heard.host_names(), ["session_changed", "approval_pending"]);
    assert_eq!(f.store.session(&sid("a")).unwrap().summary.pending_approvals, 1);
}

#[tokio::test]
async fn one_settled_from_the_start_never_waited() {
    let f = with_session().await;
    f.commit(vec![approval("a", "ap1", ApprovalState::Approved)]).await;
    assert_eq!(f.heard.host_names(), ["session_changed"]);
    assert_eq!(f.store.approvals(None, false, 9).unwrap(), []);
    assert_eq!(f.store.approvals(None, true, 9).unwrap().len(), 1);
}

#[tokio::test]
async fn a_command_key_is_not_reused_for_something_else() {
    let f = with_session().await;
    f.commit(vec![command("k", "one", 1)]).await;
    assert!(f.refused(vec![command("k", "two", 3)]).await.contains("another request"));
    assert_eq!(f.store.command(&id("owner"), &id("k")), Ok(Some(command_record("k", "one", 1))));
}

#[tokio::test]
async fn of_many_batches_with_one_command_exactly_one_is_written() {
    let f = Fixture::new();
    let attempts = (0..8).map(|n| {
        let store = f.store.clone();
        let batch = vec![session(&format!("s{n}")), event(&format!("s{n}"), "made"), command("k", "one", n)];
        tokio::spawn(async move { store.commit(batch).await })
    });
    let mut written = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        match attempt.await.unwrap() {
            Ok(()) => written += 1,
            Err(JournalError::Repeated(text)) => assert!(text.contains("command k"), "{text}"),
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((written, f.store.counters().unwrap().sessions), (1, 1));
}

#[tokio::test]
async fn a_session_whose_task_is_under_way_is_not_deleted() {
    let f = with_session().await;
    f.commit(vec![event("a", "one"), checkpoint("a")]).await;
    let text = f.refused(vec![Write::DeleteSession(sid("a"))]).await;
    assert!(text.contains("session a") && text.contains("cancel the task first"), "{text}");
    assert_eq!(f.store.events(&sid("a"), Cursor::End, 9).unwrap().last_seq, 1);
    // Whichever comes first: the other one is told.
    let (start, delete) = tokio::join!(
        f.store.commit(vec![session("b"), checkpoint("b")]),
        f.store.commit(vec![Write::DeleteSession(sid("b"))])
    );
    assert!(start.is_ok() && matches!(delete, Err(JournalError::Refused(_))), "{delete:?}");
    f.commit(vec![Write::ClearCheckpoint(sid("a")), Write::DeleteSession(sid("a"))]).await;
    assert_eq!(f.refused(vec![checkpoint("a")]).await, "session a does not exist");
}

#[tokio::test]
async fn the_first_state_of_a_file_stays() {
    let f = with_session().await;
    f.commit(vec![Write::Baseline(Box::new(baseline_record("a", "/f", None)))]).await;
    let later = baseline_record("a", "/f", Some(id("sha256-ab")));
    f.commit(vec![Write::Baseline(Box::new(later))]).await;
    assert_eq!(f.store.baselines(&sid("a"), &tid("t1")).unwrap(), [baseline_record("a", "/f", None)]);
}

#[tokio::test]
async fn removing_what_is_not_there_is_no_fault() {
    let f = with_session().await;
    f.commit(vec![Write::RemoveRule(id("r")), Write::ClearCheckpoint(sid("a"))]).await;
    f.commit(vec![checkpoint("a"), rule("r", None)]).await;
    f.commit(vec![Write::RemoveRule(id("r")), Write::ClearCheckpoint(sid("a"))]).await;
    assert_eq!((f.store.rules().unwrap().len(), f.store.unfinished().unwrap().len()), (0, 0));
}

#[tokio::test]
async fn a_deleted_session_leaves_only_its_audit() {
    let f = with_session().await;
    f.commit(vec![session("a.b"), event("a.b", "stays"), approval("a.b", "ap9", ApprovalState::Pending)])
        .await;
    f.commit(vec![
        event("a", "one"),
        prompt("a", "searchable"),
        message("a", "one"),
        call("a", "c1", CallPhase::Started),
        approval("a", "ap1", ApprovalState::Pending),
        approval("a", "ap2", ApprovalState::Denied),
        rule("r1", Some("a")),
        rule("r2", None),
        Write::Baseline(Box::new(baseline_record("a", "/f", None))),
        Write::Audit(Box::new(envelope("a"))),
        progress("a", |p| p.task = Some(task("t1", lanyard_protocol::session::TaskState::Completed))),
    ])
    .await;
    let before = f.store.view().unwrap().totals().unwrap().row_bytes;
    f.commit(vec![Write::DeleteSession(sid("a"))]).await;
    let a = sid("a");
    assert!(f.store.session(&a).is_err() && f.store.events(&a, Cursor::End, 1).is_err());
    assert_eq!(f.store.task(&a, &tid("t1")), Ok(None));
    assert_eq!(f.store.call(&a, &cid("c1")), Ok(None));
    assert_eq!(f.store.approval(&a, &id("ap1")), Ok(None));
    assert_eq!(f.store.checkpoint(&a), Ok(None));
    assert!(f.store.baselines(&a, &tid("t1")).unwrap().is_empty());
    assert_eq!(f.store.rules().unwrap(), [rule_record("r2", None)]);
    assert_eq!(f.store.approvals(None, true, 9).unwrap().len(), 1);
    assert_eq!(f.store.approvals(None, false, 9).unwrap().len(), 1);
    assert_eq!(f.store.list_sessions(None, None, 9).unwrap().0.len(), 1);
    let counters = f.store.counters().unwrap();
    assert_eq!((counters.sessions, counters.events, counters.approvals_pending), (1, 1, 1));
    assert_eq!((counters.outbox_depth, counters.tasks_completed), (1, 1));
    assert!(f.store.view().unwrap().totals().unwrap().row_bytes < before);
    // The id may come back, and then begins anew.
    f.commit(vec![session("a"), event("a", "new")]).await;
    assert_eq!(f.store.session(&a).unwrap().summary.last_seq, 1);
}

#[tokio::test]
async fn a_session_deleted_and_made_again_in_one_batch_is_new() {
    let f = with_session().await;
    f.commit(vec![event("a", "old"), event("a", "old"), message("a", "old")]).await;
    f.commit(vec![event("a", "late"), Write::DeleteSession(sid("a")), session("a"), event("a", "new")]).await;
    let page = f.store.events(&sid("a"), Cursor::After(0), 9).unwrap();
    assert_eq!((page.events.len(), page.last_seq), (1, 1));
    assert_eq!(f.store.message_count(&sid("a")), Ok(0));
}
