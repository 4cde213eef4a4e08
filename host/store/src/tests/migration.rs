//! A store of an earlier schema version opens, keeps everything, and has what came since.

use std::path::Path;
use std::sync::Arc;

use lanyard_ports::journal::{Cursor, Journal};
use redb::{ReadableDatabase, ReadableTable, TableHandle};

use super::sample::*;
use super::{Fixture, Heard};
use crate::table::TableId;
use crate::{OpenReport, Store, StoreOptions, keys};

/// The tables of schema version 1, as they were released. Never changes.
const TABLES_OF_1: [&str; 25] = [
    "meta",
    "migrations",
    "sessions",
    "heads",
    "sessions_by_change",
    "digests",
    "workspaces",
    "tasks",
    "events",
    "messages",
    "call_requests",
    "calls",
    "approvals",
    "approvals_by_time",
    "approvals_by_session",
    "approvals_pending",
    "rules",
    "checkpoints",
    "baselines",
    "commands",
    "commands_by_time",
    "host_events",
    "outbox",
    "artifact_owners",
    "artifacts_by_session",
];

/// The tables that version 2 added, as they were released. Never changes.
const TABLES_OF_2: [&str; 3] = ["devices", "connections", "counters"];

/// A closed store with the tables of version 1 and no others.
async fn of_version_1() -> tempfile::TempDir {
    of_version(1, &TABLES_OF_1).await
}

/// A closed store as a host of an earlier version left it.
async fn of_version(version: u32, tables: &[&str]) -> tempfile::TempDir {
    let f = Fixture::new();
    f.commit(vec![session("a"), event("a", "one"), rule("r1", None), command("k", "ff", 1)]).await;
    f.store.close().unwrap();
    drop(f.store);
    let db = database(f.dir.path());
    let txn = db.begin_write().unwrap();
    for table in TableId::ALL.iter().filter(|table| !tables.contains(&table.name())) {
        assert!(txn.delete_table(table.definition()).unwrap());
    }
    {
        let mut applied = txn.open_table(TableId::Migrations.definition()).unwrap();
        let now = keys::number(u64::from(crate::schema::VERSION));
        let row = applied.remove(now.as_slice()).unwrap().unwrap().value().to_vec();
        applied.insert(keys::number(u64::from(version)).as_slice(), row.as_slice()).unwrap();
    }
    txn.open_table(TableId::Meta.definition())
        .unwrap()
        .insert(b"schema".as_slice(), version.to_be_bytes().as_slice())
        .unwrap();
    txn.commit().unwrap();
    f.dir
}

fn database(dir: &Path) -> redb::Database {
    redb::Database::create(dir.join("store.redb")).unwrap()
}

fn open(dir: &Path) -> (Arc<Store>, OpenReport) {
    Store::open(StoreOptions::new(dir), Arc::new(Heard::default())).unwrap()
}

fn tables(dir: &Path) -> Vec<String> {
    let txn = database(dir).begin_read().unwrap();
    txn.list_tables().unwrap().map(|table| table.name().to_owned()).collect()
}

#[tokio::test]
async fn a_store_of_version_1_gets_the_tables_of_devices_and_keeps_its_rows() {
    let dir = of_version_1().await;
    assert_eq!(tables(dir.path()).len(), TABLES_OF_1.len());
    let (store, report) = open(dir.path());
    assert_eq!(report, OpenReport { migrated_from: Some(1), ..OpenReport::default() });
    assert_eq!(store.events(&sid("a"), Cursor::End, 9).unwrap().last_seq, 1);
    assert_eq!(store.rules().unwrap(), [rule_record("r1", None)]);
    assert_eq!(store.command(&id("owner"), &id("k")), Ok(Some(command_record("k", "ff", 1))));
    assert_eq!(
        (store.devices(), store.connections(9), store.counts("")),
        (Ok(vec![]), Ok(vec![]), Ok(vec![]))
    );
    store
        .commit(vec![device("d1", 1), connection(1, false), count("x", 1), event("a", "two")])
        .await
        .unwrap();
    store.close().unwrap();
    drop(store);
    assert_eq!(tables(dir.path()).len(), TableId::ALL.len());
    let (store, report) = open(dir.path());
    assert_eq!(report, OpenReport::default());
    assert_eq!(store.devices().unwrap(), [device_record("d1", 1)]);
    assert_eq!(store.connections(9).unwrap(), [connection_record(1, false)]);
    assert_eq!(store.counts("").unwrap(), [("x".to_owned(), 1)]);
    assert_eq!(store.events(&sid("a"), Cursor::End, 9).unwrap().last_seq, 2);
}

#[tokio::test]
async fn a_migration_is_recorded_beside_the_first_version() {
    let dir = of_version_1().await;
    let (store, _) = open(dir.path());
    store.close().unwrap();
    drop(store);
    let txn = database(dir.path()).begin_read().unwrap();
    let applied = txn.open_table(TableId::Migrations.definition()).unwrap();
    let numbers: Vec<_> = applied.iter().unwrap().map(|row| row.unwrap().0.value().to_vec()).collect();
    assert_eq!(numbers, [keys::number(1), keys::number(2), keys::number(3)]);
}

#[test]
fn the_first_tables_are_those_of_version_1() {
    let first: Vec<_> = TableId::ALL.iter().take(TABLES_OF_1.len()).map(|table| table.name()).collect();
    assert_eq!(first, TABLES_OF_1);
    let second: Vec<_> = TableId::ALL.iter().skip(first.len()).take(TABLES_OF_2.len()).collect();
    assert_eq!(second.iter().map(|table| table.name()).collect::<Vec<_>>(), TABLES_OF_2);
}

#[tokio::test]
async fn a_store_of_version_2_was_enrolled_nowhere_and_can_be() {
    let tables_of_2: Vec<_> = TABLES_OF_1.iter().chain(&TABLES_OF_2).copied().collect();
    let dir = of_version(2, &tables_of_2).await;
    assert_eq!(tables(dir.path()).len(), tables_of_2.len());
    let (store, report) = open(dir.path());
    assert_eq!(report, OpenReport { migrated_from: Some(2), ..OpenReport::default() });
    assert_eq!((store.enrolment(), store.unshipped(9)), (Ok(None), Ok(vec![])));
    assert_eq!(store.events(&sid("a"), Cursor::End, 9).unwrap().last_seq, 1);
    store
        .commit(vec![enrol("agent-1", "acme"), central_session("a", 0), audit("a"), event("a", "two")])
        .await
        .unwrap();
    store.close().unwrap();
    drop(store);
    assert_eq!(tables(dir.path()).len(), TableId::ALL.len());
    let (store, report) = open(dir.path());
    assert_eq!(report, OpenReport::default());
    assert_eq!(store.audit_backlog().unwrap().records, 1);
    assert_eq!(store.unshipped(9).unwrap()[0].last_seq, 2);
}
