//! A batch that nobody waited for and that was refused: nobody builds on it, whoever writes next.

use lanyard_ports::journal::{Cursor, Journal, JournalError, Write};
use lanyard_protocol::approval::ApprovalState;

use super::Fixture;
use super::sample::*;

/// Session `a` with one event, and a hole behind it.
async fn with_hole() -> Fixture {
    let f = Fixture::new();
    f.commit(vec![session("a"), session("b"), event("a", "one")]).await;
    f.store.append(vec![event("a", "lost"), delta("a")]).await.unwrap();
    f.commit(vec![event("b", "not concerned")]).await;
    f
}

fn last(f: &Fixture) -> u64 {
    f.store.events(&sid("a"), Cursor::End, 9).unwrap().last_seq
}

#[tokio::test]
async fn everybody_is_told_until_somebody_reads_anew() {
    let f = with_hole().await;
    for _ in 0..2 {
        // An answer to a question hears of it and does not take it away from the loop.
        let text = f.refused(vec![approval("a", "ap1", ApprovalState::Pending)]).await;
        assert!(text.contains("appended earlier to session a") && text.contains("ephemeral"), "{text}");
    }
    let Err(JournalError::Refused(text)) = f.store.append(vec![event("a", "more")]).await else { panic!() };
    assert!(text.contains("appended earlier to session a"), "{text}");
    assert_eq!(last(&f), 1);
    assert_eq!(f.store.approvals(None, true, 9).unwrap(), []);

    f.commit(vec![Write::Reread(sid("a")), event("a", "two")]).await;
    f.store.append(vec![event("a", "three")]).await.unwrap();
    f.commit(vec![event("a", "four")]).await;
    assert_eq!(last(&f), 4);
}

#[tokio::test]
async fn what_was_queued_behind_it_is_not_written_either() {
    let f = Fixture::new();
    f.commit(vec![session("a"), event("a", "one")]).await;
    // All in one group, before anybody can be told.
    let (lost, behind, told) = tokio::join!(
        f.store.append(vec![delta("a")]),
        f.store.append(vec![event("a", "behind the hole")]),
        f.store.commit(vec![event("a", "builds on it")]),
    );
    assert!(lost.is_ok() && matches!(told, Err(JournalError::Refused(_))), "{told:?}");
    drop(behind);
    assert_eq!(last(&f), 1);
}

#[tokio::test]
async fn reading_another_session_anew_or_a_refused_batch_forgives_nothing() {
    let f = with_hole().await;
    f.commit(vec![Write::Reread(sid("b"))]).await;
    assert!(f.store.commit(vec![Write::Reread(sid("b")), event("a", "x")]).await.is_err());
    assert!(f.store.commit(vec![Write::Reread(sid("a")), delta("a")]).await.is_err());
    assert!(f.store.commit(vec![event("a", "x")]).await.is_err());
    assert_eq!(last(&f), 1);
}

#[tokio::test]
async fn a_deleted_session_takes_its_hole_along() {
    let f = with_hole().await;
    f.commit(vec![Write::DeleteSession(sid("a"))]).await;
    // Nor does one that is gone leave a hole.
    f.store.append(vec![event("a", "late")]).await.unwrap();
    f.commit(vec![]).await;
    f.commit(vec![session("a"), event("a", "new")]).await;
    assert_eq!(last(&f), 1);
}
