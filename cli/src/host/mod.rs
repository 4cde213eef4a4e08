//! The way to the local host: find it, start it where the command may, and talk to it.

mod attach;
mod connection;
mod start;

pub(crate) use attach::{HostError, attach, lock_is_held};
pub(crate) use connection::{Connection, Happening, Patience};
pub(crate) use start::{LOG, attach_or_start};

#[cfg(test)]
mod tests;
