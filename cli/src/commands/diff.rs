//! `lanyard diff`: what a task has changed, against the state at its start.

use lanyard_protocol::id::TaskId;
use lanyard_protocol::method::{GetPatchPreview, GetSessionState, Response};

use crate::exit::{Exit, Failure};
use crate::invocation::Invocation;
use crate::{render, resolve};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The session's id, or the beginning of it
    session: String,
    /// The task [default: the last one]
    task: Option<TaskId>,
}

pub(crate) async fn run(args: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let mut connection = invocation.connect().await?;
    let session_id = resolve::session(&mut connection, &args.session).await?;
    let task_id = match args.task {
        Some(task_id) => task_id,
        None => {
            let state = connection.call(GetSessionState { session_id: session_id.clone() }).await?;
            let last = state.task_id.or(state.last_task.map(|task| task.task_id));
            last.ok_or_else(|| Failure::Other(format!("session {session_id} has had no task yet")))?
        }
    };
    let preview = connection.call(GetPatchPreview { session_id, task_id }).await?;
    invocation.show(Response::GetPatchPreview(preview.clone()), |terminal| {
        render::patch(terminal.paint, &preview)
    })?;
    Ok(Exit::Completed)
}
