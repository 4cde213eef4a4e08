//! This device's key: made when it first joins a host, kept for all of them.

use std::path::{Path, PathBuf};

use lanyard_pairing::IdentityKeys;
use lanyard_transport::keyfile;

use super::{HostsFile, KnownError};

/// Name of the device's key in the state directory.
const DEVICE_KEY: &str = "device.key";

fn read(path: PathBuf) -> Result<Option<IdentityKeys>, KnownError> {
    let Some(bytes) = keyfile::read(&path)? else { return Ok(None) };
    match <&[u8; 64]>::try_from(bytes.as_slice()) {
        Ok(bytes) => Ok(Some(IdentityKeys::from_bytes(bytes))),
        Err(_) => {
            let message = format!("a key file has 64 bytes, this one has {}", bytes.len());
            Err(KnownError::Damaged { path, message })
        }
    }
}

/// The device's key.
///
/// # Errors
/// [`KnownError::NoDeviceKey`] when there is none yet.
pub(crate) fn device_key(state_dir: &Path) -> Result<IdentityKeys, KnownError> {
    read(state_dir.join(DEVICE_KEY))?.ok_or(KnownError::NoDeviceKey)
}

/// The device's key, made where there is none. Two commands at once make one.
pub(crate) fn device_key_or_new(hosts: &HostsFile) -> Result<IdentityKeys, KnownError> {
    let path = hosts.state_dir().join(DEVICE_KEY);
    let _lock = hosts.lock()?;
    if let Some(keys) = read(path.clone())? {
        return Ok(keys);
    }
    let keys = IdentityKeys::generate(&mut rand_core::OsRng);
    keyfile::write(&path, keys.to_bytes().as_slice())?;
    Ok(keys)
}
