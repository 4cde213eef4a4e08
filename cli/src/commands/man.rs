//! `lanyard man`: manual pages, for packagers.

use std::path::PathBuf;

use clap::CommandFactory;

use crate::args::Cli;
use crate::exit::{Exit, Failure};
use crate::invocation::Invocation;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory to write them to; it must exist
    dir: PathBuf,
}

pub(crate) fn run(args: &Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let shown = args.dir.display();
    if !args.dir.is_dir() {
        return Err(Failure::Usage(format!("{shown} is not a directory: create it first")));
    }
    clap_mangen::generate_to(Cli::command(), &args.dir)
        .map_err(|e| Failure::Other(format!("manual pages cannot be written to {shown}: {e}")))?;
    if !invocation.json() {
        invocation
            .terminal
            .line(&format!("Manual pages are in {shown}; read one with: man {shown}/lanyard.1"))?;
    }
    Ok(Exit::Completed)
}
