//! The host itself: health and shutdown.

use std::sync::Arc;

use lanyard_protocol::error::WireError;
use lanyard_protocol::method::{Done, Response};

use super::Answer;
use crate::health;
use crate::host::Host;

/// `Health`.
pub(super) async fn health(host: &Arc<Host>) -> Result<Answer, WireError> {
    Ok(Response::Health(health::report(host).await?).into())
}

/// `Shutdown`: begins it; the reply goes out because connections end after their replies.
pub(super) fn shutdown(host: &Arc<Host>) -> Answer {
    tracing::info!("a client asked the host to stop");
    host.stop.cancel();
    Response::Shutdown(Done {}).into()
}
