//! A connection that is up: calls out, answers and events in, and whether it still lives.

use lanyard_client::{Incoming, Tick};
use lanyard_pairing::mux::StreamId;
use lanyard_protocol::codec::{Codec, IncomingReply, PostcardCodec, ServerFrame};
use lanyard_protocol::method::{Identify, Identity, Method, ReportPage, Request, Response};
use lanyard_protocol::rpc::RequestId;
use lanyard_protocol::version::PROTOCOL_VERSION;
use rand_core::CryptoRngCore;

use super::{AFTER_WAKE, Driver, Errand, Output, Stage};
use crate::close;
use crate::exchange::{Arrived, Exchanges, Frame};
use crate::link::{CallError, Ending};
use crate::wire::{Fault, Wire};

/// The number of the driver's own first call, which the client never uses.
const FIRST: RequestId = RequestId::Number(0);

/// See the module.
#[derive(Debug)]
pub(super) struct Up {
    pub(super) wire: Box<Wire>,
    exchanges: Exchanges,
    pub(super) since: Tick,
    pub(super) rtt_ms: Option<u32>,
    /// The probe under way, and when it was asked.
    probe: Option<(StreamId, Tick)>,
    /// After a pause: given up at this instant, unless the host is heard before.
    pub(super) check: Option<Tick>,
}

/// Sends `Identify`, before anything that may have an effect.
pub(super) fn identify(wire: &mut Wire) -> Result<Exchanges, Fault> {
    let mut exchanges = Exchanges::default();
    let ask = PostcardCodec.encode_call(&FIRST, &Request::Identify(Identify {}));
    let ask = ask.map_err(|_| Fault::Answer("cannot be asked"))?;
    let stream = Exchanges::open(wire, Method::Identify)?;
    let stream = stream.ok_or(Fault::Answer("takes no requests"))?;
    exchanges.send(wire, stream, &ask)?;
    Ok(exchanges)
}

/// What `Identify` brought.
enum Greeted {
    Welcome,
    /// The host lets us in later, perhaps.
    Refused(String),
    Stranger(String),
}

fn read_identity(frame: &[u8]) -> Greeted {
    let answer = match PostcardCodec.decode_server(frame, &|_| Some(Method::Identify)) {
        Ok(IncomingReply::Frame(ServerFrame::Reply(_, answer))) => answer,
        Ok(_) => return Greeted::Stranger("the host answers something else than was asked".to_owned()),
        Err(error) => return Greeted::Stranger(error.message),
    };
    match answer {
        Ok(Response::Identify(Identity { protocol_version: PROTOCOL_VERSION, .. })) => Greeted::Welcome,
        Ok(Response::Identify(Identity { protocol_version, .. })) => Greeted::Stranger(format!(
            "the host speaks version {protocol_version} of the protocol, this page version {PROTOCOL_VERSION}"
        )),
        Ok(_) => Greeted::Stranger("the host answers something else than was asked".to_owned()),
        Err(error) => Greeted::Refused(error.message),
    }
}

impl<R: CryptoRngCore + std::fmt::Debug + Send> Driver<R> {
    /// A message of a host that was asked who we are.
    pub(super) fn greeted(
        &mut self,
        mut wire: Box<Wire>,
        mut exchanges: Exchanges,
        since: Tick,
        message: &[u8],
        now: Tick,
    ) {
        let frames = match exchanges.feed(&mut wire, message) {
            Ok(Arrived::Frames(frames)) => frames,
            Ok(Arrived::Closed(code)) => {
                self.stage = Stage::Greeting { wire, exchanges, since };
                return self.closed(code, now);
            }
            Err(fault) => return self.fail(fault.to_string(), now),
        };
        let Some(frame) = frames.first() else {
            self.stage = Stage::Greeting { wire, exchanges, since };
            return;
        };
        match read_identity(&frame.bytes) {
            Greeted::Welcome => {
                let rtt_ms = Some(millis(now, since));
                let up = Up { wire, exchanges, since: now, rtt_ms, probe: None, check: None };
                self.stage = Stage::Up(Box::new(up));
                self.tell();
                let incoming = self.client.on_connected(now);
                self.take(incoming, now);
                self.send_report();
            }
            Greeted::Refused(why) => self.fail(why, now),
            Greeted::Stranger(why) => self.end(Ending::Version(why)),
        }
    }

    pub(super) fn send_report(&mut self) {
        let Some(page) = self.report.clone() else { return };
        // One that has not been answered goes out again by itself.
        if self.reporting.is_none() {
            // With too many calls under way the list of devices says less; the next connection makes up for it.
            self.reporting = self.client.call(ReportPage { page }).ok();
        }
    }

    /// A message of the host.
    pub(super) fn received(&mut self, message: &[u8], now: Tick) {
        let Stage::Up(up) = &mut self.stage else { return };
        self.client.heard(now);
        if up.check.is_some() {
            up.check = Some(now.plus(AFTER_WAKE));
        }
        match up.exchanges.feed(&mut up.wire, message) {
            Ok(arrived) => self.arrived(arrived, now),
            Err(fault) => self.broken(&fault, now),
        }
    }

    fn arrived(&mut self, arrived: Arrived, now: Tick) {
        let frames = match arrived {
            Arrived::Frames(frames) => frames,
            Arrived::Closed(code) => return self.closed(code, now),
        };
        for Frame { stream, first, bytes } in frames {
            let Stage::Up(up) = &mut self.stage else { return };
            if let Some((probe, asked)) = up.probe
                && probe == stream
            {
                (up.probe, up.check) = (None, None);
                up.rtt_ms = Some(smoothed(up.rtt_ms, millis(now, asked)));
                self.tell();
            }
            match self.client.feed(&bytes, now) {
                Ok(incoming) => self.take(incoming, now),
                // The call it answers would wait for ever. The page that the host serves now understands it.
                Err(error) if first => return self.end(Ending::Version(error.message)),
                // An event: the client notices the gap.
                Err(_) => {}
            }
        }
    }

    /// What the client made of it.
    pub(super) fn take(&mut self, incoming: Vec<Incoming>, now: Tick) {
        for incoming in incoming {
            match incoming {
                Incoming::Reply { id, .. } if self.reporting.as_ref() == Some(&id) => self.reporting = None,
                Incoming::Reply { id, answer, .. } => {
                    self.outputs.push_back(Output::Answer(id, answer.map_err(CallError::Refused)));
                }
                Incoming::Unanswered { id, method } => {
                    let words = format!(
                        "the connection broke before the host answered ({}): whether it was done is not known, so look \
                         before you do it again",
                        method.name()
                    );
                    self.outputs.push_back(Output::Answer(id, Err(CallError::Unsent(words))));
                }
                Incoming::Dead => {
                    self.renew(Errand::Connect, "the host has not answered for some time".to_owned(), now);
                }
                other => self.outputs.push_back(Output::Incoming(other)),
            }
        }
    }

    /// The next message to the host: calls get their streams only when the carrier takes something, so that what waits
    /// goes in the order of its urgency.
    pub(super) fn send(&mut self, now: Tick) -> Option<Vec<u8>> {
        let Stage::Up(up) = &mut self.stage else { return None };
        while let Some(method) = self.client.next_method() {
            let stream = match Exchanges::open(&mut up.wire, method) {
                Ok(Some(stream)) => stream,
                Ok(None) => break,
                Err(fault) => {
                    self.broken(&fault, now);
                    return None;
                }
            };
            let frame = self.client.poll_transmit().unwrap_or_default();
            if method == Method::Health {
                up.probe = Some((stream, now));
            }
            if let Err(fault) = up.exchanges.send(&mut up.wire, stream, &frame) {
                self.broken(&fault, now);
                return None;
            }
        }
        let message = up.wire.poll_transmit()?;
        match up.exchanges.turn(&mut up.wire) {
            Ok(arrived) => self.arrived(arrived, now),
            Err(fault) => self.broken(&fault, now),
        }
        Some(message)
    }

    /// After a pause: an answer soon, or another connection.
    pub(super) fn question(&mut self, now: Tick) {
        let Stage::Up(up) = &mut self.stage else { return };
        if up.check.is_some() {
            return;
        }
        up.check = Some(now.plus(AFTER_WAKE));
        // What was asked before the pause may be answered by what was on its way then.
        up.probe = None;
        let incoming = self.client.probe();
        self.tell();
        self.take(incoming, now);
    }

    fn broken(&mut self, fault: &Fault, now: Tick) {
        if let (Fault::Mux(_), Stage::Up(up)) = (fault, &mut self.stage) {
            up.wire.mux.close(close::PROTOCOL);
            self.outgoing.extend(up.wire.poll_transmit());
        }
        self.fail(fault.to_string(), now);
    }
}

fn millis(now: Tick, since: Tick) -> u32 {
    u32::try_from(now.since(since).as_millis()).unwrap_or(u32::MAX)
}

/// The last round trip told, unless the new one differs by more than people care for.
fn smoothed(told: Option<u32>, new: u32) -> u32 {
    match told {
        Some(told) if told.abs_diff(new) <= 5.max(told / 4) => told,
        _ => new,
    }
}
