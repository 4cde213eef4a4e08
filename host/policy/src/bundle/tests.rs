//! What a bundle must hold to be used, and what the local default grants.

use lanyard_protocol::{
    Timestamp,
    policy::{Capability, PolicyBundle, RedactionRule},
};
use proptest::prelude::*;

use super::{BundleFault, LOCAL_BUNDLE_LIFE_MILLIS, MAX_BUNDLE_BYTES, parse};
use crate::{layer::Layers, redact::Redactor, testing::*};

fn fault(change: impl Fn(&mut PolicyBundle)) -> BundleFault {
    let mut bundle = local();
    change(&mut bundle);
    Layers::validate(vec![("local", bundle)], &session(), now()).unwrap_err()
}

fn json() -> serde_json::Value {
    lanyard_protocol::codec::to_json_value(&local()).unwrap()
}

#[test]
fn the_local_default_is_valid_for_a_day() {
    let layers = layers(vec![local()]);
    assert_eq!(layers.expires_at(), now().plus_millis(LOCAL_BUNDLE_LIFE_MILLIS));
    assert_eq!(layers.epoch(), 1);
    assert!(Layers::validate(vec![], &session(), now()).is_err());
}

#[test]
fn what_seed_section_10_demands_is_checked() {
    assert!(matches!(fault(|b| b.expires_at = now()), BundleFault::Expired(_)));
    assert!(matches!(fault(|b| b.session_id = "ses-2".parse().unwrap()), BundleFault::OtherSession { .. }));
    assert!(matches!(fault(|b| b.schema_version = "1.1".into()), BundleFault::SchemaVersion { .. }));
    assert!(matches!(fault(|b| b.llm_policy.allowed_models.clear()), BundleFault::NoModel));
}

#[test]
fn every_part_of_a_bundle_must_be_understood() {
    assert!(matches!(fault(|b| b.approval_rules.clear()), BundleFault::UnknownRule { .. }));
    assert!(matches!(
        fault(|b| b.approval_rules.push(b.approval_rules[0].clone())),
        BundleFault::DuplicateRule(_)
    ));
    let grant = |change: fn(&mut lanyard_protocol::policy::CapabilityGrant)| {
        fault(move |b| change(&mut b.capabilities[0]))
    };
    for found in [
        grant(|g| g.allowed_paths = Some(vec!["relative".into()])),
        grant(|g| g.allowed_paths = Some(vec!["~/x".into()])),
        grant(|g| g.blocked_paths = Some(vec!["/a/../..".into()])),
        grant(|g| g.allowed_commands = Some(vec!["git *".into()])),
        grant(|g| g.allowed_commands = Some(vec!["git  log".into()])),
        grant(|g| g.allowed_commands = Some(vec!["".into()])),
        grant(|g| g.blocked_commands = Some(vec!["rm; ls".into()])),
        grant(|g| g.allowed_domains = Some(vec!["*".into()])),
        grant(|g| g.blocked_domains = Some(vec!["https://x".into()])),
        grant(|g| g.allowed_cwds = Some(vec!["".into()])),
        grant(|g| g.repo_paths = Some(vec!["a".into()])),
    ] {
        assert!(matches!(found, BundleFault::Grant { .. }), "{found}");
    }
    assert!(matches!(
        fault(|b| b.redaction_rules.push(RedactionRule {
            name: "x".into(),
            pattern: "(".into(),
            replacement: String::new()
        })),
        BundleFault::Redaction(_)
    ));
    let many = vec!["/a".to_owned(); 1_001];
    assert!(matches!(
        fault(|b| b.capabilities[0].allowed_paths = Some(many.clone())),
        BundleFault::ListTooLong(_)
    ));
}

#[test]
fn text_with_unknown_members_or_names_is_refused() {
    assert_eq!(parse(&json().to_string()).unwrap(), local());
    let mut member = json();
    member["surprise"] = true.into();
    let mut grant = json();
    grant["capabilities"][0]["onlyOnSundays"] = true.into();
    let mut name = json();
    name["capabilities"][0]["name"] = "File.Everything".into();
    let mut rule = json();
    rule["approvalRules"][0]["approver"] = "anyone".into();
    for bad in [member, grant, name, rule, serde_json::json!({}), serde_json::json!([])] {
        assert!(matches!(parse(&bad.to_string()), Err(BundleFault::Syntax(_))), "{bad}");
    }
    assert_eq!(parse(&" ".repeat(MAX_BUNDLE_BYTES + 1)), Err(BundleFault::TooLarge));
}

#[test]
fn the_default_redactions_remove_credentials_and_little_else() {
    let redactor = Redactor::compile(&local().redaction_rules).unwrap();
    for secret in [
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\nAAA=\n-----END OPENSSH PRIVATE KEY-----",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_0123456789abcdefghijklmnopqrstuvwxyz",
        "sk-proj-0123456789abcdefghijklmnopqrstuvwxyz",
        "xoxb-1234567890-abcdef",
        "glpat-0123456789abcdefghij",
    ] {
        let text = format!("a {secret} b");
        let redacted = redactor.apply(&text);
        assert!(
            !redacted.contains(secret) && redacted.starts_with("a [") && redacted.ends_with(" removed] b"),
            "{redacted}"
        );
    }
    assert_eq!(redactor.apply("let sk = task-list; // AKIA"), "let sk = task-list; // AKIA");
}

#[test]
fn the_local_default_grants_no_upload_and_no_backend_tools() {
    for missing in [Capability::WorkspaceUpload, Capability::BackendToolInvoke] {
        assert!(local().capabilities.iter().all(|grant| grant.name != missing));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn parsing_never_panics(text in any::<String>(), at in any::<prop::sample::Index>(), with in any::<char>()) {
        let _ = parse(&text);
        let mut chars: Vec<char> = json().to_string().chars().collect();
        let at = at.index(chars.len());
        chars[at] = with;
        if let Ok(bundle) = parse(&chars.into_iter().collect::<String>()) {
            let _ = Layers::validate(vec![("local", bundle)], &session(), Timestamp::default());
        }
    }
}
