//! The identity on disk: one file, so that key, certificate and tokens always belong together.

use std::path::{Path, PathBuf};

use lanyard_governance_api::id::{AgentId, EnrolmentTokenId, TenantId, UserId};
use lanyard_protocol::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use super::{AgentKey, Identity};
use crate::address;
use crate::secret::Secret;

mod file;

/// The identity's file in its directory.
const IDENTITY: &str = "identity.json";

/// A begun enrolment's file.
const PENDING: &str = "enrolment-pending.json";

/// Version of both formats.
const VERSION: u32 = 1;

/// Room for a whole identity, so that the buffer it is written into never grows and leaves no copy behind.
const ROOM: usize = 64 << 10;

/// Why an identity cannot be kept or used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others could read or write it.
    #[error(
        "{path} holds this host's identity and is open to other users (mode {mode:o}): if nobody can have read it, run chmod go-rwx {path}; else unenrol and enrol again"
    )]
    TooOpen {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not what this build writes.
    #[error("{path} cannot be read ({reason}); unenrol and enrol again")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Key, certificate and CA do not belong together.
    #[error("key, certificate and CA of the identity do not belong together: {0}")]
    Unfit(String),
}

/// The directory in which an identity is kept. Its files are readable by the owner alone and replaced whole or not at all.
#[derive(Debug, Clone)]
pub struct IdentityStore {
    directory: PathBuf,
}

/// What is in [`IDENTITY`].
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StoredIdentity {
    version: u32,
    agent_id: AgentId,
    tenant_id: TenantId,
    user_id: UserId,
    central: String,
    certificate_pem: String,
    ca_chain_pem: String,
    heartbeat_seconds: u32,
    issued_at: Timestamp,
    not_after: Timestamp,
    key: Secret,
    service_token: Secret,
}

/// What is in [`PENDING`].
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StoredPending {
    version: u32,
    central: String,
    token_id: EnrolmentTokenId,
    csr_pem: String,
    nonce: String,
    key: Secret,
}

/// An enrolment that was begun: repeated with the same request, it uses nothing.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) central: Url,
    pub(crate) token_id: EnrolmentTokenId,
    pub(crate) csr_pem: String,
    pub(crate) nonce: String,
    pub(crate) key: AgentKey,
}

impl IdentityStore {
    /// A store in a directory, which is made (for the owner alone) when something is kept.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The identity kept; `None` when this host is not enrolled.
    ///
    /// # Errors
    /// See [`IdentityError`]: whatever is wrong with it, it is not used.
    pub fn load(&self) -> Result<Option<Identity>, IdentityError> {
        let path = self.directory.join(IDENTITY);
        let Some(stored) = self.read::<StoredIdentity>(&path)? else { return Ok(None) };
        let unreadable =
            |reason: &str| IdentityError::Unreadable { path: path.clone(), reason: reason.to_owned() };
        if stored.version != VERSION {
            return Err(unreadable("it is of another version of this program"));
        }
        // Checked again: the file may have been edited, and the tokens in it go to this address.
        let central = address::parse(&stored.central).map_err(|error| unreadable(&error.to_string()))?;
        let key = AgentKey::from_text(stored.key.reveal())
            .ok_or_else(|| unreadable("its key is no Ed25519 key"))?;
        let identity = Identity {
            agent_id: stored.agent_id,
            tenant_id: stored.tenant_id,
            user_id: stored.user_id,
            central,
            certificate_pem: stored.certificate_pem,
            ca_chain_pem: stored.ca_chain_pem,
            heartbeat_seconds: stored.heartbeat_seconds,
            issued_at: stored.issued_at,
            not_after: stored.not_after,
            key,
            service_token: stored.service_token,
        };
        identity.check()?;
        Ok(Some(identity))
    }

    /// Keeps an identity, on disk when it returns; replaces an older one and forgets a begun enrolment. One that cannot be
    /// forgotten stays, which the log tells: it serves nobody without its token.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn save(&self, identity: &Identity) -> Result<(), IdentityError> {
        self.write(
            IDENTITY,
            &StoredIdentity {
                version: VERSION,
                agent_id: identity.agent_id.clone(),
                tenant_id: identity.tenant_id.clone(),
                user_id: identity.user_id.clone(),
                central: identity.central.to_string(),
                certificate_pem: identity.certificate_pem.clone(),
                ca_chain_pem: identity.ca_chain_pem.clone(),
                heartbeat_seconds: identity.heartbeat_seconds,
                issued_at: identity.issued_at,
                not_after: identity.not_after,
                key: identity.key.to_text(),
                service_token: identity.service_token.clone(),
            },
        )?;
        if let Err(error) = file::remove(&self.directory.join(PENDING)) {
            tracing::warn!(%error, "an enrolment that is complete could not be removed as a begun one");
        }
        Ok(())
    }

    /// Keeps the first identity, or nothing of it: what was begun stays then, to be gone on with.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub(crate) fn save_first(&self, identity: &Identity) -> Result<(), IdentityError> {
        let saved = self.save(identity);
        if saved.is_err()
            && let Err(error) = file::remove(&self.directory.join(IDENTITY))
        {
            tracing::error!(%error, "half an enrolment is left: unenrol and enrol again");
        }
        saved
    }

    /// Removes the identity and whatever was begun. Nothing to remove is no error.
    ///
    /// # Errors
    /// [`IdentityError::Io`].
    pub fn remove(&self) -> Result<(), IdentityError> {
        file::remove(&self.directory.join(PENDING))?;
        file::remove(&self.directory.join(IDENTITY))
    }

    /// The enrolment that was begun, if any. One that cannot be read counts as none: a new one takes its place.
    pub(crate) fn pending(&self) -> Option<Pending> {
        let stored = self.read::<StoredPending>(&self.directory.join(PENDING)).ok()??;
        let key = AgentKey::from_text(stored.key.reveal())?;
        (stored.version == VERSION).then_some(Pending {
            central: address::parse(&stored.central).ok()?,
            token_id: stored.token_id,
            csr_pem: stored.csr_pem,
            nonce: stored.nonce,
            key,
        })
    }

    /// Keeps a begun enrolment, on disk when it returns.
    pub(crate) fn save_pending(&self, pending: &Pending) -> Result<(), IdentityError> {
        self.write(
            PENDING,
            &StoredPending {
                version: VERSION,
                central: pending.central.to_string(),
                token_id: pending.token_id.clone(),
                csr_pem: pending.csr_pem.clone(),
                nonce: pending.nonce.clone(),
                key: pending.key.to_text(),
            },
        )
    }

    fn read<T: serde::de::DeserializeOwned>(&self, path: &Path) -> Result<Option<T>, IdentityError> {
        let Some(content) = file::read(path)? else { return Ok(None) };
        let parsed = serde_json::from_slice(&content);
        parsed.map(Some).map_err(|error| {
            // The parser's own words could quote a secret.
            let reason = format!("line {}, column {}", error.line(), error.column());
            IdentityError::Unreadable { path: path.to_owned(), reason }
        })
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), IdentityError> {
        let path = self.directory.join(name);
        let mut content = Zeroizing::new(Vec::with_capacity(ROOM));
        serde_json::to_writer_pretty(&mut *content, value)
            .map_err(|error| IdentityError::Unreadable { path: path.clone(), reason: error.to_string() })?;
        file::make_directory(&self.directory)?;
        file::write(&path, &content)
    }
}
