//! Programs from PyPI and npm, installed into `target/` the first time.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;
use tokio::sync::Mutex;

/// One tests' process installs one thing at a time.
static INSTALLING: Mutex<()> = Mutex::const_new(());

fn target() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let target = test.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists());
    target.map(PathBuf::from).context("no target directory")
}

/// A folder with `node_modules` that hold a package, under `target/NAME`.
///
/// # Errors
/// The npm registry or npm itself cannot be used.
pub async fn npm(name: &str, package: &str) -> Result<PathBuf> {
    let _one = INSTALLING.lock().await;
    let home = target()?.join(name);
    if home.join("node_modules").is_dir() {
        return Ok(home);
    }
    // Put in place whole, so that several processes may do it.
    let partial = target()?.join(format!("{name}.{}", std::process::id()));
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
        .arg(&partial);
    let output =
        npm.arg(package).stdin(std::process::Stdio::null()).output().await.context("npm (Debian: npm)")?;
    ensure!(output.status.success(), "npm install {package}: {}", String::from_utf8_lossy(&output.stderr));
    if std::fs::rename(&partial, &home).is_err() {
        // Another process was first; its copy is as good.
        std::fs::remove_dir_all(&partial)?;
    }
    Ok(home)
}

/// A Python environment with these packages, under `target/NAME`. The inner error says that PyPI is out of reach.
///
/// # Errors
/// Anything else that goes wrong.
pub async fn python(name: &str, packages: &[&str]) -> Result<Result<PathBuf, String>> {
    let _one = INSTALLING.lock().await;
    let venv = target()?.join(name);
    // Written last: an installation that was interrupted is done again.
    let done = venv.join("complete");
    if done.exists() {
        return Ok(Ok(venv));
    }
    println!("installing {} into {}; once", packages.join(", "), venv.display());
    let made = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv).output().await?;
    ensure!(
        made.status.success(),
        "python3 -m venv (Debian: python3-venv): {}",
        String::from_utf8_lossy(&made.stderr)
    );
    let mut pip = Command::new(venv.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(packages);
    let installed = pip.output().await?;
    if !installed.status.success() {
        let why = String::from_utf8_lossy(&installed.stderr).into_owned();
        ensure!(unreachable(&why), "pip: {why}");
        return Ok(Err(format!("PyPI is out of reach: {}", why.lines().last().unwrap_or_default())));
    }
    std::fs::write(done, "")?;
    Ok(Ok(venv))
}

/// Whether pip failed because no index answers.
pub fn unreachable(why: &str) -> bool {
    ["Could not find a version", "NewConnectionError", "Temporary failure", "timed out", "ProxyError"]
        .iter()
        .any(|word| why.contains(word))
}
