//! The host in words.

use lanyard_protocol::Timestamp;
use lanyard_protocol::device::{Device, KeyStorage, PageReport};
use lanyard_protocol::health::TaskDay;
use lanyard_protocol::id::DeviceId;
use lanyard_protocol::overview::{Asker, GrantOverview, PolicyOverview, Standing};
use lanyard_protocol::policy::{Capability, SandboxLevel};
use lanyard_protocol::principal::Scope;

use super::*;
use crate::words::Zone;

fn day(completed: u32, failed: u32) -> TaskDay {
    TaskDay { day: 1, completed, failed, cancelled: 0 }
}

#[test]
fn a_week_says_all_only_when_it_was_all() {
    assert_eq!(week_words(&[]), "none");
    assert_eq!(week_words(&[day(3, 0)]), "3 · all done");
    assert_eq!(week_words(&[day(9_999, 1)]), "10000 · 99.9 % done");
    // What was before the week does not count.
    let long: Vec<_> = std::iter::once(day(0, 50)).chain(std::iter::repeat_n(day(1, 0), 7)).collect();
    assert_eq!(week_words(&long), "7 · all done");
    assert_eq!(curve(&long).len(), 8);
}

fn device() -> Device {
    Device {
        device_id: DeviceId::new("d").unwrap(),
        name: "Pixel".into(),
        platform: "Android".into(),
        scopes: vec![Scope::Observe, Scope::Approve],
        paired_at: Timestamp::from_millis(0),
        provisional_until: None,
        last_seen: Some(Timestamp::from_millis(0)),
        last_address: None,
        connections: 0,
        page: None,
        temporary: false,
        made_by: None,
    }
}

#[test]
fn a_device_says_when_it_was_here_and_what_it_may() {
    let now = Timestamp::from_millis(120_000);
    assert_eq!(device_line(&device(), now, Zone::default()), "seen 2 min ago · see · approve");
    let here = Device { connections: 2, ..device() };
    assert!(device_line(&here, now, Zone::default()).starts_with("connected"));
    assert!(device_cautions(&here).is_empty());
    let page = PageReport { origin: "https://1.2.3.4".into(), verified: false, key: KeyStorage::Plain };
    let cautions = device_cautions(&Device { page: Some(page), temporary: true, ..device() });
    assert_eq!(cautions.len(), 3);
    assert!(cautions[0].starts_with("Page unverified"));
}

fn grant(capability: Capability, standing: Standing) -> GrantOverview {
    GrantOverview { capability, standing, limits: Vec::new() }
}

#[test]
fn policy_is_said_in_three_sentences() {
    let policy = PolicyOverview {
        layers: vec!["local".into()],
        version: "1".into(),
        expires_at: Timestamp::from_millis(0),
        grants: vec![
            grant(Capability::FileRead, Standing::Free),
            grant(Capability::FileWrite, Standing::Asks),
            grant(Capability::ShellExec, Standing::Asks),
            grant(Capability::GitPush, Standing::Asks),
            grant(Capability::WorkspaceUpload, Standing::Never),
            grant(Capability::LlmCall, Standing::Free),
        ],
        protected: Vec::new(),
        sandbox_level: SandboxLevel::Full,
        approval_seconds: 300,
        askers: Vec::new(),
    };
    let said = policy_sentences(&policy);
    assert_eq!(said[0], (Standing::Free, "It may read files without asking.".to_owned()));
    assert_eq!(
        said[1].1,
        "It asks before it may write files, run programs or push commits. Without an answer within 5 min it does not."
    );
    assert!(said[2].1.starts_with("It does not upload"));
    assert_eq!(limits(&policy.grants[0]), "everywhere");
    assert_eq!(limits(&policy.grants[4]), "");
}

#[test]
fn askers_without_a_name_are_not_given_one() {
    let asker = |name: Option<&str>, this| Asker {
        name: name.map(str::to_owned),
        scopes: vec![Scope::Observe],
        this,
    };
    assert_eq!(asker_line(&asker(None, false)), "Another device: see");
    assert_eq!(asker_line(&asker(Some("Pixel"), true)), "Pixel (this device): see");
}
