//! A device of the lab.

use lanyard_protocol::principal::Scope;

use super::{Life, Line, SeededRng};
use crate::abort::Abort;
use crate::channel::Channel;
use crate::device::{About, Answer, AwaitConfirm, AwaitOffer, AwaitShare, PendingJoin, Secret, start};
use crate::digits::Digits;
use crate::grant::Grant;
use crate::identity::{IdentityKeys, PublicIdentity};
use crate::message::{ToDevice, ToHost};

/// What a device knows of a host it is paired with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paired {
    /// The host.
    pub host: PublicIdentity,
    /// What it granted.
    pub grant: Grant,
}

#[derive(Debug)]
enum State {
    Offer(Box<AwaitOffer>),
    Share(Box<AwaitShare>),
    Confirm(Box<AwaitConfirm>),
    Answer,
}

/// See the module. Public fields are what it has written down and what became of it.
#[derive(Debug)]
pub struct LabDevice {
    /// Written down: a pairing nobody has answered yet.
    pub pending: Option<PendingJoin>,
    /// Written down: the host it is paired with.
    pub paired: Option<Paired>,
    /// How its last attempt ended, if it came to nothing.
    pub ended: Option<Abort>,
    /// What it says about itself.
    pub about: About,
    pub(super) life: Life,
    keys: IdentityKeys,
    rng: SeededRng,
    current: Option<(Line, State)>,
}

impl LabDevice {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = SeededRng::new(seed);
        let about = About {
            name: "Pixel".to_owned(),
            platform: "linux".to_owned(),
            scopes: vec![Scope::Observe, Scope::Operate, Scope::Approve],
        };
        Self {
            pending: None,
            paired: None,
            ended: None,
            about,
            life: Life::default(),
            keys: IdentityKeys::generate(&mut rng),
            rng,
            current: None,
        }
    }

    /// Its keys.
    pub fn keys(&self) -> &IdentityKeys {
        &self.keys
    }

    /// Whether it believes to be paired.
    pub fn is_paired(&self) -> bool {
        self.paired.is_some()
    }

    /// What it shows while it waits for a person.
    pub fn digits(&self) -> Option<Digits> {
        self.pending.as_ref().map(PendingJoin::digits)
    }

    pub(super) fn join(&mut self, line: Line, secret: Secret, channel: Channel) -> Vec<Vec<u8>> {
        self.ended = None;
        match start(&self.keys, &self.about, secret, channel, &mut self.rng) {
            Ok((state, message)) => {
                self.current = Some((line, State::Offer(Box::new(state))));
                vec![message.encode()]
            }
            Err(why) => {
                self.ended = Some(why);
                Vec::new()
            }
        }
    }

    pub(super) fn resume(&mut self, line: Line, channel: &Channel) -> Vec<Vec<u8>> {
        let Some(pending) = &self.pending else { return Vec::new() };
        match pending.resume(channel) {
            Ok(message) => {
                self.current = Some((line, State::Answer));
                vec![message.encode()]
            }
            // Somebody else answers: the record waits for the right host.
            Err(why) => {
                self.ended = Some(why);
                Vec::new()
            }
        }
    }

    pub(super) fn receive(&mut self, line: Line, frame: &[u8]) -> Vec<Vec<u8>> {
        let Some((_, state)) = self.current.take_if(|(current, _)| *current == line) else {
            return Vec::new();
        };
        if !self.life.goes_on() {
            return Vec::new();
        }
        let message = ToDevice::decode(frame);
        let is_abort = matches!(message, Ok(ToDevice::Abort(_)));
        match message.and_then(|message| self.handle(line, state, message)) {
            Ok(reply) if self.life.goes_on() => reply.map(|message| message.encode()).into_iter().collect(),
            Ok(_) => Vec::new(),
            Err(why) => {
                self.ended = Some(why);
                self.pending = None;
                // An abort is not answered.
                (!is_abort).then(|| ToHost::Abort(why).encode()).into_iter().collect()
            }
        }
    }

    fn handle(&mut self, line: Line, state: State, message: ToDevice) -> Result<Option<ToHost>, Abort> {
        let (next, reply) = match state {
            State::Offer(state) => {
                let (next, reply) = state.handle(message, &mut self.rng)?;
                (State::Share(Box::new(next)), Some(reply))
            }
            State::Share(state) => {
                let (next, reply) = state.handle(message)?;
                (State::Confirm(Box::new(next)), Some(reply))
            }
            State::Confirm(state) => {
                let pending = state.handle(message)?;
                if self.life.goes_on() {
                    self.pending = Some(pending);
                }
                (State::Answer, None)
            }
            State::Answer => {
                let Some(pending) = self.pending.clone() else { return Err(Abort::OutOfOrder) };
                match pending.answer(message)? {
                    Answer::Waiting => (State::Answer, None),
                    Answer::Granted(grant) => {
                        if self.life.goes_on() {
                            self.paired = Some(Paired { host: *pending.host(), grant });
                            self.pending = None;
                        }
                        return Ok(Some(pending.acknowledge()));
                    }
                }
            }
        };
        self.current = Some((line, next));
        Ok(reply)
    }

    pub(super) fn hung_up(&mut self, line: Line) {
        self.current.take_if(|(current, _)| *current == line);
    }

    pub(super) fn kill(&mut self) {
        self.current = None;
    }

    /// The host does not know this device: it has been told to pair again.
    pub(super) fn is_refused(&mut self) {
        self.paired = None;
    }
}
