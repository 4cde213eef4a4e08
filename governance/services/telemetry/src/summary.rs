//! What charts are drawn from: sums of hours, put together into buckets.

use lanyard_governance_api::endpoint::GetTelemetrySummary;
use lanyard_governance_api::telemetry::{Bucket, NamedCount, Operation, TelemetrySummary};
use lanyard_governance_foundation::database::DatabaseError;
use lanyard_governance_foundation::{Ask, Fault, Row, Statement, Tx};
use lanyard_protocol::Timestamp;

use crate::State;
use crate::histogram::Histogram;
use crate::rollup::{BUCKETS, HOUR, Sums};
use crate::spans::operation_number;

/// Hours told where nobody asks for more.
const DEFAULT_HOURS: u32 = 24;

/// Most hours told: 90 days.
const MAX_HOURS: u32 = 2_160;

/// Names told of each kind.
const NAMES: i64 = 20;

/// Hours of one bucket, so that no chart has more than about ninety.
fn bucket_hours(hours: u32) -> u32 {
    match hours {
        0..=72 => 1,
        73..=336 => 6,
        _ => 24,
    }
}

pub(crate) async fn get(state: State, ask: Ask<GetTelemetrySummary>) -> Result<TelemetrySummary, Fault> {
    let hours = ask.query.hours.unwrap_or(DEFAULT_HOURS);
    if !(1..=MAX_HOURS).contains(&hours) {
        return Err(Fault::invalid(format!("hours is 1 to {MAX_HOURS}")));
    }
    let per_bucket = bucket_hours(hours);
    let length = i64::from(per_bucket) * HOUR;
    let now = state.foundation.clock.now().as_millis();
    // The last bucket is the one that goes on now.
    let count = hours.div_ceil(per_bucket);
    let from = now - now.rem_euclid(length) - i64::from(count - 1) * length;
    let source = ask.query.agent_id.as_ref().map(|id| id.as_str());
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    let mut sums = vec![Sums::default(); usize::try_from(count).unwrap_or_default()];
    for (hour, hour_sums) in by_hour(&mut tx, from, source).await? {
        let bucket = usize::try_from((hour - from) / length).unwrap_or(usize::MAX);
        if let Some(bucket) = sums.get_mut(bucket) {
            bucket.merge(&hour_sums);
        }
    }
    let starts = (0_i64..).map(|number| Timestamp::from_millis(from + number * length));
    let buckets = starts.zip(&sums).map(|(from, sums)| bucket(from, sums)).collect();
    let tools = names(&mut tx, Operation::ExecuteTool, from, source).await?;
    let models = names(&mut tx, Operation::Chat, from, source).await?;
    Ok(TelemetrySummary { bucket_seconds: per_bucket * 3_600, buckets, tools, models })
}

fn bucket(from: Timestamp, sums: &Sums) -> Bucket {
    Bucket {
        from,
        tasks: sums.tasks,
        tasks_failed: sums.tasks_failed,
        tool_calls: sums.tool_calls,
        tool_calls_failed: sums.tool_calls_failed,
        model_calls: sums.model_calls,
        tokens: sums.tokens,
        model_p50_millis: sums.lengths.percentile(50),
        model_p95_millis: sums.lengths.percentile(95),
    }
}

async fn by_hour(tx: &mut Tx, from: i64, source: Option<&str>) -> Result<Vec<(i64, Sums)>, DatabaseError> {
    let mut sql = "SELECT hour, MAX(slowest) AS slowest".to_owned();
    let sums = ["tasks", "tasks_failed", "tool_calls", "tool_calls_failed", "model_calls", "tokens"];
    for column in sums.into_iter().chain(BUCKETS) {
        sql.push_str(&format!(", CAST(SUM({column}) AS BIGINT) AS {column}"));
    }
    sql.push_str(" FROM telemetry_hours WHERE tenant_id = $1 AND hour >= $2");
    let statement = Statement::new(sql).bind(from).and_if("source =", source).push(" GROUP BY hour");
    tx.all(statement).await?.iter().map(|row| Ok((row.int("hour")?, sums_of(row)?))).collect()
}

fn sums_of(row: &Row) -> Result<Sums, DatabaseError> {
    let mut lengths = Histogram { slowest: row.count("slowest")?, ..Histogram::default() };
    for (count, column) in lengths.counts.iter_mut().zip(BUCKETS) {
        *count = row.count(column)?;
    }
    Ok(Sums {
        tasks: row.count("tasks")?,
        tasks_failed: row.count("tasks_failed")?,
        tool_calls: row.count("tool_calls")?,
        tool_calls_failed: row.count("tool_calls_failed")?,
        model_calls: row.count("model_calls")?,
        tokens: row.count("tokens")?,
        lengths,
    })
}

async fn names(
    tx: &mut Tx,
    operation: Operation,
    from: i64,
    source: Option<&str>,
) -> Result<Vec<NamedCount>, DatabaseError> {
    let sql = "SELECT name, CAST(SUM(calls) AS BIGINT) AS calls, CAST(SUM(failed) AS BIGINT) AS failed
        FROM telemetry_names WHERE tenant_id = $1 AND kind = $2 AND hour >= $3";
    let statement =
        Statement::new(sql).bind(operation_number(operation)).bind(from).and_if("source =", source);
    let place = statement.next_placeholder();
    let order = format!(" GROUP BY name ORDER BY SUM(calls) DESC, name LIMIT ${place}");
    let rows = tx.all(statement.push(&order).bind(NAMES)).await?;
    let named = |row: &Row| {
        Ok(NamedCount { name: row.text("name")?, count: row.count("calls")?, failed: row.count("failed")? })
    };
    rows.iter().map(named).collect()
}
