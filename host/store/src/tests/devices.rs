//! Paired devices with what they answered for good, who was connected when, and what is counted by name.

use lanyard_ports::journal::{
    DeviceRecord, Journal, JournalError, MAX_CONNECTIONS_KEPT, ProvisionalDevice, Write,
};
use lanyard_protocol::approval::RememberedRule;
use lanyard_protocol::limits::MAX_DEVICES;

use super::Fixture;
use super::sample::*;
use crate::record::Record;
use crate::table::TableId;
use crate::writer::{CONNECTIONS_SLACK, COUNTER_NAME_BYTES, COUNTERS};

fn device_ids(f: &Fixture) -> Vec<String> {
    f.store.devices().unwrap().into_iter().map(|device| device.device_id.to_string()).collect()
}

fn numbers(f: &Fixture, limit: usize) -> Vec<u64> {
    f.store.connections(limit).unwrap().into_iter().map(|row| row.connection).collect()
}

fn rows(f: &Fixture, table: TableId) -> usize {
    usize::try_from(f.store.view().unwrap().len(table).unwrap()).unwrap()
}

#[tokio::test]
async fn devices_come_back_by_id_and_change_in_place() {
    let f = Fixture::new();
    f.commit(vec![device("d2", 2), device("d1", 1)]).await;
    let changed = DeviceRecord {
        name: "Renamed".to_owned(),
        scopes: vec![],
        last_seen: None,
        provisional: None,
        ..device_record("d2", 2)
    };
    f.commit(vec![Write::Device(Box::new(changed.clone()))]).await;
    let f = f.reopen();
    assert_eq!(f.store.devices().unwrap(), [device_record("d1", 1), changed]);
    // The store itself tells nobody; who writes the row says why it did.
    assert_eq!(f.heard.host_names(), Vec::<&str>::new());
}

#[tokio::test]
async fn a_key_belongs_to_one_device() {
    let f = Fixture::new();
    f.commit(vec![device("d1", 1), device("d2", 2)]).await;
    let text = f.refused(vec![device("d3", 1)]).await;
    assert!(text.contains("device d3 has the key of device d1"), "{text}");
    // Neither by changing one, nor within one batch.
    assert!(f.refused(vec![device("d2", 1)]).await.contains("device d2 has the key of device d1"));
    assert!(f.refused(vec![device("d3", 3), device("d4", 3)]).await.contains("the key of device d3"));
    assert_eq!(f.store.devices().unwrap(), [device_record("d1", 1), device_record("d2", 2)]);
    // A new key for a device, and then the old one for another.
    f.commit(vec![device("d1", 9), device("d3", 1)]).await;
    assert_eq!(device_ids(&f), ["d1", "d2", "d3"]);
    // Paired again after it was removed, in the same batch.
    f.commit(vec![Write::RemoveDevice(id("d3")), device("d4", 1)]).await;
    assert_eq!(device_ids(&f), ["d1", "d2", "d4"]);
}

#[tokio::test]
async fn one_device_too_many_is_refused_until_one_goes() {
    let f = Fixture::new();
    let all: Vec<_> = (0..MAX_DEVICES).map(bare_device).collect();
    // As the file would be: pairing them one after the other looks at all of them each time.
    let f = f.tampered(|txn| {
        for device in &all {
            put_raw(txn, TableId::Devices, device.device_id.as_str().as_bytes(), &device.encode().unwrap());
        }
    });
    assert_eq!(f.store.devices().unwrap().len(), MAX_DEVICES);
    let one_more = || Write::Device(Box::new(bare_device(MAX_DEVICES)));
    let text = f.refused(vec![one_more(), event("a", "not reached")]).await;
    assert!(text.contains("4096 devices are paired already") && text.contains("revoke one"), "{text}");
    // One that is known may change, its key too.
    let known = DeviceRecord { signing_key: [0xfe; 32], ..all[7].clone() };
    f.commit(vec![Write::Device(Box::new(known))]).await;
    f.commit(vec![Write::RemoveDevice(all[3].device_id.clone()), one_more()]).await;
    assert_eq!(f.store.devices().unwrap().len(), MAX_DEVICES);
    assert!(f.refused(vec![Write::Device(Box::new(all[3].clone()))]).await.contains("paired already"));
}

/// A rule of its own fingerprint.
fn answered(rule: &str, by: &str) -> Write {
    let record = rule_record(rule, None);
    Write::Rule(Box::new(RememberedRule { created_by: id(by), fingerprint: rule.to_owned(), ..record }))
}

#[tokio::test]
async fn a_removed_device_takes_its_answers_along_and_no_others() {
    let f = Fixture::new();
    f.commit(vec![session("a"), device("d1", 1), device("d1.b", 2)]).await;
    f.commit(vec![
        answered("r1", "d1"),
        answered("r2", "d1.b"),
        answered("r3", "owner"),
        answered("r4", "d1"),
        answered("d1", "d1.b"),
    ])
    .await;
    let heard = f.heard.host_names().len();
    // Also what it answered earlier in the same batch.
    f.commit(vec![answered("r5", "d1"), Write::RemoveDevice(id("d1"))]).await;
    let kept: Vec<_> = f.store.rules().unwrap().into_iter().map(|rule| rule.rule_id.to_string()).collect();
    assert_eq!(kept, ["d1", "r2", "r3"]);
    assert_eq!(device_ids(&f), ["d1.b"]);
    assert_eq!(f.heard.host_names().len(), heard, "the store adds no host event by itself");
    // One that is not there: gone either way, and so is what it answered.
    f.commit(vec![answered("r6", "d9"), Write::RemoveDevice(id("d9"))]).await;
    assert_eq!(f.store.rules().unwrap().len(), 3);
}

#[tokio::test]
async fn a_refused_batch_removes_no_device() {
    let f = Fixture::new();
    f.commit(vec![device("d1", 1), answered("r1", "d1")]).await;
    f.refused(vec![Write::RemoveDevice(id("d1")), count("x", 1), event("nobody", "bad")]).await;
    assert_eq!((device_ids(&f).len(), f.store.rules().unwrap().len()), (1, 1));
    assert_eq!(f.store.counts("").unwrap(), []);
}

#[tokio::test]
async fn a_connection_is_changed_by_its_number_and_the_newest_come_first() {
    let f = Fixture::new();
    f.commit((1..=300).map(|n| connection(n, false)).collect()).await;
    f.commit(vec![connection(299, true)]).await;
    let f = f.reopen();
    assert_eq!(numbers(&f, 3), [300, 299, 298]);
    assert_eq!(
        f.store.connections(2).unwrap(),
        [connection_record(300, false), connection_record(299, true)]
    );
    assert_eq!(numbers(&f, usize::MAX).len(), 300);
    assert_eq!(f.store.connections(0).unwrap(), []);
}

#[tokio::test]
async fn the_newest_connections_are_kept_and_the_oldest_dropped() {
    let f = Fixture::new();
    // With gaps: what counts is how many there are.
    let number = |n: usize| u64::try_from(n).unwrap() * 3;
    let whole = MAX_CONNECTIONS_KEPT + CONNECTIONS_SLACK;
    f.commit((1..whole).map(|n| connection(number(n), false)).collect()).await;
    assert_eq!(rows(&f, TableId::Connections), whole - 1);
    let shown = numbers(&f, usize::MAX);
    assert_eq!((shown.len(), shown.last().copied()), (MAX_CONNECTIONS_KEPT, Some(number(CONNECTIONS_SLACK))));
    let before = f.store.view().unwrap().totals().unwrap().row_bytes;
    f.commit(vec![connection(number(whole), false)]).await;
    assert_eq!(rows(&f, TableId::Connections), MAX_CONNECTIONS_KEPT);
    assert!(f.store.view().unwrap().totals().unwrap().row_bytes < before);
    let shown = numbers(&f, usize::MAX);
    assert_eq!((shown[0], shown.last().copied()), (number(whole), Some(number(CONNECTIONS_SLACK + 1))));
}

#[tokio::test]
async fn counters_add_up_and_stay_full() {
    let f = Fixture::new();
    f.commit(vec![count("pairing.abort.code_wrong", 2), count("pairing.abort.expired", 1), count("pair", 9)])
        .await;
    f.commit(vec![Write::Count(vec![
        ("pairing.abort.code_wrong".to_owned(), 3),
        ("resumes".to_owned(), u64::MAX),
        ("resumes".to_owned(), 5),
    ])])
    .await;
    let f = f.reopen();
    let of = |prefix: &str| f.store.counts(prefix).unwrap();
    assert_eq!(
        of("pairing.abort."),
        [("pairing.abort.code_wrong".to_owned(), 5), ("pairing.abort.expired".to_owned(), 1)]
    );
    assert_eq!(of("resumes"), [("resumes".to_owned(), u64::MAX)]);
    assert_eq!(of("").len(), 4);
    assert_eq!(of("pairing.abort.x"), []);
    assert_eq!(of("é"), []);
}

#[tokio::test]
async fn names_of_counters_are_bounded_in_form_and_number() {
    let f = Fixture::new();
    let longest = "n".repeat(COUNTER_NAME_BYTES);
    f.commit(vec![count(&longest, 1)]).await;
    for bad in ["", "two words", "tab\t", "ümlaut", "nul\0", &"n".repeat(COUNTER_NAME_BYTES + 1)] {
        let text = f.refused(vec![count("fine", 1), count(bad, 1)]).await;
        assert!(text.contains("is no name of a counter") && text.is_ascii(), "{text}");
    }
    assert!(f.refused(vec![count(&"\u{1b}".repeat(9_999), 1)]).await.len() < 1_000);
    // The last that fits, in one batch with the first that does not.
    let more = |n: usize| (0..n).map(|i| count(&format!("c{i}"), 1)).collect::<Vec<_>>();
    let text = f.refused(more(COUNTERS)).await;
    assert!(text.contains("256 counters are kept already, counter c255 is one too many"), "{text}");
    f.commit(more(COUNTERS - 1)).await;
    assert_eq!(f.store.counts("").unwrap().len(), COUNTERS);
    f.commit(vec![count("c7", 1)]).await;
    assert!(f.refused(vec![count("another", 1)]).await.contains("one too many"));
    assert_eq!(f.store.counts("c7").unwrap()[0], ("c7".to_owned(), 2));
}

#[tokio::test]
async fn the_health_panel_counts_none_of_it() {
    let f = Fixture::new();
    f.commit(vec![session("a"), event("a", "one")]).await;
    let before = f.store.counters().unwrap();
    f.commit(vec![device("d1", 1), connection(1, false), count("x", 7), Write::RemoveDevice(id("d2"))]).await;
    let after = f.store.counters().unwrap();
    assert!(after.store_bytes > before.store_bytes, "what is stored counts as stored");
    assert_eq!(lanyard_protocol::health::HealthCounters { store_bytes: before.store_bytes, ..after }, before);
}

#[tokio::test]
async fn secrets_of_a_device_are_not_shown() {
    let record = DeviceRecord {
        provisional: Some(ProvisionalDevice { until: at(1), state: b"hunter2".to_vec() }),
        ..device_record("d1", 1)
    };
    let secret = format!("{:?}", record.provisional.as_ref().unwrap().state);
    let shown = format!("{:?}", Write::Device(Box::new(record)));
    assert!(!shown.contains(secret.trim_matches(['[', ']'])), "{shown}");
}

#[tokio::test]
async fn damaged_rows_name_their_table() {
    let f = Fixture::new();
    f.commit(vec![device("d1", 1), connection(1, false), count("x", 1), session("a")]).await;
    let f = f.tampered(|txn| {
        put_raw(txn, TableId::Devices, b"d1", &[9, 9]);
        put_raw(txn, TableId::Connections, &crate::keys::number(1), &[9, 9]);
        put_raw(txn, TableId::Counters, b"x", &[9, 9]);
    });
    let version = "its record version is 9, this host reads 1";
    let corrupt = |text: &str| JournalError::Corrupt(format!("{text}: {version}"));
    assert_eq!(f.store.devices(), Err(corrupt("devices[d1]")));
    let connections = corrupt("connections[\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x01]");
    assert_eq!(f.store.connections(1), Err(connections));
    assert_eq!(f.store.counts(""), Err(corrupt("counters[x]")));
    // Writing over what cannot be read is refused; the rest of the store goes on.
    assert_eq!(f.store.commit(vec![device("d2", 2)]).await, Err(corrupt("devices[d1]")));
    assert_eq!(f.store.commit(vec![count("x", 1)]).await, Err(corrupt("counters[x]")));
    f.commit(vec![event("a", "goes on"), connection(1, true)]).await;
    assert_eq!(numbers(&f, 9), [1]);
    // A damaged device can be removed, which is the way out.
    f.commit(vec![Write::RemoveDevice(id("d1")), device("d2", 2)]).await;
    assert_eq!(device_ids(&f), ["d2"]);
}

#[tokio::test]
async fn a_name_that_is_not_text_is_named() {
    let f = Fixture::new();
    f.commit(vec![count("x", 1)]).await;
    let f = f.tampered(|txn| put_raw(txn, TableId::Counters, &[0xff], &[1, 0]));
    let Err(JournalError::Corrupt(text)) = f.store.counts("") else { panic!() };
    assert!(text.starts_with("counters[\\xff]: "), "{text}");
}

/// A small device, one of many.
fn bare_device(n: usize) -> DeviceRecord {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&n.to_be_bytes());
    DeviceRecord {
        signing_key: key,
        last_seen: None,
        provisional: None,
        ..device_record(&format!("d{n:05}"), 0)
    }
}

/// Puts a row into a table, past every check.
fn put_raw(txn: &redb::WriteTransaction, table: TableId, key: &[u8], value: &[u8]) {
    txn.open_table(table.definition()).unwrap().insert(key, value).unwrap();
}
