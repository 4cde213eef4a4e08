//! The pairing window and the attempts that are made while it is open.

use std::net::SocketAddr;

use lanyard_pairing::host::{self, AwaitConfirm, AwaitShare};
use lanyard_pairing::message::{ToDevice, ToHost};
use lanyard_pairing::window::{Window, WindowChange};
use lanyard_pairing::{Abort, Channel};
use lanyard_ports::journal::Write;
use lanyard_protocol::device::{PairingMethod, PairingWindow};
use lanyard_protocol::error::WireError;
use lanyard_protocol::health::DiscoveryState;
use lanyard_protocol::limits::MAX_DEVICES;
use lanyard_protocol::principal::{Principal, Scope};
use rand_core::OsRng;

use super::actor::{Actor, window_changed};
use super::passes::device_of;
use super::{Asked, DeskError, Place};
use crate::ids::invalid;
use crate::network::tally::Counted;

/// Told to the owner whose code was guessed at.
const GUESSED: &str = "somebody is guessing the code: there is a new one, better use the QR code";
const BURNT: &str = "somebody is guessing the code, and there is no new one: use the QR code";
const LIMITED: &str =
    "too many codes were tried on this host in the last hour: only the QR code works for now";

impl Actor {
    pub(super) async fn open_window(&mut self) -> Result<PairingWindow, DeskError> {
        if self.parts.surface.is_none() {
            return Err(switched_off().into());
        }
        let (now, with_code) = (self.tick(), self.attempts.allows(self.parts.clock.now()));
        self.entrance.window = Window::open(now, with_code, &mut OsRng);
        self.window_open = true;
        self.parts.tally.add(Counted::Window);
        self.note(vec![window_changed(true, "the owner opened it")]).await;
        self.shown_window().ok_or_else(|| switched_off().into())
    }

    /// Whoever has a link of its own means that.
    pub(super) async fn close(&mut self, by: &Principal) -> Result<(), DeskError> {
        let by = self.standing(by)?;
        if let Some(device) = device_of(&by)
            && self.withdraw(&device).await?
        {
            return Ok(());
        }
        // A device that may only take back what is its own has nothing left to take back.
        if by.holds(Scope::Admin) { self.close_window().await } else { Ok(()) }
    }

    /// What somebody may see of the window and of those who ask.
    pub(super) fn pairings(&self, by: &Principal) -> Result<Asked, DeskError> {
        let by = self.standing(by)?;
        let window = if by.local { self.shown_window() } else { None };
        Ok((window, self.shown_waiters(&by)))
    }

    async fn close_window(&mut self) -> Result<(), DeskError> {
        self.entrance.window.close();
        if std::mem::take(&mut self.window_open) {
            self.parts.journal.commit(vec![window_changed(false, "it was closed")]).await?;
        }
        Ok(())
    }

    /// For the owner at the machine alone.
    pub(super) fn shown_window(&self) -> Option<PairingWindow> {
        let now = self.tick();
        let surface = self.parts.surface.as_ref()?;
        if !self.entrance.window.is_open(now) {
            return None;
        }
        let code = self.entrance.window.code(now).map(|code| code.reveal());
        let secret = self.entrance.window.link(now);
        let mut origins = self.origins().into_iter();
        let first = origins.next();
        // By address as well where the first is by name: some phones and networks do not find the name.
        let named = self.discovery().state == DiscoveryState::Advertising;
        let by_address = if named { origins.next() } else { None };
        let link = |origin: Option<String>| Some(self.link(surface, secret?.clone(), &origin?));
        let limited = !self.attempts.allows(self.parts.clock.now());
        let warning = match (self.entrance.window.was_guessed_at(), code.is_some()) {
            (true, true) => Some(GUESSED),
            (true, false) => Some(BURNT),
            (false, held) => (limited || !held).then_some(LIMITED),
        };
        let left = i64::try_from(self.entrance.window.remaining(now).as_millis()).unwrap_or(i64::MAX);
        Some(PairingWindow {
            attempts_left: if code.is_some() { self.entrance.window.attempts_left() } else { 0 },
            code,
            link: link(first).unwrap_or_default(),
            link_by_address: link(by_address),
            expires_at: self.parts.clock.now().plus_millis(left),
            warning: warning.map(str::to_owned),
        })
    }

    pub(super) fn greet(&mut self, channel: Channel, hello: ToHost) -> Result<(AwaitShare, ToDevice), Abort> {
        let (now, keys) = (self.tick(), self.parts.identity.keys());
        host::greet(keys, &self.parts.host_name, channel, hello, &self.entrance, now, &mut OsRng)
    }

    /// Takes the attempt slot, and writes the attempt down before the host's share may leave: a host that is killed
    /// and started again has not forgotten the guess.
    pub(super) async fn share(
        &mut self,
        state: AwaitShare,
        message: ToHost,
    ) -> Result<(AwaitConfirm, ToDevice), Abort> {
        // A tab of the owner waits for nobody; whether there is room for it is seen when it is let in.
        let for_a_tab = state.pass().is_some_and(|pass| self.makers.is_owners(pass));
        if !for_a_tab && !self.has_room() {
            return Err(Abort::Full);
        }
        let tick = self.tick();
        let consume = match state.handle(message, &mut self.entrance, tick) {
            Ok(consume) => consume,
            Err(abort) => {
                self.settle_window().await;
                return Err(abort);
            }
        };
        let now = self.parts.clock.now();
        let mut recorded = Ok(());
        if consume.method() == PairingMethod::Code {
            recorded = if self.attempts.allows(now) {
                let batch = vec![Write::Count(self.attempts.take(now))];
                self.parts.journal.commit(batch).await.map_err(|error| {
                    tracing::error!(%error, "a pairing attempt could not be recorded");
                    Abort::Internal
                })
            } else {
                Err(Abort::TooMany)
            };
        }
        self.parts.tally.add(Counted::Attempt);
        match recorded {
            Ok(()) => Ok(consume.recorded()),
            Err(abort) => {
                // The share stays here, so nobody has learnt anything.
                let tick = self.tick();
                consume.abandon(&mut self.entrance, tick);
                self.settle_window().await;
                Err(abort)
            }
        }
    }

    pub(super) async fn confirm(
        &mut self,
        state: AwaitConfirm,
        message: ToHost,
        from: SocketAddr,
    ) -> Result<(Place, ToDevice), Abort> {
        let now = self.tick();
        if let Some(pass) = state.pass() {
            self.check_pass(pass, state.peer(), from)?;
        }
        match state.handle(message, &mut self.entrance, now) {
            Ok((confirmed, reply)) => {
                let place = match confirmed.pass() {
                    Some(pass) => self.come_by(confirmed, pass, from).await?,
                    None => self.enter(confirmed, from, None).await?,
                };
                Ok((place, reply))
            }
            Err(abort) => {
                self.settle_window().await;
                Err(abort)
            }
        }
    }

    pub(super) async fn abandon(&mut self, state: AwaitConfirm) {
        let now = self.tick();
        state.abandon(&mut self.entrance, now);
        self.settle_window().await;
    }

    /// After an attempt that came to nothing: a code that has none left is burnt, and the owner is told.
    async fn settle_window(&mut self) {
        let (now, may_reissue) = (self.tick(), self.attempts.allows(self.parts.clock.now()));
        let reason = match self.entrance.window.settle(now, may_reissue, &mut OsRng) {
            WindowChange::None => return,
            WindowChange::Reissued => GUESSED,
            WindowChange::Burnt => BURNT,
        };
        tracing::warn!(reason, "wrong pairing codes");
        self.note(vec![window_changed(true, reason)]).await;
    }

    /// A device has proven itself: the window is used up. The row to be written with what comes next.
    pub(super) fn window_used(&mut self) -> Option<Write> {
        let open = self.window_open && !self.entrance.window.is_open(self.tick());
        if open {
            self.window_open = false;
        }
        open.then(|| window_changed(false, "a device used it"))
    }

    /// Whether another device could be paired.
    pub(super) fn has_room(&self) -> bool {
        self.waiters.has_room() && self.table.len() < MAX_DEVICES
    }
}

pub(super) fn switched_off() -> WireError {
    invalid(
        "the network side of this host is switched off (host.listen = \"off\"): remove that line from config.toml, or \
         start the host with --listen IP:PORT, then pair again",
    )
}
