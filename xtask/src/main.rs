//! The workspace's own commands, run as `cargo xtask COMMAND`; one file a command.

mod arrows;
mod bench;
mod central;
mod fuzz;
mod metadata;
mod needs;
mod page;
mod process;
mod tally;
mod test;
mod tidy;
mod tools;
mod up;
mod wasm;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Builds, checks and starts Lanyard from a clone of its repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build the `lanyard` binary, put it on PATH and start the host.
    Up(up::Options),
    /// Build and start the central services with the embedded default.
    Central(central::Options),
    /// Run every check and every test, in stages.
    Test(test::Options),
    /// Check the dependency arrows between the workspace's crates.
    Arrows,
    /// Check the habits of the code base: file length, module docs, marks, paths, links.
    Tidy,
    /// Build the page that the host serves into client-web/dist.
    Web(page::Options),
    /// Build in release mode and run the benchmarks.
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Up(options) => up::run(&options),
        Command::Central(options) => central::run(&options),
        // Prints its own verdict: the counts have to be the last line.
        Command::Test(options) => return test::run(&options),
        Command::Arrows => arrows::run(),
        Command::Tidy => tidy::run(),
        Command::Web(options) => page::run(&options),
        Command::Bench(options) => bench::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
