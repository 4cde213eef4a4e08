//! Dispatching a job.

use lanyard_governance_api::agent::{AgentInfo, AgentState};
use lanyard_governance_api::command::{NewCommand, Order};
use lanyard_governance_api::endpoint as ep;
use lanyard_governance_api::job::{Job, JobState, NewJob};
use lanyard_governance_api::limits::MAX_TEXT_BYTES;
use lanyard_governance_foundation::caller::Person;
use lanyard_governance_foundation::credentials::hash;
use lanyard_governance_foundation::{Ask, Fault, fresh_id};
use lanyard_protocol::Timestamp;

use super::paths::is_within;
use super::store::{self, Kept};
use crate::trace::Trace;
use crate::{State, agents, check, commands};

/// Lifetimes of an unclaimed job that may be asked for, and the usual one, in seconds.
const LIFETIMES: std::ops::RangeInclusive<u32> = 10..=86_400;
const USUAL_LIFETIME: u32 = 3_600;

/// Longest arguments, in bytes of JSON: pages of jobs hold them.
const MAX_ARGUMENTS: usize = 64 << 10;

/// Longest path, in bytes.
const MAX_PATH: usize = 4_096;

pub(crate) async fn create(state: State, ask: Ask<ep::CreateJob>) -> Result<Job, Fault> {
    let (person, body) = (ask.caller.person()?, ask.body);
    check_body(&body)?;
    let digest = digest(person, &body)?;
    let now = state.foundation.clock.now();
    let tenant = &person.tenant;
    let mut tx = state.foundation.database.write_of(tenant).await?;
    let key = body.idempotency_key.as_str().to_owned();
    // Before anything else: the host may have gone offline since the first time.
    if let Some((kept, known)) = store::by_key(&mut tx, &key).await? {
        return again(kept, &known, &digest, now);
    }
    let agent = agents::find(&mut tx, &body.agent_id, false, now).await?;
    check_agent(&agent, &body)?;
    let lifetime = body.expires_in_seconds.unwrap_or(USUAL_LIFETIME);
    let kept = Kept::new(Job {
        job_id: fresh_id("job")?,
        agent_id: body.agent_id,
        tool_name: body.tool_name,
        arguments: body.arguments,
        workspace: body.workspace,
        title: body.title,
        state: JobState::Queued,
        reason: None,
        session_id: None,
        result: None,
        late: false,
        created_by: person.user.clone(),
        created_at: now,
        updated_at: now,
        expires_at: now.plus_millis(i64::from(lifetime) * 1_000),
        lease_until: None,
    });
    if !store::add(&mut tx, &kept, &key, &digest).await? {
        // The same request twice at the same moment: the other one was first.
        let first = store::by_key(&mut tx, &key).await?;
        let (kept, known) =
            first.ok_or_else(|| Fault::unavailable("the same job was dispatched a moment ago; try again"))?;
        return again(kept, &known, &digest, now);
    }
    let order = Order::Job { job_id: kept.job.job_id.clone() };
    let command = NewCommand { by: Some(person.user.clone()), by_name: Some(person.name.clone()), order };
    commands::give(&mut tx, tenant, &kept.job.agent_id, &command, now).await?;
    Trace::of("job_created")
        .by(&ask.caller)
        .about(&kept.job.agent_id)
        .with("jobId", kept.job.job_id.as_str())
        .with("toolName", kept.job.tool_name.as_str())
        .with("workspace", kept.job.workspace.as_str())
        .with("title", kept.job.title.as_str())
        .write(&mut tx, tenant, &state.foundation)
        .await?;
    tx.commit().await?;
    Ok(kept.into_job())
}

fn again(mut kept: Kept, known: &[u8], digest: &[u8; 32], now: Timestamp) -> Result<Job, Fault> {
    if known != digest {
        let text = format!(
            "this idempotency key is that of job {}, which is another; choose a new one",
            kept.job.job_id
        );
        return Err(Fault::conflict(text));
    }
    kept.lapse(now);
    Ok(kept.into_job())
}

/// Tells the same request from another with the same key.
fn digest(person: &Person, body: &NewJob) -> Result<[u8; 32], Fault> {
    let content = serde_json::to_vec(&(&person.user, body));
    Ok(hash(&content.map_err(|e| Fault::internal("a job cannot be written", &e))?))
}

fn check_body(body: &NewJob) -> Result<(), Fault> {
    check::text("toolName", &body.tool_name, check::MAX_NAME)?;
    check::text("workspace", &body.workspace, MAX_PATH)?;
    check::text("title", &body.title, MAX_TEXT_BYTES)?;
    if !body.arguments.0.is_object() {
        return Err(Fault::invalid("arguments must be an object"));
    }
    let length = body.arguments.0.to_string().len();
    if length > MAX_ARGUMENTS {
        return Err(Fault::invalid(format!(
            "arguments have at most {MAX_ARGUMENTS} bytes, these have {length}"
        )));
    }
    match body.expires_in_seconds {
        Some(seconds) if !LIFETIMES.contains(&seconds) => {
            Err(Fault::invalid("expiresInSeconds must be 10 to 86400"))
        }
        _ => Ok(()),
    }
}

fn check_agent(agent: &AgentInfo, body: &NewJob) -> Result<(), Fault> {
    let name = &agent.machine.name;
    let beat = match (agent.state, &agent.heartbeat) {
        (AgentState::Revoked, _) => {
            return Err(Fault::conflict(format!("the enrolment of host {name} was revoked")));
        }
        (AgentState::Online, Some(beat)) => beat,
        _ => return Err(Fault::conflict(format!("host {name} is not online; jobs are for hosts that are"))),
    };
    if !beat.accepts_jobs {
        let text = format!("the owner of host {name} takes no jobs; it is their choice, made on the host");
        return Err(Fault::conflict(text));
    }
    if !is_within(&body.workspace, &beat.workspaces, agent.machine.os_family == "windows") {
        let text = format!("host {name} takes jobs in {} only", beat.workspaces.join(", "));
        return Err(Fault::conflict(if beat.workspaces.is_empty() {
            format!("host {name} names no directory in which jobs may work")
        } else {
            text
        }));
    }
    Ok(())
}
