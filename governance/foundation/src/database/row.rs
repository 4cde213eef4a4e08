//! A row of either database.

use lanyard_protocol::Timestamp;
use lanyard_protocol::id::IdError;
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use super::DatabaseError;
use super::statement::from_json;

/// A row. Columns are read by name; a column that is not there or of another type is a defect.
pub struct Row(pub(super) Inner);

pub(super) enum Inner {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Row")
    }
}

macro_rules! get {
    ($row:expr, $column:expr, $type:ty) => {
        match &$row.0 {
            Inner::Sqlite(row) => row.try_get::<$type, _>($column),
            Inner::Postgres(row) => row.try_get::<$type, _>($column),
        }
        .map_err(|e| DatabaseError::Defect(format!("column {}: {e}", $column)))
    };
}

fn absent(column: &str) -> DatabaseError {
    DatabaseError::Defect(format!("column {column} is empty"))
}

impl Row {
    /// A text.
    pub fn text(&self, column: &str) -> Result<String, DatabaseError> {
        self.opt_text(column)?.ok_or_else(|| absent(column))
    }

    /// A text that may be absent.
    pub fn opt_text(&self, column: &str) -> Result<Option<String>, DatabaseError> {
        get!(self, column, Option<String>)
    }

    /// A number.
    pub fn int(&self, column: &str) -> Result<i64, DatabaseError> {
        self.opt_int(column)?.ok_or_else(|| absent(column))
    }

    /// A number that may be absent.
    pub fn opt_int(&self, column: &str) -> Result<Option<i64>, DatabaseError> {
        get!(self, column, Option<i64>)
    }

    /// A count or number that is never negative.
    pub fn count(&self, column: &str) -> Result<u64, DatabaseError> {
        let number = self.int(column)?;
        u64::try_from(number).map_err(|_| DatabaseError::Defect(format!("column {column} is negative")))
    }

    /// A truth value, kept as 0 or 1.
    pub fn flag(&self, column: &str) -> Result<bool, DatabaseError> {
        Ok(self.int(column)? != 0)
    }

    /// Bytes.
    pub fn bytes(&self, column: &str) -> Result<Vec<u8>, DatabaseError> {
        self.opt_bytes(column)?.ok_or_else(|| absent(column))
    }

    /// Bytes that may be absent.
    pub fn opt_bytes(&self, column: &str) -> Result<Option<Vec<u8>>, DatabaseError> {
        get!(self, column, Option<Vec<u8>>)
    }

    /// An instant.
    pub fn time(&self, column: &str) -> Result<Timestamp, DatabaseError> {
        self.int(column).map(Timestamp::from_millis)
    }

    /// An instant that may be absent.
    pub fn opt_time(&self, column: &str) -> Result<Option<Timestamp>, DatabaseError> {
        Ok(self.opt_int(column)?.map(Timestamp::from_millis))
    }

    /// An id.
    pub fn id<T: TryFrom<String, Error = IdError>>(&self, column: &str) -> Result<T, DatabaseError> {
        self.opt_id(column)?.ok_or_else(|| absent(column))
    }

    /// An id that may be absent.
    pub fn opt_id<T: TryFrom<String, Error = IdError>>(
        &self,
        column: &str,
    ) -> Result<Option<T>, DatabaseError> {
        let parse =
            |text| T::try_from(text).map_err(|e| DatabaseError::Defect(format!("column {column}: {e}")));
        self.opt_text(column)?.map(parse).transpose()
    }

    /// A value kept as JSON text.
    pub fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, DatabaseError> {
        self.opt_json(column)?.ok_or_else(|| absent(column))
    }

    /// A value kept as JSON text that may be absent.
    pub fn opt_json<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>, DatabaseError> {
        let parse = |text: String| {
            from_json(&text).map_err(|e| DatabaseError::Defect(format!("column {column}: {e}")))
        };
        self.opt_text(column)?.map(parse).transpose()
    }
}
