//! Headers of every answer.

use std::fmt::Display;

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue};

use super::own::Origin;

/// What no answer may do, whatever it is. There is deliberately no `Strict-Transport-Security`: with it a browser would
/// no longer let its user past the warning about a certificate that nobody has signed, and the page would be gone for
/// good; the redirect page needs plain HTTP, too.
const ALWAYS: [(HeaderName, &str); 5] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "accelerometer=(), autoplay=(), browsing-topics=(), camera=(), display-capture=(), \
         geolocation=(), gyroscope=(), hid=(), magnetometer=(), microphone=(), midi=(), payment=(), \
         publickey-credentials-get=(), serial=(), usb=(), xr-spatial-tracking=()",
    ),
];

/// For answers that show no page: nothing may be loaded or run.
const NOTHING: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// How long a copy may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Never kept.
    Nothing,
    /// Kept, and asked about before each use.
    Ask,
    /// For good: another content has another name.
    ForGood,
}

impl Keep {
    fn value(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Nothing => "no-store",
            Self::Ask => "no-cache",
            Self::ForGood => "public, max-age=31536000, immutable",
        })
    }
}

/// Puts them in. Who has set a policy of its own keeps it.
pub(super) fn secure(headers: &mut HeaderMap) {
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(NOTHING));
    headers.entry(CACHE_CONTROL).or_insert(Keep::Nothing.value());
}

pub(super) fn keep(headers: &mut HeaderMap, keep: Keep) {
    headers.insert(CACHE_CONTROL, keep.value());
}

/// The policy of the page: its own scripts, its own connections, nothing inline.
pub(super) fn page(headers: &mut HeaderMap, origin: &Origin) {
    let own = origin.socket();
    policy(
        headers,
        &format_args!(
            "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; \
             connect-src 'self' {own}; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'"
        ),
    );
}

/// The policy of a page of words: one style, known by its hash.
pub(super) fn words(headers: &mut HeaderMap, style_hash: &str) {
    policy(headers, &format_args!("{NOTHING}; style-src 'sha256-{style_hash}'"));
}

fn policy(headers: &mut HeaderMap, text: &dyn Display) {
    // An origin's parts are checked and a hash is base64: always a value.
    if let Ok(value) = HeaderValue::from_str(&text.to_string()) {
        headers.insert(CONTENT_SECURITY_POLICY, value);
    }
}
