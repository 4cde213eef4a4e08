//! The part of `cargo metadata` that the checks read.

use crate::process;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What `cargo metadata --format-version 1` prints.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    workspace_members: Vec<String>,
    pub(crate) target_directory: PathBuf,
    #[serde(default)]
    resolve: Option<Resolve>,
}

/// One package of the tree, ours or another's.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

/// A dependency as a manifest declares it.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for a normal one, else `dev` or `build`.
    pub(crate) kind: Option<String>,
    /// Set for a dependency by path.
    pub(crate) path: Option<PathBuf>,
}

/// Something a package builds.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<NodeDep>,
}

#[derive(Debug, Deserialize)]
struct NodeDep {
    pkg: String,
    dep_kinds: Vec<DepKind>,
}

#[derive(Debug, Deserialize)]
struct DepKind {
    kind: Option<String>,
}

impl Metadata {
    /// The whole tree with every feature switched on, so that no optional dependency hides.
    pub(crate) fn whole() -> Result<Self> {
        Self::read(process::cargo().args(["metadata", "--format-version", "1", "--all-features"]))
    }

    /// The packages of the workspace only, without resolving anything.
    pub(crate) fn workspace() -> Result<Self> {
        Self::read(process::cargo().args(["metadata", "--format-version", "1", "--no-deps"]))
    }

    /// The packages of another workspace, given its manifest.
    pub(crate) fn of(manifest: &Path) -> Result<Self> {
        let mut command = process::cargo();
        command.args(["metadata", "--format-version", "1", "--no-deps", "--manifest-path"]);
        Self::read(command.arg(manifest))
    }

    fn read(command: &mut Command) -> Result<Self> {
        Self::parse(&process::output(command)?)
    }

    pub(crate) fn parse(json: &[u8]) -> Result<Self> {
        serde_json::from_slice(json).context("`cargo metadata` printed JSON of an unknown shape")
    }

    /// The workspace's own packages.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// For every package reachable from `from` by normal dependencies, the shortest way there: names, `from` first.
    pub(crate) fn reachable<'a>(&'a self, from: &'a Package) -> BTreeMap<&'a str, Vec<&'a str>> {
        let names: BTreeMap<&str, &str> =
            self.packages.iter().map(|package| (package.id.as_str(), package.name.as_str())).collect();
        let nodes: BTreeMap<&str, &Node> = self
            .resolve
            .iter()
            .flat_map(|resolve| &resolve.nodes)
            .map(|node| (node.id.as_str(), node))
            .collect();
        let mut ways = BTreeMap::from([(from.id.as_str(), vec![from.name.as_str()])]);
        let mut open = VecDeque::from([from.id.as_str()]);
        while let Some(id) = open.pop_front() {
            let way = ways.get(id).cloned().unwrap_or_default();
            for dep in nodes.get(id).into_iter().flat_map(|node| &node.deps) {
                let normal = dep.dep_kinds.iter().any(|kind| kind.kind.is_none());
                if !normal || ways.contains_key(dep.pkg.as_str()) {
                    continue;
                }
                let name = names.get(dep.pkg.as_str()).copied().unwrap_or(dep.pkg.as_str());
                ways.insert(&dep.pkg, way.iter().copied().chain([name]).collect());
                open.push_back(&dep.pkg);
            }
        }
        ways
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_prints_here_is_understood() {
        let metadata = Metadata::workspace().unwrap();
        let xtask = metadata.members().find(|package| package.name == "xtask").unwrap();
        assert!(xtask.manifest_path.ends_with("xtask/Cargo.toml"));
        assert!(xtask.targets.iter().any(|target| target.kind == ["bin"] && target.name == "xtask"));
        assert!(xtask.dependencies.iter().any(|dep| dep.name == "anyhow" && dep.kind.is_none()));
    }
}
