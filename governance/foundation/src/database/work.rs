//! A transaction, of one tenant or across all.

use lanyard_governance_api::id::TenantId;
use sqlx::{AssertSqlSafe, Postgres, Sqlite, Transaction};

use super::row::Inner;
use super::statement::{NUL, Value};
use super::turns::Turn;
use super::{DatabaseError, Row, Statement};
use crate::signals::Signals;

/// Values of one multi-row insert. SQLite takes 32,766.
const MAX_VALUES: usize = 30_000;

/// Rows of one multi-row insert into SQLite: beyond some hundred a longer statement gains nothing.
const SIZES: [usize; 5] = [256, 64, 16, 4, 1];

/// Rows of one insert into PostgreSQL: what is copied to make the message stays small.
const ARRAY_ROWS: usize = 10_000;

/// A transaction. Dropped without [`Tx::commit`], it is rolled back.
pub struct Tx {
    pub(super) work: Work,
    /// Held while it writes to SQLite. After `work`, so that it ends first.
    pub(super) _turn: Option<Turn>,
    /// Whose data; `None` reaches across.
    pub(super) tenant: Option<TenantId>,
    pub(super) signals: Signals,
    pub(super) wake: Vec<String>,
}

pub(super) enum Work {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

macro_rules! bound {
    ($db:ty, $sql:expr, $values:expr) => {{
        let mut query = sqlx::query::<$db>(AssertSqlSafe($sql));
        for value in $values {
            query = match value {
                Value::Text(text) => query.bind(text),
                Value::Int(number) => query.bind(number),
                Value::Bytes(bytes) => query.bind(bytes),
            };
        }
        query
    }};
}

impl Tx {
    /// The SQL as this database takes it, and every value, the tenant first.
    fn prepared(&self, statement: Statement) -> Result<(String, Vec<Value>), DatabaseError> {
        if let Some(problem) = statement.problem {
            return Err(DatabaseError::Value(problem));
        }
        let lock = match self.work {
            Work::Sqlite(_) => "",
            Work::Postgres(_) => "FOR UPDATE",
        };
        let sql = statement.sql.replace("{lock}", lock);
        let Some(tenant) = &self.tenant else { return Ok((sql, statement.values)) };
        if !(sql.contains("tenant_id") && sql.contains("$1")) {
            return Err(DatabaseError::Defect(format!("this statement names no tenant: {sql}")));
        }
        let mut values = Vec::with_capacity(statement.values.len() + 1);
        values.push(Value::from(tenant.as_str()));
        values.extend(statement.values);
        Ok((sql, values))
    }

    /// The tenant whose data this reaches; `None` reaches across.
    pub fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// Every row.
    pub async fn all(&mut self, statement: Statement) -> Result<Vec<Row>, DatabaseError> {
        let (sql, values) = self.prepared(statement)?;
        Ok(match &mut self.work {
            Work::Sqlite(tx) => {
                let rows = bound!(Sqlite, sql, values).fetch_all(&mut **tx).await?;
                rows.into_iter().map(|row| Row(Inner::Sqlite(row))).collect()
            }
            Work::Postgres(tx) => {
                let rows = bound!(Postgres, sql, values).fetch_all(&mut **tx).await?;
                rows.into_iter().map(|row| Row(Inner::Postgres(row))).collect()
            }
        })
    }

    /// The first row, if there is one.
    pub async fn one(&mut self, statement: Statement) -> Result<Option<Row>, DatabaseError> {
        let (sql, values) = self.prepared(statement)?;
        Ok(match &mut self.work {
            Work::Sqlite(tx) => bound!(Sqlite, sql, values)
                .fetch_optional(&mut **tx)
                .await?
                .map(|row| Row(Inner::Sqlite(row))),
            Work::Postgres(tx) => bound!(Postgres, sql, values)
                .fetch_optional(&mut **tx)
                .await?
                .map(|row| Row(Inner::Postgres(row))),
        })
    }

    /// Rows changed.
    pub async fn run(&mut self, statement: Statement) -> Result<u64, DatabaseError> {
        let (sql, values) = self.prepared(statement)?;
        Ok(match &mut self.work {
            Work::Sqlite(tx) => bound!(Sqlite, sql, values).execute(&mut **tx).await?.rows_affected(),
            Work::Postgres(tx) => bound!(Postgres, sql, values).execute(&mut **tx).await?.rows_affected(),
        })
    }

    /// Inserts many rows; `columns` without `tenant_id`, which a tenant's transaction adds. `tail` is put at the end,
    /// like `ON CONFLICT DO NOTHING`. Returns the rows inserted. The values of a column are of one type throughout.
    pub async fn insert_many(
        &mut self,
        table: &'static str,
        columns: &[&'static str],
        rows: Vec<Vec<Value>>,
        tail: &'static str,
    ) -> Result<u64, DatabaseError> {
        if self.is_postgres() {
            return self.insert_arrays(table, columns, rows, tail).await;
        }
        let most = (MAX_VALUES / columns.len().max(1)).max(1);
        let mut inserted = 0;
        let mut rows = rows.into_iter();
        while rows.len() > 0 {
            // Few sizes, so that the statements are found ready made the next time.
            let size = SIZES.into_iter().find(|size| *size <= rows.len().min(most)).unwrap_or(1);
            let into = self.insert_into(table, columns);
            let mut sql = format!("{into} VALUES ");
            let mut next = if self.tenant.is_some() { 2 } else { 1 };
            for number in 0..size {
                sql.push_str(if number == 0 { "(" } else { ", (" });
                if self.tenant.is_some() {
                    sql.push_str("$1, ");
                }
                for column in 0..columns.len() {
                    sql.push_str(if column == 0 { "$" } else { ", $" });
                    sql.push_str(&next.to_string());
                    next += 1;
                }
                sql.push(')');
            }
            sql.push(' ');
            sql.push_str(tail);
            let mut statement = Statement::new(sql);
            for value in rows.by_ref().take(size).flatten() {
                statement = statement.bind(value);
            }
            inserted += self.run(statement).await?;
        }
        Ok(inserted)
    }

    fn insert_into(&self, table: &str, columns: &[&str]) -> String {
        let own = if self.tenant.is_some() { "tenant_id, " } else { "" };
        format!("INSERT INTO {table} ({own}{})", columns.join(", "))
    }

    /// PostgreSQL takes each column as one array: one short statement, planned once, whatever the number of rows.
    async fn insert_arrays(
        &mut self,
        table: &str,
        columns: &[&str],
        rows: Vec<Vec<Value>>,
        tail: &str,
    ) -> Result<u64, DatabaseError> {
        let Work::Postgres(_) = &self.work else {
            return Err(DatabaseError::Defect("arrays are PostgreSQL's".to_owned()));
        };
        let mut rows = rows.into_iter().peekable();
        let mut inserted = 0;
        while rows.peek().is_some() {
            let arrays = Array::columns(rows.by_ref().take(ARRAY_ROWS), columns.len())?;
            let first = if self.tenant.is_some() { 2 } else { 1 };
            let types: Vec<String> = arrays
                .iter()
                .enumerate()
                .map(|(at, array)| format!("${}::{}", at + first, array.cast()))
                .collect();
            let sql = format!(
                "{} SELECT {}u.* FROM UNNEST({}) AS u {tail}",
                self.insert_into(table, columns),
                if self.tenant.is_some() { "$1, " } else { "" },
                types.join(", ")
            );
            let mut query = sqlx::query::<Postgres>(AssertSqlSafe(sql));
            if let Some(tenant) = &self.tenant {
                query = query.bind(tenant.as_str().to_owned());
            }
            for array in arrays {
                query = match array {
                    Array::Text(values) => query.bind(values),
                    Array::Int(values) => query.bind(values),
                    Array::Bytes(values) => query.bind(values),
                };
            }
            let Work::Postgres(tx) = &mut self.work else { continue };
            inserted += query.execute(&mut **tx).await?.rows_affected();
        }
        Ok(inserted)
    }

    /// Wakes whoever waits for a topic, on every replica, once this is committed.
    pub async fn wake(&mut self, topic: impl Into<String>) -> Result<(), DatabaseError> {
        let topic = topic.into();
        match &mut self.work {
            Work::Sqlite(_) => self.wake.push(topic),
            Work::Postgres(tx) => {
                sqlx::query("SELECT pg_notify('lanyard', $1)").bind(topic).execute(&mut **tx).await?;
            }
        }
        Ok(())
    }

    /// Makes it so. On disk when it returns.
    pub async fn commit(self) -> Result<(), DatabaseError> {
        match self.work {
            Work::Sqlite(tx) => tx.commit().await?,
            Work::Postgres(tx) => tx.commit().await?,
        }
        for topic in &self.wake {
            self.signals.wake_here(topic);
        }
        Ok(())
    }

    /// Whether it is PostgreSQL, for the few statements that cannot be said in both.
    pub fn is_postgres(&self) -> bool {
        matches!(self.work, Work::Postgres(_))
    }
}

/// The values of one column.
enum Array {
    Text(Vec<Option<String>>),
    Int(Vec<Option<i64>>),
    Bytes(Vec<Option<Vec<u8>>>),
}

impl Array {
    /// Rows turned into columns.
    fn columns(rows: impl Iterator<Item = Vec<Value>>, width: usize) -> Result<Vec<Array>, DatabaseError> {
        let mut arrays: Vec<Array> = Vec::with_capacity(width);
        for row in rows {
            if row.len() != width {
                return Err(DatabaseError::Defect(format!("a row has {} values, not {width}", row.len())));
            }
            for (at, value) in row.into_iter().enumerate() {
                if value.holds_nul() {
                    return Err(DatabaseError::Value(NUL.to_owned()));
                }
                match (arrays.get_mut(at), value) {
                    (Some(Array::Text(values)), Value::Text(value)) => values.push(value),
                    (Some(Array::Int(values)), Value::Int(value)) => values.push(value),
                    (Some(Array::Bytes(values)), Value::Bytes(value)) => values.push(value),
                    (None, Value::Text(value)) => arrays.push(Array::Text(vec![value])),
                    (None, Value::Int(value)) => arrays.push(Array::Int(vec![value])),
                    (None, Value::Bytes(value)) => arrays.push(Array::Bytes(vec![value])),
                    _ => return Err(DatabaseError::Defect(format!("column {at} has values of two types"))),
                }
            }
        }
        Ok(arrays)
    }

    /// The type PostgreSQL is told.
    fn cast(&self) -> &'static str {
        match self {
            Array::Text(_) => "text[]",
            Array::Int(_) => "bigint[]",
            Array::Bytes(_) => "bytea[]",
        }
    }
}
