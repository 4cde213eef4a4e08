//! Files that other parts of the host let anybody fetch, such as a certificate to be installed on a phone.

use std::sync::{Arc, PoisonError, RwLock};

use axum::body::Body;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderValue, Response};
use bytes::Bytes;

use super::{headers, pages};

/// One of them; anybody on the network may have it.
#[derive(Debug, Clone)]
pub(crate) struct Download {
    /// Of its URL, with the leading slash. Those of the page and of the carriers must not be used.
    pub(crate) path: &'static str,
    /// MIME type.
    pub(crate) content_type: &'static str,
    /// The name to save it under; letters, digits, `-`, `_` and `.`. `None`: shown, not saved.
    pub(crate) file_name: Option<&'static str>,
    /// What is in it.
    pub(crate) content: Bytes,
}

/// What there is now. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Downloads(Arc<RwLock<Vec<Download>>>);

impl Downloads {
    pub(super) fn replace(&self, downloads: Vec<Download>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = downloads;
    }

    pub(super) fn answer(&self, path: &str) -> Option<Response<Body>> {
        let downloads = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = downloads.iter().find(|download| download.path == path)?;
        let mut response = Response::new(Body::from(found.content.clone()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(found.content_type));
        if found.content_type.starts_with("text/html") {
            // Made by `pages::html`, with its style.
            headers::words(headers, pages::style_hash());
        }
        if let Some(name) = found.file_name
            && let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{name}\""))
        {
            headers.insert(CONTENT_DISPOSITION, value);
        }
        Some(response)
    }
}
