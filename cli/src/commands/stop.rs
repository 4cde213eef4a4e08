//! `lanyard stop`: stops the running host in order.

use std::time::Duration;

use lanyard_protocol::method::{Done, Response, Shutdown};
use tokio::time::Instant;

use crate::exit::{Exit, Failure};
use crate::host::{Connection, HostError, Patience, RemoteError, attach, lock_is_held};
use crate::invocation::Invocation;

/// How long a host may take: its tasks have 10 s to come to a halt, its clients 2 s to read on.
const STOPPED_WITHIN: Duration = Duration::from_secs(20);

/// Between looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// That no host runs is no failure: it is what was asked for. Without `--host` the host of this machine is meant, never
/// a paired one: nobody should stop a machine elsewhere by leaving a word out.
pub(crate) async fn run(_: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    if invocation.names_other_host() {
        return elsewhere(invocation).await;
    }
    let state_dir = invocation.state_dir()?;
    let stream = match attach(&state_dir) {
        Ok(stream) => stream,
        Err(error) if error.is_absence() => {
            invocation.show(Response::Shutdown(Done {}), |_| "No host runs.\n".to_owned())?;
            return Ok(Exit::Completed);
        }
        Err(error) => return Err(error.into()),
    };
    let mut connection = Connection::new(stream, state_dir.clone(), Patience::None)?;
    match connection.call(Shutdown {}).await {
        // It may be gone before its answer is read.
        Ok(_) | Err(Failure::Host(HostError::Gone(_))) => {}
        Err(failure) => return Err(failure),
    }
    drop(connection);
    let give_up = Instant::now() + STOPPED_WITHIN;
    // The lock goes last, with the process: from then on another host may start.
    while !attach(&state_dir).is_err_and(|error| error.is_absence()) || lock_is_held(&state_dir) {
        if Instant::now() >= give_up {
            let seconds = STOPPED_WITHIN.as_secs();
            return Err(Failure::Other(format!(
                "the host has not stopped within {seconds} s; see `lanyard doctor`"
            )));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    invocation
        .show(Response::Shutdown(Done {}), |_| "The host has stopped; everything is kept.\n".to_owned())?;
    Ok(Exit::Completed)
}

/// Stops a paired host; its end is the end of the connection.
async fn elsewhere(invocation: &mut Invocation) -> Result<Exit, Failure> {
    let mut connection = invocation.connect().await?;
    match connection.call(Shutdown {}).await {
        Ok(_) | Err(Failure::Host(HostError::Remote(RemoteError::Gone { .. }))) => {}
        Err(failure) => return Err(failure),
    }
    let text =
        "The host is stopping; everything is kept. It is started again on its own machine.\n".to_owned();
    invocation.show(Response::Shutdown(Done {}), |_| text)?;
    Ok(Exit::Completed)
}
