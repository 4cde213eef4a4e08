//! How a running task is told to stop: cancelled for good, or suspended because the host goes down.

use std::sync::{Arc, OnceLock};

use lanyard_protocol::id::PrincipalId;
use tokio_util::sync::CancellationToken;

/// What was asked of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// End it. Holds who wanted it; absent when the host did.
    Cancel(Option<PrincipalId>),
    /// Leave it as its checkpoint.
    Suspend,
}

/// Shared between a session and its running task. Cancelling counts before suspending; neither is taken back.
#[derive(Debug, Clone, Default)]
pub(crate) struct TaskControl {
    cancel: CancellationToken,
    /// Cancelled or suspended.
    stop: CancellationToken,
    by: Arc<OnceLock<Option<PrincipalId>>>,
}

impl TaskControl {
    /// Asks the task to end. The first to ask is named in the event.
    pub(crate) fn cancel(&self, by: Option<PrincipalId>) {
        // A second cancel changes nothing.
        let _ = self.by.set(by);
        self.cancel.cancel();
        self.stop.cancel();
    }

    /// Asks the task to stand still.
    pub(crate) fn suspend(&self) {
        self.stop.cancel();
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Option<Stop> {
        if self.cancel.is_cancelled() {
            return Some(Stop::Cancel(self.by.get().cloned().flatten()));
        }
        self.stop.is_cancelled().then_some(Stop::Suspend)
    }

    /// Ends running tools: cancelled whatever is asked.
    pub(crate) fn run_token(&self) -> CancellationToken {
        self.stop.child_token()
    }

    /// Withdraws questions: cancelled by a cancel only. A suspended task's questions stay pending.
    pub(crate) fn settle_token(&self) -> CancellationToken {
        self.cancel.child_token()
    }

    /// Waits until something is asked. Cancel-safe.
    pub(crate) async fn stopped(&self) -> Stop {
        self.stop.cancelled().await;
        self.asked().unwrap_or(Stop::Suspend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn cancel_counts_before_suspend_and_names_the_first() {
        let control = TaskControl::default();
        assert_eq!(control.asked(), None);
        control.suspend();
        assert_eq!(control.stopped().await, Stop::Suspend);
        let owner = PrincipalId::new("owner").unwrap();
        control.cancel(Some(owner.clone()));
        control.cancel(None);
        assert_eq!(control.stopped().await, Stop::Cancel(Some(owner)));
    }
}
