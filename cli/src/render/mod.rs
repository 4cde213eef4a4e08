//! Turns what the host says into text for a terminal. Pure: values in, text out; nothing here reads or writes.
//!
//! Every text that comes from a tool, a model, a file or another person passes through [`visible`].

mod approval;
mod banner;
mod central;
mod days;
mod devices;
mod diff;
mod health;
mod hosts;
mod lists;
mod models;
mod names;
mod network;
mod paint;
mod pairing;
mod qr;
mod scopes;
mod span;
mod streams;
mod timeline;
mod trust;
pub(crate) mod visible;
mod watch;
mod wrap;

pub(crate) use approval::{approval, countdown, diff_of, remember_words, shell_word};
pub(crate) use banner::banner;
pub(crate) use central::{Consent, central, consent_question, consent_words, enrolled, unenrolled};
pub(crate) use devices::{connections, devices};
pub(crate) use diff::{diff, patch};
pub(crate) use health::{check, health};
pub(crate) use hosts::{Standing, claims_to_be, hosts, sightings};
pub(crate) use lists::{approvals, decision_words, rules, session, sessions};
pub(crate) use models::models;
pub(crate) use names::{address, who};
pub(crate) use network::network_trouble;
pub(crate) use paint::{Paint, Tone, width_of};
pub(crate) use pairing::{
    Drawn, pairing_commands, pairing_settled, pairing_window, pairings, pending_pairing,
};
pub(crate) use scopes::{scopes_in_words, scopes_list};
pub(crate) use span::{bytes, millis, plural};
pub(crate) use timeline::{Timeline, model_words};
pub(crate) use trust::trust;
pub(crate) use watch::{WatchLine, watch_line, watched_session};

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
