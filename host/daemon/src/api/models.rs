//! Which models there are to choose from.

use std::sync::Arc;

use lanyard_protocol::error::WireError;
use lanyard_protocol::method::{ModelPage, Response};

use super::Answer;
use crate::host::Host;

/// `ListModels`.
pub(super) async fn list(host: &Arc<Host>) -> Result<Answer, WireError> {
    let lanyard_model::Offer { current, names } = host.models.offer().await;
    Ok(Response::ListModels(ModelPage { current, models: names }).into())
}
