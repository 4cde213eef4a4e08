//! `lanyard pair`: opens the pairing window of this machine's host, shows what a device needs, and asks about each
//! device that comes.

mod desk;
mod question;

use lanyard_protocol::principal::Scope;

use crate::args::{ScopeArg, scopes};
use crate::exit::{Exit, Failure};
use crate::host::{Connection, Patience};
use crate::invocation::Invocation;
use crate::render::Drawn;
use desk::Desk;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rights devices get, `observe` always among them [default: those they ask for]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "RIGHTS")]
    scopes: Vec<ScopeArg>,
    /// Go on after a device was answered: another window is opened, until one closes without a device
    #[arg(long)]
    keep_open: bool,
    /// Draw no QR code
    #[arg(long)]
    no_qr: bool,
    /// Draw the QR code of the link by address: for phones and networks that do not find the host's name
    #[arg(long, conflicts_with = "no_qr")]
    by_address: bool,
}

/// The exit code is that of the last answer: 0 paired, 3 denied, 1 nobody came, 4 interrupted.
pub(crate) async fn run(args: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let mut connection = invocation.connect_local_or_start(Patience::None)?;
    let drawn = match (args.no_qr, args.by_address) {
        (true, _) => Drawn::Nothing,
        (false, true) => Drawn::ByAddress,
        (false, false) => Drawn::First,
    };
    let scopes = scopes(&args.scopes);
    let terms = Terms { scopes, keep_open: args.keep_open, drawn, interrupt: "Ctrl-C closes the window" };
    Desk::open(&mut connection, invocation, terms).await?.serve().await
}

/// The first device of a new host, at the terminal of `lanyard up`: as `lanyard pair` without any options.
pub(super) async fn first(connection: &mut Connection, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let terms =
        Terms { scopes: None, keep_open: false, drawn: Drawn::First, interrupt: "Ctrl-C stops the host" };
    let exit = Desk::open(connection, invocation, terms).await?.serve().await?;
    // A window that closed without a device has said so itself.
    if exit != Exit::Failed {
        let again = invocation.command("pair");
        invocation.terminal.line(&format!("Pair another device: {again}"))?;
    }
    Ok(exit)
}

/// How devices are to be let in.
#[derive(Debug)]
struct Terms {
    /// Rights they get; absent: those they ask for.
    scopes: Option<Vec<Scope>>,
    keep_open: bool,
    drawn: Drawn,
    /// What Ctrl-C does, for people.
    interrupt: &'static str,
}
