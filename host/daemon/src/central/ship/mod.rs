//! One task that sends what the log says to the centre: each session from its cursor on, a page at a time, in turn.
//!
//! The cursor moves, durably, when everything a page asks for was taken; a crash anywhere before that sends the page
//! again, and the centre knows by ids and numbers what it has already. Nothing is sent, read or woken while nothing
//! changes: the store's writer wakes the task after a commit with events.

mod changes;
mod content;
mod plan;
mod send;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use lanyard_ports::journal::{ArtifactStore, Cursor, Journal, JournalError, Unshipped, Write};
use lanyard_ports::source::Clock;
use lanyard_protocol::Timestamp;
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::id::SessionId;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::contact::{Contact, reached_again};
use super::wire::{Meaning, Wire, meaning};
use crate::host::Host;
use lanyard_governance_client::backoff::Backoff;

/// Events of one page. With the store's own bound of about a mebibyte it fits into any batch the centre takes.
const PAGE: usize = 200;

/// Sessions looked at before the line is read anew.
const SESSIONS: usize = 32;

/// Most sessions that are passed over; where there are more, it is not they that are at fault.
const MAX_HELD: usize = 1_024;

/// How long a commit waits for others before the centre is told: people do not see it, and a busy session costs tens of
/// requests a second, not hundreds.
const GATHER: Duration = Duration::from_millis(50);

/// What a loop needs to send.
pub(crate) struct Shipper {
    pub(crate) host: Arc<Host>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) artifacts: Arc<dyn ArtifactStore>,
    pub(crate) wire: Arc<dyn Wire>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Told after a commit with events.
    pub(crate) commits: Arc<Notify>,
    /// Whether the centre is reached.
    pub(crate) contact: watch::Receiver<Contact>,
    /// When something was last sent and taken.
    pub(crate) sent_at: watch::Sender<Option<Timestamp>>,
}

/// Sessions that could not be sent, for a while: they are passed over, so that those behind them have their turn.
#[derive(Default)]
struct Held {
    sessions: HashSet<SessionId>,
    /// When they are tried again.
    until: Option<Instant>,
    backoff: Backoff,
}

impl Held {
    fn hold(&mut self, session: &SessionId) {
        self.sessions.insert(session.clone());
        let backoff = &mut self.backoff;
        self.until.get_or_insert_with(|| Instant::now() + backoff.pause());
    }

    fn let_go(&mut self) {
        self.sessions.clear();
        self.until = None;
    }

    /// Waits until they are to be tried again; for ever where there are none. Cancel-safe.
    async fn over(&self) {
        match self.until {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    }
}

/// Why a page was not sent.
#[derive(Debug)]
enum Halt {
    /// The same again later.
    Later(WireError),
    /// The centre does not know this host any more.
    Gone,
    /// The host's own store.
    Store(JournalError),
}

impl From<JournalError> for Halt {
    fn from(error: JournalError) -> Self {
        Halt::Store(error)
    }
}

impl Shipper {
    /// Sends until it is told to stop, or the centre knows this host no more.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let (mut backoff, mut held) = (Backoff::new(), Held::default());
        loop {
            let step = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                step = self.round(&mut held) => step,
            };
            let pause = match step {
                Ok(0) => {
                    if held.sessions.is_empty() {
                        held.backoff.reset();
                    }
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = self.commits.notified() => {}
                        () = held.over() => held.let_go(),
                        () = reached_again(self.contact.clone()) => held.let_go(),
                    }
                    GATHER
                }
                Ok(_) => {
                    backoff.reset();
                    continue;
                }
                Err(Halt::Gone) => return,
                Err(Halt::Later(error)) => {
                    tracing::debug!(%error, "sessions are not sent to the centre for now");
                    backoff.pause()
                }
                Err(Halt::Store(error)) => {
                    tracing::error!(%error, "sessions cannot be sent to the centre");
                    backoff.pause()
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                () = reached_again(self.contact.clone()) => {}
            }
        }
    }

    /// One page of each of the first sessions in the line that are not held back. How many were looked at. A session that
    /// cannot be sent does not hold the others up.
    async fn round(&self, held: &mut Held) -> Result<usize, Halt> {
        let line = self.journal.unshipped(SESSIONS + held.sessions.len())?;
        let next = line.iter().filter(|waiting| !held.sessions.contains(&waiting.session.session_id));
        let next: Vec<&Unshipped> = next.take(SESSIONS).collect();
        for waiting in &next {
            let id = &waiting.session.session_id;
            match self.one(waiting).await {
                Ok(()) => {}
                Err(Halt::Later(error))
                    if error.code != ErrorCode::CentralUnavailable && held.sessions.len() < MAX_HELD =>
                {
                    tracing::debug!(%error, session = %id, "a session is not sent to the centre for now");
                    held.hold(id);
                }
                Err(Halt::Store(error)) if of_one_session(&error) && held.sessions.len() < MAX_HELD => {
                    tracing::error!(%error, session = %id, "a session cannot be sent to the centre");
                    held.hold(id);
                }
                Err(halt) => return Err(halt),
            }
        }
        Ok(next.len())
    }

    async fn one(&self, waiting: &Unshipped) -> Result<(), Halt> {
        let session = &waiting.session;
        let id = &session.session_id;
        let sent = if session.deleted { self.deleted(session).await } else { self.page(session).await };
        match sent {
            Ok(write) => self.journal.commit(vec![write]).await?,
            Err(Halt::Later(error)) if error.code == ErrorCode::SessionNotFound => {
                // Registered anew when somebody opens it.
                tracing::warn!(session = %id, "the centre does not know a session any more");
                self.journal.commit(vec![Write::ForgetCentralSession(id.clone())]).await?;
            }
            Err(halt) => return Err(halt),
        }
        self.sent_at.send_replace(Some(self.clock.now()));
        Ok(())
    }

    /// Sends the next page of a session; the cursor's next place.
    async fn page(&self, session: &lanyard_ports::journal::CentralSession) -> Result<Write, Halt> {
        let id = &session.session_id;
        let page = self.journal.events(id, Cursor::After(session.shipped_seq), PAGE)?;
        let last = page.events.last().and_then(|event| event.seq).unwrap_or(page.last_seq);
        let plan = plan::plan(&page.events, session.timeline, session.upload.is_some());
        self.carry_out(session, &page.events, plan).await?;
        Ok(Write::Shipped { session_id: id.clone(), seq: last })
    }

    /// Ends a session at the centre that its owner has deleted here.
    async fn deleted(&self, session: &lanyard_ports::journal::CentralSession) -> Result<Write, Halt> {
        let id = &session.session_id;
        let reason = "its owner deleted it on the host";
        match taken("session", self.wire.cancel_session(id, reason).await) {
            // Its history is kept longer than the session is known.
            Err(Halt::Later(error)) if error.code == ErrorCode::SessionNotFound => {}
            told => drop(told?),
        }
        taken("history", self.wire.delete_history(&session.workspace_id, id).await)?;
        Ok(Write::ForgetCentralSession(id.clone()))
    }
}

/// Whether a fault of the store says something of one session only.
fn of_one_session(error: &JournalError) -> bool {
    matches!(error, JournalError::Corrupt(_) | JournalError::NotFound(_) | JournalError::Refused(_))
}

/// What was taken, or will never be: that is logged, and the rest goes on.
fn taken<T>(what: &'static str, answer: Result<T, WireError>) -> Result<Option<T>, Halt> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.code == ErrorCode::SessionNotFound => Err(Halt::Later(error)),
        Err(error) => match meaning(&error) {
            Meaning::Later => Err(Halt::Later(error)),
            Meaning::Gone => Err(Halt::Gone),
            Meaning::Never => {
                tracing::warn!(%error, what, "the centre does not take something of a session");
                Ok(None)
            }
        },
    }
}
