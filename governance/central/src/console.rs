//! The console as it was built: files that the build script has put into this program.

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, LOCATION, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};

struct Asset {
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

const BASE: &str = "/console/";
const INDEX: &str = "/console/index.html";

/// The console's own scripts and connections, nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
                      img-src 'self' data: blob:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// Answers everything under `/console`, and sends `/` there.
pub(crate) async fn serve(request: Request) -> Response {
    let path = request.uri().path();
    if path == "/" || path == "/console" {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::from_static(BASE));
        return (StatusCode::SEE_OTHER, headers).into_response();
    }
    let path = if path == BASE { INDEX } else { path };
    let Some(asset) = ASSETS.iter().find(|asset| asset.path == path) else {
        if path == INDEX {
            let text =
                "This central was built without its console. Run `cargo xtask web` and build it again.\n";
            return (StatusCode::NOT_FOUND, text).into_response();
        }
        return (StatusCode::NOT_FOUND, "There is nothing here. The console is at /console/.\n")
            .into_response();
    };
    let takes = |value: &HeaderValue| value.to_str().is_ok_and(|text| text.contains("br"));
    if asset.brotli && !request.headers().get(ACCEPT_ENCODING).is_some_and(takes) {
        let text = "The console is served compressed with Brotli, which this browser does not take over plain HTTP.\n";
        return (StatusCode::NOT_ACCEPTABLE, text).into_response();
    }
    let known = request.headers().get(IF_NONE_MATCH).is_some_and(|tag| tag == asset.tag);
    let mut response = match known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Response::new(Body::from(asset.content)),
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    headers.insert(ETAG, HeaderValue::from_static(asset.tag));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    let keep = if asset.hashed { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
    if asset.brotli {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("br"));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    }
    response
}
