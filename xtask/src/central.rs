//! `cargo xtask central`: from a fresh clone to running central services, with the embedded database.

use crate::metadata::Metadata;
use crate::{needs, page, process, up};
use anyhow::Result;
use clap::Args;
use std::ffi::OsString;
use std::process::Command;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Build without optimisation: sooner ready, slower to run.
    #[arg(long)]
    dev: bool,
    /// Arguments for `lanyard-central`, such as `--listen 0.0.0.0:8787`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

/// Builds and becomes `lanyard-central`.
///
/// # Errors
/// If something is missing that may not be installed here, or the build fails.
pub(crate) fn run(options: &Options) -> Result<()> {
    println!("central: 1/4 looking for what the build needs");
    needs::satisfy(needs::Purpose::Build)?;
    println!("central: 2/4 building the console");
    page::ensure_console(if options.dev { page::Flavour::Dev } else { page::Flavour::Release })?;
    println!("central: 3/4 building lanyard-central; the first time takes a few minutes on two cores");
    let mut build = process::cargo();
    build.args(["build", "--package", "lanyard-central"]);
    if !options.dev {
        build.arg("--release");
    }
    process::run(&mut build)?;
    let profile = if options.dev { "debug" } else { "release" };
    let target = Metadata::workspace()?.target_directory;
    let binary = target.join(profile).join(format!("lanyard-central{}", std::env::consts::EXE_SUFFIX));
    println!("central: 4/4 starting (Ctrl-C stops it)");
    let mut central = Command::new(binary);
    central.args(&options.rest);
    up::become_program(central, &target)
}
