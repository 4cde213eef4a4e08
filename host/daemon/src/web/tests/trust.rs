//! The authority over real sockets: what a browser that was told to trust it sees, and where it is fetched.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Page, exchange};

/// As a browser that trusts this authority and no other, at this moment of the world.
async fn trusting(page: &Page, root: &[u8], asked: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(root.to_vec())).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let asked = ServerName::try_from(asked.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(asked, page.plain().await).await
}

async fn certificate(page: &Page) -> Vec<u8> {
    let answer = page.ask("GET /trust/lanyard.crt", &[]).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/x-x509-ca-cert"));
    answer.body
}

#[tokio::test]
async fn whoever_trusts_the_authority_meets_no_warning_under_the_name() {
    let page = Page::start();
    // The world's clock, by which the client judges.
    let now = lanyard_protocol::Timestamp::now().as_millis();
    page.clock.0.store(now - super::START, std::sync::atomic::Ordering::SeqCst);
    page.web.trust().enable(false).await.unwrap();
    let root = certificate(&page).await;
    let name = page.name();
    let host = format!("{name}:{}", page.port());
    let line = trusting(&page, &root, &name).await.unwrap();
    assert_eq!(exchange(line, "GET /trust", &host, &[], b"").await.status, 200);
    assert!(
        trusting(&page, &root, "127.0.0.1").await.is_err(),
        "by address it is the host's own certificate"
    );
    assert!(trusting(&page, &root, "evil.example").await.is_err());

    // After a restart it is there before anybody comes.
    let page = Page::with(page.stop().await, super::assets::sample(), super::Pace::default());
    page.clock.0.store(now - super::START, std::sync::atomic::Ordering::SeqCst);
    trusting(&page, &root, &name).await.unwrap();
    page.web.trust().enable(true).await.unwrap();
    assert!(trusting(&page, &root, &name).await.is_err(), "a new authority is another one");
    let root = certificate(&page).await;
    trusting(&page, &root, &name).await.unwrap();
    page.web.trust().disable().await.unwrap();
    assert!(trusting(&page, &root, &name).await.is_err());
    page.stop().await;
}

#[tokio::test]
async fn its_page_is_there_without_encryption_too_and_nothing_else_is() {
    let page = Page::start();
    let host = format!("{}:{}", page.name(), page.port());
    let plain = async |line: &str| exchange(page.plain().await, line, &host, &[], b"").await;
    assert_eq!(plain("GET /").await.status, 426);
    let before = plain("GET /trust").await;
    assert!(before.status == 200 && before.text().contains("lanyard trust enable"), "{before:?}");
    assert_eq!(plain("GET /trust/lanyard.crt").await.status, 426);
    page.web.trust().enable(false).await.unwrap();
    for line in ["GET /trust", "GET /trust/lanyard.crt", "GET /trust/lanyard.mobileconfig"] {
        let (open, secure) = (plain(line).await, page.ask(line, &[]).await);
        assert_eq!((open.status, secure.status), (200, 200), "{line}");
        assert_eq!(open.body, secure.body, "{line}");
    }
    let policy = plain("GET /trust").await.header("content-security-policy").to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("script-src"), "{policy}");
    let saved = page.ask("GET /trust/lanyard.crt", &[]).await;
    assert!(saved.header("content-disposition").contains("lanyard.crt"), "{saved:?}");
    assert_eq!(plain("POST /trust").await.status, 426);
    for other in ["GET /assets/x", "GET /channel", "GET /trust/", "GET /trust/web.trust"] {
        assert_eq!(plain(other).await.status, 426, "{other}");
    }
    page.stop().await;
}
