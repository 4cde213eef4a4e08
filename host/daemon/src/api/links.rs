//! Links that pair one tab without a question.

use std::sync::Arc;

use lanyard_protocol::error::WireError;
use lanyard_protocol::method::{CreateLink, Response};
use lanyard_protocol::principal::Principal;

use super::Answer;
use crate::host::Host;
use crate::ids::invalid;

/// `CreateLink`. Who may make which is for the desk, which knows who is paired at that moment.
pub(super) async fn create(
    host: &Arc<Host>,
    principal: &Principal,
    params: CreateLink,
) -> Result<Answer, WireError> {
    if let Some(trouble) = host.network.web().trouble() {
        return Err(invalid(format!("there is no page to open: {trouble}")));
    }
    let link = host.network.desk().create_link(principal.clone(), params.origin).await?;
    Ok(Response::CreateLink(link).into())
}
