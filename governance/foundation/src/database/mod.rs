//! The database: SQLite in one file, or PostgreSQL. The same SQL runs on both.
//!
//! * Data of a tenant is reached through [`Database::read`] and [`Database::write`] only, which bind the tenant as `$1`
//!   and refuse SQL that does not name `tenant_id`. On PostgreSQL row level security holds besides.
//! * What concerns all tenants (credentials, chores) goes through [`Database::across_read`] and
//!   [`Database::across_write`].
//! * Placeholders are `$1`, `$2`, …; `{lock}` at the end of a SELECT takes the rows (`FOR UPDATE`; SQLite has one writer).
//! * Types: TEXT, BIGINT (milliseconds, counts, booleans as 0 and 1), `{{bytes}}` in migrations. `SUM` must be cast:
//!   `CAST(SUM(x) AS BIGINT)`. Upserts are `ON CONFLICT … DO …`, results `RETURNING …`: both know them.

mod migrate;
mod open;
mod row;
mod statement;
mod turns;
mod work;

pub use migrate::{MigrateError, Migration};
pub use open::{Database, OpenError};
pub use row::Row;
pub use statement::{Statement, Value};
pub use work::Tx;

use crate::fault::Fault;
use lanyard_protocol::ErrorCode;

/// What a statement ends with when it does not succeed.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// A unique key exists already.
    #[error("a row with this key exists already")]
    Taken,
    /// A value that no database takes, named.
    #[error("{0}")]
    Value(String),
    /// The database is not there, or too busy; the same may succeed later.
    #[error("the database cannot be used at the moment: {0}")]
    Away(sqlx::Error),
    /// It has no room left, on disk or in memory.
    #[error("the database has no room left: {0}")]
    Full(sqlx::Error),
    /// A defect: wrong SQL, a missing column.
    #[error("{0}")]
    Defect(String),
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(inner) if inner.is_unique_violation() => Self::Taken,
            sqlx::Error::Database(inner) => match inner.code().as_deref() {
                // Serialization failure, deadlock, shutdown, too many connections; SQLITE_BUSY and SQLITE_LOCKED.
                Some(
                    "40001" | "40P01" | "57P01" | "57P02" | "57P03" | "53300" | "5" | "6" | "261" | "517",
                ) => Self::Away(error),
                // Disk full, out of memory; SQLITE_FULL.
                Some("53100" | "53200" | "13") => Self::Full(error),
                _ => Self::Defect(error.to_string()),
            },
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => Self::Away(error),
            _ => Self::Defect(error.to_string()),
        }
    }
}

impl From<DatabaseError> for Fault {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Taken => Fault::conflict("something of this name exists already"),
            DatabaseError::Value(text) => Fault::invalid(text),
            DatabaseError::Away(cause) => {
                tracing::warn!(%cause, "the database cannot be used");
                Fault::unavailable("the database cannot be used at the moment; try again")
            }
            DatabaseError::Full(cause) => {
                tracing::error!(%cause, "the database has no room left");
                Fault::new(
                    ErrorCode::StorageFull,
                    "the central services have no room left; tell their operator",
                )
            }
            DatabaseError::Defect(cause) => Fault::internal("the database refused a statement", &cause),
        }
    }
}

impl From<&DatabaseError> for ErrorCode {
    fn from(error: &DatabaseError) -> Self {
        match error {
            DatabaseError::Taken => ErrorCode::Conflict,
            DatabaseError::Value(_) => ErrorCode::InvalidRequest,
            DatabaseError::Away(_) => ErrorCode::CentralUnavailable,
            DatabaseError::Full(_) => ErrorCode::StorageFull,
            DatabaseError::Defect(_) => ErrorCode::InternalError,
        }
    }
}
