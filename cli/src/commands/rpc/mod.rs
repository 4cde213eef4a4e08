//! `lanyard rpc`: JSON-RPC on standard input and output, for editors and scripts, with a host here or elsewhere.

mod local;
mod remote;

use crate::exit::{Exit, Failure};
use crate::invocation::{Invocation, Target};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    match invocation.target(true)? {
        Target::Running(host) => local::run(host),
        Target::ToStart => local::run(crate::host::attach_or_start(&invocation.state_dir()?, || {})?),
        Target::Paired(host) => super::block_on(remote::run(host, invocation)),
    }
}
