//! How a task ended, and the exit code that says so.

use lanyard_protocol::ErrorCode;
use lanyard_protocol::event::{EventBody, SessionEvent};
use lanyard_protocol::id::TaskId;
use lanyard_protocol::tool::ToolStatus;

use crate::exit::Exit;

/// What was seen of one task.
///
/// Cancelled is 4, whatever came before. Else it is 3 when at least one call ended denied (by a person, policy or
/// the deadline), even if the task then completed without it. Else 0 for completed, 1 for failed.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) task: TaskId,
    denied: bool,
    changed: bool,
    end: Option<Exit>,
}

impl Outcome {
    pub(crate) fn of(task: TaskId) -> Self {
        Self { task, denied: false, changed: false, end: None }
    }

    /// Takes a durable event of the session into account.
    pub(crate) fn note(&mut self, event: &SessionEvent) {
        if event.task_id.as_ref() != Some(&self.task) {
            return;
        }
        match &event.body {
            EventBody::ToolCompleted(done) => {
                self.denied |= done.result.status == ToolStatus::Denied;
                self.changed |= !done.changes.is_empty();
            }
            EventBody::TaskCompleted(_) => self.end = Some(Exit::Completed),
            EventBody::TaskFailed(failed) => {
                self.denied |=
                    matches!(failed.error.code, ErrorCode::ApprovalDenied | ErrorCode::CapabilityDenied);
                self.end = Some(Exit::Failed);
            }
            EventBody::TaskCancelled(_) => self.end = Some(Exit::Cancelled),
            _ => {}
        }
    }

    /// Whether a call changed files.
    pub(crate) fn changed(&self) -> bool {
        self.changed
    }

    /// The exit code, once the task has ended.
    pub(crate) fn exit(&self) -> Option<Exit> {
        match self.end? {
            Exit::Cancelled => Some(Exit::Cancelled),
            _ if self.denied => Some(Exit::Denied),
            end => Some(end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome;
    use crate::exit::Exit;
    use crate::render::samples::{event, task_cancelled, task_completed, task_failed, tool_completed};
    use lanyard_protocol::ErrorCode;
    use lanyard_protocol::event::EventBody;
    use lanyard_protocol::id::TaskId;
    use lanyard_protocol::tool::ToolStatus;

    fn outcome(bodies: Vec<EventBody>) -> Option<Exit> {
        let mut outcome = Outcome::of(TaskId::new("t1").unwrap());
        bodies.into_iter().for_each(|body| outcome.note(&event(body)));
        outcome.exit()
    }

    #[test]
    fn each_end_has_its_code() {
        let denied = || EventBody::ToolCompleted(tool_completed(ToolStatus::Denied));
        let failed_tool = || EventBody::ToolCompleted(tool_completed(ToolStatus::Failed));
        let done = || EventBody::TaskCompleted(task_completed());
        let failed = |code| EventBody::TaskFailed(task_failed(code));
        let cancelled = || EventBody::TaskCancelled(task_cancelled());
        for (bodies, exit) in [
            (vec![], None),
            (vec![denied()], None),
            (vec![done()], Some(Exit::Completed)),
            (vec![failed_tool(), done()], Some(Exit::Completed)),
            (vec![denied(), done()], Some(Exit::Denied)),
            (vec![failed(ErrorCode::MaxStepsExceeded)], Some(Exit::Failed)),
            (vec![denied(), failed(ErrorCode::MaxStepsExceeded)], Some(Exit::Denied)),
            (vec![failed(ErrorCode::ApprovalDenied)], Some(Exit::Denied)),
            (vec![cancelled()], Some(Exit::Cancelled)),
            (vec![denied(), cancelled()], Some(Exit::Cancelled)),
        ] {
            assert_eq!(outcome(bodies.clone()), exit, "{bodies:?}");
        }
    }

    #[test]
    fn another_task_of_the_session_does_not_count() {
        let mut outcome = Outcome::of(TaskId::new("t2").unwrap());
        outcome.note(&event(EventBody::TaskCompleted(task_completed())));
        assert_eq!(outcome.exit(), None);
    }
}
