//! Giving commands: to one host, to all of a tenant.

use lanyard_governance_api::command::{CommandsQueued, NewCommand, Order};
use lanyard_governance_api::endpoint as ep;
use lanyard_governance_api::id::{AgentId, TenantId};
use lanyard_governance_api::limits::MAX_COMMANDS;
use lanyard_governance_foundation::{Ask, Fault, Statement, Tx, fresh_id};
use lanyard_protocol::id::CommandId;
use lanyard_protocol::{ErrorCode, Timestamp};

use super::{kind, topic, topic_of_all};
use crate::State;
use crate::scope::scoped;

/// Longest order, in bytes of JSON: ids and a sentence.
const MAX_ORDER: usize = 16 << 10;

pub(crate) async fn queue(state: State, ask: Ask<ep::QueueCommand>) -> Result<CommandsQueued, Fault> {
    let agent: AgentId = ask.path.get("agent_id")?;
    let tenant = ask.caller.tenant()?.clone();
    let mut tx = state.foundation.database.write_of(&tenant).await?;
    give(&mut tx, &tenant, &agent, &ask.body, state.foundation.clock.now()).await?;
    tx.commit().await?;
    Ok(CommandsQueued { agents: 1 })
}

/// Gives one host a command and wakes it. Returns its number.
pub(crate) async fn give(
    tx: &mut Tx,
    tenant: &TenantId,
    agent: &AgentId,
    command: &NewCommand,
    now: Timestamp,
) -> Result<u64, Fault> {
    check_order(command)?;
    let sql = "UPDATE channels SET last_number = last_number + 1 \
               WHERE tenant_id = $1 AND agent_id = $2 AND revoked IS NULL RETURNING last_number";
    let number = scoped(tx, tenant, sql).bind_id(agent);
    let Some(row) = tx.one(number).await? else { return Err(absent(tx, tenant, agent).await) };
    let number = row.count("last_number")?;
    if matches!(command.order, Order::PolicyEpoch { .. }) {
        let sql = "DELETE FROM commands WHERE tenant_id = $1 AND agent_id = $2 AND kind = 'policy_epoch'";
        let replaced = scoped(tx, tenant, sql).bind_id(agent);
        tx.run(replaced).await?;
        let sql = "UPDATE channels SET epoch_number = NULL WHERE tenant_id = $1 AND agent_id = $2";
        let replaced = scoped(tx, tenant, sql).bind_id(agent);
        tx.run(replaced).await?;
    }
    let sql = "SELECT COUNT(*) AS number FROM commands WHERE tenant_id = $1 AND agent_id = $2";
    let waiting = scoped(tx, tenant, sql).bind_id(agent);
    let waiting = tx.one(waiting).await?.map_or(Ok(0), |row| row.count("number"))?;
    if waiting >= u64::from(MAX_COMMANDS) {
        let text = format!(
            "{MAX_COMMANDS} commands wait for host {agent} already; it has to come back and take them"
        );
        return Err(Fault::slow_down(text, 60));
    }
    let sql = "INSERT INTO commands (tenant_id, agent_id, number, kind, at, by_id, by_name, body) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let insert = scoped(tx, tenant, sql)
        .bind_id(agent)
        .bind_u64(number)
        .bind(kind(&command.order))
        .bind(now)
        .bind_opt_id(command.by.as_ref())
        .bind(command.by_name.as_deref())
        .bind_json(&command.order);
    tx.run(insert).await?;
    tx.wake(topic(tenant, agent)).await?;
    Ok(number)
}

/// Why a host has no open channel.
async fn absent(tx: &mut Tx, tenant: &TenantId, agent: &AgentId) -> Fault {
    let sql = "SELECT revoked FROM channels WHERE tenant_id = $1 AND agent_id = $2";
    let select = scoped(tx, tenant, sql).bind_id(agent);
    match tx.one(select).await {
        // For good: who has this to tell need not come again.
        Ok(Some(_)) => {
            Fault::new(ErrorCode::AgentRevoked, format!("the enrolment of host {agent} was revoked"))
        }
        Ok(None) => Fault::not_found("host", agent),
        Err(error) => error.into(),
    }
}

fn check_order(command: &NewCommand) -> Result<(), Fault> {
    let length = serde_json::to_string(&command.order).map_or(usize::MAX, |text| text.len());
    if length > MAX_ORDER {
        return Err(Fault::invalid(format!("an order has at most {MAX_ORDER} bytes")));
    }
    Ok(())
}

/// Gives every host of a tenant that is not revoked a command.
pub(crate) async fn broadcast(state: State, ask: Ask<ep::BroadcastCommand>) -> Result<CommandsQueued, Fault> {
    let tenant = ask.caller.tenant()?.clone();
    let now = state.foundation.clock.now();
    check_order(&ask.body)?;
    let mut tx = state.foundation.database.write_of(&tenant).await?;
    let sql = "INSERT INTO policy_epochs (tenant_id, pushed, at) VALUES ($1, 0, $2) ON CONFLICT DO NOTHING";
    tx.run(Statement::new(sql).bind(now)).await?;
    super::hold_tenant(&mut tx, &tenant).await?;
    let agents = match &ask.body.order {
        Order::PolicyEpoch { epoch, .. } => broadcast_epoch(&mut tx, &ask.body, *epoch, now).await?,
        _ => broadcast_rows(&mut tx, &ask.body, now).await?,
    };
    tx.wake(topic_of_all(&tenant)).await?;
    tx.commit().await?;
    Ok(CommandsQueued { agents })
}

/// One UPDATE, however many hosts. An epoch that was told already is not told again; a later one is never undone.
async fn broadcast_epoch(
    tx: &mut Tx,
    command: &NewCommand,
    epoch: u64,
    now: Timestamp,
) -> Result<u64, Fault> {
    let sql = "UPDATE policy_epochs SET pushed = $2, body = $3, at = $4, by_id = $5, by_name = $6, \
               epoch = CASE WHEN epoch IS NULL OR epoch < $2 THEN $2 ELSE epoch END \
               WHERE tenant_id = $1 AND pushed < $2";
    let update = Statement::new(sql)
        .bind_u64(epoch)
        .bind_json(&command.order)
        .bind(now)
        .bind_opt_id(command.by.as_ref())
        .bind(command.by_name.as_deref());
    if tx.run(update).await? == 0 {
        let sql = "SELECT COUNT(*) AS number FROM channels WHERE tenant_id = $1 AND revoked IS NULL";
        return Ok(tx.one(Statement::new(sql)).await?.map_or(Ok(0), |row| row.count("number"))?);
    }
    let sql = "DELETE FROM commands WHERE tenant_id = $1 AND kind = 'policy_epoch'";
    tx.run(Statement::new(sql)).await?;
    let sql = "UPDATE channels SET last_number = last_number + 1, epoch_number = last_number + 1 \
               WHERE tenant_id = $1 AND revoked IS NULL";
    Ok(tx.run(Statement::new(sql)).await?)
}

/// Two statements. Hosts for which too much waits already are left out, and not counted.
async fn broadcast_rows(tx: &mut Tx, command: &NewCommand, now: Timestamp) -> Result<u64, Fault> {
    let mark: CommandId = fresh_id("all")?;
    let sql = "UPDATE channels SET last_number = last_number + 1, mark = $2 \
               WHERE tenant_id = $1 AND revoked IS NULL AND (SELECT COUNT(*) FROM commands k \
               WHERE k.tenant_id = channels.tenant_id AND k.agent_id = channels.agent_id) < $3";
    tx.run(Statement::new(sql).bind_id(&mark).bind(MAX_COMMANDS)).await?;
    let sql = "INSERT INTO commands (tenant_id, agent_id, number, kind, at, by_id, by_name, body) \
               SELECT tenant_id, agent_id, last_number, $3, $4, $5, $6, $7 FROM channels \
               WHERE tenant_id = $1 AND mark = $2";
    let insert = Statement::new(sql)
        .bind_id(&mark)
        .bind(kind(&command.order))
        .bind(now)
        .bind_opt_id(command.by.as_ref())
        .bind(command.by_name.as_deref())
        .bind_json(&command.order);
    Ok(tx.run(insert).await?)
}

/// Closes the channel of a host that was revoked: nothing waits any more, and whoever waits hears of it.
pub(crate) async fn close(
    tx: &mut Tx,
    tenant: &TenantId,
    agent: &AgentId,
    reason: &str,
) -> Result<(), Fault> {
    let sql = "DELETE FROM commands WHERE tenant_id = $1 AND agent_id = $2";
    let delete = scoped(tx, tenant, sql).bind_id(agent);
    tx.run(delete).await?;
    let sql = "UPDATE channels SET epoch_number = NULL, revoked = $3 WHERE tenant_id = $1 AND agent_id = $2";
    let update = scoped(tx, tenant, sql).bind_id(agent).bind(reason);
    tx.run(update).await?;
    tx.wake(topic(tenant, agent)).await?;
    Ok(())
}
