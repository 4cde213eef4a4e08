//! What the page is made of, when that last changed, and building again when it does.

use super::Flavour;
use super::dist::{PARTIAL, RELEASE};
use crate::process;
use anyhow::Result;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Everything that goes into the page, and its packaging.
const SOURCES: &[&str] =
    &["client-web", "protocol", "pairing", "client", "xtask/src/page", "Cargo.lock", "Cargo.toml"];

/// Folders that are looked past: what is built, and what only tests see.
const NOT_SOURCES: &[&str] = &["dist", "target", "tests"];

/// How often is looked. A person does not notice half a second beside the seconds a build takes.
const LOOK: Duration = Duration::from_millis(500);

/// Builds now and after every change, until the process is ended. A build that fails is shown, and the next change tried.
pub(super) fn run(flavour: Flavour) -> Result<()> {
    let root = process::root();
    loop {
        let seen = newest(&root);
        if let Err(error) = super::build(flavour) {
            println!("page: {error:#}");
        }
        println!("page: watching {} (Ctrl-C ends it)", SOURCES.join(", "));
        while newest(&root) == seen {
            std::thread::sleep(LOOK);
        }
    }
}

/// Whether a page is there that was built for a release (or any, if `dev`) and is newer than all of that.
pub(super) fn is_current(dist: &Path, dev: bool) -> bool {
    let is_release = |entry: std::fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.starts_with(RELEASE) && name.ends_with(".wasm")
    };
    let assets = std::fs::read_dir(dist.join("assets")).map(|entries| entries.filter_map(Result::ok));
    if !dev && !assets.is_ok_and(|mut assets| assets.any(is_release)) {
        return false;
    }
    let built = std::fs::metadata(dist.join("index.html")).and_then(|index| index.modified());
    built.is_ok_and(|built| newest(&process::root()).is_some_and(|changed| changed < built))
}

fn newest(root: &Path) -> Option<SystemTime> {
    SOURCES.iter().filter_map(|source| changed(&root.join(source))).max()
}

/// The latest change at or below a path. What cannot be looked at, because it is being replaced, is left out.
fn changed(path: &Path) -> Option<SystemTime> {
    let metadata = std::fs::metadata(path).ok()?;
    let own = metadata.modified().ok();
    if !metadata.is_dir() {
        return own;
    }
    let below = std::fs::read_dir(path).ok()?.filter_map(Result::ok);
    let below = below.filter(|entry| {
        let name = entry.file_name();
        !NOT_SOURCES.iter().any(|not| name == *not) && !name.to_string_lossy().starts_with(PARTIAL)
    });
    // A folder's own time changes with every build beside it: its files count.
    below.filter_map(|entry| changed(&entry.path())).max()
}
