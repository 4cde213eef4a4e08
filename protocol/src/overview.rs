//! What policy comes to, in the short form that people are shown: what may this host do, whom does it ask, who may ask it.

use serde::{Deserialize, Serialize};

use crate::policy::{Capability, SandboxLevel};
use crate::principal::Scope;
use crate::timestamp::Timestamp;

/// How a capability stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Done without a question.
    Free,
    /// A person is asked first.
    Asks,
    /// Never done.
    Never,
}

/// One capability.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct GrantOverview {
    /// Which.
    pub capability: Capability,
    /// How it stands.
    pub standing: Standing,
    /// Where it holds: directories, commands, addresses; empty where it is not limited (or never done).
    pub limits: Vec<String>,
}

/// Who may use the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Asker {
    /// Name for people; absent for devices other than the caller's own where the caller does not hold `admin`.
    pub name: Option<String>,
    /// Rights held.
    pub scopes: Vec<Scope>,
    /// The caller.
    pub this: bool,
}

/// Result of `GetPolicy`. Where several layers apply, the strictest standing of each capability.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PolicyOverview {
    /// The layers in force, by name ("local", "central").
    pub layers: Vec<String>,
    /// Version of the bundle of the first layer.
    pub version: String,
    /// When it must be renewed.
    pub expires_at: Timestamp,
    /// Every capability, in contract order.
    pub grants: Vec<GrantOverview>,
    /// What no tool may ever touch, in words.
    pub protected: Vec<String>,
    /// How programs are confined.
    pub sandbox_level: SandboxLevel,
    /// Seconds a question waits before it counts as denied.
    pub approval_seconds: u32,
    /// The owner first, then devices by name.
    pub askers: Vec<Asker>,
}
