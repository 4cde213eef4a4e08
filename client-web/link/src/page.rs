//! What the page knows of itself, for the host's list of devices.

use lanyard_protocol::device::{KeyStorage, PageReport};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::Navigator;

use crate::browser::{is_https, origin, sleep, window};

/// The page's service worker. Browsers run none for an origin whose certificate they do not trust, clicked through or not.
const WORKER: &str = "/sw.js";

/// How long registering it may take before the page counts as unverified.
const REGISTER_MS: u64 = 10_000;

/// See the module.
///
/// # Errors
/// This is not a page. A sentence.
pub(crate) async fn report(key: KeyStorage) -> Result<PageReport, String> {
    Ok(PageReport { origin: origin()?, verified: is_verified().await, key })
}

/// Whether nobody on the network could have put another page in this one's place.
pub async fn is_verified() -> bool {
    if !is_https() {
        // The host serves such pages on its own machine only.
        return true;
    }
    let register = std::pin::pin!(registers());
    let limit = std::pin::pin!(sleep(REGISTER_MS));
    match futures_util::future::select(register, limit).await {
        futures_util::future::Either::Left((registered, _)) => registered,
        futures_util::future::Either::Right(_) => false,
    }
}

async fn registers() -> bool {
    let Ok(navigator) = window().map(|window| window.navigator()) else { return false };
    if !has_workers(&navigator) {
        return false;
    }
    JsFuture::from(navigator.service_worker().register(WORKER)).await.is_ok()
}

/// The binding takes for granted what is missing in some contexts.
fn has_workers(navigator: &Navigator) -> bool {
    js_sys::Reflect::get(navigator, &"serviceWorker".into()).is_ok_and(|it: JsValue| it.is_object())
}
