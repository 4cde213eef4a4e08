//! Other hosts on the network.

use std::sync::Arc;

use lanyard_pairing::Fingerprint;
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::method::{HostsFound, Response};

use super::Answer;
use crate::host::Host;

/// `FindHosts`. Nobody, where discovery is switched off: then the host does not ask either.
pub(super) async fn find(host: &Arc<Host>) -> Result<Answer, WireError> {
    let internal = |text: String| WireError::new(ErrorCode::InternalError, text);
    let hosts = if host.config.discovery {
        let own: Fingerprint =
            host.network.host_id().as_str().parse().map_err(|e| internal(format!("{e}")))?;
        host.neighbours.find(&own.short()).await.map_err(|e| internal(e.to_string()))?
    } else {
        Vec::new()
    };
    Ok(Response::FindHosts(HostsFound { hosts }).into())
}
