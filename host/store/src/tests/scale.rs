//! A session of 100,000 events opens, pages and is searched in bounded pieces.

use std::sync::Arc;

use lanyard_ports::journal::{Cursor, Journal};

use super::disk::SimDisk;
use super::sample::*;
use super::{Heard, counts};
use crate::StoreOptions;
use crate::open::open_on;

#[tokio::test]
async fn a_long_session_is_read_in_bounded_pieces() {
    let total = counts(20_000, 100_000) as u64;
    let disk = SimDisk::default();
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions::new(dir.path());
    let (store, _) = open_on(&options, Arc::new(Heard::default()), disk.clone()).unwrap();
    store.commit(vec![session("a")]).await.unwrap();
    let text = "a line of some length that an agent might have said. ".repeat(4);
    for chunk in 0..total / 1_000 {
        let rows = (0..1_000).map(|i| match chunk * 1_000 + i {
            7 => "the first needle".to_owned(),
            n if n + 1 == total => "the last needle".to_owned(),
            n => format!("{n} {text}"),
        });
        store.commit(events("a", rows)).await.unwrap();
    }
    store.close().unwrap();
    drop(store);
    let (store, _) = open_on(&options, Arc::new(Heard::default()), disk.copy()).unwrap();
    assert_eq!(store.counters().unwrap().events, total);

    // Paging sees each once; no page is larger than asked for.
    let mut after = 0;
    loop {
        let page = store.events(&sid("a"), Cursor::After(after), 1_000).unwrap();
        assert!(page.events.len() <= 1_000);
        after += page.events.len() as u64;
        assert_eq!(page.events.last().unwrap().seq, Some(after));
        match page.next {
            Some(next) => assert_eq!(next, after),
            None => break,
        }
    }
    assert_eq!(after, total);

    // Searching from the end finds the last at once, and the first after a number of bounded calls.
    let mut cursor = Cursor::End;
    let mut found = Vec::new();
    let mut calls = 0;
    loop {
        let page = store.search_events(&sid("a"), "needle", cursor, 1).unwrap();
        found.extend(page.events.iter().filter_map(|event| event.seq));
        calls += 1;
        match page.next {
            Some(next) => cursor = Cursor::Before(next),
            None => break,
        }
    }
    assert_eq!(found, [total, 8]);
    let fewest = total / 5_000;
    assert!((fewest..=fewest + 3).contains(&calls), "{calls} calls");
}
