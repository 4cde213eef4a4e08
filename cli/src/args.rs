//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::commands;

/// Lanyard: an agent host for this machine. Give it a task, watch it work, approve what is risky.
#[derive(Debug, Parser)]
#[command(
    name = "lanyard",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = "Exit codes: 0 completed, 1 failed, 2 usage, 3 denied (also by a host that revoked this device), 4 cancelled, \
                  5 host unreachable or not paired.\n\
                  First steps: `lanyard up` in one terminal, `lanyard run \"what is in this folder?\"` in another.\n\
                  From another machine: `lanyard pair` on the host, `lanyard join` there, then `lanyard --host NAME …`."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Global {
    /// Where the host keeps its state [default: the user's state directory]
    #[arg(long, global = true, value_name = "DIR", env = "LANYARD_STATE_DIR", hide_env_values = true)]
    pub(crate) state_dir: Option<PathBuf>,
    /// The host to talk to: a paired one by its name or the beginning of its id, or `local` (`lanyard hosts`)
    /// [default: the host of this machine, else the only paired one]
    #[arg(long, global = true, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) host: Option<String>,
    /// Write JSON, as on the wire, instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// The commands, one file each in `commands/`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the host and keep it running in this terminal
    Up(commands::up::Args),
    /// Open the host's page in this machine's browser
    Open(commands::open::Args),
    /// Give the agent a task and watch it work
    Run(commands::run::Args),
    /// List the models a task can be given
    Models(commands::models::Args),
    /// List, show, search, end and delete sessions
    Sessions(commands::sessions::Args),
    /// Show what waits for approval
    Approvals(commands::approvals::Args),
    /// Approve a request
    Approve(commands::approve::Args),
    /// Deny a request
    Deny(commands::deny::Args),
    /// List and revoke remembered answers
    Rules(commands::rules::Args),
    /// Cancel a task
    Cancel(commands::cancel::Args),
    /// Let a paused session go on, and follow it
    Resume(commands::resume::Args),
    /// Show what a task has changed
    Diff(commands::diff::Args),
    /// Write a kept output to standard output
    Artifact(commands::artifact::Args),
    /// Speak JSON-RPC on standard input and output, one message a line
    Rpc(commands::rpc::Args),
    /// Look for what is wrong and say what to do about it
    Doctor(commands::doctor::Args),
    /// Show the running host's condition
    Health(commands::health::Args),
    /// Stop the running host in order
    Stop(commands::stop::Args),
    /// Pair a device with this machine's host: shows a code and a QR code, and asks
    Pair(commands::pair::Args),
    /// List and answer devices that wait to be paired
    Pairings(commands::pairings::Args),
    /// List, rename, restrict and revoke paired devices
    Devices(commands::devices::Args),
    /// Look for hosts on the local network
    Discover(commands::discover::Args),
    /// Pair this machine with a host elsewhere
    Join(commands::join::Args),
    /// List, rename and forget the hosts this machine is paired with
    Hosts(commands::hosts::Args),
    /// End the pairing with a host
    Unpair(commands::unpair::Args),
    /// Watch what happens on all hosts
    Watch(commands::watch::Args),
    /// Show the ids of this machine's host and device, or give the host new keys
    Identity(commands::identity::Args),
    /// Let browsers trust the host's certificate without a warning
    Trust(commands::trust::Args),
    /// Enrol this machine's host at central services, with a one-time token of their administrator
    #[command(visible_alias = "enrol")]
    Enroll(commands::enroll::Args),
    /// End the enrolment of this machine's host
    #[command(visible_alias = "unenrol")]
    Unenroll(commands::unenroll::Args),
    /// Show what waits to be sent to the central services, and say what they may do here
    Sync(commands::sync::Args),
    /// Write a completion script for a shell to standard output
    Completions(commands::completions::Args),
    /// Write manual pages to a directory
    Man(commands::man::Args),
}

mod address;
mod scope;

pub(crate) use address::address;
pub(crate) use scope::{ScopeArg, scopes};

#[cfg(test)]
mod tests;
