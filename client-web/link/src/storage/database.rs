//! IndexedDB, as far as it is needed: one store, values under names, one transaction for each step.

use std::rc::Rc;

use futures_channel::oneshot;
use wasm_bindgen::prelude::*;
use web_sys::{
    EventTarget, IdbDatabase, IdbFactory, IdbObjectStore, IdbRequest, IdbTransaction, IdbTransactionMode,
};

use super::refused;
use crate::browser::{Listener, window};
use crate::profile::ProfileError;

const NAME: &str = "lanyard";
const STORE: &str = "kept";
const VERSION: u32 = 1;

/// See the module.
#[derive(Debug)]
pub(crate) struct Database(IdbDatabase);

impl Database {
    /// Opens it; makes it where there is none.
    pub(super) async fn open() -> Result<Self, ProfileError> {
        let request = factory()?.open_with_u32(NAME, VERSION).map_err(|error| refused(&error))?;
        let made = request.clone();
        let _upgrade = Listener::on(&request, "upgradeneeded", move |_| {
            // Where it fails, so does the request, which is what is waited for.
            if let Ok(database) = made.result() {
                let _ = database.unchecked_into::<IdbDatabase>().create_object_store(STORE);
            }
        });
        let opened = result(&request).await?;
        let database: IdbDatabase = opened.unchecked_into();
        // A page of a later version must not wait for this one.
        let closing = database.clone();
        let outdated = Closure::once_into_js(move || closing.close());
        database.set_onversionchange(Some(outdated.unchecked_ref()));
        Ok(Self(database))
    }

    fn store(&self, mode: IdbTransactionMode) -> Result<(IdbTransaction, IdbObjectStore), ProfileError> {
        let begin = || {
            let transaction = self.0.transaction_with_str_and_mode(STORE, mode)?;
            let store = transaction.object_store(STORE)?;
            Ok((transaction, store))
        };
        begin().map_err(|error: JsValue| refused(&error))
    }

    /// The value under a name; `undefined` for none.
    pub(super) async fn get(&self, name: &str) -> Result<JsValue, ProfileError> {
        let (_, store) = self.store(IdbTransactionMode::Readonly)?;
        result(&store.get(&name.into()).map_err(|error| refused(&error))?).await
    }

    /// Puts a value in place of any other.
    pub(super) async fn put(&self, name: &str, value: &JsValue) -> Result<(), ProfileError> {
        let (transaction, store) = self.store(IdbTransactionMode::Readwrite)?;
        store.put_with_key(value, &name.into()).map_err(|error| refused(&error))?;
        committed(&transaction).await
    }

    /// Puts a value where there is none; an error where there is.
    pub(super) async fn add(&self, name: &str, value: &JsValue) -> Result<(), ProfileError> {
        let (transaction, store) = self.store(IdbTransactionMode::Readwrite)?;
        store.add_with_key(value, &name.into()).map_err(|error| refused(&error))?;
        committed(&transaction).await
    }

    /// Removes the value under a name.
    pub(super) async fn delete(&self, name: &str) -> Result<(), ProfileError> {
        let (transaction, store) = self.store(IdbTransactionMode::Readwrite)?;
        store.delete(&name.into()).map_err(|error| refused(&error))?;
        committed(&transaction).await
    }
}

fn factory() -> Result<IdbFactory, ProfileError> {
    let window = window().map_err(ProfileError::Refused)?;
    let factory = window.indexed_db().map_err(|error| refused(&error))?;
    factory.ok_or_else(|| ProfileError::Refused("it has no IndexedDB here".to_owned()))
}

/// Waits for a request.
async fn result(request: &IdbRequest) -> Result<JsValue, ProfileError> {
    let ended = happens(request, &["success", "error", "blocked"]);
    if ended.await != "success" {
        let error = request.error().ok().flatten();
        return Err(error.map_or_else(busy, |error| refused(&error)));
    }
    request.result().map_err(|error| refused(&error))
}

/// Waits until a transaction is on disk.
async fn committed(transaction: &IdbTransaction) -> Result<(), ProfileError> {
    if happens(transaction, &["complete", "abort", "error"]).await == "complete" {
        return Ok(());
    }
    Err(transaction.error().map_or_else(busy, |error| refused(&error)))
}

fn busy() -> ProfileError {
    ProfileError::Refused("another tab of this page holds it: close the tab".to_owned())
}

/// Which of some events happens first.
async fn happens(target: &EventTarget, events: &[&'static str]) -> &'static str {
    let (tell, told) = oneshot::channel();
    let tell = Rc::new(std::cell::Cell::new(Some(tell)));
    let listen = |event: &&'static str| {
        let (tell, event) = (tell.clone(), *event);
        Listener::on(target, event, move |_| {
            if let Some(tell) = tell.take() {
                // Nobody waits any more.
                let _ = tell.send(event);
            }
        })
    };
    let _listeners: Vec<Listener> = events.iter().map(listen).collect();
    told.await.unwrap_or("error")
}
