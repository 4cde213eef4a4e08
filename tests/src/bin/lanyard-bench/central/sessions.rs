//! Sessions begun, against a commit of one row to the same database.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use lanyard_governance_api::endpoint::CreateSession;
use lanyard_governance_api::id::TenantId;
use lanyard_governance_foundation::{Database, Migration, Signals, Statement};
use lanyard_tests::central::{Installation, TestAgent, heartbeat, session_request};

use crate::table::{Samples, Table};

const SESSIONS: usize = 400;

const TABLES: &[Migration] = &[Migration {
    service: "bench_row",
    number: 1,
    sql: "CREATE TABLE bench_row (tenant_id TEXT NOT NULL, id TEXT NOT NULL, content TEXT NOT NULL,
    PRIMARY KEY (tenant_id, id));
",
}];

/// The same kind of database, for floors: central's own PostgreSQL database, or a SQLite file beside central's.
pub(super) async fn beside(central: &Installation, tables: &[Migration]) -> Result<Database> {
    let url = match central.database_url() {
        Some(url) => url.to_owned(),
        None => format!("sqlite://{}", central.path().join("floor.sqlite").display()),
    };
    Database::open(&url, Signals::default(), tables).await.context("the database for the floor")
}

pub(super) async fn measure(table: &mut Table, central: &Installation, name: &str) -> Result<()> {
    let admin = central.operator().await?;
    let agent = TestAgent::of(&admin, "bench").await?;
    agent.beat(&heartbeat("bench")).await?;
    let database = beside(central, TABLES).await?;
    let tenant = TenantId::new("default")?;
    let (mut floor, mut begun) = (Vec::new(), Vec::new());
    for number in 0..SESSIONS {
        let started = Instant::now();
        let mut tx = database.write_of(&tenant).await.map_err(|e| anyhow::anyhow!("{e}"))?;
        let sql = "INSERT INTO bench_row (tenant_id, id, content) VALUES ($1, $2, $3)";
        tx.run(Statement::new(sql).bind(format!("{number}-{name}")).bind("x".repeat(1_000))).await?;
        tx.commit().await?;
        floor.push(started.elapsed());
        let request = session_request(&format!("/srv/project-{}", number % 20));
        let started = Instant::now();
        agent.agent.post::<CreateSession>(&[], &request).await?;
        begun.push(started.elapsed());
    }
    database.close().await;
    // The first of each path also make a workspace.
    let warm = |times: &[Duration]| Samples::of(times.get(40..).unwrap_or(times));
    let (floor, begun) = (warm(&floor)?, warm(&begun)?);
    table.times(&format!("central, {name}: commit of one row (floor)"), &floor, None);
    table.times_against(
        &format!("central, {name}: session begun (p99 ≤ 25)"),
        &begun,
        &floor,
        "commit of one row",
    );
    Ok(())
}
