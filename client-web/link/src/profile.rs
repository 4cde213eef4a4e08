//! What a page keeps of its pairing: the host's keys, its own, and what it was granted.

use std::cell::RefCell;
use std::rc::Rc;

use lanyard_pairing::device::PendingJoin;
use lanyard_pairing::{IdentityKeys, PublicIdentity};
use lanyard_protocol::codec::{from_postcard, to_postcard};
use lanyard_protocol::device::KeyStorage;
use lanyard_protocol::principal::Scope;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::browser;
use crate::storage::Storage;

/// A pairing, as this origin holds it. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The host's keys, as the pairing proved them.
    pub host: PublicIdentity,
    /// What the host calls itself.
    pub host_name: String,
    /// This device's keys.
    pub keys: IdentityKeys,
    /// What the host calls this device.
    pub device_name: String,
    /// Rights granted at the pairing; `Identify` tells those held now.
    pub scopes: Vec<Scope>,
    /// How the keys are kept.
    pub storage: KeyStorage,
}

/// Why the browser's storage was of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// The browser refuses (private window, full disk, storage switched off).
    #[error(
        "this browser keeps nothing for this page ({0}): allow it to store data, or use a window that is not private"
    )]
    Refused(String),
    /// What is stored cannot be read.
    #[error("what this browser has stored of the pairing cannot be read ({0}): pair again")]
    Damaged(String),
}

/// A pairing that waits for a person's answer.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) keys: IdentityKeys,
    pub(crate) join: PendingJoin,
}

/// The browser's storage for this origin. A page of `http://localhost` keeps its keys in memory only.
///
/// Two tabs share the pairing, and have a connection each.
#[derive(Debug, Clone)]
pub struct Profiles(Rc<Place>);

#[derive(Debug)]
enum Place {
    Browser(Storage),
    Memory(Box<Memory>),
}

/// What is gone with the tab.
#[derive(Debug, Default)]
struct Memory {
    profile: RefCell<Option<Profile>>,
    pending: RefCell<Option<Pending>>,
}

/// Names of the records.
const PROFILE: &str = "profile";
const PENDING: &str = "pending";

impl Profiles {
    /// Opens it.
    ///
    /// # Errors
    /// See [`ProfileError`].
    pub async fn open() -> Result<Self, ProfileError> {
        let place = match browser::is_https() {
            true => Place::Browser(Storage::open().await?),
            false => Place::Memory(Box::default()),
        };
        Ok(Self(Rc::new(place)))
    }

    /// The pairing, if there is one.
    ///
    /// # Errors
    /// See [`ProfileError`].
    pub async fn load(&self) -> Result<Option<Profile>, ProfileError> {
        match &*self.0 {
            Place::Memory(kept) => Ok(kept.profile.borrow().clone()),
            Place::Browser(storage) => {
                let Some(bytes) = storage.read(PROFILE).await?.map(Zeroizing::new) else { return Ok(None) };
                let stored: StoredProfile = decoded(&bytes)?;
                stored.into_profile(self.storage()).map(Some)
            }
        }
    }

    /// Keeps a pairing in place of any other.
    ///
    /// # Errors
    /// See [`ProfileError`].
    pub async fn store(&self, profile: &Profile) -> Result<(), ProfileError> {
        match &*self.0 {
            Place::Memory(kept) => *kept.profile.borrow_mut() = Some(profile.clone()),
            Place::Browser(storage) => {
                storage.write(PROFILE, &encoded(&StoredProfile::of(profile))?).await?;
            }
        }
        Ok(())
    }

    /// Forgets it, and a pairing that waits.
    ///
    /// # Errors
    /// See [`ProfileError`].
    pub async fn forget(&self) -> Result<(), ProfileError> {
        match &*self.0 {
            Place::Memory(kept) => {
                *kept.profile.borrow_mut() = None;
                *kept.pending.borrow_mut() = None;
            }
            Place::Browser(storage) => {
                storage.forget(PROFILE).await?;
                storage.forget(PENDING).await?;
            }
        }
        Ok(())
    }

    /// How keys are kept here.
    pub fn storage(&self) -> KeyStorage {
        match &*self.0 {
            Place::Memory(_) => KeyStorage::Memory,
            Place::Browser(storage) if storage.seals() => KeyStorage::Wrapped,
            Place::Browser(_) => KeyStorage::Plain,
        }
    }

    /// The pairing that waits for an answer, if there is one.
    pub(crate) async fn pending(&self) -> Result<Option<Pending>, ProfileError> {
        match &*self.0 {
            Place::Memory(kept) => Ok(kept.pending.borrow().clone()),
            Place::Browser(storage) => {
                let Some(bytes) = storage.read(PENDING).await?.map(Zeroizing::new) else { return Ok(None) };
                let stored: StoredPending = decoded(&bytes)?;
                Ok(Some(Pending { keys: keys(&stored.keys)?, join: stored.join }))
            }
        }
    }

    /// Keeps a pairing that waits, in place of any other; `None` forgets it.
    pub(crate) async fn set_pending(&self, pending: Option<&Pending>) -> Result<(), ProfileError> {
        match (&*self.0, pending) {
            (Place::Memory(kept), pending) => *kept.pending.borrow_mut() = pending.cloned(),
            (Place::Browser(storage), None) => storage.forget(PENDING).await?,
            (Place::Browser(storage), Some(pending)) => {
                let keys = pending.keys.to_bytes().to_vec();
                let stored = StoredPending { keys: Zeroizing::new(keys), join: pending.join.clone() };
                storage.write(PENDING, &encoded(&stored)?).await?;
            }
        }
        Ok(())
    }
}

/// As it is written.
#[derive(Serialize, Deserialize)]
struct StoredProfile {
    host: PublicIdentity,
    host_name: String,
    keys: Zeroizing<Vec<u8>>,
    device_name: String,
    scopes: Vec<Scope>,
}

#[derive(Serialize, Deserialize)]
struct StoredPending {
    keys: Zeroizing<Vec<u8>>,
    join: PendingJoin,
}

impl StoredProfile {
    fn of(profile: &Profile) -> Self {
        Self {
            host: profile.host,
            host_name: profile.host_name.clone(),
            keys: Zeroizing::new(profile.keys.to_bytes().to_vec()),
            device_name: profile.device_name.clone(),
            scopes: profile.scopes.clone(),
        }
    }

    fn into_profile(self, storage: KeyStorage) -> Result<Profile, ProfileError> {
        Ok(Profile {
            host: self.host,
            host_name: self.host_name,
            keys: keys(&self.keys)?,
            device_name: self.device_name,
            scopes: self.scopes,
            storage,
        })
    }
}

fn keys(bytes: &[u8]) -> Result<IdentityKeys, ProfileError> {
    let bytes =
        Zeroizing::new(bytes.try_into().map_err(|_| ProfileError::Damaged("its keys are cut".to_owned()))?);
    Ok(IdentityKeys::from_bytes(&bytes))
}

fn encoded(record: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, ProfileError> {
    // Fails for what no plain struct has.
    to_postcard(record).map(Zeroizing::new).map_err(|error| ProfileError::Refused(error.to_string()))
}

fn decoded<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ProfileError> {
    from_postcard(bytes).map_err(|error| ProfileError::Damaged(error.to_string()))
}
