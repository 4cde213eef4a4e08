//! `POST /tools/{tool_name}/invoke`

use std::time::Duration;

use lanyard_governance_api::endpoint::InvokeTool;
use lanyard_governance_foundation::caller::Agent;
use lanyard_governance_foundation::{Ask, Fault};
use lanyard_protocol::ErrorCode;
use lanyard_protocol::limits::MAX_TOOL_ARGUMENT_BYTES;
use lanyard_protocol::tool::{ToolRequest, ToolResult};

use crate::definitions::{self, Tool};
use crate::grant::{self, Granted};
use crate::runs::{self, Standing};
use crate::{State, call, schema};

/// How long a request waits for the run under way; whoever asks again waits again. Below the idle limits of common proxies.
const WAIT: Duration = Duration::from_secs(25);

/// Tries to write down how a run ended, and the pause between them.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// Serves a call: the result that is known, or one run.
pub(crate) async fn invoke(state: State, ask: Ask<InvokeTool>) -> Result<ToolResult, Fault> {
    let agent = ask.caller.agent()?.clone();
    let name: String = ask.path.get("tool_name")?;
    let request = ask.body.request;
    check(&name, &request)?;
    keep_pace(&state, &agent)?;
    match runs::look(&state, &agent, &request).await? {
        Standing::Ended(result) => return Ok(*result),
        Standing::Running => return wait(&state, &agent, &request).await,
        Standing::New => {}
    }
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    let tool = definitions::find(&mut tx, &name, "").await?;
    drop(tx);
    let tool = tool.ok_or_else(|| definitions::not_found(&name))?;
    if ask.body.definition.is_some_and(|agreed| agreed != tool.digest()) {
        let message =
            format!("the tool {name} has been changed since the call was agreed to; it was not called");
        return Err(Fault::conflict(message));
    }
    grant::verify(&state, &agent, &request).await?;
    schema::check(&tool.spec.input_schema.0, &request.arguments.0)?;
    let turn = state.turns.take(&agent.tenant, Duration::ZERO).await?;
    // An approval may have been waited for: what is granted counts as it is now.
    let granted = grant::confirm(&state, &agent, &request).await?;
    let millis = i64::from(call::seconds(&tool, granted)) * 1_000 + runs::MARGIN_MILLIS;
    let deadline = state.foundation.clock.now().plus_millis(millis);
    if !runs::begin(&state, &ask.caller, &agent, &request, deadline).await? {
        // Another one runs, and has a turn of its own.
        drop(turn);
        return wait(&state, &agent, &request).await;
    }
    // To its end, even if whoever asked has hung up: the result is there when they ask again.
    let runs = state.settings.runs.clone();
    let run = runs.spawn(async move {
        let result = run(&state, &agent, &request, &tool, granted).await;
        drop(turn);
        result
    });
    match tokio::time::timeout(WAIT, run).await {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => Err(Fault::internal("a tool's run ended without a result", &error)),
        Err(_) => Err(still_running()),
    }
}

/// 429 for a host that calls too often.
pub(crate) fn keep_pace(state: &State, agent: &Agent) -> Result<(), Fault> {
    let taken = state.pace.take(&(agent.tenant.clone(), agent.agent.clone()), std::time::Instant::now());
    taken.map_err(|seconds| {
        Fault::slow_down("this host calls tools faster than the centre takes them", seconds)
    })
}

fn still_running() -> Fault {
    Fault::slow_down("the tool still runs; ask again under the same toolCallId", 1)
}

pub(crate) fn check(name: &str, request: &ToolRequest) -> Result<(), Fault> {
    if request.tool_name != name {
        return Err(Fault::invalid(format!(
            "the path names the tool {name}, the request {}",
            request.tool_name
        )));
    }
    if !request.arguments.0.is_object() {
        return Err(Fault::invalid("arguments is an object"));
    }
    if request.arguments.0.to_string().len() > MAX_TOOL_ARGUMENT_BYTES {
        let message = format!("arguments have at most {MAX_TOOL_ARGUMENT_BYTES} bytes");
        return Err(Fault::new(ErrorCode::PayloadTooLarge, message));
    }
    Ok(())
}

async fn run(
    state: &State,
    agent: &Agent,
    request: &ToolRequest,
    tool: &Tool,
    granted: Granted,
) -> Result<ToolResult, Fault> {
    let result = call::run(state, agent, request, tool, granted).await;
    let mut tries = 1;
    let stored = loop {
        match runs::end(state, agent, request, &result).await {
            Ok(stored) => break stored,
            // Not stored, it is not told either: asked again, another one would be told.
            Err(fault) if tries == TRIES => return Err(fault),
            Err(fault) => tracing::warn!(%fault, "the result of a tool cannot be stored yet"),
        }
        tries += 1;
        tokio::time::sleep(PAUSE).await;
    };
    match stored {
        true => Ok(result),
        false => match runs::look(state, agent, request).await? {
            Standing::Ended(result) => Ok(*result),
            Standing::New | Standing::Running => {
                Err(Fault::internal("a run that ended still runs", &request.tool_call_id))
            }
        },
    }
}

/// Waits for a run that another request has begun.
pub(crate) async fn wait(state: &State, agent: &Agent, request: &ToolRequest) -> Result<ToolResult, Fault> {
    let mut waiter = state.foundation.signals.listen(&runs::topic(agent, request));
    let until = tokio::time::Instant::now() + WAIT;
    loop {
        if let Standing::Ended(result) = runs::look(state, agent, request).await? {
            return Ok(*result);
        }
        let left = until.saturating_duration_since(tokio::time::Instant::now());
        if left.is_zero() {
            return Err(still_running());
        }
        // A wake-up can be lost: it is looked after every second as well.
        waiter.wait(left.min(Duration::from_secs(1))).await;
    }
}
