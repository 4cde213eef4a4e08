//! A host of the lab.

use std::collections::BTreeMap;
use std::time::Duration;

use lanyard_protocol::device::PairingMethod;
use lanyard_protocol::{Tick, Timestamp};

use super::{Life, Line, SeededRng};
use crate::abort::Abort;
use crate::channel::Channel;
use crate::entrance::{Entrance, PassId};
use crate::grant::Grant;
use crate::host::{AwaitConfirm, AwaitShare, Confirmed, Provisional, greet};
use crate::identity::{IdentityKeys, PublicIdentity};
use crate::link::LinkSecret;
use crate::message::{ToDevice, ToHost};
use crate::window::{Window, WindowChange};

/// How long an approved device may stay silent before it is forgotten.
pub const PROVISIONAL: Duration = Duration::from_secs(600);

/// A device in a host's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The device.
    pub device: PublicIdentity,
    /// What it was granted.
    pub grant: Grant,
    /// Until it has shown that it knows: the record, and when the entry is forgotten.
    pub provisional: Option<(Vec<u8>, Tick)>,
}

#[derive(Debug)]
enum State {
    Share(Box<AwaitShare>),
    Confirm(Box<AwaitConfirm>),
    Waits,
    Granted,
}

/// See the module. `attempts` and `entries` are what it has written down.
#[derive(Debug)]
pub struct LabHost {
    /// Written down: attempts with a typed code.
    pub attempts: u32,
    /// Written down: devices.
    pub entries: Vec<Entry>,
    /// The window and the passes.
    pub entrance: Entrance,
    /// Whether the global limit allows a new code after one was burnt.
    pub may_reissue: bool,
    /// What its conversations came to nothing for, in order.
    pub failures: Vec<Abort>,
    /// What became of its codes, in order.
    pub changes: Vec<WindowChange>,
    pub(super) life: Life,
    keys: IdentityKeys,
    rng: SeededRng,
    talks: BTreeMap<Line, State>,
    waiting: Vec<(Line, Confirmed)>,
}

impl LabHost {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = SeededRng::new(seed);
        Self {
            attempts: 0,
            entries: Vec::new(),
            entrance: Entrance::default(),
            may_reissue: false,
            failures: Vec::new(),
            changes: Vec::new(),
            life: Life::default(),
            keys: IdentityKeys::generate(&mut rng),
            rng,
            talks: BTreeMap::new(),
            waiting: Vec::new(),
        }
    }

    /// Its keys.
    pub fn keys(&self) -> &IdentityKeys {
        &self.keys
    }

    /// Opens a window.
    pub fn open(&mut self, now: Tick) {
        self.entrance.window = Window::open(now, true, &mut self.rng);
    }

    /// Makes a pass.
    pub fn issue(&mut self, now: Tick) -> Option<(PassId, LinkSecret)> {
        self.entrance.passes.issue(now, &mut self.rng)
    }

    /// Those that wait for a person.
    pub fn waiting(&self) -> impl Iterator<Item = &Confirmed> {
        self.waiting.iter().map(|(_, confirmed)| confirmed)
    }

    /// A device in the list.
    pub fn entry(&self, device: &PublicIdentity) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.device == *device)
    }

    pub(super) fn receive(&mut self, line: Line, channel: Channel, frame: &[u8], now: Tick) -> Vec<Vec<u8>> {
        if !self.life.goes_on() {
            return Vec::new();
        }
        let state = self.talks.remove(&line);
        let mut is_abort = false;
        let outcome = match ToHost::decode(frame).inspect(|it| is_abort = matches!(it, ToHost::Abort(_))) {
            Ok(message) => self.handle(line, state, message, channel, now),
            Err(why) => {
                self.give_up(line, state, now);
                Err(why)
            }
        };
        match outcome {
            Ok(reply) if self.life.goes_on() => reply.map(|message| message.encode()).into_iter().collect(),
            Ok(_) => Vec::new(),
            Err(why) => {
                self.failures.push(why);
                self.settle(now);
                // An abort is not answered.
                (!is_abort).then(|| ToDevice::Abort(why).encode()).into_iter().collect()
            }
        }
    }

    fn handle(
        &mut self,
        line: Line,
        state: Option<State>,
        message: ToHost,
        channel: Channel,
        now: Tick,
    ) -> Result<Option<ToDevice>, Abort> {
        match state {
            None if matches!(message, ToHost::Resume(_)) => self.resumed(line, &message, &channel).map(Some),
            None => {
                let (keys, entrance) = (self.keys.clone(), &self.entrance);
                let (next, reply) =
                    greet(&keys, "workstation", channel, message, entrance, now, &mut self.rng)?;
                self.talks.insert(line, State::Share(Box::new(next)));
                Ok(Some(reply))
            }
            Some(State::Share(state)) => {
                let consume = state.handle(message, &mut self.entrance, now)?;
                if consume.method() == PairingMethod::Code && self.life.goes_on() {
                    self.attempts += 1;
                }
                let (next, reply) = consume.recorded();
                self.talks.insert(line, State::Confirm(Box::new(next)));
                Ok(Some(reply))
            }
            Some(State::Confirm(state)) => {
                let (confirmed, reply) = state.handle(message, &mut self.entrance, now)?;
                self.waiting.push((line, confirmed));
                self.talks.insert(line, State::Waits);
                Ok(Some(reply))
            }
            Some(State::Waits) => {
                self.waiting.retain(|(waits, _)| *waits != line);
                Err(Abort::OutOfOrder)
            }
            Some(State::Granted) => self.acknowledged(&message).map(|()| None),
        }
    }

    fn resumed(&mut self, line: Line, message: &ToHost, channel: &Channel) -> Result<ToDevice, Abort> {
        if let Some(at) = self.waiting.iter().position(|(_, waits)| waits.is_resumed_by(message, channel)) {
            self.waiting[at].0 = line;
            self.talks.insert(line, State::Waits);
            return Ok(ToDevice::Waiting);
        }
        let records = self.entries.iter().filter_map(Entry::record);
        let provisional = records.into_iter().find(|record| record.is_resumed_by(message, channel));
        let grant = provisional.ok_or(Abort::Unknown)?.grant();
        self.talks.insert(line, State::Granted);
        Ok(grant)
    }

    fn acknowledged(&mut self, message: &ToHost) -> Result<(), Abort> {
        let known = |entry: &&mut Entry| entry.record().is_some_and(|it| it.is_acknowledged_by(message));
        let entry = self.entries.iter_mut().find(known).ok_or(Abort::OutOfOrder)?;
        if self.life.goes_on() {
            entry.provisional = None;
        }
        Ok(())
    }

    pub(super) fn approve(&mut self, digits: &str, now: Tick) -> Option<(Line, Vec<Vec<u8>>)> {
        let asks = |waits: &Confirmed| waits.pass().is_none() && waits.digits().matches(digits);
        let at = self.waiting.iter().position(|(_, waits)| asks(waits))?;
        Some(self.grant(at, now))
    }

    /// Lets in one who came by a pass: whoever made it has said yes.
    pub(super) fn let_pass(&mut self, now: Tick) -> Option<(Line, Vec<Vec<u8>>)> {
        let at = self.waiting.iter().position(|(_, waits)| waits.pass().is_some())?;
        Some(self.grant(at, now))
    }

    fn grant(&mut self, at: usize, now: Tick) -> (Line, Vec<Vec<u8>>) {
        let (line, confirmed) = self.waiting.remove(at);
        let grant = Grant {
            scopes: confirmed.requested_scopes().to_vec(),
            device_name: confirmed.name().to_owned(),
            granted_at: Timestamp::from_millis(0),
        };
        let provisional = confirmed.approve(&grant, &mut self.rng);
        let device = *confirmed.device();
        if self.life.goes_on() {
            self.entries.retain(|entry| entry.device != device);
            let record = Some((provisional.to_bytes(), now.plus(PROVISIONAL)));
            self.entries.push(Entry { device, grant, provisional: record });
        }
        if self.talks.contains_key(&line) {
            self.talks.insert(line, State::Granted);
        }
        let told = self.life.goes_on() && self.talks.contains_key(&line);
        (line, told.then(|| provisional.grant().encode()).into_iter().collect())
    }

    pub(super) fn deny(&mut self) -> Vec<(Line, Vec<u8>)> {
        let denied: Vec<Line> = self.waiting.drain(..).map(|(line, _)| line).collect();
        for line in &denied {
            self.talks.remove(line);
        }
        denied.into_iter().map(|line| (line, ToDevice::Abort(Abort::Denied).encode())).collect()
    }

    /// A device connects with its key alone. The first time makes its entry permanent.
    pub(super) fn admit(&mut self, device: &PublicIdentity, now: Tick) -> bool {
        self.forget(now);
        let entry = self.entries.iter_mut().find(|entry| entry.device == *device);
        entry.map(|entry| entry.provisional = None).is_some()
    }

    pub(super) fn forget(&mut self, now: Tick) {
        self.entries.retain(|entry| entry.provisional.as_ref().is_none_or(|(_, until)| now < *until));
    }

    pub(super) fn hung_up(&mut self, line: Line, now: Tick) {
        if let Some(State::Confirm(state)) = self.talks.remove(&line) {
            state.abandon(&mut self.entrance, now);
            self.settle(now);
        }
        // A device that waits for a person may come back.
    }

    pub(super) fn kill(&mut self) {
        self.talks.clear();
        self.waiting.clear();
        self.entrance = Entrance::default();
    }

    fn settle(&mut self, now: Tick) {
        match self.entrance.window.settle(now, self.may_reissue, &mut self.rng) {
            WindowChange::None => {}
            change => self.changes.push(change),
        }
    }

    /// A device has sent something that is no message: whatever it was about is over.
    fn give_up(&mut self, line: Line, state: Option<State>, now: Tick) {
        if let Some(State::Confirm(state)) = state {
            state.abandon(&mut self.entrance, now);
        }
        self.waiting.retain(|(waits, _)| *waits != line);
    }
}

impl Entry {
    fn record(&self) -> Option<Provisional> {
        let (bytes, _) = self.provisional.as_ref()?;
        Provisional::from_bytes(bytes)
    }
}
