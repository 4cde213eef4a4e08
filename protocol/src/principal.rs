//! Who asks, and what they may ask for.

use serde::{Deserialize, Serialize};

use crate::id::PrincipalId;

/// What the ids of the central services' people begin with. No device has such an id: those are fingerprints.
pub const CENTRE_PEOPLE: &str = "central:";

/// A right a principal holds; each method names the one it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Read sessions, history and health.
    Observe,
    /// Start and cancel tasks.
    Operate,
    /// Answer tool approvals.
    Approve,
    /// Settings, policy, pairings, `approvalMode: never`, "always" rules.
    Admin,
}

impl Scope {
    /// The wire spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Observe => "observe",
            Scope::Operate => "operate",
            Scope::Approve => "approve",
            Scope::Admin => "admin",
        }
    }
}

/// An authenticated caller. Built by the transport that authenticated it, never from a message body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Principal {
    /// Stable identity.
    pub id: PrincipalId,
    /// Name for people ("owner", "Pixel phone").
    pub name: String,
    /// Rights held, sorted and unique.
    pub scopes: Vec<Scope>,
    /// True for the owner at the machine itself (local socket); rules with `approver: local` accept only these.
    pub local: bool,
}

impl Principal {
    /// Whether the principal holds a right. `admin` does not imply the others: what is granted is what is listed.
    pub fn holds(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}
