//! `cargo xtask test`: every check and every test, in stages, stopping at the first that fails.

use crate::metadata::Metadata;
use crate::process::{self, cargo, seconds};
use crate::tally::Tally;
use crate::{arrows, fuzz, needs, page, tidy, tools, wasm};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Long enough to clone the advisory database over a slow line, short enough for a network that drops packets.
const ADVISORIES_LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Run property tests and the crash matrix with their large counts (sets LANYARD_LONG=1).
    #[arg(long)]
    long: bool,
    /// Also run every fuzz target, FUZZ_SECONDS (60) each; FUZZ_TARGET picks one.
    #[arg(long)]
    fuzz: bool,
    /// Run this stage only; may be given more than once.
    #[arg(long, value_name = "STAGE")]
    only: Vec<Name>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    Fmt,
    Tidy,
    Arrows,
    Typos,
    Deny,
    Page,
    Clippy,
    Wasm,
    Test,
    Fuzz,
}

impl Name {
    fn as_str(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Tidy => "tidy",
            Self::Arrows => "arrows",
            Self::Typos => "typos",
            Self::Deny => "deny",
            Self::Page => "page",
            Self::Clippy => "clippy",
            Self::Wasm => "wasm",
            Self::Test => "test",
            Self::Fuzz => "fuzz",
        }
    }
}

/// What the stages share.
#[derive(Debug)]
struct Run {
    long: bool,
    tally: Tally,
}

struct Stage {
    name: Name,
    what: &'static str,
    run: fn(&mut Run) -> Result<()>,
}

/// In this order: what fails fastest comes first.
const STAGES: &[Stage] = &[
    Stage { name: Name::Fmt, what: "the code is formatted", run: fmt },
    Stage { name: Name::Tidy, what: "file length, module docs, marks, paths, links", run: |_| tidy::run() },
    Stage { name: Name::Arrows, what: "which crate may depend on which", run: |_| arrows::run() },
    Stage { name: Name::Typos, what: "spelling", run: typos },
    Stage { name: Name::Deny, what: "licences, sources and bans of dependencies", run: deny },
    // Before anything that compiles the host, which embeds it.
    Stage {
        name: Name::Page,
        what: "the page compiles and does not grow",
        run: |_| page::ensure_all(page::Flavour::Release),
    },
    Stage { name: Name::Clippy, what: "lints, warnings denied", run: clippy },
    Stage { name: Name::Wasm, what: "what runs in a browser, compiled for it and run", run: |_| wasm::run() },
    Stage { name: Name::Test, what: "every test of the workspace", run: tests },
    Stage { name: Name::Fuzz, what: "the fuzz targets", run: |_| fuzz::run() },
];

/// Runs the stages asked for and prints the verdict, the counts of passed and failed tests on the last line.
pub(crate) fn run(options: &Options) -> ExitCode {
    let stages: Vec<_> = STAGES.iter().filter(|stage| wanted(options, stage.name)).collect();
    let mut run = Run { long: options.long, tally: Tally::default() };
    println!("stages: {}", stages.iter().map(|stage| stage.name.as_str()).collect::<Vec<_>>().join(", "));
    let mut table = Vec::new();
    let mut failure = prepare(&stages).err().map(|error| ("preparation", error));
    for (number, stage) in (1..).zip(&stages) {
        let name = stage.name.as_str();
        if failure.is_some() {
            table.push(format!("{name:<8} not run"));
            continue;
        }
        println!("\n==> {number}/{} {name}: {}", stages.len(), stage.what);
        let started = Instant::now();
        let done = (stage.run)(&mut run);
        let verdict = if done.is_ok() { "ok" } else { "FAILED" };
        let line = format!("{name:<8} {verdict:<7} {:>9}", seconds(started.elapsed()));
        println!("==> {line}");
        table.push(line);
        failure = done.err().map(|error| (name, error));
    }
    println!("\n{}", table.join("\n"));
    if let Some((stage, error)) = &failure {
        println!("\n{stage}: {error:#}");
        for name in &run.tally.failures {
            println!("failed: {name}");
        }
        println!("run it again: {}", rerun(options, stage));
    }
    println!("\n{}", counts(&run.tally, failure.is_some()));
    if failure.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn wanted(options: &Options, name: Name) -> bool {
    if options.only.is_empty() { name != Name::Fuzz || options.fuzz } else { options.only.contains(&name) }
}

/// The command that repeats a failed stage.
fn rerun(options: &Options, stage: &str) -> String {
    let long = if options.long { " --long" } else { "" };
    match STAGES.iter().find(|known| known.name.as_str() == stage) {
        Some(_) => format!("cargo xtask test{long} --only {stage}"),
        None => format!("cargo xtask test{long}"),
    }
}

/// The closing line. A stage that failed without a failed test counts as one, so that red never reads as `0 failed`.
fn counts(tally: &Tally, failed: bool) -> String {
    format!("{} passed, {} failed", tally.passed, tally.failed.max(u64::from(failed)))
}

/// System packages and parts of the toolchain, before the first stage.
fn prepare(stages: &[&Stage]) -> Result<()> {
    let fuzzing = stages.iter().any(|stage| stage.name == Name::Fuzz);
    needs::satisfy(if fuzzing { needs::Purpose::Fuzz } else { needs::Purpose::Test })?;
    for (stage, subcommand, component) in [(Name::Fmt, "fmt", "rustfmt"), (Name::Clippy, "clippy", "clippy")]
    {
        let asked = stages.iter().any(|wanted| wanted.name == stage);
        if !asked || process::succeeds(cargo().args([subcommand, "--version"])) {
            continue;
        }
        if process::find_on_path("rustup").is_none() {
            bail!(
                "`cargo {subcommand}` is missing: install {component} as your Rust came (rustup, or your distribution)"
            );
        }
        process::run(Command::new("rustup").args(["component", "add", component]))?;
    }
    Ok(())
}

fn fmt(_: &mut Run) -> Result<()> {
    let whole = ["fmt", "--all", "--", "--check"];
    process::run(cargo().args(whole)).context("`cargo fmt --all` mends it")?;
    // The fuzz targets are a workspace of their own.
    let fuzzing = ["fmt", "--manifest-path", fuzz::MANIFEST];
    process::run(cargo().args(fuzzing).args(["--", "--check"]))
        .with_context(|| format!("`cargo {}` mends it", fuzzing.join(" ")))
}

fn typos(_: &mut Run) -> Result<()> {
    process::run(Command::new(tools::ensure(&tools::TYPOS)?).current_dir(process::root()))
        .context("mend the spelling, or add the word to _typos.toml with a reason")
}

fn deny(_: &mut Run) -> Result<()> {
    let program = tools::ensure(&tools::CARGO_DENY)?;
    let start = || {
        let mut deny = Command::new(&program);
        deny.current_dir(process::root()).args(["--log-level", "error"]).env("GIT_TERMINAL_PROMPT", "0");
        deny
    };
    let mut check = start();
    check.args(["check", "--hide-inclusion-graph", "bans", "licenses", "sources"]);
    if process::succeeds_within(start().args(["fetch", "db"]), ADVISORIES_LIMIT)? {
        check.arg("advisories");
    } else {
        println!("advisories are NOT checked: RustSec's database could not be fetched from its git host");
    }
    process::run(&mut check)
}

fn clippy(_: &mut Run) -> Result<()> {
    process::run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

/// Passes `cargo test`'s output on line by line, counting.
fn tests(run: &mut Run) -> Result<()> {
    // The programs that scenarios start, once and with what the tests are compiled with: built by a test, each would be
    // compiled again with other features.
    process::run(cargo().args(["build", "--workspace", "--bins"]))?;
    let built = Metadata::workspace()?.target_directory.join("debug");
    let mut test = cargo();
    test.args(["test", "--workspace", "--no-fail-fast"]).stdin(Stdio::null()).stdout(Stdio::piped());
    for (variable, program) in [("LANYARD_BIN", "lanyard"), ("LANYARD_CENTRAL_BIN", "lanyard-central")] {
        test.env(variable, built.join(format!("{program}{}", std::env::consts::EXE_SUFFIX)));
    }
    if run.long {
        test.env("LANYARD_LONG", "1");
    }
    println!("$ {}", process::shown(&test));
    let mut child = process::start(&mut test)?;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            println!("{line}");
            run.tally.read(&line);
        }
    }
    process::check(&test, child.wait()?)?;
    if run.tally.ignored > 0 {
        bail!("ignored tests: {}; mend or delete them", run.tally.ignored);
    }
    if run.tally.passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(only: &[Name], fuzz: bool) -> Options {
        Options { long: false, fuzz, only: only.to_vec() }
    }

    fn wanted_stages(options: &Options) -> Vec<Name> {
        STAGES.iter().map(|stage| stage.name).filter(|name| wanted(options, *name)).collect()
    }

    #[test]
    fn fuzzing_is_asked_for_and_only_picks() {
        assert!(!wanted_stages(&options(&[], false)).contains(&Name::Fuzz));
        assert_eq!(wanted_stages(&options(&[], true)).len(), STAGES.len());
        assert_eq!(wanted_stages(&options(&[Name::Fuzz, Name::Fmt], false)), [Name::Fmt, Name::Fuzz]);
    }

    #[test]
    fn every_stage_has_the_name_that_only_takes() {
        for stage in STAGES {
            let value = stage.name.to_possible_value().unwrap();
            assert_eq!(value.get_name(), stage.name.as_str());
        }
        assert_eq!(STAGES.len(), Name::value_variants().len());
    }

    #[test]
    fn a_failed_stage_never_reads_as_no_failure() {
        let tally = |passed, failed| Tally { passed, failed, ..Tally::default() };
        assert_eq!(counts(&tally(12, 0), false), "12 passed, 0 failed");
        assert_eq!(counts(&tally(12, 3), true), "12 passed, 3 failed");
        assert_eq!(counts(&tally(0, 0), true), "0 passed, 1 failed");
    }

    #[test]
    fn the_way_to_repeat_names_the_stage() {
        let long = Options { long: true, fuzz: false, only: Vec::new() };
        assert_eq!(rerun(&long, "clippy"), "cargo xtask test --long --only clippy");
        assert_eq!(rerun(&options(&[], false), "preparation"), "cargo xtask test");
    }
}
