//! News of the policy: taken one at a time, on disk and told in the same order, and never backwards.
//!
//! They come from commands, from heartbeats and from the end of an enrolment, each in a task of its own. A thread that
//! holds [`Centre::hearing`] compares, writes and tells in one step; it is a thread's lock and not a task's, because
//! whoever asked may go away while the disk is being waited for.

use std::sync::{MutexGuard, PoisonError};

use lanyard_ports::authority::PolicyNews;
use lanyard_protocol::error::{ErrorCode, WireError};

use super::{Centre, consent};

/// How far an epoch may be ahead of the one known. Each change of a policy raises it by one, so that nobody changes it so
/// often while a host is away; one far beyond would outrun every bundle for good.
const MAX_LEAP: u64 = 1_000_000;

/// Why news were not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NewsError {
    #[error(transparent)]
    File(#[from] consent::FileError),
    #[error(
        "policy epoch {told} is more than {MAX_LEAP} beyond {known}, the last one known here, and is not believed; see \
         whether the central services' store is sound"
    )]
    Leap { told: u64, known: u64 },
}

impl Centre {
    /// Held while news are compared, written and told. Blocks: not for tasks of the event loop.
    pub(super) fn hearing(&self) -> MutexGuard<'_, ()> {
        self.hearing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes news of the policy: on disk before they are acknowledged. Older news change nothing, and of one epoch the
    /// word that it was taken back stands. Blocks.
    ///
    /// # Errors
    /// They are not believed, and change nothing; or they could not be written, and count until the host ends.
    pub(super) fn take_news(&self, news: PolicyNews) -> Result<(), NewsError> {
        let _one_at_a_time = self.hearing();
        let held = self.news.borrow().clone();
        let taken_back = news.epoch == held.epoch && news.revoked.is_some() && news != held;
        if news.epoch <= held.epoch && !taken_back {
            return Ok(());
        }
        if leaps(held.epoch, news.epoch) {
            tracing::error!(told = news.epoch, known = held.epoch, "an epoch of the policy is not believed");
            return Err(NewsError::Leap { told: news.epoch, known: held.epoch });
        }
        self.put_down(news)
    }

    /// Measures an epoch that the centre has just issued a bundle of by what was heard before it was asked.
    ///
    /// A bundle of an epoch that was heard to be taken back, issued after that was heard, says that it is in force again.
    /// Blocks.
    ///
    /// # Errors
    /// `POLICY_BUNDLE_INVALID`: the centre's epochs went back, or leap; nothing goes on by such a bundle.
    pub(super) fn was_issued(&self, asked: &PolicyNews, epoch: u64) -> Result<(), WireError> {
        let invalid = |text: String| Err(WireError::new(ErrorCode::PolicyBundleInvalid, text));
        let back = epoch < asked.epoch;
        *self.behind.lock().unwrap_or_else(PoisonError::into_inner) = back.then_some(epoch);
        if back {
            tracing::error!(issued = epoch, known = asked.epoch, "the centre's policy epoch went back");
            return invalid(went_back(epoch, asked.epoch));
        }
        if leaps(asked.epoch, epoch) {
            return invalid(NewsError::Leap { told: epoch, known: asked.epoch }.to_string());
        }
        if epoch > asked.epoch || asked.revoked.is_none() {
            return Ok(());
        }
        let _one_at_a_time = self.hearing();
        if *self.news.borrow() != *asked {
            // Something else was heard since.
            return Ok(());
        }
        let written = self.put_down(PolicyNews { epoch, revoked: None });
        written.map_err(|error| WireError::new(ErrorCode::InternalError, error.to_string()))
    }

    /// Why nothing goes on, where the centre's epochs are lower than what was heard of them.
    pub(super) fn fell_behind(&self) -> Option<String> {
        let theirs = (*self.behind.lock().unwrap_or_else(PoisonError::into_inner))?;
        let known = self.news.borrow().epoch;
        (theirs < known).then(|| went_back(theirs, known))
    }

    /// Writes and tells. Only with [`Centre::hearing`] held.
    fn put_down(&self, news: PolicyNews) -> Result<(), NewsError> {
        let tie = self.tie();
        // One that was ended is not begun again by news that were on their way.
        let Some(enrolled) = tie.enrolled() else { return Ok(()) };
        let written = consent::write_news(&self.dir, &enrolled.facts.agent_id, &news);
        // Every live session's policy looks here before each call and ends what runs when it is revoked. What stops them
        // is heard although the disk is full.
        if written.is_ok() || news.revoked.is_some() || news.epoch > self.news.borrow().epoch {
            self.news.send_replace(news);
        }
        Ok(written?)
    }
}

fn leaps(known: u64, told: u64) -> bool {
    told.saturating_sub(known) > MAX_LEAP
}

fn went_back(theirs: u64, known: u64) -> String {
    format!(
        "the centre's policy epoch went back, from {known} to {theirs}, as when its store was restored from a copy: no \
         session goes on; unenrol this host and enrol it again, or have the administrator change the policy until it has \
         caught up"
    )
}
