//! What stands between a carrier and everything else: machines that know no browser, driven by [`crate::pump`] in one
//! and by the lab in tests.

use lanyard_protocol::Tick;

use crate::link::CarrierKind;

/// Takes what happens, in order; says what it wants. Polled after everything that happens, for all of it.
///
/// A machine numbers the carriers it asks for. What an earlier one still says is not handed to it.
pub(crate) trait Machine {
    /// What it tells its user.
    type Output;

    /// The carrier it wants: a fresh one for a number it did not name before, in place of any other; or none.
    fn wanted(&self) -> Option<u64>;

    /// The carrier is open.
    fn on_open(&mut self, kind: CarrierKind, now: Tick);

    /// The carrier has brought a message.
    fn on_message(&mut self, message: &[u8], now: Tick);

    /// The carrier is gone, or did not open. `why` is a sentence for people.
    fn on_lost(&mut self, why: String, now: Tick);

    /// The page was out of sight, without network, or asleep, and may be so no longer; or somebody cannot wait.
    fn on_wake(&mut self, now: Tick);

    /// [`Machine::next_timeout`] has come.
    fn handle_timeout(&mut self, now: Tick);

    /// When there is something to do next if nothing happens.
    fn next_timeout(&self) -> Option<Tick>;

    /// The next message for the open carrier. Asked only when that can take one; the last ones also when it is not wanted
    /// any more.
    fn poll_transmit(&mut self, now: Tick) -> Option<Vec<u8>>;

    /// What is to be told next.
    fn poll_output(&mut self) -> Option<Self::Output>;
}
