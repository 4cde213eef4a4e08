//! Keeps key and certificates: in two files of the state directory, and ready for use in memory.
//!
//! Nothing is read or made before somebody asks. The file with the certificates holds no secret; it is written like one
//! because that is whole or not at all.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lanyard_ports::source::Clock;
use lanyard_protocol::Timestamp;
use lanyard_transport::keyfile::{self, KeyFileError};
use rustls::pki_types::CertificateDer;
use rustls::server::ServerConfig;
use rustls::sign::SigningKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::Subject;
use super::issue::{self, IssueError};

/// The key's file in the state directory: PKCS #8, DER.
pub(in crate::web) const KEY_FILE: &str = "web.key";

/// The certificates' file beside it: a byte of version and [`Kept`] as postcard.
pub(in crate::web) const CERTIFICATES_FILE: &str = "web.certificates";

/// Version of the certificates' file.
const VERSION: u8 = 1;

/// Certificates kept, the one least recently used going first. A laptop sees several networks, and each again.
const MAX_KEPT: usize = 32;

/// How long before its end a certificate is replaced: the browser's warning then comes on a day like any other, and not
/// as "expired", which many do not let their users past.
const RENEW_BEFORE: u64 = 7 * 24 * 60 * 60 * 1000;

/// Why there is no certificate.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum CertificateError {
    /// A file cannot be read or written.
    #[error("{0}")]
    File(Arc<KeyFileError>),
    /// The key's file holds something else.
    #[error(
        "{0} does not hold a key ({1}): restore it from a backup; or remove it, start the host again, and expect every browser to warn once more"
    )]
    Damaged(PathBuf, Arc<str>),
    /// Nothing can be made.
    #[error("no certificate can be made: {0}")]
    Issue(Arc<str>),
}

impl From<KeyFileError> for CertificateError {
    fn from(error: KeyFileError) -> Self {
        Self::File(Arc::new(error))
    }
}

impl From<IssueError> for CertificateError {
    fn from(error: IssueError) -> Self {
        Self::Issue(error.to_string().into())
    }
}

/// A certificate as it is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// SHA-256 of the public part of the key it belongs to.
    key: [u8; 32],
    subject: Subject,
    /// Its last instant.
    until: Timestamp,
    der: Vec<u8>,
}

/// A certificate in use.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    /// Whom it speaks for.
    pub(crate) subject: Subject,
    /// Its last instant.
    pub(crate) until: Timestamp,
    /// Its SHA-256, as browsers show it.
    pub(crate) fingerprint: String,
    /// Browsers that were prepared for it take it without a warning.
    pub(crate) trusted: bool,
    pub(in crate::web) tls: Arc<ServerConfig>,
}

/// A certificate for the host's name that browsers take without a warning, and its key.
pub(crate) struct Trusted {
    /// The name, as SNI has it.
    pub(crate) name: String,
    /// The leaf first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// PKCS #8, DER.
    pub(crate) key: Zeroizing<Vec<u8>>,
    /// The leaf's last instant.
    pub(crate) until: Timestamp,
}

impl std::fmt::Debug for Trusted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trusted")
            .field("name", &self.name)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct CertificateStore(Arc<Inner>);

struct Inner {
    key_path: PathBuf,
    certificates_path: PathBuf,
    clock: Arc<dyn Clock>,
    table: Mutex<Table>,
    /// Whoever makes certificates does so alone; those who find one ready do not wait.
    making: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Table {
    key: Option<Key>,
    /// Least recently used first.
    kept: Vec<(Kept, Certificate)>,
    trusted: Option<Certificate>,
    /// Why the last attempt to make something failed.
    failure: Option<CertificateError>,
}

/// The key, in both forms it is needed in.
#[derive(Clone)]
struct Key {
    pkcs8: Arc<Zeroizing<Vec<u8>>>,
    signing: Arc<dyn SigningKey>,
    public: [u8; 32],
}

impl CertificateStore {
    /// Over two files of a directory, which need not exist. Reads nothing.
    pub(crate) fn new(directory: &Path, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            key_path: directory.join(KEY_FILE),
            certificates_path: directory.join(CERTIFICATES_FILE),
            clock,
            table: Mutex::default(),
            making: tokio::sync::Mutex::default(),
        }))
    }

    /// The certificate for a connection: by the name a browser asks for (SNI), else by the address it came to. Browsers
    /// name nothing when their user typed an address (RFC 6066 §3). `name` is the host's own.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub(in crate::web) async fn choose(
        &self,
        asked: Option<&str>,
        name: &str,
        local: std::net::IpAddr,
    ) -> Result<Certificate, CertificateError> {
        let Some(asked) = asked else { return self.certificate(&Subject::of(local)).await };
        if let Some(trusted) =
            self.trusted().filter(|trusted| trusted.subject == Subject::Name(asked.to_owned()))
        {
            return Ok(trusted);
        }
        // Somebody who asks for another name is told who is here, and no more.
        self.certificate(&Subject::Name(name.to_owned())).await
    }

    /// The certificate of a subject; made where there is none, or where it is about to end.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub(crate) async fn certificate(&self, subject: &Subject) -> Result<Certificate, CertificateError> {
        if let Some(ready) = self.ready(subject) {
            return Ok(ready);
        }
        self.prepare(vec![subject.clone()]).await?;
        self.ready(subject).ok_or_else(|| CertificateError::Issue("it was not kept".into()))
    }

    /// Makes what is missing, all in one go. Not cancel-safe in that the work is done all the same.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub(crate) async fn prepare(&self, subjects: Vec<Subject>) -> Result<(), CertificateError> {
        let _alone = self.0.making.lock().await;
        let inner = self.0.clone();
        let made = tokio::task::spawn_blocking(move || inner.make(&subjects)).await;
        let made = made.map_err(|error| CertificateError::Issue(error.to_string().into())).flatten();
        let before = std::mem::replace(&mut self.0.table().failure, made.clone().err());
        // Every connection tries again; what has not changed is said once.
        if let Err(error) = &made
            && before.is_none_or(|before| before.to_string() != error.to_string())
        {
            tracing::error!(%error, "the page has no certificate for somebody");
        }
        made
    }

    /// Why the last attempt to make something failed; `None` after one that did not.
    pub(crate) fn failure(&self) -> Option<CertificateError> {
        self.0.table().failure.clone()
    }

    /// What is in use for a subject, without making anything.
    pub(crate) fn known(&self, subject: &Subject) -> Option<Certificate> {
        let table = self.0.table();
        let trusted = table.trusted.iter().find(|trusted| trusted.subject == *subject);
        trusted.or(table.kept.iter().map(|(_, c)| c).find(|c| c.subject == *subject)).cloned()
    }

    /// From now on browsers that ask for its name get this certificate; `None`: the host's own again. Connections that
    /// are open keep what they have.
    ///
    /// # Errors
    /// The key is none for TLS; nothing has changed.
    pub(crate) fn trust(&self, trusted: Option<Trusted>) -> Result<(), CertificateError> {
        let trusted = trusted.map(|trusted| {
            let key = issue::signing_key(&trusted.key)?;
            let fingerprint = trusted.chain.first().map(fingerprint).unwrap_or_default();
            let tls = issue::server_config(trusted.chain, key)?;
            let subject = Subject::Name(trusted.name);
            Ok::<_, IssueError>(Certificate {
                subject,
                until: trusted.until,
                fingerprint,
                trusted: true,
                tls,
            })
        });
        self.0.table().trusted = trusted.transpose()?;
        Ok(())
    }

    /// The one set by [`CertificateStore::trust`], unless it has ended: then the host's own is better than none.
    fn trusted(&self) -> Option<Certificate> {
        let now = self.0.clock.now();
        self.0.table().trusted.clone().filter(|trusted| trusted.until > now)
    }

    fn ready(&self, subject: &Subject) -> Option<Certificate> {
        let now = self.0.clock.now();
        let mut table = self.0.table();
        let at = table.kept.iter().position(|(kept, _)| kept.subject == *subject && lasts(kept, now))?;
        let used = table.kept.remove(at);
        let certificate = used.1.clone();
        table.kept.push(used);
        Some(certificate)
    }
}

impl std::fmt::Debug for CertificateStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateStore").field("key", &self.0.key_path).finish_non_exhaustive()
    }
}

fn lasts(kept: &Kept, now: Timestamp) -> bool {
    kept.until.millis_since(now) > RENEW_BEFORE
}

impl Inner {
    fn table(&self) -> MutexGuard<'_, Table> {
        // Held for a few instructions that leave it whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks for a few file operations, the first time.
    fn make(&self, subjects: &[Subject]) -> Result<(), CertificateError> {
        let (known, kept) = {
            let table = self.table();
            (table.key.clone(), table.kept.clone())
        };
        let (key, mut kept) = match known {
            Some(key) => (key, kept),
            None => {
                let key = self.key()?;
                let kept = self.read(&key)?;
                (key, kept)
            }
        };
        let now = self.clock.now();
        let mut made = false;
        for subject in subjects {
            let at = kept.iter().position(|(kept, _)| kept.subject == *subject);
            let old = at.map(|at| kept.remove(at)).filter(|(kept, _)| lasts(kept, now));
            made |= old.is_none();
            let next = match old {
                Some(old) => old,
                None => {
                    let (der, until) = issue::certificate(&key.pkcs8, subject, now)?;
                    let new = Kept { key: key.public, subject: subject.clone(), until, der: der.to_vec() };
                    let certificate = certificate(&new, &key)?;
                    (new, certificate)
                }
            };
            kept.push(next);
        }
        let surplus = kept.len().saturating_sub(MAX_KEPT);
        kept.drain(..surplus);
        if made {
            self.write(&kept)?;
        }
        let mut table = self.table();
        table.key = Some(key);
        table.kept = kept;
        Ok(())
    }

    fn key(&self) -> Result<Key, CertificateError> {
        let pkcs8 = match keyfile::read(&self.key_path)? {
            Some(pkcs8) => pkcs8,
            None => {
                let pkcs8 = issue::new_key()?;
                keyfile::write(&self.key_path, &pkcs8)?;
                pkcs8
            }
        };
        let damaged = |why: String| CertificateError::Damaged(self.key_path.clone(), why.into());
        let signing = issue::signing_key(&pkcs8).map_err(|error| damaged(error.to_string()))?;
        let public = signing.public_key().ok_or_else(|| damaged("it has no public part".to_owned()))?;
        let public = Sha256::digest(&public).into();
        Ok(Key { pkcs8: Arc::new(pkcs8), signing, public })
    }

    /// What is on disk and belongs to the key. A file that cannot be understood is worth a warning by every browser, and
    /// no more: new certificates take its place.
    fn read(&self, key: &Key) -> Result<Vec<(Kept, Certificate)>, CertificateError> {
        let Some(content) = keyfile::read(&self.certificates_path)? else { return Ok(Vec::new()) };
        let parsed = match content.split_first() {
            Some((&VERSION, rest)) => postcard::from_bytes::<Vec<Kept>>(rest).ok(),
            _ => None,
        };
        let Some(parsed) = parsed else {
            let path = self.certificates_path.display();
            tracing::warn!(%path, "the page's certificates cannot be read and are made anew: browsers will warn again");
            return Ok(Vec::new());
        };
        let own = parsed.into_iter().filter(|kept| kept.key == key.public);
        own.map(|kept| Ok((kept.clone(), certificate(&kept, key)?))).collect()
    }

    fn write(&self, kept: &[(Kept, Certificate)]) -> Result<(), CertificateError> {
        let kept: Vec<&Kept> = kept.iter().map(|(kept, _)| kept).collect();
        let kept = postcard::to_allocvec(&kept).map_err(|e| CertificateError::Issue(e.to_string().into()))?;
        let content = [&[VERSION], kept.as_slice()].concat();
        Ok(keyfile::write(&self.certificates_path, &content)?)
    }
}

fn certificate(kept: &Kept, key: &Key) -> Result<Certificate, CertificateError> {
    let der = CertificateDer::from(kept.der.clone());
    let fingerprint = fingerprint(&der);
    let tls = issue::server_config(vec![der], key.signing.clone())?;
    Ok(Certificate { subject: kept.subject.clone(), until: kept.until, fingerprint, trusted: false, tls })
}

/// SHA-256 as browsers show it: `AB:CD:…`.
pub(in crate::web) fn fingerprint(der: &CertificateDer<'_>) -> String {
    let bytes: Vec<String> = Sha256::digest(der).iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.join(":")
}
