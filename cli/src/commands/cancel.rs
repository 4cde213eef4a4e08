//! `lanyard cancel`: ends a task.

use lanyard_protocol::id::TaskId;
use lanyard_protocol::method::{CancelTask, GetSessionState, Response};

use crate::exit::{Exit, Failure};
use crate::invocation::Invocation;
use crate::resolve;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The session's id, or the beginning of it
    session: String,
    /// The task [default: the one under way]
    task: Option<TaskId>,
}

pub(crate) async fn run(args: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let mut connection = invocation.connect().await?;
    let session_id = resolve::session(&mut connection, &args.session).await?;
    let task_id = match args.task {
        Some(task_id) => task_id,
        None => {
            let state = connection.call(GetSessionState { session_id: session_id.clone() }).await?;
            state
                .task_id
                .ok_or_else(|| Failure::Other(format!("session {session_id} has no task under way")))?
        }
    };
    let accepted = connection.call(CancelTask { session_id, task_id, command_id: None }).await?;
    let words = format!("Cancelling task {}.\n", accepted.task_id);
    invocation.show(Response::CancelTask(accepted), |_| words)?;
    Ok(Exit::Completed)
}
