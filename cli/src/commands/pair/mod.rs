//! `lanyard pair`: opens the pairing window of this machine's host, shows what a device needs, and asks about each
//! device that comes.

mod desk;
mod question;

use crate::args::ScopeArg;
use crate::exit::{Exit, Failure};
use crate::host::Patience;
use crate::invocation::Invocation;
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
}

/// The exit code is that of the last answer: 0 paired, 3 denied, 1 nobody came, 4 interrupted.
pub(crate) async fn run(args: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let mut connection = invocation.connect_local_or_start(Patience::None)?;
    Desk::open(&mut connection, invocation, &args).await?.serve().await
}
