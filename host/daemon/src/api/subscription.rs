//! Streams of events to one connection, from a cursor on, without gap and without duplicate.
//!
//! The log is the source. A subscription first opens the live feed, then reads the log from its cursor to the end,
//! and from there takes live events whose number is the next one. Whenever that is not so (it lagged, or an event
//! was committed while it read) it goes back to the log. Ephemeral events have no number and pass as they come.

use std::sync::Arc;

use lanyard_ports::journal::{Cursor, EventPage, JournalError};
use lanyard_protocol::id::SessionId;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use super::serve::Outgoing;
use crate::host::Host;
use crate::hub::Published;

/// Rows read from the log at a time; the store also bounds a page in bytes.
const PAGE: usize = 256;

/// The subscriber is gone, or the log cannot be read (which was logged).
struct Ended;

/// Drops the feed when its last subscriber leaves, however it leaves.
struct Watching {
    host: Arc<Host>,
    session: SessionId,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.host.hub.release(&self.session);
    }
}

/// Events of a session after `cursor`, until the subscriber is gone or the session deleted.
pub(super) async fn session(host: Arc<Host>, session: SessionId, cursor: u64, out: mpsc::Sender<Outgoing>) {
    let _watching = Watching { host: host.clone(), session: session.clone() };
    let (tail, mut live) = host.hub.watch(&session);
    let mut follower = Follower { host, session, cursor, out };
    if follower.catch_up().await.is_err() {
        return;
    }
    for delta in tail {
        if follower.out.send(Outgoing::Event(delta)).await.is_err() {
            return;
        }
    }
    loop {
        let step = match live.recv().await {
            Ok(published) => follower.take(published).await,
            Err(RecvError::Lagged(_)) => follower.catch_up().await,
            Err(RecvError::Closed) => return,
        };
        if step.is_err() {
            return;
        }
    }
}

struct Follower {
    host: Arc<Host>,
    session: SessionId,
    cursor: u64,
    out: mpsc::Sender<Outgoing>,
}

impl Follower {
    async fn take(&mut self, published: Arc<Published>) -> Result<(), Ended> {
        match published.event().seq {
            Some(seq) if seq <= self.cursor => return Ok(()),
            Some(seq) if seq == self.cursor + 1 => self.cursor = seq,
            Some(_) => return self.catch_up().await,
            None => {}
        }
        self.out.send(Outgoing::Event(published)).await.map_err(|_| Ended)
    }

    /// Sends everything the log holds after the cursor.
    async fn catch_up(&mut self) -> Result<(), Ended> {
        loop {
            let page = self.page().await?;
            let more = page.next.is_some();
            for event in page.events {
                self.cursor = event.seq.unwrap_or(self.cursor);
                let published = Arc::new(Published::new(Arc::new(event)));
                self.out.send(Outgoing::Event(published)).await.map_err(|_| Ended)?;
            }
            if !more {
                return Ok(());
            }
        }
    }

    async fn page(&self) -> Result<EventPage, Ended> {
        let (host, session, cursor) = (self.host.clone(), self.session.clone(), self.cursor);
        let read = move || host.journal.events(&session, Cursor::After(cursor), PAGE);
        match tokio::task::spawn_blocking(read).await {
            Ok(Ok(page)) => Ok(page),
            Ok(Err(JournalError::NotFound(_))) => Err(Ended),
            Ok(Err(error)) => {
                tracing::error!(%error, session = %self.session, "a subscription cannot read the log");
                Err(Ended)
            }
            Err(error) => {
                tracing::error!(%error, session = %self.session, "a read of the log did not finish");
                Err(Ended)
            }
        }
    }
}

/// Host-wide events after `cursor`, until the subscriber is gone.
pub(super) async fn host(host: Arc<Host>, mut cursor: u64, out: mpsc::Sender<Outgoing>) {
    let mut live = host.hub.watch_host();
    let mut behind = true;
    loop {
        while behind {
            let (host, after) = (host.clone(), cursor);
            let read = tokio::task::spawn_blocking(move || host.journal.host_events(after, PAGE)).await;
            let (events, _) = match read {
                Ok(Ok(page)) => page,
                Ok(Err(error)) => return tracing::error!(%error, "a subscription cannot read the host's log"),
                Err(error) => return tracing::error!(%error, "a read of the host's log did not finish"),
            };
            behind = events.len() == PAGE;
            for event in events {
                cursor = event.host_seq;
                if out.send(Outgoing::Host(Arc::new(event))).await.is_err() {
                    return;
                }
            }
        }
        match live.recv().await {
            Ok(event) if event.host_seq <= cursor => {}
            Ok(event) if event.host_seq == cursor + 1 => {
                cursor = event.host_seq;
                if out.send(Outgoing::Host(event)).await.is_err() {
                    return;
                }
            }
            Ok(_) | Err(RecvError::Lagged(_)) => behind = true,
            Err(RecvError::Closed) => return,
        }
    }
}
