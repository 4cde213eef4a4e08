//! What this host says to the Backend Tool Service, as a trait: the calls are tried against one that a test plays.

use std::time::Duration;

use bytes::Bytes;
use lanyard_governance_api::endpoint as e;
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::tool::{InvokeRequest, SettleRequest, ToolList};
use lanyard_governance_client::CallError;
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::id::{ArtifactId, WorkspaceId};
use lanyard_protocol::tool::ToolResult;

use super::link::{Link, told};

/// Why the centre did not say how a call ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ToolFault {
    /// Nobody was reached, or nobody who could tell.
    Away {
        /// The call may have arrived all the same.
        sent: bool,
        /// What happened.
        why: String,
    },
    /// It runs, or the centre is busy: the same again, after so long at least.
    Later(Duration),
    /// This request began nothing.
    Refused(WireError),
}

/// Every call is bounded in time.
#[async_trait::async_trait]
pub(super) trait ToolWire: Send + Sync {
    /// Every tool of the tenant.
    async fn list(&self) -> Result<ToolList, WireError>;

    /// Makes a call, or asks after the one made under the same id.
    async fn invoke(&self, request: &InvokeRequest) -> Result<ToolResult, ToolFault>;

    /// Asks after a call, and closes one that has not begun.
    async fn settle(&self, request: &SettleRequest) -> Result<ToolResult, ToolFault>;

    /// The whole of an output.
    async fn output(&self, workspace: &WorkspaceId, artifact: &ArtifactId) -> Result<Bytes, WireError>;
}

/// Shortest pause before the same is asked again.
const SOON: Duration = Duration::from_millis(250);

/// Longest, whatever the centre says: a call is held meanwhile.
const LATEST: Duration = Duration::from_secs(30);

fn fault(error: CallError) -> ToolFault {
    match error {
        CallError::Unreachable { reason, sent, .. } => ToolFault::Away { sent, why: reason },
        CallError::Refused { error, retry_after, .. } => match error.code {
            ErrorCode::RateLimited => ToolFault::Later(retry_after.unwrap_or(SOON).clamp(SOON, LATEST)),
            // One of its services, or its database, was not there: whether before the call began is not said.
            ErrorCode::CentralUnavailable | ErrorCode::InternalError | ErrorCode::StorageFull => {
                ToolFault::Away { sent: true, why: error.message }
            }
            _ => ToolFault::Refused(error),
        },
        CallError::Revoked(reason) => ToolFault::Refused(WireError::new(ErrorCode::AgentRevoked, reason)),
        error @ CallError::Protocol(_) => ToolFault::Away { sent: true, why: error.to_string() },
    }
}

#[async_trait::async_trait]
impl ToolWire for Link {
    async fn list(&self) -> Result<ToolList, WireError> {
        told(self.0.call::<e::ListTools>(&[], &Nothing {}, &Nothing {}).await)
    }

    async fn invoke(&self, request: &InvokeRequest) -> Result<ToolResult, ToolFault> {
        let path = [("tool_name", request.request.tool_name.as_str())];
        self.0.call::<e::InvokeTool>(&path, &Nothing {}, request).await.map_err(fault)
    }

    async fn settle(&self, request: &SettleRequest) -> Result<ToolResult, ToolFault> {
        let path = [("tool_name", request.request.tool_name.as_str())];
        self.0.call::<e::SettleTool>(&path, &Nothing {}, request).await.map_err(fault)
    }

    async fn output(&self, workspace: &WorkspaceId, artifact: &ArtifactId) -> Result<Bytes, WireError> {
        let path = [("workspace_id", workspace.as_str()), ("artifact_id", artifact.as_str())];
        told(self.0.get_bytes::<e::GetArtifactContent>(&path, &Nothing {}).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_held_for_a_bounded_time_whatever_the_centre_says() {
        for (said, held) in
            [(None, SOON), (Some(0), SOON), (Some(5), Duration::from_secs(5)), (Some(86_400), LATEST)]
        {
            let error = WireError::new(ErrorCode::RateLimited, "busy");
            let retry_after = said.map(Duration::from_secs);
            let told = fault(CallError::Refused { status: 429, error, retry_after });
            assert!(matches!(told, ToolFault::Later(pause) if pause == held), "{said:?}: {told:?}");
        }
    }
}
