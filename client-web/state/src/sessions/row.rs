//! One line of the list in words.

use lanyard_protocol::session::{SessionState, SessionSummary, TaskState, WorkspaceScope};
use lanyard_protocol::{ErrorCode, Timestamp};

use crate::visible::{Marks, line};
use crate::words::{self, Zone};

/// How a session stands, for its pill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A person is asked.
    Asks,
    /// A task stands still until somebody resumes the session.
    Paused,
    /// A task is under way.
    Running,
    /// No task yet.
    New,
    /// The last task is done.
    Done,
    /// The last task gave up because it was not allowed to go on.
    Denied,
    /// The last task, or the session, failed.
    Failed,
    /// The last task was cancelled.
    Cancelled,
}

/// Where in the list a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// First: it waits for a person.
    Waits,
    /// Something happens.
    Now,
    /// The rest.
    Earlier,
}

impl Standing {
    /// The group.
    pub fn place(self) -> Where {
        match self {
            Self::Asks | Self::Paused => Where::Waits,
            Self::Running => Where::Now,
            _ => Where::Earlier,
        }
    }

    /// The word in the pill.
    pub fn word(self) -> &'static str {
        match self {
            Self::Asks => "asks",
            Self::Paused => "paused",
            Self::Running => "running",
            Self::New => "new",
            Self::Done => "done",
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How a session stands.
pub fn standing(row: &SessionSummary) -> Standing {
    if !row.state.is_final() {
        if row.pending_approvals > 0 || row.state == SessionState::WaitingForApproval {
            return Standing::Asks;
        }
        if row.state == SessionState::SessionPaused {
            return Standing::Paused;
        }
    }
    match (&row.last_task, row.state) {
        (_, SessionState::SessionFailed) => Standing::Failed,
        (Some(task), state) => match task.state {
            TaskState::Running if state.is_final() => Standing::Cancelled,
            TaskState::Running => Standing::Running,
            TaskState::Completed => Standing::Done,
            TaskState::Cancelled => Standing::Cancelled,
            TaskState::Failed => match task.error.as_ref().map(|error| error.code) {
                Some(
                    ErrorCode::CapabilityDenied | ErrorCode::ApprovalDenied | ErrorCode::ApprovalRequired,
                ) => Standing::Denied,
                _ => Standing::Failed,
            },
        },
        (None, SessionState::SessionCancelled) => Standing::Cancelled,
        (None, _) => Standing::New,
    }
}

/// What the session is called.
pub fn title(row: &SessionSummary) -> String {
    let name = row.name.trim();
    match name.is_empty() {
        true => "New session".to_owned(),
        false => line(name, Marks::Missing).into_owned(),
    }
}

/// The directory, short, as far as it says something.
fn place(row: &SessionSummary) -> Option<String> {
    let root = row.workspace_roots.first().filter(|_| row.workspace_scope != WorkspaceScope::General)?;
    Some(line(&words::path_end(root), Marks::Missing).into_owned())
}

/// The second line: where and how far while it runs, when and how it ended after that.
pub fn detail(row: &SessionSummary, now: Timestamp, zone: Zone) -> String {
    let steps = row.last_task.as_ref().map_or(0, |task| task.steps);
    let step = |word: &str| (steps > 0).then(|| format!("{word} {steps}"));
    let parts = match standing(row) {
        Standing::Asks => {
            let waits = match row.pending_approvals {
                0 | 1 => "waits for your answer".to_owned(),
                count => format!("{} wait for you", words::count(count.into(), "question")),
            };
            [place(row), Some(waits)]
        }
        Standing::Paused => [place(row), Some("stands still until you resume it".to_owned())],
        Standing::Running => [place(row), step("step")],
        Standing::New => [Some(words::ago(row.updated_at, now, zone)), Some("no task yet".to_owned())],
        Standing::Done => {
            let took = (steps > 0).then(|| words::count(steps.into(), "step"));
            [Some(words::ago(row.updated_at, now, zone)), took]
        }
        Standing::Denied => [
            Some(words::ago(row.updated_at, now, zone)),
            step("not allowed to go on at step").or_else(|| Some("not allowed to begin".to_owned())),
        ],
        Standing::Failed => {
            let why = row.last_task.as_ref().and_then(|task| task.error.as_ref());
            let why = why.map(|error| line(&error.message, Marks::Missing).into_owned());
            [Some(words::ago(row.updated_at, now, zone)), why]
        }
        Standing::Cancelled => [Some(words::ago(row.updated_at, now, zone)), step("at step")],
    };
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}
