//! Enrolment at central services. Whoever sits at the machine decides whom it belongs to; nobody else does.

use std::sync::Arc;

use lanyard_protocol::error::WireError;
use lanyard_protocol::method::{EnrolHost, SetCentralConsent, UnenrolHost};
use lanyard_protocol::principal::Principal;

use super::Answer;
use super::pairings::at_the_machine;
use crate::central::api;
use crate::host::Host;

/// `GetCentral`.
pub(super) async fn get(host: &Arc<Host>) -> Result<Answer, WireError> {
    api::status(host).await.map(Answer::from)
}

/// `EnrolHost`.
pub(super) async fn enrol(
    host: &Arc<Host>,
    principal: &Principal,
    params: EnrolHost,
) -> Result<Answer, WireError> {
    at_the_machine(principal, "enrol it at central services")?;
    api::enrol(host, params).await.map(Answer::from)
}

/// `UnenrolHost`.
pub(super) async fn unenrol(
    host: &Arc<Host>,
    principal: &Principal,
    params: UnenrolHost,
) -> Result<Answer, WireError> {
    at_the_machine(principal, "end its enrolment")?;
    api::unenrol(host, params).await.map(Answer::from)
}

/// `SetCentralConsent`.
pub(super) async fn consent(
    host: &Arc<Host>,
    principal: &Principal,
    params: SetCentralConsent,
) -> Result<Answer, WireError> {
    at_the_machine(principal, "say what its centre may do")?;
    api::consent(host, params).await.map(Answer::from)
}
