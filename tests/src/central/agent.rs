//! A host's credentials without a host: what enrols, proves its key and calls as an agent. Written against the API alone,
//! so that a fault shared by `governance/client` and the services does not hide.

use anyhow::{Context, Result};
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use lanyard_governance_api::agent::{Heartbeat, HeartbeatAnswer};
use lanyard_governance_api::endpoint::{
    CreateAccessToken, CreateEnrolmentToken, ExchangeToken, RenewIdentity, SendHeartbeat,
};
use lanyard_governance_api::enrolment::{
    AccessTokenRequest, ExchangeRequest, IssuedIdentity, MachineInfo, NewEnrolmentToken, Proof, Purpose,
    RenewRequest, proof_text,
};
use lanyard_governance_api::id::AgentId;
use lanyard_protocol::Timestamp;
use lanyard_protocol::policy::SandboxLevel;
use rand_core::{OsRng, RngCore};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ED25519, SigningKey as _};

use super::Admin;

/// See the module.
#[derive(Debug)]
pub struct TestAgent {
    /// What it was given.
    pub identity: IssuedIdentity,
    key: KeyPair,
    base: String,
    /// With an access token.
    pub agent: Admin,
    /// With the service token.
    pub beating: Admin,
}

/// What a machine says of itself.
pub fn machine(name: &str) -> MachineInfo {
    MachineInfo {
        name: name.to_owned(),
        os_family: "linux".to_owned(),
        os_version: "12".to_owned(),
        architecture: "x86_64".to_owned(),
        host_version: env!("CARGO_PKG_VERSION").to_owned(),
        host_id: None,
    }
}

/// What a healthy host's heartbeat holds.
pub fn heartbeat(name: &str) -> Heartbeat {
    Heartbeat {
        machine: machine(name),
        policy_epoch: 0,
        sandbox_level: SandboxLevel::Full,
        outbox_depth: 0,
        uptime_seconds: 60,
        tasks_running: 0,
        sessions: 0,
        rss_bytes: Some(15 << 20),
        devices: 0,
        accepts_jobs: true,
        accepts_answers: true,
        workspaces: vec!["/srv/project".to_owned()],
        client_time: Timestamp::now(),
    }
}

/// 32 hex digits that were not used before.
pub fn nonce() -> String {
    let mut bytes = [0; 16];
    OsRng.fill_bytes(&mut bytes);
    HEXLOWER.encode(&bytes)
}

/// A certificate request for a key.
///
/// # Errors
/// The key is no key.
pub fn request(key: &KeyPair) -> Result<String> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    let text = BASE64.encode(params.serialize_request(key)?.der());
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    let name = "CERTIFICATE REQUEST";
    Ok(format!("-----BEGIN {name}-----\n{}\n-----END {name}-----\n", lines.join("\n")))
}

impl TestAgent {
    /// Enrols with a fresh token of the admin's tenant.
    ///
    /// # Errors
    /// Refused.
    pub async fn of(admin: &Admin, name: &str) -> Result<Self> {
        let wanted = NewEnrolmentToken {
            user_id: None,
            class: "laptop".to_owned(),
            note: None,
            expires_in_seconds: None,
            max_uses: None,
        };
        let token = admin.post::<CreateEnrolmentToken>(&[], &wanted).await?.token;
        Self::enrol(&admin.base, &token, name).await
    }

    /// Enrols with a token.
    ///
    /// # Errors
    /// Refused.
    pub async fn enrol(base: &str, token: &str, name: &str) -> Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        Self::enrol_with(base, token, name, key).await
    }

    /// A key that nobody has used.
    ///
    /// # Errors
    /// No randomness.
    pub fn fresh_key() -> Result<KeyPair> {
        Ok(KeyPair::generate_for(&PKCS_ED25519)?)
    }

    /// Enrols a key with a token.
    ///
    /// # Errors
    /// Refused.
    pub async fn enrol_with(base: &str, token: &str, name: &str, key: KeyPair) -> Result<Self> {
        Self::enrol_as(Admin::with(base, None)?, token, name, key).await
    }

    /// The same by an HTTP client that exists: making one reads the system's certificates.
    ///
    /// # Errors
    /// Refused.
    pub async fn enrol_as(nobody: Admin, token: &str, name: &str, key: KeyPair) -> Result<Self> {
        let base = &nobody.base.clone();
        let body = ExchangeRequest {
            token: token.to_owned(),
            csr_pem: request(&key)?,
            nonce: nonce(),
            machine: machine(name),
        };
        let identity = nobody.post::<ExchangeToken>(&[], &body).await?;
        let beating = nobody.as_somebody(Some(&identity.service_token));
        let mut agent = Self { identity, key, base: base.to_owned(), agent: nobody, beating };
        agent.agent.token = Some(agent.access_token().await?);
        Ok(agent)
    }

    /// Its name.
    pub fn id(&self) -> &AgentId {
        &self.identity.agent_id
    }

    /// Proves that it holds its key.
    ///
    /// # Errors
    /// The key does not sign.
    pub fn proof(&self, purpose: Purpose, timestamp: Timestamp) -> Result<Proof> {
        let nonce = nonce();
        let text = proof_text(purpose, self.id(), timestamp, &nonce);
        let signature = BASE64URL_NOPAD.encode(&self.key.sign(text.as_bytes())?);
        Ok(Proof { timestamp, nonce, signature })
    }

    /// A fresh access token.
    ///
    /// # Errors
    /// Refused.
    pub async fn access_token(&self) -> Result<String> {
        let nobody = self.agent.as_somebody(None);
        let body = AccessTokenRequest { proof: self.proof(Purpose::AccessToken, Timestamp::now())? };
        Ok(nobody.post::<CreateAccessToken>(&[self.id().as_str()], &body).await?.token)
    }

    /// Renews its certificate.
    ///
    /// # Errors
    /// Refused.
    pub async fn renew(&self, at: Timestamp) -> Result<IssuedIdentity> {
        let nobody = Admin::with(&self.base, None)?;
        let body = RenewRequest {
            csr_pem: request(&self.key)?,
            nonce: nonce(),
            proof: self.proof(Purpose::Renew, at)?,
        };
        nobody.post::<RenewIdentity>(&[self.id().as_str()], &body).await
    }

    /// Says that it is there.
    ///
    /// # Errors
    /// Refused.
    pub async fn beat(&self, heartbeat: &Heartbeat) -> Result<HeartbeatAnswer> {
        self.beating.post::<SendHeartbeat>(&[self.id().as_str()], heartbeat).await.context("heartbeat")
    }
}
