//! What the pages are made of, when that last changed, and building again when it does.

use super::dist::{PARTIAL, RELEASE};
use super::{Flavour, PAGES, Page};
use crate::process;
use anyhow::Result;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Folders that are looked past: what is built, and what only tests see.
const NOT_SOURCES: &[&str] = &["dist", "target", "tests"];

/// How often is looked. A person does not notice half a second beside the seconds a build takes.
const LOOK: Duration = Duration::from_millis(500);

/// Builds now and after every change, until the process is ended. A build that fails is shown, and the next change tried.
pub(super) fn run(flavour: Flavour) -> Result<()> {
    let root = process::root();
    let changes = || PAGES.map(|page| newest(&root, page));
    let mut built = PAGES.map(|_| None);
    loop {
        let seen = changes();
        for ((page, built), seen) in PAGES.iter().zip(&mut built).zip(&seen) {
            if *built != Some(*seen) {
                if let Err(error) = super::build(page, flavour) {
                    println!("{}: {error:#}", page.name);
                }
                *built = Some(*seen);
            }
        }
        println!("watching what the pages are made of (Ctrl-C ends it)");
        while changes() == seen {
            std::thread::sleep(LOOK);
        }
    }
}

/// Whether a page is there that was built for a release (or any, if `dev`) and is newer than all that it is made of.
pub(super) fn is_current(page: &Page, dev: bool) -> bool {
    let root = process::root();
    let dist = root.join(page.dist);
    let is_release = |entry: std::fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.starts_with(RELEASE) && name.ends_with(".wasm")
    };
    let assets = std::fs::read_dir(dist.join("assets")).map(|entries| entries.filter_map(Result::ok));
    if !dev && !assets.is_ok_and(|mut assets| assets.any(is_release)) {
        return false;
    }
    let built = std::fs::metadata(dist.join("index.html")).and_then(|index| index.modified());
    built.is_ok_and(|built| newest(&root, page).is_some_and(|changed| changed < built))
}

fn newest(root: &Path, page: &Page) -> Option<SystemTime> {
    page.sources.iter().filter_map(|source| changed(&root.join(source))).max()
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
