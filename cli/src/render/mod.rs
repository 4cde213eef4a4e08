//! Turns what the host says into text for a terminal. Pure: values in, text out; nothing here reads or writes.
//!
//! Every text that comes from a tool, a model, a file or another person passes through [`visible`].

mod approval;
mod diff;
mod health;
mod lists;
mod paint;
mod span;
mod streams;
mod timeline;
pub(crate) mod visible;
mod wrap;

pub(crate) use approval::{approval, countdown, diff_of, remember_words, shell_word};
pub(crate) use diff::{diff, patch};
pub(crate) use health::{check, health};
pub(crate) use lists::{approvals, decision_words, rules, session, sessions};
pub(crate) use paint::{Paint, Tone, width_of};
pub(crate) use span::{bytes, millis, plural};
pub(crate) use timeline::{Timeline, model_words};

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
