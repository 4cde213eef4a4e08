//! The commands, one file each: what it takes, and a `run` that does it.

pub(crate) mod approvals;
pub(crate) mod approve;
pub(crate) mod artifact;
pub(crate) mod cancel;
pub(crate) mod completions;
pub(crate) mod deny;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod health;
pub(crate) mod man;
pub(crate) mod resume;
pub(crate) mod rpc;
pub(crate) mod rules;
pub(crate) mod run;
pub(crate) mod sessions;
pub(crate) mod stop;
pub(crate) mod up;

use crate::args::{Cli, Command};
use crate::exit::{Exit, Failure};
use crate::invocation::Invocation;

/// Carries a command out. Nothing is set up that the command does not need: a script may call it a thousand times.
pub(crate) fn run(cli: Cli) -> Result<Exit, Failure> {
    let mut invocation = Invocation::new(cli.global);
    let invocation = &mut invocation;
    match cli.command {
        Command::Rpc(args) => rpc::run(&args, invocation),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args, invocation),
        Command::Up(args) => up::run(args, invocation),
        Command::Run(args) => block_on(run::run(args, invocation)),
        Command::Sessions(args) => block_on(sessions::run(args, invocation)),
        Command::Approvals(args) => block_on(approvals::run(args, invocation)),
        Command::Approve(args) => block_on(approve::run(args, invocation)),
        Command::Deny(args) => block_on(deny::run(args, invocation)),
        Command::Rules(args) => block_on(rules::run(args, invocation)),
        Command::Cancel(args) => block_on(cancel::run(args, invocation)),
        Command::Resume(args) => block_on(resume::run(args, invocation)),
        Command::Diff(args) => block_on(diff::run(args, invocation)),
        Command::Artifact(args) => block_on(artifact::run(args, invocation)),
        Command::Doctor(args) => block_on(doctor::run(args, invocation)),
        Command::Health(args) => block_on(health::run(args, invocation)),
        Command::Stop(args) => block_on(stop::run(args, invocation)),
    }
}

/// Runs a client command on this thread.
fn block_on(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| Failure::Other(format!("the runtime cannot be started: {e}")))?.block_on(command)
}
