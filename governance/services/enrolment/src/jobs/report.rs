//! What the host says of a job: claims it, renews its lease, tells how it ended.

use lanyard_governance_api::endpoint as ep;
use lanyard_governance_api::id::{JobId, TenantId};
use lanyard_governance_api::job::{Job, JobProgress, JobState};
use lanyard_governance_foundation::caller::Agent;
use lanyard_governance_foundation::{Ask, Fault, Tx};
use lanyard_protocol::id::SessionId;
use lanyard_protocol::{ErrorCode, Timestamp};

use super::machine::{Effect, Event, Refusal};
use super::store::{self, Kept};
use crate::trace::Trace;
use crate::{State, behind, check};

/// Longest result, in bytes of JSON: a tool's output as the model gets it, and what goes with it.
const MAX_RESULT: usize = 1 << 20;

pub(crate) async fn report(state: State, ask: Ask<ep::ReportJob>) -> Result<Job, Fault> {
    let id: JobId = ask.path.get("job_id")?;
    let caller = ask.caller.agent()?;
    let mut progress = ask.body;
    check_body(&progress)?;
    // A host that is refused an outcome for its wording would have nothing else to say.
    progress.reason = progress.reason.as_deref().map(check::clean);
    let now = state.foundation.clock.now();
    if progress.state == JobState::Leased {
        still_dispatched(&state, caller, &id, now).await?;
    }
    let mut tx = state.foundation.database.write_of(&caller.tenant).await?;
    let mut kept = store::load(&mut tx, &caller.tenant, &id, true).await?;
    if kept.job.agent_id != caller.agent {
        return Err(Fault::not_found("job", id));
    }
    let lapsed = super::lapse(&state.foundation, &mut tx, &caller.tenant, &mut kept, now).await?;
    let was = kept.standing.state;
    let event = Event::Report { key: &progress.lease_key, state: progress.state };
    let effect = match kept.standing.on(event, now) {
        Ok(effect) => effect,
        Err(refusal) => {
            if lapsed {
                tx.commit().await?;
            }
            return Err(refused(refusal, &kept));
        }
    };
    match effect {
        Effect::Changed | Effect::Settled => {}
        Effect::StillRuns => return still_runs(tx, &caller.tenant, kept, progress.session_id, now).await,
        Effect::Repeated | Effect::HostDecides => return Ok(kept.into_job()),
    }
    let late = effect == Effect::Settled;
    let over = kept.standing.state.is_final();
    kept.job.late = late;
    kept.job.session_id = progress.session_id.or(kept.job.session_id);
    kept.job.result = progress.result;
    // That somebody asked for it to be stopped stays until it is over.
    if over || progress.reason.is_some() {
        kept.job.reason = progress.reason;
    }
    store::save(&mut tx, &caller.tenant, &mut kept, now).await?;
    if late {
        store::trace_late(&state.foundation, &mut tx, &ask.caller, &kept).await?;
    } else if over {
        store::trace_end(&state.foundation, &mut tx, &caller.tenant, &kept).await?;
    } else if was != kept.standing.state {
        let event = if was == JobState::Queued { "job_claimed" } else { "job_started" };
        Trace::of(event)
            .by(&ask.caller)
            .with("jobId", id.as_str())
            .write(&mut tx, &caller.tenant, &state.foundation)
            .await?;
    }
    tx.commit().await?;
    Ok(kept.into_job())
}

/// Takes a job back that is about to be claimed, and whose dispatcher may dispatch none any more.
async fn still_dispatched(state: &State, caller: &Agent, id: &JobId, now: Timestamp) -> Result<(), Fault> {
    let (foundation, tenant) = (&state.foundation, &caller.tenant);
    let mut tx = foundation.database.read_of(tenant).await?;
    let kept = store::load(&mut tx, tenant, id, false).await?;
    // Not within a transaction that writes: others wait for it.
    drop(tx);
    if kept.job.agent_id != caller.agent || kept.standing.state != JobState::Queued {
        return Ok(());
    }
    let gone = behind::dispatcher_gone(foundation, tenant, &kept.job.created_by).await?;
    let Some(why) = gone else { return Ok(()) };
    let mut tx = foundation.database.write_of(tenant).await?;
    super::settle(foundation, &mut tx, tenant, id, Event::HostRefused, &why, now).await?;
    // The claim that follows is told so.
    Ok(tx.commit().await?)
}

/// Says of a job that was given up that its host is back: whoever looks knows that more is to come.
async fn still_runs(
    mut tx: Tx,
    tenant: &TenantId,
    mut kept: Kept,
    session: Option<SessionId>,
    now: Timestamp,
) -> Result<Job, Fault> {
    let text = "it was given up while its host was away; the host is back and says that it still runs";
    if kept.job.reason.as_deref() != Some(text) {
        kept.job.reason = Some(text.to_owned());
        kept.job.session_id = session.or(kept.job.session_id);
        store::save(&mut tx, tenant, &mut kept, now).await?;
    }
    tx.commit().await?;
    Ok(kept.into_job())
}

fn check_body(progress: &JobProgress) -> Result<(), Fault> {
    if progress.result.is_some() && !progress.state.is_final() {
        return Err(Fault::invalid("a result comes with a final state"));
    }
    let length =
        progress.result.as_ref().map_or(Ok(0), |result| serde_json::to_string(result).map(|text| text.len()));
    if length.unwrap_or(usize::MAX) > MAX_RESULT {
        let text = format!("a job's result has at most {MAX_RESULT} bytes");
        return Err(Fault::new(ErrorCode::PayloadTooLarge, text));
    }
    Ok(())
}

fn refused(refusal: Refusal, kept: &Kept) -> Fault {
    let (id, state) = (&kept.job.job_id, store::name(kept.standing.state));
    match refusal {
        Refusal::NotReportable => Fault::invalid("state: queued and expired are not for hosts to say"),
        Refusal::NotClaimed => {
            Fault::conflict(format!("job {id} is not claimed; claim it with the state leased"))
        }
        Refusal::OtherLease => {
            Fault::conflict(format!("job {id} was claimed under another lease key; let go of it"))
        }
        Refusal::Backwards => Fault::conflict(format!("job {id} runs already; it is not leased again")),
        Refusal::Over => {
            let why = kept.job.reason.as_deref().unwrap_or("no reason was given");
            Fault::conflict(format!("job {id} is over: {state} ({why})"))
        }
    }
    .with("state", state)
}
