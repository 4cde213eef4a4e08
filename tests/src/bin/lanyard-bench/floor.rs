//! What no host can be faster than: starting `true`, and two commits of two fsyncs, on this disk in this minute.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// A database page.
const PAGE: [u8; 4096] = [7; 4096];

/// Fsyncs of one step: two commits, each the data and then the root.
const FSYNCS: usize = 4;

/// Appends and syncs a page, as often as a step does.
pub(crate) fn commits(file: &mut File) -> Result<Duration> {
    let started = Instant::now();
    for _ in 0..FSYNCS {
        file.write_all(&PAGE)?;
        file.sync_data()?;
    }
    Ok(started.elapsed())
}

/// Starts `true` and waits for it.
pub(crate) fn spawn() -> Result<Duration> {
    let started = Instant::now();
    let status =
        Command::new("true").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    ensure!(status.success(), "`true` failed");
    Ok(started.elapsed())
}

/// The file the floor is measured with; in the same file system as the store.
pub(crate) fn file(directory: &Path) -> Result<File> {
    Ok(OpenOptions::new().create(true).append(true).open(directory.join("floor"))?)
}
