//! The model crate against a gateway that misbehaves by script.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests; a test that cannot go on panics"
)]

#[path = "model/calls.rs"]
mod calls;
#[path = "model/choice.rs"]
mod choice;
#[path = "model/faults.rs"]
mod faults;
#[path = "model/rig.rs"]
mod rig;
