//! Pairings across hosts: what hosts report of devices and of those that ask.

use lanyard_protocol::Timestamp;
use lanyard_protocol::id::{DeviceId, PairingId};
use lanyard_protocol::principal::Scope;
use serde::{Deserialize, Serialize};

use crate::id::AgentId;

/// Body of `PUT /agents/{id}/pairings`: how things stand on the host now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PairingSnapshot {
    /// Devices that ask to be let in.
    pub asking: Vec<AskingDevice>,
    /// Paired devices.
    pub devices: Vec<PairedDevice>,
}

/// A device that asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AskingDevice {
    /// The question.
    pub pairing_id: PairingId,
    /// Name it gives itself.
    pub name: String,
    /// What it says it runs on.
    pub platform: String,
    /// Where it asks from.
    pub address: String,
    /// Rights it would get.
    pub scopes: Vec<Scope>,
    /// The digits that it shows must be typed (it came by a code, not by the QR link).
    pub needs_digits: bool,
    /// The question ends at this instant.
    pub expires_at: Timestamp,
}

/// A paired device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PairedDevice {
    /// The device.
    pub device_id: DeviceId,
    /// Its name.
    pub name: String,
    /// What it said it runs on.
    pub platform: String,
    /// Rights it holds.
    pub scopes: Vec<Scope>,
    /// When it was paired.
    pub paired_at: Timestamp,
    /// When it was last connected.
    pub last_seen_at: Option<Timestamp>,
    /// Connected now.
    pub connected: bool,
}

/// One host's pairings, in the list across hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HostPairings {
    /// The host.
    pub agent_id: AgentId,
    /// Its name.
    pub host_name: String,
    /// How things stood.
    pub snapshot: PairingSnapshot,
    /// When.
    pub reported_at: Timestamp,
}

/// Body of `POST /agents/{id}/pairings/{pairing_id}/decision`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PairingDecision {
    /// Let it in.
    pub approve: bool,
    /// Digits that the device shows.
    pub digits: Option<String>,
}
