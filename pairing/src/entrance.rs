//! Every way in that a host has open: the pairing window, and passes.
//!
//! A *pass* is the secret of a link that somebody made for one device of their own. Whether somebody is asked when it
//! comes, and who, is for the host, which knows who made the pass. The messages are those of any other link. Passes are
//! apart from the window: neither uses the other up, and a device that comes by a pass never touches the code's attempts.
//!
//! * A pass works once, for the first device that proves it, and for [`PASS`] at most.
//! * There are few ([`PASSES`]): whoever guesses has as many secrets of 128 bits to guess at.
//! * Nothing of a pass is kept once it has been used or has run out, not even that there was one.

use std::time::Duration;

use lanyard_protocol::Tick;
use rand_core::CryptoRngCore;

use crate::abort::Abort;
use crate::link::LinkSecret;
use crate::message::{Hello, Sid};
use crate::spake::Shared;
use crate::transcript::{equal, link_mac};
use crate::window::{SLOT, WINDOW, Window};

/// How long a pass works: as long as a window is open.
pub const PASS: Duration = WINDOW;

/// Passes at once. A tab that opens uses its own within seconds; each one held is one more secret that a `Hello` is
/// compared with.
pub const PASSES: usize = 8;

/// Names a pass. Not secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PassId(u64);

/// One of them, as a conversation remembers it. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub(crate) struct Pass {
    pub(crate) id: PassId,
    secret: LinkSecret,
    until: Tick,
}

/// The passes a host holds. `Debug` shows no secret.
#[derive(Debug, Default)]
pub struct Passes {
    held: Vec<Pass>,
    issued: u64,
}

impl Passes {
    /// Makes one; `None` while [`PASSES`] are held.
    pub fn issue(&mut self, now: Tick, rng: &mut impl CryptoRngCore) -> Option<(PassId, LinkSecret)> {
        self.forget(now);
        if self.held.len() >= PASSES {
            return None;
        }
        self.issued += 1;
        let (id, secret) = (PassId(self.issued), LinkSecret::generate(rng));
        self.held.push(Pass { id, secret: secret.clone(), until: now.plus(PASS) });
        Some((id, secret))
    }

    /// Takes one back. Conversations under way with it fail.
    pub fn withdraw(&mut self, id: PassId) {
        self.held.retain(|pass| pass.id != id);
    }

    /// Whether a device may still come with it, or is proving it at this moment.
    pub fn holds(&self, id: PassId) -> bool {
        self.held.iter().any(|pass| pass.id == id)
    }

    /// Forgets those that have run out. One that a conversation began with in time works for as long as an attempt may
    /// take.
    pub fn forget(&mut self, now: Tick) {
        self.held.retain(|pass| now < pass.until.plus(SLOT));
    }

    /// When the next one runs out for good.
    pub fn next_due(&self) -> Option<Tick> {
        self.held.iter().map(|pass| pass.until.plus(SLOT)).min()
    }

    fn of(&self, hello: &Hello, binding: &[u8; 32], now: Tick) -> Option<&Pass> {
        let theirs = hello.link_mac.as_ref()?;
        let mut found = None;
        // All of them, so that the time it takes does not tell which one it was.
        for pass in self.held.iter().filter(|pass| now < pass.until) {
            if equal(&link_mac(&pass.secret, binding, hello), theirs) {
                found = Some(pass);
            }
        }
        found
    }

    fn check(&self, pass: &Pass, until: Tick, now: Tick) -> Result<(), Abort> {
        match self.holds(pass.id) {
            _ if now >= until => Err(Abort::Expired),
            true => Ok(()),
            false => Err(Abort::Used),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Entrance {
    /// For a code and a link.
    pub window: Window,
    /// For links beside it.
    pub passes: Passes,
}

impl Default for Entrance {
    fn default() -> Self {
        Self { window: Window::closed(), passes: Passes::default() }
    }
}

/// What a device shows that it knows: the secret, and where it belongs.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) shared: Shared,
    /// Absent: the window's.
    pub(crate) pass: Option<Pass>,
}

impl Entrance {
    /// Which secret a `Hello` means: the code, or the link's or pass's that its MAC belongs to.
    ///
    /// # Errors
    /// The window's refusal; [`Abort::WrongSecret`] for the MAC of no secret while the window is open.
    pub(crate) fn claim(&self, hello: &Hello, binding: &[u8; 32], now: Tick) -> Result<Claim, Abort> {
        let shared = self.window.shared(hello.link_mac.is_some(), now);
        if let (Ok(Shared::Link(secret)), Some(theirs)) = (&shared, &hello.link_mac)
            && !equal(&link_mac(secret, binding, hello), theirs)
        {
            return self.pass(hello, binding, now).ok_or(Abort::WrongSecret);
        }
        match shared {
            Ok(shared) => Ok(Claim { shared, pass: None }),
            Err(refusal) => self.pass(hello, binding, now).ok_or(refusal),
        }
    }

    fn pass(&self, hello: &Hello, binding: &[u8; 32], now: Tick) -> Option<Claim> {
        let pass = self.passes.of(hello, binding, now)?.clone();
        Some(Claim { shared: Shared::Link(pass.secret.clone()), pass: Some(pass) })
    }

    /// The device's share is here.
    pub(crate) fn begin(&mut self, sid: &Sid, claim: &Claim, now: Tick) -> Result<(), Abort> {
        match &claim.pass {
            Some(pass) => self.passes.check(pass, pass.until, now),
            None => self.window.begin(sid, &claim.shared, now),
        }
    }

    /// Whether a conversation may still succeed.
    pub(crate) fn may_succeed(&self, sid: &Sid, claim: &Claim, now: Tick) -> Result<(), Abort> {
        match &claim.pass {
            Some(pass) => self.passes.check(pass, pass.until.plus(SLOT), now),
            None => self.window.may_succeed(sid, &claim.shared, now),
        }
    }

    /// A device has proven everything: nobody else will with the same.
    pub(crate) fn succeed(&mut self, claim: &Claim) {
        match &claim.pass {
            Some(pass) => self.passes.withdraw(pass.id),
            None => self.window.succeed(),
        }
    }

    /// An attempt has failed or was given up. A pass stays: a failure shows that its secret is not known.
    pub(crate) fn release(&mut self, sid: &Sid, claim: &Claim) {
        if claim.pass.is_none() {
            self.window.release(sid);
        }
    }
}
