//! Walks a directory tree by handles, bounded in every direction.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cap_fs_ext::DirExt;
use cap_std::fs::Dir;
use tokio_util::sync::CancellationToken;

use super::ignored::Ignored;
use crate::ground::{Kind, PathError, Place};
use crate::plan::Searchable;
use crate::workspace::Workspace;

/// Entries looked at: a large monorepo without what it ignores.
const MAX_ENTRIES: usize = 500_000;

/// Directories in directories; also the handles held open.
const MAX_DEPTH: usize = 64;

/// How long a search may take. A person waits no longer, and a narrower one is cheap.
const MAX_DURATION: Duration = Duration::from_secs(30);

/// Something met on the way: a file, a link or anything else that is no directory.
#[derive(Debug)]
pub(super) struct Entry<'e> {
    /// The directory it lies in.
    pub(super) dir: &'e Dir,
    /// Its name there.
    pub(super) name: &'e str,
    /// Its path below where the walk started.
    pub(super) below_start: &'e str,
    /// Its absolute path.
    pub(super) path: &'e Path,
    /// What it is.
    pub(super) kind: Kind,
}

/// Why a walk did not see everything, and what it passed over.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Gaps {
    pub(super) cancelled: bool,
    /// Ended early: too many entries, too long.
    pub(super) stopped: Option<&'static str>,
    /// Directories that could not be opened, or lie too deep.
    pub(super) closed: usize,
    /// Names that are not UTF-8.
    pub(super) odd_names: usize,
    /// Directories policy does not let a search into.
    pub(super) withheld: usize,
}

impl Gaps {
    /// One line for the end of the output; empty when nothing is missing.
    pub(super) fn note(&self) -> String {
        let mut parts = Vec::new();
        if let Some(stopped) = self.stopped {
            parts.push(format!("the search was ended: {stopped}; name a narrower path"));
        }
        if self.closed > 0 {
            parts.push(format!("{} directories could not be entered", self.closed));
        }
        if self.odd_names > 0 {
            parts.push(format!("{} names that are not UTF-8 were passed over", self.odd_names));
        }
        if self.withheld > 0 {
            parts.push(format!("{} directories may not be searched: name them", self.withheld));
        }
        if parts.is_empty() { String::new() } else { format!("[{}]\n", parts.join("; ")) }
    }
}

/// Visits everything below `start` that is not ignored, by name within each directory, until `visit` breaks.
///
/// Symbolic links are visited, never followed. `.git`, the host's own directories and those policy blocks are left
/// out.
pub(super) fn walk(
    workspace: &Workspace,
    start: &Place,
    searchable: &Searchable,
    cancel: &CancellationToken,
    visit: &mut dyn FnMut(&Entry<'_>) -> ControlFlow<()>,
) -> Result<Gaps, PathError> {
    let dir = workspace.ground.open_directory(start)?;
    let ignored = Ignored::at(workspace, start)?;
    let mut below_root: String = start.names().join("/");
    if !below_root.is_empty() {
        below_root.push('/');
    }
    let mut walk = Walk {
        workspace,
        searchable,
        cancel,
        deadline: Instant::now() + MAX_DURATION,
        seen: 0,
        skip: below_root.len(),
        gaps: Gaps::default(),
    };
    let first = walk.enter(dir, start.clone(), below_root, ignored);
    let mut open: Vec<Frame> = first.into_iter().collect();
    while let Some(mut frame) = open.pop() {
        let Some((name, kind)) = frame.entries.next() else { continue };
        if walk.must_stop() {
            break;
        }
        let below_root = format!("{}{name}", frame.below_root);
        if kind != Kind::Directory {
            let entry = Entry {
                dir: &frame.dir,
                name: &name,
                below_start: &below_root[walk.skip..],
                path: &frame.place.path().join(&name),
                kind,
            };
            if !frame.ignored.covers(&below_root, false) && visit(&entry).is_break() {
                break;
            }
            open.push(frame);
            continue;
        }
        let next = walk.step(&frame, &name, below_root, open.len());
        open.push(frame);
        open.extend(next);
    }
    Ok(walk.gaps)
}

/// A directory being visited.
struct Frame {
    dir: Dir,
    place: Place,
    below_root: String,
    ignored: Ignored,
    entries: std::vec::IntoIter<(String, Kind)>,
}

struct Walk<'w> {
    workspace: &'w Workspace,
    searchable: &'w Searchable,
    cancel: &'w CancellationToken,
    deadline: Instant,
    seen: usize,
    /// Length of the path from the root to the start.
    skip: usize,
    gaps: Gaps,
}

impl Walk<'_> {
    fn must_stop(&mut self) -> bool {
        if self.cancel.is_cancelled() {
            self.gaps.cancelled = true;
        } else if Instant::now() > self.deadline {
            self.gaps.stopped = Some("it took too long");
        }
        self.gaps.cancelled || self.gaps.stopped.is_some()
    }

    /// Into a directory, unless it is ignored, closed, or one of those never searched.
    fn step(&mut self, frame: &Frame, name: &str, mut below_root: String, depth: usize) -> Option<Frame> {
        if name.eq_ignore_ascii_case(".git") || frame.ignored.covers(&below_root, true) {
            return None;
        }
        let place = frame.place.child(name);
        if !self.workspace.is_searchable(place.path(), self.searchable) {
            self.gaps.withheld += 1;
            return None;
        }
        let opened = frame.dir.open_dir_nofollow(name);
        let Some(dir) = opened.ok().filter(|_| depth < MAX_DEPTH) else {
            self.gaps.closed += 1;
            return None;
        };
        if self.workspace.ground.refuse_protected(&dir, || PathBuf::from(place.path())).is_err() {
            return None;
        }
        below_root.push('/');
        let ignored = frame.ignored.entering(self.workspace, &dir, &place, &below_root);
        self.enter(dir, place, below_root, ignored)
    }

    fn enter(&mut self, dir: Dir, place: Place, below_root: String, ignored: Ignored) -> Option<Frame> {
        let Ok(listing) = dir.entries() else {
            self.gaps.closed += 1;
            return None;
        };
        let mut entries = Vec::new();
        for entry in listing {
            // An entry that cannot be read any more is gone.
            let Ok(entry) = entry else { break };
            self.seen += 1;
            if self.seen > MAX_ENTRIES {
                self.gaps.stopped = Some("there are too many files");
                break;
            }
            let Ok(kind) = entry.file_type() else { continue };
            match entry.file_name().into_string() {
                Ok(name) => entries.push((name, Kind::of(kind))),
                Err(_) => self.gaps.odd_names += 1,
            }
        }
        entries.sort();
        Some(Frame { dir, place, below_root, ignored, entries: entries.into_iter() })
    }
}
