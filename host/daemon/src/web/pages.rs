//! Pages of words: what somebody reads who is not shown the page. Small, without script, in the page's look.

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, VARY};
use axum::http::{HeaderValue, Response, StatusCode};
use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use super::headers;
use super::own::{Origin, Refusal};

/// The one style; the policy names its hash, so nothing else that got in between could be one.
const STYLE: &str = ":root{color-scheme:light dark;--bg:#f6f5f2;--surface:#fff;--ink:#1c1b19;--soft:#6b675f;--line:#e2dfd8;--accent:#0b6e5f;\
--on-accent:#fff}@media(prefers-color-scheme:dark){:root{--bg:#121311;--surface:#1b1d1a;--ink:#eceae4;--soft:#9a968c;\
--line:#2b2e29;--accent:#59c9b2;--on-accent:#04221c}}*{box-sizing:border-box}body{margin:0;background:var(--bg);\
color:var(--ink);font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;overflow-wrap:anywhere}\
main{max-width:34rem;margin:0 auto;padding:32px 16px 48px}h1{font-size:24px;line-height:1.25;margin:0 0 12px}\
h2{font-size:16px;margin:24px 0 4px}p{margin:0 0 12px}.card{background:var(--surface);border:1px solid var(--line);\
border-radius:14px;padding:4px 16px 8px;margin:20px 0}.go{display:block;padding:13px 16px;border-radius:13px;\
background:var(--accent);color:var(--on-accent);font-weight:600;text-align:center;text-decoration:none}\
.soft{color:var(--soft);font-size:14px}code{font:14px ui-monospace,Menlo,Consolas,monospace}";

static STYLE_HASH: LazyLock<String> = LazyLock::new(|| BASE64.encode(&Sha256::digest(STYLE)));

/// The hash of the one style, for the policy of a page made with [`html`].
pub(super) fn style_hash() -> &'static str {
    &STYLE_HASH
}

/// A page of words as text. `body` is HTML: whoever makes it escapes what is not his own.
pub(super) fn html(title: &str, body: &str) -> String {
    let title = escaped(title);
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><meta name=\"robots\" content=\"noindex\"><title>{title}</title>\
         <style>{STYLE}</style></head><body><main><h1>{title}</h1>{body}</main></body></html>"
    )
}

/// A page of words, see [`html`].
fn page(status: StatusCode, title: &str, body: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(html(title, body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers::words(response.headers_mut(), &STYLE_HASH);
    response
}

/// Text as it stands in HTML, in an attribute too.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// What will happen on the way to the encrypted page. There is no way on without a tap: whoever was sent on without
/// having read this would see nothing but his browser's warning.
pub(super) fn elsewhere(secure: &Origin, host_name: &str) -> Response<Body> {
    let (link, name) = (escaped(&secure.to_string()), escaped(host_name));
    let body = format!(
        "<p>This page came without encryption, so nothing is shown here and nothing can be typed. The page of \
         <b>{name}</b> is one step away.</p>\
         <div class=\"card\"><h2>Your browser will warn you</h2><p>It will say that it does not know the certificate, or \
         that the connection is not private. That is expected the first time: the host has made its certificate itself, \
         because no company vouches for machines in a home or office network.</p>\
         <h2>Compare before you go on</h2><p>The warning shows the certificate behind its details. Its SHA-256 \
         fingerprint must be the one that <code>lanyard doctor</code> prints on the host. If it is another one, somebody \
         stands in between: do not go on, and tell the host&#39;s owner.</p></div>\
         <p><a class=\"go\" href=\"{link}/\">Go on to {link}</a></p>\
         <p class=\"soft\">Whatever the browser says, only a device that somebody has approved on the host can read or do \
         anything there.</p>"
    );
    page(StatusCode::UPGRADE_REQUIRED, "This page needs encryption", &body)
}

/// Somebody who is not answered, and what he can do about it. Says nothing about the host that he has not said himself: a
/// page that reaches a foreign network by tricks could read this.
pub(super) fn refused(refusal: Refusal) -> Response<Body> {
    match refusal {
        Refusal::NoHost => plain(
            StatusCode::BAD_REQUEST,
            "This request does not say which host it means. Open the link that `lanyard open` or `lanyard pair` shows.",
        ),
        Refusal::Proxy => plain(StatusCode::BAD_REQUEST, "This is not a proxy."),
        Refusal::OtherHost => page(
            StatusCode::MISDIRECTED_REQUEST,
            "Not under this name",
            "<p>A Lanyard host has answered, but it does not answer under the name or address in your browser&#39;s \
             address bar. This protects it from web sites that lead their visitors&#39; browsers into the local \
             network.</p><p>On the host, run <code>lanyard pair</code> to connect a new device, or <code>lanyard \
             open</code> for its own screen, and open the link that it shows. If the host is behind a port forwarding \
             or a proxy, the name, address and port that the browser uses must be the host&#39;s own.</p>",
        ),
        Refusal::OtherOrigin => plain(
            StatusCode::FORBIDDEN,
            "Only the host's own page may do this, and the browser does not say that it is asking. Load the page again; \
             if an extension of the browser removes the Origin header, switch it off for this page.",
        ),
    }
}

/// This build has nothing to show.
pub(super) fn no_page() -> Response<Body> {
    page(
        StatusCode::NOT_FOUND,
        "This build has no page",
        "<p>The host runs, but the program was built without its page.</p><p>Build it with <code>cargo xtask up</code> \
         (or <code>cargo xtask web</code> and then <code>cargo build</code>), and start the host again.</p>",
    )
}

/// The page is compressed in a way that the browser does not take, which happens only without encryption.
pub(super) fn no_brotli(secure: &Origin) -> Response<Body> {
    let link = escaped(&secure.to_string());
    let mut response = page(
        StatusCode::NOT_ACCEPTABLE,
        "This browser needs the encrypted page",
        &format!(
            "<p>The page is kept compressed (brotli), and this browser takes that only over an encrypted connection.</p>\
             <p><a class=\"go\" href=\"{link}/\">Go on to {link}</a></p><p class=\"soft\">It will warn that it does not \
             know the certificate, which this machine has made itself.</p>"
        ),
    );
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
    response
}

pub(super) fn not_found() -> Response<Body> {
    page(
        StatusCode::NOT_FOUND,
        "Nothing here",
        "<p>The host has no such page. <a href=\"/\">Go to its page</a>.</p>",
    )
}

/// `allowed` is what exists at this place.
pub(super) fn not_allowed(allowed: &'static str) -> Response<Body> {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, &format!("Here is only: {allowed}."));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// A sentence, for programs and for people who look at what a program got.
pub(super) fn plain(status: StatusCode, words: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{words}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(response: Response<Body>) -> String {
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn what_is_not_ours_is_escaped() {
        let origin = Origin::named("lanyard-abc.local", 7717);
        let page = text(elsewhere(&origin, "<script>alert('1')</script>\" onload=\"x&")).await;
        assert!(!page.contains("<script") && !page.contains("onload=\"x"), "{page}");
        assert!(
            page.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot; onload=&quot;x&amp;"),
            "{page}"
        );
        assert!(page.contains("href=\"https://lanyard-abc.local:7717/\""), "{page}");
        assert!(!page.contains("http-equiv"), "it does not lead on by itself");
    }

    #[tokio::test]
    async fn the_policy_names_the_style_that_is_there() {
        let response = not_found();
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        let page = text(response).await;
        let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
        let hash = BASE64.encode(&Sha256::digest(style));
        assert!(policy.contains(&format!("style-src 'sha256-{hash}'")), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("script-src"), "{policy}");
        assert!(!page.contains("style=\"") && !page.contains("<script"));
    }
}
