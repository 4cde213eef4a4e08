//! Verdicts: order, scope, modes, layers; and that more policy never loosens.

use lanyard_protocol::{
    Timestamp,
    error::ErrorCode,
    policy::{Approver, Capability, CapabilityGrant, Remember, SandboxLevel},
    principal::Scope,
    session::ApprovalMode,
};
use proptest::prelude::*;

use super::{
    DenialReason, Unconfined, Verdict, commands_may_use_network, permit_initiator, permit_model,
    permit_planning, programs_may_run,
};
use crate::{
    demand::{Demand, Exec, PlannedCall},
    permit::Basis,
    testing::*,
};

pub(super) fn reason(bundle: lanyard_protocol::policy::PolicyBundle, demand: Demand) -> DenialReason {
    denied(World::new().decide(&layers(vec![bundle]), call(demand))).reason
}

pub(super) fn is_allowed(bundle: lanyard_protocol::policy::PolicyBundle, demand: Demand) -> bool {
    matches!(World::new().decide(&layers(vec![bundle]), call(demand)), Verdict::Allowed(_))
}

pub(super) fn is_asked(bundle: lanyard_protocol::policy::PolicyBundle, demand: Demand) -> bool {
    matches!(World::new().decide(&layers(vec![bundle]), call(demand)), Verdict::Ask(_))
}

/// Shell.Exec without questions, limited to these commands.
pub(super) fn only(commands: &[&str]) -> lanyard_protocol::policy::PolicyBundle {
    let commands: Vec<String> = commands.iter().map(|command| (*command).to_owned()).collect();
    free_with(Capability::ShellExec, |grant| grant.allowed_commands = Some(commands.clone()))
}

pub(super) fn blocking(commands: &[&str]) -> lanyard_protocol::policy::PolicyBundle {
    let commands: Vec<String> = commands.iter().map(|command| (*command).to_owned()).collect();
    free_with(Capability::ShellExec, |grant| grant.blocked_commands = Some(commands.clone()))
}

#[test]
fn the_local_default_reads_freely_and_asks_for_the_rest() {
    assert!(is_allowed(local(), read("/home/mia/app/src/a.rs")));
    assert!(is_allowed(local(), Demand::GitStatus { repo: "/home/mia/app".into() }));
    assert!(is_allowed(local(), Demand::GitDiff { repo: "/home/mia/app".into() }));
    for demand in [
        write("/home/mia/app/a"),
        Demand::DeletePath("/home/mia/app/a".into()),
        shell("ls"),
        http("https://example.com/"),
        Demand::GitCommit { repo: "/home/mia/app".into(), branch: Some("main".into()) },
        Demand::GitPush {
            repo: "/home/mia/app".into(),
            remote: "origin".into(),
            url: "git@h.example:a.git".into(),
            branch: "main".into(),
        },
    ] {
        assert!(is_asked(local(), demand.clone()), "{demand:?}");
    }
    assert!(matches!(
        reason(local(), Demand::Backend { tool: "x".into(), definition: String::new() }),
        DenialReason::CapabilityMissing(_)
    ));
}

#[test]
fn the_order_is_expiry_capability_scope_approval() {
    let mut world = World::new();
    let layers_now = layers(vec![local()]);
    world.now = now().plus_millis(crate::bundle::LOCAL_BUNDLE_LIFE_MILLIS);
    let denial = denied(world.decide(&layers_now, call(read("/home/mia/app/a"))));
    assert_eq!((denial.code(), denial.layer), (ErrorCode::PolicyExpired, "local"));
    assert!(permit_model(&layers_now, "m", world.now).is_err());
    assert!(permit_model(&layers_now, "m", now()).is_ok());

    let mut nothing = local();
    nothing.capabilities.clear();
    assert_eq!(
        reason(nothing.clone(), read("/home/mia/app/a")),
        DenialReason::CapabilityMissing(Capability::FileRead)
    );
    assert!(permit_model(&layers(vec![nothing]), "m", now()).is_err());
    assert!(matches!(reason(local(), write("/tmp/a")), DenialReason::OutOfScope { .. }));
}

#[test]
fn an_empty_list_allows_nothing() {
    type Change = fn(&mut CapabilityGrant);
    let cases: [(Capability, Change, Demand); 8] = [
        (Capability::FileRead, |g| g.allowed_paths = Some(vec![]), read("/home/mia/app/a")),
        (Capability::FileRead, |g| g.allowed_paths = None, read("/home/mia/app/a")),
        (Capability::ShellExec, |g| g.allowed_commands = Some(vec![]), shell("ls")),
        (Capability::ShellExec, |g| g.allowed_cwds = Some(vec![]), shell("ls")),
        (Capability::NetworkHttp, |g| g.allowed_domains = Some(vec![]), http("https://example.com/")),
        (
            Capability::GitStatus,
            |g| g.repo_paths = Some(vec![]),
            Demand::GitStatus { repo: "/home/mia/app".into() },
        ),
        (
            Capability::GitCommit,
            |g| g.allowed_branches = Some(vec![]),
            Demand::GitCommit { repo: "/home/mia/app".into(), branch: Some("main".into()) },
        ),
        (
            Capability::GitPush,
            |g| g.allowed_remotes = Some(vec![]),
            Demand::GitPush {
                repo: "/home/mia/app".into(),
                remote: "origin".into(),
                url: "git@h.example:a".into(),
                branch: "main".into(),
            },
        ),
    ];
    for (capability, change, demand) in cases {
        assert!(is_allowed(free(|_| ()), demand.clone()), "{demand:?}");
        assert!(
            matches!(reason(free_with(capability, change), demand.clone()), DenialReason::OutOfScope { .. }),
            "{demand:?}"
        );
    }
}

#[test]
fn no_network_means_none_for_requests_pushes_and_commands() {
    let mut world = World::new();
    world.options.allow_network = false;
    let open = layers(vec![free(|_| ())]);
    let networked = |text: &str| {
        let Demand::Exec(exec) = shell(text) else { panic!() };
        Demand::Exec(Exec { network: true, ..exec })
    };
    let push = Demand::GitPush {
        repo: "/home/mia/app".into(),
        remote: "origin".into(),
        url: "git@h.example:a".into(),
        branch: "main".into(),
    };
    for demand in [http("https://example.com/"), push, networked("ls")] {
        assert_eq!(denied(world.decide(&open, call(demand))).reason, DenialReason::NoNetwork);
    }
    assert!(is_allowed(free(|_| ()), networked("ls")));
    let limited =
        || free_with(Capability::NetworkHttp, |g| g.allowed_domains = Some(vec!["example.com".into()]));
    assert_eq!(reason(limited(), networked("ls")), DenialReason::NoNetworkForCommands);
    assert!(commands_may_use_network(&open, true) && !commands_may_use_network(&open, false));
    assert!(!commands_may_use_network(&layers(vec![free(|_| ()), limited()]), true));
}

#[test]
fn a_missing_sandbox_denies() {
    let mut world = World::new();
    world.sandbox = SandboxLevel::Partial;
    let open = layers(vec![free(|_| ())]);
    assert_eq!(denied(world.decide(&open, call(shell("ls")))).reason, DenialReason::Unconfined);
    world.unconfined = Unconfined::AcceptedByOwner;
    assert!(matches!(world.decide(&open, call(shell("ls"))), Verdict::Allowed(_)));
    let mut strict = free(|_| ());
    strict.required_sandbox_level = SandboxLevel::Full;
    let mut demanding_bundle = free(|_| ());
    demanding_bundle.required_sandbox_level = SandboxLevel::Full;
    let strict = layers(vec![strict]);
    for demand in [shell("ls"), Demand::GitStatus { repo: "/home/mia/app".into() }] {
        assert!(matches!(denied(world.decide(&strict, call(demand))).reason, DenialReason::Sandbox { .. }));
    }
    assert!(matches!(world.decide(&strict, call(read("/home/mia/app/a"))), Verdict::Allowed(_)));
}

#[test]
fn approval_mode_always_asks_for_every_change_and_nothing_else() {
    let world = World::mode(ApprovalMode::Always);
    let open = layers(vec![free(|_| ())]);
    let ask = asked(world.decide(&open, call(write("/home/mia/app/a"))));
    assert!(ask.must_ask());
    assert!(matches!(world.decide(&open, call(read("/home/mia/app/a"))), Verdict::Allowed(_)));
}

#[test]
fn a_task_acts_only_for_somebody_who_may_still_start_one() {
    assert_eq!(permit_initiator(Some(phone())), Ok(phone()));
    let mut stripped = owner();
    stripped.scopes.retain(|scope| *scope != Scope::Operate);
    for standing in [None, Some(stripped)] {
        let denial = permit_initiator(standing).unwrap_err();
        assert_eq!(
            (&denial.reason, denial.code()),
            (&DenialReason::InitiatorLost, ErrorCode::CapabilityDenied)
        );
    }
}

#[test]
fn approval_mode_never_counts_questions_as_answered_by_the_initiator_unless_must_ask() {
    let mut world = World::mode(ApprovalMode::Never);
    let local_only = layers(vec![local()]);
    let permitted = allowed(world.decide(&local_only, call(shell("ls $(id)"))));
    assert_eq!(permitted.basis(), &Basis::Waived { by: owner().id });
    // Denials stay denials.
    assert!(matches!(world.decide(&local_only, call(write("/etc/x"))), Verdict::Denied(_)));

    let mut strict = local();
    strict.approval_rules[0].must_ask = true;
    let ask = asked(world.decide(&layers(vec![strict]), call(write("/home/mia/app/a"))));
    assert!(ask.must_ask());

    // Somebody without the right to switch questions off is asked all the same.
    world.initiator = phone();
    assert!(matches!(world.decide(&local_only, call(shell("ls"))), Verdict::Ask(_)));
    // A blocked command could hide in code given as text: asked even then.
    world.initiator = owner();
    let ask = asked(world.decide(&layers(vec![blocking(&["rm"])]), call(shell("python3 -c x"))));
    assert!(ask.must_ask());
}

#[test]
fn layers_are_evaluated_side_by_side_and_the_strictest_names_itself() {
    let mut central =
        free_with(Capability::FileWrite, |g| g.allowed_paths = Some(vec!["/home/mia/app/src".into()]));
    central.required_sandbox_level = SandboxLevel::Full;
    let both = layers(vec![local(), central]);
    let denial = denied(World::new().decide(&both, call(write("/home/mia/app/docs/a"))));
    assert_eq!(denial.layer, "central");
    let ask = asked(World::new().decide(&both, call(write("/home/mia/app/src/a"))));
    assert_eq!(ask.layer(), "local");
}

#[test]
fn rules_of_several_layers_all_count() {
    let mut central = local();
    central.approval_rules.push(rule("central.strict", true, Approver::NotInitiator, Remember::Task));
    for grant in &mut central.capabilities {
        if grant.name == Capability::FileWrite {
            grant.approval_rule_id = Some("central.strict".parse().unwrap());
        }
    }
    let ask = asked(World::new().decide(&layers(vec![local(), central]), call(write("/home/mia/app/a"))));
    assert_eq!((ask.layer(), ask.approver(), ask.must_ask()), ("central", Approver::NotInitiator, true));
}

#[test]
fn limits_are_the_smallest_of_all_layers() {
    let small = free_with(Capability::FileWrite, |g| g.max_file_size_bytes = Some(5));
    assert_eq!(reason(small, write("/home/mia/app/a")), DenialReason::TooLarge { bytes: 10, limit: 5 });
    let a = free_with(Capability::ShellExec, |g| g.max_output_bytes = Some(100));
    let b = free_with(Capability::ShellExec, |g| {
        g.max_output_bytes = Some(50);
        g.max_execution_time_seconds = Some(9);
    });
    let limits = allowed(World::new().decide(&layers(vec![a, b]), call(shell("ls")))).limits();
    assert_eq!((limits.max_output_bytes, limits.max_execution_time_seconds), (Some(50), Some(9)));
}

#[test]
fn every_demand_of_a_call_counts() {
    let more = vec![Demand::DeletePath("/etc/x".into())];
    let call =
        PlannedCall::new(request("MoveFile", serde_json::json!({})), write("/home/mia/app/a"), more, vec![]);
    let denial = denied(World::new().decide(&layers(vec![local()]), call));
    assert_eq!(denial.capability, Some(Capability::FileDelete));
}

#[test]
fn refusals_tell_layer_capability_and_way_out() {
    let denial = denied(World::new().decide(&layers(vec![local()]), call(write("/etc/x"))));
    let wire = denial.to_wire();
    assert_eq!(wire.code, ErrorCode::CapabilityDenied);
    assert_eq!(wire.message, "/etc/x is outside allowedPaths (local policy)");
    assert_eq!(wire.details.0, serde_json::json!({"layer": "local", "capability": "File.Write"}));
}

fn some_demand() -> impl Strategy<Value = Demand> {
    let place = prop::sample::select(vec![
        "/home/mia/app/a",
        "/home/mia/app/src/b",
        "/home/mia/app/.git/x",
        "/etc/c",
        "/home/mia/app/.vscode/d",
    ]);
    let text = prop::sample::select(vec![
        "ls",
        "rm -rf x",
        "cat src/b",
        "git status",
        "ls $(id)",
        "npm test",
        "timeout 5 ls",
        "cat /etc/c",
        "python -c x",
    ]);
    prop_oneof![
        place.clone().prop_map(read),
        place.clone().prop_map(write),
        place.prop_map(|p| Demand::DeletePath(p.into())),
        text.prop_map(shell),
        prop::sample::select(vec!["https://example.com/", "http://10.0.0.1/", "https://a.b.example/"])
            .prop_map(http),
    ]
}

fn some_bundle() -> impl Strategy<Value = lanyard_protocol::policy::PolicyBundle> {
    let paths =
        prop::option::of(prop::sample::subsequence(vec!["/home/mia/app", "/home/mia/app/src", "/etc"], 0..3));
    let commands =
        prop::option::of(prop::sample::subsequence(vec!["ls", "git", "timeout", "npm test", "cat"], 0..5));
    let dropped = prop::sample::subsequence(Capability::ALL.to_vec(), 0..4);
    let asking = prop::sample::subsequence(Capability::ALL.to_vec(), 0..6);
    (paths, commands, dropped, asking, any::<bool>()).prop_map(|(paths, commands, dropped, asking, must)| {
        let mut bundle = free(|grant| {
            if grant.name == Capability::ShellExec {
                grant.allowed_commands =
                    commands.clone().map(|list| list.into_iter().map(str::to_owned).collect());
            } else if grant.allowed_paths.is_some() {
                grant.allowed_paths = paths.clone().map(|list| list.into_iter().map(str::to_owned).collect());
            }
            grant.requires_approval = asking.contains(&grant.name);
        });
        bundle.capabilities.retain(|grant| !dropped.contains(&grant.name));
        bundle.approval_rules.iter_mut().for_each(|rule| rule.must_ask = must);
        // Compiling expressions for every case would be most of the time.
        bundle.redaction_rules.clear();
        bundle
    })
}

fn cases() -> u32 {
    if std::env::var_os("LANYARD_LONG").is_some() { 5_000 } else { 48 }
}

fn strictness(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Allowed(permitted) if *permitted.basis() == Basis::Policy => 0,
        Verdict::Allowed(_) => 1,
        Verdict::Ask(ask) if !ask.must_ask() => 2,
        Verdict::Ask(_) => 3,
        Verdict::Denied(_) => 4,
    }
}

#[test]
fn what_can_only_be_denied_is_not_even_planned() {
    let now = Timestamp::from_millis(1);
    let local = layers(vec![local()]);
    assert_eq!(permit_planning(&local, &[Capability::FileRead, Capability::ShellExec], now), Ok(()));
    let denial =
        permit_planning(&local, &[Capability::FileRead, Capability::BackendToolInvoke], now).unwrap_err();
    assert_eq!(denial.reason, DenialReason::CapabilityMissing(Capability::BackendToolInvoke));
    let late = local.expires_at();
    assert!(matches!(permit_planning(&local, &[], late).unwrap_err().reason, DenialReason::Expired(_)));
}

#[test]
fn programs_run_below_a_full_sandbox_only_when_owner_and_layers_accept() {
    let mut easy = free(|_| ());
    easy.required_sandbox_level = SandboxLevel::None;
    let content = layers(vec![easy.clone()]);
    assert!(programs_may_run(&content, SandboxLevel::Full, Unconfined::Refused));
    assert!(!programs_may_run(&content, SandboxLevel::Partial, Unconfined::Refused));
    assert!(programs_may_run(&content, SandboxLevel::Partial, Unconfined::BoundaryHolds));
    assert!(programs_may_run(&content, SandboxLevel::None, Unconfined::AcceptedByOwner));
    let mut demanding_bundle = free(|_| ());
    demanding_bundle.required_sandbox_level = SandboxLevel::Full;
    let strict = layers(vec![easy, demanding_bundle]);
    assert!(!programs_may_run(&strict, SandboxLevel::Partial, Unconfined::AcceptedByOwner));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn adding_a_layer_or_a_demand_never_loosens(
        a in some_bundle(),
        b in some_bundle(),
        first in some_demand(),
        second in some_demand(),
        mode in prop::sample::select(vec![ApprovalMode::Always, ApprovalMode::OnRiskyActions, ApprovalMode::Never]),
    ) {
        let world = World::mode(mode);
        let one = |bundles, demand: &Demand| strictness(&world.decide(&layers(bundles), call(demand.clone())));
        let alone = one(vec![a.clone()], &first);
        let other = one(vec![b.clone()], &first);
        let both = one(vec![a.clone(), b.clone()], &first);
        prop_assert!(both >= alone.max(other), "{both} < {alone}, {other}");
        prop_assert_eq!(both, one(vec![b.clone(), a.clone()], &first));
        // Deny wins, and nothing is denied that neither denies.
        prop_assert_eq!(both == 4, alone == 4 || other == 4);

        let pair = PlannedCall::new(request("T", serde_json::json!({})), first.clone(), vec![second.clone()], vec![]);
        let together = strictness(&world.decide(&layers(vec![a.clone()]), pair));
        prop_assert!(together >= alone.max(one(vec![a], &second)));
    }

    #[test]
    fn allowed_by_policy_means_every_path_lies_in_scope(bundle in some_bundle(), demand in some_demand()) {
        let verdict = World::new().decide(&layers(vec![bundle.clone()]), call(demand.clone()));
        if let (Verdict::Allowed(_), Demand::ReadPath(path) | Demand::DeletePath(path) | Demand::WritePath { path, .. }) = (&verdict, &demand) {
            let covered = bundle.capabilities.iter().filter(|grant| grant.name == demand.capability()).any(|grant| {
                grant.allowed_paths.iter().flatten().any(|root| path.starts_with(root))
            });
            prop_assert!(covered);
        }
    }

    #[test]
    fn deciding_never_panics(text in any::<String>(), other in any::<String>()) {
        let layers = layers(vec![local(), free(|_| ())]);
        for demand in [read(&text), write(&text), shell(&text), http(&text), argv(&[&text, &other]), Demand::Backend { tool: text.clone(), definition: String::new() },
            Demand::GitPush { repo: text.clone().into(), remote: other.clone(), url: text.clone(), branch: other.clone() }] {
            let _ = World::new().decide(&layers, call(demand));
        }
        let _ = Timestamp::default();
    }
}
