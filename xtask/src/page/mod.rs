//! `cargo xtask web`: compiles the two pages to wasm and packages them: the host's into `client-web/dist`, which the host
//! embeds, and the console into `client-web/console/dist`, which central embeds.
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

/// One page: what it is made of, where it goes, and what it may weigh.
#[derive(Debug)]
struct Page {
    /// For people.
    name: &'static str,
    /// The program that is the page.
    package: &'static str,
    /// Where it goes, from the workspace's root.
    dist: &'static str,
    /// Files that are taken as they are, but for the names in them.
    statics: &'static str,
    /// Style sheets, in this order; within a folder by name.
    styles: &'static [&'static str],
    /// The path under which it is served.
    served: &'static str,
    /// Everything that goes into it, and its packaging.
    sources: &'static [&'static str],
    /// What it should weigh, in bytes to download; none where nobody has said.
    budget: Option<usize>,
    /// More than this fails the build: nothing may get larger without somebody noticing.
    ceiling: usize,
}

/// The host's page. What a phone should have to download is missed (docs/performance.md says by how much, and what the
/// page is made of).
static HOST: Page = Page {
    name: "page",
    package: "lanyard-web",
    dist: "client-web/dist",
    statics: "client-web/app/static",
    styles: &["client-web/ui/css", "client-web/app/css"],
    served: "/",
    sources: &[
        "client-web/ui",
        "client-web/view",
        "client-web/state",
        "client-web/link",
        "client-web/app",
        "protocol",
        "pairing",
        "client",
        "xtask/src/page",
        "Cargo.lock",
        "Cargo.toml",
    ],
    budget: Some(250 * 1024),
    ceiling: 495 * 1024,
};

/// Central's console: used at desks, over the organisation's network.
static CONSOLE: Page = Page {
    name: "console",
    package: "lanyard-console",
    dist: "client-web/console/dist",
    statics: "client-web/console/static",
    styles: &["client-web/ui/css", "client-web/console/css"],
    served: "/console/",
    sources: &[
        "client-web/ui",
        "client-web/view",
        "client-web/state",
        "client-web/console",
        "protocol",
        "client",
        "governance/api",
        "xtask/src/page",
        "Cargo.lock",
        "Cargo.toml",
    ],
    budget: None,
    ceiling: 565 * 1024,
};

/// Both.
static PAGES: [&Page; 2] = [&HOST, &CONSOLE];

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
/// When something is missing that cannot be installed here, a page does not compile, or is too large.
pub(crate) fn run(options: &Options) -> Result<()> {
    needs::satisfy(needs::Purpose::Build)?;
    let flavour = match options {
        Options { watch: true, release: false, .. } | Options { dev: true, .. } => Flavour::Dev,
        _ => Flavour::Release,
    };
    if options.watch {
        return watch::run(flavour);
    }
    ensure_all(flavour)
}

/// Builds both pages, each unless what is there is newer than everything it is made of.
///
/// # Errors
/// As [`run`].
pub(crate) fn ensure_all(flavour: Flavour) -> Result<()> {
    PAGES.iter().try_for_each(|page| ensure_one(page, flavour))
}

/// Builds central's console, under the same condition.
///
/// # Errors
/// As [`run`].
pub(crate) fn ensure_console(flavour: Flavour) -> Result<()> {
    ensure_one(&CONSOLE, flavour)
}

/// Builds the host's page, under the same condition.
///
/// # Errors
/// As [`run`].
pub(crate) fn ensure(flavour: Flavour) -> Result<()> {
    ensure_one(&HOST, flavour)
}

fn ensure_one(page: &'static Page, flavour: Flavour) -> Result<()> {
    if watch::is_current(page, flavour == Flavour::Dev) {
        println!("{}: {} is up to date", page.name, page.dist);
        return Ok(());
    }
    build(page, flavour)
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

fn build(page: &'static Page, flavour: Flavour) -> Result<()> {
    let route = wasm::route()?;
    println!("compiler: {}", route.told());
    let program = compile(route, page, flavour)?;
    let script = script::bind(&program)?;
    let sizes = dist::write(&process::root(), page, script, flavour == Flavour::Release)?;
    for (name, plain, compressed) in &sizes.files {
        println!("{name:<34} {:>9} B {compressed:>9} B brotli", plain);
    }
    let total = sizes.downloaded();
    let share = match page.budget {
        Some(budget) => format!("{} % of the budget of {budget} B", total * 100 / budget),
        None => format!("{} % of the {} B it may have", total * 100 / page.ceiling, page.ceiling),
    };
    println!("{}: {total} B to download, {share}, in {}", page.name, page.dist);
    if flavour == Flavour::Release && total > page.ceiling {
        bail!(
            "the {} has {} bytes more than the {} it may have",
            page.name,
            total - page.ceiling,
            page.ceiling
        );
    }
    Ok(())
}

/// Compiles; gives the path of the wasm file.
fn compile(route: Route, page: &Page, flavour: Flavour) -> Result<PathBuf> {
    let target_dir = route.target_dir()?;
    let mut cargo = route.cargo("build", &target_dir);
    cargo.args(["--package", page.package, "--bin", page.package, "--profile", flavour.profile()]);
    cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", flags()?);
    process::run(&mut cargo)?;
    let built =
        target_dir.join(wasm::TARGET).join(flavour.directory()).join(format!("{}.wasm", page.package));
    if !built.is_file() {
        bail!("{} was not built although cargo says so", built.display());
    }
    Ok(built)
}

/// What is left of Leptos' own views is boxed instead of each being a type of its own. And panic messages name source
/// files, but not where they lie on the machine that built them.
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
