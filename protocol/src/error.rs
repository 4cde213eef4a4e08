//! The error shape and codes of seed 004 §14, the same over every transport.

use serde::{Deserialize, Serialize};

use crate::json::Json;

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal, $retry:literal;)*) => {
        /// Stable error codes. The order is part of the contract: JSON-RPC numbers count down from −32001 in it,
        /// so new codes are appended only.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum ErrorCode { $($(#[doc = $doc])* #[serde(rename = $name)] $variant,)* }

        impl ErrorCode {
            /// Every code in contract order.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant,)*];

            /// What it means, for the reference.
            #[cfg(feature = "schema")]
            pub fn description(self) -> &'static str {
                match self { $(ErrorCode::$variant => concat!($($doc),*),)* }
            }

            /// The wire spelling.
            pub fn as_str(self) -> &'static str {
                match self { $(ErrorCode::$variant => $name,)* }
            }

            /// Whether the same request may succeed later without being changed.
            pub fn retryable(self) -> bool {
                match self { $(ErrorCode::$variant => $retry,)* }
            }
        }
    };
}

codes! {
    /// The request is well-formed JSON-RPC but asks for something impossible in this state or with these values.
    InvalidRequest = "INVALID_REQUEST", false;
    /// The principal lacks the scope the method needs.
    Unauthorized = "UNAUTHORIZED", false;
    /// No session of that id on this host.
    SessionNotFound = "SESSION_NOT_FOUND", false;
    /// The session's lifetime is over; start a new one.
    SessionExpired = "SESSION_EXPIRED", false;
    /// The policy bundle failed validation; the session does not start.
    PolicyBundleInvalid = "POLICY_BUNDLE_INVALID", false;
    /// The policy bundle is past `expiresAt` and could not be renewed.
    PolicyExpired = "POLICY_EXPIRED", true;
    /// Policy refuses the call.
    CapabilityDenied = "CAPABILITY_DENIED", false;
    /// The call needs an approval nobody can give here.
    ApprovalRequired = "APPROVAL_REQUIRED", false;
    /// A person, or the deadline, said no.
    ApprovalDenied = "APPROVAL_DENIED", false;
    /// No tool of that name is offered to this session.
    ToolNotFound = "TOOL_NOT_FOUND", false;
    /// The tool ran and failed.
    ToolExecutionFailed = "TOOL_EXECUTION_FAILED", false;
    /// A gateway guardrail refused the prompt or the answer.
    LlmGuardrailBlocked = "LLM_GUARDRAIL_BLOCKED", false;
    /// A token or money budget is used up.
    LlmBudgetExceeded = "LLM_BUDGET_EXCEEDED", false;
    /// An artifact could not be stored centrally.
    WorkspaceUploadFailed = "WORKSPACE_UPLOAD_FAILED", true;
    /// Too many requests; wait and repeat.
    RateLimited = "RATE_LIMITED", true;
    /// A defect or a fault of the machine (disk, memory); the host's log has the detail.
    InternalError = "INTERNAL_ERROR", true;
    /// The task used all its steps.
    MaxStepsExceeded = "MAX_STEPS_EXCEEDED", false;
    /// No task of that id in the session.
    TaskNotFound = "TASK_NOT_FOUND", false;
    /// No approval of that id in the session.
    ApprovalNotFound = "APPROVAL_NOT_FOUND", false;
    /// The cursor lies before what the host still keeps.
    CursorExpired = "CURSOR_EXPIRED", false;
    /// The host stopped while the tool ran and cannot know whether it took effect.
    OutcomeUnknown = "OUTCOME_UNKNOWN", false;
    /// No artifact of that id on this host.
    ArtifactNotFound = "ARTIFACT_NOT_FOUND", false;
    /// The model could not be reached or answered with something that is not an answer.
    LlmUnavailable = "LLM_UNAVAILABLE", true;
    /// The store has reached `store.max_bytes`, or the disk is full.
    StorageFull = "STORAGE_FULL", true;
    /// No device asks under that pairing id; it may have been answered elsewhere, or have run out.
    PairingNotFound = "PAIRING_NOT_FOUND", false;
    /// The digits are not those that the device shows.
    PairingDigitsWrong = "PAIRING_DIGITS_WRONG", false;
    /// No paired device of that id on this host.
    DeviceNotFound = "DEVICE_NOT_FOUND", false;
    /// Nothing of that id or path that the caller may know of.
    ResourceNotFound = "RESOURCE_NOT_FOUND", false;
    /// The thing is in another state than the request needs.
    Conflict = "CONFLICT", false;
    /// The body is longer than the endpoint takes.
    PayloadTooLarge = "PAYLOAD_TOO_LARGE", false;
    /// The enrolment token is unknown, expired, used up or revoked.
    EnrolmentRefused = "ENROLMENT_REFUSED", false;
    /// The host's enrolment was revoked; enrol again.
    AgentRevoked = "AGENT_REVOKED", false;
    /// An administrator revoked the policy; the session waits until one is in force again.
    PolicyRevoked = "POLICY_REVOKED", true;
    /// The central services were not reached.
    CentralUnavailable = "CENTRAL_UNAVAILABLE", true;
}

/// First JSON-RPC number of [`ErrorCode::ALL`].
const FIRST_RPC_NUMBER: i64 = -32_001;

impl ErrorCode {
    /// The JSON-RPC error number: −32001 downward in contract order.
    pub fn rpc_number(self) -> i64 {
        let position = Self::ALL.iter().position(|c| *c == self).unwrap_or(0);
        FIRST_RPC_NUMBER - i64::try_from(position).unwrap_or(0)
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a peer is told. `message` is safe to show: it names the thing and the way out, never a secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[error("{message} [{code}]")]
pub struct WireError {
    /// Stable code.
    pub code: ErrorCode,
    /// One or two sentences for a person.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// Machine-readable particulars; an object.
    #[serde(default = "Json::object")]
    pub details: Json,
}

impl WireError {
    /// An error with the code's own retryability and no details.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: code.retryable(), details: Json::object() }
    }

    /// Adds one member to `details`.
    pub fn with(mut self, key: &str, value: impl Into<serde_json::Value>) -> Self {
        if let serde_json::Value::Object(map) = &mut self.details.0 {
            map.insert(key.to_owned(), value.into());
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::ErrorCode;

    #[test]
    fn numbers_follow_the_seeds_order() {
        assert_eq!(ErrorCode::InvalidRequest.rpc_number(), -32_001);
        assert_eq!(ErrorCode::InternalError.rpc_number(), -32_016);
        assert_eq!(ErrorCode::OutcomeUnknown.rpc_number(), -32_021);
    }
}
