//! `POST /tools/{tool_name}/settle`: what became of a call, for a host that does not know.
//!
//! A host that was stopped, or whose connection broke, cannot tell whether its call arrived. It must not make it again, and
//! its first request may still be on the way. So the answer is made true here: a call that has not begun is closed.

use lanyard_governance_api::endpoint::SettleTool;
use lanyard_governance_foundation::{Ask, Fault};
use lanyard_protocol::tool::{ToolResult, ToolStatus};
use lanyard_protocol::{ErrorCode, WireError};

use crate::runs::{self, Standing};
use crate::{State, grant, invoke};

/// Answers with the result of a run, waiting for one under way; what has not begun never will, and is `cancelled`.
pub(crate) async fn settle(state: State, ask: Ask<SettleTool>) -> Result<ToolResult, Fault> {
    let agent = ask.caller.agent()?.clone();
    let name: String = ask.path.get("tool_name")?;
    let request = ask.body.request;
    invoke::check(&name, &request)?;
    invoke::keep_pace(&state, &agent)?;
    match runs::look(&state, &agent, &request).await? {
        Standing::Ended(result) => return Ok(*result),
        Standing::Running => return invoke::wait(&state, &agent, &request).await,
        Standing::New => {}
    }
    grant::own_session(&state, &agent, &request).await?;
    let text = format!("the tool {name} was not called, and this call of it is closed");
    let closed = ToolResult::of(&request, ToolStatus::Cancelled)
        .with_error(WireError::new(ErrorCode::ToolExecutionFailed, text));
    match runs::close(&state, &ask.caller, &agent, &request, &closed).await? {
        true => Ok(closed),
        // It began this very moment.
        false => invoke::wait(&state, &agent, &request).await,
    }
}
