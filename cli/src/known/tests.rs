//! What is remembered survives, together with everything that may go wrong around a file.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use lanyard_pairing::Grant;
use lanyard_protocol::principal::Scope;

use super::samples::{at, host, identity, pending};
use super::{HostsFile, KnownError, KnownHosts, MAX_ADDRESSES, device_key, device_key_or_new};

fn file(dir: &Path) -> HostsFile {
    HostsFile::of(&dir.join("state"))
}

fn grant() -> Grant {
    Grant { scopes: vec![Scope::Observe], device_name: "me".into(), granted_at: at() }
}

#[test]
fn what_is_written_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = file(dir.path());
    assert_eq!(file.read().unwrap(), KnownHosts::default());
    let mut odd = host("odd", 3);
    odd.name = "\u{1b}\"\\ = [x]\n\u{202e}".into();
    odd.addresses.push("[fe80::1%3]:7717".parse().unwrap());
    let written = file
        .change(|known| {
            known.hosts = vec![host("nas", 1), odd];
            known.wait_for(pending("Büro PC", 9), "10.0.0.1:7717".parse().unwrap(), at());
            known.clone()
        })
        .unwrap();
    assert_eq!(written.pending[0].alias, "büro-pc");
    assert_eq!(file.read().unwrap(), written);
    let path = dir.path().join("state/hosts.toml");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(dir.path().join("state")).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn nothing_is_written_when_nothing_changed() {
    let dir = tempfile::tempdir().unwrap();
    let file = file(dir.path());
    file.change(|_| ()).unwrap();
    assert!(!dir.path().join("state/hosts.toml").exists());
}

#[test]
fn writers_at_once_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = file(dir.path());
    std::thread::scope(|scope| {
        for writer in 0..8_u8 {
            let file = &file;
            scope.spawn(move || {
                for one in 0..4_u8 {
                    let seed = writer * 4 + one + 1;
                    let add = |known: &mut KnownHosts| known.hosts.push(host(&format!("h{seed}"), seed));
                    file.change(add).unwrap();
                }
            });
        }
    });
    assert_eq!(file.read().unwrap().hosts.len(), 32);
}

#[test]
fn a_damaged_file_is_named_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = file(dir.path());
    file.change(|known| known.hosts.push(host("nas", 1))).unwrap();
    let path = dir.path().join("state/hosts.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    let print = identity(1).fingerprint().to_string();
    for damaged in [
        "no toml at all [".to_owned(),
        String::new(),
        good.replace("version = 1", "version = 2\nnews = true"),
        good.replace("alias = ", "alais = "),
        good.replace(&print, &identity(2).fingerprint().to_string()),
        good.replace("signing_key = \"01", "signing_key = \"0x"),
        format!("{good}{}", &good[good.find("[[host]]").unwrap()..]),
    ] {
        std::fs::write(&path, &damaged).unwrap();
        let error = file.change(|known| known.hosts.clear()).unwrap_err();
        assert!(matches!(error, KnownError::Damaged { .. }), "{damaged}\n{error}");
        assert!(
            error.to_string().contains("hosts.toml") && error.to_string().contains("lanyard join"),
            "{error}"
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), damaged, "left as it was");
    }
}

#[test]
fn a_damaged_secret_is_not_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = file(dir.path());
    file.change(|known| known.wait_for(pending("nas", 9), "10.0.0.1:7717".parse().unwrap(), at())).unwrap();
    let path = dir.path().join("state/hosts.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    let secret = good.split("join = \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    for damaged in [good.replace(&secret, &secret[..40]), good.replace("join = \"", "join = \"\\q")] {
        std::fs::write(&path, &damaged).unwrap();
        let error = file.read().unwrap_err().to_string();
        assert!(!error.contains(&secret[..20]), "{error}");
    }
}

#[test]
fn a_file_open_to_others_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = file(dir.path());
    file.change(|known| known.hosts.push(host("nas", 1))).unwrap();
    let path = dir.path().join("state/hosts.toml");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = file.read().unwrap_err();
    assert!(matches!(error, KnownError::File(_)) && error.to_string().contains("chmod 600"), "{error}");
}

#[test]
fn the_device_has_one_key() {
    let dir = tempfile::tempdir().unwrap();
    let file = file(dir.path());
    assert!(matches!(device_key(file.state_dir()), Err(KnownError::NoDeviceKey)));
    let made: Vec<_> = std::thread::scope(|scope| {
        let makers: Vec<_> =
            (0..8).map(|_| scope.spawn(|| device_key_or_new(&file).unwrap().public())).collect();
        makers.into_iter().map(|maker| maker.join().unwrap()).collect()
    });
    let kept = device_key(file.state_dir()).unwrap().public();
    assert!(made.iter().all(|one| *one == kept));
    std::fs::write(file.state_dir().join("device.key"), [0; 63]).unwrap();
    let error = device_key_or_new(&file).unwrap_err();
    assert!(matches!(error, KnownError::Damaged { .. }), "never replaced by itself: {error}");
}

#[test]
fn a_pairing_goes_from_pending_to_paired() {
    let mut known = KnownHosts { hosts: vec![host("nas", 1)], ..KnownHosts::default() };
    let there = "10.0.0.9:7717".parse().unwrap();
    let other = pending("nas", 2);
    assert_eq!(known.wait_for(other.clone(), there, at()), "nas-2", "another host of the same name");
    assert_eq!(known.wait_for(other.clone(), there, at()), "nas-2");
    assert_eq!(known.pending.len(), 1, "one of a host");
    let joined = known.granted(&other, &grant(), Some(there));
    assert_eq!((joined.alias.as_str(), joined.addresses.as_slice()), ("nas-2", [there].as_slice()));
    assert!(known.pending.is_empty());

    // Paired anew: alias and addresses stay.
    let again = pending("renamed", 1);
    known.wait_for(again.clone(), there, at());
    let joined = known.granted(&again, &grant(), Some(there));
    assert_eq!((joined.alias.as_str(), joined.addresses.len()), ("nas", 2));
    assert_eq!(known.hosts.len(), 2);

    known.forget(identity(1).fingerprint());
    assert_eq!(known.hosts.len(), 1);
}

#[test]
fn addresses_are_few_and_the_last_one_first() {
    let mut known = KnownHosts { hosts: vec![host("nas", 1)], ..KnownHosts::default() };
    let of = identity(1).fingerprint();
    for port in 1..=20 {
        known.reached(of, format!("10.0.0.1:{port}").parse().unwrap());
    }
    known.reached(of, "10.0.0.1:15".parse().unwrap());
    let ports: Vec<u16> = known.hosts[0].addresses.iter().map(std::net::SocketAddr::port).collect();
    assert_eq!(ports, [15, 20, 19, 18, 17, 16, 14, 13]);
    assert_eq!(ports.len(), MAX_ADDRESSES);
}

#[test]
fn new_keys_take_the_place_of_the_old() {
    let mut known = KnownHosts { hosts: vec![host("a", 1), host("b", 2)], ..KnownHosts::default() };
    known.follow(identity(1).fingerprint(), identity(3));
    assert_eq!(known.hosts[0].identity, identity(3));
    known.follow(identity(3).fingerprint(), identity(2));
    assert_eq!(known.hosts[0].identity, identity(3), "never two entries of one host");
}
