//! Grants on disk: kept, refused when touched, gone with their sessions.

use std::os::unix::fs::PermissionsExt;

use lanyard_protocol::policy::{LlmPolicy, SandboxLevel};

use super::*;

/// The host's wall clock when the test begins; the centre's is a day ahead.
const START: i64 = 1_800_000_000_000;
const DAY: i64 = 86_400_000;

struct Kit {
    _dir: tempfile::TempDir,
    grants: Grants,
}

impl Kit {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { grants: Grants::new(dir.path().join("grants")), _dir: dir }
    }

    fn keep(&self, granted: &Granted) {
        self.grants.keep(&session(), granted, &after(0)).unwrap();
    }

    fn usable(&self, now: &Mark) -> Result<Granted, NoGrant> {
        let news = PolicyNews { epoch: 3, revoked: None };
        self.grants.usable(&session(), &Measure { now, heard: None, news: &news })
    }
}

fn session() -> SessionId {
    SessionId::new("sess_1").unwrap()
}

/// So many seconds after the beginning.
fn after(seconds: u64) -> Mark {
    let millis = seconds * 1000;
    Mark { boot_id: "boot-1".to_owned(), boot: millis, wall: START + i64::try_from(millis).unwrap() }
}

fn granted() -> Granted {
    Granted {
        bundle: PolicyBundle {
            policy_bundle_version: "3".to_owned(),
            schema_version: "1.0".to_owned(),
            tenant_id: "acme".to_owned(),
            user_id: "mia".to_owned(),
            session_id: session(),
            expires_at: Timestamp::from_millis(START + DAY + 3_600_000),
            capabilities: Vec::new(),
            llm_policy: LlmPolicy {
                allowed_models: vec!["m".to_owned()],
                max_input_tokens: 1,
                max_output_tokens: 1,
                max_session_tokens: 1,
            },
            approval_rules: Vec::new(),
            mcp_servers: Vec::new(),
            redaction_rules: Vec::new(),
            required_sandbox_level: SandboxLevel::None,
            policy_epoch: 3,
            offline_grace_seconds: 600,
        },
        gateway: Some(SessionGateway {
            endpoint: "http://127.0.0.1:1/v1".to_owned(),
            token: "t".to_owned(),
            model: None,
            expires_at: Some(Timestamp::from_millis(START + DAY + 300_000)),
        }),
        when_away: WhenAway::Continue,
        max_steps: 50,
        issuer_time: Timestamp::from_millis(START + DAY),
    }
}

#[test]
fn a_grant_serves_within_its_grace_and_no_longer_and_the_token_not_beyond_its_own_end() {
    let kit = Kit::new();
    kit.keep(&granted());
    let file = std::fs::read_dir(&kit.grants.dir).unwrap().next().unwrap().unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let used = kit.usable(&after(299)).unwrap();
    assert_eq!(used.gateway.unwrap().token, "t");
    assert_eq!(used.issuer_time, Timestamp::from_millis(START + DAY + 299_000));
    assert_eq!(used.bundle.offline_grace_seconds, 301, "used again it does not begin anew");
    assert_eq!(kit.usable(&after(301)).unwrap().gateway, None, "the token ran out");
    kit.usable(&after(600)).unwrap();
    assert_eq!(kit.usable(&after(601)), Err(NoGrant::GraceOver(600)));
    assert_eq!(kit.usable(&after(0)), Err(NoGrant::None), "a void grant is deleted");
}

#[test]
fn the_grace_counts_from_when_the_centre_was_last_heard_and_the_bundle_runs_out_all_the_same() {
    let kit = Kit::new();
    kit.keep(&granted());
    let news = PolicyNews::default();
    let at = |now: &Mark, heard: &Mark| {
        kit.grants.usable(&session(), &Measure { now, heard: Some(heard), news: &news })
    };
    assert_eq!(at(&after(3_500), &after(3_400)).unwrap().bundle.offline_grace_seconds, 500);
    assert_eq!(at(&after(3_600), &after(3_590)), Err(NoGrant::Expired));
}

#[test]
fn a_clock_that_is_set_back_prolongs_nothing() {
    let kit = Kit::new();
    kit.keep(&granted());
    let set_back = Mark { wall: START, ..after(601) };
    assert_eq!(kit.usable(&set_back), Err(NoGrant::GraceOver(600)));
    kit.keep(&granted());
    let rebooted = Mark { boot_id: "boot-2".to_owned(), boot: 0, wall: START - 1 };
    assert_eq!(kit.usable(&rebooted), Err(NoGrant::Expired));
}

#[test]
fn a_restart_of_the_machine_within_the_grace_keeps_the_grant() {
    let kit = Kit::new();
    kit.keep(&granted());
    kit.usable(&Mark { boot_id: "boot-2".to_owned(), boot: 0, wall: START + 100_000 }).unwrap();
}

#[test]
fn what_was_heard_since_makes_a_grant_void() {
    let kit = Kit::new();
    let with = |news: PolicyNews| {
        kit.keep(&granted());
        kit.grants.usable(&session(), &Measure { now: &after(1), heard: None, news: &news })
    };
    assert_eq!(with(PolicyNews { epoch: 4, revoked: None }), Err(NoGrant::Outdated));
    assert_eq!(with(PolicyNews { epoch: 3, revoked: Some("Ann: no".to_owned()) }), Err(NoGrant::Outdated));
    with(PolicyNews { epoch: 3, revoked: None }).unwrap();
}

#[test]
fn where_the_tenant_wants_sessions_to_stand_still_they_do_and_the_grant_is_kept() {
    let kit = Kit::new();
    kit.keep(&Granted { when_away: WhenAway::Pause, ..granted() });
    assert_eq!(kit.usable(&after(1)), Err(NoGrant::Pauses));
    assert_eq!(kit.usable(&after(2)), Err(NoGrant::Pauses));
}

#[test]
fn another_sessions_bundle_is_not_used_whatever_the_file_is_called() {
    let kit = Kit::new();
    let other = SessionId::new("sess_2").unwrap();
    kit.keep(&granted());
    std::fs::rename(kit.grants.path(&session()), kit.grants.path(&other)).unwrap();
    let news = PolicyNews::default();
    let by = Measure { now: &after(0), heard: None, news: &news };
    assert_eq!(kit.grants.usable(&other, &by), Err(NoGrant::None));
}

#[test]
fn the_number_kept_is_bounded() {
    let kit = Kit::new();
    for n in 0..MAX_KEPT + 3 {
        let session = SessionId::new(format!("sess_{n}")).unwrap();
        kit.grants.keep(&session, &granted(), &after(0)).unwrap();
    }
    assert_eq!(std::fs::read_dir(&kit.grants.dir).unwrap().count(), MAX_KEPT);
}
