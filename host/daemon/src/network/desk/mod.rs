//! The network desk: one task owns who is paired, who asks to be, the pairing window, and who is connected.
//!
//! Whatever changes any of that comes here, one thing after the other; so there is one attempt slot, one window, one
//! count of connections, and nothing is told before it is on disk. The table of devices is published for everybody who
//! only looks ([`super::devices`]).

mod actor;
mod connections;
mod decide;
mod links;
mod paired;
mod passes;
mod pending;
mod tabs;
mod window;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use lanyard_pairing::host::{AwaitConfirm, AwaitShare};
use lanyard_pairing::identity::Lineage;
use lanyard_pairing::message::{Sid, ToDevice, ToHost};
use lanyard_pairing::{Abort, Channel, ChannelKey};
use lanyard_ports::journal::JournalError;
use lanyard_protocol::device::{Device, PageReport, PairingWindow, PendingPairing};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::health::DiscoveryHealth;
use lanyard_protocol::id::DeviceId;
use lanyard_protocol::method::{DecidePairing, LinkCreated, PairingDecided};
use lanyard_protocol::principal::{Principal, Scope};
use lanyard_transport::close::CloseCode;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::api::store_error;
use crate::command::NewCommand;

pub(super) use actor::{DeskParts, Surface, announcement, start};

/// Requests waiting for the desk; senders wait beyond that.
const MAILBOX: usize = 256;

/// Why the desk did not do what a person asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeskError {
    /// It cannot be done.
    #[error(transparent)]
    Refused(#[from] WireError),
    /// It could not be written down.
    #[error(transparent)]
    Store(#[from] JournalError),
}

impl From<DeskError> for WireError {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Refused(error) => error,
            DeskError::Store(error) => store_error(error),
        }
    }
}

fn stopping() -> WireError {
    WireError::new(ErrorCode::InternalError, "the host is stopping; try again when it runs again")
}

/// What a device that waits for a person's answer is told.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    /// Nothing yet.
    Waiting,
    /// Yes; the grant is on disk and may leave.
    Granted(DeviceId, Box<ToDevice>),
    /// It came to nothing.
    Ended(Abort),
    /// The device asks on a newer connection.
    Superseded,
}

/// A device's place among those that wait.
#[derive(Debug)]
pub(crate) struct Place {
    /// Names the attempt.
    pub(crate) sid: Sid,
    /// What becomes of it. Closed when the host stops.
    pub(crate) verdict: watch::Receiver<Verdict>,
}

/// Why, and when, a connection has to end.
#[derive(Debug, Default)]
struct Cut {
    now: CancellationToken,
    code: OnceLock<CloseCode>,
    /// Cancelled when it has ended, requests under way included.
    gone: CancellationToken,
}

impl Cut {
    fn cut(&self, code: CloseCode) {
        // The first reason stands.
        let _ = self.code.set(code);
        self.now.cancel();
    }

    fn is_cut(&self) -> bool {
        self.now.is_cancelled()
    }
}

/// A paired device's connection, entered with the desk. Whoever holds it calls [`Desk::left`] when it has ended.
#[derive(Debug)]
pub(crate) struct Lease {
    /// Its number in the records.
    pub(crate) number: u64,
    /// Whose it is.
    pub(crate) device: DeviceId,
    cut: Arc<Cut>,
}

impl Lease {
    /// Waits until the connection has to end, and says why. Cancel-safe.
    pub(crate) async fn cut(&self) -> CloseCode {
        self.cut.now.cancelled().await;
        self.cut.code.get().copied().unwrap_or(CloseCode::Done)
    }
}

/// What a person wants to be different about a device.
#[derive(Debug)]
pub(crate) enum Change {
    /// Its name.
    Name(String),
    /// Its rights.
    Scopes(Vec<Scope>),
}

/// Ends what devices have started; run once they have no rights any more: the one that was removed, and those that it
/// had let in.
pub(crate) type Aftermath = Box<dyn FnOnce(Vec<DeviceId>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// How a device's pairing ends.
struct Removal {
    device: DeviceId,
    by: Principal,
    code: CloseCode,
    command: Option<NewCommand>,
    aftermath: Aftermath,
    reply: Reply<Result<(), DeskError>>,
}

/// A person's answer to a device.
struct Decided {
    by: Principal,
    answer: DecidePairing,
    command: NewCommand,
}

/// The window, and the devices that wait for an answer.
type Asked = (Option<PairingWindow>, Vec<PendingPairing>);

type Reply<T> = oneshot::Sender<T>;

enum Message {
    OpenWindow(Reply<Result<PairingWindow, DeskError>>),
    Close(Box<Principal>, Reply<Result<(), DeskError>>),
    Link(Box<Principal>, Option<String>, Reply<Result<LinkCreated, DeskError>>),
    Pairings(Box<Principal>, Reply<Result<Asked, DeskError>>),
    Decide(Box<Decided>, Reply<Result<PairingDecided, DeskError>>),
    Greet(Channel, Box<ToHost>, Reply<Result<(AwaitShare, ToDevice), Abort>>),
    Share(Box<AwaitShare>, Box<ToHost>, Reply<Result<(AwaitConfirm, ToDevice), Abort>>),
    Confirm(Box<AwaitConfirm>, Box<ToHost>, SocketAddr, Reply<Result<(Place, ToDevice), Abort>>),
    Abandon(Box<AwaitConfirm>),
    Resume(Box<ToHost>, Channel, SocketAddr, Reply<Result<(Place, ToDevice), Abort>>),
    Acknowledge(DeviceId, Box<ToHost>, Reply<Result<(), Abort>>),
    GiveUp(Sid),
    Lineage(Reply<Lineage>),
    Change(DeviceId, Change, Box<Principal>, Reply<Result<Device, DeskError>>),
    Remove(Box<Removal>),
    Page(DeviceId, Box<PageReport>, Reply<Result<(), DeskError>>),
    Rotate(bool, Reply<Result<(), DeskError>>),
    Arrived(ChannelKey, SocketAddr, Reply<Result<Lease, CloseCode>>),
    Left(u64, &'static str),
    CutAll(CloseCode),
    Discovery(Reply<DiscoveryHealth>),
}

/// The way to the desk. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    mailbox: mpsc::Sender<Message>,
    stop: CancellationToken,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message")
    }
}

impl Desk {
    /// Ends the desk's task, after it has written down what it counted.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    async fn ask<T>(&self, message: impl FnOnce(Reply<T>) -> Message) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.mailbox.send(message(reply)).await.ok()?;
        answer.await.ok()
    }

    async fn request<T>(
        &self,
        message: impl FnOnce(Reply<Result<T, DeskError>>) -> Message,
    ) -> Result<T, DeskError> {
        self.ask(message).await.unwrap_or_else(|| Err(stopping().into()))
    }

    async fn pairing<T>(&self, message: impl FnOnce(Reply<Result<T, Abort>>) -> Message) -> Result<T, Abort> {
        self.ask(message).await.unwrap_or(Err(Abort::Internal))
    }

    /// Opens the pairing window, in place of one that is open.
    pub(crate) async fn open_window(&self) -> Result<PairingWindow, DeskError> {
        self.request(Message::OpenWindow).await
    }

    /// Takes back the link of the device that asks and the question that came by it; where there is neither, closes the
    /// window, for whoever may. Devices that wait for an answer then go on waiting.
    pub(crate) async fn close(&self, by: Principal) -> Result<(), DeskError> {
        self.request(|reply| Message::Close(Box::new(by), reply)).await
    }

    /// The window, secrets included, and the devices that wait, oldest first. A device without `admin` sees no window
    /// and only who came by its own link.
    pub(crate) async fn pairings(&self, by: Principal) -> Result<Asked, DeskError> {
        self.request(|reply| Message::Pairings(Box::new(by), reply)).await
    }

    /// Makes a link for a tab of the owner, whose question is answered with it, or, with an origin, for a device's own
    /// page at another address of this host, whose question that device answers.
    pub(crate) async fn create_link(
        &self,
        by: Principal,
        origin: Option<String>,
    ) -> Result<LinkCreated, DeskError> {
        self.request(|reply| Message::Link(Box::new(by), origin, reply)).await
    }

    /// A person's answer to a device. On disk, with the answer that `command` keeps, when this returns.
    pub(crate) async fn decide(
        &self,
        by: Principal,
        answer: DecidePairing,
        command: NewCommand,
    ) -> Result<PairingDecided, DeskError> {
        let decided = Box::new(Decided { by, answer, command });
        self.request(|reply| Message::Decide(decided, reply)).await
    }

    /// The first message of a pairing.
    pub(super) async fn greet(
        &self,
        channel: Channel,
        hello: ToHost,
    ) -> Result<(AwaitShare, ToDevice), Abort> {
        self.pairing(|reply| Message::Greet(channel, Box::new(hello), reply)).await
    }

    /// The second one. The attempt is on disk when this returns. Whoever holds what it gives either goes on with
    /// [`Desk::confirm`] or calls [`Desk::abandon`].
    pub(super) async fn share(
        &self,
        state: AwaitShare,
        message: ToHost,
    ) -> Result<(AwaitConfirm, ToDevice), Abort> {
        self.pairing(|reply| Message::Share(Box::new(state), Box::new(message), reply)).await
    }

    /// The third one. The device has proven itself when this returns; people are told.
    pub(super) async fn confirm(
        &self,
        state: AwaitConfirm,
        message: ToHost,
        from: SocketAddr,
    ) -> Result<(Place, ToDevice), Abort> {
        self.pairing(|reply| Message::Confirm(Box::new(state), Box::new(message), from, reply)).await
    }

    /// The device went away in the middle of an attempt. Does not wait: a slot that cannot be freed at once frees
    /// itself after [`lanyard_pairing::window::SLOT`].
    pub(super) fn abandon(&self, state: AwaitConfirm) {
        // See above for a full mailbox; without a desk there is no slot.
        let _ = self.mailbox.try_send(Message::Abandon(Box::new(state)));
    }

    /// A device that waited is back.
    pub(super) async fn resume(
        &self,
        message: ToHost,
        channel: Channel,
        from: SocketAddr,
    ) -> Result<(Place, ToDevice), Abort> {
        self.pairing(|reply| Message::Resume(Box::new(message), channel, from, reply)).await
    }

    /// A device says that it has written its grant down.
    pub(super) async fn acknowledge(&self, device: DeviceId, message: ToHost) -> Result<(), Abort> {
        self.pairing(|reply| Message::Acknowledge(device, Box::new(message), reply)).await
    }

    /// A device that waited gives up.
    pub(super) async fn give_up(&self, sid: Sid) {
        // Without a desk nothing waits.
        let _ = self.mailbox.send(Message::GiveUp(sid)).await;
    }

    /// How the host's key follows from older ones.
    pub(super) async fn lineage(&self) -> Result<Lineage, Abort> {
        self.ask(Message::Lineage).await.ok_or(Abort::Internal)
    }

    /// Changes a device.
    pub(crate) async fn change(
        &self,
        device: DeviceId,
        change: Change,
        by: Principal,
    ) -> Result<Device, DeskError> {
        self.request(|reply| Message::Change(device, change, Box::new(by), reply)).await
    }

    /// A device says what it knows of the page it runs in. Kept until the host stops.
    pub(crate) async fn report_page(&self, device: DeviceId, page: PageReport) -> Result<(), DeskError> {
        self.request(|reply| Message::Page(device, Box::new(page), reply)).await
    }

    /// Ends a device's pairing by somebody else's wish. When this returns, its connections are cut, no request of the
    /// device is begun any more and those under way are done, the removal is on disk, and `aftermath` has run. Devices
    /// that it has let in go with it.
    pub(crate) async fn revoke(
        &self,
        device: DeviceId,
        by: Principal,
        command: NewCommand,
        aftermath: Aftermath,
    ) -> Result<(), DeskError> {
        let (code, command) = (CloseCode::Revoked, Some(command));
        let removal = |reply| Removal { device, by, code, command, aftermath, reply };
        self.request(|reply| Message::Remove(Box::new(removal(reply)))).await
    }

    /// Ends the pairing of the device that asks. As [`Desk::revoke`], but its connections are cut a moment later, so
    /// that its answer arrives.
    pub(crate) async fn unpair(
        &self,
        device: DeviceId,
        by: Principal,
        aftermath: Aftermath,
    ) -> Result<(), DeskError> {
        let (code, command) = (CloseCode::Unpaired, None);
        let removal = |reply| Removal { device, by, code, command, aftermath, reply };
        self.request(|reply| Message::Remove(Box::new(removal(reply)))).await
    }

    /// Gives the host new keys.
    pub(crate) async fn rotate_keys(&self, compromised: bool) -> Result<(), DeskError> {
        self.request(|reply| Message::Rotate(compromised, reply)).await
    }

    /// A device connected, and its connection has proven this key.
    ///
    /// # Errors
    /// How the connection is to be closed.
    pub(super) async fn arrived(&self, key: ChannelKey, from: SocketAddr) -> Result<Lease, CloseCode> {
        let arrived = self.ask(|reply| Message::Arrived(key, from, reply)).await;
        arrived.unwrap_or(Err(CloseCode::Stopping))
    }

    /// A connection has ended; the word says how.
    pub(super) async fn left(&self, lease: Lease, how: &'static str) {
        // A desk that has ended has closed its records.
        let _ = self.mailbox.send(Message::Left(lease.number, how)).await;
    }

    /// Ends every connection.
    pub(super) async fn cut_all(&self, code: CloseCode) {
        // A desk that has ended has no connections.
        let _ = self.mailbox.send(Message::CutAll(code)).await;
    }

    /// Whether the host is found by name; `None` when the desk has ended.
    pub(super) async fn discovery(&self) -> Option<DiscoveryHealth> {
        self.ask(Message::Discovery).await
    }
}
