//! Jobs as rows.

use lanyard_governance_api::id::{AgentId, JobId, TenantId};
use lanyard_governance_api::job::{Job, JobState};
use lanyard_governance_api::page::Page;
use lanyard_governance_foundation::database::DatabaseError;
use lanyard_governance_foundation::page::Cut;
use lanyard_governance_foundation::{Caller, Fault, Foundation, Row, Statement, Tx};
use lanyard_protocol::Timestamp;

use super::machine::Standing;
use crate::scope::scoped;
use crate::trace::Trace;

/// Everything of a job but its result.
const COLUMNS: &str = "job_id, agent_id, tool_name, arguments, workspace, title, state, reason, session_id, created_by, \
                       created_at, updated_at, expires_at, lease_key, lease_until, cancel_asked, presumed, late";

/// A job with what its callers do not see.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) job: Job,
    pub(super) standing: Standing,
    pub(super) cancel_asked: bool,
}

impl Kept {
    pub(super) fn new(job: Job) -> Self {
        let standing = Standing::queued(job.expires_at);
        Self { job, standing, cancel_asked: false }
    }

    /// Lets time pass. Whether it did something.
    pub(super) fn lapse(&mut self, now: Timestamp) -> bool {
        let was = self.standing.state;
        if !self.standing.lapse(now) {
            return false;
        }
        self.job.reason = Some(
            match was {
                JobState::Queued => "no host claimed it in time",
                JobState::Leased => "the host was not heard of for a minute before it ran",
                _ => {
                    "the host was not heard of for a minute while it ran; how it ended is not known here, unless the host \
                     comes back and tells"
                }
            }
            .to_owned(),
        );
        true
    }

    /// As callers see it.
    pub(super) fn into_job(self) -> Job {
        Job { state: self.standing.state, lease_until: self.standing.lease_until, ..self.job }
    }
}

pub(super) fn name(state: JobState) -> &'static str {
    match state {
        JobState::Queued => "queued",
        JobState::Leased => "leased",
        JobState::Running => "running",
        JobState::Succeeded => "succeeded",
        JobState::Failed => "failed",
        JobState::Denied => "denied",
        JobState::Expired => "expired",
        JobState::Cancelled => "cancelled",
        JobState::Indeterminate => "indeterminate",
    }
}

fn state(text: &str) -> Result<JobState, DatabaseError> {
    serde_json::from_value(serde_json::Value::from(text))
        .map_err(|_| DatabaseError::Defect(format!("a job is in the state {text:?}")))
}

fn read(row: &Row) -> Result<Kept, DatabaseError> {
    let standing = Standing {
        state: state(&row.text("state")?)?,
        expires_at: row.time("expires_at")?,
        lease_key: row.opt_id("lease_key")?,
        lease_until: row.opt_time("lease_until")?,
        presumed: row.flag("presumed")?,
    };
    let job = Job {
        job_id: row.id("job_id")?,
        agent_id: row.id("agent_id")?,
        tool_name: row.text("tool_name")?,
        arguments: row.json("arguments")?,
        workspace: row.text("workspace")?,
        title: row.text("title")?,
        state: standing.state,
        reason: row.opt_text("reason")?,
        session_id: row.opt_id("session_id")?,
        result: row.opt_json("result")?,
        late: row.flag("late")?,
        created_by: row.id("created_by")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        expires_at: standing.expires_at,
        lease_until: standing.lease_until,
    };
    Ok(Kept { job, standing, cancel_asked: row.flag("cancel_asked")? })
}

/// One job; 404 when the tenant has none of the id. `lock` holds its row.
pub(super) async fn load(tx: &mut Tx, tenant: &TenantId, id: &JobId, lock: bool) -> Result<Kept, Fault> {
    let lock = if lock { "{lock}" } else { "" };
    let sql = format!("SELECT {COLUMNS}, result FROM jobs WHERE tenant_id = $1 AND job_id = $2 {lock}");
    let select = scoped(tx, tenant, sql).bind_id(id);
    match tx.one(select).await? {
        Some(row) => Ok(read(&row)?),
        None => Err(Fault::not_found("job", id)),
    }
}

/// Adds a job, unless one of the same key is there.
pub(super) async fn add(tx: &mut Tx, kept: &Kept, key: &str, digest: &[u8; 32]) -> Result<bool, Fault> {
    let sql = "INSERT INTO jobs (tenant_id, job_id, agent_id, idempotency_key, digest, tool_name, arguments, workspace, \
               title, state, created_by, created_at, updated_at, expires_at, due_at, cancel_asked) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13, $13, 0) \
               ON CONFLICT (tenant_id, idempotency_key) DO NOTHING";
    let job = &kept.job;
    let insert = Statement::new(sql)
        .bind_id(&job.job_id)
        .bind_id(&job.agent_id)
        .bind(key)
        .bind(digest.as_slice())
        .bind(job.tool_name.as_str())
        .bind_json(&job.arguments)
        .bind(job.workspace.as_str())
        .bind(job.title.as_str())
        .bind(name(kept.standing.state))
        .bind_id(&job.created_by)
        .bind(job.created_at)
        .bind(job.expires_at);
    Ok(tx.run(insert).await? > 0)
}

/// The job of a key, and the digest of what it was made of.
pub(super) async fn by_key(tx: &mut Tx, key: &str) -> Result<Option<(Kept, Vec<u8>)>, Fault> {
    let sql =
        format!("SELECT {COLUMNS}, result, digest FROM jobs WHERE tenant_id = $1 AND idempotency_key = $2");
    let select = Statement::new(sql).bind(key);
    match tx.one(select).await? {
        Some(row) => Ok(Some((read(&row)?, row.bytes("digest")?))),
        None => Ok(None),
    }
}

/// Writes how a job stands now.
pub(super) async fn save(
    tx: &mut Tx,
    tenant: &TenantId,
    kept: &mut Kept,
    now: Timestamp,
) -> Result<(), Fault> {
    kept.job.updated_at = now;
    let sql = "UPDATE jobs SET state = $3, reason = $4, session_id = $5, result = $6, updated_at = $7, lease_key = $8, \
               lease_until = $9, cancel_asked = $10, due_at = $11, presumed = $12, late = $13 \
               WHERE tenant_id = $1 AND job_id = $2";
    let (job, standing) = (&kept.job, &kept.standing);
    let update = scoped(tx, tenant, sql)
        .bind_id(&job.job_id)
        .bind(name(standing.state))
        .bind(job.reason.as_deref())
        .bind_opt_id(job.session_id.as_ref());
    let update = match &job.result {
        Some(result) => update.bind_json(result),
        None => update.bind(None::<String>),
    };
    let update = update
        .bind(now)
        .bind_opt_id(standing.lease_key.as_ref())
        .bind(standing.lease_until)
        .bind(kept.cancel_asked)
        .bind(standing.due_at())
        .bind(standing.presumed)
        .bind(job.late);
    tx.run(update).await?;
    Ok(())
}

/// Ids of a host's jobs that are not over, in a fixed order.
pub(super) async fn open(tx: &mut Tx, tenant: &TenantId, agent: &AgentId) -> Result<Vec<JobId>, Fault> {
    let sql = "SELECT job_id FROM jobs WHERE tenant_id = $1 AND agent_id = $2 AND due_at IS NOT NULL ORDER BY job_id";
    let select = scoped(tx, tenant, sql).bind_id(agent);
    Ok(tx.all(select).await?.iter().map(|row| row.id("job_id")).collect::<Result<_, _>>()?)
}

/// Jobs, newest first. Their results are left out: a page of them could be very long.
pub(super) async fn list(
    tx: &mut Tx,
    agent: Option<&AgentId>,
    state: Option<JobState>,
    cut: &Cut,
) -> Result<Page<Job>, Fault> {
    let select = Statement::new(format!("SELECT {COLUMNS}, NULL AS result FROM jobs WHERE tenant_id = $1"))
        .and_if("agent_id =", agent.map(|agent| agent.to_string()))
        .and_if("state =", state.map(name));
    let rows = tx.all(cut.apply(select, "AND", "created_at", "job_id")?).await?;
    let key = |row: &Row| Ok((row.time("created_at")?, row.text("job_id")?));
    cut.page(rows, key, |row| Ok(read(row)?.into_job()))
}

/// Records that a job is over.
pub(super) async fn trace_end(
    foundation: &Foundation,
    tx: &mut Tx,
    tenant: &TenantId,
    kept: &Kept,
) -> Result<(), Fault> {
    let well = matches!(kept.standing.state, JobState::Succeeded | JobState::Cancelled);
    let trace = if well { Trace::of("job_ended") } else { Trace::alarm("job_ended") };
    trace
        .about(&kept.job.agent_id)
        .with("jobId", kept.job.job_id.as_str())
        .with("state", name(kept.standing.state))
        .with("reason", kept.job.reason.clone().unwrap_or_default())
        .write(tx, tenant, foundation)
        .await
}

/// Records that a host has told how a job ended that had been given up.
pub(super) async fn trace_late(
    foundation: &Foundation,
    tx: &mut Tx,
    host: &Caller,
    kept: &Kept,
) -> Result<(), Fault> {
    Trace::alarm("job_ended_late")
        .by(host)
        .with("jobId", kept.job.job_id.as_str())
        .with("was", name(JobState::Indeterminate))
        .with("state", name(kept.standing.state))
        .with("reason", kept.job.reason.clone().unwrap_or_default())
        .write(tx, host.tenant()?, foundation)
        .await
}
