//! The page as it was built: files that the build script has put into this program. Their bytes are not touched before
//! somebody asks for them.

use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use bytes::Bytes;

use super::headers::{self, Keep};
use super::own::Origin;
use super::pages;

/// One file of the page.
#[derive(Debug)]
pub(super) struct Asset {
    /// Of its URL.
    path: &'static str,
    content_type: &'static str,
    /// Compressed, and only so.
    brotli: bool,
    /// The name changes with the content.
    hashed: bool,
    /// An entity tag, with its quotes.
    tag: &'static str,
    content: &'static [u8],
}

/// Sorted by path.
static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

const INDEX: &str = "/index.html";

/// What there is to be shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Assets(&'static [Asset]);

impl Assets {
    /// What this program was built with.
    pub(super) fn built_in() -> Self {
        Self(ASSETS)
    }

    fn find(self, path: &str) -> Option<&'static Asset> {
        let path = if path == "/" { INDEX } else { path };
        self.0.iter().find(|asset| asset.path == path)
    }

    /// Whether there is a page at all.
    pub(super) fn is_page(self) -> bool {
        self.find(INDEX).is_some()
    }

    /// The answer to GET (and HEAD) of `path`; `None` when nothing is there.
    pub(super) fn answer(self, path: &str, origin: &Origin, asked: &HeaderMap) -> Option<Response<Body>> {
        if path == "/" && !self.is_page() {
            return Some(pages::no_page());
        }
        let asset = self.find(path)?;
        let is_page = asset.path == INDEX;
        // The page is no use without its parts, so it is where somebody is told.
        let needed = asset.brotli || is_page && self.0.iter().any(|other| other.brotli);
        if needed && !takes_brotli(asked) {
            return Some(pages::no_brotli(&origin.secured()));
        }
        let mut response = Response::new(Body::empty());
        if asked.get(IF_NONE_MATCH).is_some_and(|known| known == asset.tag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            *response.body_mut() = Body::from(Bytes::from_static(asset.content));
        }
        let answer = response.headers_mut();
        answer.insert(CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
        answer.insert(ETAG, HeaderValue::from_static(asset.tag));
        if asset.brotli {
            answer.insert(CONTENT_ENCODING, HeaderValue::from_static("br"));
            answer.insert(VARY, HeaderValue::from_static("accept-encoding"));
        }
        headers::keep(
            answer,
            match asset {
                Asset { hashed: true, .. } => Keep::ForGood,
                _ if is_page => Keep::Nothing,
                _ => Keep::Ask,
            },
        );
        // A worker is under the policy it came with, not under that of the page.
        headers::page(answer, origin);
        Some(response)
    }
}

fn takes_brotli(asked: &HeaderMap) -> bool {
    let values = asked.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        // "q=0" says: not this one (RFC 9110 §12.4.2).
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case("br") && !refused
    })
}

/// A small page, for tests.
#[cfg(test)]
pub(super) fn sample() -> Assets {
    static SAMPLE: &[Asset] = &[
        Asset {
            path: "/assets/app-0123456789abcdef.wasm",
            content_type: "application/wasm",
            brotli: true,
            hashed: true,
            tag: "\"a\"",
            content: b"compressed",
        },
        Asset {
            path: "/index.html",
            content_type: "text/html; charset=utf-8",
            brotli: false,
            hashed: false,
            tag: "\"b\"",
            content: b"<!doctype html>page",
        },
        Asset {
            path: "/sw.js",
            content_type: "text/javascript; charset=utf-8",
            brotli: false,
            hashed: false,
            tag: "\"c\"",
            content: b"worker",
        },
    ];
    Assets(SAMPLE)
}

/// No page, for tests.
#[cfg(test)]
pub(super) fn none() -> Assets {
    Assets(&[])
}
