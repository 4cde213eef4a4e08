//! Tasks: start, cancel, look at what they changed.

use std::sync::Arc;

use lanyard_agent::session::NewTask;
use lanyard_ports::journal::Baseline;
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::id::{SessionId, TaskId};
use lanyard_protocol::method::{CancelTask, GetPatchPreview, PatchFile, PatchPreview, Response, StartTask};
use lanyard_protocol::principal::Principal;
use lanyard_tools::PreImage;

use super::{Answer, attachments, session_error, store_error};
use crate::host::Host;
use crate::ids::invalid;

/// Largest first state of a file that is read back for a preview; larger ones are not shown as a diff anyway.
const MAX_PRE_IMAGE: u32 = 16 << 20;

/// `StartTask`.
pub(super) async fn start(
    host: &Arc<Host>,
    principal: &Principal,
    params: StartTask,
) -> Result<Answer, WireError> {
    host.journal.session(&params.session_id).map_err(|e| session_error(&params.session_id, e))?;
    host.journal.room().map_err(store_error)?;
    if !is_known(host, &params)? {
        // Where the session's model is the centre's, its policy says which names there are.
        let granted = host.sessions.open(host, &params.session_id).await?.has_granted_model();
        if let Some(name) = params.model.as_ref().filter(|_| !granted) {
            host.models.check(name).await.map_err(|e| invalid(format!("model: {e}")))?;
        }
        attachments::check(host, &params).await?;
    }
    let task = NewTask {
        task_id: params.task_id,
        prompt: params.prompt,
        options: params.task_options,
        initiator: principal.clone(),
        model: params.model,
        attachments: params.attachments,
    };
    let accepted = host.sessions.start_task(host, &params.session_id, task).await?;
    Ok(Response::StartTask(accepted).into())
}

/// Whether the request is a repetition: the task is there, whatever has become of its model and its attachments.
fn is_known(host: &Host, params: &StartTask) -> Result<bool, WireError> {
    let Some(task) = &params.task_id else { return Ok(false) };
    Ok(host.journal.task(&params.session_id, task).map_err(store_error)?.is_some())
}

/// `CancelTask`.
pub(super) async fn cancel(
    host: &Arc<Host>,
    principal: &Principal,
    params: CancelTask,
) -> Result<Answer, WireError> {
    host.journal.session(&params.session_id).map_err(|e| session_error(&params.session_id, e))?;
    let by = principal.id.clone();
    let accepted = host.sessions.cancel_task(host, &params.session_id, params.task_id, by).await?;
    Ok(Response::CancelTask(accepted).into())
}

/// `GetPatchPreview`.
pub(super) async fn preview(host: &Arc<Host>, params: GetPatchPreview) -> Result<Answer, WireError> {
    let files = changed_files(host, &params.session_id, &params.task_id).await?;
    Ok(Response::GetPatchPreview(PatchPreview { files }).into())
}

/// What has become of the files that a task touched, as they are now; bounded, safe to show.
///
/// # Errors
/// There is no such task, or its files cannot be read.
pub(crate) async fn changed_files(
    host: &Arc<Host>,
    session: &SessionId,
    task: &TaskId,
) -> Result<Vec<PatchFile>, WireError> {
    host.journal.session(session).map_err(|e| session_error(session, e))?;
    if host.journal.task(session, task).map_err(store_error)?.is_none() {
        let text = format!("session {session} has no task {task}");
        return Err(WireError::new(ErrorCode::TaskNotFound, text));
    }
    let baselines = host.journal.baselines(session, task).map_err(store_error)?;
    if baselines.is_empty() {
        return Ok(Vec::new());
    }
    let live = host.sessions.open_to_look(host, session).await?;
    let artifacts = host.artifacts.clone();
    let compare = move || {
        let read_back = |baseline: Baseline| {
            let read = |id| artifacts.read(&id, 0, MAX_PRE_IMAGE).map(|(bytes, _)| bytes);
            let content = baseline.content.map(read).transpose()?;
            Ok(PreImage { path: baseline.path, content, change: baseline.change })
        };
        let images: Vec<PreImage> = baselines.into_iter().map(read_back).collect::<Result<_, _>>()?;
        Ok(lanyard_tools::preview(&live, &images))
    };
    super::blocking(compare).await
}
