//! Pairing, as people see it: the window, the devices that ask, the answers.

use std::sync::Arc;

use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::method::{
    ClosePairing, DecidePairing, Done, ListPairings, Method, OpenPairing, PairingPage, Response,
};
use lanyard_protocol::principal::Principal;

use super::Answer;
use crate::command::{Command, NewCommand};
use crate::host::Host;
use crate::network::DeskError;

/// `OpenPairing`.
pub(super) async fn open_pairing(
    host: &Arc<Host>,
    principal: &Principal,
    _params: OpenPairing,
) -> Result<Answer, WireError> {
    at_the_machine(principal, "open a pairing window")?;
    let window = host.network.desk().open_window().await?;
    Ok(Response::OpenPairing(window).into())
}

/// `ClosePairing`. What it closes, and who may, is for the desk, which knows who is paired at that moment.
pub(super) async fn close_pairing(
    host: &Arc<Host>,
    principal: &Principal,
    _params: ClosePairing,
) -> Result<Answer, WireError> {
    host.network.desk().close(principal.clone()).await?;
    Ok(Response::ClosePairing(Done {}).into())
}

/// `ListPairings`. Code and link are for the owner at the machine: whoever has them can bring a device of its own. Which
/// questions somebody sees is for the desk.
pub(super) async fn list_pairings(
    host: &Arc<Host>,
    principal: &Principal,
    _params: ListPairings,
) -> Result<Answer, WireError> {
    let (window, pending) = host.network.desk().pairings(principal.clone()).await?;
    let window = window.filter(|_| at_the_machine(principal, "see the code").is_ok());
    Ok(Response::ListPairings(PairingPage { window, pending }).into())
}

/// `DecidePairing`. Who may answer which is for the desk.
pub(super) async fn decide_pairing(
    host: &Arc<Host>,
    principal: &Principal,
    params: DecidePairing,
) -> Result<Answer, WireError> {
    let command =
        match Command::begin(host, principal, Method::DecidePairing, params.command_id.as_ref(), &params)? {
            Command::Known(response) => return Ok((*response).into()),
            Command::New(command) => command,
        };
    let repeated = params.clone();
    let key = command.key();
    match host.network.desk().decide(principal.clone(), params, command).await {
        Ok(decided) => Ok(Response::DecidePairing(decided).into()),
        Err(DeskError::Store(error)) => NewCommand::after(host, key.as_ref(), error).map(Answer::from),
        // The same command may have been carried out while this one was on its way.
        Err(DeskError::Refused(error)) if error.code == ErrorCode::PairingNotFound => {
            match Command::begin(
                host,
                principal,
                Method::DecidePairing,
                repeated.command_id.as_ref(),
                &repeated,
            )? {
                Command::Known(response) => Ok((*response).into()),
                Command::New(_) => Err(error),
            }
        }
        Err(DeskError::Refused(error)) => Err(error),
    }
}

/// What a stolen or careless device must not be able to do, whatever rights it holds.
pub(super) fn at_the_machine(principal: &Principal, what: &str) -> Result<(), WireError> {
    if principal.local {
        return Ok(());
    }
    let text = format!("only the owner at the host itself can {what}; use `lanyard` on that machine");
    Err(WireError::new(ErrorCode::Unauthorized, text))
}

#[cfg(test)]
mod tests {
    use lanyard_protocol::error::ErrorCode;
    use lanyard_protocol::principal::Principal;

    use super::at_the_machine;
    use crate::principals::owner;

    #[test]
    fn no_right_makes_a_device_the_owner_at_the_machine() {
        let owner = owner().unwrap();
        at_the_machine(&owner, "open a pairing window").unwrap();
        let device = Principal { local: false, ..owner };
        let refused = at_the_machine(&device, "open a pairing window").unwrap_err();
        assert_eq!(refused.code, ErrorCode::Unauthorized);
    }
}
