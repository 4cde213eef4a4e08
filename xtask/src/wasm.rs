//! The `wasm` stage: what runs in the browser compiles for it, and its tests run there where Node is.
//!
//! The compiler is the usual one where it has, or can fetch, the standard library for wasm. Where it cannot (a network
//! that lets nothing from Rust's servers through), Debian packages a compiler with the library's sources, which is then
//! built along.

use crate::metadata::Metadata;
use crate::{needs, process};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// The crates of which the web client is made; no features, as it will use them.
const PACKAGES: &[&str] = &["lanyard-protocol", "lanyard-client", "lanyard-pairing", "lanyard-web-link"];

/// The test programs that also run in wasm: package and name.
const TESTS: &[(&str, &str)] = &[("lanyard-pairing", "browser"), ("lanyard-web-link", "browser")];

/// Runs a test program in Node; without dependencies.
const RUNNER: &str = "xtask/wasm-runner.mjs";

/// The library is 20 MB. A closed network refuses at once or not at all.
const FETCH_LIMIT: Duration = Duration::from_secs(60);

/// Debian's compiler; `needs.rs` has the packages.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";

/// Where the compiler and the standard library come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// The toolchain in use had it.
    Had,
    /// rustup has just added it.
    Fetched,
    /// Debian's compiler builds it.
    Debian,
}

impl Route {
    /// Which it is, for people.
    pub(crate) fn told(self) -> &'static str {
        match self {
            Self::Had => "this toolchain has the standard library for wasm",
            Self::Fetched => "rustup has added the standard library for wasm",
            Self::Debian => {
                "rustup cannot add the standard library for wasm, so Debian's compiler (rustc-web) builds it"
            }
        }
    }

    /// A directory for each compiler: they cannot use each other's work.
    pub(crate) fn target_dir(self) -> Result<PathBuf> {
        let kind = if self == Self::Debian { "debian" } else { "rustup" };
        Ok(Metadata::workspace()?.target_directory.join("wasm").join(kind))
    }

    /// A cargo that compiles for wasm, with `subcommand` and all that comes before its own words.
    pub(crate) fn cargo(self, subcommand: &str, target_dir: &Path) -> Command {
        let mut cargo = process::cargo();
        if self == Self::Debian {
            cargo = Command::new(DEBIAN_CARGO);
            // The sources of the library count as unstable; so does everything that names them.
            cargo.current_dir(process::root()).env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
        }
        // Flags for this machine's processor mean nothing there.
        cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        // Nobody debugs this, and it is compiled once: a third of the time is saved.
        cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
        cargo.args([subcommand, "--locked", "--target", TARGET, "--target-dir"]).arg(target_dir);
        if self == Self::Debian {
            // With the test harness for both steps, or the second would build everything again.
            cargo.arg("-Zbuild-std=std,panic_abort,test");
        }
        cargo
    }
}

/// Compiles the crates, then runs the tests.
///
/// # Errors
/// When no compiler for wasm is to be had, a crate does not compile, or a test fails.
pub(crate) fn run() -> Result<()> {
    let route = route()?;
    println!("compiler: {}", route.told());
    let target_dir = route.target_dir()?;
    let packages = PACKAGES.iter().flat_map(|package| ["--package", package]);
    process::run(route.cargo("build", &target_dir).arg("--lib").args(packages))?;
    if process::find_on_path("node").is_none() {
        println!("NOT run in wasm, only compiled: there is no `node` on PATH to run the tests in");
        return Ok(());
    }
    for (package, test) in TESTS {
        let mut cargo = route.cargo("test", &target_dir);
        cargo.args(["--package", package, "--test", test, "--config"]).arg(runner());
        process::run(&mut cargo)
            .context("what failed is in the trace above; the same tests run without wasm")?;
    }
    println!("run in wasm: {} test program(s), in Node", TESTS.len());
    Ok(())
}

/// The configuration that makes cargo run wasm programs in Node; a list, so that the path may hold spaces.
fn runner() -> String {
    let script = process::root().join(RUNNER);
    format!("target.{TARGET}.runner=['node', '{}']", script.display())
}

/// The compiler to take; fetches or installs it where there is none.
///
/// # Errors
/// When none is to be had.
pub(crate) fn route() -> Result<Route> {
    if has_library("rustc")? {
        return Ok(Route::Had);
    }
    if process::find_on_path("rustup").is_some() {
        let mut add = Command::new("rustup");
        add.args(["target", "add", TARGET]);
        println!("$ {}", process::shown(&add));
        if process::succeeds_within(&mut add, FETCH_LIMIT)? && has_library("rustc")? {
            return Ok(Route::Fetched);
        }
    }
    needs::satisfy(needs::Purpose::Wasm)
        .context("or let the toolchain have it: rustup target add wasm32-unknown-unknown")?;
    Ok(Route::Debian)
}

/// Whether a compiler has the standard library for wasm, built.
fn has_library(rustc: &str) -> Result<bool> {
    let sysroot = process::output(Command::new(rustc).args(["--print", "sysroot"]))?;
    let sysroot = String::from_utf8(sysroot).context("rustc printed a sysroot that is not text")?;
    Ok(PathBuf::from(sysroot.trim()).join("lib/rustlib").join(TARGET).is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_debians_compiler_builds_the_library() {
        let words = |route: Route| process::shown(&route.cargo("build", Path::new("out")));
        let usual = "build --locked --target wasm32-unknown-unknown --target-dir out";
        assert!(words(Route::Had).ends_with(usual), "{}", words(Route::Had));
        assert_eq!(words(Route::Fetched), words(Route::Had));
        assert_eq!(words(Route::Debian), format!("cargo {usual} -Zbuild-std=std,panic_abort,test"));
    }

    #[test]
    fn what_the_stage_names_is_there() {
        assert!(process::root().join(RUNNER).is_file());
        let metadata = Metadata::workspace().unwrap();
        let package = |name: &str| metadata.packages.iter().find(|package| package.name == name);
        assert!(PACKAGES.iter().all(|name| package(name).is_some()));
        for (name, test) in TESTS {
            let targets = &package(name).unwrap().targets;
            assert!(targets.iter().any(|target| target.kind == ["test"] && target.name == *test));
        }
    }
}
