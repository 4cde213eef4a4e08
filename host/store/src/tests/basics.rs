//! What is written is read back, in order, numbered, and told.

use lanyard_ports::journal::{CallPhase, Cursor, Journal, JournalError, Write};
use lanyard_protocol::approval::ApprovalState;
use lanyard_protocol::event::{HostEventBody, HostStopping};
use lanyard_protocol::health::TaskDay;
use lanyard_protocol::session::{SessionState, TaskState};

use super::Fixture;
use super::sample::*;

#[tokio::test]
async fn events_are_numbered_per_session_and_told_in_order() {
    let f = Fixture::new();
    f.commit(vec![session("a"), session("b")]).await;
    f.store.append(vec![event("a", "one")]).await.unwrap();
    f.store.append(vec![event("b", "other"), event("a", "two")]).await.unwrap();
    f.commit(vec![event("a", "three")]).await;
    let page = f.store.events(&sid("a"), Cursor::After(0), 10).unwrap();
    assert_eq!(page.events.iter().map(|e| e.seq).collect::<Vec<_>>(), [Some(1), Some(2), Some(3)]);
    assert_eq!((page.first_seq, page.last_seq, page.next), (1, 3, None));
    // Told before the caller of commit was woken.
    assert_eq!(f.heard.seqs(), [1, 1, 2, 3]);
    assert_eq!(*f.heard.events.lock().unwrap()[3], page.events[2]);
}

#[tokio::test]
async fn pages_go_both_ways_and_stay_bounded() {
    let f = Fixture::new();
    f.commit(vec![session("a")]).await;
    f.commit(events("a", (0..25).map(|i| format!("event {i}")))).await;
    let seqs = |page: &lanyard_ports::journal::EventPage| -> Vec<u64> {
        page.events.iter().filter_map(|e| e.seq).collect()
    };
    let newest = f.store.events(&sid("a"), Cursor::End, 10).unwrap();
    assert_eq!(seqs(&newest), (16..=25).collect::<Vec<_>>());
    assert_eq!(newest.next, Some(16));
    let older = f.store.events(&sid("a"), Cursor::Before(16), 10).unwrap();
    assert_eq!(seqs(&older), (6..=15).collect::<Vec<_>>());
    let oldest = f.store.events(&sid("a"), Cursor::Before(6), 10).unwrap();
    assert_eq!((seqs(&oldest), oldest.next), ((1..=5).collect(), None));
    let forward = f.store.events(&sid("a"), Cursor::After(20), 3).unwrap();
    assert_eq!((seqs(&forward), forward.next), (vec![21, 22, 23], Some(23)));
    let end = f.store.events(&sid("a"), Cursor::After(23), 2).unwrap();
    assert_eq!((seqs(&end), end.next), (vec![24, 25], None));
    let beyond = f.store.events(&sid("a"), Cursor::After(u64::MAX), 2).unwrap();
    assert_eq!((seqs(&beyond), beyond.next, beyond.last_seq), (vec![], None, 25));
    let before_all = f.store.events(&sid("a"), Cursor::Before(0), 2).unwrap();
    assert!(before_all.events.is_empty());
}

#[tokio::test]
async fn a_page_holds_about_a_mebibyte_and_at_least_one_event() {
    let f = Fixture::new();
    f.commit(vec![session("a")]).await;
    let texts = [2 << 20, 400_000, 400_000, 400_000, 10].map(|len| "x".repeat(len));
    f.commit(events("a", texts)).await;
    let mut from = 0;
    let mut sizes = Vec::new();
    loop {
        let page = f.store.events(&sid("a"), Cursor::After(from), 100).unwrap();
        sizes.push(page.events.len());
        match page.next {
            Some(next) => from = next,
            None => break,
        }
    }
    assert_eq!(sizes, [1, 2, 2]);
    let back = f.store.events(&sid("a"), Cursor::End, 100).unwrap();
    assert_eq!((back.events.len(), back.next), (3, Some(3)));
}

#[tokio::test]
async fn an_unknown_session_is_not_found() {
    let f = Fixture::new();
    let nobody = sid("nobody");
    let missing = JournalError::NotFound("session nobody".to_owned());
    assert_eq!(f.store.session(&nobody), Err(missing.clone()));
    assert_eq!(f.store.events(&nobody, Cursor::End, 1), Err(missing.clone()));
    assert_eq!(f.store.messages(&nobody, 0, 1), Err(missing.clone()));
    assert_eq!(f.store.message_count(&nobody), Err(missing));
    assert_eq!(f.store.call(&nobody, &cid("c")), Ok(None));
    assert_eq!(f.store.checkpoint(&nobody), Ok(None));
}

#[tokio::test]
async fn everything_of_a_task_survives_a_restart() {
    let f = Fixture::new();
    f.commit(vec![session("a"), prompt("a", "do it"), message("a", "first"), message("a", "second")]).await;
    f.commit(vec![call("a", "c1", CallPhase::Planned), call("a", "c1", CallPhase::Started)]).await;
    f.commit(vec![approval("a", "ap1", ApprovalState::Pending), rule("r1", None), rule("r2", Some("a"))])
        .await;
    f.commit(vec![
        checkpoint("a"),
        Write::Baseline(Box::new(baseline_record("a", "/work/p/b", None))),
        Write::Baseline(Box::new(baseline_record("a", "/work/p/a", None))),
        command("k1", "ff", 4_000),
        Write::Audit(Box::new(envelope("a"))),
        progress("a", |p| {
            p.task = Some(task("t1", TaskState::Running));
            p.name = Some("A name".to_owned());
            p.state = Some(SessionState::WaitingForApproval);
            p.add_tokens = 41;
        }),
        progress("a", |p| p.add_tokens = 1),
    ])
    .await;
    let f = f.reopen();
    let a = sid("a");
    let record = f.store.session(&a).unwrap();
    assert_eq!((record.tokens_used, record.summary.name.as_str()), (42, "A name"));
    assert_eq!((record.summary.last_seq, record.summary.pending_approvals), (1, 1));
    assert_eq!(record.summary.last_task, Some(task("t1", TaskState::Running)));
    assert_eq!(record.roots, session_record("a", 0).roots);
    assert_eq!(f.store.task(&a, &tid("t1")), Ok(Some(task("t1", TaskState::Running))));
    assert_eq!(f.store.message_count(&a), Ok(2));
    assert_eq!(f.store.messages(&a, 1, 9).unwrap(), [message_record("a", "second")]);
    assert_eq!(f.store.call(&a, &cid("c1")), Ok(Some(call_record("a", "c1", CallPhase::Started))));
    let asked = approval_record("a", "ap1", ApprovalState::Pending, 3_000);
    assert_eq!(f.store.approval(&a, &id("ap1")), Ok(Some(asked)));
    assert_eq!(f.store.rules().unwrap(), [rule_record("r1", None), rule_record("r2", Some("a"))]);
    assert_eq!(f.store.checkpoint(&a), Ok(Some(checkpoint_record("a"))));
    assert_eq!(f.store.unfinished().unwrap(), std::slice::from_ref(&a));
    let paths: Vec<_> = f.store.baselines(&a, &tid("t1")).unwrap().into_iter().map(|b| b.path).collect();
    assert_eq!(paths, [std::path::PathBuf::from("/work/p/a"), "/work/p/b".into()]);
    assert_eq!(f.store.command(&id("owner"), &id("k1")), Ok(Some(command_record("k1", "ff", 4_000))));
    assert_eq!(f.store.command(&id("other"), &id("k1")), Ok(None));
    assert_eq!(f.store.outbox(0, 9).unwrap(), [(1, envelope("a"))]);
    assert_eq!(f.store.workspace_for(&["/work/q".into(), "/work/p".into()]), Ok(Some(id("ws1"))));
    assert_eq!(f.store.workspace_for(&["/work/p".into()]), Ok(None));
}

#[tokio::test]
async fn numbers_go_on_after_a_restart() {
    let f = Fixture::new();
    f.commit(vec![session("a"), event("a", "one"), Write::Audit(Box::new(envelope("a")))]).await;
    let f = f.reopen();
    f.commit(vec![event("a", "two"), Write::Audit(Box::new(envelope("a")))]).await;
    assert_eq!(f.heard.seqs(), [2]);
    assert_eq!(f.store.outbox(1, 9).unwrap().len(), 1);
    let stopping = HostEventBody::HostStopping(HostStopping { state: SessionState::SessionPaused });
    f.commit(vec![Write::Host(Box::new(stopping))]).await;
    let (events, last) = f.store.host_events(0, 10).unwrap();
    assert_eq!(events.iter().map(|e| e.host_seq).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(last, 2);
}

#[tokio::test]
async fn the_host_log_tells_each_changed_session_once_as_it_is() {
    let f = Fixture::new();
    f.commit(vec![session("a")]).await;
    f.commit(vec![
        progress("a", |p| p.state = Some(SessionState::WaitingForLlm)),
        event("a", "one"),
        approval("a", "ap1", ApprovalState::Pending),
        progress("a", |p| p.state = Some(SessionState::WaitingForApproval)),
    ])
    .await;
    f.commit(vec![approval("a", "ap1", ApprovalState::Approved)]).await;
    f.commit(vec![Write::DeleteSession(sid("a"))]).await;
    assert_eq!(
        f.heard.host_names(),
        ["session_changed", "approval_pending", "session_changed", "approval_settled", "session_deleted"]
    );
    let told = f.heard.host.lock().unwrap();
    let HostEventBody::SessionChanged(changed) = &told[2].body else { panic!("{:?}", told[2]) };
    assert_eq!((changed.session.last_seq, changed.session.pending_approvals), (1, 1));
    assert_eq!(changed.session.state, SessionState::WaitingForApproval);
    assert_eq!(told[2].timestamp, at(2_000));
}

#[tokio::test]
async fn health_counts_without_counting() {
    let f = Fixture::new();
    f.commit(vec![session("a"), event("a", "one"), event("a", "two")]).await;
    for state in [TaskState::Running, TaskState::Completed, TaskState::Completed] {
        f.commit(vec![progress("a", |p| p.task = Some(task("t1", state)))]).await;
    }
    f.commit(vec![
        progress("a", |p| p.task = Some(task("t2", TaskState::Failed))),
        progress("a", |p| p.task = Some(task("t3", TaskState::Cancelled))),
        approval("a", "ap1", ApprovalState::Pending),
        Write::Audit(Box::new(envelope("a"))),
    ])
    .await;
    let counters = f.store.counters().unwrap();
    assert_eq!((counters.tasks_completed, counters.tasks_failed, counters.tasks_cancelled), (1, 1, 1));
    assert_eq!((counters.sessions, counters.events, counters.outbox_depth), (1, 2, 1));
    assert_eq!(counters.approvals_pending, 1);
    assert!(counters.store_bytes > 0);
    assert_eq!(f.store.room(), Ok(()));
}

#[tokio::test]
async fn ends_of_tasks_are_counted_by_day_and_outlive_the_host() {
    const DAY: i64 = 24 * 60 * 60 * 1_000;
    let f = Fixture::new();
    f.commit(vec![session("a")]).await;
    let ends = |name: &str, state: TaskState, at: i64| {
        let mut task = task(name, state);
        task.ended_at = (state != TaskState::Running).then(|| super::sample::at(at));
        progress("a", |p| p.task = Some(task))
    };
    for (name, state, at) in [
        ("t1", TaskState::Running, 0),
        ("t1", TaskState::Completed, DAY),
        // Told twice, counted once.
        ("t1", TaskState::Completed, DAY),
        ("t2", TaskState::Failed, 2 * DAY - 1),
        ("t3", TaskState::Cancelled, 2 * DAY),
    ] {
        f.commit(vec![ends(name, state, at)]).await;
    }
    let day = |day, completed, failed, cancelled| TaskDay { day, completed, failed, cancelled };
    assert_eq!(f.store.task_days().unwrap(), [day(1, 1, 1, 0), day(2, 0, 0, 1)]);
    let f = f.reopen();
    assert_eq!(f.store.task_days().unwrap(), [day(1, 1, 1, 0), day(2, 0, 0, 1)]);
    // A fortnight later only the last days are kept, and the session's end takes none of them away.
    f.commit(vec![ends("t4", TaskState::Completed, 15 * DAY)]).await;
    f.commit(vec![Write::DeleteSession(sid("a"))]).await;
    assert_eq!(f.store.task_days().unwrap(), [day(2, 0, 0, 1), day(15, 1, 0, 0)]);
}

#[tokio::test]
async fn a_damaged_picture_of_the_last_days_keeps_no_task_from_ending() {
    let f = Fixture::new();
    f.commit(vec![session("a")]).await;
    let f = f.tampered(|txn| {
        let mut meta = txn.open_table(crate::table::TableId::Meta.definition()).unwrap();
        meta.insert(crate::schema::DAYS_KEY, [1, 255, 255].as_slice()).unwrap();
    });
    assert_eq!(f.store.task_days().unwrap(), []);
    f.commit(vec![progress("a", |p| p.task = Some(task("t1", TaskState::Completed)))]).await;
    assert_eq!(f.store.task_days().unwrap().len(), 1);
    assert_eq!(f.store.counters().unwrap().tasks_completed, 1);
}

#[tokio::test]
async fn reading_goes_on_after_close_and_writing_does_not() {
    let f = Fixture::new();
    f.commit(vec![session("a")]).await;
    f.store.append(vec![event("a", "the last word")]).await.unwrap();
    f.store.close().unwrap();
    f.store.close().unwrap();
    assert_eq!(f.store.events(&sid("a"), Cursor::End, 1).unwrap().last_seq, 1);
    let closed = Err(JournalError::Poisoned("it was closed".to_owned()));
    assert_eq!(f.store.commit(vec![event("a", "too late")]).await, closed);
    assert_eq!(f.store.append(vec![]).await, closed);
}
