//! The sandbox and the process runner, tried with real processes.
//!
//! Every refusal is a pair: a probe (`probe.rs`, this very binary started again) succeeds outside the sandbox, or
//! fails there for another reason, and is refused inside. Run as root, the whole suite runs once more as an ordinary
//! user (`unprivileged.rs`).
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on may stop")]
#![allow(unsafe_code, reason = "the probes make system calls no library offers")]

mod fixture;
mod probe;

mod environment;
mod files;
mod host_death;
mod modes;
mod processes;
mod runner;
mod sockets;
mod syscalls;
mod tree;
mod unprivileged;
