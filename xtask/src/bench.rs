//! `cargo xtask bench`: builds everything the benchmarks measure in release mode, then runs them.

use crate::{needs, page, process};
use anyhow::Result;
use clap::Args;
use std::ffi::OsString;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Arguments for the benchmark program.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

/// Builds and runs `lanyard-bench`.
///
/// # Errors
/// If the build fails or a benchmark does.
pub(crate) fn run(options: &Options) -> Result<()> {
    println!("bench: building in release mode; the first time takes minutes, later ones seconds");
    // Every other section is content with what a build needs; these have a browser or a database.
    let browser = options.rest.iter().all(|word| word.to_str().is_some_and(|word| word.starts_with("--")))
        || options.rest.iter().any(|word| word == "page" || word == "central");
    needs::satisfy(if browser { needs::Purpose::Test } else { needs::Purpose::Build })?;
    if browser {
        // The host embeds it.
        page::ensure(page::Flavour::Release)?;
    }
    // The benchmarks start the real host, so its binary is built with them and never measured stale.
    process::run(process::cargo().args([
        "build",
        "--release",
        "--package",
        "lanyard",
        "--package",
        "lanyard-central",
        "--package",
        "lanyard-tests",
    ]))?;
    let mut bench = process::cargo();
    bench.args(["run", "--quiet", "--release", "--package", "lanyard-tests", "--bin", "lanyard-bench", "--"]);
    process::run(bench.args(&options.rest))
}
