//! Enrolled hosts as the console shows them, and how many have confirmed a policy epoch.

use lanyard_governance_api::agent::{AgentInfo, AgentRevocation, AgentState, EpochCounts};
use lanyard_governance_api::endpoint as ep;
use lanyard_governance_api::id::AgentId;
use lanyard_governance_api::limits::{HEARTBEAT_SECONDS, STALE_AFTER_SECONDS};
use lanyard_governance_api::page::Page;
use lanyard_governance_foundation::database::DatabaseError;
use lanyard_governance_foundation::page::Cut;
use lanyard_governance_foundation::{Ask, Fault, Row, Statement, Tx};
use lanyard_protocol::Timestamp;

use crate::State;

/// A host is online that was heard of within two and a half heartbeats, in milliseconds.
const ONLINE_MILLIS: i64 = HEARTBEAT_SECONDS as i64 * 2_500;

/// An acknowledgement stands for the heartbeat that follows it, in milliseconds: one that was under way when the host
/// acknowledged still names the old epoch.
const ACKNOWLEDGEMENT_MILLIS: i64 = HEARTBEAT_SECONDS as i64 * 1_500;

/// Hosts named that have not confirmed an epoch: enough to go and look.
const NAMED: i64 = 20;

const COLUMNS: &str = "SELECT agent_id, user_id, class, machine, heartbeat, last_seen_at, heard_at, skew, enrolled_at, \
                       not_after, revoked_at, revoked_by, revoked_reason, clone_suspected FROM agents";

/// One host of the transaction's tenant. `lock` holds its row.
pub(crate) async fn find(
    tx: &mut Tx,
    agent: &AgentId,
    lock: bool,
    now: Timestamp,
) -> Result<AgentInfo, Fault> {
    let select = Statement::new(COLUMNS)
        .push(" WHERE tenant_id = $1 AND agent_id = $2")
        .push(if lock { " {lock}" } else { "" })
        .bind_id(agent);
    match tx.one(select).await? {
        Some(row) => Ok(read(&row, now)?),
        None => Err(Fault::not_found("host", agent)),
    }
}

pub(crate) async fn get(state: State, ask: Ask<ep::GetAgent>) -> Result<AgentInfo, Fault> {
    let agent: AgentId = ask.path.get("agent_id")?;
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    find(&mut tx, &agent, false, state.foundation.clock.now()).await
}

pub(crate) async fn list(state: State, ask: Ask<ep::ListAgents>) -> Result<Page<AgentInfo>, Fault> {
    let cut = Cut::of(ask.query.limit, ask.query.next_token.as_deref())?;
    let now = state.foundation.clock.now();
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    let select = Statement::new(COLUMNS).push(" WHERE tenant_id = $1");
    let rows = tx.all(cut.apply(select, "AND", "heard_at", "agent_id")?).await?;
    let key = |row: &Row| Ok((row.time("heard_at")?, row.text("agent_id")?));
    cut.page(rows, key, |row| Ok(read(row, now)?))
}

pub(crate) async fn count(state: State, ask: Ask<ep::CountEpoch>) -> Result<EpochCounts, Fault> {
    let online = state.foundation.clock.now().plus_millis(-ONLINE_MILLIS);
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    let confirmed =
        "(a.policy_epoch >= $3 OR (c.confirmed_epoch >= $3 AND c.confirmed_at >= a.last_seen_at - $4))";
    let hosts = "FROM agents a JOIN channels c ON c.tenant_id = a.tenant_id AND c.agent_id = a.agent_id \
                 WHERE a.tenant_id = $1 AND a.revoked_at IS NULL AND a.last_seen_at >= $2";
    let bound =
        |sql: String| Statement::new(sql).bind(online).bind_u64(ask.query.epoch).bind(ACKNOWLEDGEMENT_MILLIS);
    let sql =
        format!("SELECT COUNT(*) AS online, COUNT(CASE WHEN {confirmed} THEN 1 END) AS confirmed {hosts}");
    let row = tx.one(bound(sql)).await?;
    let row = row.ok_or_else(|| Fault::internal("hosts could not be counted", &"no row"))?;
    let sql =
        format!("SELECT a.agent_id AS agent_id {hosts} AND NOT {confirmed} ORDER BY a.agent_id LIMIT $5");
    let waiting = tx.all(bound(sql).bind(NAMED)).await?;
    Ok(EpochCounts {
        online: row.count("online")?,
        confirmed: row.count("confirmed")?,
        waiting: waiting.iter().map(|row| row.id("agent_id")).collect::<Result<_, _>>()?,
    })
}

fn read(row: &Row, now: Timestamp) -> Result<AgentInfo, DatabaseError> {
    let revoked = match row.opt_time("revoked_at")? {
        None => None,
        Some(at) => {
            let reason = row.opt_text("revoked_reason")?.unwrap_or_default();
            Some(AgentRevocation { at, by: row.opt_id("revoked_by")?, reason })
        }
    };
    let last_seen_at = row.opt_time("last_seen_at")?;
    Ok(AgentInfo {
        agent_id: row.id("agent_id")?,
        user_id: row.id("user_id")?,
        class: row.text("class")?,
        state: state_of(revoked.is_some(), last_seen_at, row.time("enrolled_at")?, now),
        machine: row.json("machine")?,
        heartbeat: row.opt_json("heartbeat")?,
        last_seen_at,
        clock_skew_millis: row.int("skew")?,
        enrolled_at: row.time("enrolled_at")?,
        certificate_not_after: row.time("not_after")?,
        revoked,
        clone_suspected: row.flag("clone_suspected")?,
    })
}

fn state_of(revoked: bool, seen: Option<Timestamp>, enrolled: Timestamp, now: Timestamp) -> AgentState {
    let ago = |at: Timestamp| i64::try_from(now.millis_since(at)).unwrap_or(i64::MAX);
    match seen {
        _ if revoked => AgentState::Revoked,
        Some(seen) if ago(seen) <= ONLINE_MILLIS => AgentState::Online,
        _ if ago(seen.unwrap_or(enrolled)) < i64::from(STALE_AFTER_SECONDS) * 1_000 => AgentState::Offline,
        _ => AgentState::Stale,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_as_it_was_last_heard_of() {
        let now = Timestamp::from_millis(10_000_000);
        let seen = |seconds: i64| Some(now.plus_millis(-1_000 * seconds));
        let state = |seen| state_of(false, seen, now.plus_millis(-60_000), now);
        assert_eq!(state(seen(0)), AgentState::Online);
        assert_eq!(state(seen(150)), AgentState::Online);
        assert_eq!(state(seen(151)), AgentState::Offline);
        assert_eq!(state(seen(899)), AgentState::Offline);
        assert_eq!(state(seen(900)), AgentState::Stale);
        assert_eq!(state(None), AgentState::Offline, "enrolled a minute ago");
        assert_eq!(state_of(true, seen(0), now, now), AgentState::Revoked);
    }
}
