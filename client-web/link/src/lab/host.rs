//! A host of the lab: the other end of a carrier, with the real handshakes, sessions and multiplexer.

use std::collections::{BTreeMap, VecDeque};

use lanyard_pairing::host::{self as states, AwaitConfirm, AwaitShare, Confirmed, Provisional};
use lanyard_pairing::identity::Lineage;
use lanyard_pairing::lab::SeededRng;
use lanyard_pairing::message::{MAX_MESSAGE_BYTES, ToDevice, ToHost};
use lanyard_pairing::mux::{Limits, Mux, MuxEvent, Read, ResetCode, Role, StreamId};
use lanyard_pairing::noise::{Session, paired, pairing};
use lanyard_pairing::window::Window;
use lanyard_pairing::{Abort, Entrance, Grant, IdentityKeys, PublicIdentity, RotationRecord};
use lanyard_protocol::principal::Scope;
use lanyard_protocol::{Tick, Timestamp};

use super::api::Api;
use crate::frames::{Frames, framed};

/// Where a carrier stands.
enum Line {
    None,
    Fresh,
    ShakingPaired(Box<paired::Responder>, [u8; 32]),
    ShakingPairing(Box<pairing::Responder>),
    Paired(Box<End>),
    Pairing(Box<End>, Talk),
}

/// A session with its streams.
struct End {
    session: Session,
    mux: Mux,
    streams: BTreeMap<StreamId, Stream>,
}

struct Stream {
    frames: Frames,
    unwritten: Vec<u8>,
    finishing: bool,
    follows: bool,
}

enum Talk {
    Hello,
    Share(Box<AwaitShare>),
    Confirm(Box<AwaitConfirm>),
    Waits(StreamId),
    Granted,
}

/// See the module. One carrier at a time.
pub(crate) struct LabHost {
    pub(crate) keys: IdentityKeys,
    pub(crate) api: Api,
    pub(crate) paired: Vec<[u8; 32]>,
    pub(crate) lineage: Lineage,
    pub(crate) entrance: Entrance,
    pub(crate) acknowledged: u32,
    pub(crate) aborts: Vec<Abort>,
    /// A question that waits for a person.
    pub(crate) asked: Option<Confirmed>,
    granted: Option<Provisional>,
    rng: SeededRng,
    line: Line,
    outgoing: VecDeque<Vec<u8>>,
    /// It ends the carrier once everything was sent.
    pub(crate) hangs_up: bool,
}

impl LabHost {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = SeededRng::new(seed);
        Self {
            keys: IdentityKeys::generate(&mut rng),
            api: Api::default(),
            paired: Vec::new(),
            lineage: Lineage::default(),
            entrance: Entrance::default(),
            acknowledged: 0,
            aborts: Vec::new(),
            asked: None,
            granted: None,
            rng,
            line: Line::None,
            outgoing: VecDeque::new(),
            hangs_up: false,
        }
    }

    pub(crate) fn open_window(&mut self, now: Tick) {
        self.entrance.window = Window::open(now, true, &mut self.rng);
    }

    /// Gets new keys; with `linked`, signed by the old ones.
    pub(crate) fn rotate(&mut self, linked: bool) -> PublicIdentity {
        let new = IdentityKeys::generate(&mut self.rng);
        if linked {
            self.lineage.push(RotationRecord::sign(&self.keys, &new, Timestamp::from_millis(1)));
        }
        self.keys = new;
        self.keys.public()
    }

    pub(crate) fn connected(&mut self) {
        self.disconnected();
        self.line = Line::Fresh;
    }

    pub(crate) fn disconnected(&mut self) {
        self.line = Line::None;
        self.outgoing.clear();
        self.hangs_up = false;
    }

    /// A paired device is there, and has been let in.
    pub(crate) fn has_device(&self) -> bool {
        matches!(self.line, Line::Paired(_))
    }

    /// Ends the connection with a word.
    pub(crate) fn close(&mut self, code: u32) {
        if let Line::Paired(end) | Line::Pairing(end, _) = &mut self.line {
            end.mux.close(code);
            self.hangs_up = true;
        }
    }

    /// Sends what no host of ours would.
    pub(crate) fn send_garbage(&mut self) {
        if let Line::Paired(end) = &mut self.line {
            self.outgoing.push_back(end.session.seal(&[99]).unwrap());
        }
    }

    /// Breaks every stream off.
    pub(crate) fn break_off(&mut self) {
        if let Line::Paired(end) = &mut self.line {
            for stream in std::mem::take(&mut end.streams).into_keys() {
                end.mux.reset(stream, ResetCode(0)).unwrap();
            }
        }
    }

    /// An event, written and told.
    pub(crate) fn write(&mut self) {
        let frame = framed(&self.api.write());
        if let Line::Paired(end) = &mut self.line {
            for stream in end.streams.values_mut().filter(|stream| stream.follows) {
                stream.unwritten.extend_from_slice(&frame);
            }
            end.write();
        }
    }

    /// A person says yes.
    pub(crate) fn approve(&mut self) -> bool {
        let Some(confirmed) = self.asked.take() else { return false };
        let grant = Grant {
            scopes: vec![Scope::Observe],
            device_name: "phone".into(),
            granted_at: Timestamp::from_millis(7),
        };
        self.paired.push(confirmed.device().agreement);
        let provisional = confirmed.approve(&grant, &mut self.rng);
        if let Line::Pairing(end, talk) = &mut self.line
            && let Talk::Waits(stream) = *talk
        {
            *talk = Talk::Granted;
            end.say(stream, &provisional.grant());
        }
        self.granted = Some(provisional);
        true
    }

    /// A person says no.
    pub(crate) fn deny(&mut self) {
        self.asked = None;
        if let Line::Pairing(end, Talk::Waits(stream)) = &mut self.line {
            end.say(*stream, &ToDevice::Abort(Abort::Denied));
        }
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        if let Some(message) = self.outgoing.pop_front() {
            return Some(message);
        }
        let (Line::Paired(end) | Line::Pairing(end, _)) = &mut self.line else { return None };
        let message = end.mux.poll_transmit()?;
        end.write();
        end.session.seal(&message).ok()
    }

    pub(crate) fn receive(&mut self, message: &[u8], now: Tick) {
        match std::mem::replace(&mut self.line, Line::None) {
            Line::None => {}
            Line::Fresh => self.shake(message),
            Line::ShakingPaired(responder, device) => {
                let session = responder.finish(message).unwrap();
                let mut end = End::new(session, Limits::PAIRED);
                if !self.paired.contains(&device) {
                    end.mux.close(1);
                    self.hangs_up = true;
                }
                self.line = Line::Paired(Box::new(end));
            }
            Line::ShakingPairing(responder) => {
                let end = End::new(responder.finish(message).unwrap(), Limits::PAIRING);
                self.line = Line::Pairing(Box::new(end), Talk::Hello);
            }
            Line::Paired(mut end) => {
                for (stream, frame) in end.receive(message) {
                    if let Some(outcome) = self.api.take(&frame) {
                        end.answer(stream, &outcome.frames, outcome.follows);
                    }
                }
                self.line = Line::Paired(end);
            }
            Line::Pairing(mut end, mut talk) => {
                for (stream, frame) in end.receive(message) {
                    talk = self.talk(talk, &mut end, stream, &frame, now);
                }
                self.line = Line::Pairing(end, talk);
            }
        }
    }

    fn shake(&mut self, message: &[u8]) {
        let (kind, message) = message.split_first().unwrap();
        let secret = self.keys.agreement_secret();
        if *kind == 1 {
            let (responder, answer) = pairing::Responder::answer(&secret, message, &mut self.rng).unwrap();
            self.outgoing.push_back(answer);
            self.line = Line::ShakingPairing(Box::new(responder));
            return;
        }
        match paired::Claim::read(&secret, message, &mut self.rng) {
            Ok(claim) => {
                let device = *claim.device();
                let (responder, answer) = claim.answer().unwrap();
                self.outgoing.push_back(answer);
                self.line = Line::ShakingPaired(Box::new(responder), device);
            }
            // It is not meant, and says nothing.
            Err(_) => self.hangs_up = true,
        }
    }

    fn talk(&mut self, talk: Talk, end: &mut End, stream: StreamId, frame: &[u8], now: Tick) -> Talk {
        let message = ToHost::decode(frame).unwrap();
        match self.step(talk, end, stream, message, now) {
            Ok((talk, say)) => {
                say.iter().for_each(|message| end.say(stream, message));
                talk
            }
            Err(why) => {
                end.say(stream, &ToDevice::Abort(why));
                Talk::Granted
            }
        }
    }

    fn step(
        &mut self,
        talk: Talk,
        end: &mut End,
        stream: StreamId,
        message: ToHost,
        now: Tick,
    ) -> Result<(Talk, Option<ToDevice>), Abort> {
        let channel = end.session.channel();
        match (talk, message) {
            (talk, ToHost::Abort(why)) => {
                self.aborts.push(why);
                self.asked = None;
                Ok((talk, None))
            }
            (Talk::Hello, ToHost::Lineage(_)) => {
                Ok((Talk::Granted, Some(ToDevice::Lineage(self.lineage.clone()))))
            }
            (Talk::Hello, resume @ ToHost::Resume(_)) => {
                if self.asked.as_ref().is_some_and(|asked| asked.is_resumed_by(&resume, &channel)) {
                    return Ok((Talk::Waits(stream), Some(ToDevice::Waiting)));
                }
                let granted = self.granted.as_ref().filter(|it| it.is_resumed_by(&resume, &channel));
                Ok((Talk::Granted, Some(granted.ok_or(Abort::Unknown)?.grant())))
            }
            (Talk::Hello, hello) => {
                let (keys, rng) = (&self.keys, &mut self.rng);
                let (state, offer) =
                    states::greet(keys, "workstation", channel, hello, &self.entrance, now, rng)?;
                Ok((Talk::Share(Box::new(state)), Some(offer)))
            }
            (Talk::Share(state), share) => {
                let (state, share) = state.handle(share, &mut self.entrance, now)?.recorded();
                Ok((Talk::Confirm(Box::new(state)), Some(share)))
            }
            (Talk::Confirm(state), proof) => {
                let (confirmed, proof) = state.handle(proof, &mut self.entrance, now)?;
                self.asked = Some(confirmed);
                Ok((Talk::Waits(stream), Some(proof)))
            }
            (Talk::Granted, ack) => {
                let known = self.granted.as_ref().is_some_and(|it| it.is_acknowledged_by(&ack));
                self.acknowledged += u32::from(known);
                end.finish(stream);
                Ok((Talk::Granted, None))
            }
            (Talk::Waits(_), _) => Err(Abort::OutOfOrder),
        }
    }
}

impl End {
    fn new(session: Session, limits: Limits) -> Self {
        Self { session, mux: Mux::new(Role::Responder, limits), streams: BTreeMap::new() }
    }

    /// Whole frames that a message brought, by stream.
    fn receive(&mut self, message: &[u8]) -> Vec<(StreamId, Vec<u8>)> {
        self.mux.feed(&self.session.open(message).unwrap()).unwrap();
        let mut whole = Vec::new();
        while let Some(event) = self.mux.poll_event() {
            match event {
                MuxEvent::Opened { stream, .. } => {
                    let frames = Frames::up_to((1 << 20).max(MAX_MESSAGE_BYTES));
                    let fresh = Stream { frames, unwritten: Vec::new(), finishing: false, follows: false };
                    self.streams.insert(stream, fresh);
                }
                MuxEvent::Readable(stream) => {
                    while let Ok(Read::Chunk(chunk)) = self.mux.read(stream) {
                        let mut rest = &chunk[..];
                        let Some(known) = self.streams.get_mut(&stream) else { continue };
                        while let Some(frame) = known.frames.take(&mut rest).unwrap() {
                            whole.push((stream, frame));
                        }
                    }
                }
                MuxEvent::Reset { stream, .. } => drop(self.streams.remove(&stream)),
                MuxEvent::Writable(_) | MuxEvent::CanOpen | MuxEvent::Closed(_) => {}
            }
        }
        self.write();
        whole
    }

    fn answer(&mut self, stream: StreamId, frames: &[Vec<u8>], follows: bool) {
        if follows {
            // A later subscription takes the place of the earlier one.
            self.streams.values_mut().filter(|old| old.follows).for_each(|old| {
                old.follows = false;
                old.finishing = true;
            });
        }
        let Some(known) = self.streams.get_mut(&stream) else { return };
        frames.iter().for_each(|frame| known.unwritten.extend(framed(frame)));
        (known.follows, known.finishing) = (follows, !follows);
        self.write();
    }

    fn say(&mut self, stream: StreamId, message: &ToDevice) {
        if let Some(known) = self.streams.get_mut(&stream) {
            known.unwritten.extend(framed(&message.encode()));
        }
        self.write();
    }

    fn finish(&mut self, stream: StreamId) {
        if let Some(known) = self.streams.get_mut(&stream) {
            known.finishing = true;
        }
        self.write();
    }

    fn write(&mut self) {
        let mut finished = Vec::new();
        for (id, stream) in &mut self.streams {
            let Ok(taken) = self.mux.write(*id, &stream.unwritten) else {
                finished.push(*id);
                continue;
            };
            stream.unwritten.drain(..taken);
            if stream.unwritten.is_empty() && stream.finishing {
                self.mux.finish(*id).unwrap();
                finished.push(*id);
            }
        }
        finished.iter().for_each(|id| drop(self.streams.remove(id)));
    }
}
