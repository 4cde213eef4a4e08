//! Which certificate a connection gets, how long it stays the same, and how it is kept.

use std::os::unix::fs::PermissionsExt;

use rustls::client::verify_server_name;
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;

use super::*;
use crate::web::certificate::{Certificate, CertificateError, CertificateStore, Subject, Trusted};

/// What a connection is shown.
async fn shown(page: &Page, asked: &str) -> CertificateDer<'static> {
    let line = page.tls_for(asked).await;
    let certificates = line.get_ref().1.peer_certificates().unwrap();
    assert_eq!(certificates.len(), 1);
    assert_eq!(line.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    certificates[0].clone().into_owned()
}

fn speaks_for(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let parsed = ParsedCertificate::try_from(certificate).unwrap();
    verify_server_name(&parsed, &ServerName::try_from(name).unwrap()).is_ok()
}

#[tokio::test]
async fn by_name_where_one_is_asked_for_else_by_address() {
    let page = Page::start();
    let named = shown(&page, &page.name()).await;
    assert!(speaks_for(&named, &page.name()) && speaks_for(&named, "localhost"));
    assert!(!speaks_for(&named, "127.0.0.1"));
    let addressed = shown(&page, "127.0.0.1").await;
    assert!(speaks_for(&addressed, "127.0.0.1") && !speaks_for(&addressed, &page.name()));
    assert_eq!(shown(&page, "localhost").await, named);
    assert_eq!(shown(&page, "evil.example").await, named, "who asks for another name is told who is here");
    page.stop().await;
}

#[tokio::test]
async fn the_same_after_a_restart_and_in_files_of_the_owner_alone() {
    let page = Page::start();
    let name = page.name();
    let before = (shown(&page, &name).await, shown(&page, "127.0.0.1").await);
    let dir = page.stop().await;
    for file in ["web.key", "web.certificates"] {
        let mode = std::fs::metadata(dir.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let page = Page::with(dir, assets::sample(), Pace::default());
    assert_eq!((shown(&page, &name).await, shown(&page, "127.0.0.1").await), before);
    let dir = page.stop().await;
    // A key that others can read is not used.
    let key = dir.path().join("web.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let page = Page::with(dir, assets::sample(), Pace::default());
    connect(page.address, &name).await.unwrap_err();
    let health = page.web.health(lanyard_protocol::health::DiscoveryState::Off);
    assert_eq!(health.status, lanyard_protocol::health::HealthStatus::Bad);
    assert!(health.message.contains("chmod 600"), "{health:?}");
    // Mended, it goes on without a restart.
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(shown(&page, &name).await, before.0);
    let health = page.web.health(lanyard_protocol::health::DiscoveryState::Off);
    assert_eq!(health.status, lanyard_protocol::health::HealthStatus::Ok, "{health:?}");
    assert!(health.message.contains("SHA-256"), "{health:?}");
    page.stop().await;
}

#[tokio::test]
async fn new_keys_of_the_host_bring_a_new_name_and_leave_the_addresses_alone() {
    let page = Page::start();
    let (old, addressed) = (page.name(), shown(&page, "127.0.0.1").await);
    let named = shown(&page, &old).await;
    page.id.send_replace(id(8));
    assert_ne!(page.name(), old);
    let renamed = shown(&page, &page.name()).await;
    assert!(renamed != named && speaks_for(&renamed, &page.name()) && !speaks_for(&renamed, &old));
    assert_eq!(shown(&page, "127.0.0.1").await, addressed);
    let host = format!("{old}:{}", page.port());
    assert_eq!(exchange(page.tls().await, "GET /", &host, &[], b"").await.status, 421);
    page.stop().await;
}

struct Kept {
    dir: tempfile::TempDir,
    clock: Arc<Hand>,
    store: CertificateStore,
}

impl Kept {
    fn new() -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(Hand::default()));
        let store = CertificateStore::new(dir.path(), clock.clone());
        Self { dir, clock, store }
    }

    fn restarted(self) -> Self {
        let store = CertificateStore::new(self.dir.path(), self.clock.clone());
        Self { store, ..self }
    }

    async fn of(&self, address: &str) -> String {
        self.certificate(address).await.fingerprint
    }

    async fn certificate(&self, address: &str) -> Certificate {
        self.store.certificate(&Subject::of(address.parse().unwrap())).await.unwrap()
    }
}

#[tokio::test]
async fn addresses_come_and_go_without_touching_the_others() {
    let kept = Kept::new();
    let first = kept.of("192.168.1.5").await;
    let second = kept.of("10.8.0.2").await;
    assert_ne!(first, second);
    let kept = kept.restarted();
    assert_eq!(kept.of("192.168.1.5").await, first, "while the other address is away");
    kept.of("2001:db8::1").await;
    let kept = kept.restarted();
    assert_eq!([kept.of("10.8.0.2").await, kept.of("192.168.1.5").await], [second, first]);
    let mapped = kept.of("::ffff:192.168.1.5").await;
    assert_eq!(mapped, kept.of("192.168.1.5").await);
    assert_eq!(kept.of("127.8.8.8").await, kept.of("127.0.0.1").await, "one certificate for all of loopback");
}

#[tokio::test]
async fn many_addresses_push_out_those_not_used() {
    let kept = Kept::new();
    let stays = kept.of("192.168.1.5").await;
    for day in 0..100 {
        kept.of(&format!("2001:db8::{day:x}")).await;
        assert_eq!(kept.of("192.168.1.5").await, stays, "on day {day}");
    }
    let file = std::fs::metadata(kept.dir.path().join("web.certificates")).unwrap();
    assert!(file.len() < 32 * 1024, "{}", file.len());
}

#[tokio::test]
async fn renewed_a_week_before_its_end_and_not_earlier() {
    let kept = Kept::new();
    let first = kept.certificate("192.168.1.5").await;
    let days = first.until.millis_since(kept.clock.now()) / (24 * 60 * 60 * 1000);
    assert_eq!(days, 800);
    kept.clock.forward_days(792);
    assert_eq!(kept.of("192.168.1.5").await, first.fingerprint);
    kept.clock.forward_days(1);
    let kept = kept.restarted();
    let second = kept.certificate("192.168.1.5").await;
    assert_ne!(second.fingerprint, first.fingerprint);
    // A machine whose clock was wrong when it was started first.
    kept.clock.forward_days(4_000);
    assert_ne!(kept.of("192.168.1.5").await, second.fingerprint);
}

#[tokio::test]
async fn the_owner_is_told_a_month_before() {
    use lanyard_protocol::health::{DiscoveryState, HealthStatus};
    let page = Page::start();
    shown(&page, &page.name()).await;
    page.clock.forward_days(769);
    assert_eq!(page.web.health(DiscoveryState::Off).status, HealthStatus::Ok);
    page.clock.forward_days(2);
    let told = page.web.health(DiscoveryState::Off);
    assert_eq!((told.name.as_str(), told.status), ("web", HealthStatus::Degraded));
    assert!(told.message.contains("ends on 2029-") && told.action.is_some(), "{told:?}");
    page.stop().await;
}

#[tokio::test]
async fn damaged_files_are_named_or_replaced() {
    let kept = Kept::new();
    let first = kept.of("192.168.1.5").await;
    std::fs::write(kept.dir.path().join("web.certificates"), b"cut").unwrap();
    let kept = kept.restarted();
    let second = kept.of("192.168.1.5").await;
    assert_ne!(first, second, "browsers warn once more, and the page is there");
    std::fs::write(kept.dir.path().join("web.key"), b"cut").unwrap();
    let kept = kept.restarted();
    let error = kept.store.certificate(&Subject::of("192.168.1.5".parse().unwrap())).await.unwrap_err();
    assert!(
        matches!(error, CertificateError::Damaged(..)) && error.to_string().contains("remove it"),
        "{error}"
    );
    assert!(kept.store.failure().is_some());
    std::fs::remove_file(kept.dir.path().join("web.key")).unwrap();
    let third = kept.of("192.168.1.5").await;
    assert_ne!(second, third, "a certificate under another key is not shown");
    assert!(kept.store.failure().is_none());
}

#[tokio::test]
async fn a_trusted_certificate_takes_the_names_place_while_it_lasts() {
    let page = Page::start();
    let (name, own) = (page.name(), shown(&page, &page.name()).await);
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let leaf = rcgen::CertificateParams::new(vec![name.clone()]).unwrap().self_signed(&key).unwrap();
    let trusted = |days: i64| Trusted {
        name: name.clone(),
        chain: vec![leaf.der().clone()],
        key: key.serialize_der().into(),
        until: page.clock.now().plus_millis(days * 24 * 60 * 60 * 1000),
    };
    page.web.certificates.trust(Some(trusted(100))).unwrap();
    assert_eq!(shown(&page, &name).await, *leaf.der());
    assert_eq!(shown(&page, "localhost").await, own, "it does not speak for this one");
    page.clock.forward_days(101);
    assert_eq!(shown(&page, &name).await, own, "an expired one is worse than the host's own");
    page.web.certificates.trust(Some(trusted(100))).unwrap();
    page.web.certificates.trust(None).unwrap();
    assert_eq!(shown(&page, &name).await, own);
    let wrong = Trusted { key: vec![1, 2, 3].into(), ..trusted(1) };
    page.web.certificates.trust(Some(wrong)).unwrap_err();
    page.stop().await;
}
