//! The daemon: configuration, the one composition root, request handlers, event hub, local socket, recovery, ordered
//! shutdown. What a host *does* is in the crates it wires together.

mod api;
mod authority;
mod central;
mod command;
pub mod config;
mod guard;
mod health;
mod host;
mod hub;
mod ids;
mod neighbours;
mod network;
mod principals;
mod sessions;
mod socket;
mod sources;
mod start;
mod startup_pages;
mod state_dir;
mod uploads;
mod web;

pub use config::{Config, ConfigError, ConfigSources, Listen, ResumePolicy};
pub use start::{Ready, RunError, StartError, run};
pub use state_dir::{Manifest, default_state_dir};
