//! Hard links from the workspace into the host's own directories (6-security.md, item 5).
//!
//! A file with several names may be a file of the host under another one. Which inodes those are is looked up only
//! when a file with several names is met, once per call.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::path::PathBuf;

use cap_fs_ext::MetadataExt;

use super::Ground;
use crate::identity::FileId;

/// Entries looked at in the host's own directories. A state directory with more is taken to hold every file with
/// several names: refusing too much is the safe side.
const MAX_ENTRIES: usize = 200_000;

/// The files of the host that have names elsewhere too; looked up on first use.
#[derive(Debug)]
pub(crate) struct Aliases<'g> {
    ground: &'g Ground,
    shared: OnceCell<Option<HashSet<FileId>>>,
}

impl<'g> Aliases<'g> {
    pub(crate) fn new(ground: &'g Ground) -> Self {
        Self { ground, shared: OnceCell::new() }
    }

    /// Whether an open file is one of the host's.
    pub(crate) fn is_protected(&self, metadata: &cap_std::fs::Metadata) -> bool {
        if metadata.nlink() < 2 || self.ground.protected.is_empty() {
            return false;
        }
        match self.shared.get_or_init(|| shared_files(self.ground)) {
            Some(ids) => ids.contains(&FileId::of(metadata)),
            None => true,
        }
    }
}

/// `None`: too many to know.
fn shared_files(ground: &Ground) -> Option<HashSet<FileId>> {
    let mut found = HashSet::new();
    let mut open: Vec<PathBuf> = ground.protected_paths().map(PathBuf::from).collect();
    let mut seen = 0_usize;
    while let Some(path) = open.pop() {
        seen += 1;
        if seen > MAX_ENTRIES {
            return None;
        }
        let metadata = match path.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(_) => return None,
        };
        if metadata.is_dir() {
            for entry in path.read_dir().ok()? {
                open.push(entry.ok()?.path());
                if open.len() > MAX_ENTRIES {
                    return None;
                }
            }
        } else if MetadataExt::nlink(&metadata) > 1 {
            found.insert(FileId::of(&metadata));
        }
    }
    Some(found)
}
