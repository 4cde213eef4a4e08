//! `lanyard sync`: what waits for the central services, and what they may do here.

use clap::ValueEnum;
use lanyard_protocol::Timestamp;
use lanyard_protocol::method::{GetCentral, Response, SetCentralConsent};

use crate::exit::{Exit, Failure};
use crate::host::Patience;
use crate::invocation::Invocation;
use crate::render::{self, Consent, consent_words};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show whether the central services are reached, what waits for them and since when
    Status,
    /// Say what the central services may do on this machine
    #[command(group = clap::ArgGroup::new("which").required(true).multiple(true))]
    Consent {
        /// Have this machine do work
        #[arg(long, value_name = "ON|OFF", group = "which")]
        jobs: Option<Switch>,
        /// Answer approvals and pairings of this machine
        #[arg(long, value_name = "ON|OFF", group = "which")]
        answers: Option<Switch>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

pub(crate) async fn run(args: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    match args.what.unwrap_or(What::Status) {
        What::Status => status(invocation).await,
        What::Consent { jobs, answers } => consent(jobs, answers, invocation).await,
    }
}

async fn status(invocation: &mut Invocation) -> Result<Exit, Failure> {
    let mut connection = invocation.connect().await?;
    let status = connection.call(GetCentral {}).await?;
    let enroll = invocation.command("enroll URL");
    invocation.show(Response::GetCentral(status.clone()), |terminal| {
        render::central(terminal.paint, terminal.width(), &status, &enroll, Timestamp::now())
    })?;
    Ok(Exit::Completed)
}

/// What is not named stays as it is.
async fn consent(
    jobs: Option<Switch>,
    answers: Option<Switch>,
    invocation: &mut Invocation,
) -> Result<Exit, Failure> {
    if invocation.names_other_host() {
        let text = "what a centre may do on a machine is decided at the machine itself: run the command there; leave \
                    --host out";
        return Err(Failure::Usage(text.to_owned()));
    }
    let mut connection = invocation.connect_local_or_start(Patience::None)?;
    let now = connection.call(GetCentral {}).await?;
    let is_on = |switch: Option<Switch>, now: bool| switch.map_or(now, |switch| switch == Switch::On);
    let request = SetCentralConsent {
        accept_jobs: is_on(jobs, now.accept_jobs),
        accept_answers: is_on(answers, now.accept_answers),
    };
    let status = connection.call(request).await?;
    let said = [(Consent::Jobs, status.accept_jobs), (Consent::Answers, status.accept_answers)];
    invocation.show(Response::SetCentralConsent(status), |_| {
        said.iter().map(|(what, allowed)| format!("{}\n", consent_words(*what, *allowed))).collect()
    })?;
    Ok(Exit::Completed)
}
