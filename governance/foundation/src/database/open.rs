//! Opening, and beginning transactions.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use lanyard_governance_api::id::TenantId;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, PgPool, SqlitePool};

use super::turns::Turns;
use super::work::Work;
use super::{DatabaseError, MigrateError, Migration, Tx};
use crate::caller::Caller;
use crate::fault::Fault;
use crate::signals::Signals;

/// Connections to PostgreSQL of one process. A server with the usual 100 takes some replicas.
const POSTGRES_CONNECTIONS: u32 = 16;

/// Readers of the SQLite file. Writers are one.
const SQLITE_READERS: u32 = 4;

/// How long a request waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(5);

/// SQLite before this version can corrupt a database in WAL mode when it resets the log.
const SQLITE_MIN: (u32, u32, u32) = (3, 51, 3);

/// Why the database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is not one.
    #[error("DATABASE_URL {0:?} is neither postgres://… nor sqlite://PATH")]
    Url(String),
    /// It does not answer.
    #[error("the database cannot be reached: {0}")]
    Unreachable(#[from] sqlx::Error),
    /// The SQLite linked in is too old.
    #[error(
        "SQLite {0} is linked in; 3.51.3 or later is needed, because earlier ones can corrupt a database in WAL mode"
    )]
    TooOld(String),
    /// Its tables cannot be brought up to date.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
}

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    pub(super) kind: Kind,
    signals: Signals,
}

#[derive(Clone)]
pub(super) enum Kind {
    Sqlite { writer: SqlitePool, turns: Turns, readers: SqlitePool },
    Postgres(PgPool),
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.kind {
            Kind::Sqlite { .. } => "Database(SQLite)",
            Kind::Postgres(_) => "Database(PostgreSQL)",
        })
    }
}

impl Database {
    /// Opens the SQLite file (made if it is not there) or the PostgreSQL database a URL names, and brings its tables up
    /// to date.
    pub async fn open(url: &str, signals: Signals, migrations: &[Migration]) -> Result<Self, OpenError> {
        let kind = if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(url)?.application_name("lanyard-central");
            // Statements are not for the log: values in error texts may be somebody's.
            let options = options.disable_statement_logging();
            let pool = PgPoolOptions::new()
                .max_connections(POSTGRES_CONNECTIONS)
                .acquire_timeout(ACQUIRE)
                .connect_with(options)
                .await?;
            Kind::Postgres(pool)
        } else if let Some(path) = url.strip_prefix("sqlite://") {
            Self::open_sqlite(Path::new(path)).await?
        } else {
            return Err(OpenError::Url(url.to_owned()));
        };
        let database = Self { kind, signals };
        super::migrate::run(&database, migrations).await?;
        if let Kind::Postgres(pool) = &database.kind {
            database.signals.follow(pool.clone());
        }
        Ok(database)
    }

    async fn open_sqlite(path: &Path) -> Result<Kind, OpenError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // Acknowledged means on disk.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10))
            .disable_statement_logging();
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE)
            .connect_with(options.clone());
        let writer = writer.await?;
        let version: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&writer).await?;
        let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let mut next = || parts.next().unwrap_or(0);
        if (next(), next(), next()) < SQLITE_MIN {
            return Err(OpenError::TooOld(version));
        }
        let readers = SqlitePoolOptions::new()
            .max_connections(SQLITE_READERS)
            .acquire_timeout(ACQUIRE)
            .connect_with(options.read_only(true))
            .await?;
        Ok(Kind::Sqlite { writer, turns: Turns::default(), readers })
    }

    /// A transaction that reads a tenant's data, the caller's.
    pub async fn read(&self, caller: &Caller) -> Result<Tx, Fault> {
        self.read_of(caller.tenant()?).await
    }

    /// A transaction that changes a tenant's data, the caller's.
    pub async fn write(&self, caller: &Caller) -> Result<Tx, Fault> {
        self.write_of(caller.tenant()?).await
    }

    /// A transaction that reads one tenant's data: for chores, and for endpoints whose proof is in the body.
    pub async fn read_of(&self, tenant: &TenantId) -> Result<Tx, Fault> {
        Ok(self.begin(Some(tenant), false).await?)
    }

    /// A transaction that changes one tenant's data: for chores, and for endpoints whose proof is in the body.
    pub async fn write_of(&self, tenant: &TenantId) -> Result<Tx, Fault> {
        Ok(self.begin(Some(tenant), true).await?)
    }

    /// A transaction that reads across tenants. Nothing it finds may reach a caller of a tenant.
    pub async fn across_read(&self) -> Result<Tx, Fault> {
        Ok(self.begin(None, false).await?)
    }

    /// A transaction that writes across tenants: credentials and chores.
    pub async fn across_write(&self) -> Result<Tx, Fault> {
        Ok(self.begin(None, true).await?)
    }

    pub(super) async fn begin(&self, tenant: Option<&TenantId>, write: bool) -> Result<Tx, DatabaseError> {
        let mut turn = None;
        let work = match &self.kind {
            Kind::Sqlite { writer, turns, .. } if write => {
                let taken = tokio::time::timeout(ACQUIRE, turns.take(tenant.cloned())).await;
                turn = Some(taken.ok().and_then(Result::ok).ok_or(sqlx::Error::PoolTimedOut)?);
                Work::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?)
            }
            Kind::Sqlite { readers, .. } => Work::Sqlite(readers.begin().await?),
            Kind::Postgres(pool) => {
                let mut tx = pool.begin().await?;
                sqlx::query("SELECT set_config('lanyard.tenant', $1, true)")
                    .bind(tenant.map_or("*", TenantId::as_str))
                    .execute(&mut *tx)
                    .await?;
                Work::Postgres(tx)
            }
        };
        let (signals, wake) = (self.signals.clone(), Vec::new());
        Ok(Tx { work, _turn: turn, tenant: tenant.cloned(), signals, wake })
    }

    /// Whether it answers.
    pub async fn ping(&self) -> Result<(), DatabaseError> {
        match &self.kind {
            Kind::Sqlite { readers, .. } => sqlx::query("SELECT 1").execute(readers).await.map(|_| ())?,
            Kind::Postgres(pool) => sqlx::query("SELECT 1").execute(pool).await.map(|_| ())?,
        }
        Ok(())
    }

    /// Whether it is PostgreSQL.
    pub fn is_postgres(&self) -> bool {
        matches!(self.kind, Kind::Postgres(_))
    }

    /// Closes every connection.
    pub async fn close(&self) {
        match &self.kind {
            Kind::Sqlite { writer, readers, .. } => {
                readers.close().await;
                writer.close().await;
            }
            Kind::Postgres(pool) => pool.close().await,
        }
    }
}
