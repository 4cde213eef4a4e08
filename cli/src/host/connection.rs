//! A connection to the local host: moves bytes between the socket and [`lanyard_client::Client`].
//!
//! There is no task behind it: whoever wants to know what happens calls [`Connection::next`], and everything moves
//! while that call or [`Connection::call`] waits.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use lanyard_client::{Backoff, Client, Incoming, RandomSource, Tick};
use lanyard_protocol::codec::JsonRpcCodec;
use lanyard_protocol::method::{Call, Request};
use lanyard_protocol::rpc::RequestId;
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::attach::{HostError, attach};
use crate::exit::Failure;

/// Longest line taken from a host. Hosts bound their pages to a few megabytes; a host gone wild does not
/// take the machine's memory with it.
const MAX_LINE_BYTES: usize = 64 << 20;

/// Bytes read at a time.
const READ_BYTES: usize = 64 * 1024;

/// What may arrive while one answer is waited for. A host sends answers before the events they cause, so that this
/// is the traffic of the other sessions followed; beyond it the host is at fault.
const MAX_BACKLOG: usize = 100_000;

/// Keys from the operating system.
#[derive(Debug)]
struct OsRandom;

impl RandomSource for OsRandom {
    fn next_u128(&mut self) -> u128 {
        let mut bytes = [0; 16];
        if let Err(e) = getrandom::fill(&mut bytes) {
            // Without randomness keys would repeat, and a new command be taken for an old one.
            eprintln!("lanyard: the operating system gives no randomness: {e}");
            std::process::abort();
        }
        u128::from_ne_bytes(bytes)
    }
}

/// What to do when the connection breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// End the command.
    None,
    /// Try to reconnect for so long, then end it.
    For(Duration),
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Happening {
    /// The client made something of what arrived.
    Incoming(Incoming),
    /// The connection broke; it is being made anew.
    Reconnecting,
    /// It is there again, and nothing was missed.
    Reconnected,
}

#[derive(Debug)]
struct Link {
    stream: UnixStream,
    inbound: Vec<u8>,
    /// Bytes of `inbound` in which no newline was found.
    scanned: usize,
    outbound: Vec<u8>,
}

/// When and how to try again.
#[derive(Debug)]
struct Retry {
    backoff: Backoff,
    at: Instant,
    give_up_at: Instant,
    last_error: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Connection {
    client: Client<JsonRpcCodec, OsRandom>,
    state_dir: PathBuf,
    patience: Patience,
    link: Result<Link, Retry>,
    backlog: VecDeque<Happening>,
    clock: Instant,
}

impl Connection {
    /// Talks over a connected socket. `state_dir` is where the host is looked for when the connection breaks.
    pub(crate) fn new(
        stream: std::os::unix::net::UnixStream,
        state_dir: PathBuf,
        patience: Patience,
    ) -> Result<Self, Failure> {
        let mut client = Client::new(JsonRpcCodec, OsRandom);
        // A fresh client has nothing to report.
        client.on_connected(Tick::default());
        let link = Link::new(stream).map_err(|e| Failure::Host(HostError::Gone(Some(e.to_string()))))?;
        let clock = Instant::now();
        Ok(Self { client, state_dir, patience, link: Ok(link), backlog: VecDeque::new(), clock })
    }

    /// Queues a call; its answer arrives as [`Incoming::Reply`].
    pub(crate) fn send(&mut self, call: impl Call) -> Result<RequestId, Failure> {
        Ok(self.client.call(call)?)
    }

    /// Calls and waits for the answer. What else happens meanwhile is kept for [`Connection::next`]. Not
    /// cancel-safe: the answer to a call that was given up is lost.
    pub(crate) async fn call<T: Call>(&mut self, call: T) -> Result<T::Result, Failure> {
        let request = call.into_request();
        let method = request.method();
        let response = self.request(request).await?;
        // The client has checked that the answer is of the method called.
        T::from_response(response).ok_or(Failure::Unanswered(method.name()))
    }

    async fn request(&mut self, request: Request) -> Result<lanyard_protocol::method::Response, Failure> {
        let wanted = self.client.request(request)?;
        let mut looked_at = self.backlog.len();
        loop {
            while let Some(happening) = self.backlog.get(looked_at) {
                let ours = match happening {
                    Happening::Incoming(Incoming::Reply { id, .. } | Incoming::Unanswered { id, .. }) => {
                        *id == wanted
                    }
                    _ => false,
                };
                if !ours {
                    looked_at += 1;
                    continue;
                }
                return match self.backlog.remove(looked_at) {
                    Some(Happening::Incoming(Incoming::Reply { answer, .. })) => Ok(*answer?),
                    Some(Happening::Incoming(Incoming::Unanswered { method, .. })) => {
                        Err(Failure::Unanswered(method.name()))
                    }
                    _ => continue,
                };
            }
            if self.backlog.len() > MAX_BACKLOG {
                return Err(Failure::Other(
                    "the host sends events and no answer; restart it with `lanyard stop`".into(),
                ));
            }
            self.advance().await?;
        }
    }

    /// What happens next. Cancel-safe.
    ///
    /// # Errors
    /// The connection broke and, with the patience given, could not be made anew.
    pub(crate) async fn next(&mut self) -> Result<Happening, Failure> {
        loop {
            if let Some(happening) = self.backlog.pop_front() {
                return Ok(happening);
            }
            self.advance().await?;
        }
    }

    /// Moves bytes or lets time pass, once. Cancel-safe.
    async fn advance(&mut self) -> Result<(), Failure> {
        let Ok(link) = &mut self.link else { return self.reconnect().await };
        while let Some(frame) = self.client.poll_transmit() {
            link.outbound.extend_from_slice(&frame);
            link.outbound.push(b'\n');
        }
        let due = self.client.next_timeout().map(|tick| self.clock + Duration::from_millis(tick.as_millis()));
        let moved = tokio::select! {
            moved = link.exchange() => moved,
            () = sleep_until(due) => Ok(()),
        };
        let now = self.now();
        // Lines are taken out even when the link broke right after them.
        let broken = moved.and(self.take_lines(now)).err();
        let incoming = self.client.handle_timeout(now);
        let dead = incoming.contains(&Incoming::Dead);
        self.backlog.extend(incoming.into_iter().filter(|i| *i != Incoming::Dead).map(Happening::Incoming));
        match broken {
            Some(error) => self.lost(error.to_string()),
            None if dead => self.lost("it does not answer".to_owned()),
            None => Ok(()),
        }
    }

    fn now(&self) -> Tick {
        Tick::from_millis(u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn take_lines(&mut self, now: Tick) -> io::Result<()> {
        let Ok(link) = &mut self.link else { return Ok(()) };
        let mut start = 0;
        while let Some(length) = link.inbound[link.scanned..].iter().position(|byte| *byte == b'\n') {
            let end = link.scanned + length;
            match self.client.feed(&link.inbound[start..end], now) {
                Ok(incoming) => self.backlog.extend(incoming.into_iter().map(Happening::Incoming)),
                // It belongs to no call; the log it may have belonged to notices the gap.
                Err(error) => tracing::debug!(%error, "a line of the host was not understood"),
            }
            start = end + 1;
            link.scanned = start;
        }
        link.inbound.drain(..start);
        link.scanned = link.inbound.len();
        if link.inbound.len() > MAX_LINE_BYTES {
            return Err(io::Error::other(format!("it sent a line of more than {MAX_LINE_BYTES} bytes")));
        }
        Ok(())
    }

    fn lost(&mut self, reason: String) -> Result<(), Failure> {
        self.client.on_disconnected();
        let Patience::For(patience) = self.patience else {
            return Err(HostError::Gone(Some(reason)).into());
        };
        let now = Instant::now();
        let mut backoff = Backoff::default();
        // Not at once: for a moment a dying host's socket still takes connections.
        let first = backoff.next_wait(self.client.random());
        self.link =
            Err(Retry { backoff, at: now + first, give_up_at: now + patience, last_error: Some(reason) });
        self.backlog.push_back(Happening::Reconnecting);
        Ok(())
    }

    async fn reconnect(&mut self) -> Result<(), Failure> {
        let now = self.now();
        let Err(retry) = &mut self.link else { return Ok(()) };
        tokio::time::sleep_until(retry.at).await;
        let error = match attach(&self.state_dir) {
            Ok(stream) => match Link::new(stream) {
                Ok(link) => {
                    self.link = Ok(link);
                    let incoming = self.client.on_connected(now);
                    self.backlog.push_back(Happening::Reconnected);
                    self.backlog.extend(incoming.into_iter().map(Happening::Incoming));
                    return Ok(());
                }
                Err(error) => error.to_string(),
            },
            Err(error) if error.is_absence() => error.to_string(),
            // Another user's socket, another version: waiting does not mend it.
            Err(error) => return Err(error.into()),
        };
        if Instant::now() >= retry.give_up_at {
            return Err(HostError::Gone(retry.last_error.take()).into());
        }
        tracing::debug!(%error, "no host yet");
        retry.at = Instant::now() + retry.backoff.next_wait(self.client.random());
        Ok(())
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

impl Link {
    fn new(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        Ok(Self { stream, inbound: Vec::new(), scanned: 0, outbound: Vec::new() })
    }

    /// Writes what is to be written and reads what is there, waiting until either is possible. Cancel-safe: bytes
    /// are moved without waiting, once the socket is ready.
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
}
