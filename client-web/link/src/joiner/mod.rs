//! Pairing from the device's end, without IO: as far as the digits in one go, then the wait for a person, through broken
//! connections and sleep.
//!
//! Before the digits nothing is tried twice: each attempt costs the code one of its few. From then on the wait goes on,
//! on as many connections as it takes, until the host ends it.

use std::collections::VecDeque;
use std::time::Duration;

use lanyard_client::{Backoff, Tick};
use lanyard_pairing::device::{
    About, Answer, AwaitConfirm, AwaitOffer, AwaitShare, PendingJoin, Secret, start,
};
use lanyard_pairing::message::{ToDevice, ToHost};
use lanyard_pairing::{Abort, Channel, Grant, IdentityKeys};
use rand_core::CryptoRngCore;

use crate::chance::Chance;
use crate::driver::{AFTER_WAKE, ANSWER, DIAL};
use crate::link::CarrierKind;
use crate::machine::Machine;
use crate::stranger::{Said, Stranger};

/// How long the host may take to read our last words.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(2);

/// How often a wait begins on a fresh connection although nothing is wrong with the old one: a socket may be dead without
/// a sign, and there is nothing to be asked over it.
const RENEW: Duration = Duration::from_secs(30);

/// What the joiner tells.
#[derive(Debug)]
pub(crate) enum Told {
    /// Both machines agree. To be written down, then shown.
    Agreed(PendingJoin),
    /// A person has said yes. To be written down, then [`Joiner::written_down`].
    Granted(Grant),
    /// One of the two has ended it.
    Aborted(Abort),
    /// Before the digits: the host could not be reached, or the connection broke. A sentence.
    Unreachable(String),
    /// The host knows that we know. Nothing follows.
    Done,
}

/// Where the first conversation stands.
#[derive(Debug)]
enum Step {
    Start(Box<(About, Secret)>),
    Offer(Box<AwaitOffer>),
    Share(Box<AwaitShare>),
    Confirm(Box<AwaitConfirm>),
    /// Both machines agree.
    Wait(Box<PendingJoin>),
    /// Granted and being written down, or ended: only last words are left.
    Leave,
}

#[derive(Debug)]
enum Line {
    Waiting { until: Tick },
    Dialing { since: Tick },
    Open { stranger: Box<Stranger>, since: Tick },
    Closed,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Joiner<R> {
    keys: IdentityKeys,
    chance: Chance<R>,
    step: Step,
    line: Line,
    carrier: u64,
    backoff: Backoff,
    /// What was granted: its acknowledgement is still to be said.
    granted: Option<Box<PendingJoin>>,
    told: VecDeque<Told>,
}

impl<R: CryptoRngCore + std::fmt::Debug + Send> Joiner<R> {
    /// Begins a pairing.
    pub(crate) fn start(keys: IdentityKeys, about: About, secret: Secret, rng: R, now: Tick) -> Self {
        Self::at(Step::Start(Box::new((about, secret))), keys, rng, now)
    }

    /// Goes back to a host that has not answered yet.
    pub(crate) fn resume(keys: IdentityKeys, pending: PendingJoin, rng: R, now: Tick) -> Self {
        Self::at(Step::Wait(Box::new(pending)), keys, rng, now)
    }

    fn at(step: Step, keys: IdentityKeys, rng: R, now: Tick) -> Self {
        Self {
            keys,
            chance: Chance(rng),
            step,
            line: Line::Dialing { since: now },
            carrier: 1,
            backoff: Backoff::default(),
            granted: None,
            told: VecDeque::new(),
        }
    }

    /// The grant is written down: tells the host.
    pub(crate) fn written_down(&mut self, now: Tick) {
        let Some(pending) = self.granted.take() else { return };
        match &mut self.line {
            Line::Open { stranger, since } => {
                stranger.send(&pending.acknowledge());
                stranger.finish();
                *since = now;
            }
            // The first connection of the paired device says the same.
            _ => self.done(),
        }
    }

    /// Nobody waits for it any more: tells the host, so that no person is left with the question.
    pub(crate) fn give_up(&mut self, now: Tick) {
        if !matches!(self.step, Step::Leave) {
            self.last_words(Abort::Timeout, now);
        }
    }

    fn last_words(&mut self, why: Abort, now: Tick) {
        self.step = Step::Leave;
        match &mut self.line {
            Line::Open { stranger, since } => {
                stranger.send(&ToHost::Abort(why));
                stranger.finish();
                *since = now;
            }
            _ => self.done(),
        }
    }

    fn done(&mut self) {
        if !matches!(self.line, Line::Closed) {
            self.line = Line::Closed;
            self.told.push_back(Told::Done);
        }
    }

    fn dial(&mut self, now: Tick) {
        self.carrier += 1;
        self.line = Line::Dialing { since: now };
    }

    /// This side ends it, and says so.
    fn abort(&mut self, why: Abort, now: Tick) {
        self.told.push_back(Told::Aborted(why));
        self.last_words(why, now);
    }

    /// The line is of no use any more.
    fn broken(&mut self, why: String, now: Tick) {
        match &self.step {
            Step::Wait(_) => {
                let wait = self.backoff.next_wait(&mut self.chance);
                self.line = Line::Waiting { until: now.plus(wait) };
            }
            Step::Leave => self.done(),
            _ => {
                self.step = Step::Leave;
                self.told.push_back(Told::Unreachable(why));
                self.done();
            }
        }
    }

    fn said(&mut self, said: Said, now: Tick) {
        let message = match said {
            Said::Ready(channel) => return self.ready(channel, now),
            Said::Finished => {
                return self.broken("the host ended the pairing without a word".to_owned(), now);
            }
            // Of this connection, not of the pairing: whoever asks again finds the question where it was.
            Said::Message(ToDevice::Abort(
                Abort::Busy | Abort::TooMany | Abort::Timeout | Abort::Internal,
            )) if matches!(self.step, Step::Wait(_)) => {
                return self.broken(String::new(), now);
            }
            Said::Message(ToDevice::Abort(why)) => {
                self.step = Step::Leave;
                self.told.push_back(Told::Aborted(why));
                return self.done();
            }
            Said::Message(message) => message,
        };
        if let Err(why) = self.next_step(message) {
            self.abort(why, now);
        }
    }

    fn ready(&mut self, channel: Channel, now: Tick) {
        let first = match std::mem::replace(&mut self.step, Step::Leave) {
            Step::Start(said) => {
                let (about, secret) = *said;
                start(&self.keys, &about, secret, channel, &mut self.chance.0).map(|(state, hello)| {
                    self.step = Step::Offer(Box::new(state));
                    hello
                })
            }
            Step::Wait(pending) => match pending.resume(&channel) {
                Ok(hello) => {
                    self.step = Step::Wait(pending);
                    Ok(hello)
                }
                // Somebody else answers here: the host may come back.
                Err(_) => {
                    self.step = Step::Wait(pending);
                    return self.broken(String::new(), now);
                }
            },
            other => {
                self.step = other;
                return;
            }
        };
        match first {
            Ok(message) => self.say(&message),
            Err(why) => self.abort(why, now),
        }
    }

    fn next_step(&mut self, message: ToDevice) -> Result<(), Abort> {
        let (step, say) = match std::mem::replace(&mut self.step, Step::Leave) {
            Step::Offer(state) => {
                let (state, share) = state.handle(message, &mut self.chance.0)?;
                (Step::Share(Box::new(state)), Some(share))
            }
            Step::Share(state) => {
                let (state, proof) = state.handle(message)?;
                (Step::Confirm(Box::new(state)), Some(proof))
            }
            Step::Confirm(state) => {
                let pending = state.handle(message)?;
                self.told.push_back(Told::Agreed(pending.clone()));
                (Step::Wait(Box::new(pending)), None)
            }
            Step::Wait(pending) => match pending.answer(message)? {
                Answer::Waiting => {
                    self.backoff.reset();
                    (Step::Wait(pending), None)
                }
                Answer::Granted(grant) => {
                    self.granted = Some(pending);
                    self.told.push_back(Told::Granted(grant));
                    (Step::Leave, None)
                }
            },
            Step::Start(_) => return Err(Abort::OutOfOrder),
            Step::Leave => (Step::Leave, None),
        };
        self.step = step;
        if let Some(message) = say {
            self.say(&message);
        }
        Ok(())
    }

    fn say(&mut self, message: &ToHost) {
        if let Line::Open { stranger, .. } = &mut self.line {
            stranger.send(message);
        }
    }

    /// When the line is given up, or taken up again.
    fn deadline(&self) -> Option<Tick> {
        match &self.line {
            Line::Waiting { until } => Some(*until),
            Line::Dialing { since } => Some(since.plus(DIAL)),
            Line::Open { since, .. } => Some(since.plus(match &self.step {
                Step::Wait(_) => RENEW,
                // While it is written down nothing is due.
                Step::Leave if self.granted.is_some() => return None,
                Step::Leave => LAST_WORDS,
                _ => ANSWER,
            })),
            Line::Closed => None,
        }
    }
}

impl<R: CryptoRngCore + std::fmt::Debug + Send> Machine for Joiner<R> {
    type Output = Told;

    fn wanted(&self) -> Option<u64> {
        matches!(self.line, Line::Dialing { .. } | Line::Open { .. }).then_some(self.carrier)
    }

    fn on_open(&mut self, _: CarrierKind, now: Tick) {
        if !matches!(self.line, Line::Dialing { .. }) {
            return;
        }
        match Stranger::start(&self.keys, &mut self.chance.0) {
            Ok(stranger) => self.line = Line::Open { stranger: Box::new(stranger), since: now },
            Err(fault) => self.broken(fault.to_string(), now),
        }
    }

    fn on_message(&mut self, message: &[u8], now: Tick) {
        let Line::Open { stranger, .. } = &mut self.line else { return };
        let fed = stranger.feed(message);
        while let Line::Open { stranger, .. } = &mut self.line
            && let Some(said) = stranger.poll()
        {
            self.said(said, now);
        }
        if let (Err(fault), Line::Open { .. }) = (fed, &self.line) {
            self.broken(fault.to_string(), now);
        }
    }

    fn on_lost(&mut self, why: String, now: Tick) {
        if matches!(self.line, Line::Dialing { .. } | Line::Open { .. }) {
            self.broken(why, now);
        }
    }

    fn on_wake(&mut self, now: Tick) {
        if !matches!(self.step, Step::Wait(_)) {
            return;
        }
        let (Line::Dialing { since } | Line::Open { since, .. }) = &self.line else {
            if matches!(self.line, Line::Waiting { .. }) {
                self.backoff.reset();
                self.dial(now);
            }
            return;
        };
        if now.since(*since) >= AFTER_WAKE {
            self.dial(now);
        }
    }

    fn handle_timeout(&mut self, now: Tick) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match (&self.line, &self.step) {
            (Line::Waiting { .. }, _) | (Line::Open { .. }, Step::Wait(_)) => self.dial(now),
            (Line::Open { .. }, Step::Offer(_) | Step::Share(_) | Step::Confirm(_)) => {
                self.abort(Abort::Timeout, now);
            }
            _ => self.broken("the host does not answer".to_owned(), now),
        }
    }

    fn next_timeout(&self) -> Option<Tick> {
        self.deadline()
    }

    fn poll_transmit(&mut self, _: Tick) -> Option<Vec<u8>> {
        let Line::Open { stranger, .. } = &mut self.line else { return None };
        stranger.poll_transmit()
    }

    fn poll_output(&mut self) -> Option<Told> {
        self.told.pop_front()
    }
}

#[cfg(test)]
mod tests;
