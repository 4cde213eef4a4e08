//! Bringing tables up to date: numbered steps per service, each applied once, in one transaction.
//!
//! In the SQL, `{{bytes}}` is the type of bytes, and a line `{{isolate TABLE}}` puts the table behind row level security
//! on PostgreSQL: only rows of the tenant of the transaction are seen or written, whatever the statement says.

use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Executor as _};

use super::open::Kind;
use super::work::Work;
use super::{Database, DatabaseError};

/// One step. Never changed once released: a new one is added.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// The service it belongs to.
    pub service: &'static str,
    /// From 1 without gaps per service.
    pub number: u32,
    /// Statements, separated by `;` at the ends of lines.
    pub sql: &'static str,
}

/// Why the tables cannot be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A step was refused.
    #[error("step {number} of the tables of {service} was refused: {cause}")]
    Refused {
        /// Whose.
        service: &'static str,
        /// Which.
        number: u32,
        /// What the database said.
        cause: DatabaseError,
    },
    /// The database was made by a later version.
    #[error(
        "the tables of {service} are at step {found}, and this program knows {known}: it is older than the database"
    )]
    Newer {
        /// Whose.
        service: String,
        /// In the database.
        found: i64,
        /// Here.
        known: u32,
    },
    /// A released step is not what it was.
    #[error("step {number} of the tables of {service} was applied with other content")]
    Changed {
        /// Whose.
        service: &'static str,
        /// Which.
        number: u32,
    },
    /// The database could not be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

const LEDGER: &str = "CREATE TABLE IF NOT EXISTS migrations (
    service TEXT NOT NULL, number BIGINT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (service, number))";

/// Held while steps are applied, so that replicas that start together do it once.
const POSTGRES_LOCK: &str = "SELECT pg_advisory_xact_lock(7717001)";

pub(super) async fn run(database: &Database, migrations: &[Migration]) -> Result<(), MigrateError> {
    let mut tx = database.begin(None, true).await?;
    if matches!(database.kind, Kind::Postgres(_)) {
        execute(&mut tx.work, POSTGRES_LOCK.to_owned()).await?;
    }
    execute(&mut tx.work, LEDGER.to_owned()).await?;
    let applied = tx.all(super::Statement::new("SELECT service, number, digest FROM migrations")).await?;
    let mut known = Vec::new();
    for row in &applied {
        known.push((row.text("service")?, row.int("number")?, row.text("digest")?));
    }
    for (service, found, _) in &known {
        let last = migrations.iter().filter(|m| m.service == service).map(|m| m.number).max();
        // Tables of a service that does not run in this process are left alone.
        if let Some(last) = last.filter(|last| *found > i64::from(*last)) {
            return Err(MigrateError::Newer { service: service.clone(), found: *found, known: last });
        }
    }
    for step in migrations {
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(step.sql));
        let (service, number) = (step.service, step.number);
        if let Some((_, _, was)) = known.iter().find(|(s, n, _)| s == service && *n == i64::from(number)) {
            if *was != digest {
                return Err(MigrateError::Changed { service, number });
            }
            continue;
        }
        let refused = |cause| MigrateError::Refused { service, number, cause };
        for sql in statements(step.sql, database.is_postgres()) {
            execute(&mut tx.work, sql).await.map_err(refused)?;
        }
        let record = "INSERT INTO migrations (service, number, digest) VALUES ($1, $2, $3)";
        tx.run(super::Statement::new(record).bind(service).bind(number).bind(digest)).await?;
    }
    Ok(tx.commit().await?)
}

async fn execute(work: &mut Work, sql: String) -> Result<(), DatabaseError> {
    match work {
        Work::Sqlite(tx) => (&mut **tx).execute(AssertSqlSafe(sql)).await.map(|_| ())?,
        Work::Postgres(tx) => (&mut **tx).execute(AssertSqlSafe(sql)).await.map(|_| ())?,
    }
    Ok(())
}

/// The statements of a step, as the database takes them.
fn statements(sql: &str, postgres: bool) -> Vec<String> {
    let sql = sql.replace("{{bytes}}", if postgres { "BYTEA" } else { "BLOB" });
    let (mut found, mut walls) = (Vec::new(), Vec::new());
    for part in sql.split(";\n") {
        let mut statement = String::new();
        for line in part.lines() {
            match line.trim().strip_prefix("{{isolate ").and_then(|rest| rest.strip_suffix("}}")) {
                Some(table) if postgres => walls.extend(isolate(table)),
                Some(_) => {}
                None => {
                    statement.push_str(line);
                    statement.push('\n');
                }
            }
        }
        let statement = statement.trim().trim_end_matches(';').trim();
        if !statement.is_empty() {
            found.push(statement.to_owned());
        }
    }
    // Walls are put up once the tables stand.
    found.extend(walls);
    found
}

fn isolate(table: &str) -> Vec<String> {
    let own = "current_setting('lanyard.tenant', true)";
    vec![
        format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"),
        format!("ALTER TABLE {table} FORCE ROW LEVEL SECURITY"),
        format!(
            "CREATE POLICY one_tenant ON {table} USING (tenant_id = {own} OR {own} = '*') \
             WITH CHECK (tenant_id = {own} OR {own} = '*')"
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::statements;

    const STEP: &str = "CREATE TABLE a (tenant_id TEXT NOT NULL, x {{bytes}});
{{isolate a}}
CREATE INDEX a_x ON a (tenant_id, x);
";

    #[test]
    fn a_step_becomes_what_each_database_takes() {
        let sqlite = statements(STEP, false);
        assert_eq!(sqlite.len(), 2);
        assert!(sqlite[0].contains("BLOB"));
        let postgres = statements(STEP, true);
        assert_eq!(postgres.len(), 5);
        assert!(postgres[0].contains("BYTEA"));
        assert!(postgres[4].starts_with("CREATE POLICY"), "{postgres:?}");
    }

    #[test]
    fn a_steps_own_statements_keep_their_order() {
        let step = "ALTER TABLE a ADD COLUMN y BIGINT;\nCREATE INDEX a_y ON a (tenant_id, y);\n";
        for postgres in [false, true] {
            let statements = statements(step, postgres);
            assert!(
                statements[0].starts_with("ALTER") && statements[1].starts_with("CREATE"),
                "{statements:?}"
            );
        }
    }
}
