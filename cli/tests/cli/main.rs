//! The command from outside, with hosts of its own in temporary homes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod central;
mod commands;
mod home;
mod open;
mod pairing;
#[cfg(target_os = "linux")]
mod terminal;
mod trust;
