//! What an earlier host has left: children that outlived it, tasks that it was stopped in.

use std::sync::Arc;

use lanyard_agent::ResumeCause;
use lanyard_agent::session::Resumed;
use lanyard_ports::journal::{NewEvent, SessionProgress, Write};
use lanyard_protocol::error::WireError;
use lanyard_protocol::event::{EventBody, SessionPaused};
use lanyard_protocol::id::{PrincipalId, SessionId, TaskId};
use lanyard_protocol::session::SessionState;

use crate::api::{session_error, store_error};
use crate::config::ResumePolicy;
use crate::host::Host;
use crate::ids::fresh;

/// Takes up what the last host left: ends children that outlived it and lets interrupted tasks go on, as configured.
pub(crate) async fn recover(host: Arc<Host>) {
    let sweeping = host.clone();
    tokio::task::spawn_blocking(move || {
        if let Err(error) = sweeping.paths.sweep() {
            tracing::warn!(%error, "files of programs of an earlier host could not be deleted");
        }
    });
    let unfinished = match host.journal.unfinished() {
        Ok(sessions) => sessions,
        Err(error) => return tracing::error!(%error, "interrupted tasks cannot be found"),
    };
    for id in unfinished {
        if let Some((task, gone)) = orphaned(&host, &id) {
            // Revoked just before the host stopped: nobody stands behind the task any more.
            if let Err(error) = host.sessions.cancel_task(&host, &id, task, gone).await {
                tracing::error!(session = %id, %error, "the task of a revoked device cannot be cancelled");
            }
            continue;
        }
        if host.config.resume == ResumePolicy::Ask {
            let reason = "the host was stopped while the task ran; resume the session to let it go on";
            pause(&host, &id, reason.to_owned()).await;
            continue;
        }
        let resumed = async {
            let live = host.sessions.open(&host, &id).await?;
            live.owner.resume(ResumeCause::HostStarted).await.map_err(|e| WireError::from(&e))
        };
        match resumed.await {
            Ok(Resumed::Running(task)) => tracing::info!(session = %id, %task, "an interrupted task goes on"),
            Ok(Resumed::StaysPaused { reason }) => {
                tracing::warn!(session = %id, reason, "a task stays paused")
            }
            Ok(Resumed::Nothing) => {}
            Err(error) => {
                tracing::error!(session = %id, %error, "an interrupted task cannot go on");
                let reason = format!(
                    "the host was stopped while the task ran, and it cannot go on by itself: {}; resume the session to \
                     try again",
                    error.message
                );
                pause(&host, &id, reason).await;
            }
        }
    }
}

/// The unfinished task of a session, and who started it, when that principal has no rights on this host any more.
fn orphaned(host: &Host, id: &SessionId) -> Option<(TaskId, PrincipalId)> {
    let mark = match host.journal.checkpoint(id) {
        Ok(mark) => mark?,
        Err(error) => {
            tracing::error!(session = %id, %error, "whose task this is cannot be read");
            return None;
        }
    };
    let who = mark.initiator.id;
    host.principals.standing(&who).is_none().then_some((mark.task_id, who))
}

/// Records that an interrupted task waits for `ResumeSession`, unless that is known already.
async fn pause(host: &Arc<Host>, id: &SessionId, reason: String) {
    let recorded = async {
        let record = host.journal.session(id).map_err(|e| session_error(id, e))?;
        if record.summary.state == SessionState::SessionPaused {
            return Ok(());
        }
        let at = host.clock.now();
        let event = NewEvent {
            event_id: fresh(host, "evt")?,
            workspace_id: record.summary.workspace_id,
            session_id: id.clone(),
            task_id: record.summary.last_task.map(|task| task.task_id),
            step_id: None,
            timestamp: at,
            body: EventBody::SessionPaused(SessionPaused { reason }),
        };
        let state = Some(SessionState::SessionPaused);
        let progress =
            SessionProgress { session_id: id.clone(), state, task: None, name: None, add_tokens: 0, at };
        let batch = vec![Write::Event(Box::new(event)), Write::Progress(Box::new(progress))];
        host.journal.commit(batch).await.map_err(store_error)
    };
    if let Err(error) = recorded.await {
        tracing::error!(session = %id, %error, "an interrupted task could not be marked as paused");
    }
}
