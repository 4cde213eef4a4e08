//! `lanyard pairings`: devices that wait to be paired, and the answers to them.

use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::Decision;
use lanyard_protocol::device::{PairingEnd, PairingMethod, PendingPairing};
use lanyard_protocol::method::{DecidePairing, ListPairings, Response};

use crate::args::{ScopeArg, scopes};
use crate::exit::{Exit, Failure};
use crate::host::Connection;
use crate::invocation::Invocation;
use crate::{render, resolve};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List devices that wait for an answer
    List,
    /// Pair a device that waits
    Approve {
        /// The question's id, or the beginning of it
        id: String,
        /// The six digits on the device's screen; needed after a typed code
        #[arg(long, value_name = "DIGITS")]
        digits: Option<String>,
        /// Rights it gets, `observe` always among them [default: those it asks for]
        #[arg(long, value_enum, value_delimiter = ',', value_name = "RIGHTS")]
        scopes: Vec<ScopeArg>,
        /// Another name for it
        #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
        name: Option<String>,
    },
    /// Turn a device away
    Deny {
        /// The question's id, or the beginning of it
        id: String,
    },
}

pub(crate) async fn run(args: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let mut connection = invocation.connect().await?;
    match args.what.unwrap_or(What::List) {
        What::List => list(&mut connection, invocation).await,
        What::Approve { id, digits, scopes: given, name } => {
            let pending = resolve::pairing(&mut connection, &id).await?;
            if pending.method == PairingMethod::Code && digits.is_none() {
                let text = "this device typed a code: look at its screen and pass --digits with the six digits there";
                return Err(Failure::Usage(text.to_owned()));
            }
            let decide = DecidePairing {
                pairing_id: pending.pairing_id.clone(),
                decision: Decision::Approved,
                digits,
                scopes: scopes(&given),
                name,
                command_id: None,
            };
            self::decide(&mut connection, invocation, &pending, decide).await
        }
        What::Deny { id } => {
            let pending = resolve::pairing(&mut connection, &id).await?;
            let decide = DecidePairing {
                pairing_id: pending.pairing_id.clone(),
                decision: Decision::Denied,
                digits: None,
                scopes: None,
                name: None,
                command_id: None,
            };
            self::decide(&mut connection, invocation, &pending, decide).await
        }
    }
}

async fn list(connection: &mut Connection, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let page = connection.call(ListPairings {}).await?;
    let commands: String = page
        .pending
        .iter()
        .map(|one| render::pairing_commands(one, |rest| invocation.command(rest)))
        .collect();
    invocation.show(Response::ListPairings(page.clone()), |terminal| {
        let window = page.window.as_ref();
        let shown = render::pairings(terminal.paint, window, &page.pending, Timestamp::now());
        format!("{shown}{commands}")
    })?;
    Ok(Exit::Completed)
}

/// Answers a device. The exit code is 0 when it now has this answer, whoever gave it.
async fn decide(
    connection: &mut Connection,
    invocation: &mut Invocation,
    pending: &PendingPairing,
    decide: DecidePairing,
) -> Result<Exit, Failure> {
    let wished = match decide.decision {
        Decision::Approved => PairingEnd::Approved,
        Decision::Denied => PairingEnd::Denied,
    };
    let decided = connection.call(decide).await?;
    invocation.show(Response::DecidePairing(decided.clone()), |terminal| {
        let name = decided.device.as_ref().map_or(&pending.name, |device| &device.name);
        render::pairing_settled(terminal.paint, name, decided.end, decided.device.as_ref())
    })?;
    Ok(if decided.end == wished { Exit::Completed } else { Exit::Failed })
}
