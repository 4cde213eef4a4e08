//! Enrolment: one-time tokens, identities, access (seed 002).

use lanyard_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{AgentId, EnrolmentTokenId, TenantId, UserId};

/// Body of `POST /enrolment/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewEnrolmentToken {
    /// Whose hosts; absent: the caller's own.
    pub user_id: Option<UserId>,
    /// Class of machine, for policy and people: `laptop`, `server`, …
    pub class: String,
    /// What it is for.
    pub note: Option<String>,
    /// Lifetime in seconds, 60–2,592,000; 24 h when absent.
    #[cfg_attr(feature = "schema", schemars(range(min = 60, max = 2_592_000)))]
    pub expires_in_seconds: Option<u32>,
    /// Hosts that may enrol with it, 1–1,000; one when absent.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1_000)))]
    pub max_uses: Option<u32>,
}

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EnrolmentToken {
    /// Its public half.
    pub token_id: EnrolmentTokenId,
    /// Whose hosts.
    pub user_id: UserId,
    /// Class of machine.
    pub class: String,
    /// What it is for.
    pub note: Option<String>,
    /// Hosts that have used it.
    pub uses: u32,
    /// Hosts that may.
    pub max_uses: u32,
    /// Who made it.
    pub created_by: UserId,
    /// When.
    pub created_at: Timestamp,
    /// Not accepted after.
    pub expires_at: Timestamp,
    /// Not accepted since.
    pub revoked_at: Option<Timestamp>,
    /// Not accepted although nobody revoked it, and why: who made it is no administrator of the tenant any more.
    #[serde(default)]
    pub void: Option<String>,
}

/// Answer of `POST /enrolment/tokens`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct IssuedEnrolmentToken {
    /// What `lanyard enroll` takes, shown once: `lanyard-enroll.1.TOKENID.SECRET.CAHASH`, each part base32 without
    /// padding; CAHASH is the SHA-256 of the CA certificate's DER, or empty on loopback HTTP.
    pub token: String,
    /// The rest.
    pub record: EnrolmentToken,
}

impl std::fmt::Debug for IssuedEnrolmentToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedEnrolmentToken").field("record", &self.record).finish_non_exhaustive()
    }
}

/// Body of `POST /enrolment/exchange`. Idempotent per CSR: the same CSR gets its identity again and uses nothing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExchangeRequest {
    /// The whole token.
    pub token: String,
    /// PKCS #10 with an Ed25519 key, PEM.
    pub csr_pem: String,
    /// 16–64 bytes of the host's own, hex; echoed.
    pub nonce: String,
    /// The machine.
    pub machine: MachineInfo,
}

impl std::fmt::Debug for ExchangeRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExchangeRequest").field("machine", &self.machine).finish_non_exhaustive()
    }
}

/// What a host says of its machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MachineInfo {
    /// Name for people.
    pub name: String,
    /// `linux`, `macos`, `windows`.
    pub os_family: String,
    /// Version of it.
    pub os_version: String,
    /// `x86_64`, `aarch64`.
    pub architecture: String,
    /// Version of the host.
    pub host_version: String,
    /// What devices on its LAN know it by.
    pub host_id: Option<String>,
}

/// Answer of exchange and renewal.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct IssuedIdentity {
    /// The host's name here.
    pub agent_id: AgentId,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Its user.
    pub user_id: UserId,
    /// Certificate for the CSR's key, PEM.
    pub certificate_pem: String,
    /// CA certificates, PEM.
    pub ca_chain_pem: String,
    /// Bearer for heartbeats only.
    pub service_token: String,
    /// Seconds between heartbeats.
    pub heartbeat_seconds: u32,
    /// When the certificate runs out; renewed at half of its life.
    pub not_after: Timestamp,
    /// The server's clock.
    pub server_time: Timestamp,
    /// The nonce of the request.
    pub nonce: String,
}

impl std::fmt::Debug for IssuedIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedIdentity")
            .field("agent_id", &self.agent_id)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// Proof that the caller holds an agent's key: an Ed25519 signature (base64url, no padding) over
/// `lanyard-proof/1\n{purpose}\n{agentId}\n{timestamp, RFC 3339}\n{nonce}\n`. The server takes a nonce once and
/// timestamps within five minutes of its own clock; whose clock is wrong learns the server's from the answer
/// (`details.serverTime`) and signs again with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Proof {
    /// Server time as the host reckons it.
    pub timestamp: Timestamp,
    /// 32 hex digits, never used before.
    pub nonce: String,
    /// The signature.
    pub signature: String,
}

/// What a [`Proof`] is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `access-token`
    AccessToken,
    /// `renew`
    Renew,
}

impl Purpose {
    /// As signed.
    pub fn as_str(self) -> &'static str {
        match self {
            Purpose::AccessToken => "access-token",
            Purpose::Renew => "renew",
        }
    }
}

/// The bytes that a [`Proof`] signs.
pub fn proof_text(purpose: Purpose, agent: &AgentId, timestamp: Timestamp, nonce: &str) -> String {
    format!("lanyard-proof/1\n{}\n{agent}\n{timestamp}\n{nonce}\n", purpose.as_str())
}

/// Body of `POST /agents/{id}/renew`. Authenticated by its proof alone, so that a laptop that slept past the end of
/// its certificate comes back (for 90 days).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RenewRequest {
    /// CSR with the same key, PEM. Another key is a clone and refused with an alert.
    pub csr_pem: String,
    /// 16–64 bytes of the host's own, hex; echoed.
    pub nonce: String,
    /// Purpose `renew`.
    pub proof: Proof,
}

/// Body of `POST /agents/{id}/access-tokens`. Authenticated by its proof alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessTokenRequest {
    /// Purpose `access-token`.
    pub proof: Proof,
}

/// Answer to it. Where the connection carries the agent's client certificate none is needed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AccessToken {
    /// Bearer with the scope `agent`.
    pub token: String,
    /// Runs out at this instant of the server's clock.
    pub expires_at: Timestamp,
    /// The server's clock.
    pub server_time: Timestamp,
}

impl std::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessToken").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}
