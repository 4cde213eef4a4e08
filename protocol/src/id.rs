//! Opaque ids. Each kind is its own type, so that a task id never lands where a session id belongs.

use crate::limits::MAX_ID_BYTES;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty.
    #[error("an id must not be empty")]
    Empty,
    /// The text is longer than [`MAX_ID_BYTES`].
    #[error("an id has at most {MAX_ID_BYTES} bytes, this one has {0}")]
    TooLong(usize),
    /// A character outside `A-Z a-z 0-9 . _ : -`, which would need escaping in logs, paths or terminals.
    #[error("an id may hold letters, digits and '._:-' only, found {0:?}")]
    BadCharacter(char),
}

/// Checks a text against the id grammar: 1–128 of `A-Z a-z 0-9 . _ : -`.
pub fn check(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > MAX_ID_BYTES {
        return Err(IdError::TooLong(text.len()));
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-'))) {
        Some(bad) => Err(IdError::BadCharacter(bad)),
        None => Ok(()),
    }
}

/// Defines opaque ids: newtypes over text that keep the grammar of [`crate::id::check`].
#[macro_export]
macro_rules! opaque_ids {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, $crate::serde::Serialize, $crate::serde::Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(crate = "lanyard_protocol::serde", try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the text against the id grammar: 1–128 of `A-Z a-z 0-9 . _ : -`.
            pub fn new(text: impl Into<String>) -> Result<Self, $crate::id::IdError> {
                let text = text.into();
                $crate::id::check(&text)?;
                Ok(Self(text))
            }

            /// The text as it goes over the wire.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::id::IdError;
            fn try_from(text: String) -> Result<Self, $crate::id::IdError> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::id::IdError;
            fn from_str(text: &str) -> Result<Self, $crate::id::IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

opaque_ids! {
    /// Namespace of a project directory, or of one general chat (seed 004 §2a).
    WorkspaceId,
    /// One conversation and its governance (seed 004 §2a).
    SessionId,
    /// One prompt's work cycle.
    TaskId,
    /// One model call and the tool calls it asked for.
    StepId,
    /// One tool call, unique within its host.
    ToolCallId,
    /// One event.
    EventId,
    /// One message of the conversation.
    MessageId,
    /// One approval; derived from what it approves, see `lanyard_policy::approval`.
    ApprovalId,
    /// A rule of the policy bundle that says who may approve what.
    ApprovalRuleId,
    /// A remembered answer ("always", "this session", …) on this host.
    RuleId,
    /// Content address of a kept output: `sha256-` and 64 hex digits.
    ArtifactId,
    /// Client-chosen key that makes a repeated mutating request harmless.
    CommandId,
    /// This machine, as others know it.
    HostId,
    /// A paired device, as the host knows it; derived from its keys.
    DeviceId,
    /// The question whether a device may be paired.
    PairingId,
    /// Who asks: the socket's owner, or a paired device.
    PrincipalId,
    /// Ties ephemeral deltas to the text or output they are part of.
    StreamId,
}
