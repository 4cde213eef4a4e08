//! What became of jobs when an earlier host died: told, never repeated.

use std::sync::Arc;

use futures_util::future::join_all;
use lanyard_ports::journal::{CallPhase, JournalError, SessionRecord};
use lanyard_ports::router::{Settled, TaskTerms};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::session::TaskState;
use lanyard_protocol::tool::{ToolResult, ToolStatus};
use tokio_util::sync::CancellationToken;

use super::drive::{deliver, outcome};
use super::note::{Ids, Note};
use super::record::{Record, request};
use crate::central::wire::Wire;
use crate::host::Host;

/// What is said of a job that had not begun.
const NOT_BEGUN: &str = "the host stopped before the job began";

/// Looks at what earlier hosts have left, and reports it.
pub(in crate::central) async fn recover(host: Arc<Host>, wire: Arc<dyn Wire>, stop: CancellationToken) {
    let look = host.clone();
    let left = tokio::task::spawn_blocking(move || look.centre.jobs().notes().left()).await;
    let mut left = left.unwrap_or_default();
    // This host's own: enrolling again does not make them an earlier one's.
    left.retain(|note| !host.centre.jobs().map().contains_key(&note.job));
    // One that is not taken for now does not keep the others waiting.
    let told = join_all(left.into_iter().map(|note| tell(&host, &*wire, note)));
    tokio::select! {
        () = stop.cancelled() => {}
        _ = told => {}
    }
}

async fn tell(host: &Arc<Host>, wire: &dyn Wire, note: Note) {
    match close(host, note).await {
        Ok(Some(note)) => deliver(host, wire, note).await,
        Ok(None) => {}
        Err(error) => tracing::error!(%error, "what became of a job cannot be told"),
    }
}

/// The note with its outcome; `None` for a job of which there is nothing to tell: its lease runs out at the centre.
async fn close(host: &Arc<Host>, mut note: Note) -> Result<Option<Note>, JournalError> {
    if note.outcome.is_some() {
        return Ok(Some(note));
    }
    let session = match &note.ids {
        Some(ids) => known(host.journal.session(&ids.session))?,
        None => None,
    };
    let (Some(ids), Some(session)) = (note.ids.clone(), session) else {
        let (host, job) = (host.clone(), note.job.clone());
        // See `drive::forget`.
        let _ = tokio::task::spawn_blocking(move || host.centre.jobs().notes().forget(&job)).await;
        return Ok(None);
    };
    let open = session.summary.last_task.as_ref().is_some_and(|task| task.state == TaskState::Running);
    let record = Record {
        host: host.clone(),
        ids: ids.clone(),
        workspace: session.summary.workspace_id.clone(),
        title: session.summary.name.clone(),
        started_at: session
            .summary
            .last_task
            .as_ref()
            .map_or(session.summary.created_at, |task| task.started_at),
    };
    let (result, why) = found(host, &record, &ids, &session).await?;
    if open {
        record.end(&result, why.as_deref()).await?;
    }
    if !session.summary.state.is_final() {
        record.close(false).await?;
        host.sessions.forget(&ids.session);
    }
    note.outcome = Some(outcome(&note, result, why));
    Ok(Some(note))
}

/// What the store says of a job's session; `None`: there never was one. Where it cannot be read for now the job may have
/// run, and its note has to stay.
fn known(session: Result<SessionRecord, JournalError>) -> Result<Option<SessionRecord>, JournalError> {
    match session {
        Ok(session) => Ok(Some(session)),
        Err(JournalError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn found(
    host: &Arc<Host>,
    record: &Record,
    ids: &Ids,
    session: &SessionRecord,
) -> Result<(ToolResult, Option<String>), JournalError> {
    let Some(call) = host.journal.call(&ids.session, &ids.call)? else {
        let never = request(ids, &session.summary.workspace_id, "", &lanyard_protocol::Json::object());
        let result = ToolResult::of(&never, ToolStatus::Cancelled);
        return Ok((result, Some(NOT_BEGUN.to_owned())));
    };
    if let Some(completed) = call.completed {
        return Ok((completed.result, None));
    }
    if call.phase >= CallPhase::Started {
        return record.unknown().await.map(|result| (result, None));
    }
    let why = Some(NOT_BEGUN.to_owned());
    // The router takes its question back, where the session can be opened; else the question runs out by itself.
    if let Ok(live) = host.sessions.open(host, &ids.session).await {
        let terms = TaskTerms { options: Record::options(), initiator: session.created_by.clone() };
        let cancelled = CancellationToken::new();
        cancelled.cancel();
        let prepared = live.router().prepare(call.request.clone(), &terms).await;
        if let Settled::Done(result) = prepared.settle(&cancelled).await {
            return Ok((*result, why));
        }
    }
    let error = WireError::new(ErrorCode::ApprovalDenied, NOT_BEGUN);
    let result = ToolResult::of(&call.request, ToolStatus::Cancelled).with_error(error);
    record.dropped(&result).await?;
    Ok((result, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_job_whose_session_never_was_is_forgotten() {
        assert_eq!(known(Err(JournalError::NotFound("sess".to_owned()))), Ok(None));
        for fault in [JournalError::Corrupt("row".to_owned()), JournalError::Poisoned("disk".to_owned())] {
            assert_eq!(known(Err(fault.clone())), Err(fault));
        }
    }
}
