//! What to do with a task found under way. Pure.

use lanyard_ports::journal::Checkpoint;
use lanyard_protocol::session::SessionState;

/// Times a task is taken up again after crashes without finishing a step. A fourth crash at the same place is not bad
/// luck; a person decides.
pub const MAX_RESUMES: u32 = 3;

/// Who wants the task to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResumeCause {
    /// The host has started and found it. Counts, unless the task was paused in order.
    HostStarted,
    /// A person or the daemon asked for it. Starts the count anew.
    Asked,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Recovery {
    /// Go on from this checkpoint, once it is on disk.
    Continue(Checkpoint),
    /// Stand still and say why; the checkpoint is recorded with its count.
    Pause {
        /// With the count.
        mark: Checkpoint,
        /// Why, and what makes it go on.
        reason: String,
    },
    /// It stands still already and nobody has asked.
    Leave,
}

/// Decides. `state` is the session's as recorded: a task that was paused in order did not crash.
pub fn decide(mut mark: Checkpoint, state: SessionState, cause: ResumeCause) -> Recovery {
    match (cause, state) {
        (ResumeCause::Asked, _) => {
            mark.resumes = 0;
            Recovery::Continue(mark)
        }
        (ResumeCause::HostStarted, SessionState::SessionPaused) if mark.resumes > MAX_RESUMES => {
            Recovery::Leave
        }
        (ResumeCause::HostStarted, SessionState::SessionPaused) => Recovery::Continue(mark),
        (ResumeCause::HostStarted, _) => {
            mark.resumes = mark.resumes.saturating_add(1);
            if mark.resumes <= MAX_RESUMES {
                return Recovery::Continue(mark);
            }
            let reason = format!(
                "the host stopped {} times during step {} of this task; resume the session to try once more, or \
                 cancel the task",
                mark.resumes, mark.step_number
            );
            Recovery::Pause { mark, reason }
        }
    }
}

/// What `session_resumed` says.
pub fn account(mark: &Checkpoint, cause: ResumeCause) -> String {
    let why = match cause {
        ResumeCause::HostStarted => "the host is back",
        ResumeCause::Asked => "resumed on request",
    };
    let step = mark.step_number;
    if mark.calls_under_way {
        format!(
            "{why}; tool calls of step {step} were under way: recorded results are told, the rest is judged again, \
             and nothing of unknown outcome is repeated"
        )
    } else {
        format!("{why}; the model is asked again for step {step}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::fakes;

    fn after(resumes: u32, state: SessionState, cause: ResumeCause) -> Recovery {
        decide(Checkpoint { resumes, ..fakes::checkpoint() }, state, cause)
    }

    fn continues(recovery: Recovery) -> Option<u32> {
        match recovery {
            Recovery::Continue(mark) => Some(mark.resumes),
            Recovery::Pause { .. } | Recovery::Leave => None,
        }
    }

    #[test]
    fn crashes_are_counted_and_the_fourth_pauses() {
        for resumes in 0..MAX_RESUMES {
            let next = after(resumes, SessionState::WaitingForTool, ResumeCause::HostStarted);
            assert_eq!(continues(next), Some(resumes + 1));
        }
        let fourth = after(MAX_RESUMES, SessionState::WaitingForLlm, ResumeCause::HostStarted);
        assert!(matches!(&fourth, Recovery::Pause { mark, reason }
            if mark.resumes == MAX_RESUMES + 1 && reason.contains("stopped 4 times")));
        let later = after(MAX_RESUMES + 1, SessionState::SessionPaused, ResumeCause::HostStarted);
        assert_eq!(later, Recovery::Leave);
    }

    #[test]
    fn an_orderly_stop_is_no_crash_and_a_person_starts_anew() {
        let stopped = after(2, SessionState::SessionPaused, ResumeCause::HostStarted);
        assert_eq!(continues(stopped), Some(2));
        assert_eq!(continues(after(9, SessionState::SessionPaused, ResumeCause::Asked)), Some(0));
    }
}
