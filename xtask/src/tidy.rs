//! `cargo xtask tidy`: the habits of the code base that neither the compiler nor clippy checks.

mod links;
mod paths;
mod rust;

use crate::process;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// One broken habit, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    file: String,
    /// Counted from 1.
    line: usize,
    what: String,
}

impl Finding {
    fn new(file: &str, line: usize, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, what: what.into() }
    }
}

/// Checks every file git knows or would add.
///
/// # Errors
/// Every finding is printed; the error counts them.
pub(crate) fn run() -> Result<()> {
    let root = process::root();
    let files = tracked_files(&root)?;
    let mut findings = Vec::new();
    let mut long = Vec::new();
    for file in &files {
        let bytes = std::fs::read(root.join(file)).with_context(|| format!("{file} could not be read"))?;
        // What is not text has no habits.
        let Ok(text) = String::from_utf8(bytes) else { continue };
        findings.extend(paths::check(file, &text));
        if file.ends_with(".rs") {
            findings.extend(rust::check(file, &text));
            long.extend(rust::worth_reviewing(file, &text));
        }
        if file.ends_with(".md") {
            findings.extend(links::check(&root, file, &text));
        }
    }
    for note in &long {
        println!("tidy: {note}");
    }
    for Finding { file, line, what } in &findings {
        println!("{file}:{line}: {what}");
    }
    if !findings.is_empty() {
        bail!("{} findings; {} files were looked at", findings.len(), files.len());
    }
    println!("tidy: {} files in order, {} of them long", files.len(), long.len());
    Ok(())
}

/// The files git tracks or would add, by their path from the root; those deleted on disk are left out.
pub(crate) fn tracked_files(root: &Path) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(root).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
        "--deduplicate",
    ]);
    let listing = String::from_utf8(process::output(&mut git)?).context("a file name is not UTF-8")?;
    let files = listing.split('\0').filter(|file| !file.is_empty());
    Ok(files.filter(|file| root.join(file).is_file()).map(str::to_owned).collect())
}
