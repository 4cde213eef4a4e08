//! The way to a host, here or elsewhere: choose it, find it, start it where the command may, and talk to it.

mod attach;
mod choose;
mod connection;
mod link;
mod remote;
mod start;
mod wire;

pub(crate) use attach::{HostError, attach, lock_is_held};
pub(crate) use choose::{Named, named, only_paired};
pub(crate) use connection::{Connection, Happening, Patience, Way};
pub(crate) use link::Renewal;
pub(crate) use remote::{RemoteError, Route};
pub(crate) use start::{LOG, attach_or_start};

#[cfg(test)]
mod tests;
