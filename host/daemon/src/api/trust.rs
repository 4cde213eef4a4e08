//! The authority that browsers can be told to trust.

use std::sync::Arc;

use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::method::{DisableTrust, EnableTrust, GetTrust, Response, TrustAuthority, TrustState};
use lanyard_protocol::principal::Principal;

use super::Answer;
use super::pairings::at_the_machine;
use crate::host::Host;
use crate::web::{Authority, TrustError};

/// `GetTrust`.
pub(super) async fn get(
    host: &Arc<Host>,
    _principal: &Principal,
    _params: GetTrust,
) -> Result<Answer, WireError> {
    let authority = host.network.web().trust().authority().await.map_err(|error| failed(&error))?;
    Ok(Response::GetTrust(state(host, authority).await).into())
}

/// `EnableTrust`.
pub(super) async fn enable(
    host: &Arc<Host>,
    principal: &Principal,
    params: EnableTrust,
) -> Result<Answer, WireError> {
    at_the_machine(principal, "make an authority for this host")?;
    let authority = host.network.web().trust().enable(params.renew).await.map_err(|error| failed(&error))?;
    Ok(Response::EnableTrust(state(host, Some(authority)).await).into())
}

/// `DisableTrust`.
pub(super) async fn disable(
    host: &Arc<Host>,
    principal: &Principal,
    _params: DisableTrust,
) -> Result<Answer, WireError> {
    at_the_machine(principal, "take back the host's authority")?;
    host.network.web().trust().disable().await.map_err(|error| failed(&error))?;
    Ok(Response::DisableTrust(state(host, None).await).into())
}

async fn state(host: &Host, authority: Option<Authority>) -> TrustState {
    let origins = host.network.health().await.origins;
    let authority = authority.map(|authority| TrustAuthority {
        fingerprint: authority.fingerprint,
        name: authority.name,
        expires_at: authority.until,
    });
    TrustState { authority, pages: origins.into_iter().map(|origin| format!("{origin}/trust")).collect() }
}

fn failed(error: &TrustError) -> WireError {
    WireError::new(ErrorCode::InternalError, error.to_string())
}
