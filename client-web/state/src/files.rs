//! Directories and files of the host's workspaces: where one is, what a file is shown as, and how it is fetched.

mod download;
mod extent;
mod paths;
mod view;

pub use download::{Download, DownloadFault, MAX_DOWNLOAD_BYTES, Step};
pub use extent::{MAX_UNASKED_BYTES, MAX_UNASKED_PIXELS, decodes_unasked, pixels};
pub use paths::{Crumb, crumbs, is_above, join, name_of, workspace_of};
pub use view::{Lines, MAX_VIEW_BYTES, Shown, shown_as};

use lanyard_protocol::ErrorCode;
use lanyard_protocol::method::{FileEntry, FileKind};

use crate::visible::{self, Marks};
use crate::words;

/// What an entry is, beside its name: "3.4 KB", "folder", "link".
pub fn entry_detail(entry: &FileEntry) -> String {
    match (entry.kind, entry.size) {
        (FileKind::Directory, _) => "folder".to_owned(),
        (FileKind::File, Some(size)) => words::bytes(size),
        (FileKind::File, None) => "file".to_owned(),
        (FileKind::Link, _) => "link, not followed here".to_owned(),
        (FileKind::Other, _) => "neither file nor folder".to_owned(),
    }
}

/// Whether an entry can be opened here.
pub fn can_open(entry: &FileEntry) -> bool {
    matches!(entry.kind, FileKind::Directory | FileKind::File)
}

/// A name as it is shown.
pub fn shown_name(name: &str) -> String {
    visible::line(name, Marks::Missing).into_owned()
}

/// The beginning of a task about a file.
pub fn prompt_about(path: &str) -> String {
    format!("About the file {path}: ")
}

/// Why something could not be shown, in a person's words: what happened, and what it means. `said` is the host's sentence;
/// no code means that it was not asked.
pub fn problem(code: Option<ErrorCode>, said: &str) -> (&'static str, String) {
    let said = visible::line(said, Marks::Missing).into_owned();
    match code {
        Some(ErrorCode::CapabilityDenied) => (
            "The host's policy does not let its tools read this",
            format!("{said} This page is held to the same rules."),
        ),
        Some(ErrorCode::Unauthorized) => (
            "This device may not look into files",
            "That takes the right to start tasks. Somebody who manages this host can give it.".to_owned(),
        ),
        Some(ErrorCode::InvalidRequest) => ("This cannot be opened", said),
        Some(_) => ("The host could not read this", said),
        None => ("The host could not be asked", said),
    }
}

#[cfg(test)]
mod tests {
    use super::{can_open, entry_detail, problem};
    use lanyard_protocol::ErrorCode;
    use lanyard_protocol::method::{FileEntry, FileKind};

    #[test]
    fn entries_say_what_they_are() {
        for (kind, size, said, opens) in [
            (FileKind::Directory, None, "folder", true),
            (FileKind::File, Some(3_400), "3.4 KB", true),
            (FileKind::Link, None, "link, not followed here", false),
            (FileKind::Other, None, "neither file nor folder", false),
        ] {
            let entry = FileEntry { name: "x".into(), kind, size, modified: None };
            assert_eq!((entry_detail(&entry).as_str(), can_open(&entry)), (said, opens));
        }
    }

    #[test]
    fn policy_is_told_from_a_missing_right() {
        let denied = problem(Some(ErrorCode::CapabilityDenied), "~/.ssh is never read.");
        assert!(denied.0.contains("policy") && denied.1.starts_with("~/.ssh is never read."));
        let right = problem(Some(ErrorCode::Unauthorized), "x");
        assert!(right.1.contains("right to start tasks"));
    }
}
