//! A machine and a host with carriers between them that are cut, refused, slow or dead on command; for tests without
//! sockets or clocks.

mod api;
mod host;
pub mod story;

use std::collections::VecDeque;
use std::time::Duration;

use lanyard_protocol::Tick;

use crate::link::CarrierKind;
use crate::machine::Machine;
#[cfg(test)]
pub(crate) use api::session;
pub(crate) use host::LabHost;

/// Deliveries after which a test that goes round in circles fails.
const MAX_STEPS: usize = 200_000;

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// Carries everything.
    Up,
    /// Carriers do not open; those that are open are cut.
    Down,
    /// Carriers open, and carry nothing more: a phone's socket after a night.
    Dead,
}

/// See the module.
pub(crate) struct Lab<M: Machine> {
    pub(crate) machine: M,
    pub(crate) host: LabHost,
    pub(crate) now: Tick,
    pub(crate) network: Network,
    /// Messages a carrier takes at a time.
    pub(crate) room: usize,
    carrier: Option<u64>,
    /// The carrier was open when the network died: it never carries anything again.
    is_dead: bool,
    up: VecDeque<Vec<u8>>,
    down: VecDeque<Vec<u8>>,
    /// Messages delivered, in either direction.
    pub(crate) delivered: usize,
    /// Carriers that were asked for.
    pub(crate) dialed: u32,
    /// The carrier is cut before this delivery.
    pub(crate) cut_at: Option<usize>,
    pub(crate) told: Vec<M::Output>,
}

impl<M: Machine> Lab<M> {
    pub(crate) fn new(machine: M, host: LabHost, now: Tick) -> Self {
        Self {
            machine,
            host,
            now,
            network: Network::Up,
            room: usize::MAX,
            carrier: None,
            is_dead: false,
            up: VecDeque::new(),
            down: VecDeque::new(),
            delivered: 0,
            dialed: 0,
            cut_at: None,
            told: Vec::new(),
        }
    }

    /// Cuts the carrier; what was on its way is lost.
    pub(crate) fn cut(&mut self) {
        if self.carrier.take().is_some() {
            self.forget();
            self.machine.on_lost("cut".to_owned(), self.now);
            self.listen();
        }
    }

    fn forget(&mut self) {
        self.up.clear();
        self.down.clear();
        self.host.disconnected();
    }

    fn listen(&mut self) {
        self.told.extend(std::iter::from_fn(|| self.machine.poll_output()));
    }

    /// As the pump does.
    fn settle(&mut self) {
        self.listen();
        if self.carrier.is_some() && self.network == Network::Down {
            self.cut();
        }
        while self.carrier.is_some() && self.up.len() < self.room {
            let Some(message) = self.machine.poll_transmit(self.now) else { break };
            self.up.push_back(message);
        }
        self.listen();
        let wanted = self.machine.wanted();
        if wanted == self.carrier {
            return;
        }
        // Last words still arrive.
        while self.carrier.is_some()
            && self.network == Network::Up
            && !self.is_dead
            && let Some(message) = self.up.pop_front()
        {
            self.host.receive(&message, self.now);
        }
        self.carrier = None;
        self.forget();
        if let Some(number) = wanted {
            self.dialed += 1;
            if self.network == Network::Down {
                self.machine.on_lost("the host cannot be reached".to_owned(), self.now);
            } else {
                self.carrier = Some(number);
                self.is_dead = false;
                self.host.connected();
                self.machine.on_open(CarrierKind::WebSocket, self.now);
            }
            self.settle();
        }
    }

    /// Delivers one message; false when none is on its way.
    pub(crate) fn step(&mut self) -> bool {
        self.settle();
        self.is_dead |= self.network == Network::Dead;
        if self.is_dead {
            (self.up, self.down) = Default::default();
            return false;
        }
        while let Some(message) = self.host.poll_transmit() {
            self.down.push_back(message);
        }
        if self.up.is_empty() && self.down.is_empty() {
            if std::mem::take(&mut self.host.hangs_up) {
                self.cut();
                self.settle();
                return true;
            }
            return false;
        }
        if self.cut_at == Some(self.delivered) {
            self.cut_at = None;
            self.cut();
            return true;
        }
        self.delivered += 1;
        match (self.delivered.is_multiple_of(2), self.up.is_empty(), self.down.is_empty()) {
            (_, false, true) | (true, false, false) => {
                let message = self.up.pop_front().unwrap();
                self.host.receive(&message, self.now);
            }
            _ => {
                let message = self.down.pop_front().unwrap();
                self.machine.on_message(&message, self.now);
            }
        }
        self.settle();
        true
    }

    /// Everything on its way arrives.
    pub(crate) fn run(&mut self) {
        for _ in 0..MAX_STEPS {
            if !self.step() {
                return;
            }
        }
        panic!("no end");
    }

    /// Time passes, and everything due is done.
    pub(crate) fn wait(&mut self, span: Duration) {
        let until = self.now.plus(span);
        self.run();
        while let Some(due) = self.machine.next_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.machine.handle_timeout(self.now);
            self.run();
        }
        self.now = until;
    }

    /// Time passes while the page sleeps: nothing of it is noticed.
    pub(crate) fn sleep(&mut self, span: Duration) {
        self.run();
        self.now = self.now.plus(span);
    }

    /// The page is looked at again.
    pub(crate) fn wake(&mut self) {
        self.machine.on_wake(self.now);
        self.run();
    }
}
