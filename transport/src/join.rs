//! Pairing: the device's driver, and the message stream both sides use, over QUIC or a browser's channel.

use std::time::Duration;

use lanyard_pairing::device::{self, About, Answer, PendingJoin, Secret};
use lanyard_pairing::identity::Lineage;
use lanyard_pairing::message::{MAX_MESSAGE_BYTES, ToDevice, ToHost};
use lanyard_pairing::{Abort, Channel, Fingerprint, Grant, IdentityKeys};
use rand_core::OsRng;
use tokio::time::timeout;

use crate::close::{CloseCode, Ended};
use crate::dial::{Candidate, DialError, Dialer, Expect};
use crate::framing::{FrameError, FrameReader, write_frame};
use crate::peer::{Connection, Peer, SendHalf};

/// How long either side waits for the other's next message while both work without a person.
pub const MESSAGE: Duration = Duration::from_secs(10);

/// How long the device's side of a pairing may take from the connection to the digits.
pub const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long the last words of a connection may take to arrive.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why a pairing did not come about.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The connection broke.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// One side ended the pairing.
    #[error(transparent)]
    Abort(#[from] Abort),
}

/// The one stream of a pairing connection, at either end.
#[derive(Debug)]
struct Line<C: Connection> {
    peer: C,
    send: C::Send,
    recv: C::Recv,
    reader: FrameReader,
}

impl<C: Connection> Line<C> {
    fn new(peer: C, (send, recv): (C::Send, C::Recv)) -> Self {
        Self { peer, send, recv, reader: FrameReader::default() }
    }

    async fn write(&mut self, message: &[u8]) -> Result<(), Ended> {
        match write_frame(&mut self.send, message).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.why(&error)),
        }
    }

    /// The next frame; `None` when the peer has closed its half. Cancel-safe.
    async fn read(&mut self) -> Result<Option<Vec<u8>>, JoinError> {
        match self.reader.next(&mut self.recv, MAX_MESSAGE_BYTES).await {
            Ok(frame) => Ok(frame),
            Err(FrameError::TooLong { .. }) => Err(Abort::Malformed.into()),
            Err(FrameError::Io(error)) => Err(self.why(&error).into()),
        }
    }

    fn why(&self, error: &std::io::Error) -> Ended {
        self.peer.has_ended().unwrap_or_else(|| Ended::Failed(error.to_string()))
    }

    /// Closes our half, waits until everything arrived, then ends the connection.
    async fn finish(mut self) {
        // Closed already: then there is nothing to wait for.
        if self.send.finish().await.is_ok() {
            // Given up, or gone: the connection ends either way.
            let _ = timeout(LAST_WORDS, self.send.stopped()).await;
        }
        self.peer.close(CloseCode::Done);
    }
}

/// Pairing messages from a device, at the host.
#[derive(Debug)]
pub struct HostPairing<C: Connection = Peer> {
    line: Line<C>,
    channel: Channel,
    patience: Option<Duration>,
}

impl<C: Connection> HostPairing<C> {
    /// Takes the one stream of a pairing connection. Bounded in time.
    ///
    /// # Errors
    /// The connection is gone, or nothing was opened in time.
    pub async fn accept(peer: C) -> Result<Self, Ended> {
        let Ok(streams) = timeout(MESSAGE, peer.accept()).await else {
            peer.close(CloseCode::Timeout);
            return Err(Ended::Here);
        };
        let channel = peer.channel()?;
        Ok(Self { line: Line::new(peer, streams?), channel, patience: Some(MESSAGE) })
    }

    /// What the pairing is bound to.
    pub fn channel(&self) -> Channel {
        self.channel
    }

    /// Where the device is.
    pub fn address(&self) -> std::net::SocketAddr {
        self.line.peer.address()
    }

    /// How long [`HostPairing::receive`] waits from now on; `None` while a person decides. [`MESSAGE`] to begin with.
    pub fn set_patience(&mut self, patience: Option<Duration>) {
        self.patience = patience;
    }

    /// The next message; `None` when the device has closed its side. Cancel-safe.
    ///
    /// # Errors
    /// The connection is gone; [`Abort::Malformed`] for a frame that is no message, [`Abort::Timeout`] when none came in
    /// time.
    pub async fn receive(&mut self) -> Result<Option<ToHost>, JoinError> {
        let frame = match self.patience {
            Some(patience) => {
                timeout(patience, self.line.read()).await.unwrap_or_else(|_| Err(Abort::Timeout.into()))?
            }
            None => self.line.read().await?,
        };
        Ok(frame.map(|frame| ToHost::decode(&frame)).transpose()?)
    }

    /// Sends a message. Not cancel-safe.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn send(&mut self, message: &ToDevice) -> Result<(), Ended> {
        self.line.write(&message.encode()).await
    }

    /// Says why the pairing came to nothing and ends the connection once that has arrived. Bounded in time.
    pub async fn abort(mut self, why: Abort) {
        // A device that does not read is not waited for.
        let _ = timeout(LAST_WORDS, self.send(&ToDevice::Abort(why))).await;
        self.finish().await;
    }

    /// Ends the connection in order, once everything sent has arrived. Bounded in time.
    pub async fn finish(self) {
        self.line.finish().await;
    }
}

/// A pairing connection, at the device.
#[derive(Debug)]
struct DevicePairing<C: Connection> {
    line: Line<C>,
    /// The host has ended the pairing and need not be told.
    ended_by_host: bool,
}

impl<C: Connection> DevicePairing<C> {
    async fn open(peer: C) -> Result<(Self, Channel), JoinError> {
        let channel = peer.channel()?;
        let streams = peer.open().await?;
        Ok((Self { line: Line::new(peer, streams), ended_by_host: false }, channel))
    }

    async fn send(&mut self, message: &ToHost) -> Result<(), JoinError> {
        Ok(self.line.write(&message.encode()).await?)
    }

    /// The next message. That the host closes its half, or says why it will not go on, is an error. Cancel-safe.
    async fn receive(&mut self) -> Result<ToDevice, JoinError> {
        let Some(frame) = self.line.read().await? else {
            return Err(Ended::Failed("the host ended the pairing without a word".to_owned()).into());
        };
        match ToDevice::decode(&frame)? {
            ToDevice::Abort(why) => {
                self.ended_by_host = true;
                Err(why.into())
            }
            message => Ok(message),
        }
    }

    /// Tells the host when it was us who ended it, so that its person is not left waiting.
    async fn give_up(mut self, error: JoinError) -> JoinError {
        if let JoinError::Abort(why) = &error
            && !self.ended_by_host
        {
            // A host that does not read is not waited for.
            let _ = timeout(LAST_WORDS, self.send(&ToHost::Abort(*why))).await;
            self.line.finish().await;
        }
        error
    }
}

/// Pairs as far as the digits. Bounded in time; races the candidates, pairs on one winner, never retries by itself.
///
/// # Errors
/// See [`JoinError`].
pub async fn join(
    dialer: &Dialer,
    keys: &IdentityKeys,
    candidates: &[Candidate],
    about: &About,
    secret: Secret,
) -> Result<Waiting, JoinError> {
    // Whose key it is comes out in the pairing; a link names the host and is compared there.
    join_over(dialer.pairing(candidates, Expect::Anybody).await?, keys, about, secret).await
}

/// As [`join`], over a connection for pairing that is there.
///
/// # Errors
/// See [`JoinError`].
pub async fn join_over<C: Connection>(
    peer: C,
    keys: &IdentityKeys,
    about: &About,
    secret: Secret,
) -> Result<Waiting<C>, JoinError> {
    let (mut line, channel) = DevicePairing::open(peer).await?;
    let shaken = timeout(HANDSHAKE, shake_hands(&mut line, keys, about, secret, channel)).await;
    match shaken.unwrap_or(Err(JoinError::Abort(Abort::Timeout))) {
        Ok(pending) => Ok(Waiting { line, pending }),
        Err(error) => Err(line.give_up(error).await),
    }
}

async fn shake_hands<C: Connection>(
    line: &mut DevicePairing<C>,
    keys: &IdentityKeys,
    about: &About,
    secret: Secret,
    channel: Channel,
) -> Result<PendingJoin, JoinError> {
    let (state, hello) = device::start(keys, about, secret, channel, &mut OsRng)?;
    line.send(&hello).await?;
    let (state, share) = state.handle(line.receive().await?, &mut OsRng)?;
    line.send(&share).await?;
    let (state, proof) = state.handle(line.receive().await?)?;
    line.send(&proof).await?;
    Ok(state.handle(line.receive().await?)?)
}

/// Goes back to a host that has not answered yet.
///
/// # Errors
/// See [`JoinError`].
pub async fn resume(
    dialer: &Dialer,
    candidates: &[Candidate],
    pending: PendingJoin,
) -> Result<Waiting, JoinError> {
    let expect = Expect::Key(pending.host().signing);
    resume_over(dialer.pairing(candidates, expect).await?, pending).await
}

/// As [`resume`], over a connection for pairing that is there.
///
/// # Errors
/// See [`JoinError`].
pub async fn resume_over<C: Connection>(peer: C, pending: PendingJoin) -> Result<Waiting<C>, JoinError> {
    let (mut line, channel) = DevicePairing::open(peer).await?;
    let hello = match pending.resume(&channel) {
        Ok(hello) => hello,
        Err(why) => return Err(line.give_up(why.into()).await),
    };
    line.send(&hello).await?;
    Ok(Waiting { line, pending })
}

/// Asks a host whose key is unknown how it follows from a known one. The answer is signed; the channel is not trusted.
///
/// # Errors
/// See [`JoinError`].
pub async fn lineage(
    dialer: &Dialer,
    candidates: &[Candidate],
    known: Fingerprint,
) -> Result<(Lineage, [u8; 32]), JoinError> {
    let peer = dialer.pairing(candidates, Expect::Anybody).await?;
    let key = *peer.key();
    Ok((lineage_over(peer, known).await?, key))
}

/// As [`lineage`], over a connection for pairing that is there. Its own key has still to be compared with what comes out.
///
/// # Errors
/// See [`JoinError`].
pub async fn lineage_over<C: Connection>(peer: C, known: Fingerprint) -> Result<Lineage, JoinError> {
    let (mut line, _) = DevicePairing::open(peer).await?;
    let asked = timeout(MESSAGE, async {
        line.send(&ToHost::Lineage(known)).await?;
        match line.receive().await? {
            ToDevice::Lineage(lineage) => Ok(lineage),
            _ => Err(Abort::OutOfOrder.into()),
        }
    });
    match asked.await.unwrap_or(Err(JoinError::Abort(Abort::Timeout))) {
        Ok(lineage) => {
            line.line.finish().await;
            Ok(lineage)
        }
        Err(error) => Err(line.give_up(error).await),
    }
}

/// Both machines agree; a person on the host decides. Write [`Waiting::pending`] down before showing anything.
#[derive(Debug)]
pub struct Waiting<C: Connection = Peer> {
    line: DevicePairing<C>,
    pending: PendingJoin,
}

impl<C: Connection> Waiting<C> {
    /// What to keep.
    pub fn pending(&self) -> &PendingJoin {
        &self.pending
    }

    /// Where the host is.
    pub fn address(&self) -> std::net::SocketAddr {
        self.line.line.peer.address()
    }

    /// Waits for the answer. When the connection breaks ([`JoinError::Ended`]), [`resume`] goes on. Cancel-safe.
    ///
    /// # Errors
    /// See [`JoinError`]; after [`JoinError::Abort`] the pairing is over.
    pub async fn answer(&mut self) -> Result<Grant, JoinError> {
        loop {
            let message = self.line.receive().await?;
            match self.pending.answer(message)? {
                Answer::Waiting => {}
                Answer::Granted(grant) => return Ok(grant),
            }
        }
    }

    /// Says that the grant is written down. Not needed for the pairing to hold: the first connection does the same.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn acknowledge(mut self) -> Result<(), JoinError> {
        self.line.send(&self.pending.acknowledge()).await?;
        self.line.line.finish().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
