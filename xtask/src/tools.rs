//! Programs the checks run that are not in the toolchain: pinned, installed once below `target/tools`.

use crate::metadata::Metadata;
use crate::process;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A pinned program.
#[derive(Debug)]
pub(crate) struct Tool {
    /// The file that is run.
    program: &'static str,
    /// The crate it is built from.
    package: &'static str,
    version: &'static str,
    /// The same version as a ready-made wheel on PyPI, which saves the build.
    wheel: Option<&'static str>,
}

/// Spelling. Measured on two cores: 2 s as a wheel, 50 s from source.
pub(crate) const TYPOS: Tool =
    Tool { program: "typos", package: "typos-cli", version: "1.52.0", wheel: Some("typos") };

/// Licences, sources, bans, advisories. 40 s from source; the wheel on PyPI (0.14.2) cannot read today's
/// `cargo metadata`.
pub(crate) const CARGO_DENY: Tool =
    Tool { program: "cargo-deny", package: "cargo-deny", version: "0.20.2", wheel: None };

/// The tool's path, after installing it where it is missing.
///
/// # Errors
/// If the registry is out of reach or the build fails.
pub(crate) fn ensure(tool: &Tool) -> Result<PathBuf> {
    let tools = Metadata::workspace()?.target_directory.join("tools");
    let home = tools.join(format!("{}-{}", tool.program, tool.version));
    let program = home.join("bin").join(format!("{}{}", tool.program, std::env::consts::EXE_SUFFIX));
    if program.is_file() {
        return Ok(program);
    }
    // Installed beside and renamed, so that an interrupted install is never taken for a whole one.
    let partial = tools.join(format!("{}-{}.partial", tool.program, tool.version));
    clear(&partial)?;
    println!("installing {} {} below {}", tool.package, tool.version, tools.display());
    if !from_wheel(tool, &partial)? {
        clear(&partial)?;
        from_source(tool, &partial)?;
    }
    clear(&home)?;
    std::fs::rename(&partial, &home)
        .with_context(|| format!("{} could not be put in place", home.display()))?;
    if !program.is_file() {
        bail!("{} {} was installed but has no {}", tool.package, tool.version, program.display());
    }
    Ok(program)
}

fn clear(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} could not be removed", dir.display()))
        }
        _ => Ok(()),
    }
}

/// Tries the wheel; `false` where there is none, or no pip, or no wheel for this system.
fn from_wheel(tool: &Tool, into: &Path) -> Result<bool> {
    let Some(wheel) = tool.wheel else { return Ok(false) };
    if !process::succeeds(Command::new("python3").args(["-m", "pip", "--version"])) {
        return Ok(false);
    }
    // `--target` keeps clear of Python's own directories, so neither a virtual environment nor root is needed.
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    // As root pip warns of system directories, which are not touched.
    pip.env("PIP_ROOT_USER_ACTION", "ignore");
    pip.args(["--only-binary", ":all:", "--target"]).arg(into).arg(format!("{wheel}=={}", tool.version));
    println!("$ {}", process::shown(&pip));
    let installed = process::start(&mut pip)?.wait()?.success();
    if !installed {
        println!("no ready-made {} for this system, so it is built from source", tool.program);
    }
    Ok(installed)
}

/// Builds without optimisation: the tools run for a second, an optimised build takes minutes.
fn from_source(tool: &Tool, into: &Path) -> Result<()> {
    let mut cargo = process::cargo();
    cargo.args([
        "install",
        tool.package,
        "--version",
        &format!("={}", tool.version),
        "--locked",
        "--debug",
        "--root",
    ]);
    cargo.arg(into).env("CARGO_PROFILE_DEV_DEBUG", "0");
    process::run(&mut cargo)
}
