//! Which file or directory something is, whatever it is called.

use cap_fs_ext::MetadataExt;

/// A file or directory, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(crate) fn of(metadata: &impl MetadataExt) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}
