//! `lanyard resume`: lets a paused session go on, and follows it.

use lanyard_protocol::Timestamp;
use lanyard_protocol::method::{Response, ResumeSession};
use lanyard_protocol::session::TaskState;

use super::run::{Approve, HOST_AWAY};
use crate::exit::{Exit, Failure};
use crate::follow::{Follower, farewell};
use crate::host::Patience;
use crate::invocation::Invocation;
use crate::{render, resolve};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The session's id, or the beginning of it
    session: String,
    /// Who answers what is to be approved
    #[arg(long, value_enum, value_name = "WHEN", default_value = "ask")]
    approve: Approve,
}

pub(crate) async fn run(args: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let mut connection = invocation.connect_or_start(Patience::For(HOST_AWAY)).await?;
    let session_id = resolve::session(&mut connection, &args.session).await?;
    let resume = ResumeSession { session_id: session_id.clone(), checkpoint_cursor: None };
    let session = connection.call(resume).await?;
    let Some(task_id) = session.task_id.clone() else {
        let ended = session.last_task.as_ref().map(|task| task.state);
        let go_on = invocation.command(&format!("run --session {session_id} \"…\""));
        invocation.show(Response::ResumeSession(session.clone()), |terminal| {
            let shown = render::session(terminal.paint, &session, Timestamp::now());
            format!("{shown}Nothing is under way. Go on with: {go_on}\n")
        })?;
        return Ok(match ended {
            Some(TaskState::Failed) => Exit::Failed,
            Some(TaskState::Cancelled) => Exit::Cancelled,
            Some(TaskState::Completed | TaskState::Running) | None => Exit::Completed,
        });
    };
    if !invocation.json() {
        let shown = render::session(invocation.terminal.paint, &session, Timestamp::now());
        invocation.terminal.print(&shown)?;
    }
    let what = (session_id.clone(), task_id);
    let answering = args.approve.into();
    let mut follower = Follower::new(&mut connection, invocation, answering, what);
    let requests = session.pending_approvals.into_iter().map(|record| record.request).collect();
    follower.already_asked(requests)?;
    let ended = follower.follow().await?;
    if !invocation.json() {
        let text = farewell(invocation, &session_id, ended);
        invocation.terminal.line(&text)?;
    }
    Ok(ended.exit)
}
