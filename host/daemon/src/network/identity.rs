//! Who the host is: its keys, and the records that lead from older ones to them, in one secret file.
//!
//! Made at the first start. Format: one byte of version, 64 bytes of keys, the lineage as postcard.

use std::path::{Path, PathBuf};

use lanyard_pairing::identity::{Fingerprint, Lineage, RotationRecord};
use lanyard_pairing::{IdentityKeys, PublicIdentity};
use lanyard_protocol::Timestamp;
use lanyard_protocol::id::HostId;
use lanyard_transport::keyfile::{self, KeyFileError};
use rand_core::OsRng;
use zeroize::Zeroizing;

/// Name of the file in the state directory.
pub(crate) const KEY_FILE: &str = "host.key";

/// Version of the format.
const VERSION: u8 = 1;

/// Bytes of the keys.
const KEYS: usize = 64;

/// Why the host has no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The file is not one of ours, or is cut.
    #[error(
        "{0} does not hold the keys of a host: restore it from a backup; or remove it, start again, and pair every device again"
    )]
    Damaged(PathBuf),
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct HostIdentity {
    path: PathBuf,
    keys: IdentityKeys,
    lineage: Lineage,
}

impl HostIdentity {
    /// Reads the keys, or makes and writes new ones where there are none. Blocks.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub(crate) fn open(path: &Path) -> Result<Self, IdentityError> {
        let Some(content) = keyfile::read(path)? else {
            let keys = IdentityKeys::generate(&mut OsRng);
            let identity = Self { path: path.to_owned(), keys, lineage: Lineage::default() };
            identity.write()?;
            return Ok(identity);
        };
        Self::parse(path, &content).ok_or_else(|| IdentityError::Damaged(path.to_owned()))
    }

    fn parse(path: &Path, content: &[u8]) -> Option<Self> {
        let (version, rest) = content.split_first()?;
        let (keys, lineage) = rest.split_first_chunk::<KEYS>()?;
        if *version != VERSION {
            return None;
        }
        let lineage = match postcard::take_from_bytes(lineage) {
            Ok((lineage, [])) => lineage,
            Ok(_) | Err(_) => return None,
        };
        Some(Self { path: path.to_owned(), keys: IdentityKeys::from_bytes(keys), lineage })
    }

    fn write(&self) -> Result<(), IdentityError> {
        // Plain structs of bounded size: postcard cannot fail on them.
        let lineage = postcard::to_allocvec(&self.lineage).unwrap_or_default();
        // Sized at once: growing would leave a copy of the keys behind.
        let mut content = Zeroizing::new(Vec::with_capacity(1 + KEYS + lineage.len()));
        content.push(VERSION);
        content.extend_from_slice(&*self.keys.to_bytes());
        content.extend_from_slice(&lineage);
        Ok(keyfile::write(&self.path, &content)?)
    }

    /// New keys. They are on disk, with the record that leads to them, when this returns. Where the old ones may be in
    /// other hands, nothing leads to the new ones: whoever holds the old key could sign such records too. Blocks.
    ///
    /// # Errors
    /// See [`IdentityError`]; the old keys stay in force.
    pub(crate) fn rotate(&self, compromised: bool, at: Timestamp) -> Result<Self, IdentityError> {
        let keys = IdentityKeys::generate(&mut OsRng);
        let mut lineage = Lineage::default();
        if !compromised {
            lineage = self.lineage.clone();
            lineage.push(RotationRecord::sign(&self.keys, &keys, at));
        }
        let next = Self { path: self.path.clone(), keys, lineage };
        next.write()?;
        Ok(next)
    }

    /// The keys.
    pub(crate) fn keys(&self) -> &IdentityKeys {
        &self.keys
    }

    /// What devices that know an older key are told.
    pub(crate) fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// The public half.
    pub(crate) fn public(&self) -> PublicIdentity {
        self.keys.public()
    }

    /// The hash devices know the host by.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.public().fingerprint()
    }

    /// The hash as an id.
    pub(crate) fn host_id(&self) -> Result<HostId, lanyard_protocol::id::IdError> {
        HostId::new(self.fingerprint().to_string())
    }
}

#[cfg(test)]
mod tests {
    use lanyard_pairing::identity::Lineage;
    use lanyard_protocol::Timestamp;

    use super::{HostIdentity, IdentityError};

    #[test]
    fn made_once_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host.key");
        let made = HostIdentity::open(&path).unwrap();
        let read = HostIdentity::open(&path).unwrap();
        assert_eq!(made.public(), read.public());
        assert_eq!(read.lineage(), &Lineage::default());
        assert_eq!(made.host_id().unwrap().as_str(), made.fingerprint().to_string());
    }

    #[test]
    fn new_keys_are_on_disk_with_the_record_that_leads_to_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host.key");
        let first = HostIdentity::open(&path).unwrap();
        let second = first.rotate(false, Timestamp::from_millis(1)).unwrap();
        let third = second.rotate(false, Timestamp::from_millis(2)).unwrap();
        let read = HostIdentity::open(&path).unwrap();
        assert_eq!(read.public(), third.public());
        assert_ne!(first.public(), third.public());
        let signing = third.public().signing;
        assert_eq!(read.lineage().follow(&first.public(), &signing), Ok(third.public()));
    }

    #[test]
    fn nothing_leads_from_stolen_keys_to_new_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host.key");
        let first = HostIdentity::open(&path).unwrap();
        let second = first.rotate(false, Timestamp::from_millis(1)).unwrap();
        second.rotate(true, Timestamp::from_millis(2)).unwrap();
        let read = HostIdentity::open(&path).unwrap();
        assert_eq!(read.lineage(), &Lineage::default());
        let signing = read.public().signing;
        read.lineage().follow(&first.public(), &signing).unwrap_err();
        read.lineage().follow(&second.public(), &signing).unwrap_err();
    }

    #[test]
    fn a_cut_or_foreign_file_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host.key");
        HostIdentity::open(&path).unwrap().rotate(false, Timestamp::from_millis(1)).unwrap();
        let whole = lanyard_transport::keyfile::read(&path).unwrap().unwrap();
        let mut longer = whole.to_vec();
        longer.push(0);
        let mut newer = whole.to_vec();
        newer[0] = 2;
        for bad in [&whole[..0], &whole[..64], &whole[..whole.len() - 1], &longer, &newer] {
            lanyard_transport::keyfile::write(&path, bad).unwrap();
            assert!(matches!(HostIdentity::open(&path), Err(IdentityError::Damaged(_))), "{}", bad.len());
            assert_eq!(lanyard_transport::keyfile::read(&path).unwrap().unwrap().as_slice(), bad);
        }
    }
}
