//! Looking for commands: what many hosts ask at the same time is one statement.

use std::collections::BTreeMap;

use lanyard_governance_api::command::{Command, Order};
use lanyard_governance_api::id::{AgentId, TenantId};
use lanyard_governance_foundation::database::{DatabaseError, Value};
use lanyard_governance_foundation::gather::Gather;
use lanyard_governance_foundation::{Fault, Foundation, Row, Statement, Tx};

/// Commands that one look brings; more come with the next. What a batch holds in memory is bounded by it.
const EACH: usize = 20;

/// Hosts of one statement.
const MOST: usize = 512;

/// What one host asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) tenant: TenantId,
    pub(super) agent: AgentId,
    /// Commands after this number.
    pub(super) after: i64,
}

/// What there is for it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Found {
    /// Its enrolment was revoked, and why.
    pub(super) revoked: Option<String>,
    /// Oldest first.
    pub(super) commands: Vec<Command>,
}

/// Whoever looks at the moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Looking(Gather<Question, Found>);

impl Looking {
    pub(super) async fn look(&self, foundation: &Foundation, question: &Question) -> Result<Found, Fault> {
        self.0.ask(question.clone(), MOST, |questions| look_all(foundation, questions)).await
    }
}

async fn look_all(foundation: &Foundation, questions: Vec<Question>) -> Result<Vec<Found>, Fault> {
    let mut found = vec![Found::default(); questions.len()];
    let mut tenants: BTreeMap<&TenantId, Vec<(usize, &Question)>> = BTreeMap::new();
    for (slot, question) in questions.iter().enumerate() {
        tenants.entry(&question.tenant).or_default().push((slot, question));
    }
    for (tenant, asked) in tenants {
        let mut tx = foundation.database.read_of(tenant).await?;
        look_one_tenant(&mut tx, &asked, &mut found).await?;
    }
    Ok(found)
}

async fn look_one_tenant(
    tx: &mut Tx,
    asked: &[(usize, &Question)],
    found: &mut [Found],
) -> Result<(), Fault> {
    let rows: Vec<_> = asked
        .iter()
        .map(|(slot, question)| {
            let slot = i64::try_from(*slot).unwrap_or(i64::MAX);
            vec![Value::from(slot), question.agent.as_str().into(), question.after.into()]
        })
        .collect();
    // Slots are numbers of this batch and never leave it.
    let slot = |row: &Row| row.count("slot").map(|slot| usize::try_from(slot).unwrap_or(usize::MAX));
    let select = "SELECT slot, k.number AS number, k.at AS at, k.by_id AS by_id, k.by_name AS by_name, k.body AS body, \
                  ROW_NUMBER() OVER (PARTITION BY slot ORDER BY k.number) AS place FROM asked \
                  JOIN commands k ON k.tenant_id = $1 AND k.agent_id = asked.agent AND k.number > asked.past";
    let each = i64::try_from(EACH).unwrap_or(i64::MAX);
    let statement = asking(
        &rows,
        &format!("SELECT * FROM ({select}) AS found WHERE place <= {each} ORDER BY slot, number"),
    );
    for row in tx.all(statement).await? {
        let command = read(&row, row.count("number")?)?;
        if let Some(found) = found.get_mut(slot(&row)?) {
            found.commands.push(command);
        }
    }
    let select = "SELECT slot, past, c.epoch_number AS epoch_number, c.revoked AS revoked FROM asked \
                  JOIN channels c ON c.tenant_id = $1 AND c.agent_id = asked.agent \
                  WHERE c.revoked IS NOT NULL OR c.epoch_number > past";
    let mut epoch = None;
    for row in tx.all(asking(&rows, select)).await? {
        let Some(found) = found.get_mut(slot(&row)?) else { continue };
        found.revoked = row.opt_text("revoked")?;
        let Some(number) = row.opt_int("epoch_number")?.filter(|number| *number > 0) else { continue };
        if epoch.is_none() {
            let sql = "SELECT at, by_id, by_name, body FROM policy_epochs WHERE tenant_id = $1 AND body IS NOT NULL";
            epoch = tx.one(Statement::new(sql)).await?;
        }
        let Some(row) = &epoch else { continue };
        let command = read(row, u64::try_from(number).unwrap_or(0))?;
        let full = found.commands.len() >= EACH;
        if !full || found.commands.last().is_some_and(|last| last.number > command.number) {
            found.commands.push(command);
            found.commands.sort_by_key(|command| command.number);
            found.commands.truncate(EACH);
        }
    }
    Ok(())
}

/// A statement over the rows `asked(slot, agent, past)`. Their number is made a power of two by rows that match nothing,
/// so that a few statements are prepared and not hundreds.
fn asking(rows: &[Vec<Value>], select: &str) -> Statement {
    with_rows(
        "asked(slot, agent, past)",
        rows,
        vec![Value::from(-1_i64), "".into(), Value::from(i64::MAX)],
        select,
    )
}

/// `WITH {name} AS (VALUES …) {statement}`, for a transaction of one tenant; its next placeholder comes after the rows.
pub(super) fn with_rows(name: &str, rows: &[Vec<Value>], filler: Vec<Value>, rest: &str) -> Statement {
    let padded = rows.len().max(1).next_power_of_two();
    let mut sql = format!("WITH {name} AS (VALUES ");
    let mut next = 2;
    for number in 0..padded {
        sql.push_str(if number == 0 { "(" } else { ", (" });
        for column in 0..filler.len() {
            sql.push_str(if column == 0 { "$" } else { ", $" });
            sql.push_str(&next.to_string());
            next += 1;
        }
        sql.push(')');
    }
    sql.push_str(") ");
    sql.push_str(rest);
    let all = rows.iter().cloned().chain(std::iter::repeat_n(filler, padded - rows.len()));
    all.flatten().fold(Statement::new(sql), |statement, value| statement.bind(value))
}

fn read(row: &Row, number: u64) -> Result<Command, DatabaseError> {
    Ok(Command {
        number,
        at: row.time("at")?,
        by: row.opt_id("by_id")?,
        by_name: row.opt_text("by_name")?,
        order: row.json::<Order>("body")?,
    })
}
