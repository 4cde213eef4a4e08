//! Programs that tests make to have them run.
//!
//! A file that somebody has open for writing cannot be run ("text file busy"), and every program that another test is
//! starting in that moment has open, until it has begun, what its parent had. So another process writes these.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

/// A script.
///
/// # Errors
/// It cannot be written.
pub fn write(at: &Path, text: &str) -> Result<()> {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"printf %s "$2" > "$1" && chmod 755 "$1""#, "sh"]).arg(at).arg(text);
    ensure!(shell.status()?.success(), "{} cannot be written", at.display());
    Ok(())
}

/// The copy of a program, which everybody may run.
///
/// # Errors
/// It cannot be made.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let made = Command::new("install").args(["-m", "755"]).args([from, to]).status()?;
    ensure!(made.success(), "{} cannot be copied to {}", from.display(), to.display());
    Ok(())
}
