//! `cargo xtask web`: compiles the page to wasm and packages it into `client-web/dist`, which the host embeds.
//!
//! Nothing is installed for it: wasm-bindgen is used as a library, names carry a hash of their content, and everything a
//! browser downloads is compressed once, here. A page that has grown too large fails the build.

mod dist;
mod script;
mod watch;

use crate::wasm::{self, Route};
use crate::{needs, process};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::{Path, PathBuf};

/// The program that is the page.
const PACKAGE: &str = "lanyard-web";

/// What a phone should have to download, compressed: programs, scripts and styles. It is missed
/// (docs/performance.md says by how much, and what the page is made of).
const BUDGET: usize = 250 * 1024;

/// More than this fails the build: until the budget is met, nothing may get larger without somebody noticing.
const CEILING: usize = 610 * 1024;

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Options {
    /// Build without optimisation: sooner ready, many times larger.
    #[arg(long)]
    dev: bool,
    /// Build again whenever something changes (with --dev, unless --release is given too).
    #[arg(long)]
    watch: bool,
    /// With --watch: build as for a release each time.
    #[arg(long, requires = "watch")]
    release: bool,
}

/// Builds once, or for as long as it is watched.
///
/// # Errors
/// When something is missing that cannot be installed here, the page does not compile, or is too large.
pub(crate) fn run(options: &Options) -> Result<()> {
    needs::satisfy(needs::Purpose::Build)?;
    let flavour = match options {
        Options { watch: true, release: false, .. } | Options { dev: true, .. } => Flavour::Dev,
        _ => Flavour::Release,
    };
    if options.watch { watch::run(flavour) } else { build(flavour) }
}

/// How the page is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    Dev,
    Release,
}

impl Flavour {
    fn profile(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "page",
        }
    }

    /// Where cargo puts what it built under the profile.
    fn directory(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "page",
        }
    }
}

/// Builds the page, unless what is there is newer than everything it is made of.
///
/// # Errors
/// As [`run`].
pub(crate) fn ensure(flavour: Flavour) -> Result<()> {
    if watch::is_current(&process::root().join(dist::DIST), flavour == Flavour::Dev) {
        println!("page: {} is up to date", dist::DIST);
        return Ok(());
    }
    build(flavour)
}

fn build(flavour: Flavour) -> Result<()> {
    let route = wasm::route()?;
    println!("compiler: {}", route.told());
    let program = compile(route, flavour)?;
    let script = script::bind(&program)?;
    let sizes = dist::write(&process::root(), script, flavour == Flavour::Release)?;
    for (name, plain, compressed) in &sizes.files {
        println!("{name:<34} {:>9} B {compressed:>9} B brotli", plain);
    }
    let total = sizes.downloaded();
    let share = total * 100 / BUDGET;
    println!("page: {total} B to download, {share} % of the budget of {BUDGET} B, in {}", dist::DIST);
    if flavour == Flavour::Release && total > CEILING {
        bail!("the page has {} bytes more than the {CEILING} it may have", total - CEILING);
    }
    Ok(())
}

/// Compiles; gives the path of the wasm file.
fn compile(route: Route, flavour: Flavour) -> Result<PathBuf> {
    let target_dir = route.target_dir()?;
    let mut cargo = route.cargo("build", &target_dir);
    cargo.args(["--package", PACKAGE, "--bin", PACKAGE, "--profile", flavour.profile()]);
    cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", flags()?);
    process::run(&mut cargo)?;
    let built = target_dir.join(wasm::TARGET).join(flavour.directory()).join(format!("{PACKAGE}.wasm"));
    if !built.is_file() {
        bail!("{} was not built although cargo says so", built.display());
    }
    Ok(built)
}

/// Views are boxed instead of each being a type of its own, which makes the page a third of the size. And panic messages
/// name source files, but not where they lie on the machine that built them.
fn flags() -> Result<String> {
    let root = process::root();
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .context("neither CARGO_HOME nor a home directory is set")?;
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let sysroot = process::output(std::process::Command::new("rustc").args(["--print", "sysroot"]))?;
    let sysroot = String::from_utf8(sysroot).context("rustc printed a sysroot that is not text")?;
    let boxed = "--cfg=erase_components";
    let paths =
        [remap(&root, "lanyard"), remap(&cargo_home, "cargo"), remap(Path::new(sysroot.trim()), "rust")];
    if paths.iter().any(|word| word.contains(' ')) {
        // The variable is split at spaces; a path in a panic message is the smaller evil.
        return Ok(boxed.to_owned());
    }
    Ok(format!("{boxed} {}", paths.join(" ")))
}
