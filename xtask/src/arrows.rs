//! `cargo xtask arrows`: which crate may depend on which, and what may not be in the tree at all.
//!
//! The tables below are the rule; `docs/architecture.md` says why. A new crate gets a line here first.

use crate::metadata::{Metadata, Package};
use crate::process;
use crate::tidy::tracked_files;
use anyhow::{Result, bail};
use std::path::Path;

/// Which crates of the workspace a crate may name in its manifest, for code, build script and tests alike.
#[derive(Debug, Clone, Copy)]
enum Allowed {
    Only(&'static [&'static str]),
    /// For the end-to-end tests, which look at the product from outside.
    Anything,
}
use Allowed::{Anything, Only};

/// Crate → the crates it may depend on.
const ARROWS: &[(&str, Allowed)] = &[
    ("lanyard-protocol", Only(&[])),
    ("lanyard-client", Only(&["lanyard-protocol"])),
    ("lanyard-pairing", Only(&["lanyard-protocol"])),
    ("lanyard-transport", Only(&["lanyard-client", "lanyard-pairing", "lanyard-protocol"])),
    ("lanyard-ports", Only(&["lanyard-protocol"])),
    ("lanyard-policy", Only(&["lanyard-protocol"])),
    ("lanyard-agent", Only(&["lanyard-ports", "lanyard-protocol"])),
    ("lanyard-model", Only(&["lanyard-ports", "lanyard-protocol"])),
    ("lanyard-store", Only(&["lanyard-ports", "lanyard-protocol"])),
    ("lanyard-tools", Only(&["lanyard-ports", "lanyard-policy", "lanyard-protocol"])),
    ("lanyard-dispatch", Only(&["lanyard-ports", "lanyard-policy", "lanyard-tools", "lanyard-protocol"])),
    (
        "lanyard-daemon",
        Only(&[
            "lanyard-agent",
            "lanyard-dispatch",
            "lanyard-model",
            "lanyard-pairing",
            "lanyard-policy",
            "lanyard-ports",
            "lanyard-protocol",
            "lanyard-store",
            "lanyard-tools",
            "lanyard-transport",
            "lanyard-governance-api",
            "lanyard-governance-client",
        ]),
    ),
    (
        "lanyard",
        Only(&[
            "lanyard-daemon",
            "lanyard-client",
            "lanyard-pairing",
            "lanyard-protocol",
            "lanyard-transport",
        ]),
    ),
    ("lanyard-web-state", Only(&["lanyard-client", "lanyard-protocol"])),
    ("lanyard-web-link", Only(&["lanyard-client", "lanyard-pairing", "lanyard-protocol"])),
    ("lanyard-web-view-macro", Only(&[])),
    ("lanyard-web-view", Only(&["lanyard-web-view-macro"])),
    ("lanyard-web-ui", Only(&["lanyard-web-view", "lanyard-web-state", "lanyard-protocol"])),
    (
        "lanyard-web",
        Only(&[
            "lanyard-web-ui",
            "lanyard-web-view",
            "lanyard-web-link",
            "lanyard-web-state",
            "lanyard-client",
            "lanyard-pairing",
            "lanyard-protocol",
        ]),
    ),
    (
        "lanyard-console",
        Only(&[
            "lanyard-web-ui",
            "lanyard-web-view",
            "lanyard-web-state",
            "lanyard-governance-api",
            "lanyard-protocol",
        ]),
    ),
    ("lanyard-governance-api", Only(&["lanyard-protocol"])),
    ("lanyard-governance-client", Only(&["lanyard-governance-api", "lanyard-protocol"])),
    ("lanyard-governance-foundation", Only(&["lanyard-governance-api", "lanyard-protocol"])),
    ("lanyard-service-session", SERVICE),
    // Dry runs ask the very code that hosts decide with.
    (
        "lanyard-service-policy",
        Only(&[
            "lanyard-governance-foundation",
            "lanyard-governance-api",
            "lanyard-policy",
            "lanyard-protocol",
        ]),
    ),
    ("lanyard-service-approval", SERVICE),
    ("lanyard-service-workspace", SERVICE),
    ("lanyard-service-audit", SERVICE),
    ("lanyard-service-telemetry", SERVICE),
    ("lanyard-service-tools", SERVICE),
    ("lanyard-service-enrolment", SERVICE),
    ("lanyard-service-identity", SERVICE),
    (
        "lanyard-central",
        Only(&[
            "lanyard-governance-foundation",
            "lanyard-governance-api",
            "lanyard-service-session",
            "lanyard-service-policy",
            "lanyard-service-approval",
            "lanyard-service-workspace",
            "lanyard-service-audit",
            "lanyard-service-telemetry",
            "lanyard-service-tools",
            "lanyard-service-enrolment",
            "lanyard-service-identity",
            "lanyard-protocol",
        ]),
    ),
    ("lanyard-tests", Anything),
    ("xtask", Only(&[])),
];

/// A service reaches another one by HTTP only, so that each can run in a process of its own.
const SERVICE: Allowed =
    Only(&["lanyard-governance-foundation", "lanyard-governance-api", "lanyard-protocol"]);

/// Crates that decide and describe but never touch the network or a runtime, and what they may not reach.
const SANS_IO: &[&str] = &[
    "lanyard-protocol",
    "lanyard-pairing",
    "lanyard-client",
    "lanyard-policy",
    "lanyard-web-state",
    "lanyard-governance-api",
];
const IO: &[&str] = &["tokio", "axum", "quinn"];

/// Crates that may be nowhere in the tree, and why; `deny.toml` bans the same.
const BANNED: &[(&str, &str)] = &[
    ("aws-lc-rs", "TLS runs on ring; switch the default feature off that brings it in"),
    ("aws-lc-sys", "TLS runs on ring; switch the default feature off that brings it in"),
    ("openssl", "TLS is rustls with ring"),
    ("openssl-sys", "TLS is rustls with ring"),
    ("native-tls", "TLS is rustls with ring"),
];

/// `host/ports` is what every crate of the host compiles against: traits and their argument types, no logic.
/// The cap is about twice what the traits take; reaching it means that logic has moved in.
const PORTS: &str = "host/ports/src/";
const PORTS_MAX_LINES: usize = 1_200;

/// Checks all of it.
///
/// # Errors
/// Every violation is printed; the error counts them.
pub(crate) fn run() -> Result<()> {
    let metadata = Metadata::whole()?;
    let mut violations = edges(&metadata, ARROWS);
    violations.extend(table(&metadata, ARROWS));
    violations.extend(sans_io(&metadata));
    violations.extend(banned(&metadata));
    violations.extend(ports_size(&process::root())?);
    for violation in &violations {
        println!("arrows: {violation}");
    }
    if !violations.is_empty() {
        bail!(
            "{} violations of the dependency rules (the tables are in xtask/src/arrows.rs)",
            violations.len()
        );
    }
    println!("arrows: {} crates keep to their arrows", ARROWS.len());
    Ok(())
}

/// Every dependency between two crates of the workspace is in the table.
fn edges(metadata: &Metadata, arrows: &[(&str, Allowed)]) -> Vec<String> {
    let mut violations = Vec::new();
    for package in metadata.members() {
        let Some((_, Only(allowed))) = arrows.iter().find(|(name, _)| *name == package.name) else {
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| dependency.path.is_some()) {
            // A crate may name itself, to switch its own features on for its tests.
            if allowed.contains(&dependency.name.as_str()) || dependency.name == package.name {
                continue;
            }
            let kind = dependency.kind.as_deref().map_or(String::new(), |kind| format!("{kind}-"));
            violations.push(format!(
                "{} -> {} ({kind}dependency in {}) is not an arrow: {} may depend on {}",
                package.name,
                dependency.name,
                manifest(package),
                package.name,
                listed(allowed),
            ));
        }
    }
    violations
}

/// The table and the workspace name the same crates.
fn table(metadata: &Metadata, arrows: &[(&str, Allowed)]) -> Vec<String> {
    let unlisted = metadata
        .members()
        .filter(|package| arrows.iter().all(|(name, _)| *name != package.name))
        .map(|package| format!("{} ({}) has no line in ARROWS: add one", package.name, manifest(package)));
    let gone = arrows
        .iter()
        .filter(|(name, _)| metadata.members().all(|package| package.name != *name))
        .map(|(name, _)| format!("{name} is in ARROWS but not in the workspace: remove its line"));
    unlisted.chain(gone).collect()
}

/// The crates without input and output reach no runtime and no socket, by any way.
fn sans_io(metadata: &Metadata) -> Vec<String> {
    let mut violations = Vec::new();
    for package in metadata.members().filter(|package| SANS_IO.contains(&package.name.as_str())) {
        let mut ways: Vec<_> = metadata.reachable(package).into_values().collect();
        ways.retain(|way| way.last().is_some_and(|name| IO.contains(name)));
        violations.extend(ways.into_iter().map(|way| {
            format!("{} must reach none of {} but does: {}", package.name, listed(IO), way.join(" -> "))
        }));
    }
    violations
}

/// No banned crate is in the tree; the ways that lead to it are named.
fn banned(metadata: &Metadata) -> Vec<String> {
    let mut violations = Vec::new();
    for package in &metadata.packages {
        let Some((name, why)) = BANNED.iter().find(|(name, _)| *name == package.name) else { continue };
        let way =
            metadata.members().find_map(|member| metadata.reachable(member).remove(package.id.as_str()));
        let way = way.map_or_else(|| "a build or dev dependency".to_owned(), |way| way.join(" -> "));
        violations.push(format!("{name} {} is in the tree, by {way}: {why}", package.version));
    }
    violations
}

/// `host/ports` stays small.
fn ports_size(root: &Path) -> Result<Vec<String>> {
    let mut lines = 0;
    for file in tracked_files(root)?.iter().filter(|file| file.starts_with(PORTS) && file.ends_with(".rs")) {
        lines += std::fs::read_to_string(root.join(file))?.lines().count();
    }
    Ok(ports_violation(lines).into_iter().collect())
}

fn ports_violation(lines: usize) -> Option<String> {
    (lines > PORTS_MAX_LINES).then(|| {
        format!(
            "{PORTS} has {lines} lines, more than {PORTS_MAX_LINES}: it holds traits and their argument types only; \
             move logic to the crate that implements it"
        )
    })
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "no crate of the workspace".to_owned() } else { names.join(", ") }
}

/// The manifest's path from the root, for messages.
fn manifest(package: &Package) -> String {
    let path = &package.manifest_path;
    path.strip_prefix(process::root()).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::collections::BTreeSet;

    /// A package's name and its dependencies: name and kind.
    type Row<'a> = (&'a str, &'a [(&'a str, Option<&'a str>)]);

    /// A tree of packages; those whose names start with `lanyard` are the workspace's.
    fn tree(rows: &[Row<'_>]) -> Metadata {
        let ours = |name: &str| name.starts_with("lanyard");
        let package = |(name, deps): &Row<'_>| {
            let dep = |(dep, kind): &(&str, Option<&str>)| json!({"name": dep, "kind": kind, "path": ours(dep).then_some("/x")});
            json!({"id": name, "name": name, "version": "1.0.0", "manifest_path": format!("/x/{name}/Cargo.toml"),
                "dependencies": deps.iter().map(dep).collect::<Value>(), "targets": []})
        };
        let node = |(name, deps): &Row<'_>| {
            let dep = |(dep, kind): &(&str, Option<&str>)| json!({"pkg": dep, "dep_kinds": [{"kind": kind}]});
            json!({"id": name, "deps": deps.iter().map(dep).collect::<Value>()})
        };
        let whole = json!({
            "packages": rows.iter().map(package).collect::<Value>(),
            "workspace_members": rows.iter().map(|(name, _)| *name).filter(|name| ours(name)).collect::<Value>(),
            "target_directory": "/x/target",
            "resolve": {"nodes": rows.iter().map(node).collect::<Value>()},
        });
        Metadata::parse(whole.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn an_edge_outside_the_table_is_named_with_its_kind_and_manifest() {
        let metadata = tree(&[
            ("lanyard-agent", &[("lanyard-ports", None), ("lanyard-store", Some("dev"))]),
            ("lanyard-ports", &[]),
            ("lanyard-store", &[]),
        ]);
        let violations = edges(&metadata, ARROWS);
        assert_eq!(violations.len(), 1, "{violations:?}");
        for part in ["lanyard-agent -> lanyard-store", "dev-dependency", "/x/lanyard-agent/Cargo.toml"] {
            assert!(violations[0].contains(part), "{part} is missing: {}", violations[0]);
        }
    }

    #[test]
    fn the_end_to_end_tests_may_depend_on_anything_and_a_crate_on_itself() {
        let metadata = tree(&[
            ("lanyard-tests", &[("lanyard-store", Some("dev")), ("lanyard-daemon", None)]),
            ("lanyard-store", &[("lanyard-store", Some("dev"))]),
            ("lanyard-daemon", &[]),
        ]);
        assert_eq!(edges(&metadata, ARROWS), Vec::<String>::new());
    }

    #[test]
    fn a_crate_without_a_line_and_a_line_without_a_crate_are_found() {
        let violations = table(&tree(&[("lanyard-new", &[])]), &[("lanyard-old", Anything)]);
        assert_eq!(violations.len(), 2, "{violations:?}");
        assert!(violations[0].contains("lanyard-new") && violations[1].contains("lanyard-old"));
    }

    #[test]
    fn a_runtime_reached_by_way_of_another_crate_is_found_with_the_way() {
        let metadata = tree(&[
            ("lanyard-protocol", &[("codec", None), ("testing", Some("dev"))]),
            ("codec", &[("tokio", None)]),
            ("testing", &[("axum", None)]),
            ("tokio", &[]),
            ("axum", &[]),
        ]);
        let violations = sans_io(&metadata);
        assert_eq!(violations.len(), 1, "{violations:?}");
        assert!(violations[0].ends_with("lanyard-protocol -> codec -> tokio"), "{}", violations[0]);
    }

    #[test]
    fn a_banned_crate_is_found_wherever_it_is() {
        let metadata = tree(&[
            ("lanyard-model", &[("reqwest", None)]),
            ("reqwest", &[("aws-lc-rs", None)]),
            ("aws-lc-rs", &[]),
            ("openssl-sys", &[]),
        ]);
        let violations = banned(&metadata);
        assert_eq!(violations.len(), 2, "{violations:?}");
        assert!(violations[0].contains("lanyard-model -> reqwest -> aws-lc-rs"), "{}", violations[0]);
        assert!(violations[1].contains("build or dev"), "{}", violations[1]);
    }

    #[test]
    fn ports_may_fill_its_cap_but_not_pass_it() {
        assert!(ports_violation(PORTS_MAX_LINES).is_none());
        assert!(ports_violation(PORTS_MAX_LINES + 1).is_some());
    }

    #[test]
    fn the_table_has_no_cycle_and_names_only_its_own_crates() {
        let mut settled = BTreeSet::new();
        loop {
            let ready: Vec<_> = ARROWS
                .iter()
                .filter(|(name, _)| !settled.contains(name))
                .filter(|(_, allowed)| match allowed {
                    Only(names) => names.iter().all(|name| settled.contains(name)),
                    Anything => true,
                })
                .map(|(name, _)| *name)
                .collect();
            if ready.is_empty() {
                break;
            }
            settled.extend(ready);
        }
        assert_eq!(settled.len(), ARROWS.len(), "unsettled arrows: a cycle or an unknown name");
    }
}
