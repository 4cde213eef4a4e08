//! What follows a handshake: messages sealed and opened in strict sequence.

use snow::TransportState;

use super::primitives::TAG;
use crate::channel::Channel;

/// Longest sealed message: Noise's own bound (section 3).
pub const MAX_SEALED_BYTES: usize = 65_535;

/// Longest message to be sealed: what is left beside the tag.
pub const MAX_PLAINTEXT_BYTES: usize = MAX_SEALED_BYTES - TAG;

/// Messages after which a direction's key is replaced by one that follows from it (Noise, section 11.3), on both sides
/// by count alone. The cipher does not need it, its counter has 64 bits; but a tab lives for weeks, and who takes a
/// key out of its memory shall not open everything recorded before. At most 1 GiB goes under one key.
pub const REKEY_AFTER: u32 = 1 << 14;

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// Longer than [`MAX_SEALED_BYTES`], or (our own) than [`MAX_PLAINTEXT_BYTES`].
    #[error("a message of {0} bytes does not fit the secure channel: the connection ends, connect again")]
    TooLong(usize),
    /// Replayed, lost, out of order, altered, cut, or not of this session.
    #[error(
        "a message in the secure channel was repeated, left out or altered on its way: the connection ends, \
         connect again"
    )]
    Forged,
    /// It ended at an error before.
    #[error("the secure channel has ended: connect again")]
    Ended,
    /// The library refused a step that is always possible.
    #[error("the secure channel could not be computed: this is a defect of this program")]
    Defect,
}

/// A session between two proven keys. After an error it is over for good, in both directions.
pub struct Session {
    /// Gone after an error, keys and all.
    state: Option<TransportState>,
    channel: Channel,
    sending: Countdown,
    receiving: Countdown,
}

impl Session {
    pub(super) fn new(state: TransportState, channel: Channel) -> Self {
        let count = Countdown::new(REKEY_AFTER);
        Self { state: Some(state), channel, sending: count, receiving: count }
    }

    /// The handshake hash and the peer's proven X25519 key.
    pub fn channel(&self) -> Channel {
        self.channel
    }

    /// Whether an error has ended it.
    pub fn is_over(&self) -> bool {
        self.state.is_none()
    }

    /// Seals the next message to the peer, at most [`MAX_PLAINTEXT_BYTES`]. What is sealed must be sent, in this order.
    ///
    /// # Errors
    /// Each ends the session.
    pub fn seal(&mut self, message: &[u8]) -> Result<Vec<u8>, SessionError> {
        let mut state = self.state.take().ok_or(SessionError::Ended)?;
        if message.len() > MAX_PLAINTEXT_BYTES {
            return Err(SessionError::TooLong(message.len()));
        }
        let mut sealed = vec![0; message.len() + TAG];
        match state.write_message(message, &mut sealed) {
            Ok(length) if length == sealed.len() => {}
            Ok(_) | Err(_) => return Err(SessionError::Defect),
        }
        if self.sending.is_over() {
            state.rekey_outgoing();
        }
        self.state = Some(state);
        Ok(sealed)
    }

    /// Opens the next message of the peer.
    ///
    /// # Errors
    /// Each ends the session.
    pub fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, SessionError> {
        let mut state = self.state.take().ok_or(SessionError::Ended)?;
        if sealed.len() > MAX_SEALED_BYTES {
            return Err(SessionError::TooLong(sealed.len()));
        }
        let mut message = vec![0; sealed.len().checked_sub(TAG).ok_or(SessionError::Forged)?];
        match state.read_message(sealed, &mut message) {
            Ok(length) if length == message.len() => {}
            Err(snow::Error::Decrypt) => return Err(SessionError::Forged),
            Ok(_) | Err(_) => return Err(SessionError::Defect),
        }
        if self.receiving.is_over() {
            state.rekey_incoming();
        }
        self.state = Some(state);
        Ok(message)
    }

    /// Other intervals than [`REKEY_AFTER`], on one side or on both.
    #[cfg(test)]
    pub(super) fn rekey_after(&mut self, messages: u32) {
        self.sending = Countdown::new(messages);
        self.receiving = Countdown::new(messages);
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("peer", &self.channel.peer).field("over", &self.is_over()).finish()
    }
}

/// Counts the messages under one key.
#[derive(Debug, Clone, Copy)]
struct Countdown {
    from: u32,
    left: u32,
}

impl Countdown {
    fn new(from: u32) -> Self {
        Self { from, left: from }
    }

    /// Counts one message; true when it was the last under its key.
    fn is_over(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        if self.left > 0 {
            return false;
        }
        self.left = self.from;
        true
    }
}
