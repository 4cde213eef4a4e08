//! A paired connection that comes back, without IO: carriers are asked for, messages go in and out, time is told.
//!
//! ```text
//!            ┌────────────── fails, ends, sleeps ───────────────┐
//!            ▼                                                  │
//! Waiting ─▶ Dialing ─▶ Shaking ─▶ Greeting ─▶ Up ─────────────┤
//!               │          │ refused                            │
//!               └──────────┴─▶ Dialing ─▶ Asking ── lineage ────┘
//! ```
//! * It is *up* when the host has answered `Identify`: the handshake alone proves the host, not that it lets us in.
//! * Only what comes through the session (a close of the multiplexer) ends it for good. A handshake that is refused may
//!   mean that the host has new keys, so whoever answers is asked, as a stranger, how they follow from the known ones;
//!   nothing but a chain of signatures counts. Everything else is an absence, and is tried again.
//! * What was asked and not answered is the client's business (`lanyard-client`): cursors, repeated commands.

mod asking;
mod calls;
mod standing;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use lanyard_client::{Backoff, Client, Incoming, SendError, Tick};
use lanyard_pairing::mux::Limits;
use lanyard_pairing::noise::paired::Initiator;
use lanyard_pairing::{Channel, IdentityKeys, PublicIdentity};
use lanyard_protocol::codec::PostcardCodec;
use lanyard_protocol::device::PageReport;
use lanyard_protocol::method::{Request, Response};
use lanyard_protocol::rpc::RequestId;
use rand_core::CryptoRngCore;

use crate::chance::Chance;
use crate::close::{self, Verdict};
use crate::exchange::Exchanges;
use crate::link::{CallError, CarrierKind, Ending};
use crate::machine::Machine;
use crate::stranger::Stranger;
use crate::wire::{Purpose, Wire};
use calls::Up;
use standing::Down;
pub(crate) use standing::Standing;

/// How long a carrier may take to open: two kinds are tried, one after the other.
pub(crate) const DIAL: Duration = Duration::from_secs(15);

/// How long it may take from there until the host has answered. Tens of milliseconds, on a bad Wi-Fi a second.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);

/// How long a connection may be silent after a pause before it counts as dead. A phone's socket may be so without a sign.
pub(crate) const AFTER_WAKE: Duration = Duration::from_secs(2);

/// Sessions that are followed at once: each holds a stream, and of [`Limits::PAIRED`]'s one is the host log's and some
/// are for requests.
const MAX_FOLLOWED: usize = 24;

/// A connection that lasted so long worked, and the waits between attempts begin with the shortest again. Who is let in
/// and sent away at once is not to come back all the faster.
const WORKED: Duration = Duration::from_secs(3);

/// Connecting again at once, as a host may ask for, happens no more often than this.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What the driver tells.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Output {
    /// The connection stands otherwise than before.
    Standing(Standing),
    /// Something happened that answers no call.
    Incoming(Incoming),
    /// A call has come to its end.
    Answer(RequestId, Result<Box<Response>, CallError>),
    /// The host has new keys, signed by the known ones. To be written down.
    Followed(PublicIdentity),
}

/// Why a carrier is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Errand {
    Connect,
    /// To ask who answers in the host's place.
    Lineage,
}

#[derive(Debug)]
enum Stage {
    Waiting {
        until: Tick,
        errand: Errand,
    },
    Dialing {
        errand: Errand,
        since: Tick,
    },
    Shaking {
        initiator: Box<Initiator>,
        since: Tick,
    },
    /// `Identify` is under way.
    Greeting {
        wire: Box<Wire>,
        exchanges: Exchanges,
        since: Tick,
    },
    Up(Box<Up>),
    /// As a stranger; the channel once it is there.
    Asking {
        stranger: Box<Stranger>,
        channel: Option<Channel>,
        since: Tick,
    },
    Over(Ending),
    Stopped,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Driver<R> {
    keys: IdentityKeys,
    host: PublicIdentity,
    client: Client<PostcardCodec, Chance<R>>,
    report: Option<PageReport>,
    /// The call that carries the report.
    reporting: Option<RequestId>,
    stage: Stage,
    /// Number of the last carrier asked for.
    carrier: u64,
    kind: CarrierKind,
    backoff: Backoff,
    /// How it stands while it is not up.
    down: Down,
    /// When it was last connected again without a wait.
    renewed: Option<Tick>,
    told: Option<Standing>,
    /// Handshake messages and last words.
    outgoing: VecDeque<Vec<u8>>,
    outputs: VecDeque<Output>,
}

impl<R: CryptoRngCore + std::fmt::Debug + Send> Driver<R> {
    /// Begins to connect.
    pub(crate) fn start(keys: IdentityKeys, host: PublicIdentity, rng: R, now: Tick) -> Self {
        let mut driver = Self {
            keys,
            host,
            client: Client::new(PostcardCodec, Chance(rng)).following_at_most(MAX_FOLLOWED),
            report: None,
            reporting: None,
            stage: Stage::Stopped,
            carrier: 0,
            kind: CarrierKind::WebSocket,
            backoff: Backoff::default(),
            down: Down::first(now),
            renewed: None,
            told: None,
            outgoing: VecDeque::new(),
            outputs: VecDeque::new(),
        };
        driver.dial(Errand::Connect, now);
        driver
    }

    /// Queues a call; [`Output::Answer`] has what came of it.
    ///
    /// # Errors
    /// See [`SendError`].
    pub(crate) fn call(&mut self, request: Request) -> Result<RequestId, SendError> {
        self.client.request(request)
    }

    /// Whether there will be no connection again.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over(_) | Stage::Stopped)
    }

    /// What the host is told about this page on each connection.
    pub(crate) fn set_report(&mut self, report: PageReport) {
        self.report = Some(report);
        if matches!(self.stage, Stage::Up(_)) {
            self.send_report();
        }
    }

    /// Ends it, and says so to the host.
    pub(crate) fn stop(&mut self) {
        if let Stage::Up(up) = &mut self.stage {
            up.wire.mux.close(close::DONE);
            self.outgoing.extend(up.wire.poll_transmit());
        }
        self.client.on_disconnected();
        self.stage = Stage::Stopped;
    }

    fn dial(&mut self, errand: Errand, now: Tick) {
        self.carrier += 1;
        self.outgoing.clear();
        if errand == Errand::Connect {
            self.down.attempt += 1;
        }
        self.stage = Stage::Dialing { errand, since: now };
        self.tell();
    }

    /// Says hello on a carrier that is open.
    fn shake(&mut self, now: Tick) {
        let host = self.host.agreement;
        match Initiator::start(&self.keys.agreement_secret(), &host, &mut self.client.random().0) {
            Ok((initiator, first)) => {
                self.outgoing.push_back(Purpose::Paired.announce(&first));
                self.stage = Stage::Shaking { initiator: Box::new(initiator), since: now };
            }
            // The host's stored key is none, or our own.
            Err(error) => self.fail(error.to_string(), now),
        }
    }

    /// The host has proven itself: asks who we are for it, which tells whether it lets us in.
    fn greet(&mut self, initiator: Initiator, answer: &[u8], since: Tick, now: Tick) {
        let greeted =
            initiator.finish(answer).map_err(crate::wire::Fault::from).and_then(|(session, last)| {
                let mut wire = Box::new(Wire::new(session, Limits::PAIRED));
                let exchanges = calls::identify(&mut wire)?;
                Ok((last, wire, exchanges))
            });
        match greeted {
            Ok((last, wire, exchanges)) => {
                self.outgoing.push_back(last);
                self.stage = Stage::Greeting { wire, exchanges, since };
            }
            Err(fault) => self.refused(fault.to_string(), now),
        }
    }

    /// No handshake with the keys we know: asks who is there.
    fn refused(&mut self, why: String, now: Tick) {
        self.down.why = Some(why);
        self.dial(Errand::Lineage, now);
    }

    /// An attempt came to nothing, or a connection broke: waits, then tries again.
    fn fail(&mut self, why: String, now: Tick) {
        self.leave(why, now);
        let wait = self.backoff.next_wait(self.client.random());
        self.stage = Stage::Waiting { until: now.plus(wait), errand: Errand::Connect };
        self.tell();
    }

    /// Tries again without a wait, unless it did so just now.
    fn renew(&mut self, errand: Errand, why: String, now: Tick) {
        if self.renewed.is_some_and(|last| now.since(last) < AT_ONCE) {
            self.fail(why, now);
            if let Stage::Waiting { errand: next, .. } = &mut self.stage {
                *next = errand;
            }
            return;
        }
        self.leave(why, now);
        self.renewed = Some(now);
        self.dial(errand, now);
    }

    fn leave(&mut self, why: String, now: Tick) {
        if let Stage::Up(up) = &self.stage {
            if now.since(up.since) >= WORKED {
                self.backoff.reset();
            }
            self.down = Down::since(now);
        }
        self.client.on_disconnected();
        self.down.why = Some(why);
    }

    fn end(&mut self, ending: Ending) {
        self.client.on_disconnected();
        self.stage = Stage::Over(ending);
        self.tell();
    }

    /// The host's last word.
    fn closed(&mut self, code: u32, now: Tick) {
        let (verdict, why) = close::read(code);
        let was_up = matches!(self.stage, Stage::Up(_));
        match verdict {
            Verdict::NotPaired => self.end(Ending::NotPaired),
            Verdict::Revoked => self.end(Ending::Revoked),
            Verdict::Unpaired => self.end(Ending::Unpaired),
            Verdict::Protocol if !was_up => self.end(Ending::Version(why.to_owned())),
            Verdict::Renew => self.renew(Errand::Connect, why.to_owned(), now),
            Verdict::Follow => self.renew(Errand::Lineage, why.to_owned(), now),
            Verdict::Protocol | Verdict::Later => self.fail(why.to_owned(), now),
        }
    }

    fn deadline(&self) -> Option<Tick> {
        match &self.stage {
            Stage::Waiting { until, .. } => Some(*until),
            Stage::Dialing { since, .. } => Some(since.plus(DIAL)),
            Stage::Shaking { since, .. } | Stage::Greeting { since, .. } | Stage::Asking { since, .. } => {
                Some(since.plus(ANSWER))
            }
            Stage::Up(up) => up.check,
            Stage::Over(_) | Stage::Stopped => None,
        }
    }
}

impl<R: CryptoRngCore + std::fmt::Debug + Send> Machine for Driver<R> {
    type Output = Output;

    fn wanted(&self) -> Option<u64> {
        match self.stage {
            Stage::Waiting { .. } | Stage::Over(_) | Stage::Stopped => None,
            _ => Some(self.carrier),
        }
    }

    fn on_open(&mut self, kind: CarrierKind, now: Tick) {
        self.kind = kind;
        match self.stage {
            Stage::Dialing { errand: Errand::Connect, .. } => self.shake(now),
            Stage::Dialing { errand: Errand::Lineage, .. } => self.ask(now),
            _ => {}
        }
    }

    fn on_message(&mut self, message: &[u8], now: Tick) {
        match std::mem::replace(&mut self.stage, Stage::Stopped) {
            Stage::Shaking { initiator, since } => self.greet(*initiator, message, since, now),
            Stage::Greeting { wire, exchanges, since } => self.greeted(wire, exchanges, since, message, now),
            Stage::Asking { stranger, channel, since } => self.heard(stranger, channel, since, message, now),
            Stage::Up(up) => {
                self.stage = Stage::Up(up);
                self.received(message, now);
            }
            // Nobody speaks before the device.
            other => self.stage = other,
        }
    }

    fn on_lost(&mut self, why: String, now: Tick) {
        match self.stage {
            Stage::Shaking { .. } => self.refused(why, now),
            Stage::Waiting { .. } | Stage::Over(_) | Stage::Stopped => {}
            _ => self.fail(why, now),
        }
    }

    fn on_wake(&mut self, now: Tick) {
        match &self.stage {
            Stage::Waiting { errand, .. } => {
                self.backoff.reset();
                self.dial(*errand, now);
            }
            // Begun before the pause: nobody knows what has become of it.
            Stage::Dialing { errand, since } if now.since(*since) >= AFTER_WAKE => self.dial(*errand, now),
            Stage::Shaking { since, .. } | Stage::Greeting { since, .. } | Stage::Asking { since, .. }
                if now.since(*since) >= AFTER_WAKE =>
            {
                self.dial(Errand::Connect, now);
            }
            Stage::Up(_) => self.question(now),
            // Said by nobody who could prove it; perhaps this network is the host's own again.
            Stage::Over(Ending::AnotherHost) => {
                self.down = Down::since(now);
                self.dial(Errand::Connect, now);
            }
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Tick) {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            match &self.stage {
                Stage::Waiting { errand, .. } => self.dial(*errand, now),
                Stage::Up(_) => {
                    self.renew(Errand::Connect, "the connection did not survive a pause".to_owned(), now);
                }
                _ => self.fail("the host does not answer".to_owned(), now),
            }
        }
        let incoming = self.client.handle_timeout(now);
        self.take(incoming, now);
    }

    fn next_timeout(&self) -> Option<Tick> {
        [self.deadline(), self.client.next_timeout()].into_iter().flatten().min()
    }

    fn poll_transmit(&mut self, now: Tick) -> Option<Vec<u8>> {
        if let Some(message) = self.outgoing.pop_front() {
            return Some(message);
        }
        match &mut self.stage {
            Stage::Greeting { wire, .. } => wire.poll_transmit(),
            Stage::Asking { stranger, .. } => stranger.poll_transmit(),
            Stage::Up(_) => self.send(now),
            _ => None,
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}
