//! `lanyard identity`: what this machine's host and this device are known by, and new keys for the host.

use lanyard_protocol::method::{GetTrust, Identify, Identity, Response, RotateHostKey};
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::host::{Connection, Patience, attach};
use crate::invocation::Invocation;
use crate::known::{KnownError, device_key};
use crate::render::visible;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show both
    Show,
    /// Give the host new keys; paired devices follow by themselves
    Rotate {
        /// The old keys may be in other hands: nobody follows, every device has to be paired again
        #[arg(long)]
        compromised: bool,
    },
}

pub(crate) async fn run(args: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    match args.what.unwrap_or(What::Show) {
        What::Show => show(invocation).await?,
        What::Rotate { compromised } => {
            let mut connection = invocation.connect().await?;
            let trusted = connection.call(GetTrust {}).await?.authority.is_some();
            let identity = connection.call(RotateHostKey { compromised }).await?;
            // The host's name follows from its keys.
            let anew = invocation.command("trust enable");
            let browsers = match trusted {
                true => format!(
                    "Its name in the network is another one, too: browsers that trusted it have to be told anew.\n  {anew}\n"
                ),
                false => String::new(),
            };
            invocation.show(Response::RotateHostKey(identity.clone()), |_| {
                let who = match compromised {
                    true => "Every device has to be paired again: lanyard pair",
                    false => "Paired devices follow by themselves.",
                };
                format!("The host has new keys; its id is now\n  {}\n{who}\n{browsers}", identity.host_id)
            })?;
        }
    }
    Ok(Exit::Completed)
}

async fn show(invocation: &mut Invocation) -> Result<(), Failure> {
    let host = match invocation.given_host().is_some() {
        // A paired host says itself who it is; its key was proven on the way.
        true => Some(invocation.connect().await?.call(Identify {}).await?),
        false => own_host(invocation).await?,
    };
    let device = match device_key(&invocation.state_dir()?) {
        Ok(keys) => Some(keys.public().fingerprint().to_string()),
        Err(KnownError::NoDeviceKey) => None,
        Err(error) => return Err(error.into()),
    };
    if invocation.json() {
        let (id, name) = (host.as_ref().map(|host| &host.host_id), host.as_ref().map(|host| &host.host_name));
        let line = json!({ "hostId": id, "hostName": name, "deviceId": device });
        return Ok(invocation.terminal.line(&line.to_string())?);
    }
    let host = match host {
        Some(host) => format!("{}  ({})", host.host_id, visible::line(&host.host_name)),
        None => "not known: no host runs here (`lanyard up`)".to_owned(),
    };
    let device = device.unwrap_or_else(|| "none yet; made at the first `lanyard join`".to_owned());
    let text = format!("host    {host}\ndevice  {device}\n");
    Ok(invocation.terminal.print(&text)?)
}

/// This machine's host, where one runs.
async fn own_host(invocation: &Invocation) -> Result<Option<Identity>, Failure> {
    let state_dir = invocation.state_dir()?;
    match attach(&state_dir) {
        Ok(stream) => {
            let mut connection = Connection::new(stream, state_dir, Patience::None)?;
            Ok(Some(connection.call(Identify {}).await?))
        }
        Err(error) if error.is_absence() => Ok(None),
        Err(error) => Err(error.into()),
    }
}
