//! Single requests: what is shown to whom, with which headers, and what is refused.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::web::downloads::Download;

const BROTLI: (&str, &str) = ("accept-encoding", "gzip, deflate, br, zstd");

fn assert_secure(answer: &Answer) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(answer.header(name), value, "{answer:?}");
    }
    assert!(answer.header("permissions-policy").contains("camera=()"), "{answer:?}");
    let policy = answer.header("content-security-policy");
    for part in ["default-src 'none'", "frame-ancestors 'none'", "form-action 'none'", "base-uri 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("'unsafe-inline'") && !policy.contains("'unsafe-eval'"), "{policy}");
    assert!(!answer.header("cache-control").is_empty(), "{answer:?}");
    for absent in ["set-cookie", "strict-transport-security", "access-control-allow-origin", "server"] {
        assert!(!answer.headers.contains_key(absent), "{answer:?}");
    }
}

#[tokio::test]
async fn the_page_comes_by_https_under_the_own_name() {
    let page = Page::start();
    let answer = page.ask("GET /", &[BROTLI]).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "<!doctype html>page"));
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_secure(&answer);
    let policy = answer.header("content-security-policy");
    let connect = format!("connect-src 'self' wss://{}:{};", page.name(), page.port());
    assert!(
        policy.contains(&connect) && policy.contains("script-src 'self' 'wasm-unsafe-eval';"),
        "{policy}"
    );
    // By address: no name in the handshake.
    let host = page.address.to_string();
    let line = page.tls_for("127.0.0.1").await;
    assert_eq!(exchange(line, "GET /?q#x", &host, &[BROTLI], b"").await.status, 200);
    page.stop().await;
}

#[tokio::test]
async fn files_are_compressed_kept_and_asked_about() {
    let page = Page::start();
    let wasm = "GET /assets/app-0123456789abcdef.wasm";
    let answer = page.ask(wasm, &[BROTLI]).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "compressed"));
    assert_eq!(answer.header("content-encoding"), "br");
    assert_eq!(answer.header("content-type"), "application/wasm");
    assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(answer.header("vary"), "accept-encoding");
    assert_secure(&answer);
    for refusing in ["gzip", "br;q=0", "identity, br; q=0.0", "xbr", ""] {
        for line in [wasm, "GET /"] {
            let answer = page.ask(line, &[("accept-encoding", refusing)]).await;
            assert_eq!(answer.status, 406, "{refusing:?}: {answer:?}");
            assert!(answer.text().contains(&page.origin()), "it says where to go: {answer:?}");
            assert_secure(&answer);
        }
    }
    let worker = page.ask("GET /sw.js", &[]).await;
    assert_eq!((worker.text().as_str(), worker.header("cache-control")), ("worker", "no-cache"));
    let again = page.ask("GET /sw.js", &[("if-none-match", worker.header("etag"))]).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_secure(&again);
    let head = page.ask("HEAD /sw.js", &[]).await;
    assert_eq!((head.status, head.body.len(), head.header("content-length")), (200, 0, "6"));
    page.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_said_in_words() {
    let page = Page::start();
    for (line, status, words) in [
        ("GET /nothing", 404, "no such page"),
        ("GET /assets/", 404, "no such page"),
        ("GET /assets/../index.html", 404, "no such page"),
        ("GET //evil.example/", 404, "no such page"),
        ("GET /%2e%2e/web.key", 404, "no such page"),
        ("POST /", 405, "GET, HEAD"),
        ("PUT /index.html", 405, "GET, HEAD"),
        ("OPTIONS /carrier", 405, "GET, POST"),
        ("OPTIONS *", 405, "GET, HEAD"),
        ("DELETE /carrier/0", 405, "POST"),
        ("GET /carrier/0", 405, "POST"),
        ("HEAD /carrier", 405, "GET, POST"),
        ("POST /channel", 405, "GET"),
        ("TRACE /", 405, "GET, HEAD"),
        ("CONNECT evil.example:443", 400, "proxy"),
    ] {
        let answer = page.ask(line, &[]).await;
        assert_eq!(answer.status, status, "{line}: {answer:?}");
        assert!(answer.text().contains(words) || line.starts_with("HEAD"), "{line}: {answer:?}");
        assert_secure(&answer);
        if status == 405 {
            assert!(!answer.header("allow").is_empty());
        }
    }
    page.stop().await;
}

#[tokio::test]
async fn a_name_that_is_not_ours_is_not_answered_and_not_repeated() {
    let page = Page::start();
    let evil = format!("evil.example:{}", page.port());
    for line in ["GET /", "GET /sw.js", "POST /carrier", "GET /channel"] {
        let secure = exchange(page.tls_for("evil.example").await, line, &evil, &[BROTLI], b"").await;
        let plain = exchange(page.plain().await, line, &evil, &[BROTLI], b"").await;
        for answer in [secure, plain] {
            assert_eq!(answer.status, 421, "{line}: {answer:?}");
            let text = answer.text();
            assert!(!text.contains("evil") && text.contains("lanyard pair"), "{text}");
            assert!(
                !text.contains(&page.name()) && !text.contains("127.0.0.1"),
                "it tells a stranger's page nothing"
            );
            assert_secure(&answer);
        }
    }
    for host in ["", "a b", "[::1", "<script>alert(1)</script>"] {
        let answer = exchange(page.plain().await, "GET /", host, &[], b"").await;
        assert_eq!(answer.status, 400, "{host}: {answer:?}");
        assert!(!answer.text().contains("script"));
    }
    let proxied = format!("GET http://{}/", page.address);
    assert_eq!(exchange(page.plain().await, &proxied, &page.address.to_string(), &[], b"").await.status, 400);
    page.stop().await;
}

#[tokio::test]
async fn without_encryption_only_this_machine_sees_the_page() {
    let page = Page::start();
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        let host = format!("{host}:{}", page.port());
        let answer = exchange(page.plain().await, "GET /", &host, &[BROTLI], b"").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "<!doctype html>page"));
        let policy = answer.header("content-security-policy");
        assert!(policy.contains(&format!("connect-src 'self' ws://{host};")), "{policy}");
    }
    // The name that others use: what others see, whatever is asked for.
    let host = format!("{}:{}", page.name(), page.port());
    for line in ["GET /", "GET /sw.js", "GET /nothing", "POST /carrier", "GET /channel"] {
        let answer = exchange(page.plain().await, line, &host, &[BROTLI], b"").await;
        let text = answer.text();
        assert_eq!(answer.status, 426, "{line}: {answer:?}");
        assert!(text.contains("href=\"https://lanyard-") && text.contains(&format!("{host}/\"")), "{text}");
        assert!(text.contains("Mia&#39;s &lt;b&gt;studio&lt;/b&gt;"), "{text}");
        assert!(
            !text.contains("<script")
                && !text.contains("http-equiv")
                && !answer.headers.contains_key("location")
        );
        assert_secure(&answer);
    }
    page.stop().await;
}

#[tokio::test]
async fn only_our_own_page_opens_a_carrier() {
    let mut page = Page::start();
    let origin = page.origin();
    let http = origin.replace("https", "http");
    let cases: [&[(&str, &str)]; 7] = [
        &[],
        &[("origin", "null")],
        &[("origin", "https://evil.example")],
        &[("origin", &http)],
        &[("origin", &origin), ("sec-fetch-site", "cross-site")],
        &[("origin", &origin), ("sec-fetch-site", "same-site")],
        // What a form of another site can send without asking first.
        &[("origin", "https://evil.example"), ("content-type", "text/plain")],
    ];
    let upgrade = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "lanyard.v1"),
    ];
    for headers in cases {
        for line in ["POST /carrier", "POST /carrier/0", "GET /carrier"] {
            if line == "GET /carrier" && headers.is_empty() {
                continue;
            }
            let answer = page.ask(line, headers).await;
            assert_eq!(answer.status, 403, "{line} {headers:?}: {answer:?}");
            assert!(answer.text().contains("Only the host's own page"), "{answer:?}");
            assert_secure(&answer);
        }
        let all = [&upgrade[..], headers].concat();
        assert_eq!(page.ask("GET /channel", &all).await.status, 403, "{headers:?}");
    }
    assert_eq!(page.ask("GET /carrier", &[]).await.status, 403, "nobody says who asks");
    assert!(page.opened.try_recv().is_err(), "nothing was opened");
    page.stop().await;
}

#[tokio::test]
async fn a_build_without_page_says_so() {
    let page = Page::with(tempfile::tempdir().unwrap(), assets::none(), Pace::default());
    let answer = page.ask("GET /", &[BROTLI]).await;
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("cargo xtask up"), "{answer:?}");
    assert_secure(&answer);
    let health = page.web.health(lanyard_protocol::health::DiscoveryState::Off);
    assert_eq!(health.status, lanyard_protocol::health::HealthStatus::Degraded);
    assert!(health.action.unwrap().contains("cargo xtask up"));
    page.stop().await;
}

#[tokio::test]
async fn other_parts_may_offer_files() {
    let page = Page::start();
    let content = bytes::Bytes::from_static(b"certificate");
    let download = Download {
        path: "/trust/lanyard.crt",
        content_type: "application/x-x509-ca-cert",
        file_name: Some("lanyard.crt"),
        content,
    };
    page.web.downloads.replace(vec![download]);
    let answer = page.ask("GET /trust/lanyard.crt", &[]).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "certificate"));
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"lanyard.crt\"");
    assert_secure(&answer);
    page.web.downloads.replace(Vec::new());
    assert_eq!(page.ask("GET /trust/lanyard.crt", &[]).await.status, 404);
    page.stop().await;
}

#[tokio::test]
async fn headers_are_bounded() {
    let page = Page::start();
    let host = page.address.to_string();
    let long = "x".repeat(64 * 1024);
    let mut many: Vec<(&str, &str)> = vec![("x-a", "b"); 100];
    many.push(BROTLI);
    let cases: [(&str, Vec<(&str, &str)>); 3] =
        [("GET /", vec![("x-long", long.as_str())]), ("GET /", many), (&format!("GET /{long}"), vec![])];
    for (line, headers) in &cases {
        let mut tcp = page.plain().await;
        // The other end may hang up before all of it is sent.
        drop(tcp.write_all(&request(line, &host, headers, b"")).await);
        let answer = rest(tcp).await;
        let refused = answer.starts_with(b"HTTP/1.1 431") || answer.starts_with(b"HTTP/1.1 414");
        assert!(refused || answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    }
    page.stop().await;
}

#[tokio::test]
async fn who_is_slow_or_silent_is_cut_off() {
    let short = Duration::from_secs(3);
    let page = Page::at_pace(Pace { handshake: short, headers: short, ..Pace::default() });
    // Says nothing at all; begins a handshake; begins a request, and another after a whole one.
    assert!(rest(page.plain().await).await.is_empty());
    let mut hello = page.plain().await;
    hello.write_all(&[0x16, 3, 1, 0]).await.unwrap();
    assert!(rest(hello).await.is_empty());
    let mut slow = page.plain().await;
    let host = format!("localhost:{}", page.port());
    slow.write_all(format!("GET / HTTP/1.1\r\nhost: {host}\r\nx-slow:").as_bytes()).await.unwrap();
    let began = std::time::Instant::now();
    let trickle = async {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if slow.write_all(b"x").await.is_err() || began.elapsed() > SOON {
                return;
            }
        }
    };
    trickle.await;
    assert!(began.elapsed() < SOON, "a byte now and then keeps nothing open");
    let mut idle = page.plain().await;
    idle.write_all(&request("GET /sw.js", &host, &[], b"")).await.unwrap();
    let answer = rest(&mut idle).await;
    assert!(answer.ends_with(b"worker"), "answered, then closed when nothing more came");
    page.stop().await;
}

#[tokio::test]
async fn garbage_is_no_request() {
    let page = Page::start();
    for garbage in [
        &b"\x00\x01\x02\r\n\r\n"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16garbage",
    ] {
        let mut tcp = page.plain().await;
        tcp.write_all(garbage).await.unwrap();
        tcp.shutdown().await.unwrap();
        let answer = rest(tcp).await;
        let refused = answer.is_empty() || answer.starts_with(b"HTTP/1.1 4") || answer[0] == 0x15;
        assert!(refused, "{garbage:?}: {answer:?}");
    }
    let mut old = page.plain().await;
    old.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut begin = [0; 12];
    old.read_exact(&mut begin).await.unwrap();
    assert_eq!(&begin[8..], b" 400", "it does not say whom it means");
    page.stop().await;
}
