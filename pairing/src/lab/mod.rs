//! Devices and hosts that pair in memory, step by step, for tests of this crate and of others.
//!
//! Everything repeats: randomness comes from a seed, time is advanced by hand, and messages are delivered one by one in
//! the order they were sent. Between the sides stands an adversary who may drop, repeat, change, invent or reroute any
//! message ([`Lab::with_adversary`]). Each side can be killed at any of its steps ([`Lab::kill_at`]); it starts again
//! with nothing but what it has written down.
//!
//! ```
//! use lanyard_pairing::lab::Lab;
//!
//! let mut lab = Lab::new(1);
//! let line = lab.connect(0, 0);
//! lab.join_by_code(line);
//! lab.run();
//! assert!(lab.approve(0, 0));
//! lab.run();
//! assert!(lab.agree(0, 0) && lab.devices[0].is_paired());
//! ```

mod device;
mod host;

use std::collections::VecDeque;
use std::time::Duration;

use lanyard_protocol::Tick;
use rand_core::RngCore;

use crate::channel::{Channel, ChannelKey};
use crate::device::Secret;
use crate::identity::{IdentityKeys, PublicIdentity};
use crate::message::{ToDevice, ToHost};
pub use crate::random::SeededRng;

pub use device::{LabDevice, Paired};
pub use host::{Entry, LabHost, PROVISIONAL};

/// Deliveries after which [`Lab::run`] gives up: an adversary who repeats everything must not hang a test.
const MAX_DELIVERIES: usize = 10_000;

/// Which side of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that joins.
    Device,
    /// The one that pairs.
    Host,
}

/// The kind of key that channels prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// Ed25519, as on QUIC.
    Quic,
    /// X25519, as in the browser's channel.
    Noise,
}

impl Carrier {
    /// What a channel proves of an identity.
    pub fn key_of(self, identity: &PublicIdentity) -> ChannelKey {
        match self {
            Carrier::Quic => ChannelKey::Signing(identity.signing),
            Carrier::Noise => ChannelKey::Agreement(identity.agreement),
        }
    }
}

/// Names a connection of the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line(pub usize);

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlight {
    /// On which connection.
    pub line: Line,
    /// To which side of it.
    pub to: Side,
    /// The encoded message.
    pub frame: Vec<u8>,
}

impl InFlight {
    /// What a device said, if it is that.
    pub fn to_host(&self) -> Option<ToHost> {
        (self.to == Side::Host).then(|| ToHost::decode(&self.frame).ok()).flatten()
    }

    /// What a host said, if it is that.
    pub fn to_device(&self) -> Option<ToDevice> {
        (self.to == Side::Device).then(|| ToDevice::decode(&self.frame).ok()).flatten()
    }
}

/// Sees every message before it is delivered; what it gives back is delivered instead.
pub type Adversary = Box<dyn FnMut(InFlight) -> Vec<InFlight>>;

/// The ends of a connection. One that leads to the adversary has nobody at its other end.
#[derive(Debug, Clone, Copy)]
struct Ends {
    device: Option<(usize, Channel)>,
    host: Option<(usize, Channel)>,
    is_up: bool,
}

/// See the module.
pub struct Lab {
    /// Those that join.
    pub devices: Vec<LabDevice>,
    /// Those that pair. The first has an open window.
    pub hosts: Vec<LabHost>,
    /// The time.
    pub now: Tick,
    /// What channels prove.
    pub carrier: Carrier,
    rng: SeededRng,
    lines: Vec<Ends>,
    queue: VecDeque<InFlight>,
    adversary: Option<Adversary>,
}

impl std::fmt::Debug for Lab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lab").field("now", &self.now).field("queue", &self.queue).finish_non_exhaustive()
    }
}

impl Lab {
    /// One device and one host with an open window, over QUIC.
    pub fn new(seed: u64) -> Self {
        let mut lab = Self {
            devices: Vec::new(),
            hosts: Vec::new(),
            now: Tick::from_millis(1_000_000),
            carrier: Carrier::Quic,
            rng: SeededRng::new(seed),
            lines: Vec::new(),
            queue: VecDeque::new(),
            adversary: None,
        };
        lab.add_device();
        lab.add_host();
        lab.hosts[0].open(lab.now);
        lab
    }

    /// The same with other channels.
    #[must_use]
    pub fn over(mut self, carrier: Carrier) -> Self {
        self.carrier = carrier;
        self
    }

    /// The same with an adversary on every line.
    #[must_use]
    pub fn with_adversary(mut self, adversary: impl FnMut(InFlight) -> Vec<InFlight> + 'static) -> Self {
        self.adversary = Some(Box::new(adversary));
        self
    }

    /// Adds a device; gives its number.
    pub fn add_device(&mut self) -> usize {
        self.devices.push(LabDevice::new(self.rng.next_u64()));
        self.devices.len() - 1
    }

    /// Adds a host without a window; gives its number.
    pub fn add_host(&mut self) -> usize {
        self.hosts.push(LabHost::new(self.rng.next_u64()));
        self.hosts.len() - 1
    }

    /// An honest connection.
    pub fn connect(&mut self, device: usize, host: usize) -> Line {
        let binding = self.binding();
        let to_host = Channel { binding, peer: self.carrier.key_of(&self.hosts[host].keys().public()) };
        let to_device = Channel { binding, peer: self.carrier.key_of(&self.devices[device].keys().public()) };
        self.add_line(Some((device, to_host)), Some((host, to_device)))
    }

    /// A connection from a device to the adversary, and one from the adversary to a host. The adversary carries messages
    /// from one to the other, or not.
    pub fn connect_through(&mut self, device: usize, adversary: &IdentityKeys, host: usize) -> (Line, Line) {
        let peer = self.carrier.key_of(&adversary.public());
        let to_adversary = Channel { binding: self.binding(), peer };
        let near = self.add_line(Some((device, to_adversary)), None);
        (near, self.attack(adversary, host))
    }

    /// A connection from the adversary to a host.
    pub fn attack(&mut self, adversary: &IdentityKeys, host: usize) -> Line {
        let peer = self.carrier.key_of(&adversary.public());
        let from_adversary = Channel { binding: self.binding(), peer };
        self.add_line(None, Some((host, from_adversary)))
    }

    /// The channel of a line, as one side sees it.
    pub fn channel(&self, line: Line, side: Side) -> Option<Channel> {
        let ends = self.lines.get(line.0)?;
        let end = if side == Side::Device { ends.device } else { ends.host };
        end.map(|(_, channel)| channel)
    }

    /// The device of a line starts to pair, with the code of the first host.
    pub fn join_by_code(&mut self, line: Line) {
        if let Some(code) = self.hosts[0].entrance.window.code(self.now).cloned() {
            self.join(line, Secret::Code(code));
        }
    }

    /// The device of a line starts to pair, with the link of the first host.
    pub fn join_by_link(&mut self, line: Line) {
        if let Some(link) = self.hosts[0].entrance.window.link(self.now).cloned() {
            let host = self.hosts[0].keys().public().fingerprint();
            self.join(line, Secret::Link(link, host));
        }
    }

    /// The device of a line starts to pair, with a pass that the first host makes for it.
    pub fn join_by_pass(&mut self, line: Line) {
        let now = self.now;
        if let Some((_, secret)) = self.hosts[0].issue(now) {
            let host = self.hosts[0].keys().public().fingerprint();
            self.join(line, Secret::Link(secret, host));
        }
    }

    /// The device of a line starts to pair.
    pub fn join(&mut self, line: Line, secret: Secret) {
        let Some((device, channel)) = self.lines[line.0].device else { return };
        let frames = self.devices[device].join(line, secret, channel);
        self.post(line, Side::Host, frames);
    }

    /// The device of a line comes back with what it has written down: a pairing that waits is resumed, a paired device
    /// connects. False when it has nothing to come back with, or is not let in.
    pub fn return_to_host(&mut self, line: Line) -> bool {
        let ends = self.lines[line.0];
        let (Some((device, to_host)), Some((host, _))) = (ends.device, ends.host) else { return false };
        if self.devices[device].is_paired() {
            let identity = self.devices[device].keys().public();
            let admitted = self.hosts[host].admit(&identity, self.now);
            if !admitted {
                self.devices[device].is_refused();
            }
            return admitted;
        }
        let frames = self.devices[device].resume(line, &to_host);
        let resumes = !frames.is_empty();
        self.post(line, Side::Host, frames);
        resumes
    }

    /// A person at a host reads the digits off a device and approves with them. False when nobody asks who shows them.
    pub fn approve(&mut self, host: usize, device: usize) -> bool {
        let Some(digits) = self.devices[device].digits() else { return false };
        self.approve_with(host, &digits.to_string())
    }

    /// A person at a host types digits.
    pub fn approve_with(&mut self, host: usize, digits: &str) -> bool {
        let Some((line, frames)) = self.hosts[host].approve(digits, self.now) else { return false };
        self.granted(host, line, frames)
    }

    /// A host lets in a device that has proven a pass. False when none has.
    pub fn let_pass(&mut self, host: usize) -> bool {
        let Some((line, frames)) = self.hosts[host].let_pass(self.now) else { return false };
        self.granted(host, line, frames)
    }

    fn granted(&mut self, host: usize, line: Line, frames: Vec<Vec<u8>>) -> bool {
        self.post(line, Side::Device, frames);
        if self.hosts[host].life.take_death() {
            self.kill(Side::Host, host);
        }
        true
    }

    /// A person at a host says no to everybody who asks.
    pub fn deny(&mut self, host: usize) {
        for (line, frame) in self.hosts[host].deny() {
            self.post(line, Side::Device, vec![frame]);
        }
    }

    /// Puts a message on its way; past the adversary, who sees it when it is delivered.
    pub fn post(&mut self, line: Line, to: Side, frames: Vec<Vec<u8>>) {
        self.queue.extend(frames.into_iter().map(|frame| InFlight { line, to, frame }));
    }

    /// Delivers the next message. False when there is none.
    pub fn step(&mut self) -> bool {
        let Some(message) = self.queue.pop_front() else { return false };
        let delivered = match &mut self.adversary {
            Some(adversary) => adversary(message),
            None => vec![message],
        };
        for message in delivered {
            self.deliver(message);
        }
        true
    }

    /// As [`Lab::step`], any message of those on their way: what is sent on different lines arrives in any order.
    pub fn step_any(&mut self, pick: usize) -> bool {
        let Some(length) = std::num::NonZero::new(self.queue.len()) else { return false };
        self.queue.swap(0, pick % length);
        self.step()
    }

    /// What is on its way, next first.
    pub fn in_flight(&self) -> impl Iterator<Item = &InFlight> {
        self.queue.iter()
    }

    /// Takes everything that is on its way.
    pub fn intercept(&mut self) -> Vec<InFlight> {
        self.queue.drain(..).collect()
    }

    /// Delivers until nothing is on its way.
    pub fn run(&mut self) {
        for _ in 0..MAX_DELIVERIES {
            if !self.step() {
                return;
            }
        }
    }

    /// Lets time pass, messages standing still.
    pub fn advance(&mut self, span: Duration) {
        self.now = self.now.plus(span);
        for host in &mut self.hosts {
            host.forget(self.now);
        }
    }

    /// A line breaks. Both sides notice.
    pub fn hang_up(&mut self, line: Line) {
        let ends = &mut self.lines[line.0];
        ends.is_up = false;
        let ends = *ends;
        self.queue.retain(|message| message.line != line);
        if let Some((device, _)) = ends.device {
            self.devices[device].hung_up(line);
        }
        if let Some((host, _)) = ends.host {
            self.hosts[host].hung_up(line, self.now);
        }
    }

    /// Whether a line has not been broken.
    pub fn is_up(&self, line: Line) -> bool {
        self.lines.get(line.0).is_some_and(|ends| ends.is_up)
    }

    /// Kills a side: what it has not written down is gone, its connections break.
    pub fn kill(&mut self, side: Side, number: usize) {
        match side {
            Side::Device => self.devices[number].kill(),
            Side::Host => self.hosts[number].kill(),
        }
        self.break_lines_of(side, number);
    }

    /// Kills a side at one of its steps, counted from zero from now on. There is a step before and after everything it
    /// writes down and everything it sends.
    pub fn kill_at(&mut self, side: Side, number: usize, step: u32) {
        match side {
            Side::Device => self.devices[number].life.end_at(step),
            Side::Host => self.hosts[number].life.end_at(step),
        }
    }

    /// Whether a device and a host mean the same: paired on both sides, with the same rights, or on neither.
    pub fn agree(&self, device: usize, host: usize) -> bool {
        let here = self.devices[device].paired.as_ref().map(|paired| &paired.grant);
        let there = self.hosts[host].entry(&self.devices[device].keys().public());
        match (here, there) {
            (Some(grant), Some(entry)) => entry.grant == *grant,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    fn deliver(&mut self, message: InFlight) {
        let Some(ends) = self.lines.get(message.line.0).copied().filter(|ends| ends.is_up) else { return };
        match (message.to, ends.device, ends.host) {
            (Side::Device, Some((device, _)), _) => {
                let frames = self.devices[device].receive(message.line, &message.frame);
                self.post(message.line, Side::Host, frames);
                if self.devices[device].life.take_death() {
                    self.kill(Side::Device, device);
                }
            }
            (Side::Host, _, Some((host, channel))) => {
                let frames = self.hosts[host].receive(message.line, channel, &message.frame, self.now);
                self.post(message.line, Side::Device, frames);
                if self.hosts[host].life.take_death() {
                    self.kill(Side::Host, host);
                }
            }
            (Side::Device, None, _) | (Side::Host, _, None) => {}
        }
    }

    fn break_lines_of(&mut self, side: Side, number: usize) {
        for at in 0..self.lines.len() {
            let end = if side == Side::Device { self.lines[at].device } else { self.lines[at].host };
            if self.lines[at].is_up && end.is_some_and(|(owner, _)| owner == number) {
                self.hang_up(Line(at));
            }
        }
    }

    fn add_line(&mut self, device: Option<(usize, Channel)>, host: Option<(usize, Channel)>) -> Line {
        self.lines.push(Ends { device, host, is_up: true });
        Line(self.lines.len() - 1)
    }

    fn binding(&mut self) -> [u8; 32] {
        let mut binding = [0; 32];
        self.rng.fill_bytes(&mut binding);
        binding
    }
}

/// Counts the steps of a side, and ends it at one of them.
#[derive(Debug, Default)]
struct Life {
    steps: u32,
    end: Option<u32>,
    is_over: bool,
}

impl Life {
    fn end_at(&mut self, step: u32) {
        *self = Self { end: Some(step), ..Self::default() };
    }

    /// Whether the side lives to see the next step.
    fn goes_on(&mut self) -> bool {
        self.is_over |= self.end == Some(self.steps);
        self.steps += 1;
        !self.is_over
    }

    fn take_death(&mut self) -> bool {
        let died = self.is_over;
        if died {
            *self = Self::default();
        }
        died
    }
}
