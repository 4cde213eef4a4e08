//! The cookies: the sign-in itself, and what ties a browser to a sign-in under way.

use http::{HeaderMap, HeaderValue, header};
use lanyard_governance_foundation::Fault;

/// The sign-in.
pub(crate) const SESSION: &str = "lanyard_session";

/// A sign-in at the provider under way.
pub(crate) const FLOW: &str = "lanyard_oidc";

/// How a cookie is sent along with requests that other sites cause.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SameSite {
    /// Never.
    Strict,
    /// Only when a person follows a link: the way back from the provider.
    Lax,
}

/// Headers that set a cookie; for no time at all: that remove it.
pub(crate) fn set(
    name: &str,
    value: &str,
    seconds: u64,
    same_site: SameSite,
    public_url: &str,
) -> Result<HeaderMap, Fault> {
    let same_site = match same_site {
        SameSite::Strict => "Strict",
        SameSite::Lax => "Lax",
    };
    let secure = if public_url.starts_with("https://") { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite={same_site}{secure}");
    let value =
        HeaderValue::from_str(&text).map_err(|e| Fault::internal("a cookie cannot be written", &e))?;
    Ok(HeaderMap::from_iter([(header::SET_COOKIE, value)]))
}

/// A cookie of a request.
pub(crate) fn get<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}
