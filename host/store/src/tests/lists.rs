//! Lists: order, paging, search, and what the store forgets.

use lanyard_ports::journal::{Cursor, Journal, JournalError, Write};
use lanyard_protocol::approval::ApprovalState;
use lanyard_protocol::id::SessionId;

use super::Fixture;
use super::sample::*;
use crate::keys;

fn names(page: &(Vec<lanyard_protocol::session::SessionSummary>, Option<String>)) -> Vec<&str> {
    page.0.iter().map(|summary| summary.session_id.as_str()).collect()
}

#[tokio::test]
async fn sessions_come_last_changed_first_page_by_page() {
    let f = Fixture::new();
    for (i, name) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        let created = i64::try_from(i).unwrap() * 10;
        f.commit(vec![Write::Session(Box::new(session_record(name, created)))]).await;
    }
    f.commit(vec![progress("b", |p| p.at = at(100))]).await;
    // A clock set back moves nothing.
    f.commit(vec![progress("b", |p| p.at = at(5))]).await;
    let first = f.store.list_sessions(None, None, 2).unwrap();
    assert_eq!(names(&first), ["b", "e"]);
    let second = f.store.list_sessions(None, first.1.as_deref(), 2).unwrap();
    assert_eq!(names(&second), ["d", "c"]);
    let third = f.store.list_sessions(None, second.1.as_deref(), 2).unwrap();
    assert_eq!((names(&third), third.1.as_deref()), (vec!["a"], None));
    let all = f.store.list_sessions(None, None, 5).unwrap();
    assert_eq!((all.0.len(), all.1), (5, None));
}

#[tokio::test]
async fn a_foreign_cursor_is_refused_or_harmless() {
    let f = Fixture::new();
    f.commit(vec![session("a")]).await;
    for bad in ["!", &"A".repeat(1000)] {
        assert!(matches!(f.store.list_sessions(None, Some(bad), 1), Err(JournalError::Refused(_))));
    }
    assert_eq!(f.store.list_sessions(None, Some("AAAA"), 1).unwrap().0.len(), 0);
}

#[tokio::test]
async fn sessions_are_found_by_name_prompt_and_answer() {
    let f = Fixture::new();
    f.commit(vec![session("a"), prompt("a", "Mend the LEAKING pipe"), event("a", "leaking elsewhere")]).await;
    f.commit(vec![session("b"), answer("b", "Ärger mit dem Rohr behoben")]).await;
    f.commit(vec![session("c"), progress("c", |p| p.name = Some("Pipe dreams".to_owned()))]).await;
    f.commit(vec![session("d"), event("d", "a pipe nobody asked for")]).await;
    let find = |query: &str| -> Vec<String> {
        let mut found: Vec<_> = names(&f.store.list_sessions(Some(query), None, 9).unwrap())
            .into_iter()
            .map(str::to_owned)
            .collect();
        found.sort();
        found
    };
    assert_eq!(find("pipe"), ["a", "c"]);
    assert_eq!(find("leaking pipe"), ["a"]);
    assert_eq!(find("ärger"), ["b"]);
    assert!(find("nowhere").is_empty());
}

#[tokio::test]
async fn a_search_over_many_sessions_goes_on_where_it_stopped() {
    let f = Fixture::new();
    f.commit((0..1_200).map(|i| Write::Session(Box::new(session_record(&format!("s{i}"), i)))).collect())
        .await;
    f.commit(vec![prompt("s3", "the needle")]).await;
    let mut cursor = None;
    let mut calls = 0;
    let mut found: Vec<SessionId> = Vec::new();
    loop {
        let (page, next) = f.store.list_sessions(Some("needle"), cursor.as_deref(), 10).unwrap();
        found.extend(page.into_iter().map(|summary| summary.session_id));
        calls += 1;
        match next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    assert_eq!((found, calls), (vec![sid("s3")], 3));
}

#[tokio::test]
async fn events_are_searched_without_case_through_escapes() {
    let f = Fixture::new();
    f.commit(vec![session("a")]).await;
    let texts = ["Nothing", "She said \"HELLO\"", "two\nlines", "straße ÜBER", "hello again"];
    f.commit(events("a", texts.map(str::to_owned))).await;
    let find = |query: &str, cursor| -> Vec<u64> {
        let page = f.store.search_events(&sid("a"), query, cursor, 9).unwrap();
        assert_eq!(page.next, None);
        page.events.into_iter().filter_map(|e| e.seq).collect()
    };
    assert_eq!(find("hello", Cursor::After(0)), [2, 5]);
    assert_eq!(find("hello", Cursor::Before(5)), [2]);
    assert_eq!(find("said \"hello\"", Cursor::End), [2]);
    assert_eq!(find("two\nlines", Cursor::End), [3]);
    assert_eq!(find("über", Cursor::End), [4]);
    assert_eq!(find("\"eventtype\":\"session_paused\"", Cursor::After(0)), [1, 2, 3, 4, 5]);
    let one = f.store.search_events(&sid("a"), "hello", Cursor::End, 1).unwrap();
    assert_eq!((one.events[0].seq, one.next), (Some(5), Some(5)));
}

#[tokio::test]
async fn approvals_come_newest_first() {
    let f = Fixture::new();
    f.commit(vec![session("a"), session("b")]).await;
    for (session, name, state, asked) in [
        ("a", "p1", ApprovalState::Pending, 10),
        ("b", "p2", ApprovalState::Pending, 20),
        ("a", "p3", ApprovalState::Denied, 30),
        ("a", "p4", ApprovalState::Pending, 40),
    ] {
        f.commit(vec![Write::Approval(Box::new(approval_record(session, name, state, asked)))]).await;
    }
    let list = |session: Option<&str>, settled, limit| -> Vec<String> {
        let session = session.map(sid);
        let found = f.store.approvals(session.as_ref(), settled, limit).unwrap();
        found.into_iter().map(|record| record.request.approval_id.to_string()).collect()
    };
    assert_eq!(list(None, true, 9), ["p4", "p3", "p2", "p1"]);
    assert_eq!(list(None, false, 9), ["p4", "p2", "p1"]);
    assert_eq!(list(Some("a"), true, 2), ["p4", "p3"]);
    assert_eq!(list(Some("a"), false, 9), ["p4", "p1"]);
    assert_eq!(list(Some("b"), false, 9), ["p2"]);
}

/// An approval whose row has at least so many bytes.
fn bulky(session: &str, name: &str, asked: i64, bytes: usize) -> Write {
    let mut record = approval_record(session, name, ApprovalState::Pending, asked);
    record.request.reasons = vec!["x".repeat(bytes)];
    Write::Approval(Box::new(record))
}

fn approval_ids(found: Vec<lanyard_protocol::approval::ApprovalRecord>) -> Vec<String> {
    found.into_iter().map(|record| record.request.approval_id.to_string()).collect()
}

#[tokio::test]
async fn a_page_of_approvals_holds_about_a_mebibyte_and_at_least_one() {
    let f = Fixture::new();
    f.commit(vec![session("a")]).await;
    for (n, bytes) in [10, 400_000, 400_000, 400_000, 2 << 20].into_iter().enumerate() {
        f.commit(vec![bulky("a", &format!("p{n}"), n as i64, bytes)]).await;
    }
    let a = sid("a");
    for session in [None, Some(&a)] {
        for settled in [true, false] {
            assert_eq!(approval_ids(f.store.approvals(session, settled, 9).unwrap()), ["p4"]);
        }
    }
    f.commit(vec![bulky("a", "p5", 5, 400_000), bulky("a", "p6", 6, 400_000)]).await;
    assert_eq!(approval_ids(f.store.approvals(None, true, 9).unwrap()), ["p6", "p5"]);
    let keys = f.store.pending_approvals(9).unwrap();
    assert_eq!(keys.len(), 7, "keys are all told");
    assert_eq!((keys[0].0.as_str(), keys[0].1.as_str()), ("a", "p0"));
    assert_eq!(f.store.pending_approvals(2).unwrap().len(), 2);
}

#[tokio::test]
async fn an_approval_is_found_by_the_beginning_of_its_id() {
    let f = Fixture::new();
    f.commit(vec![session("a"), session("b")]).await;
    f.commit(vec![
        bulky("a", "apr_one", 1, 2 << 20),
        bulky("b", "apr_two", 2, 2 << 20),
        bulky("b", "other", 3, 1),
    ])
    .await;
    f.commit(vec![Write::Approval(Box::new(approval_record("a", "apr_old", ApprovalState::Denied, 0)))])
        .await;
    let find = |prefix: &str, limit| approval_ids(f.store.approvals_by_prefix(prefix, limit).unwrap());
    assert_eq!(find("apr_tw", 9), ["apr_two"]);
    assert_eq!(find("apr_ol", 9), ["apr_old"], "settled ones too");
    assert_eq!(find("apr_", 9), ["apr_two", "apr_one"], "however large, an ambiguous answer shows");
    assert_eq!(find("apr_", 1), ["apr_two"]);
    assert!(find("pr_", 9).is_empty() && find("a\0", 9).is_empty());
}

#[tokio::test]
async fn old_answers_to_commands_are_forgotten_by_age() {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let f = Fixture::new();
    f.commit(vec![command("old", "x", 0), command("edge", "x", 1), command("new", "x", DAY + 1)]).await;
    f.commit(vec![]).await;
    let kept = |name: &str| f.store.command(&id("owner"), &id(name)).unwrap().is_some();
    assert!(!kept("old") && kept("edge") && kept("new"));
}

#[tokio::test]
async fn old_answers_to_commands_are_forgotten_by_number() {
    let f = Fixture::new();
    let beyond = 10;
    let total = crate::writer::COMMANDS + beyond;
    for chunk in (0..total).collect::<Vec<_>>().chunks(1_000) {
        f.commit(chunk.iter().map(|i| command(&format!("k{i}"), "x", i64::try_from(*i).unwrap())).collect())
            .await;
    }
    let kept = |i: u64| f.store.command(&id("owner"), &id(&format!("k{i}"))).unwrap().is_some();
    assert!(!kept(beyond - 1) && kept(beyond) && kept(total - 1));
}

#[tokio::test]
async fn the_host_log_is_a_ring_that_names_its_first() {
    let f = Fixture::new();
    f.commit(vec![session("a")]).await;
    let whole = crate::writer::HOST_EVENTS + crate::writer::HOST_EVENTS_SLACK;
    let rows = (1..whole).map(|_| {
        Write::Host(Box::new(lanyard_protocol::event::HostEventBody::HostStopping(
            lanyard_protocol::event::HostStopping {
                state: lanyard_protocol::session::SessionState::SessionPaused,
            },
        )))
    });
    f.commit(rows.collect()).await;
    let (events, last) = f.store.host_events(0, 1).unwrap();
    assert_eq!((events[0].host_seq, last), (crate::writer::HOST_EVENTS_SLACK + 1, whole));
    let (events, _) = f.store.host_events(whole - 1, 9).unwrap();
    assert_eq!(events.len(), 1);
    assert!(f.store.host_events(u64::MAX, 9).unwrap().0.is_empty());
}

#[tokio::test]
async fn the_outbox_keeps_its_newest_rows() {
    let f = Fixture::new();
    f.commit(vec![session("a")]).await;
    let whole = crate::writer::OUTBOX + crate::writer::OUTBOX_SLACK;
    let mut left = whole;
    while left > 0 {
        let chunk = left.min(10_000);
        f.commit((0..chunk).map(|_| Write::Audit(Box::new(super::sample::envelope("a")))).collect()).await;
        left -= chunk;
    }
    assert_eq!(f.store.outbox(0, 1).unwrap()[0].0, crate::writer::OUTBOX_SLACK + 1);
    assert_eq!(f.store.outbox(whole - 1, 9).unwrap().len(), 1);
    assert_eq!(f.store.counters().unwrap().outbox_depth, crate::writer::OUTBOX);
}

#[tokio::test]
async fn a_damaged_row_is_named() {
    let f = Fixture::new();
    f.commit(vec![session("a"), event("a", "one")]).await;
    f.store.close().unwrap();
    let path = f.dir.path().join("store.redb");
    drop(f.store);
    {
        let db = redb::Database::create(&path).unwrap();
        let txn = db.begin_write().unwrap();
        let key = keys::numbered(&sid("a"), 1);
        txn.open_table(crate::table::TableId::Events.definition())
            .unwrap()
            .insert(key.as_slice(), [9, 9].as_slice())
            .unwrap();
        txn.commit().unwrap();
    }
    let (store, _) = super::open(f.dir.path());
    let Err(JournalError::Corrupt(text)) = store.events(&sid("a"), Cursor::End, 1) else { panic!() };
    assert_eq!(
        text,
        "events[a\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x01]: its record version is 9, this host reads 1"
    );
    assert!(store.session(&sid("a")).is_ok());
}
