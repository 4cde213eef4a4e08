//! A file fetched whole, piece by piece, into the browser's memory.

use lanyard_web_state::files::{Download, DownloadFault, Step};
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Blob, BlobPropertyBag, HtmlAnchorElement, Url};

use crate::store::{Failed, Store};

/// Why it came to nothing.
#[derive(Debug, Clone)]
pub(super) enum FetchError {
    /// The host refused, or could not.
    Host(Failed),
    /// What it sent does not make a file.
    Download(DownloadFault),
    /// The browser refuses to hold it.
    Browser,
    /// The person stopped it.
    Stopped,
}

impl FetchError {
    /// For the person; none when they did it themselves.
    pub(super) fn words(&self) -> Option<String> {
        match self {
            Self::Host(failed) => Some(failed.said.clone()),
            Self::Download(fault) => Some(fault.to_string()),
            Self::Browser => Some("This browser has no room for the file.".to_owned()),
            Self::Stopped => None,
        }
    }
}

/// Fetches the whole file as one blob. `progress` is told after each piece and says whether to go on. Dropping the future
/// ends it after the piece under way.
///
/// # Errors
/// See [`FetchError`].
pub(super) async fn whole(
    store: Store,
    path: &str,
    kind: &str,
    progress: impl Fn(&Download) -> bool,
) -> Result<Blob, FetchError> {
    let mut download = Download::new(path);
    // Each piece leaves the page's own memory at once: the browser may keep blobs on disk.
    let pieces = js_sys::Array::new();
    loop {
        if !progress(&download) {
            return Err(FetchError::Stopped);
        }
        let piece = store.call(download.next()).await.map_err(FetchError::Host)?;
        let step = download.take(&piece).map_err(FetchError::Download)?;
        let bytes = js_sys::Uint8Array::from(piece.bytes.0.as_slice());
        pieces.push(blob(&js_sys::Array::of1(&bytes), "")?.as_ref());
        if step == Step::Done {
            return blob(&pieces, kind);
        }
    }
}

fn blob(parts: &js_sys::Array, kind: &str) -> Result<Blob, FetchError> {
    let bag = BlobPropertyBag::new();
    bag.set_type(kind);
    Blob::new_with_u8_array_sequence_and_options(parts, &bag).map_err(|_| FetchError::Browser)
}

/// An address for a blob within this page, given back when its last holder is gone.
#[derive(Debug)]
pub(super) struct BlobUrl(String);

impl BlobUrl {
    pub(super) fn new(blob: &Blob) -> Option<Self> {
        Url::create_object_url_with_blob(blob).ok().map(Self)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Drop for BlobUrl {
    fn drop(&mut self) {
        // Refused only for what is no such address.
        let _ = Url::revoke_object_url(&self.0);
    }
}

/// Hands a blob to the browser's downloads under a name. Whether the browser could take it.
pub(super) fn save(blob: &Blob, name: &str) -> bool {
    let Some(url) = BlobUrl::new(blob) else { return false };
    let anchor =
        document().create_element("a").ok().and_then(|anchor| anchor.dyn_into::<HtmlAnchorElement>().ok());
    let Some(anchor) = anchor else { return false };
    anchor.set_href(url.as_str());
    anchor.set_download(name);
    anchor.click();
    // The browser reads it after the click; the address must last until then.
    leptos::leptos_dom::helpers::set_timeout(move || drop(url), std::time::Duration::from_secs(60));
    true
}
