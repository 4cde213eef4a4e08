//! `lanyard devices`: the devices paired with a host.

use lanyard_protocol::Timestamp;
use lanyard_protocol::limits::{DEFAULT_PAGE, MAX_PAGE};
use lanyard_protocol::method::{
    Done, ListConnections, ListDevices, RenameDevice, Response, RevokeDevice, SetDeviceScopes,
};

use crate::args::{ScopeArg, scopes};
use crate::exit::{Exit, Failure};
use crate::invocation::Invocation;
use crate::render::{self, scopes_list, visible};
use crate::resolve;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List paired devices
    List,
    /// Give a device another name
    Rename {
        /// Its name or id; the beginning of the id is enough
        device: String,
        /// The new name
        #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
        name: String,
    },
    /// Give a device other rights; it reconnects with them by itself
    Scopes {
        /// Its name or id; the beginning of the id is enough
        device: String,
        /// Rights it has from now on, `observe` always among them
        #[arg(value_enum, value_delimiter = ',', required = true, value_name = "RIGHTS")]
        scopes: Vec<ScopeArg>,
    },
    /// End a device's pairing: it is cut off at once, its tasks are cancelled, its remembered answers forgotten
    Revoke {
        /// Its name or id; the beginning of the id is enough
        device: String,
    },
    /// Show who was connected when, newest first
    Connections {
        /// Most rows
        #[arg(long, value_name = "N", default_value_t = DEFAULT_PAGE, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_PAGE)))]
        limit: u32,
    },
}

pub(crate) async fn run(args: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let mut connection = invocation.connect().await?;
    let connection = &mut connection;
    match args.what.unwrap_or(What::List) {
        What::List => {
            let page = connection.call(ListDevices {}).await?;
            invocation.show(Response::ListDevices(page.clone()), |terminal| {
                render::devices(terminal.paint, &page.devices, Timestamp::now())
            })?;
        }
        What::Rename { device, name } => {
            let device_id = resolve::device(connection, &device).await?.device_id;
            let device = connection.call(RenameDevice { device_id, name }).await?;
            let words = format!("It is called {} now.\n", visible::line(&device.name));
            invocation.show(Response::RenameDevice(device), |_| words)?;
        }
        What::Scopes { device, scopes: given } => {
            let device = resolve::device(connection, &device).await?;
            let scopes = scopes(&given).unwrap_or_default();
            let device = connection.call(SetDeviceScopes { device_id: device.device_id, scopes }).await?;
            let words = format!("{} has {} now.\n", visible::line(&device.name), scopes_list(&device.scopes));
            invocation.show(Response::SetDeviceScopes(device), |_| words)?;
        }
        What::Revoke { device } => {
            let device = resolve::device(connection, &device).await?;
            connection.call(RevokeDevice { device_id: device.device_id, command_id: None }).await?;
            let name = visible::line(&device.name).into_owned();
            let words = format!("{name} is paired no more; it was cut off and its tasks are cancelled.\n");
            invocation.show(Response::RevokeDevice(Done {}), |_| words)?;
        }
        What::Connections { limit } => {
            let page = connection.call(ListConnections { limit: Some(limit) }).await?;
            invocation.show(Response::ListConnections(page.clone()), |terminal| {
                render::connections(terminal.paint, &page.connections, Timestamp::now())
            })?;
        }
    }
    Ok(Exit::Completed)
}
