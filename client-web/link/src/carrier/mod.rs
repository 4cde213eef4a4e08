//! What carries the channel's messages: whole, in order, in a browser.
//!
//! A carrier tells what happens through the [`Sink`] it was opened with, and is closed by dropping it. It is told nothing
//! about what it carries.

mod choose;
mod fetch;
mod websocket;

use std::rc::Rc;

pub(crate) use choose::dial;

use crate::link::CarrierKind;

/// Bytes that may wait in a carrier before it takes no more: two of the longest messages. Whatever waits there is out of
/// reach of the priorities above, and an approval must not stand behind a photo.
const HIGH_WATER: usize = 128 * 1024;

/// What happens to a carrier.
#[derive(Debug)]
pub(crate) enum Event {
    /// It can be used.
    Opened(CarrierKind),
    /// A message has come.
    Message(Vec<u8>),
    /// It takes messages again.
    Writable,
    /// It is gone, or did not come about. Nothing follows. A sentence for people.
    Lost(String),
}

/// Where a carrier tells what happens. Never called while the carrier itself is called.
pub(crate) type Sink = Rc<dyn Fn(Event)>;

/// An open carrier, or one that is being opened.
pub(crate) trait Carrier: std::fmt::Debug {
    /// Whether it takes another message. [`Event::Writable`] follows when it did not.
    fn can_take(&self) -> bool;

    /// Takes a message.
    ///
    /// # Errors
    /// It is gone. A sentence for people.
    fn send(&mut self, message: Vec<u8>) -> Result<(), String>;
}
