//! The authority that browsers can be told to trust.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::pairing::{Host, pair_by_code, text};

#[test]
fn made_shown_and_taken_back() {
    let (host, device) = (Host::start(), crate::home::Home::new());
    let (code, out, err) = host.home.run(&["trust"]);
    assert!(code == 0 && out.contains("trust enable"), "{out}{err}");
    let (code, out, err) = host.home.run(&["trust", "enable", "--json"]);
    assert_eq!(code, 0, "{err}");
    let made: Value = serde_json::from_str(&out).unwrap();
    let fingerprint = text(&made["authority"], "fingerprint").to_owned();
    assert_eq!(fingerprint.len(), 95, "{fingerprint}");
    assert!(text(&made["authority"], "name").ends_with(".local"));
    assert_eq!(made["pages"][0], format!("https://{}/trust", host.address));
    let mode = std::fs::metadata(host.home.state().join("web.trust")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (_, out, _) = host.home.run(&["trust", "status"]);
    assert!(out.contains(&fingerprint[..47]) && out.contains("not verified"), "{out}");
    let (_, again, _) = host.home.run(&["trust", "enable", "--json"]);
    assert!(again.contains(&fingerprint), "once");

    // A device cannot, whatever rights it has.
    pair_by_code(&host, &device);
    assert_eq!(host.home.run(&["devices", "scopes", "laptop", "observe,admin"]).0, 0);
    let (code, out, err) = device.run(&["trust"]);
    assert!(code == 0 && out.contains(&fingerprint[..47]), "{out}{err}");
    assert_eq!(device.run(&["trust", "enable", "--renew"]).0, 3);
    assert_eq!(device.run(&["trust", "disable"]).0, 3);

    // New keys are a new name.
    let (code, out, err) = host.home.run(&["identity", "rotate"]);
    assert!(code == 0 && out.contains("trust enable"), "{out}{err}");
    assert!(!host.home.state().join("web.trust").exists());
    assert_eq!(host.home.run(&["trust", "enable"]).0, 0);
    assert_eq!(host.home.run(&["trust", "disable"]).0, 0);
    let (_, out, _) = host.home.run(&["trust", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["authority"], Value::Null);
}
