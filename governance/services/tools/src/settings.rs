//! Settings of the Backend Tool Service.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER_PERMISSIVE;
use lanyard_governance_foundation::clock::random;
use tokio_util::task::TaskTracker;

use crate::address::PublicOnly;
use crate::seal::{KEY_BYTES, SealingKey};

/// Longest wait for a connection to a tool.
const CONNECT: Duration = Duration::from_secs(10);

/// What tools may be at. Nothing but the public internet, over TLS, unless the installation says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reach {
    /// Addresses that are not public: private networks, link-local, this machine. Whoever may define tools can then send
    /// requests to what this server reaches.
    pub private: bool,
    /// Plain HTTP to this machine (`localhost`, `127.0.0.1`, `[::1]`): a tool that runs beside the service.
    pub loopback_http: bool,
}

/// Settings. Cheap to clone; the clones share the runs under way.
#[derive(Debug, Clone)]
pub struct Settings {
    pub(crate) key: SealingKey,
    pub(crate) reach: Reach,
    pub(crate) client: reqwest::Client,
    pub(crate) runs: TaskTracker,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenSettingsError {
    /// The key file.
    #[error("the key file for tools' authorizations {} cannot be used: {cause}", file.display())]
    KeyFile {
        /// Which.
        file: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The key file holds something else.
    #[error("the key file for tools' authorizations {} does not hold {} hex digits", file.display(), KEY_BYTES * 2)]
    NoKey {
        /// Which.
        file: PathBuf,
    },
    /// The HTTP client.
    #[error("the HTTP client for tools cannot be made: {0}")]
    Client(#[from] reqwest::Error),
    /// The system gives no random bytes.
    #[error("a key for tools' authorizations cannot be made: {0}")]
    Random(#[from] lanyard_governance_foundation::Fault),
}

impl Settings {
    /// Reads the key that tools' authorizations are encrypted with, and makes the file (mode 0600) if it is not there.
    /// Replicas need the same file. Losing it loses the authorizations, which then must be set again.
    ///
    /// A TLS provider must be installed in the process.
    pub fn open(key_file: &Path, reach: Reach) -> Result<Self, OpenSettingsError> {
        let client = reqwest::Client::builder()
            .dns_resolver(Arc::new(PublicOnly(reach)))
            .redirect(reqwest::redirect::Policy::none())
            // A proxy of the environment would resolve names itself.
            .no_proxy()
            .connect_timeout(CONNECT)
            .build()?;
        Ok(Self { key: key(key_file)?, reach, client, runs: TaskTracker::new() })
    }
}

fn key(file: &Path) -> Result<SealingKey, OpenSettingsError> {
    let failed = |cause| OpenSettingsError::KeyFile { file: file.to_owned(), cause };
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = HEXLOWER_PERMISSIVE.encode(&random::<KEY_BYTES>()?) + "\n";
            match write_new(file, &text) {
                Ok(()) => text,
                // Another replica was first.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    std::fs::read_to_string(file).map_err(failed)?
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Err(error) => return Err(failed(error)),
    };
    let bytes = HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok();
    let bytes: Option<[u8; KEY_BYTES]> = bytes.and_then(|bytes| bytes.try_into().ok());
    match bytes {
        Some(bytes) => Ok(SealingKey::new(&bytes)),
        None => Err(OpenSettingsError::NoKey { file: file.to_owned() }),
    }
}

/// Writes a file that must not be there yet; whoever reads it finds all of it. The draft has a name of its own: in
/// containers every process has the same number.
fn write_new(file: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut name = file.file_name().unwrap_or_default().to_owned();
    let draft = random::<8>().map_err(std::io::Error::other)?;
    name.push(format!(".{}", HEXLOWER_PERMISSIVE.encode(&draft)));
    let whole = file.with_file_name(name);
    let mut handle = options.open(&whole)?;
    let written = handle.write_all(text.as_bytes()).and_then(|()| handle.sync_all());
    // A link, unlike a rename, does not replace what is there.
    let linked = written.and_then(|()| std::fs::hard_link(&whole, file));
    std::fs::remove_file(&whole)?;
    linked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_file_is_made_once_read_again_and_never_replaced() {
        crate::tests::tls();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tools.key");
        // What another process of the same number, in another container, has begun or left.
        let draft = dir.path().join(format!("tools.key.{}", std::process::id()));
        std::fs::write(&draft, "half").unwrap();
        Settings::open(&file, Reach::default()).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text.trim().len(), 64);
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&file).unwrap());
            assert_eq!(mode & 0o777, 0o600);
        }
        Settings::open(&file, Reach::default()).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        std::fs::remove_file(draft).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(write_new(&file, "other").is_err());
        std::fs::write(&file, "short").unwrap();
        let refused = Settings::open(&file, Reach::default()).unwrap_err();
        assert!(matches!(refused, OpenSettingsError::NoKey { .. }), "{refused}");
        let nowhere = dir.path().join("no/such/folder/key");
        assert!(matches!(Settings::open(&nowhere, Reach::default()), Err(OpenSettingsError::KeyFile { .. })));
    }
}
