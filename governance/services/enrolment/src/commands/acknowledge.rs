//! Acknowledgements: what became of commands. Those of many hosts are one transaction.

use std::collections::BTreeMap;

use lanyard_governance_api::approval::{OutcomeReport, ProposalOutcome};
use lanyard_governance_api::command::{CommandResult, Order};
use lanyard_governance_api::endpoint as ep;
use lanyard_governance_api::id::{AgentId, TenantId};
use lanyard_governance_api::page::Nothing;
use lanyard_governance_foundation::database::Value;
use lanyard_governance_foundation::gather::Gather;
use lanyard_governance_foundation::{Ask, Fault, Foundation, Row, Statement, Tx};
use lanyard_protocol::{ErrorCode, Timestamp, WireError};

use super::look::with_rows;
use super::{kind, outcomes};
use crate::trace::Trace;
use crate::{State, check, jobs};

/// Results of one request: what ten looks bring.
const MAX_RESULTS: usize = 200;

/// Requests of one transaction.
const MOST: usize = 512;

/// Results of one statement.
const CHUNK: usize = 512;

/// Each database finds the rows by their key only when it is asked in its own way: over ten thousand waiting commands
/// PostgreSQL compares every row with every other for the pairs that SQLite wants.
const DELETE_SQLITE: &str = "DELETE FROM commands WHERE tenant_id = $1 \
    AND (agent_id, number) IN (SELECT agent, num FROM done) RETURNING agent_id, number, body";
const DELETE_POSTGRES: &str = "DELETE FROM commands USING done WHERE commands.tenant_id = $1 \
    AND commands.agent_id = done.agent AND commands.number = done.num \
    RETURNING commands.agent_id AS agent_id, commands.number AS number, commands.body AS body";

/// What one host says.
#[derive(Debug, Clone)]
struct Said {
    tenant: TenantId,
    agent: AgentId,
    results: Vec<CommandResult>,
}

/// Whoever acknowledges at the moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Acknowledging(Gather<Said, ()>);

pub(crate) async fn acknowledge(state: State, ask: Ask<ep::AcknowledgeCommands>) -> Result<Nothing, Fault> {
    let caller = ask.caller.agent()?;
    let mut results = ask.body.results;
    if results.len() > MAX_RESULTS {
        return Err(Fault::invalid(format!(
            "results: at most {MAX_RESULTS} at once, these are {}",
            results.len()
        )));
    }
    if results.iter().any(|result| i64::try_from(result.number).is_err()) {
        return Err(Fault::invalid("results: a number that was never given out"));
    }
    // What a host says of its own trouble is a text of anybody's: it must not break what is gathered with it.
    for error in results.iter_mut().filter_map(|result| result.error.as_mut()) {
        error.message = check::clean(&error.message);
    }
    if !results.is_empty() {
        let said = Said { tenant: caller.tenant.clone(), agent: caller.agent.clone(), results };
        let foundation = &state.foundation;
        state.acknowledging.0.ask(said, MOST, |said| take_all(foundation, said)).await?;
    }
    Ok(Nothing {})
}

/// What hosts of one tenant say, by host and number; an error where it was not done.
#[derive(Debug, Default)]
struct Results<'a>(BTreeMap<(&'a AgentId, u64), Option<&'a WireError>>);

async fn take_all(foundation: &Foundation, said: Vec<Said>) -> Result<Vec<()>, Fault> {
    let mut tenants: BTreeMap<&TenantId, Results<'_>> = BTreeMap::new();
    for one in &said {
        let results = tenants.entry(&one.tenant).or_default();
        results
            .0
            .extend(one.results.iter().map(|result| ((&one.agent, result.number), result.error.as_ref())));
    }
    let now = foundation.clock.now();
    for (tenant, results) in tenants {
        let mut tx = foundation.database.write_of(tenant).await?;
        super::hold_tenant(&mut tx, tenant).await?;
        take(foundation, &mut tx, tenant, &results, now).await?;
        tx.commit().await?;
    }
    Ok(vec![(); said.len()])
}

async fn take(
    foundation: &Foundation,
    tx: &mut Tx,
    tenant: &TenantId,
    results: &Results<'_>,
    now: Timestamp,
) -> Result<(), Fault> {
    let row = |agent: &AgentId, number: u64| {
        vec![Value::from(agent.as_str()), Value::from(i64::try_from(number).unwrap_or(i64::MAX))]
    };
    let all: Vec<_> = results.0.keys().map(|(agent, number)| row(agent, *number)).collect();
    for rows in all.chunks(CHUNK) {
        let delete = if tx.is_postgres() { DELETE_POSTGRES } else { DELETE_SQLITE };
        for row in tx.all(done(rows, delete)).await? {
            finish(foundation, tx, tenant, results, &row, now).await?;
        }
    }
    let (well, badly): (Vec<_>, Vec<_>) = results.0.iter().partition(|(_, error)| error.is_none());
    let well: Vec<_> = well.iter().map(|((agent, number), _)| row(agent, *number)).collect();
    for rows in well.chunks(CHUNK) {
        let update = "UPDATE channels SET epoch_number = NULL, \
                      confirmed_epoch = (SELECT p.pushed FROM policy_epochs p WHERE p.tenant_id = $1), \
                      confirmed_at = $TIME \
                      FROM done WHERE channels.tenant_id = $1 AND channels.agent_id = done.agent \
                      AND channels.epoch_number = done.num";
        let statement = done(rows, "");
        let update = update.replace("$TIME", &format!("${}", statement.next_placeholder()));
        tx.run(statement.push(&update).bind(now)).await?;
    }
    let badly: Vec<_> = badly.iter().map(|((agent, number), _)| row(agent, *number)).collect();
    for rows in badly.chunks(CHUNK) {
        let update = "UPDATE channels SET epoch_number = NULL \
                      FROM done WHERE channels.tenant_id = $1 AND channels.agent_id = done.agent \
                      AND channels.epoch_number = done.num RETURNING channels.agent_id AS agent_id";
        for row in tx.all(done(rows, update)).await? {
            let trace =
                Trace::alarm("command_refused").about(&row.id("agent_id")?).with("kind", "policy_epoch");
            trace.write(tx, tenant, foundation).await?;
        }
    }
    Ok(())
}

fn done(rows: &[Vec<Value>], statement: &str) -> Statement {
    with_rows("done(agent, num)", rows, vec!["".into(), Value::from(-1_i64)], statement)
}

/// What follows from a command that is done or refused.
async fn finish(
    foundation: &Foundation,
    tx: &mut Tx,
    tenant: &TenantId,
    results: &Results<'_>,
    row: &Row,
    now: Timestamp,
) -> Result<(), Fault> {
    let (agent, number): (AgentId, u64) = (row.id("agent_id")?, row.count("number")?);
    let error = results.0.get(&(&agent, number)).copied().flatten();
    let text = error.map(|error| error.message.clone());
    let order = match row.json::<Order>("body") {
        Ok(order) => order,
        // Of an other version. The host is done with it, and nothing can follow from it.
        Err(error) => {
            tracing::warn!(%error, %agent, number, "a command that was acknowledged cannot be read");
            return Ok(());
        }
    };
    match &order {
        Order::DecideApproval { approval_id, proposal_id, .. } => {
            let outcome = if error.is_none() { ProposalOutcome::Accepted } else { ProposalOutcome::Refused };
            let report = OutcomeReport { proposal_id: proposal_id.clone(), outcome, refusal: text.clone() };
            outcomes::keep(tx, approval_id, &report, now).await?;
        }
        Order::PolicyEpoch { epoch, .. } if error.is_none() => {
            let sql = "UPDATE channels SET confirmed_epoch = $3, confirmed_at = $4 \
                       WHERE tenant_id = $1 AND agent_id = $2 AND confirmed_epoch < $3";
            tx.run(Statement::new(sql).bind_id(&agent).bind_u64(*epoch).bind(now)).await?;
        }
        Order::Job { job_id } => {
            if let Some(text) = &text {
                match jobs::host_refused(foundation, tx, tenant, &agent, job_id, text, now).await {
                    // Swept meanwhile: there is nothing left to settle.
                    Err(fault) if fault.wire.code == ErrorCode::ResourceNotFound => {}
                    settled => settled?,
                }
            }
        }
        _ => {}
    }
    if let Some(error) = error {
        Trace::alarm("command_refused")
            .about(&agent)
            .with("kind", kind(&order))
            .with("code", error.code.as_str())
            .with("reason", text.unwrap_or_default())
            .write(tx, tenant, foundation)
            .await?;
    }
    Ok(())
}
