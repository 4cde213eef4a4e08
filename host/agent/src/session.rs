//! A session: one owner task that runs its tasks one at a time, behind a bounded mailbox.
//!
//! [`Session`] is the handle; clones share the owner. The owner keeps nothing the store does not have, beside the
//! running task and a digest of older turns: dropping every handle lets it go once its task is over, and a new one may
//! be spawned at any time.
//!
//! Shutdown: when the host's token is cancelled, the running task is suspended: running tools are ended, waits for a
//! person stay pending, the checkpoint stays, the session is recorded as paused; then the owner ends.

mod actor;
mod error;
mod opening;
mod repeat;

use std::path::PathBuf;

use lanyard_ports::journal::JournalError;
use lanyard_protocol::id::{PrincipalId, SessionId, TaskId, WorkspaceId};
use lanyard_protocol::method::TaskAccepted;
use lanyard_protocol::principal::Principal;
use lanyard_protocol::session::TaskOptions;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use crate::recorder::{Status, TaskStatus};
pub use error::{CancelError, EndError, ResumeError, StartError};

use crate::Ports;
use crate::recovery::ResumeCause;
use actor::{Actor, Command};

/// Commands that may wait for a session's owner. People send a handful; a client that sends more waits.
const MAILBOX: usize = 32;

/// What a session is about.
#[derive(Debug, Clone)]
pub struct SessionSetup {
    /// The session; must be in the journal.
    pub session_id: SessionId,
    /// Its workspace.
    pub workspace_id: WorkspaceId,
    /// Canonical directories; the first is where commands run.
    pub roots: Vec<PathBuf>,
}

/// A prompt to be worked on.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// Chosen by the client; a fresh one when absent.
    pub task_id: Option<TaskId>,
    /// What to do.
    pub prompt: String,
    /// How it may run.
    pub options: TaskOptions,
    /// Who asks.
    pub initiator: Principal,
    /// The model that is to answer; the host's choice when absent.
    pub model: Option<String>,
    /// Files of the workspace that belong to the prompt, relative to its first directory. They are there.
    pub attachments: Vec<String>,
}

/// What came of [`Session::resume`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resumed {
    /// No task is under way.
    Nothing,
    /// This task runs.
    Running(TaskId),
    /// The task stays paused.
    StaysPaused {
        /// Why, and what makes it go on.
        reason: String,
    },
}

/// Handle of a session's owner task.
#[derive(Debug, Clone)]
pub struct Session {
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Status>,
}

impl Session {
    /// Starts the owner on `tracker`; it ends when `stop` is cancelled, or when every handle is dropped and no task
    /// runs. A task found under way is left alone until [`Session::resume`]. Reads the session's row; errors when it
    /// is not there. Must be called on a tokio runtime.
    pub fn spawn(
        setup: SessionSetup,
        ports: Ports,
        stop: CancellationToken,
        tracker: &TaskTracker,
    ) -> Result<Self, JournalError> {
        let record = ports.journal.session(&setup.session_id)?;
        let task = ports.journal.checkpoint(&setup.session_id)?.map(|mark| TaskStatus {
            task_id: mark.task_id,
            step_id: mark.step_id,
            step_number: mark.step_number,
        });
        let (told, status) = watch::channel(Status { state: record.summary.state, task });
        let (commands, mailbox) = mpsc::channel(MAILBOX);
        tracker.spawn(Actor::new(setup, ports, told, stop).run(mailbox));
        Ok(Self { commands, status })
    }

    /// Accepts a prompt: returns once its first records are on disk. Repeating a known task id with the same prompt and
    /// options returns that task and changes nothing; with others it is refused. Cancel-safe in the sense that a dropped call may still have started the task.
    pub async fn start_task(&self, task: NewTask) -> Result<TaskAccepted, StartError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Start(Box::new(task), reply)).await.ok_or(StartError::Stopping)?;
        answer.await.unwrap_or(Err(StartError::Stopping))
    }

    /// Cancels the running or paused task; returns once that has begun. A task that is over is left as it is.
    pub async fn cancel_task(&self, task_id: TaskId, by: PrincipalId) -> Result<TaskAccepted, CancelError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Cancel(task_id, by, reply)).await.ok_or(CancelError::Stopping)?;
        answer.await.unwrap_or(Err(CancelError::Stopping))
    }

    /// Lets a task found under way go on.
    pub async fn resume(&self, cause: ResumeCause) -> Result<Resumed, ResumeError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Resume(cause, reply)).await.ok_or(ResumeError::Stopping)?;
        answer.await.unwrap_or(Err(ResumeError::Stopping))
    }

    /// Ends the session: cancels its task, waits for that (bounded), records `session_completed`. Repeating it changes
    /// nothing.
    pub async fn end(&self) -> Result<(), EndError> {
        self.over(None).await
    }

    /// The same, because somebody who may has ended it: it is `SESSION_CANCELLED`, and its log says why.
    pub async fn cancel(&self, reason: String) -> Result<(), EndError> {
        self.over(Some(reason)).await
    }

    async fn over(&self, cancelled: Option<String>) -> Result<(), EndError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::End(cancelled, reply)).await.ok_or(EndError::Stopping)?;
        answer.await.unwrap_or(Err(EndError::Stopping))
    }

    /// Where the session stands now.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Follows where the session stands.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    async fn send(&self, command: Command) -> Option<()> {
        self.commands.send(command).await.ok()
    }
}
