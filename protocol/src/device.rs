//! Paired devices, devices that ask to be paired, and who was connected when.

use serde::{Deserialize, Serialize};

use crate::id::{DeviceId, PairingId};
use crate::principal::Scope;
use crate::timestamp::Timestamp;

/// A device that may connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Derived from its keys; also its principal id.
    pub device_id: DeviceId,
    /// Name for people.
    pub name: String,
    /// What it said it runs on ("linux", "iOS"); informative.
    pub platform: String,
    /// Rights it holds.
    pub scopes: Vec<Scope>,
    /// When its pairing was approved.
    pub paired_at: Timestamp,
    /// Approved, and it has not yet shown that it knows: forgotten after this instant.
    pub provisional_until: Option<Timestamp>,
    /// When it was last connected.
    pub last_seen: Option<Timestamp>,
    /// Where from: address and port.
    pub last_address: Option<String>,
    /// Connections open now.
    pub connections: u32,
    /// What its page said when it last connected; absent for programs, and since the host started.
    pub page: Option<PageReport>,
    /// A tab of the owner on this machine: it is forgotten when it is closed, or the host stops.
    pub temporary: bool,
    /// The device whose link it came by, and with whose pairing its own ends.
    pub made_by: Option<DeviceId>,
}

/// What a web client knows of the page it runs in. Said by the page itself: an attacker who can change the page can
/// change this too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PageReport {
    /// Where it was loaded from, `https://192.168.1.7:7717`.
    pub origin: String,
    /// Its certificate was checked by the browser, or the page is on this very machine. Otherwise whoever controls the
    /// network could have put another page in its place.
    pub verified: bool,
    /// How the device's key is kept.
    pub key: KeyStorage,
}

/// How a page keeps its device's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum KeyStorage {
    /// Encrypted under a key that the browser does not hand out.
    Wrapped,
    /// As it is, because the browser offers nothing better at this address.
    Plain,
    /// Nowhere: it is gone with the tab.
    Memory,
}

/// How a device showed that it was meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PairingMethod {
    /// A typed code: the approver types the digits that the device shows.
    Code,
    /// The link of the QR code: one tap approves.
    Link,
}

/// A device that has proven the code or the link and waits for a person.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PendingPairing {
    /// Names the question.
    pub pairing_id: PairingId,
    /// Derived from the device's keys.
    pub device_id: DeviceId,
    /// What it calls itself.
    pub name: String,
    /// What it says it runs on.
    pub platform: String,
    /// Where it asks from: address and port.
    pub address: String,
    /// Rights it asks for; the approver decides. By a device's link: those of that device, which are the most it may get.
    pub requested_scopes: Vec<Scope>,
    /// How it showed that it was meant. After a typed code the digits must be typed.
    pub method: PairingMethod,
    /// The digits the device shows too, for comparison. Absent after a typed code: they must come from its screen.
    pub digits: Option<String>,
    /// It is paired already; approving replaces its entry.
    pub known: bool,
    /// The device by whose link it came, and which may answer; absent when it came by the window's code or link.
    pub made_by: Option<DeviceId>,
    /// When it asked.
    pub asked_at: Timestamp,
    /// Forgotten after this instant.
    pub expires_at: Timestamp,
}

/// The open pairing window, secrets included: shown to the owner at the machine alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PairingWindow {
    /// The code to type, `K7QX-92MD`; absent once it was burnt and no new one may be made.
    pub code: Option<String>,
    /// What the QR code holds: works once. By the host's name where that can be found, else by its address.
    pub link: String,
    /// The same by address where `link` is by name, for networks and phones that do not find the name.
    pub link_by_address: Option<String>,
    /// The window closes by itself.
    pub expires_at: Timestamp,
    /// Wrong codes until the code is burnt.
    pub attempts_left: u32,
    /// Something the owner should know: somebody guesses.
    pub warning: Option<String>,
}

/// Without the digits: logs are read by more people than the screen.
impl std::fmt::Debug for PendingPairing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { pairing_id, device_id, name, address, method, .. } = self;
        f.debug_struct("PendingPairing")
            .field("pairing_id", pairing_id)
            .field("device_id", device_id)
            .field("name", name)
            .field("address", address)
            .field("method", method)
            .finish_non_exhaustive()
    }
}

/// Without code and link.
impl std::fmt::Debug for PairingWindow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PairingWindow")
            .field("expires_at", &self.expires_at)
            .field("attempts_left", &self.attempts_left)
            .finish_non_exhaustive()
    }
}

/// One connection of a device, as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ConnectionRecord {
    /// Counts from 1.
    pub connection: u64,
    /// Which device.
    pub device_id: DeviceId,
    /// Its name then.
    pub name: String,
    /// Where from: address and port.
    pub address: String,
    /// When it came.
    pub connected_at: Timestamp,
    /// When it went; absent while it is there, and when the host was killed.
    pub ended_at: Option<Timestamp>,
    /// Why it went: `closed`, `timed_out`, `revoked`, …
    pub end_reason: Option<String>,
}

/// How the question of a pairing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PairingEnd {
    /// A person approved it.
    Approved,
    /// A person denied it.
    Denied,
    /// Nobody answered in time.
    Expired,
}

#[cfg(test)]
mod tests {
    use super::PairingWindow;
    use crate::id::PairingId;
    use crate::method::{DecidePairing, Request};
    use crate::timestamp::Timestamp;

    #[test]
    fn what_pairs_is_never_in_a_log() {
        let window = PairingWindow {
            code: Some("K7QX-92MD".to_owned()),
            link: "https://h/#SECRET".to_owned(),
            link_by_address: Some("https://1.2.3.4/#SECRET".to_owned()),
            expires_at: Timestamp::default(),
            attempts_left: 3,
            warning: None,
        };
        let answer = Request::DecidePairing(DecidePairing {
            pairing_id: PairingId::new("p").unwrap(),
            decision: crate::approval::Decision::Approved,
            digits: Some("123456".to_owned()),
            scopes: None,
            name: None,
            command_id: None,
        });
        let made = crate::method::LinkCreated {
            link: "https://h/#SECRET".to_owned(),
            expires_at: Timestamp::default(),
        };
        let logged = format!("{window:?} {answer:?} {made:?}");
        for secret in ["K7QX", "SECRET", "123456"] {
            assert!(!logged.contains(secret), "{logged}");
        }
    }
}
