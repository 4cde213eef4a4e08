//! The CA's two files, `ca.key` and `ca.pem`. Replicas share the directory and may start together: each file is put in
//! place at once or not at all, and whoever comes second takes what the first put there.

use std::io::{ErrorKind, Write as _};
use std::path::Path;

use super::AuthorityError;

/// Largest file read.
const MAX_FILE: u64 = 64 << 10;

/// A file's text; `None` when it is not there.
pub(super) fn read(path: &Path) -> Result<Option<String>, AuthorityError> {
    let failed = |cause| AuthorityError::File { path: path.to_owned(), cause };
    let length = match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed)?.len(),
    };
    if length > MAX_FILE {
        return Err(AuthorityError::Unfit { path: path.to_owned(), reason: "it is far too long".to_owned() });
    }
    std::fs::read_to_string(path).map(Some).map_err(failed)
}

/// Refuses a secret that others can read.
pub(super) fn check_private(path: &Path) -> Result<(), AuthorityError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let meta = std::fs::metadata(path);
        let mode =
            meta.map_err(|cause| AuthorityError::File { path: path.to_owned(), cause })?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(AuthorityError::Open { path: path.to_owned(), mode: mode & 0o777 });
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Puts a file in place unless one is there; on disk when it returns.
pub(super) fn put(dir: &Path, name: &str, text: &str, private: bool) -> Result<(), AuthorityError> {
    let path = dir.join(name);
    let failed = |cause| AuthorityError::File { path: path.clone(), cause };
    let random = lanyard_governance_foundation::clock::random::<8>()
        .map_err(|fault| AuthorityError::Making(fault.to_string()))?;
    let draft = dir.join(format!(".{name}.{}", data_encoding::HEXLOWER.encode(&random)));
    let made = (|| {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(if private { 0o600 } else { 0o644 });
        }
        let mut file = options.open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // Unlike a rename, a link does not replace what another replica put there.
        match std::fs::hard_link(&draft, &path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    })();
    let _ = std::fs::remove_file(&draft);
    made.map_err(failed)?;
    // The name is on disk when its directory is; not every system can open one.
    if let Ok(folder) = std::fs::File::open(dir) {
        let _ = folder.sync_all();
    }
    Ok(())
}
