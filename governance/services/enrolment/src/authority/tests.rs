//! The CA as others see it: rustls' verifiers are the judge.

use std::sync::Arc;
use std::time::Duration;

use rcgen::PKCS_ED25519;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::*;

const DAY: i64 = 86_400_000;

fn now() -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000)
}

fn at(time: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_millis(time.as_millis().unsigned_abs()))
}

fn roots(ca: &Authority) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(ca.certificate_der().to_vec())).unwrap();
    Arc::new(roots)
}

fn client_verifier(ca: &Authority) -> Arc<dyn ClientCertVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(roots(ca), provider).build().unwrap()
}

fn server_verifier(ca: &Authority) -> Arc<WebPkiServerVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    WebPkiServerVerifier::builder_with_provider(roots(ca), provider).build().unwrap()
}

fn made() -> (tempfile::TempDir, Authority) {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::load_or_create(dir.path(), now()).unwrap();
    (dir, ca)
}

/// A greedy request: a CA for a foreign server name.
fn request() -> KeyRequest {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let mut params = CertificateParams::new(vec!["central.example.com".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let der = params.serialize_request(&key).unwrap().der().to_vec();
    KeyRequest::parse(&pem::encode("CERTIFICATE REQUEST", &der)).unwrap()
}

fn issue(ca: &Authority) -> CertificateDer<'static> {
    let (agent, tenant) = (AgentId::new("agt_1").unwrap(), TenantId::new("acme").unwrap());
    let issued = ca.issue_agent(&request(), &agent, &tenant, now()).unwrap();
    assert_eq!(issued.not_after, now().plus_millis(DAY));
    let der = pem::decode("CERTIFICATE", &issued.pem).unwrap();
    assert_eq!(issued.hash, hash(&der));
    CertificateDer::from(der)
}

#[test]
fn a_hosts_certificate_is_for_clients_for_a_day_and_takes_nothing_from_the_request() {
    let (_dir, ca) = made();
    let certificate = issue(&ca);
    let judge = client_verifier(&ca);
    let verdict = |time| judge.verify_client_cert(&certificate, &[], at(time));
    assert!(verdict(now()).is_ok());
    assert!(verdict(now().plus_millis(DAY - 1_000)).is_ok());
    assert!(verdict(now().plus_millis(DAY + 1_000)).is_err());
    assert!(verdict(now().plus_millis(-DAY)).is_err());
    let name = ServerName::try_from("central.example.com").unwrap();
    assert!(server_verifier(&ca).verify_server_cert(&certificate, &[], &name, &[], at(now())).is_err());
    let cert = webpki::EndEntityCert::try_from(&certificate).unwrap();
    assert_eq!(cert.valid_uri_names().collect::<Vec<_>>(), ["lanyard:agent:acme/agt_1"]);
    assert_eq!(cert.valid_dns_names().count(), 0);
    let (_other_dir, other) = made();
    assert!(client_verifier(&other).verify_client_cert(&certificate, &[], at(now())).is_err());
}

#[test]
fn a_server_certificate_is_for_its_names_and_forgives_clocks() {
    let (_dir, ca) = made();
    let names = ["central.example.com".to_owned(), "10.0.0.7".to_owned(), "::1".to_owned()];
    let issued = ca.issue_server(&names, now()).unwrap();
    let certificate = CertificateDer::from(issued.certificate_der.clone());
    let judge = server_verifier(&ca);
    let verdict = |name: &str, time| {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        judge.verify_server_cert(&certificate, &[], &name, &[], at(time)).is_ok()
    };
    for name in ["central.example.com", "10.0.0.7", "::1"] {
        assert!(verdict(name, now().plus_millis(-DAY)) && verdict(name, now().plus_millis(DAY)), "{name}");
    }
    assert!(!verdict("other.example.com", now()));
    assert!(!verdict("central.example.com", issued.not_after.plus_millis(1_000)));
    assert!(client_verifier(&ca).verify_client_cert(&certificate, &[], at(now())).is_err());
    let key = rustls::pki_types::PrivateKeyDer::try_from(issued.key_der.clone()).unwrap();
    let signer = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    rustls::sign::CertifiedKey::new(vec![certificate], signer).keys_match().unwrap();
    assert!(ca.issue_server(&["not a name".to_owned()], now()).is_err());
    assert!(!format!("{issued:?}{ca:?}").contains("key"));
}

#[test]
fn the_files_are_kept_and_shared() {
    let dir = tempfile::tempdir().unwrap();
    let starts = (0..8).map(|_| {
        let path = dir.path().join("state");
        std::thread::spawn(move || Authority::load_or_create(&path, now()).unwrap().certificate_hash())
    });
    let hashes: Vec<_> = starts.collect::<Vec<_>>().into_iter().map(|start| start.join().unwrap()).collect();
    assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]));
    let path = dir.path().join("state");
    let again = Authority::load_or_create(&path, now().plus_millis(900 * DAY)).unwrap();
    assert_eq!(again.certificate_hash(), hashes[0]);
    let mut names: Vec<_> = std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["ca.key", "ca.pem"], "no drafts are left");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(path.join("ca.key")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn files_that_do_not_fit_are_refused_by_name() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, _ca) = made();
    let (key, certificate) = (dir.path().join("ca.key"), dir.path().join("ca.pem"));
    let load = || Authority::load_or_create(dir.path(), now());
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(load().unwrap_err(), AuthorityError::Open { mode: 0o640, .. }));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (other_dir, _other) = made();
    let mine = std::fs::read(&certificate).unwrap();
    std::fs::copy(other_dir.path().join("ca.pem"), &certificate).unwrap();
    assert!(load().unwrap_err().to_string().contains("another key"));
    std::fs::write(&certificate, "nothing").unwrap();
    assert!(matches!(load().unwrap_err(), AuthorityError::Unfit { .. }));
    std::fs::write(&certificate, mine).unwrap();
    load().unwrap();
    std::fs::remove_file(&key).unwrap();
    assert!(matches!(load().unwrap_err(), AuthorityError::KeyMissing(_)));
}
