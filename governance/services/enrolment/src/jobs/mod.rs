//! Jobs: one tool call, dispatched to a host that takes jobs, claimed by it, and run there under both policies.

mod create;
mod machine;
mod paths;
mod report;
mod store;

use lanyard_governance_api::command::{NewCommand, Order};
use lanyard_governance_api::endpoint as ep;
use lanyard_governance_api::id::{AgentId, JobId, TenantId};
use lanyard_governance_api::job::{Job, JobState};
use lanyard_governance_api::page::Page;
use lanyard_governance_foundation::page::Cut;
use lanyard_governance_foundation::{Ask, Caller, Fault, Foundation, Statement, Tx};
use lanyard_protocol::Timestamp;

pub(crate) use create::create;
pub(crate) use report::report;

use crate::trace::Trace;
use crate::{State, commands};
use machine::{Effect, Event};

/// Jobs settled in one go of the chore.
const BATCH: i64 = 200;

pub(crate) async fn list(state: State, ask: Ask<ep::ListJobs>) -> Result<Page<Job>, Fault> {
    let query = ask.query;
    let cut = Cut::of(query.limit, query.next_token.as_deref())?;
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    store::list(&mut tx, query.agent_id.as_ref(), query.state, &cut).await
}

pub(crate) async fn get(state: State, ask: Ask<ep::GetJob>) -> Result<Job, Fault> {
    let id: JobId = ask.path.get("job_id")?;
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    let mut kept = store::load(&mut tx, ask.caller.tenant()?, &id, false).await?;
    if let Caller::Agent(agent) = &ask.caller
        && agent.agent != kept.job.agent_id
    {
        return Err(Fault::not_found("job", id));
    }
    // What is due is shown, though the chore may not have written it yet.
    kept.lapse(state.foundation.clock.now());
    Ok(kept.into_job())
}

pub(crate) async fn cancel(state: State, ask: Ask<ep::CancelJob>) -> Result<Job, Fault> {
    let id: JobId = ask.path.get("job_id")?;
    let person = ask.caller.person()?;
    let tenant = &person.tenant;
    let now = state.foundation.clock.now();
    let mut tx = state.foundation.database.write_of(tenant).await?;
    let mut kept = store::load(&mut tx, tenant, &id, true).await?;
    if lapse(&state.foundation, &mut tx, tenant, &mut kept, now).await? {
        tx.commit().await?;
        return Err(over(&kept));
    }
    let claimed = kept.standing.state != JobState::Queued;
    let effect = kept.standing.on(Event::Cancel, now).map_err(|_| over(&kept))?;
    match effect {
        Effect::Repeated => return Ok(kept.into_job()),
        Effect::HostDecides if kept.cancel_asked => return Ok(kept.into_job()),
        Effect::HostDecides => kept.job.reason = Some(format!("{} asked for it to be stopped", person.name)),
        Effect::Changed => kept.job.reason = Some(format!("taken back by {}", person.name)),
        // These come of what hosts say.
        Effect::Settled | Effect::StillRuns => return Err(over(&kept)),
    }
    kept.cancel_asked = true;
    store::save(&mut tx, tenant, &mut kept, now).await?;
    Trace::of("job_cancelled")
        .by(&ask.caller)
        .about(&kept.job.agent_id)
        .with("jobId", id.as_str())
        .with("state", store::name(kept.standing.state))
        .write(&mut tx, tenant, &state.foundation)
        .await?;
    if claimed {
        // The host waits for policy or a person, or runs it.
        let order = Order::CancelJob { job_id: id };
        let command = NewCommand { by: Some(person.user.clone()), by_name: Some(person.name.clone()), order };
        commands::give(&mut tx, tenant, &kept.job.agent_id, &command, now).await?;
    }
    tx.commit().await?;
    Ok(kept.into_job())
}

fn over(kept: &store::Kept) -> Fault {
    let state = store::name(kept.standing.state);
    Fault::conflict(format!("job {} is over: {state}", kept.job.job_id)).with("state", state)
}

/// Lets time pass for a job whose row is held, and writes what it did.
async fn lapse(
    foundation: &Foundation,
    tx: &mut Tx,
    tenant: &TenantId,
    kept: &mut store::Kept,
    now: Timestamp,
) -> Result<bool, Fault> {
    if !kept.lapse(now) {
        return Ok(false);
    }
    store::save(tx, tenant, kept, now).await?;
    store::trace_end(foundation, tx, tenant, kept).await?;
    Ok(true)
}

/// Settles jobs that were not claimed in time or whose lease ran out. Safe on several replicas at once.
pub(crate) async fn settle_due(foundation: &Foundation) -> Result<(), Fault> {
    loop {
        let now = foundation.clock.now();
        let mut tx = foundation.database.across_read().await?;
        let sql = "SELECT tenant_id, job_id FROM jobs WHERE due_at <= $1 ORDER BY due_at LIMIT $2";
        let due = tx.all(Statement::new(sql).bind(now).bind(BATCH)).await?;
        drop(tx);
        for row in &due {
            let (tenant, id): (TenantId, JobId) = (row.id("tenant_id")?, row.id("job_id")?);
            let mut tx = foundation.database.write_of(&tenant).await?;
            let mut kept = store::load(&mut tx, &tenant, &id, true).await?;
            // Another replica, or a report, may have been first.
            if lapse(foundation, &mut tx, &tenant, &mut kept, now).await? {
                tx.commit().await?;
            }
        }
        if due.len() < usize::try_from(BATCH).unwrap_or(usize::MAX) {
            return Ok(());
        }
    }
}

/// Settles the jobs of a host whose enrolment is being revoked.
pub(crate) async fn settle_revoked(
    foundation: &Foundation,
    tx: &mut Tx,
    tenant: &TenantId,
    agent: &AgentId,
    now: Timestamp,
) -> Result<(), Fault> {
    for id in store::open(tx, tenant, agent).await? {
        settle(foundation, tx, tenant, &id, Event::HostRevoked, "the host's enrolment was revoked", now)
            .await?;
    }
    Ok(())
}

/// The host acknowledged the command that told it of a job by refusing it.
pub(crate) async fn host_refused(
    foundation: &Foundation,
    tx: &mut Tx,
    tenant: &TenantId,
    agent: &AgentId,
    id: &JobId,
    why: &str,
    now: Timestamp,
) -> Result<(), Fault> {
    // Commands are kept longer than nothing else: the job is there, and it is this host's, because the command was.
    tracing::debug!(%agent, job = %id, "a host refused a job");
    settle(foundation, tx, tenant, id, Event::HostRefused, why, now).await
}

async fn settle(
    foundation: &Foundation,
    tx: &mut Tx,
    tenant: &TenantId,
    id: &JobId,
    event: Event<'_>,
    why: &str,
    now: Timestamp,
) -> Result<(), Fault> {
    let mut kept = store::load(tx, tenant, id, true).await?;
    if lapse(foundation, tx, tenant, &mut kept, now).await? {
        return Ok(());
    }
    if kept.standing.on(event, now) == Ok(Effect::Changed) {
        kept.job.reason = Some(why.to_owned());
        store::save(tx, tenant, &mut kept, now).await?;
        store::trace_end(foundation, tx, tenant, &kept).await?;
    }
    Ok(())
}
