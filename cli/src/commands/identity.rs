//! `lanyard identity`: what this machine's host and this device are known by, and new keys for the host.

use lanyard_pairing::Fingerprint;
use lanyard_protocol::health::NetworkHealth;
use lanyard_protocol::id::HostId;
use lanyard_protocol::method::{GetTrust, Health, Identify, Identity, Response, RotateHostKey};
use lanyard_transport::discovery::local_name;
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
        What::Rotate { compromised } => rotate(compromised, invocation).await?,
    }
    Ok(Exit::Completed)
}

async fn rotate(compromised: bool, invocation: &mut Invocation) -> Result<(), Failure> {
    let mut connection = invocation.connect().await?;
    let trusted = connection.call(GetTrust {}).await?.authority.is_some();
    let before = connection.call(Health {}).await?.network;
    let identity = connection.call(RotateHostKey { compromised }).await?;
    let (pair, enable) = (invocation.command("pair"), invocation.command("trust enable"));
    invocation.show(Response::RotateHostKey(identity.clone()), |_| {
        let mut shown = format!("The host has new keys; its id is now\n  {}\n", identity.host_id);
        match compromised {
            true => shown.push_str(&format!("Every device has to be paired again: {pair}\n")),
            false => shown.push_str("Paired devices follow by themselves.\n"),
        }
        // The host's name follows from its keys, and what a browser keeps belongs to one name.
        if let Some(origin) = origin_by_name(&before, &identity.host_id) {
            shown.push_str(&format!(
                "Its name in the network is another one, too. Devices that use the page by its name open it again at the \
                 new one, and pair there ({pair}):\n  {origin}\n"
            ));
        }
        if trusted {
            shown.push_str(&format!("Browsers that trusted the old name have to be told anew:\n  {enable}\n"));
        }
        shown
    })?;
    Ok(())
}

/// Where the page that is served by the host's name is found after its keys have changed; `None` where there is none.
fn origin_by_name(before: &NetworkHealth, now: &HostId) -> Option<String> {
    let name = |id: &HostId| {
        let host: Fingerprint = id.as_str().parse().ok()?;
        Some(local_name(&host).to_ascii_lowercase())
    };
    let (old, new) = (name(&before.host_id)?, name(now)?);
    before.origins.iter().find(|origin| origin.contains(&old)).map(|origin| origin.replace(&old, &new))
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

#[cfg(test)]
mod tests {
    use lanyard_pairing::IdentityKeys;
    use lanyard_protocol::id::HostId;

    use super::{local_name, origin_by_name};
    use crate::render::samples::network_health;

    #[test]
    fn the_page_at_the_old_name_is_named_at_the_new_one() {
        let keys = [(); 2].map(|()| IdentityKeys::generate(&mut rand_core::OsRng).public().fingerprint());
        let ids = keys.map(|key| HostId::new(key.to_string()).unwrap());
        let [old, new] = keys.map(|key| format!("https://{}:7717", local_name(&key).to_ascii_lowercase()));
        let mut network = network_health();
        network.host_id = ids[0].clone();
        network.origins = vec!["https://192.168.1.7:7717".into()];
        assert_eq!(origin_by_name(&network, &ids[1]), None, "the name is not announced");
        network.origins.insert(0, old);
        assert_eq!(origin_by_name(&network, &ids[1]), Some(new));
    }
}
