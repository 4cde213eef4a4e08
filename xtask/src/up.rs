//! `cargo xtask up`: from a fresh clone to a running host, saying at every moment what it does.

use crate::metadata::Metadata;
use crate::{needs, page, process};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Build without optimisation: sooner ready, slower to run.
    #[arg(long)]
    dev: bool,
    /// Arguments for `lanyard up`, such as `--workspace DIR`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

/// Builds, installs and becomes `lanyard up`.
///
/// # Errors
/// If something is missing that may not be installed here, the build fails, or the host cannot start.
pub(crate) fn run(options: &Options) -> Result<()> {
    println!("up: 1/4 looking for what the build needs");
    needs::satisfy(needs::Purpose::Build)?;
    println!("up: 2/4 building the page for phones and browsers");
    page::ensure(if options.dev { page::Flavour::Dev } else { page::Flavour::Release })?;
    println!("up: 3/4 building lanyard; the first time takes a few minutes on two cores, later ones seconds");
    let mut build = process::cargo();
    build.args(["build", "--package", "lanyard", "--bin", "lanyard"]);
    if !options.dev {
        build.arg("--release");
    }
    process::run(&mut build)?;
    let profile = if options.dev { "debug" } else { "release" };
    let target = Metadata::workspace()?.target_directory;
    let binary = target.join(profile).join(format!("lanyard{}", std::env::consts::EXE_SUFFIX));
    announce(&binary);
    println!("up: 4/4 starting the host (Ctrl-C stops it)");
    become_host(&binary, &target, &options.rest)
}

/// Makes the binary a command where that is safe, and says how to call it from a second terminal.
fn announce(binary: &Path) {
    let full = binary.display().to_string();
    let call = match cargo_bin_on_path().map(|dir| link(binary, &dir)) {
        Some(Ok(Link::Made(link))) => {
            println!("up: `lanyard` is now a command ({} -> {full})", link.display());
            "lanyard".to_owned()
        }
        Some(Ok(Link::Foreign(other))) => {
            println!("up: {} is not from a clone and is left alone", other.display());
            full
        }
        Some(Err(error)) => {
            println!("up: `lanyard` could not be made a command: {error:#}");
            full
        }
        None => full,
    };
    println!("up: in a second terminal: {call} run \"what is in this folder?\"");
}

/// Cargo's own directory for programs, if a shell finds programs there.
fn cargo_bin_on_path() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))?;
    let dir = home.join("bin");
    let path = std::env::var_os("PATH")?;
    (dir.is_dir() && std::env::split_paths(&path).any(|entry| entry == dir)).then_some(dir)
}

/// What became of `lanyard` in a directory of PATH.
#[derive(Debug, PartialEq, Eq)]
enum Link {
    Made(PathBuf),
    /// Something else has that name there: an installed lanyard, or another program.
    Foreign(PathBuf),
}

/// Points `dir/lanyard` to the binary. Only a link to a `lanyard` that cargo built is replaced.
#[cfg(unix)]
fn link(binary: &Path, dir: &Path) -> Result<Link> {
    let link = dir.join("lanyard");
    if let Ok(found) = std::fs::symlink_metadata(&link) {
        let points_to = std::fs::read_link(&link).unwrap_or_default();
        if points_to == binary {
            return Ok(Link::Made(link));
        }
        let built =
            ["target/release/lanyard", "target/debug/lanyard"].iter().any(|end| points_to.ends_with(end));
        if !(found.is_symlink() && (built || !link.exists())) {
            return Ok(Link::Foreign(link));
        }
        println!("up: {} pointed to {}", link.display(), points_to.display());
        std::fs::remove_file(&link).with_context(|| format!("{} could not be replaced", link.display()))?;
    }
    std::os::unix::fs::symlink(binary, &link)
        .with_context(|| format!("{} could not be created", link.display()))?;
    Ok(Link::Made(link))
}

/// Links need a privilege on Windows, so the binary is called where it was built.
#[cfg(not(unix))]
fn link(_: &Path, dir: &Path) -> Result<Link> {
    Ok(Link::Foreign(dir.join("lanyard.exe")))
}

fn become_host(binary: &Path, target: &Path, rest: &[OsString]) -> Result<()> {
    let mut host = Command::new(binary);
    host.arg("up").args(rest);
    become_program(host, target)
}

/// The program takes this process's place, and does not inherit what cargo said about xtask.
///
/// # Errors
/// It cannot be started.
pub(crate) fn become_program(mut host: Command, target: &Path) -> Result<()> {
    for (name, _) in std::env::vars_os().filter(|(name, _)| set_by_cargo(name)) {
        host.env_remove(name);
    }
    if let Some(path) = std::env::var_os("LD_LIBRARY_PATH") {
        match without_build_dirs(&path, target) {
            Some(rest) => host.env("LD_LIBRARY_PATH", rest),
            None => host.env_remove("LD_LIBRARY_PATH"),
        };
    }
    replace_process(&mut host)
}

/// Variables by which `cargo run` and rustup describe xtask, by their beginnings; the user's own settings, such as
/// `CARGO_HOME`, begin otherwise.
const SET_BY_CARGO: &[&str] = &[
    "CARGO_BIN_",
    "CARGO_CRATE_",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_PRIMARY_PACKAGE",
    "RUSTUP_TOOLCHAIN",
    "RUST_RECURSION_COUNT",
];

/// Whether what the host's tools start would take this variable for a description of themselves.
fn set_by_cargo(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name == "CARGO" || SET_BY_CARGO.iter().any(|start| name.starts_with(start))
}

/// The search path without what cargo and rustup put on it; `None` if nothing else was there.
fn without_build_dirs(path: &OsStr, target: &Path) -> Option<OsString> {
    let ours = |entry: &Path| {
        entry.starts_with(target) || entry.components().any(|part| part.as_os_str() == "toolchains")
    };
    let kept: Vec<_> = std::env::split_paths(path).filter(|entry| !ours(entry)).collect();
    if kept.iter().all(|entry| entry.as_os_str().is_empty()) { None } else { std::env::join_paths(kept).ok() }
}

/// The host takes this process's place, so that signals and the terminal are its own.
#[cfg(unix)]
fn replace_process(host: &mut Command) -> Result<()> {
    let error = std::os::unix::process::CommandExt::exec(host);
    bail!("`{}` could not be started: {error}", process::shown(host));
}

#[cfg(not(unix))]
fn replace_process(host: &mut Command) -> Result<()> {
    let status = process::start(host)?.wait()?;
    if !status.success() {
        bail!("`{}` ended with {status}", process::shown(host));
    }
    Ok(())
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A directory of PATH and a built binary.
    fn place() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let bin = root.path().join("bin");
        let binary = root.path().join("clone/target/release/lanyard");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::create_dir_all(binary.parent().unwrap()).unwrap();
        std::fs::write(&binary, "").unwrap();
        (root, bin, binary)
    }

    #[test]
    fn the_link_is_made_once_and_stays() {
        let (_root, bin, binary) = place();
        for _ in 0..2 {
            assert_eq!(link(&binary, &bin).unwrap(), Link::Made(bin.join("lanyard")));
            assert_eq!(std::fs::read_link(bin.join("lanyard")).unwrap(), binary);
        }
    }

    #[test]
    fn a_link_to_another_clone_or_to_nothing_is_replaced() {
        let (root, bin, binary) = place();
        let other = root.path().join("other/target/debug/lanyard");
        std::fs::create_dir_all(other.parent().unwrap()).unwrap();
        std::fs::write(&other, "").unwrap();
        for points_to in [other, root.path().join("gone")] {
            let _absent = std::fs::remove_file(bin.join("lanyard"));
            symlink(&points_to, bin.join("lanyard")).unwrap();
            assert_eq!(link(&binary, &bin).unwrap(), Link::Made(bin.join("lanyard")));
            assert_eq!(std::fs::read_link(bin.join("lanyard")).unwrap(), binary);
        }
    }

    #[test]
    fn an_installed_program_is_left_alone() {
        let (root, bin, binary) = place();
        std::fs::write(bin.join("lanyard"), "installed").unwrap();
        assert_eq!(link(&binary, &bin).unwrap(), Link::Foreign(bin.join("lanyard")));
        assert_eq!(std::fs::read(bin.join("lanyard")).unwrap(), b"installed");

        std::fs::remove_file(bin.join("lanyard")).unwrap();
        let elsewhere = root.path().join("opt-lanyard");
        std::fs::write(&elsewhere, "").unwrap();
        symlink(&elsewhere, bin.join("lanyard")).unwrap();
        assert_eq!(link(&binary, &bin).unwrap(), Link::Foreign(bin.join("lanyard")));
    }

    #[test]
    fn the_host_does_not_inherit_what_cargo_said_about_xtask() {
        for name in
            ["CARGO", "CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "RUSTUP_TOOLCHAIN", "RUSTUP_TOOLCHAIN_SOURCE"]
        {
            assert!(set_by_cargo(OsStr::new(name)), "{name}");
        }
        for name in ["PATH", "CARGO_HOME", "LANYARD_MODEL", "CARGO_TARGET_DIR"] {
            assert!(!set_by_cargo(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn only_the_users_own_library_path_is_kept() {
        let target = Path::new("/w/target");
        let path = OsStr::new("/w/target/debug/deps:/r/toolchains/stable/lib:/opt/lib");
        assert_eq!(without_build_dirs(path, target).unwrap(), "/opt/lib");
        assert_eq!(without_build_dirs(OsStr::new("/w/target/debug:/r/toolchains/x/lib"), target), None);
    }
}
