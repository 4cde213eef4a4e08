//! Runs: each call id of a host runs once. A row is there before the tool is called, and says from the beginning that
//! nobody knows how the run ended; the outcome takes its place.

use data_encoding::HEXLOWER;
use lanyard_governance_foundation::caller::Agent;
use lanyard_governance_foundation::trail::{self, Record};
use lanyard_governance_foundation::{Caller, Fault, Statement};
use lanyard_protocol::envelope::Severity;
use lanyard_protocol::tool::{ToolRequest, ToolResult, ToolStatus};
use lanyard_protocol::{ErrorCode, Timestamp, WireError};
use sha2::{Digest as _, Sha256};

use crate::State;
use crate::definitions::trail_record;

/// Beyond the tool's own time, a run has so long to store its output and its result, in milliseconds. After that the
/// process that ran it is gone.
pub(crate) const MARGIN_MILLIS: i64 = 60_000;

/// How a call stands.
#[derive(Debug)]
pub(crate) enum Standing {
    /// It never ran.
    New,
    /// It runs, here or in another replica.
    Running,
    /// This is how it ended.
    Ended(Box<ToolResult>),
}

/// The topic that is woken when a run ends.
pub(crate) fn topic(agent: &Agent, request: &ToolRequest) -> String {
    let name = format!("{}/{}/{}", agent.tenant, agent.agent, request.tool_call_id);
    // Ids can be longer than a topic may be.
    format!("tools/{}", HEXLOWER.encode(Sha256::digest(name).get(..16).unwrap_or_default()))
}

fn digest(request: &ToolRequest) -> Result<String, Fault> {
    let text = serde_json::to_vec(request).map_err(|e| Fault::internal("a call cannot be written", &e))?;
    Ok(HEXLOWER.encode(&Sha256::digest(text)))
}

/// The result that nobody knows the outcome.
pub(crate) fn indeterminate(request: &ToolRequest, why: &str) -> ToolResult {
    ToolResult::of(request, ToolStatus::Indeterminate).with_error(WireError::new(
        ErrorCode::OutcomeUnknown,
        format!("the tool {} was called and {why}; whether it took effect is not known, and it is not called again", request.tool_name),
    ))
}

/// How a call stands. Another call under the same id is refused.
pub(crate) async fn look(state: &State, agent: &Agent, request: &ToolRequest) -> Result<Standing, Fault> {
    let mut tx = state.foundation.database.read_of(&agent.tenant).await?;
    let sql = "SELECT digest, state, result, deadline_at FROM tool_runs \
        WHERE tenant_id = $1 AND agent_id = $2 AND tool_call_id = $3";
    let statement = Statement::new(sql).bind_id(&agent.agent).bind_id(&request.tool_call_id);
    let Some(row) = tx.one(statement).await? else { return Ok(Standing::New) };
    if row.text("digest")? != digest(request)? {
        let message = format!("another call was made under the id {}", request.tool_call_id);
        return Err(Fault::conflict(message));
    }
    let over = row.time("deadline_at")? < state.foundation.clock.now();
    match row.text("state")?.as_str() {
        "running" if !over => Ok(Standing::Running),
        _ => Ok(Standing::Ended(Box::new(row.json("result")?))),
    }
}

/// Takes a call for this process. `false`: somebody has it already.
pub(crate) async fn begin(
    state: &State,
    caller: &Caller,
    agent: &Agent,
    request: &ToolRequest,
    deadline: Timestamp,
) -> Result<bool, Fault> {
    let unknown = indeterminate(request, "its answer was never seen");
    let record = record("tool_requested", caller, request);
    let now = state.foundation.clock.now();
    add(state, agent, request, Run { result: &unknown, started: now, deadline, ended: None }, record).await
}

/// Writes down that a call never began and never will. `false`: it has begun meanwhile.
pub(crate) async fn close(
    state: &State,
    caller: &Caller,
    agent: &Agent,
    request: &ToolRequest,
    result: &ToolResult,
) -> Result<bool, Fault> {
    let record = record("tool_completed", caller, request).with("status", "cancelled");
    let now = state.foundation.clock.now();
    add(state, agent, request, Run { result, started: now, deadline: now, ended: Some(now) }, record).await
}

/// A run as it is first written down.
struct Run<'a> {
    result: &'a ToolResult,
    started: Timestamp,
    deadline: Timestamp,
    /// Absent while it runs.
    ended: Option<Timestamp>,
}

/// Adds a run and its record, unless there is one under the call's id.
async fn add(
    state: &State,
    agent: &Agent,
    request: &ToolRequest,
    run: Run<'_>,
    record: Record,
) -> Result<bool, Fault> {
    let mut tx = state.foundation.database.write_of(&agent.tenant).await?;
    let sql = "INSERT INTO tool_runs (tenant_id, agent_id, tool_call_id, session_id, tool_name, digest, state, result, \
        started_at, deadline_at, ended_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING";
    let statement = Statement::new(sql)
        .bind_id(&agent.agent)
        .bind_id(&request.tool_call_id)
        .bind_id(&request.session_id)
        .bind(request.tool_name.as_str())
        .bind(digest(request)?)
        .bind(if run.ended.is_some() { "ended" } else { "running" })
        .bind_json(run.result)
        .bind(run.started)
        .bind(run.deadline)
        .bind(run.ended);
    if tx.run(statement).await? == 0 {
        return Ok(false);
    }
    trail::record(&mut tx, &agent.tenant, state.foundation.clock.as_ref(), record).await?;
    tx.commit().await?;
    Ok(true)
}

/// What is recorded of a call.
fn record(event_type: &'static str, caller: &Caller, request: &ToolRequest) -> Record {
    trail_record(event_type, &request.tool_name)
        .by(caller)
        .about_session(&request.session_id, Some(&request.workspace_id))
        .about_task(&request.task_id)
        .with("toolCallId", request.tool_call_id.as_str())
}

/// Writes down how a run ended. Once its time was over it counts as unknown, and stays so: `false`.
pub(crate) async fn end(
    state: &State,
    agent: &Agent,
    request: &ToolRequest,
    result: &ToolResult,
) -> Result<bool, Fault> {
    let mut tx = state.foundation.database.write_of(&agent.tenant).await?;
    let sql = "UPDATE tool_runs SET state = 'ended', result = $4, ended_at = $5 WHERE tenant_id = $1 \
        AND agent_id = $2 AND tool_call_id = $3 AND state = 'running' AND deadline_at >= $5";
    let statement = Statement::new(sql)
        .bind_id(&agent.agent)
        .bind_id(&request.tool_call_id)
        .bind_json(result)
        .bind(state.foundation.clock.now());
    if tx.run(statement).await? == 0 {
        return Ok(false);
    }
    let status = serde_json::to_value(result.status).unwrap_or_default();
    let severity = match result.status {
        ToolStatus::Indeterminate => Severity::Warning,
        _ => Severity::Info,
    };
    let record = record("tool_completed", &Caller::Agent(agent.clone()), request);
    let record = record.severity(severity).with("status", status);
    trail::record(&mut tx, &agent.tenant, state.foundation.clock.as_ref(), record).await?;
    tx.wake(topic(agent, request)).await?;
    tx.commit().await?;
    Ok(true)
}
