//! Decides what an agent may do. Pure: no clock, no files, no network, no runtime; all facts are handed in.
//!
//! The way of a call: the tools say what it wants ([`demand`]); [`decide::decide`] asks every policy [`layer`] and
//! returns a refusal, a question ([`permit::Ask`]) or a proof ([`permit::Permitted`]) that owns the call. A question
//! becomes a proof through an answer bound to exactly the same content ([`approval`]). Tools carry out proofs only.
//!
//! What helps to decide: [`shell`] reads command strings or refuses to, [`commands`] knows what programs do,
//! [`path`] and [`net`] bring names into one form, [`gitname`] checks what is handed to git. [`bundle`] validates
//! policy, [`redact`] removes secrets before text leaves, [`upload`] says what the host may send by itself, [`visible`] shows what cannot be seen.

pub mod approval;
pub mod bundle;
pub mod commands;
pub mod decide;
pub mod demand;
pub mod filter;
pub mod gitname;
pub mod layer;
pub mod net;
pub mod overview;
pub mod path;
pub mod permit;
pub mod reading;
pub mod redact;
pub mod shell;
pub mod upload;
pub mod visible;

#[cfg(test)]
mod replays;
#[cfg(test)]
mod testing;
