//! The desk's task: what it owns, what it is asked, what time makes it do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lanyard_pairing::Entrance;
use lanyard_pairing::identity::Fingerprint;
use lanyard_ports::authority::Principals;
use lanyard_ports::journal::{Journal, JournalError, Write};
use lanyard_ports::source::{Clock, IdSource};
use lanyard_protocol::Tick;
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::event::{HostEventBody, HostKeyChanged, PairingWindowChanged};
use lanyard_protocol::health::{DiscoveryHealth, DiscoveryState};
use lanyard_protocol::id::HostId;
use lanyard_transport::close::{CloseCode, Ended};
use lanyard_transport::discovery::{Advertiser, Announcement};
use lanyard_transport::host::HostEndpoint;
use lanyard_transport::noise::NoiseHost;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connections::Connections;
use super::passes::Makers;
use super::pending::Waiters;
use super::tabs::Tabs;
use super::{Desk, DeskError, MAILBOX, Message, Reply};
use crate::network::attempts::TypedAttempts;
use crate::network::devices::{Devices, Entry, Table};
use crate::network::identity::HostIdentity;
use crate::network::tally::Tally;

/// Longest sleep of the timer: a wall clock that is set forward is noticed, and counters are stored, within this.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

/// How often counters are stored: what a crash may lose of them.
const COUNTS_EVERY: Duration = Duration::from_secs(5);

/// The network, as far as the desk moves it.
#[derive(Debug)]
pub(in crate::network) struct Surface {
    pub(in crate::network) endpoint: Arc<HostEndpoint>,
    /// `None` when discovery is switched off.
    pub(in crate::network) advertiser: Option<Advertiser>,
    /// Addresses under which devices may reach the host, likeliest first, at this moment.
    pub(in crate::network) reachable: fn(SocketAddr) -> Vec<SocketAddr>,
}

/// What the desk is made from.
pub(in crate::network) struct DeskParts {
    pub(in crate::network) journal: Arc<dyn Journal>,
    pub(in crate::network) clock: Arc<dyn Clock>,
    pub(in crate::network) ids: Arc<dyn IdSource>,
    /// Who may answer without being paired.
    pub(in crate::network) others: Arc<dyn Principals>,
    pub(in crate::network) tally: Arc<Tally>,
    pub(in crate::network) identity: HostIdentity,
    pub(in crate::network) host_id: watch::Sender<HostId>,
    pub(in crate::network) host_name: String,
    /// Where browsers come in.
    pub(in crate::network) browsers: NoiseHost,
    /// `None` when the network side is switched off.
    pub(in crate::network) surface: Option<Surface>,
    /// Where links to the host's page lead, likeliest first, at this moment: by name first while that is announced. Empty
    /// where there is no page.
    pub(in crate::network) origins: Box<dyn Fn(DiscoveryState) -> Vec<String> + Send + Sync>,
    /// Milliseconds on a clock that never runs backwards.
    pub(in crate::network) ticks: Box<dyn Fn() -> Tick + Send + Sync>,
    /// Where the aftermath of removals runs.
    pub(in crate::network) tasks: TaskTracker,
}

/// Starts the desk over what the store holds. The task ends after [`Desk::stop`].
///
/// # Errors
/// The store cannot be read.
pub(in crate::network) fn start(parts: DeskParts) -> Result<(Desk, Devices, JoinHandle<()>), JournalError> {
    let table = Arc::new(Table::new(parts.journal.devices()?));
    let attempts = TypedAttempts::load(&*parts.journal)?;
    let connections = Connections::load(&*parts.journal)?;
    let (publish, published) = watch::channel(table.clone());
    let devices = Devices::new(published, parts.clock.clone());
    let (mailbox, messages) = mpsc::channel(MAILBOX);
    let stop = CancellationToken::new();
    let actor = Actor {
        counts_stored: Instant::now(),
        entrance: Entrance::default(),
        window_open: false,
        attempts,
        waiters: Waiters::default(),
        makers: Makers::default(),
        tabs: Tabs::default(),
        connections,
        table,
        publish,
        parts,
    };
    let task = tokio::spawn(actor.run(messages, stop.clone()));
    Ok((Desk { mailbox, stop }, devices, task))
}

pub(super) struct Actor {
    pub(super) parts: DeskParts,
    counts_stored: Instant,
    pub(super) entrance: Entrance,
    /// The host log says that the window is open.
    pub(super) window_open: bool,
    pub(super) attempts: TypedAttempts,
    pub(super) waiters: Waiters,
    /// Who made the passes that are held.
    pub(super) makers: Makers,
    /// Tabs of the owner.
    pub(super) tabs: Tabs,
    pub(super) connections: Connections,
    pub(super) table: Arc<Table>,
    publish: watch::Sender<Arc<Table>>,
}

impl Actor {
    async fn run(mut self, mut messages: mpsc::Receiver<Message>, stop: CancellationToken) {
        loop {
            let pause = self.until_something_is_due();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                message = messages.recv() => match message {
                    Some(message) => self.take(message).await,
                    None => break,
                },
                () = tokio::time::sleep(pause) => {}
            }
            self.settle_what_is_due().await;
        }
        // Those that were sent before the stop: endings of connections, mostly.
        messages.close();
        while let Some(message) = messages.recv().await {
            self.take(message).await;
        }
        self.end_connections().await;
        self.store_counts().await;
        if let Some(advertiser) = self.parts.surface.and_then(|surface| surface.advertiser) {
            advertiser.stop().await;
        }
    }

    /// Milliseconds on a clock that never runs backwards.
    pub(super) fn tick(&self) -> Tick {
        (self.parts.ticks)()
    }

    fn until_something_is_due(&self) -> Duration {
        let now = self.tick();
        let mut pause = LONGEST_SLEEP;
        if self.window_open {
            pause = pause.min(self.entrance.window.remaining(now));
        }
        let dues = [self.waiters.next_due(), self.entrance.passes.next_due(), self.tabs.next_due()];
        for due in dues.into_iter().flatten() {
            pause = pause.min(due.since(now));
        }
        // One millisecond later: at the end itself it still counts.
        pause + Duration::from_millis(1)
    }

    async fn settle_what_is_due(&mut self) {
        if self.window_open && !self.entrance.window.is_open(self.tick()) {
            self.window_open = false;
            self.note(vec![window_changed(false, "it ran out")]).await;
        }
        self.entrance.passes.forget(self.tick());
        self.expire_tabs();
        self.expire_pending().await;
        self.expire_provisional().await;
        if self.counts_stored.elapsed() >= COUNTS_EVERY {
            self.counts_stored = Instant::now();
            self.store_counts().await;
        }
    }

    async fn take(&mut self, message: Message) {
        match message {
            Message::OpenWindow(reply) => tell(reply, self.open_window().await),
            Message::Close(by, reply) => tell(reply, self.close(&by).await),
            Message::Link(by, origin, reply) => tell(reply, self.create_link(&by, origin).await),
            Message::Pairings(by, reply) => tell(reply, self.pairings(&by)),
            Message::Decide(decided, reply) => tell(reply, self.decide(*decided).await),
            Message::Greet(channel, hello, reply) => tell(reply, self.greet(channel, *hello)),
            Message::Share(state, message, reply) => {
                let shared = self.share(*state, *message).await;
                if let Err(Ok((state, _))) = reply.send(shared) {
                    // The conversation is gone, and the slot is taken.
                    self.abandon(state).await;
                }
            }
            Message::Confirm(state, message, from, reply) => {
                tell(reply, self.confirm(*state, *message, from).await);
            }
            Message::Abandon(state) => self.abandon(*state).await,
            Message::Resume(message, channel, from, reply) => {
                tell(reply, self.resume(&message, &channel, from));
            }
            Message::Acknowledge(device, message, reply) => {
                tell(reply, self.acknowledge(&device, &message).await);
            }
            Message::GiveUp(sid) => self.give_up(sid).await,
            Message::Lineage(reply) => tell(reply, self.parts.identity.lineage().clone()),
            Message::Change(device, change, by, reply) => {
                tell(reply, self.change(&device, change, &by).await);
            }
            Message::Page(device, page, reply) => tell(reply, self.page(&device, *page)),
            Message::Remove(removal) => self.remove(*removal).await,
            Message::Rotate(compromised, reply) => tell(reply, self.rotate(compromised).await),
            Message::Arrived(key, from, reply) => {
                if let Err(Ok(lease)) = reply.send(self.arrived(&key, from).await) {
                    self.left(lease.number, Ended::Here.word()).await;
                }
            }
            Message::Left(number, how) => self.left(number, how).await,
            Message::CutAll(code) => self.connections.cut_all(code),
            Message::Discovery(reply) => tell(reply, self.discovery()),
        }
    }

    /// Makes a change to the table of devices seen by everybody.
    pub(super) fn publish(&mut self, change: impl FnOnce(&mut Table)) {
        let mut table = (*self.table).clone();
        change(&mut table);
        self.table = Arc::new(table);
        self.publish.send_replace(self.table.clone());
    }

    /// Makes a changed or new device seen by everybody.
    pub(super) fn publish_entry(&mut self, entry: Entry) {
        self.publish(|table| table.put(entry));
    }

    /// Writes what need not be on disk before anything else happens.
    pub(super) async fn note(&self, batch: Vec<Write>) {
        if let Err(error) = self.parts.journal.append(batch).await {
            tracing::error!(%error, "something on the network side could not be recorded");
        }
    }

    async fn store_counts(&self) {
        let counts = self.parts.tally.unstored();
        if counts.is_empty() {
            return;
        }
        match self.parts.journal.append(vec![Write::Count(counts.clone())]).await {
            Ok(()) => self.parts.tally.stored(&counts),
            Err(error) => tracing::error!(%error, "the counts of the network side could not be stored"),
        }
    }

    /// New keys: on disk first, then in use, then told.
    async fn rotate(&mut self, compromised: bool) -> Result<(), DeskError> {
        let internal = |text: String| WireError::new(ErrorCode::InternalError, text);
        let (identity, at) = (self.parts.identity.clone(), self.parts.clock.now());
        let written = tokio::task::spawn_blocking(move || identity.rotate(compromised, at)).await;
        let identity = match written {
            Ok(Ok(identity)) => identity,
            Ok(Err(error)) => {
                return Err(internal(format!("{error}; the host keeps the keys it has")).into());
            }
            Err(error) => return Err(internal(error.to_string()).into()),
        };
        let host_id = identity.host_id().map_err(|e| internal(e.to_string()))?;
        self.parts.identity = identity;
        self.parts.host_id.send_replace(host_id.clone());
        self.parts.browsers.use_keys(self.parts.identity.keys());
        // What the window and those that wait have been told names the old keys.
        let mut batch = self.drop_pairings("the host has new keys");
        batch.push(host_event(HostEventBody::HostKeyChanged(HostKeyChanged { host_id })));
        if let Some(surface) = &self.parts.surface {
            if let Some(advertiser) = &surface.advertiser {
                let port = surface.endpoint.local_address().port();
                let host = self.parts.identity.fingerprint();
                advertiser.change(announcement(&self.parts.host_name, port, host));
            }
            surface.endpoint.use_keys(self.parts.identity.keys()).map_err(|error| {
                internal(format!(
                    "the new keys are written down and cannot be used: {error}; restart the host"
                ))
            })?;
        }
        self.connections.cut_all(CloseCode::KeyChanged);
        if let Err(error) = self.parts.journal.commit(batch).await {
            // The keys are changed, on disk and in use; only the host's log does not say so.
            tracing::error!(%error, "the change of the host's keys could not be recorded");
        }
        Ok(())
    }

    pub(super) fn discovery(&self) -> DiscoveryHealth {
        match &self.parts.surface {
            Some(Surface { advertiser: Some(advertiser), .. }) => advertiser.health(),
            Some(_) => {
                off("not announced: discovery.enabled is false, or only this machine reaches the address")
            }
            None => off("nothing is announced: other devices cannot connect"),
        }
    }
}

/// A reply that cannot be delivered belongs to somebody who no longer waits; what it would have told is done.
pub(super) fn tell<T>(reply: Reply<T>, answer: T) {
    let _ = reply.send(answer);
}

fn off(why: &str) -> DiscoveryHealth {
    DiscoveryHealth { state: DiscoveryState::Off, detail: why.to_owned() }
}

/// What is announced of a host.
pub(in crate::network) fn announcement(name: &str, port: u16, host: Fingerprint) -> Announcement {
    Announcement { name: name.to_owned(), port, host }
}

/// A row of the host log.
pub(super) fn host_event(body: HostEventBody) -> Write {
    Write::Host(Box::new(body))
}

/// News of the window.
pub(super) fn window_changed(open: bool, reason: &str) -> Write {
    host_event(HostEventBody::PairingWindowChanged(PairingWindowChanged { open, reason: reason.to_owned() }))
}
