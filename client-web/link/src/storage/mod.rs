//! What a browser keeps for an origin: a few records in IndexedDB, sealed where it can.
//!
//! The key of the seal is one that the browser does not hand out: whoever copies the database has nothing, whoever runs
//! code in the page can use it as the page does. Without `crypto.subtle` records lie there as they are, and the host's
//! list of devices says so.

mod database;
mod seal;

use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::CryptoKey;

pub(crate) use database::Database;
use seal::Seal;

use crate::browser::words;
use crate::profile::ProfileError;

/// Where the sealing key lies.
const KEY: &str = "key";

/// Version of a record's shape.
const VERSION: u8 = 1;

/// An origin's records.
#[derive(Debug)]
pub(crate) struct Storage {
    database: Database,
    /// None where the browser has no such thing.
    seal: Option<Seal>,
}

impl Storage {
    /// Opens it; makes the sealing key where there is none yet.
    ///
    /// # Errors
    /// The browser refuses.
    pub(crate) async fn open() -> Result<Self, ProfileError> {
        let database = Database::open().await?;
        let seal = match Seal::subtle() {
            None => None,
            Some(subtle) => {
                let key = match key(&database).await? {
                    Some(key) => key,
                    None => {
                        // Another tab may be doing the same, and then this fails; the first one's counts.
                        let added = database.add(KEY, &seal::fresh(&subtle).await?).await;
                        match key(&database).await? {
                            Some(key) => key,
                            None => return Err(added.err().unwrap_or_else(|| damaged("its key is gone"))),
                        }
                    }
                };
                Some(Seal::new(subtle, key))
            }
        };
        Ok(Self { database, seal })
    }

    /// Whether records are sealed.
    pub(crate) fn seals(&self) -> bool {
        self.seal.is_some()
    }

    /// Reads a record.
    ///
    /// # Errors
    /// The browser refuses, or what is there is not what was written.
    pub(crate) async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, ProfileError> {
        let record = self.database.get(name).await?;
        if record.is_undefined() {
            return Ok(None);
        }
        if field(&record, "version")?.as_f64() != Some(f64::from(VERSION)) {
            return Err(damaged("it is of another version"));
        }
        let bytes = bytes_of(&record, "bytes")?;
        match (&self.seal, field(&record, "nonce")?.is_undefined()) {
            (Some(seal), false) => seal.open(name, &bytes, &bytes_of(&record, "nonce")?).await.map(Some),
            (None, true) => Ok(Some(bytes)),
            // Written when the browser could, or could not, do what it cannot, or can, do now.
            (Some(_), true) | (None, false) => Err(damaged("it was kept in another way")),
        }
    }

    /// Writes a record; it is on disk, as far as a browser promises, when this returns.
    ///
    /// # Errors
    /// The browser refuses.
    pub(crate) async fn write(&self, name: &str, bytes: &[u8]) -> Result<(), ProfileError> {
        let record = js_sys::Object::new();
        let set = |field: &str, value: &JsValue| {
            Reflect::set(&record, &field.into(), value).map(drop).map_err(|error| refused(&error))
        };
        set("version", &VERSION.into())?;
        match &self.seal {
            Some(seal) => {
                let (sealed, nonce) = seal.close(name, bytes).await?;
                set("bytes", &sealed)?;
                set("nonce", &Uint8Array::from(&nonce[..]))?;
            }
            None => set("bytes", &Uint8Array::from(bytes))?,
        }
        self.database.put(name, &record).await
    }

    /// Forgets records.
    ///
    /// # Errors
    /// The browser refuses.
    pub(crate) async fn forget(&self, name: &str) -> Result<(), ProfileError> {
        self.database.delete(name).await
    }
}

/// The sealing key. One that is none is removed: what it sealed is lost, and said to be when it is read.
async fn key(database: &Database) -> Result<Option<CryptoKey>, ProfileError> {
    let kept = database.get(KEY).await?;
    if kept.is_undefined() {
        return Ok(None);
    }
    if let Ok(key) = kept.dyn_into() {
        return Ok(Some(key));
    }
    database.delete(KEY).await?;
    Ok(None)
}

fn field(record: &JsValue, name: &str) -> Result<JsValue, ProfileError> {
    Reflect::get(record, &name.into()).map_err(|error| damaged(&words(&error)))
}

fn bytes_of(record: &JsValue, name: &str) -> Result<Vec<u8>, ProfileError> {
    let value = field(record, name)?.dyn_into::<Uint8Array>();
    value.map(|bytes| bytes.to_vec()).map_err(|_| damaged("a part of it is missing"))
}

fn damaged(what: &str) -> ProfileError {
    ProfileError::Damaged(what.to_owned())
}

fn refused(error: &JsValue) -> ProfileError {
    ProfileError::Refused(words(error))
}
