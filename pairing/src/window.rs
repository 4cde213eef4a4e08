//! The time in which a host takes devices: one code, one link, a few attempts.
//!
//! * A code conversation takes the one slot, and an attempt, when the device's share arrives. The slot is its own for
//!   [`SLOT`]; later the next one may take it over, and whoever lost it can no longer succeed. The attempt stays consumed.
//! * A link conversation takes neither: nobody guesses 128 bits, so forged ones must not get in the way of the code.
//! * The first success, by code or by link, closes the window.
//! * A conversation begun in time may succeed until [`SLOT`] after the end, never later.

use std::time::Duration;

use lanyard_protocol::Tick;
use rand_core::CryptoRngCore;

use crate::abort::Abort;
use crate::code::PairingCode;
use crate::link::LinkSecret;
use crate::message::Sid;
use crate::spake::Shared;
use crate::transcript::equal;

/// How long a window stays open: long enough to walk to another machine, short enough not to be forgotten.
pub const WINDOW: Duration = Duration::from_secs(120);

/// Wrong codes after which a code is burnt: three guesses at 40 bits are nothing, three typing errors are plenty.
pub const ATTEMPTS: u32 = 3;

/// How long one attempt may hold the slot.
pub const SLOT: Duration = Duration::from_secs(3);

/// How long a window that is over is remembered for: who comes later has no code of it, and is told only that none is
/// open.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);

/// Codes one window may have. The guesses of a whole window stay below one in ten million.
pub const CODES: u32 = 4;

/// What became of a window; the owner is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowChange {
    /// Nothing.
    None,
    /// Three wrong attempts: somebody is guessing. There is a new code.
    Reissued,
    /// Three wrong attempts, and no new code: only the link works.
    Burnt,
}

/// See the module. Closed windows remember why, so that a late device is told. `Debug` shows no secret.
#[derive(Debug)]
pub struct Window {
    phase: Phase,
    until: Tick,
    guessed_at: bool,
}

#[derive(Debug)]
enum Phase {
    /// Never opened, or closed by the owner.
    Closed,
    /// A device has paired.
    Used,
    /// Until the end. What is in it is wiped with it.
    Open(Open),
}

#[derive(Debug)]
struct Open {
    link: LinkSecret,
    /// Absent when it was burnt, or must not be issued.
    code: Option<PairingCode>,
    codes_issued: u32,
    attempts_left: u32,
    slot: Option<Slot>,
}

#[derive(Debug)]
struct Slot {
    sid: Sid,
    until: Tick,
}

impl Open {
    fn has_live_slot(&self, now: Tick) -> bool {
        self.slot.as_ref().is_some_and(|slot| now < slot.until)
    }

    fn is_held_by(&self, sid: &Sid) -> bool {
        self.slot.as_ref().is_some_and(|slot| slot.sid == *sid)
    }
}

impl Window {
    /// A host that has never opened one.
    pub fn closed() -> Self {
        Self { phase: Phase::Closed, until: Tick::from_millis(0), guessed_at: false }
    }

    /// Opens. `with_code`: whether a code may be issued (the host's global limit); the link always is.
    pub fn open(now: Tick, with_code: bool, rng: &mut impl CryptoRngCore) -> Self {
        let open = Open {
            link: LinkSecret::generate(rng),
            code: with_code.then(|| PairingCode::generate(rng)),
            codes_issued: u32::from(with_code),
            attempts_left: if with_code { ATTEMPTS } else { 0 },
            slot: None,
        };
        Self { phase: Phase::Open(open), until: now.plus(WINDOW), guessed_at: false }
    }

    /// Closes by the owner's wish. Conversations under way fail.
    pub fn close(&mut self) {
        self.phase = Phase::Closed;
    }

    /// Whether a device may begin.
    pub fn is_open(&self, now: Tick) -> bool {
        self.current(now).is_some()
    }

    /// Time left; zero when closed.
    pub fn remaining(&self, now: Tick) -> Duration {
        if self.is_open(now) { self.until.since(now) } else { Duration::ZERO }
    }

    /// The code, while there is one and the window is open.
    pub fn code(&self, now: Tick) -> Option<&PairingCode> {
        self.current(now)?.code.as_ref()
    }

    /// The link's secret, while it is unused and the window is open.
    pub fn link(&self, now: Tick) -> Option<&LinkSecret> {
        Some(&self.current(now)?.link)
    }

    /// Wrong attempts until the code is burnt; zero when there is no code. One under way counts as wrong.
    pub fn attempts_left(&self) -> u32 {
        match &self.phase {
            Phase::Open(open) => open.attempts_left,
            Phase::Closed | Phase::Used => 0,
        }
    }

    /// Whether a code of this window was burnt.
    pub fn was_guessed_at(&self) -> bool {
        self.guessed_at
    }

    /// Why a device cannot begin with a code. [`Abort::Busy`] when nothing but another attempt is in the way.
    pub fn refusal(&self, now: Tick) -> Abort {
        match &self.phase {
            Phase::Closed => Abort::NotOpen,
            Phase::Used | Phase::Open(_) if now >= self.until.plus(REMEMBERED) => Abort::NotOpen,
            Phase::Used => Abort::Used,
            Phase::Open(_) if now >= self.until => Abort::Expired,
            Phase::Open(open) if open.code.is_none() && !self.guessed_at => Abort::TooMany,
            Phase::Open(open) if open.code.is_none() => Abort::Burnt,
            Phase::Open(open) if open.attempts_left == 0 && !open.has_live_slot(now) => Abort::Burnt,
            Phase::Open(_) => Abort::Busy,
        }
    }

    /// To be called after every failed or abandoned attempt: burns a code whose attempts are used up and, where
    /// `may_reissue` and [`CODES`] allow, makes a new one. The last attempt is waited for while it has the slot.
    pub fn settle(&mut self, now: Tick, may_reissue: bool, rng: &mut impl CryptoRngCore) -> WindowChange {
        let until = self.until;
        let Phase::Open(open) = &mut self.phase else { return WindowChange::None };
        let is_over = now >= until || open.code.is_none();
        if is_over || open.attempts_left > 0 || open.has_live_slot(now) {
            return WindowChange::None;
        }
        self.guessed_at = true;
        open.slot = None;
        if may_reissue && open.codes_issued < CODES {
            open.code = Some(PairingCode::generate(rng));
            open.codes_issued += 1;
            open.attempts_left = ATTEMPTS;
            return WindowChange::Reissued;
        }
        open.code = None;
        WindowChange::Burnt
    }

    /// What a device that begins now must know: the link's secret if it says so, else the code.
    pub(crate) fn shared(&self, by_link: bool, now: Tick) -> Result<Shared, Abort> {
        let open = self.current(now).ok_or_else(|| self.refusal(now))?;
        if by_link {
            return Ok(Shared::Link(open.link.clone()));
        }
        let spent = open.attempts_left == 0 && !open.has_live_slot(now);
        match &open.code {
            Some(code) if !spent => Ok(Shared::Code(code.clone())),
            Some(_) | None => Err(self.refusal(now)),
        }
    }

    /// The device's share is here: a code conversation takes the slot and consumes an attempt.
    pub(crate) fn begin(&mut self, sid: &Sid, shared: &Shared, now: Tick) -> Result<(), Abort> {
        let refusal = self.refusal(now);
        let until = self.until;
        let open = match &mut self.phase {
            Phase::Open(open) if now < until => open,
            Phase::Open(_) | Phase::Closed | Phase::Used => return Err(refusal),
        };
        match shared {
            Shared::Link(secret) => known(equal(&secret.0, &open.link.0), Abort::Expired),
            Shared::Code(code) => {
                let current = open.code.as_ref().is_some_and(|ours| equal(ours.as_bytes(), code.as_bytes()));
                known(current, Abort::Burnt)?;
                if open.has_live_slot(now) || open.attempts_left == 0 {
                    return Err(refusal);
                }
                open.attempts_left -= 1;
                open.slot = Some(Slot { sid: *sid, until: now.plus(SLOT) });
                Ok(())
            }
        }
    }

    /// Whether a conversation may still succeed.
    pub(crate) fn may_succeed(&self, sid: &Sid, shared: &Shared, now: Tick) -> Result<(), Abort> {
        let open = match &self.phase {
            Phase::Closed => return Err(Abort::NotOpen),
            Phase::Used => return Err(Abort::Used),
            Phase::Open(open) => open,
        };
        if now >= self.until.plus(SLOT) {
            return Err(Abort::Expired);
        }
        match shared {
            Shared::Link(secret) => known(equal(&secret.0, &open.link.0), Abort::Expired),
            Shared::Code(_) => known(open.is_held_by(sid), Abort::Timeout),
        }
    }

    /// A device has proven everything: nobody else will in this window.
    pub(crate) fn succeed(&mut self) {
        self.phase = Phase::Used;
    }

    /// An attempt has failed or was given up. Does nothing to a slot somebody else has taken over.
    pub(crate) fn release(&mut self, sid: &Sid) {
        if let Phase::Open(open) = &mut self.phase
            && open.is_held_by(sid)
        {
            open.slot = None;
        }
    }

    fn current(&self, now: Tick) -> Option<&Open> {
        match &self.phase {
            Phase::Open(open) if now < self.until => Some(open),
            Phase::Open(_) | Phase::Closed | Phase::Used => None,
        }
    }
}

fn known(holds: bool, otherwise: Abort) -> Result<(), Abort> {
    if holds { Ok(()) } else { Err(otherwise) }
}
