//! `lanyard trust`: an authority for this host's own name, so that browsers do not warn.

use lanyard_protocol::Timestamp;
use lanyard_protocol::method::{DisableTrust, EnableTrust, GetTrust, Health, Response, TrustState};

use crate::exit::{Exit, Failure};
use crate::invocation::Invocation;
use crate::render;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show the authority's fingerprint, and where to install it
    Status,
    /// Make an authority for this host's name and a certificate from it; the authority's key is destroyed at once
    Enable {
        /// Make a new one although there is one: every browser has to be told anew
        #[arg(long)]
        renew: bool,
    },
    /// Go back to the certificate that browsers warn of
    Disable,
}

pub(crate) async fn run(args: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let mut connection = invocation.connect().await?;
    let (state, response): (TrustState, fn(TrustState) -> Response) = match args.what.unwrap_or(What::Status)
    {
        What::Status => (connection.call(GetTrust {}).await?, Response::GetTrust),
        What::Enable { renew } => (connection.call(EnableTrust { renew }).await?, Response::EnableTrust),
        What::Disable => (connection.call(DisableTrust {}).await?, Response::DisableTrust),
    };
    let enable = invocation.command("trust enable");
    let discovery = match state.authority.is_some() && !invocation.json() {
        true => Some(connection.call(Health {}).await?.network.discovery),
        false => None,
    };
    invocation.show(response(state.clone()), |terminal| {
        render::trust(terminal.paint, &state, discovery.as_ref(), &enable, Timestamp::now())
    })?;
    Ok(Exit::Completed)
}
