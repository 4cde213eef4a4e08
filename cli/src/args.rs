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
    after_help = "Exit codes: 0 completed, 1 failed, 2 usage, 3 denied, 4 cancelled, 5 host unreachable.\n\
                  First steps: `lanyard up` in one terminal, `lanyard run \"what is in this folder?\"` in another."
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
    /// Write JSON, as on the wire, instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// The commands, one file each in `commands/`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the host and keep it running in this terminal
    Up(commands::up::Args),
    /// Give the agent a task and watch it work
    Run(commands::run::Args),
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
    /// Write a completion script for a shell to standard output
    Completions(commands::completions::Args),
    /// Write manual pages to a directory
    Man(commands::man::Args),
}

#[cfg(test)]
mod tests;
