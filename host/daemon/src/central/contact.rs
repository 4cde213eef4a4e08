//! Whether the centre is reached: what the client knows, told on to sessions' policies, to clients, and kept for the
//! next host.

use std::sync::Arc;
use std::time::Duration;

use lanyard_governance_client as client;
use lanyard_ports::authority::{PolicyNews, Reach};
use lanyard_ports::journal::Write;
use lanyard_protocol::event::{CentralChanged, HostEventBody};
use lanyard_protocol::{Tick, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Centre, consent};

/// How often it is written down that the centre was heard. A host that is killed loses this much of its grace.
const NOTE_EVERY: Duration = Duration::from_secs(60);

/// As `lanyard sync status` tells it. Times are of the host's own clock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Contact {
    /// It answered at the last contact.
    pub(crate) reached: bool,
    /// Since when that is so.
    pub(crate) since: Option<Timestamp>,
    /// When it last answered.
    pub(crate) last_ok: Option<Timestamp>,
    /// Why not.
    pub(crate) reason: Option<String>,
    /// Milliseconds this host's clock is ahead of theirs.
    pub(crate) clock_ahead_millis: i64,
}

impl Centre {
    /// Follows what the client knows until told to stop.
    pub(super) async fn follow_reach(
        self: Arc<Self>,
        mut theirs: watch::Receiver<client::Reach>,
        stop: CancellationToken,
    ) {
        let mut noted: Option<Tick> = None;
        loop {
            let now = theirs.borrow_and_update().clone();
            if self.tell(&now).await {
                let boot = self.boot.boot();
                if noted.is_none_or(|at| boot.since(at) >= NOTE_EVERY) {
                    noted = Some(boot);
                    self.note_heard().await;
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = theirs.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Tells on what the client knows now. Whether the centre has answered since it was told last.
    pub(super) async fn tell(self: &Arc<Self>, now: &client::Reach) -> bool {
        let failing = now.failing_since.is_some();
        let before = self.contact.borrow().clone();
        // Only another answer than the last one counts, as of now on the boot clock: the clock of the wall may have been
        // set since, and must not prolong a grace. One that was followed by a failure at once only shortens it.
        let answered = !failing && now.last_ok.is_some() && now.last_ok != before.last_ok;
        let boot = self.boot.boot();
        self.reach.send_modify(|reach| {
            *reach = Reach { heard_at: if answered { Some(boot) } else { reach.heard_at }, failing };
        });
        self.catch_up(now.policy_epoch).await;
        if !failing && now.last_ok.is_none() {
            // Nobody has tried yet.
            return false;
        }
        let reached = !failing;
        let turned = before.reached != reached;
        let since = if turned || before.since.is_none() { Some(self.clock.now()) } else { before.since };
        self.contact.send_replace(Contact {
            reached,
            since,
            last_ok: now.last_ok,
            reason: now.reason.clone(),
            clock_ahead_millis: now.server_offset_millis.saturating_neg(),
        });
        if turned {
            let why = match &now.reason {
                Some(reason) if !reached => format!("the central services are not reached: {reason}"),
                _ if reached => "the central services are reached".to_owned(),
                _ => "the central services are not reached".to_owned(),
            };
            self.announce(true, why).await;
        }
        answered
    }

    /// A heartbeat has told of an epoch that no command has: the command is on its way, or was lost with a database.
    /// What the epoch says is learned by asking.
    async fn catch_up(self: &Arc<Self>, epoch: u64) {
        if epoch <= self.news.borrow().epoch {
            // Spares a thread; what counts is compared there.
            return;
        }
        let centre = self.clone();
        let news = PolicyNews { epoch, revoked: None };
        match tokio::task::spawn_blocking(move || centre.take_news(news)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "news of the policy could not be kept"),
            Err(error) => tracing::error!(%error, "news of the policy could not be kept"),
        }
    }

    async fn note_heard(self: &Arc<Self>) {
        let centre = self.clone();
        let note = move || consent::note_heard(&centre.dir, &centre.mark());
        if let Ok(Err(error)) = tokio::task::spawn_blocking(note).await {
            tracing::debug!(%error, "when the centre was last heard could not be noted");
        }
    }

    /// Tells clients that something about the centre changed.
    pub(super) async fn announce(&self, enrolled: bool, reason: String) {
        let body = HostEventBody::CentralChanged(CentralChanged { enrolled, reason });
        if let Err(error) = self.journal.append(vec![Write::Host(Box::new(body))]).await {
            tracing::error!(%error, "a change about the centre could not be recorded");
        }
    }
}

/// Waits until the centre is reached after it was not: whoever holds back need not wait any longer. Cancel-safe.
pub(super) async fn reached_again(mut contact: watch::Receiver<Contact>) {
    let mut was = contact.borrow_and_update().reached;
    while contact.changed().await.is_ok() {
        let is = contact.borrow_and_update().reached;
        if is && !was {
            return;
        }
        was = is;
    }
    // Nobody tells any more.
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_coming_back_ends_the_wait() {
        let (tell, contact) = watch::channel(Contact { reached: true, ..Contact::default() });
        let mut waiting = Box::pin(reached_again(contact));
        let mut done = async || futures_util::poll!(&mut waiting).is_ready();
        assert!(!done().await);
        tell.send_replace(Contact { reached: true, clock_ahead_millis: 9, ..Contact::default() });
        assert!(!done().await);
        tell.send_replace(Contact::default());
        assert!(!done().await);
        tell.send_replace(Contact { reached: true, ..Contact::default() });
        assert!(done().await);
    }
}
