//! The version of what is in the file, and the way from an older one.

use lanyard_protocol::Timestamp;
use redb::{Database, ReadableDatabase, WriteTransaction};

use crate::error::Fault;
use crate::keys;
use crate::record::{MigrationRow, Record, Totals};
use crate::table::TableId;
use crate::writer::begin;

/// The version this host reads and writes.
pub(crate) const VERSION: u32 = 3;

/// Where the version stands in `meta`, as four bytes big-endian. Every version must be able to read it.
const VERSION_KEY: &[u8] = b"schema";

/// Where the counters stand in `meta`.
pub(crate) const TOTALS_KEY: &[u8] = b"totals";

/// Where the tasks of the last days stand in `meta`. A host that does not know the key leaves the row alone, so that it
/// took no new version.
pub(crate) const DAYS_KEY: &[u8] = b"task_days";

/// Where the one row of `central` stands.
pub(crate) const CENTRAL_KEY: &[u8] = b"state";

/// A step from one version to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Migration {
    /// The version it leads to, one more than the one it starts from.
    pub(crate) to: u32,
    /// Changes the rows; runs in one transaction with the new version, so that a crash leaves the old or the new.
    pub(crate) run: fn(&WriteTransaction) -> Result<(), Fault>,
}

/// Every step there is, in order.
const MIGRATIONS: &[Migration] =
    &[Migration { to: 2, run: add_devices }, Migration { to: 3, run: add_central }];

/// To 2: paired devices, who was connected when, counters by name. Every row of version 1 stays as it is.
fn add_devices(txn: &WriteTransaction) -> Result<(), Fault> {
    for table in [TableId::Devices, TableId::Connections, TableId::Counters] {
        txn.open_table(table.definition())?;
    }
    Ok(())
}

/// To 3: what central services have and what waits for them. A host of version 2 was enrolled nowhere, so that the
/// tables begin empty and every row stays as it is.
fn add_central(txn: &WriteTransaction) -> Result<(), Fault> {
    for table in [TableId::Central, TableId::CentralSessions, TableId::CentralQueue] {
        txn.open_table(table.definition())?;
    }
    Ok(())
}

/// What a file was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Empty; now it has tables.
    New,
    /// Of this version.
    Current,
    /// Of an older version; now of this one.
    Older(u32),
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SchemaError {
    /// Written by a newer host.
    #[error("version {0}")]
    Newer(u32),
    /// Not a store, or a damaged one.
    #[error("{0}")]
    NotAStore(String),
    /// The disk or redb.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Brings a file to this version and reads its counters. Touches one row when there is nothing to do.
pub(crate) fn prepare(db: &Database) -> Result<(Found, Totals), SchemaError> {
    prepare_with(db, VERSION, MIGRATIONS)
}

fn prepare_with(
    db: &Database,
    version: u32,
    migrations: &[Migration],
) -> Result<(Found, Totals), SchemaError> {
    let found = match read_version(db)? {
        None => {
            create(db, version)?;
            Found::New
        }
        Some(found) if found > version => return Err(SchemaError::Newer(found)),
        Some(found) if found == version => Found::Current,
        Some(found) => {
            migrate(db, found, version, migrations)?;
            Found::Older(found)
        }
    };
    Ok((found, read_totals(db)?))
}

/// The version of a file; `None` for one without tables.
fn read_version(db: &Database) -> Result<Option<u32>, SchemaError> {
    let txn = db.begin_read().map_err(Fault::from)?;
    let meta = match txn.open_table(TableId::Meta.definition()).map_err(Fault::from) {
        Ok(meta) => meta,
        Err(fault) if fault.is_missing_table() => {
            return match txn.list_tables().map_err(Fault::from)?.next() {
                None => Ok(None),
                Some(_) => Err(SchemaError::NotAStore("it holds the tables of another program".to_owned())),
            };
        }
        Err(fault) => return Err(fault.into()),
    };
    let value = meta.get(VERSION_KEY).map_err(Fault::from)?;
    match value.as_ref().and_then(|value| value.value().first_chunk::<4>().copied()) {
        Some(bytes) => Ok(Some(u32::from_be_bytes(bytes))),
        None => Err(SchemaError::NotAStore("it names no schema version".to_owned())),
    }
}

fn read_totals(db: &Database) -> Result<Totals, SchemaError> {
    let txn = db.begin_read().map_err(Fault::from)?;
    let meta = txn.open_table(TableId::Meta.definition()).map_err(Fault::from)?;
    let value = meta.get(TOTALS_KEY).map_err(Fault::from)?;
    let Some(value) = value else { return Ok(Totals::default()) };
    Totals::decode(value.value())
        .map_err(|why| SchemaError::NotAStore(format!("its counters cannot be read: {why}")))
}

/// Makes every table, so that none has to be missing later.
fn create(db: &Database, version: u32) -> Result<(), Fault> {
    let txn = begin(db)?;
    for table in TableId::ALL {
        txn.open_table(table.definition())?;
    }
    set_version(&txn, version)?;
    Ok(txn.commit()?)
}

fn migrate(db: &Database, from: u32, to: u32, migrations: &[Migration]) -> Result<(), SchemaError> {
    for next in from + 1..=to {
        let Some(migration) = migrations.iter().find(|migration| migration.to == next) else {
            return Err(SchemaError::NotAStore(format!(
                "there is no way from schema version {from} to {next}"
            )));
        };
        let txn = begin(db)?;
        (migration.run)(&txn)?;
        set_version(&txn, next)?;
        txn.commit().map_err(Fault::from)?;
        tracing::info!(version = next, "the store was brought to a new schema version");
    }
    Ok(())
}

fn set_version(txn: &WriteTransaction, version: u32) -> Result<(), Fault> {
    let row = MigrationRow { applied_at: Timestamp::now(), by: env!("CARGO_PKG_VERSION").to_owned() };
    let bytes = row.encode().map_err(|why| std::io::Error::other(why.to_string()))?;
    let mut applied = txn.open_table(TableId::Migrations.definition())?;
    applied.insert(keys::number(u64::from(version)).as_slice(), bytes.as_slice())?;
    let mut meta = txn.open_table(TableId::Meta.definition())?;
    meta.insert(VERSION_KEY, version.to_be_bytes().as_slice())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;
    use redb::{ReadableTableMetadata, TableDefinition};

    use super::*;

    fn database() -> Database {
        Database::builder().create_with_backend(InMemoryBackend::new()).unwrap()
    }

    #[test]
    fn a_new_file_gets_every_table_and_is_current_afterwards() {
        let db = database();
        assert_eq!(prepare(&db).unwrap().0, Found::New);
        assert_eq!(prepare(&db).unwrap().0, Found::Current);
        let txn = db.begin_read().unwrap();
        for table in TableId::ALL {
            txn.open_table(table.definition()).unwrap();
        }
    }

    #[test]
    fn migrations_run_in_order_and_are_recorded() {
        let db = database();
        prepare(&db).unwrap();
        let mark: fn(&WriteTransaction) -> Result<(), Fault> = |txn| {
            let mut tasks = txn.open_table(TableId::Tasks.definition())?;
            let rows = tasks.len()?;
            tasks.insert(rows.to_be_bytes().as_slice(), b"".as_slice())?;
            Ok(())
        };
        let (next, last) = (VERSION + 1, VERSION + 2);
        let steps = [Migration { to: last, run: mark }, Migration { to: next, run: mark }];
        assert_eq!(prepare_with(&db, last, &steps).unwrap().0, Found::Older(VERSION));
        assert_eq!(prepare_with(&db, last, &steps).unwrap().0, Found::Current);
        let txn = db.begin_read().unwrap();
        assert_eq!(txn.open_table(TableId::Tasks.definition()).unwrap().len().unwrap(), 2);
        assert_eq!(txn.open_table(TableId::Migrations.definition()).unwrap().len().unwrap(), 3);
    }

    #[test]
    fn a_failed_migration_leaves_the_old_version() {
        let db = database();
        prepare(&db).unwrap();
        let next = VERSION + 1;
        let fails = [Migration { to: next, run: |_| Err(std::io::Error::other("broken").into()) }];
        assert!(matches!(prepare_with(&db, next, &fails), Err(SchemaError::Fault(_))));
        assert_eq!(prepare(&db).unwrap().0, Found::Current);
        assert!(matches!(prepare_with(&db, next, &[]), Err(SchemaError::NotAStore(_))));
    }

    #[test]
    fn a_newer_file_and_a_foreign_one_are_not_touched() {
        let db = database();
        prepare_with(&db, VERSION + 5, &[]).unwrap();
        assert!(matches!(prepare(&db), Err(SchemaError::Newer(found)) if found == VERSION + 5));
        let foreign = database();
        let txn = foreign.begin_write().unwrap();
        txn.open_table(TableDefinition::<u64, u64>::new("theirs")).unwrap();
        txn.commit().unwrap();
        assert!(matches!(prepare(&foreign), Err(SchemaError::NotAStore(_))));
    }
}
