//! The file that keeps an authority's certificate, the host's, and the host's key: a byte of version and postcard, mode
//! 0600. The authority's key is in no file.

use std::path::Path;

use lanyard_protocol::Timestamp;
use lanyard_transport::keyfile;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::TrustError;

/// Version of the format.
const VERSION: u8 = 1;

/// What is in the file; certificates and key as DER.
pub(super) struct Kept {
    pub(super) name: String,
    pub(super) authority: Vec<u8>,
    pub(super) leaf: Vec<u8>,
    /// Of the leaf: PKCS #8.
    pub(super) key: Zeroizing<Vec<u8>>,
    pub(super) until: Timestamp,
}

/// As it is written: borrowed, so that no other copy of the key is made.
#[derive(Serialize, Deserialize)]
struct Written<'a> {
    name: &'a str,
    authority: &'a [u8],
    leaf: &'a [u8],
    key: &'a [u8],
    until: i64,
}

impl Kept {
    /// Blocks.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, TrustError> {
        let Some(content) = keyfile::read(path)? else { return Ok(None) };
        let damaged = || TrustError::Damaged(path.to_owned());
        let (&VERSION, rest) = content.split_first().ok_or_else(damaged)? else { return Err(damaged()) };
        let Ok((written, [])) = postcard::take_from_bytes::<Written<'_>>(rest) else { return Err(damaged()) };
        Ok(Some(Self {
            name: written.name.to_owned(),
            authority: written.authority.to_vec(),
            leaf: written.leaf.to_vec(),
            key: Zeroizing::new(written.key.to_vec()),
            until: Timestamp::from_millis(written.until),
        }))
    }

    /// Blocks.
    pub(super) fn write(&self, path: &Path) -> Result<(), TrustError> {
        let written = Written {
            name: &self.name,
            authority: &self.authority,
            leaf: &self.leaf,
            key: &self.key,
            until: self.until.as_millis(),
        };
        // Sized at once: growing would leave a copy of the key behind.
        let size = self.name.len() + self.authority.len() + self.leaf.len() + self.key.len() + 64;
        let mut content = Zeroizing::new(Vec::with_capacity(size));
        content.push(VERSION);
        let content = postcard::to_extend(&written, std::mem::take(&mut *content))
            .map(Zeroizing::new)
            .map_err(|error| TrustError::Issue(error.to_string().into()))?;
        Ok(keyfile::write(path, &content)?)
    }
}

/// Removes the file; that there is none is as good. Blocks.
pub(super) fn remove(path: &Path) -> Result<(), TrustError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(keyfile::KeyFileError::Io { path: path.to_owned(), source }.into())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
