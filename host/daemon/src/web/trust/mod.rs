//! An authority that browsers can be told to trust, for this host's name and nothing else.
//!
//! A host makes its certificate itself, and browsers warn of that. Here it makes an authority instead, signs one
//! certificate with it, and destroys the authority's key: what is left is a certificate that whoever installed the
//! authority takes without a warning, and an authority that can never sign another one. Were its key stolen before,
//! the authority may still speak for `lanyard-<id>.local` alone, for no address, and for servers only. A new certificate
//! is a new authority.
//!
//! The name comes from the host's keys. When those change, the authority speaks for nobody and is forgotten.

mod issue;
mod kept;
mod pages;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lanyard_ports::source::Clock;
use lanyard_protocol::Timestamp;
use lanyard_protocol::id::HostId;
use lanyard_transport::keyfile::KeyFileError;
use rustls::pki_types::CertificateDer;
use tokio::sync::{Mutex, MutexGuard, watch};

use super::certificate::{CertificateError, CertificateStore, Trusted, fingerprint};
use super::downloads::Downloads;
use super::name;
use issue::Issued;
use kept::Kept;

/// The file in the state directory: the authority's certificate, the host's, and the host's key.
pub(in crate::web) const TRUST_FILE: &str = "web.trust";

/// Why nothing was changed.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum TrustError {
    /// The file cannot be read, written or removed.
    #[error("{0}")]
    File(Arc<KeyFileError>),
    /// The file holds something else.
    #[error(
        "{0} does not hold an authority: remove it, then run `lanyard trust enable` and tell every browser anew"
    )]
    Damaged(PathBuf),
    /// Nothing can be made, or it cannot be used.
    #[error("no authority can be made: {0}")]
    Issue(Arc<str>),
    /// The host's id gives no name.
    #[error("the host has no name of its own")]
    NoName,
}

impl From<KeyFileError> for TrustError {
    fn from(error: KeyFileError) -> Self {
        Self::File(Arc::new(error))
    }
}

impl From<CertificateError> for TrustError {
    fn from(error: CertificateError) -> Self {
        Self::Issue(error.to_string().into())
    }
}

/// The authority, for people and for pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authority {
    /// The one name it may speak for.
    pub(crate) name: String,
    /// SHA-256 of its certificate, as operating systems show it.
    pub(crate) fingerprint: String,
    /// The host's certificate is not valid after this.
    pub(crate) until: Timestamp,
}

/// What is known of the file.
#[derive(Debug, Default)]
struct Shelf {
    loaded: bool,
    authority: Option<Authority>,
}

/// See the module.
pub(crate) struct Trust {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    host_id: watch::Receiver<HostId>,
    certificates: CertificateStore,
    downloads: Downloads,
    /// One at a time reads, makes or removes.
    shelf: Mutex<Shelf>,
}

impl Trust {
    /// Over a file of a directory, which need not exist. Reads nothing.
    pub(in crate::web) fn new(
        directory: &Path,
        clock: Arc<dyn Clock>,
        host_id: watch::Receiver<HostId>,
        certificates: CertificateStore,
        downloads: Downloads,
    ) -> Self {
        let path = directory.join(TRUST_FILE);
        downloads.replace(pages::nothing());
        Self { path, clock, host_id, certificates, downloads, shelf: Mutex::default() }
    }

    /// The authority there is, in use from here on. One for a name that the host no longer has is removed.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub(crate) async fn authority(&self) -> Result<Option<Authority>, TrustError> {
        let mut shelf = self.shelf.lock().await;
        self.load(&mut shelf).await?;
        Ok(shelf.authority.clone())
    }

    /// Makes an authority and a certificate, where there is none or a new one is wanted. On disk and in use when it
    /// returns. Not cancel-safe in that the work is done all the same.
    ///
    /// # Errors
    /// See [`TrustError`]; what was in use stays so.
    pub(crate) async fn enable(&self, renew: bool) -> Result<Authority, TrustError> {
        let mut shelf = self.shelf.lock().await;
        match self.load(&mut shelf).await {
            // A damaged file is no reason not to make a new one where that is what is asked for.
            Err(TrustError::Damaged(_)) if renew => {}
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        let now = self.clock.now();
        if let Some(held) = shelf.authority.as_ref().filter(|held| !renew && held.until > now) {
            return Ok(held.clone());
        }
        let name = self.name()?;
        let path = self.path.clone();
        let made = blocking(move || {
            let kept = Kept::from(issue::issue(&name, now)?);
            kept.write(&path)?;
            Ok(kept)
        });
        let kept = made.await?;
        self.take(&mut shelf, kept)
    }

    /// Back to the host's own certificate. The file is gone when it returns.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub(crate) async fn disable(&self) -> Result<(), TrustError> {
        let mut shelf = self.shelf.lock().await;
        self.drop_it(&mut shelf).await
    }

    fn name(&self) -> Result<String, TrustError> {
        Some(name(&self.host_id)).filter(|name| !name.is_empty()).ok_or(TrustError::NoName)
    }

    async fn load(&self, shelf: &mut MutexGuard<'_, Shelf>) -> Result<(), TrustError> {
        if !shelf.loaded {
            let path = self.path.clone();
            let kept = blocking(move || Kept::read(&path)).await?;
            shelf.loaded = true;
            if let Some(kept) = kept {
                self.take(shelf, kept)?;
            }
        }
        let name = self.name()?;
        if shelf.authority.as_ref().is_some_and(|held| held.name != name) {
            tracing::warn!("the host has a new name: browsers have to be told anew whom to trust");
            self.drop_it(shelf).await?;
        }
        Ok(())
    }

    /// From now on it is served.
    fn take(&self, shelf: &mut MutexGuard<'_, Shelf>, kept: Kept) -> Result<Authority, TrustError> {
        let root = CertificateDer::from(kept.authority.clone());
        let authority =
            Authority { name: kept.name.clone(), fingerprint: fingerprint(&root), until: kept.until };
        let chain = vec![CertificateDer::from(kept.leaf.clone()), root.clone()];
        let Kept { name, until, .. } = &kept;
        let key = kept.key.clone();
        self.certificates.trust(Some(Trusted { name: name.clone(), chain, key, until: *until }))?;
        self.downloads.replace(pages::of(&authority, &root));
        shelf.loaded = true;
        shelf.authority = Some(authority.clone());
        Ok(authority)
    }

    async fn drop_it(&self, shelf: &mut MutexGuard<'_, Shelf>) -> Result<(), TrustError> {
        let path = self.path.clone();
        blocking(move || kept::remove(&path)).await?;
        self.certificates.trust(None)?;
        self.downloads.replace(pages::nothing());
        **shelf = Shelf { loaded: true, authority: None };
        Ok(())
    }
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust").field("path", &self.path).finish_non_exhaustive()
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TrustError> + Send + 'static,
) -> Result<T, TrustError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(TrustError::Issue(error.to_string().into())))
}

impl From<Issued> for Kept {
    fn from(issued: Issued) -> Self {
        let Issued { name, authority, leaf, key, until } = issued;
        Self { name, authority: authority.to_vec(), leaf: leaf.to_vec(), key, until }
    }
}

#[cfg(test)]
mod tests;
