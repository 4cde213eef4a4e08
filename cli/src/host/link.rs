//! The bytes of one connection, whichever way they go: lines on the local socket, frames of a QUIC session.

use std::collections::VecDeque;
use std::io;

use lanyard_transport::close::{CloseCode, Ended};
use lanyard_transport::session::Session;
use tokio::net::UnixStream;

/// Longest line taken from a host. Hosts bound their pages to a few megabytes; a host gone wild does not
/// take the machine's memory with it.
const MAX_LINE_BYTES: usize = 64 << 20;

/// Bytes read at a time.
const READ_BYTES: usize = 64 * 1024;

/// What is new when a host asks a device to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// The rights of the device.
    Rights,
    /// The keys of the host.
    Keys,
}

impl Renewal {
    /// In words; the sentence goes on with what is done about it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Renewal::Rights => "This device's rights were changed on the host",
            Renewal::Keys => "The host has new keys",
        }
    }

    /// The word for scripts, as in the host's records of connections.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Renewal::Rights => CloseCode::ScopesChanged.word(),
            Renewal::Keys => CloseCode::KeyChanged.word(),
        }
    }
}

/// How a link broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Broken {
    /// A new connection may do better.
    Lost(String),
    /// The host wants the device to come back at once: its rights or the host's keys are new.
    Renewed(Renewal),
    /// The host does not want this device, or does not understand it: no use to come back.
    TurnedAway(Ended),
}

impl From<Ended> for Broken {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::ByPeer(
                CloseCode::NotPaired | CloseCode::Revoked | CloseCode::Unpaired | CloseCode::Protocol,
            ) => Broken::TurnedAway(ended),
            Ended::ByPeer(CloseCode::ScopesChanged) => Broken::Renewed(Renewal::Rights),
            Ended::ByPeer(CloseCode::KeyChanged) => Broken::Renewed(Renewal::Keys),
            ended => Broken::Lost(ended.to_string()),
        }
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Broken::Lost(error.to_string())
    }
}

/// See the module.
#[derive(Debug)]
pub(super) enum Link {
    /// The local socket.
    Lines(Lines),
    /// A paired host.
    Frames(Frames),
}

impl Link {
    /// Puts a frame in line. Nothing is written before [`Link::exchange`].
    pub(super) fn queue(&mut self, frame: Vec<u8>) {
        match self {
            Link::Lines(lines) => {
                lines.outbound.extend_from_slice(&frame);
                lines.outbound.push(b'\n');
            }
            Link::Frames(frames) => frames.outbound.push_back(frame),
        }
    }

    /// Writes what is to be written and reads what is there, waiting until something arrives. Cancel-safe.
    pub(super) async fn exchange(&mut self) -> Result<(), Broken> {
        match self {
            Link::Lines(lines) => Ok(lines.exchange().await?),
            Link::Frames(frames) => Ok(frames.exchange().await?),
        }
    }

    /// Hands over what has arrived, frame by frame.
    pub(super) fn drain(&mut self, mut take: impl FnMut(&[u8])) -> Result<(), Broken> {
        match self {
            Link::Lines(lines) => lines.drain(take),
            Link::Frames(frames) => {
                frames.inbound.drain(..).for_each(|frame| take(&frame));
                Ok(())
            }
        }
    }
}

/// Lines of JSON on a socket.
#[derive(Debug)]
pub(super) struct Lines {
    stream: UnixStream,
    inbound: Vec<u8>,
    /// Bytes of `inbound` in which no newline was found.
    scanned: usize,
    outbound: Vec<u8>,
}

impl Lines {
    pub(super) fn new(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        Ok(Self { stream, inbound: Vec::new(), scanned: 0, outbound: Vec::new() })
    }

    /// Cancel-safe: bytes are moved without waiting, once the socket is ready.
    async fn exchange(&mut self) -> io::Result<()> {
        loop {
            if !self.outbound.is_empty() {
                match self.stream.try_write(&self.outbound) {
                    Ok(written) => drop(self.outbound.drain(..written)),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    Err(e) => return Err(e),
                }
            }
            let length = self.inbound.len();
            self.inbound.resize(length + READ_BYTES, 0);
            let read = self.stream.try_read(&mut self.inbound[length..]);
            self.inbound.truncate(length + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection"));
                }
                Ok(_) => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
            let interest = match self.outbound.is_empty() {
                true => tokio::io::Interest::READABLE,
                false => tokio::io::Interest::READABLE | tokio::io::Interest::WRITABLE,
            };
            self.stream.ready(interest).await?;
        }
    }

    fn drain(&mut self, mut take: impl FnMut(&[u8])) -> Result<(), Broken> {
        let mut start = 0;
        while let Some(length) = self.inbound[self.scanned..].iter().position(|byte| *byte == b'\n') {
            let end = self.scanned + length;
            take(&self.inbound[start..end]);
            start = end + 1;
            self.scanned = start;
        }
        self.inbound.drain(..start);
        self.scanned = self.inbound.len();
        if self.inbound.len() > MAX_LINE_BYTES {
            return Err(Broken::Lost(format!("it sent a line of more than {MAX_LINE_BYTES} bytes")));
        }
        Ok(())
    }
}

/// Frames of a QUIC session.
#[derive(Debug)]
pub(super) struct Frames {
    session: Session,
    inbound: VecDeque<Vec<u8>>,
    outbound: VecDeque<Vec<u8>>,
}

impl Frames {
    pub(super) fn new(session: Session) -> Self {
        Self { session, inbound: VecDeque::new(), outbound: VecDeque::new() }
    }

    /// Cancel-safe: a frame leaves the line only once it was taken. Sending does not wait for receiving: the session
    /// takes as many frames as the client may have unanswered.
    async fn exchange(&mut self) -> Result<(), Ended> {
        while let Some(frame) = self.outbound.front() {
            self.session.send(frame.clone()).await?;
            self.outbound.pop_front();
        }
        let arrived = self.session.receive().await?;
        self.inbound.push_back(arrived);
        Ok(())
    }
}
