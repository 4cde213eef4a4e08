//! What the loop asks of policy by itself: may the model be called now, and what must not leave this machine.
//!
//! Tool calls are judged behind the router; these two traits cover the model call, which passes no router. Both are
//! plain values of [`crate::Ports`], never optional: a host without rules passes ones that say so.

use std::borrow::Cow;

use lanyard_protocol::session::ModelInfo;
use lanyard_protocol::{Timestamp, WireError};

/// Token limits of the bundle in force (`llmPolicy`, seed 004 §10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelLimits {
    /// Most tokens of one request.
    pub max_input_tokens: u64,
    /// Most tokens of one answer.
    pub max_output_tokens: u64,
    /// Most tokens, in and out, of one session.
    pub max_session_tokens: u64,
}

/// The bundle under which the model may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// Version of the bundle, for `session_started`.
    pub bundle_version: String,
    /// Its limits on model use.
    pub limits: ModelLimits,
}

/// Why the model may not be called.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PolicyStop {
    /// The bundle ran out and could not be renewed. The task pauses.
    #[error(
        "the policy bundle ran out at {expired_at} and could not be renewed; resume the session once it is renewed"
    )]
    Expired {
        /// When it ran out.
        expired_at: Timestamp,
    },
    /// Whoever issued the bundle took it back. The task pauses.
    #[error("the policy was revoked by {reason}; resume the session once a policy is in force again")]
    Revoked {
        /// Who, and why.
        reason: String,
    },
    /// The bundle may be outdated and nobody could be asked. The task pauses.
    #[error("{reason}; resume the session once they are reached again")]
    Unconfirmed {
        /// What could not be confirmed, since when, in a clause.
        reason: String,
    },
    /// The bundle does not grant the call (`LLM.Call` missing, model not allowed). The task fails.
    #[error("{0}")]
    Denied(WireError),
}

/// Asked before *every* model call, and once before a task is accepted. Implementations renew a bundle that has run
/// out before they answer [`PolicyStop::Expired`].
#[async_trait::async_trait]
pub trait PolicyGate: Send + Sync {
    /// Whether this model may be called now, and within which limits. Cancel-safe.
    async fn model_call(&self, model: &ModelInfo) -> Result<InForce, PolicyStop>;

    /// Waits until the policy is taken back ([`PolicyStop::Revoked`]); returns never while it holds. A model call under
    /// way ends with it. Cancel-safe.
    async fn revoked(&self) -> PolicyStop;
}

/// Removes what the bundle's redaction rules name. Applied to every text right before it leaves for the model.
pub trait Redactor: Send + Sync {
    /// The text with secrets replaced; the same text when there are none.
    fn redact<'a>(&self, text: &'a str) -> Cow<'a, str>;
}

impl<F> Redactor for F
where
    F: for<'a> Fn(&'a str) -> Cow<'a, str> + Send + Sync,
{
    fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self(text)
    }
}
