//! The device's side, for programs that are no page: it speaks to a host what a page speaks.

use lanyard_pairing::IdentityKeys;
use lanyard_pairing::mux::{Limits, Role};
use lanyard_pairing::noise::{HandshakeError, Session, paired, pairing};
use rand_core::OsRng;
use tokio::time::timeout;

use super::carrier::Carrier;
use super::peer::NoisePeer;
use super::{PAIRED, PAIRING};
use crate::limits::HANDSHAKE;

/// Why there is no channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The carrier broke off: the host is not there, or did not take the handshake, as one with other keys does not.
    #[error("the host broke off: it is not the host this device knows, or has no room now")]
    Lost,
    /// No answer in time.
    #[error("the host did not answer in time")]
    TimedOut,
    /// What answered is not the host that was meant.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
}

/// A channel for pairing, to whichever host answers. Bounded in time. Needs a tokio runtime.
///
/// # Errors
/// See [`ConnectError`].
pub async fn pair(mut carrier: Carrier, keys: &IdentityKeys) -> Result<NoisePeer, ConnectError> {
    let (initiator, first) = pairing::Initiator::start(&keys.agreement_secret(), &mut OsRng)?;
    let session = bounded(async {
        let answer = exchange(&mut carrier, PAIRING, &first).await?;
        let (session, last) = initiator.finish(&answer)?;
        say(&carrier, last).await?;
        Ok(session)
    });
    Ok(start(session.await?, carrier, Limits::PAIRING))
}

/// A channel to the host that has an X25519 key. That the host does not know this device is only told afterwards, by the
/// way the connection ends. Bounded in time. Needs a tokio runtime.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(
    mut carrier: Carrier,
    keys: &IdentityKeys,
    host: &[u8; 32],
) -> Result<NoisePeer, ConnectError> {
    let (initiator, first) = paired::Initiator::start(&keys.agreement_secret(), host, &mut OsRng)?;
    let session = bounded(async {
        let answer = exchange(&mut carrier, PAIRED, &first).await?;
        let (session, last) = initiator.finish(&answer)?;
        say(&carrier, last).await?;
        Ok(session)
    });
    Ok(start(session.await?, carrier, Limits::PAIRED))
}

fn start(session: Session, carrier: Carrier, limits: Limits) -> NoisePeer {
    let (peer, task) = NoisePeer::new(carrier, session, Role::Initiator, limits, None);
    // Ends with the connection, at the latest when the last handle is dropped.
    tokio::spawn(task);
    peer
}

async fn bounded(
    handshake: impl Future<Output = Result<Session, ConnectError>>,
) -> Result<Session, ConnectError> {
    timeout(HANDSHAKE, handshake).await.unwrap_or(Err(ConnectError::TimedOut))
}

async fn exchange(carrier: &mut Carrier, kind: u8, first: &[u8]) -> Result<Vec<u8>, ConnectError> {
    say(carrier, [&[kind], first].concat()).await?;
    carrier.incoming.recv().await.ok_or(ConnectError::Lost)
}

async fn say(carrier: &Carrier, message: Vec<u8>) -> Result<(), ConnectError> {
    carrier.outgoing.send(message).await.map_err(|_| ConnectError::Lost)
}
