//! Policy in the short form that people are shown: each capability, how it stands, where it holds.
//!
//! A picture, not a decision: what is shown here comes from the same grants, but only [`crate::decide`] says what may
//! run. Where several layers apply, the strictest standing is shown.

use std::collections::BTreeSet;

use lanyard_protocol::overview::{GrantOverview, Standing};
use lanyard_protocol::policy::{Capability, CapabilityGrant};

use crate::layer::{CENTRAL, Grant, Layer, Layers};
use crate::upload::longest_upload;
use crate::visible;

/// Limits shown of one capability; the rest is counted.
const MAX_LIMITS: usize = 32;

/// Characters of one limit shown.
const LIMIT_CHARS: usize = 200;

/// What no tool may touch, whatever policy says, in words; the tables are in [`crate::path`].
const PROTECTED: [&str; 7] = [
    "The host's own files (its state, keys and socket): never read, never changed.",
    "Interfaces of the kernel (/proc, /sys, /dev): never.",
    "The owner's credentials (keys for logging in, tokens of clouds and package registries, password stores): never \
     changed, read only when a person says so each time.",
    "What programs run or obey for the owner (start-up files of shells, settings of editors, autostart): never changed.",
    "The inside of .git (hooks, configuration): never changed, the git tools aside.",
    "The owner's home directory, and any directory that holds the host's files, as a whole: never moved or deleted.",
    "Files of a project that programs or agents obey on sight (.vscode, AGENTS.md, .envrc and the like), and the \
     operating system: changed only when a person says so each time.",
];

/// What is protected, in words.
pub fn protected() -> Vec<String> {
    PROTECTED.map(str::to_owned).into()
}

/// Every capability, in contract order. `programs`: whether programs may run at all at this machine's sandbox level
/// ([`crate::decide::programs_may_run`]).
pub fn grants(layers: &Layers, programs: bool) -> Vec<GrantOverview> {
    Capability::ALL.iter().map(|capability| overview(layers, *capability, programs)).collect()
}

fn overview(layers: &Layers, capability: Capability, programs: bool) -> GrantOverview {
    let confined = needs_programs(capability) && !programs;
    let concerned = || layers.iter().filter(|layer| has_a_say(layer, capability));
    let standing = match confined {
        true => Standing::Never,
        false => concerned().map(|layer| standing(layer, capability)).max().unwrap_or(Standing::Never),
    };
    let limits = if standing == Standing::Never { Vec::new() } else { limits(concerned(), capability) };
    GrantOverview { capability, standing, limits }
}

/// Uploads are the centre's affair alone (see [`crate::upload`]): a host that belongs to nobody uploads nothing.
fn has_a_say(layer: &Layer, capability: Capability) -> bool {
    capability != Capability::WorkspaceUpload || layer.name() == CENTRAL
}

/// These run git, or whatever they are given.
fn needs_programs(capability: Capability) -> bool {
    matches!(
        capability,
        Capability::ShellExec
            | Capability::GitStatus
            | Capability::GitDiff
            | Capability::GitCommit
            | Capability::GitPush
    )
}

/// Every grant that covers a call is applied, and the strictest of them counts: one that asks makes the capability ask.
fn standing(layer: &Layer, capability: Capability) -> Standing {
    if capability == Capability::WorkspaceUpload {
        return longest_upload(layer.bundle()).map_or(Standing::Never, |_| Standing::Free);
    }
    let granted: Vec<&Grant> = layer.grants(capability).filter(|grant| !allows_nothing(grant)).collect();
    match granted.as_slice() {
        [] => Standing::Never,
        granted if granted.iter().any(|grant| grant.limits.requires_approval) => Standing::Asks,
        _ => Standing::Free,
    }
}

/// A list that is present and empty allows nothing.
fn allows_nothing(grant: &Grant) -> bool {
    let CapabilityGrant {
        allowed_commands,
        allowed_domains,
        allowed_cwds,
        repo_paths,
        allowed_branches,
        allowed_remotes,
        ..
    } = &grant.limits;
    let lists =
        [allowed_commands, allowed_domains, allowed_cwds, repo_paths, allowed_branches, allowed_remotes];
    let empty = |list: &Option<Vec<String>>| list.as_ref().is_some_and(Vec::is_empty);
    grant.allowed_paths.as_ref().is_some_and(Vec::is_empty)
        || lists.into_iter().any(empty)
        || empty(&grant.limits.allowed_tool_names)
}

/// Where a capability holds, by every layer that limits it; which layer, where they differ.
fn limits<'l>(layers: impl Iterator<Item = &'l Layer>, capability: Capability) -> Vec<String> {
    let of_layers: Vec<(&str, BTreeSet<String>)> = layers
        .map(|layer| {
            (layer.name(), layer.grants(capability).flat_map(|grant| words(&grant.limits)).collect())
        })
        .collect();
    let mut shown: Vec<String> = Vec::new();
    for (layer, limits) in &of_layers {
        for limit in limits {
            let everywhere = of_layers.iter().all(|(_, others)| others.contains(limit));
            let limit = if everywhere { limit.clone() } else { format!("{limit} ({layer})") };
            if !shown.contains(&limit) {
                shown.push(limit);
            }
        }
    }
    let more = shown.len().saturating_sub(MAX_LIMITS);
    if more > 0 {
        shown.truncate(MAX_LIMITS);
        shown.push(format!("and {more} more"));
    }
    shown
}

fn words(grant: &CapabilityGrant) -> Vec<String> {
    let lists: [(&str, &Option<Vec<String>>); 11] = [
        ("", &grant.allowed_paths),
        ("", &grant.allowed_cwds),
        ("", &grant.repo_paths),
        ("", &grant.allowed_commands),
        ("", &grant.allowed_domains),
        ("branch ", &grant.allowed_branches),
        ("remote ", &grant.allowed_remotes),
        ("", &grant.allowed_tool_names),
        ("not ", &grant.blocked_paths),
        ("not ", &grant.blocked_commands),
        ("not ", &grant.blocked_domains),
    ];
    let named = lists.into_iter().flat_map(|(kind, list)| {
        let entries = list.iter().flatten();
        entries.map(move |entry| format!("{kind}{}", visible::clipped_line(entry, LIMIT_CHARS)))
    });
    let sized = [
        grant.max_file_size_bytes.map(|bytes| format!("files of at most {bytes} bytes")),
        grant.max_execution_time_seconds.map(|seconds| format!("at most {seconds} seconds")),
    ];
    named.chain(sized.into_iter().flatten()).collect()
}

#[cfg(test)]
mod tests {
    use lanyard_protocol::policy::PolicyBundle;

    use super::*;
    use crate::testing::{free, layers, local};

    fn of(bundles: Vec<PolicyBundle>, capability: Capability) -> GrantOverview {
        let all = grants(&layers(bundles), true);
        assert_eq!(all.iter().map(|one| one.capability).collect::<Vec<_>>(), Capability::ALL);
        all.into_iter().find(|one| one.capability == capability).unwrap()
    }

    #[test]
    fn the_machines_own_policy_reads_freely_and_asks_before_it_changes() {
        let read = of(vec![local()], Capability::FileRead);
        assert_eq!((read.standing, read.limits.len()), (Standing::Free, 1));
        for capability in [Capability::FileWrite, Capability::ShellExec, Capability::GitPush] {
            assert_eq!(of(vec![local()], capability).standing, Standing::Asks, "{capability}");
        }
        assert_eq!(of(vec![local()], Capability::WorkspaceUpload).standing, Standing::Never);
        let network = of(vec![local()], Capability::NetworkHttp);
        assert_eq!((network.standing, network.limits), (Standing::Asks, vec![]));
    }

    #[test]
    fn the_strictest_layer_counts_and_limits_name_theirs() {
        let narrow = free(|grant| {
            if grant.name == Capability::FileRead {
                grant.allowed_paths = Some(vec!["/home/mia/app/src".into()]);
                grant.blocked_paths = Some(vec!["/home/mia/app/src/gen".into()]);
            }
        });
        let read = of(vec![local(), narrow.clone()], Capability::FileRead);
        assert_eq!(read.standing, Standing::Free);
        assert!(read.limits.iter().any(|limit| limit.starts_with("not /home/mia/app/src/gen (")), "{read:?}");
        assert_eq!(of(vec![narrow, local()], Capability::FileWrite).standing, Standing::Asks);
    }

    #[test]
    fn uploads_are_judged_by_the_centre_alone() {
        let upload = |grant: Option<CapabilityGrant>| {
            let mut theirs = local();
            theirs.capabilities.extend(grant);
            of(vec![local(), theirs], Capability::WorkspaceUpload)
        };
        let granted = CapabilityGrant::unlimited(Capability::WorkspaceUpload);
        let small = CapabilityGrant { max_file_size_bytes: Some(9), ..granted.clone() };
        let asks = CapabilityGrant { requires_approval: true, ..granted.clone() };
        assert_eq!(upload(Some(granted)).standing, Standing::Free);
        assert_eq!(upload(Some(small)).limits, ["files of at most 9 bytes"]);
        assert_eq!(upload(Some(asks)).standing, Standing::Never, "there is nobody to ask");
        assert_eq!(upload(None).standing, Standing::Never);
    }

    #[test]
    fn what_can_never_happen_is_shown_as_never() {
        let nothing = free(|grant| {
            if grant.name == Capability::ShellExec {
                grant.allowed_commands = Some(vec![]);
            }
        });
        let exec = of(vec![nothing], Capability::ShellExec);
        assert_eq!((exec.standing, exec.limits), (Standing::Never, vec![]));
        let unconfined = grants(&layers(vec![local()]), false);
        let never = |capability| {
            unconfined.iter().any(|one| one.capability == capability && one.standing == Standing::Never)
        };
        assert!(
            never(Capability::ShellExec) && never(Capability::GitCommit) && !never(Capability::FileWrite)
        );
    }

    #[test]
    fn a_long_list_is_cut_and_counted() {
        let long = free(|grant| {
            if grant.name == Capability::NetworkHttp {
                grant.allowed_domains = Some((0..100).map(|n| format!("h{n}.example")).collect());
            }
        });
        let limits = of(vec![long], Capability::NetworkHttp).limits;
        assert_eq!((limits.len(), limits[MAX_LIMITS].as_str()), (MAX_LIMITS + 1, "and 68 more"));
    }
}
