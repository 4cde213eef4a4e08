//! Paired devices, who is connected, and the host's own identity.

use std::sync::Arc;

use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::id::{DeviceId, PrincipalId};
use lanyard_protocol::method::{
    ConnectionPage, DevicePage, Done, Identify, Identity, ListConnections, ListDevices, Method, RenameDevice,
    Response, RevokeDevice, RotateHostKey, SetDeviceScopes, Unpair,
};
use lanyard_protocol::principal::Principal;
use lanyard_protocol::version::PROTOCOL_VERSION;

use super::pairings::at_the_machine;
use super::{Answer, blocking, page_size};
use crate::command::{Command, NewCommand};
use crate::host::Host;
use crate::ids::invalid;
use crate::network::{Aftermath, Change, DeskError, principal_id};

/// `ListDevices`.
pub(super) async fn list_devices(
    host: &Arc<Host>,
    _principal: &Principal,
    _params: ListDevices,
) -> Result<Answer, WireError> {
    let devices = host.network.devices().list();
    Ok(Response::ListDevices(DevicePage { devices }).into())
}

/// `RenameDevice`.
pub(super) async fn rename_device(
    host: &Arc<Host>,
    principal: &Principal,
    params: RenameDevice,
) -> Result<Answer, WireError> {
    let change = Change::Name(params.name);
    let device = host.network.desk().change(params.device_id, change, principal.clone()).await?;
    Ok(Response::RenameDevice(device).into())
}

/// `SetDeviceScopes`.
pub(super) async fn set_device_scopes(
    host: &Arc<Host>,
    principal: &Principal,
    params: SetDeviceScopes,
) -> Result<Answer, WireError> {
    let change = Change::Scopes(params.scopes);
    let device = host.network.desk().change(params.device_id, change, principal.clone()).await?;
    Ok(Response::SetDeviceScopes(device).into())
}

/// `RevokeDevice`.
pub(super) async fn revoke_device(
    host: &Arc<Host>,
    principal: &Principal,
    params: RevokeDevice,
) -> Result<Answer, WireError> {
    let command =
        match Command::begin(host, principal, Method::RevokeDevice, params.command_id.as_ref(), &params)? {
            Command::Known(response) => return Ok((*response).into()),
            Command::New(command) => command,
        };
    let key = command.key();
    let device = params.device_id.clone();
    let aftermath = aftermath(host, principal.id.clone());
    match host.network.desk().revoke(device, principal.clone(), command, aftermath).await {
        Ok(()) => Ok(Response::RevokeDevice(Done {}).into()),
        Err(DeskError::Store(error)) => NewCommand::after(host, key.as_ref(), error).map(Answer::from),
        // The same command may have been carried out while this one was on its way.
        Err(DeskError::Refused(error)) if error.code == ErrorCode::DeviceNotFound => {
            match Command::begin(host, principal, Method::RevokeDevice, params.command_id.as_ref(), &params)?
            {
                Command::Known(response) => Ok((*response).into()),
                Command::New(_) => Err(error),
            }
        }
        Err(DeskError::Refused(error)) => Err(error),
    }
}

/// `Unpair`.
pub(super) async fn unpair(
    host: &Arc<Host>,
    principal: &Principal,
    _params: Unpair,
) -> Result<Answer, WireError> {
    if principal.local {
        return Err(invalid(
            "the owner at the host itself is not paired; `lanyard devices revoke ID` ends the pairing of a device",
        ));
    }
    let device = DeviceId::new(principal.id.as_str())
        .map_err(|e| WireError::new(ErrorCode::InternalError, e.to_string()))?;
    let aftermath = aftermath(host, principal.id.clone());
    host.network.desk().unpair(device, principal.clone(), aftermath).await?;
    Ok(Response::Unpair(Done {}).into())
}

/// Ends what the devices have started, once they have no rights any more.
fn aftermath(host: &Arc<Host>, by: PrincipalId) -> Aftermath {
    let host = host.clone();
    Box::new(move |devices| {
        Box::pin(async move {
            for device in devices {
                match principal_id(&device) {
                    Ok(who) => host.sessions.cancel_tasks_of(&host, &who, by.clone()).await,
                    Err(error) => tracing::error!(%error, %device, "no principal has the id of a device"),
                }
            }
        })
    })
}

/// `ListConnections`.
pub(super) async fn list_connections(
    host: &Arc<Host>,
    _principal: &Principal,
    params: ListConnections,
) -> Result<Answer, WireError> {
    let limit = page_size(params.limit)?;
    let journal = host.journal.clone();
    let connections = blocking(move || journal.connections(limit)).await?;
    Ok(Response::ListConnections(ConnectionPage { connections }).into())
}

/// `Identify`.
pub(super) async fn identify(
    host: &Arc<Host>,
    principal: &Principal,
    _params: Identify,
) -> Result<Answer, WireError> {
    Ok(Response::Identify(identity(host, principal)).into())
}

/// `RotateHostKey`.
pub(super) async fn rotate_host_key(
    host: &Arc<Host>,
    principal: &Principal,
    params: RotateHostKey,
) -> Result<Answer, WireError> {
    at_the_machine(principal, "give the host new keys")?;
    host.network.desk().rotate_keys(params.compromised).await?;
    // The host's name follows from its keys, so an authority for the old one is of no use any more.
    if let Err(error) = host.network.web().trust().authority().await {
        tracing::error!(%error, "the authority for the host's old name could not be removed");
    }
    Ok(Response::RotateHostKey(identity(host, principal)).into())
}

fn identity(host: &Host, principal: &Principal) -> Identity {
    Identity {
        host_id: host.network.host_id(),
        host_name: host.network.host_name().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol_version: PROTOCOL_VERSION,
        principal: principal.clone(),
    }
}
