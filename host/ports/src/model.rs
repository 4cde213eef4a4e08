//! One model call: request, streamed progress, answer.

use std::sync::Arc;

use lanyard_protocol::Json;
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::event::Usage;
use lanyard_protocol::id::SessionId;
use lanyard_protocol::message::ConversationMessage;
use lanyard_protocol::session::ModelInfo;
use lanyard_protocol::tool::ToolSpec;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Progress messages that may wait for the loop before the adapter waits in turn.
pub const PROGRESS_CAPACITY: usize = 256;

/// [`ModelInfo::source`] of a model that the task itself named.
pub const NAMED_BY_TASK: &str = "task";

/// A picture that a person attached.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// `image/png`, …
    pub media_type: &'static str,
    /// The file.
    pub bytes: Arc<[u8]>,
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({}, {} bytes)", self.media_type, self.bytes.len())
    }
}

/// Where the pictures of a session come from.
#[async_trait::async_trait]
pub trait Pictures: Send + Sync {
    /// The picture at a path as `StartTask.attachments` names it; `None` when there is none that a model may be shown.
    async fn picture(&self, path: &str) -> Option<Picture>;
}

/// What is sent. Already redacted and within the window.
#[derive(Debug, Clone)]
pub struct ModelRequest {
    /// The session; sent along so that the gateway can account for it.
    pub session_id: SessionId,
    /// The thread, system message first.
    pub messages: Vec<ConversationMessage>,
    /// Tools the model may ask for.
    pub tools: Vec<ToolSpec>,
    /// Most tokens of the answer.
    pub max_output_tokens: u64,
    /// Pictures, each with the position of the message it belongs to. A model that cannot be shown them is told so.
    pub pictures: Vec<(usize, Picture)>,
}

/// What the adapter tells while it works.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelProgress {
    /// More text of the answer.
    Text(String),
    /// The attempt failed and will be repeated; text told so far is void.
    Retry {
        /// The attempt that failed, from 1.
        attempt: u32,
        /// Most attempts.
        max_attempts: u32,
        /// Milliseconds until the next.
        delay_ms: u64,
        /// What went wrong.
        error: WireError,
    },
}

/// A call the model asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct AskedCall {
    /// The model's own id for it; may be empty or repeated, so it is never used as a key.
    pub model_call_id: String,
    /// The tool's name as given.
    pub tool_name: String,
    /// The arguments.
    pub arguments: AskedArguments,
}

/// Arguments as the model wrote them.
#[derive(Debug, Clone, PartialEq)]
pub enum AskedArguments {
    /// A JSON object.
    Object(Json),
    /// Not a JSON object; the model is told and may try again.
    Malformed {
        /// The text, cut to a few kilobytes.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// A complete answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelAnswer {
    /// The text, whole.
    pub text: String,
    /// Tools asked for, in order.
    pub calls: Vec<AskedCall>,
    /// `stop`, `tool_calls`, `length`, …
    pub finish_reason: String,
    /// Tokens, when reported.
    pub usage: Option<Usage>,
    /// The model that answered, as reported.
    pub model: String,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// The call was cancelled.
    #[error("the model call was cancelled")]
    Cancelled,
    /// A guardrail refused prompt or answer. Not retried.
    #[error("{0}")]
    GuardrailBlocked(String),
    /// A budget at the gateway is used up. Not retried.
    #[error("{0}")]
    BudgetExceeded(String),
    /// The gateway refused the request as such (credentials, unknown model, bad request). Not retried.
    #[error("{0}")]
    Refused(String),
    /// Still throttled after all retries.
    #[error("{0}")]
    RateLimited(String),
    /// Not reached, or answered with nonsense, after all retries.
    #[error("{0}")]
    Unavailable(String),
}

impl From<&ModelError> for WireError {
    fn from(error: &ModelError) -> WireError {
        let code = match error {
            ModelError::Cancelled => ErrorCode::InvalidRequest,
            ModelError::GuardrailBlocked(_) => ErrorCode::LlmGuardrailBlocked,
            ModelError::BudgetExceeded(_) => ErrorCode::LlmBudgetExceeded,
            ModelError::Refused(_) => ErrorCode::LlmUnavailable,
            ModelError::RateLimited(_) => ErrorCode::RateLimited,
            ModelError::Unavailable(_) => ErrorCode::LlmUnavailable,
        };
        let mut wire = WireError::new(code, error.to_string());
        wire.retryable = matches!(error, ModelError::RateLimited(_) | ModelError::Unavailable(_));
        wire
    }
}

/// A model behind a gateway, on this machine, or built in.
#[async_trait::async_trait]
pub trait Model: Send + Sync {
    /// What it is, for people.
    fn info(&self) -> ModelInfo;

    /// Tokens that fit into one request and its answer.
    fn context_window(&self) -> u32;

    /// The model to use for a whole task, where this one stands for a choice that may change meanwhile. `None` when
    /// it is itself a fixed one.
    fn held(&self) -> Option<Arc<dyn Model>> {
        None
    }

    /// The model of another name at the same place, for one task; `None` where there are no others.
    fn named(&self, name: &str) -> Option<Arc<dyn Model>> {
        let _ = name;
        None
    }

    /// Makes one call, retries included. Dropping the future or cancelling the token ends it; a partial answer is
    /// discarded either way. `progress` is bounded: a full channel slows the stream down.
    async fn answer(
        &self,
        request: &ModelRequest,
        progress: &mpsc::Sender<ModelProgress>,
        cancel: &CancellationToken,
    ) -> Result<ModelAnswer, ModelError>;
}
