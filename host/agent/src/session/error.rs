//! Why a session refuses: one enum per operation, each with its wire form.

use lanyard_ports::journal::JournalError;
use lanyard_protocol::id::{IdError, TaskId};
use lanyard_protocol::limits::{MAX_MAX_STEPS, MAX_PROMPT_BYTES};
use lanyard_protocol::session::SessionState;
use lanyard_protocol::{ErrorCode, WireError};

use crate::gate::PolicyStop;
use crate::recorder::RecordError;

const STOPPING: &str = "the host is stopping; try again when it is back";

/// Why a task is not started.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StartError {
    /// Nothing but white space.
    #[error("the prompt is empty; say what to do")]
    EmptyPrompt,
    /// Longer than [`MAX_PROMPT_BYTES`].
    #[error("the prompt has {0} bytes where {MAX_PROMPT_BYTES} fit; put long texts into a file and name it")]
    LongPrompt(usize),
    /// `maxSteps` out of range.
    #[error("maxSteps is {0}; it may be 1 to {MAX_MAX_STEPS}")]
    BadMaxSteps(u32),
    /// `approvalMode: never` from somebody who may not waive approvals.
    #[error(
        "approvalMode \"never\" needs the admin scope or the owner at the machine; use \"on_risky_actions\""
    )]
    MayNotWaiveApprovals,
    /// Another task is under way.
    #[error("task {0} is under way in this session; wait for its end or cancel it")]
    Busy(TaskId),
    /// Another task is paused.
    #[error("task {0} of this session is paused; resume the session or cancel the task")]
    Paused(TaskId),
    /// The id of a task that was asked for something else.
    #[error(
        "task {0} of this session was started with another prompt, another model or other options; choose a new taskId"
    )]
    OtherTask(TaskId),
    /// The model it names is gone again.
    #[error("there is no model {0:?} any more; `lanyard models` lists those there are")]
    NoSuchModel(String),
    /// The session takes no more tasks.
    #[error("the session is over ({0:?}); create a new one")]
    SessionOver(SessionState),
    /// Policy does not let the model be called.
    #[error(transparent)]
    Policy(PolicyStop),
    /// The host goes down.
    #[error("{STOPPING}")]
    Stopping,
    /// The store refuses.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A fresh id was none; a defect.
    #[error("a fresh id is not an id: {0}")]
    Id(#[from] IdError),
}

/// Why a task is not cancelled.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CancelError {
    /// Unknown task.
    #[error("task {0} is not in this session; list its tasks with the session's history")]
    NotFound(TaskId),
    /// The host goes down.
    #[error("{STOPPING}")]
    Stopping,
    /// The store refuses.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Why a session does not go on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ResumeError {
    /// The host goes down.
    #[error("{STOPPING}")]
    Stopping,
    /// The store refuses.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A fresh id was none; a defect.
    #[error("a fresh id is not an id: {0}")]
    Id(#[from] IdError),
}

/// Why a session does not end.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EndError {
    /// The host goes down.
    #[error("{STOPPING}")]
    Stopping,
    /// The store refuses.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A fresh id was none; a defect.
    #[error("a fresh id is not an id: {0}")]
    Id(#[from] IdError),
}

/// What a peer is told when the store refuses.
fn journal(error: &JournalError) -> WireError {
    match error {
        JournalError::Full(_) => WireError::new(ErrorCode::StorageFull, error.to_string()),
        JournalError::NotFound(_) => WireError::new(ErrorCode::SessionNotFound, error.to_string()),
        JournalError::Poisoned(_)
        | JournalError::Refused(_)
        | JournalError::Repeated(_)
        | JournalError::Corrupt(_) => WireError::new(ErrorCode::InternalError, error.to_string()),
    }
}

fn stopping() -> WireError {
    let mut error = WireError::new(ErrorCode::InvalidRequest, STOPPING);
    error.retryable = true;
    error
}

impl From<&StartError> for WireError {
    fn from(error: &StartError) -> Self {
        let code = match error {
            StartError::EmptyPrompt
            | StartError::LongPrompt(_)
            | StartError::BadMaxSteps(_)
            | StartError::Busy(_)
            | StartError::Paused(_)
            | StartError::OtherTask(_)
            | StartError::NoSuchModel(_) => ErrorCode::InvalidRequest,
            StartError::MayNotWaiveApprovals => ErrorCode::Unauthorized,
            StartError::SessionOver(_) => ErrorCode::SessionExpired,
            StartError::Policy(PolicyStop::Expired { .. }) => ErrorCode::PolicyExpired,
            StartError::Policy(PolicyStop::Revoked { .. }) => ErrorCode::PolicyRevoked,
            StartError::Policy(PolicyStop::Unconfirmed { .. }) => ErrorCode::CentralUnavailable,
            StartError::Policy(PolicyStop::Denied(denied)) => return denied.clone(),
            StartError::Stopping => return stopping(),
            StartError::Journal(error) => return journal(error),
            StartError::Id(_) => ErrorCode::InternalError,
        };
        WireError::new(code, error.to_string())
    }
}

impl From<&CancelError> for WireError {
    fn from(error: &CancelError) -> Self {
        match error {
            CancelError::NotFound(_) => WireError::new(ErrorCode::TaskNotFound, error.to_string()),
            CancelError::Stopping => stopping(),
            CancelError::Journal(error) => journal(error),
        }
    }
}

impl From<&ResumeError> for WireError {
    fn from(error: &ResumeError) -> Self {
        match error {
            ResumeError::Stopping => stopping(),
            ResumeError::Journal(error) => journal(error),
            ResumeError::Id(_) => WireError::new(ErrorCode::InternalError, error.to_string()),
        }
    }
}

impl From<&EndError> for WireError {
    fn from(error: &EndError) -> Self {
        match error {
            EndError::Stopping => stopping(),
            EndError::Journal(error) => journal(error),
            EndError::Id(_) => WireError::new(ErrorCode::InternalError, error.to_string()),
        }
    }
}

macro_rules! from_record_error {
    ($($error:ident),*) => {$(
        impl From<RecordError> for $error {
            fn from(error: RecordError) -> Self {
                match error {
                    RecordError::Journal(error) => $error::Journal(error),
                    RecordError::Id(error) => $error::Id(error),
                }
            }
        }
    )*};
}

from_record_error!(StartError, ResumeError, EndError);
