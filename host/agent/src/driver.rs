//! Carries out one task: holds the state the turn machine is in, does what it stands for, records what came of it.

use lanyard_ports::fault;
use lanyard_ports::journal::{Checkpoint, JournalError};
use lanyard_ports::router::TaskTerms;
use lanyard_protocol::id::IdError;
use lanyard_protocol::{ErrorCode, WireError};

use crate::Ports;
use crate::ask::{Asked, Asker, Place};
use crate::attached;
use crate::calls::{self, StepEnd};
use crate::compact::Digest;
use crate::control::TaskControl;
use crate::recorder::{RecordError, Recorder};
use crate::schedule::ScheduleError;
use crate::thread::Thread;
use crate::turn::record::{Record, TaskEnd};
use crate::turn::{Asking, Calling, Ended, FreshIds, Moved, Next, Paused, TurnError, end_records};

/// Why a paused task stands still when the host goes down.
const HOST_STOPS: &str = "the host is stopping; the task goes on when it is back";

/// How a task left its driver.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskOutcome {
    /// Over, and recorded as such.
    Ended(TaskEnd),
    /// Standing still; its checkpoint is on disk.
    Paused {
        /// Why.
        reason: String,
    },
}

/// Why a task left its driver without a recorded end. Its checkpoint stays, so a restart finds it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// The store does not take records any more.
    #[error("the task stopped because nothing can be recorded: {0}")]
    Journal(#[from] JournalError),
    /// The driver broke off; a defect.
    #[error("the task broke off: {0}")]
    Defect(String),
}

/// What can go wrong inside a step.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskFault {
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Turn(#[from] TurnError),
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    #[error(transparent)]
    Id(#[from] IdError),
    #[error("calls of a step were lost")]
    LostCalls,
}

/// Where a driver begins.
#[derive(Debug)]
pub(crate) enum Start {
    /// A new task; its first records are on disk.
    Begin(Asking),
    /// A task found under way.
    Resume(Checkpoint),
}

/// Everything a task needs; consumed by running it.
pub(crate) struct TaskDriver {
    pub(crate) ports: Ports,
    pub(crate) place: Place,
    pub(crate) control: TaskControl,
    pub(crate) recorder: Recorder,
    pub(crate) thread: Thread,
    /// Tokens the session had used when the driver began.
    pub(crate) used: u64,
}

/// What a driver leaves behind.
#[derive(Debug)]
pub(crate) struct Finish {
    pub(crate) outcome: Result<TaskOutcome, TaskError>,
    /// For the session's next task.
    pub(crate) digest: Option<Digest>,
}

impl TaskDriver {
    /// Runs the task until it ends or pauses. Use the control to stop it; dropping the future leaves the checkpoint,
    /// like a crash.
    pub(crate) async fn run(mut self, start: Start) -> Finish {
        let outcome = match self.drive(start).await {
            Ok(outcome) => Ok(outcome),
            Err(TaskFault::Record(RecordError::Journal(error))) => Err(error.into()),
            Err(fault) => self.fail_for(&fault).await,
        };
        if let Err(error) = &outcome {
            tracing::error!(%error, session = %self.recorder.session_id(), "a task stopped without a recorded end");
        }
        Finish { outcome, digest: self.thread.into_digest() }
    }

    async fn drive(&mut self, start: Start) -> Result<TaskOutcome, TaskFault> {
        let Self { ports, place, control, recorder, thread, used } = self;
        let mark = recorder.mark();
        let terms = TaskTerms { options: mark.options.clone(), initiator: mark.initiator.clone() };
        let pictures = attached::pictures(&*ports.pictures, thread.messages()).await;
        let mut asker = Asker::new(ports, control, place, recorder, *used, pictures)?;
        let mut state = match start {
            Start::Begin(asking) => Next::Ask(asking),
            Start::Resume(mark) => resumed(mark, recorder, thread),
        };
        loop {
            let Moved { records, next } = match state {
                Next::Ask(mut asking) => {
                    let asked = asker.ask(&mut asking, recorder, thread).await?;
                    after_asking(asking, asked, recorder)?
                }
                Next::Call(calling) => {
                    let end = calls::run(calling.calls(), &ports.router, &terms, control, recorder).await?;
                    after_calling(calling, end, recorder)?
                }
                Next::End(Ended { end }) => return Ok(TaskOutcome::Ended(end)),
                Next::Pause(Paused { reason }) => return Ok(TaskOutcome::Paused { reason }),
            };
            match next {
                Next::Ask(_) => {
                    recorder.append(records, thread).await?;
                    fault::point("agent.reported");
                }
                Next::Call(_) => {
                    recorder.append(records, thread).await?;
                    fault::point("agent.answered");
                }
                Next::End(_) | Next::Pause(_) => recorder.commit(records, thread).await?,
            }
            state = next;
        }
    }

    /// Ends the task because of a defect, so that its session is not stuck with it.
    async fn fail_for(&mut self, fault: &TaskFault) -> Result<TaskOutcome, TaskError> {
        tracing::error!(%fault, "a task failed because of a defect");
        let message = "the host met a defect and gave the task up; its log has the detail";
        let end = TaskEnd::Failed(WireError::new(ErrorCode::InternalError, message));
        let records: Vec<Record> = end_records(self.recorder.mark(), end.clone()).into();
        match self.recorder.commit(records, &mut self.thread).await {
            Ok(()) => Ok(TaskOutcome::Ended(end)),
            Err(RecordError::Journal(error)) => Err(error.into()),
            Err(error @ RecordError::Id(_)) => Err(TaskError::Defect(error.to_string())),
        }
    }
}

/// The state a checkpoint stands for.
fn resumed(mark: Checkpoint, recorder: &Recorder, thread: &Thread) -> Next {
    let workspace_id = recorder.workspace_id.clone();
    if mark.calls_under_way {
        let open = thread.open_calls(&mark.step_id);
        Next::Call(Calling::resumed(mark, workspace_id, open))
    } else {
        Next::Ask(Asking::resumed(mark, workspace_id))
    }
}

fn after_asking(asking: Asking, asked: Asked, recorder: &Recorder) -> Result<Moved<Next>, TaskFault> {
    Ok(match asked {
        Asked::Answered(answered) => {
            let calls =
                recorder.fresh_calls(answered.answer.calls.len().min(crate::turn::MAX_CALLS_PER_STEP))?;
            let ids = FreshIds { calls, next_step: recorder.fresh_step()? };
            asking.answered(answered, ids)?
        }
        Asked::Failed(error) => asking.failed(error).into(),
        Asked::Cancelled(by) => asking.cancelled(by).into(),
        Asked::Expired { expired_at, reason } => asking.expired(expired_at, reason).into(),
        Asked::Paused { reason } => asking.suspended(reason).into(),
        Asked::Suspended => asking.suspended(HOST_STOPS.to_owned()).into(),
    })
}

fn after_calling(calling: Calling, end: StepEnd, recorder: &Recorder) -> Result<Moved<Next>, TaskFault> {
    Ok(match end {
        StepEnd::Finished(outcomes) => calling.finished(outcomes, recorder.fresh_step()?)?,
        StepEnd::Cancelled(outcomes, by) => calling.cancelled(outcomes, by)?.into(),
        StepEnd::Suspended => calling.suspended(HOST_STOPS.to_owned()).into(),
    })
}
