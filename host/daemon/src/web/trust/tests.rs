//! What the authority can do, and what it cannot; what is kept, given out, and forgotten.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use lanyard_pairing::IdentityKeys;
use lanyard_ports::source::Clock;
use lanyard_protocol::Timestamp;
use lanyard_protocol::id::HostId;
use rand_core::OsRng;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::sync::watch;
use webpki::{EndEntityCert, Error, KeyUsage, anchor_from_trusted_cert};

use super::issue::{Issued, Signer, issue};
use super::{TRUST_FILE, Trust, TrustError};
use crate::web::certificate::{CertificateStore, Subject};
use crate::web::downloads::Downloads;

const NAME: &str = "lanyard-k7qx92md.local";
const DAY: u64 = 24 * 60 * 60;

fn now() -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000)
}

fn at(days: i64) -> UnixTime {
    let seconds = u64::try_from(now().as_millis() / 1000).unwrap();
    let shift = DAY * days.unsigned_abs();
    UnixTime::since_unix_epoch(Duration::from_secs(if days < 0 { seconds - shift } else { seconds + shift }))
}

/// As a browser that was told to trust the authority judges.
fn judged(
    leaf: &CertificateDer<'_>,
    authority: &CertificateDer<'_>,
    name: &str,
    time: UnixTime,
) -> Result<(), Error> {
    let anchor = anchor_from_trusted_cert(authority).unwrap();
    let leaf = EndEntityCert::try_from(leaf)?;
    leaf.verify_for_usage(
        &[webpki::ring::ECDSA_P256_SHA256],
        &[anchor],
        &[],
        time,
        KeyUsage::server_auth(),
        None,
        None,
    )?;
    leaf.verify_is_valid_for_subject_name(&ServerName::try_from(name.to_owned()).unwrap())
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

#[test]
fn its_certificate_is_good_for_the_name_and_for_its_time() {
    let Issued { authority, leaf, until, .. } = issue(NAME, now()).unwrap();
    assert_eq!(judged(&leaf, &authority, NAME, at(0)), Ok(()));
    assert_eq!(judged(&leaf, &authority, NAME, at(799)), Ok(()));
    assert!(matches!(judged(&leaf, &authority, NAME, at(801)), Err(Error::CertExpired { .. })));
    assert!(matches!(judged(&leaf, &authority, NAME, at(-2)), Err(Error::CertNotValidYet { .. })));
    let days = until.millis_since(now()) / 1000 / DAY;
    assert!(days < 820, "{days}");
    assert!(judged(&leaf, &authority, "lanyard-other.local", at(0)).is_err());
    // Another authority of the same name does not vouch for it.
    let other = issue(NAME, now()).unwrap();
    assert_eq!(judged(&leaf, &other.authority, NAME, at(0)), Err(Error::InvalidSignatureForPublicKey));
    assert_ne!(*other.key, *issue(NAME, now()).unwrap().key);
}

/// What the destroyed key could have signed is worth nothing but for the name.
#[test]
fn signed_by_the_same_key_nothing_else_is_taken() {
    let signer = Signer::new(NAME, now()).unwrap();
    let sign = |names: &[&str]| {
        signer.certificate(names.iter().map(|name| (*name).to_owned()).collect(), &key()).unwrap()
    };
    for name in ["evil.example", "localhost", "lanyard-k7qx92me.local", "local", "k7qx92md.local"] {
        let judged = judged(&sign(&[name]), &signer.authority, name, at(0));
        assert_eq!(judged, Err(Error::NameConstraintViolation), "{name}");
        let beside = judged_beside(&signer, &sign(&[NAME, name]));
        assert_eq!(beside, Err(Error::NameConstraintViolation), "{name} beside its own");
    }
    for address in ["192.168.1.7", "127.0.0.1", "2001:db8::1", "::1"] {
        let judged = judged(&sign(&[address]), &signer.authority, address, at(0));
        assert_eq!(judged, Err(Error::NameConstraintViolation), "{address}");
        assert!(address.parse::<IpAddr>().is_ok());
        let beside = judged_beside(&signer, &sign(&[NAME, address]));
        assert_eq!(beside, Err(Error::NameConstraintViolation), "{address} beside its own");
    }
    assert_eq!(judged_beside(&signer, &sign(&[NAME])), Ok(()));
}

fn judged_beside(signer: &Signer, leaf: &CertificateDer<'_>) -> Result<(), Error> {
    judged(leaf, &signer.authority, NAME, at(0))
}

/// Read by other eyes than those that wrote it, where they are there.
#[test]
fn openssl_reads_what_is_meant() {
    let dir = tempfile::tempdir().unwrap();
    let issued = issue(NAME, now()).unwrap();
    let text = |der: &[u8]| {
        let path = dir.path().join("x.der");
        std::fs::write(&path, der).unwrap();
        let output = std::process::Command::new("openssl")
            .args(["x509", "-inform", "der", "-noout", "-text", "-in"])
            .arg(&path)
            .output();
        output.ok().map(|output| String::from_utf8(output.stdout).unwrap())
    };
    let (Some(authority), Some(leaf)) = (text(&issued.authority), text(&issued.leaf)) else { return };
    for line in [
        "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0\n",
        "X509v3 Key Usage: critical\n                Certificate Sign\n",
        "X509v3 Extended Key Usage: \n                TLS Web Server Authentication\n",
        "X509v3 Name Constraints: critical\n                Permitted:\n                  DNS:lanyard-k7qx92md.local\n",
        "Excluded:\n                  IP:0.0.0.0/0.0.0.0\n                  IP:0:0:0:0:0:0:0:0/0:0:0:0:0:0:0:0\n",
        "NIST CURVE: P-256",
    ] {
        assert!(authority.contains(line), "{line:?} in\n{authority}");
    }
    assert!(leaf.contains("CA:FALSE") && leaf.contains("DNS:lanyard-k7qx92md.local\n"), "{leaf}");
    assert!(!leaf.contains("localhost"), "{leaf}");
}

struct Wall(AtomicI64);

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

struct Rig {
    dir: tempfile::TempDir,
    clock: Arc<Wall>,
    id: watch::Sender<HostId>,
    certificates: CertificateStore,
    downloads: Downloads,
    trust: Trust,
}

fn id() -> HostId {
    let keys = IdentityKeys::generate(&mut OsRng);
    HostId::new(keys.public().fingerprint().to_string()).unwrap()
}

impl Rig {
    fn new() -> Self {
        Self::over(tempfile::tempdir().unwrap(), id())
    }

    fn over(dir: tempfile::TempDir, host: HostId) -> Self {
        let clock = Arc::new(Wall(AtomicI64::new(now().as_millis())));
        let (id, host_id) = watch::channel(host);
        let certificates = CertificateStore::new(dir.path(), clock.clone());
        let downloads = Downloads::default();
        let trust = Trust::new(dir.path(), clock.clone(), host_id, certificates.clone(), downloads.clone());
        Self { dir, clock, id, certificates, downloads, trust }
    }

    fn restart(self) -> Self {
        let id = self.id.borrow().clone();
        Self::over(self.dir, id)
    }

    fn file(&self) -> std::path::PathBuf {
        self.dir.path().join(TRUST_FILE)
    }

    fn in_use(&self, name: &str) -> bool {
        self.certificates.known(&Subject::Name(name.to_owned())).is_some_and(|held| held.trusted)
    }

    async fn get(&self, path: &str) -> Option<(String, Vec<u8>)> {
        let response = self.downloads.answer(path)?;
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        Some((kind, body.to_vec()))
    }
}

#[tokio::test]
async fn made_once_kept_private_and_in_use_again_after_a_restart() {
    let rig = Rig::new();
    assert_eq!(rig.trust.authority().await.unwrap(), None);
    let made = rig.trust.enable(false).await.unwrap();
    assert!(made.name.starts_with("lanyard-") && made.name.ends_with(".local") && rig.in_use(&made.name));
    assert_eq!(std::fs::metadata(rig.file()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(rig.trust.enable(false).await.unwrap(), made, "once");
    let rig = rig.restart();
    assert!(!rig.in_use(&made.name));
    assert_eq!(rig.trust.authority().await.unwrap(), Some(made.clone()));
    assert!(rig.in_use(&made.name));
    let renewed = rig.trust.enable(true).await.unwrap();
    assert_ne!(renewed.fingerprint, made.fingerprint);
    // One that has ended is made anew without being asked to.
    rig.clock.0.store(renewed.until.as_millis(), Ordering::Relaxed);
    assert_ne!(rig.trust.enable(false).await.unwrap().fingerprint, renewed.fingerprint);
}

#[tokio::test]
async fn the_file_holds_one_key_and_it_is_not_the_authoritys() {
    let rig = Rig::new();
    rig.trust.enable(false).await.unwrap();
    let content = std::fs::read(rig.file()).unwrap();
    // PKCS #8 of P-256 begins so (RFC 5208, RFC 5480): version, then the algorithm.
    let mark = [0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    assert_eq!(content.windows(mark.len()).filter(|window| *window == mark).count(), 1);
    let kept = super::kept::Kept::read(&rig.file()).unwrap().unwrap();
    let pair = KeyPair::from_pkcs8_der_and_sign_algo(
        &rustls::pki_types::PrivatePkcs8KeyDer::from(kept.key.as_slice()),
        &PKCS_ECDSA_P256_SHA256,
    )
    .unwrap();
    let public = pair.public_key_raw();
    let within = |der: &[u8]| der.windows(public.len()).any(|window| window == public);
    assert!(within(&kept.leaf) && !within(&kept.authority));
}

#[tokio::test]
async fn given_out_as_page_profile_and_certificate_and_taken_back() {
    let rig = Rig::new();
    let (_, page) = rig.get("/trust").await.unwrap();
    assert!(String::from_utf8(page).unwrap().contains("lanyard trust enable"));
    assert!(rig.get("/trust/lanyard.crt").await.is_none());
    let made = rig.trust.enable(false).await.unwrap();
    let (kind, der) = rig.get("/trust/lanyard.crt").await.unwrap();
    assert_eq!(kind, "application/x-x509-ca-cert");
    assert_eq!(super::fingerprint(&CertificateDer::from(der.clone())), made.fingerprint);
    let (kind, profile) = rig.get("/trust/lanyard.mobileconfig").await.unwrap();
    assert_eq!(kind, "application/x-apple-aspen-config");
    let profile = String::from_utf8(profile).unwrap();
    let data = profile.split("<data>").nth(1).unwrap().split("</data>").next().unwrap();
    assert_eq!(data_encoding::BASE64.decode(data.as_bytes()).unwrap(), der);
    assert!(profile.contains("com.apple.security.root") && !profile.contains(&made.fingerprint));
    let (_, page) = rig.get("/trust").await.unwrap();
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains(&made.name) && page.contains("not verified"), "{page}");
    assert!(!page.contains("<script") && !page.contains("style=\"") && !page.contains("onclick"), "{page}");
    assert!(!page.contains(&made.fingerprint[..20]), "it is compared with the host's screen");

    rig.trust.disable().await.unwrap();
    assert!(!rig.file().exists() && !rig.in_use(&made.name));
    assert!(rig.get("/trust/lanyard.crt").await.is_none());
    rig.trust.disable().await.unwrap();
}

#[tokio::test]
async fn with_new_keys_of_the_host_the_trust_is_gone() {
    let rig = Rig::new();
    let made = rig.trust.enable(false).await.unwrap();
    rig.id.send_replace(id());
    assert_eq!(rig.trust.authority().await.unwrap(), None);
    assert!(!rig.file().exists() && !rig.in_use(&made.name));
    assert_ne!(rig.trust.enable(false).await.unwrap().name, made.name);
    // Also when they changed while nobody looked.
    let dir = rig.restart().dir;
    let rig = Rig::over(dir, id());
    assert_eq!(rig.trust.authority().await.unwrap(), None);
    assert!(!rig.file().exists());
}

#[tokio::test]
async fn a_damaged_file_is_said_and_left_alone_until_a_new_one_is_wanted() {
    let rig = Rig::new();
    rig.trust.enable(false).await.unwrap();
    let mut content = std::fs::read(rig.file()).unwrap();
    content.pop();
    lanyard_transport::keyfile::write(&rig.file(), &content).unwrap();
    let rig = rig.restart();
    assert!(matches!(rig.trust.authority().await, Err(TrustError::Damaged(_))));
    assert!(matches!(rig.trust.enable(false).await, Err(TrustError::Damaged(_))));
    assert_eq!(std::fs::read(rig.file()).unwrap(), content);
    rig.trust.enable(true).await.unwrap();
}
