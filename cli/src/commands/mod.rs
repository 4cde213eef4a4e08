//! The commands, one file each: what it takes, and a `run` that does it.

pub(crate) mod approvals;
pub(crate) mod approve;
pub(crate) mod artifact;
pub(crate) mod cancel;
pub(crate) mod completions;
pub(crate) mod deny;
pub(crate) mod devices;
pub(crate) mod diff;
pub(crate) mod discover;
pub(crate) mod doctor;
pub(crate) mod enroll;
pub(crate) mod health;
pub(crate) mod hosts;
pub(crate) mod identity;
pub(crate) mod join;
pub(crate) mod man;
pub(crate) mod models;
pub(crate) mod open;
pub(crate) mod pair;
pub(crate) mod pairings;
pub(crate) mod resume;
pub(crate) mod rpc;
pub(crate) mod rules;
pub(crate) mod run;
pub(crate) mod sessions;
pub(crate) mod stop;
pub(crate) mod sync;
pub(crate) mod trust;
pub(crate) mod unenroll;
pub(crate) mod unpair;
pub(crate) mod up;
pub(crate) mod watch;

use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Cli, Command};
use crate::exit::{Exit, Failure};
use crate::invocation::Invocation;

/// Carries a command out. Nothing is set up that the command does not need: a script may call it a thousand times.
pub(crate) fn run(cli: Cli) -> Result<Exit, Failure> {
    let mut invocation = Invocation::new(cli.global);
    let done = carry_out(cli.command, &mut invocation);
    // Before the failure is said, and whatever ended the command: nothing is written after a line that counts down.
    invocation.terminal.leave(done.is_err());
    done
}

fn carry_out(command: Command, invocation: &mut Invocation) -> Result<Exit, Failure> {
    if let Some(why) = here_only(&command).filter(|_| invocation.names_other_host()) {
        return Err(Failure::Usage(format!("{why}; leave --host out")));
    }
    match command {
        Command::Rpc(args) => rpc::run(&args, invocation),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args, invocation),
        Command::Up(args) => up::run(args, invocation),
        Command::Open(args) => block_on(open::run(args, invocation)),
        Command::Run(args) => block_on(run::run(args, invocation)),
        Command::Models(args) => block_on(models::run(args, invocation)),
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
        Command::Pair(args) => block_on(pair::run(args, invocation)),
        Command::Pairings(args) => block_on(pairings::run(args, invocation)),
        Command::Devices(args) => block_on(devices::run(args, invocation)),
        Command::Discover(args) => block_on(discover::run(args, invocation)),
        Command::Join(args) => block_on(join::run(args, invocation)),
        Command::Hosts(args) => block_on(hosts::run(args, invocation)),
        Command::Unpair(args) => block_on(unpair::run(args, invocation)),
        Command::Watch(args) => block_on(watch::run(args, invocation)),
        Command::Trust(args) => block_on(trust::run(args, invocation)),
        Command::Enroll(args) => block_on(enroll::run(args, invocation)),
        Command::Unenroll(args) => block_on(unenroll::run(args, invocation)),
        Command::Sync(args) => block_on(sync::run(args, invocation)),
        Command::Identity(args) => block_on(identity::run(args, invocation)),
    }
}

/// Why a command is about this machine alone, where it is: `--host` must not be passed over silently.
fn here_only(command: &Command) -> Option<&'static str> {
    match command {
        Command::Up(_) => Some("a host is started on its own machine"),
        Command::Pair(_) => {
            Some("a pairing window is opened at the machine itself: run `lanyard pair` there")
        }
        Command::Open(_) => Some("the owner's page is for the host's own machine: run `lanyard open` there"),
        Command::Join(_) => Some("`lanyard join` names the host itself: lanyard join HOST"),
        Command::Unpair(_) => Some("`lanyard unpair` names the host itself: lanyard unpair HOST"),
        Command::Doctor(_) => Some("`lanyard doctor` looks at this machine: run it there"),
        Command::Discover(_) => Some("`lanyard discover` listens on this machine's network"),
        Command::Hosts(_) => Some("`lanyard hosts` is about what this machine remembers"),
        Command::Enroll(_) | Command::Unenroll(_) => {
            Some("whom a host belongs to is decided at the machine itself: run the command there")
        }
        Command::Completions(_) | Command::Man(_) => Some("this command talks to no host"),
        _ => None,
    }
}

/// Turns the other tasks of this thread get after a command has ended: connections that were dropped with it have to
/// tell their hosts, which takes the owner of each one turn and its driver another. Without that a host would count the
/// device as connected until the connection times out.
const FAREWELL_TURNS: u32 = 16;

/// Runs a client command on this thread.
fn block_on(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::Other(format!("the runtime cannot be started: {e}")))?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let done = tokio::select! {
            done = command => done,
            _ = terminate.recv() => Ok(Exit::Cancelled),
            _ = hang_up.recv() => Ok(Exit::Cancelled),
        };
        for _ in 0..FAREWELL_TURNS {
            tokio::task::yield_now().await;
        }
        done
    })
}
