//! `lanyard health`: the running host's condition.

use lanyard_protocol::Timestamp;
use lanyard_protocol::health::HealthStatus;
use lanyard_protocol::method::{Health, Response};

use crate::exit::{Exit, Failure};
use crate::invocation::Invocation;
use crate::render;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// The exit code is 1 when something does not work.
pub(crate) async fn run(_: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let mut connection = invocation.connect().await?;
    let report = connection.call(Health {}).await?;
    let exit = if report.status == HealthStatus::Bad { Exit::Failed } else { Exit::Completed };
    invocation.show(Response::Health(report.clone()), |terminal| {
        render::health(terminal.paint, terminal.width(), &report, Timestamp::now())
    })?;
    Ok(exit)
}
