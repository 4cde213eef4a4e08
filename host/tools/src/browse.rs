//! Files as a person looks at them from elsewhere: a directory's entries, a piece of a file.
//!
//! The same ground and the same policy as for the tools. [`locate`] finds what is asked for and says what policy has to
//! judge; [`list`] and [`read`] take the permit for exactly that. Nothing here follows a link out of the workspace,
//! opens a pipe or a device, or asks a person.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use cap_std::fs::Dir;
use lanyard_policy::demand::{Demand, PlannedCall};
use lanyard_policy::permit::Permitted;
use lanyard_protocol::Timestamp;
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::limits::{MAX_FILE_ENTRIES, MAX_FILE_PIECE_BYTES, MAX_FRAME_BYTES};
use lanyard_protocol::method::{FileEntry, FileKind};
use lanyard_protocol::tool::ToolRequest;

use crate::files::demands;
use crate::ground::{Aliases, Kind, LastLink, PathError, Place, open_regular};
use crate::text::is_binary;
use crate::workspace::Workspace;

/// Entries read to find the first ones by name.
const MAX_READ: usize = 100_000;

/// Bytes of the names in one answer, written as JSON: well inside a frame.
const MAX_LISTED_BYTES: usize = MAX_FRAME_BYTES / 4 * 3;

/// Bytes an entry takes beside its name.
const ENTRY_BYTES: usize = 96;

/// Bytes looked at to tell text from data.
const HEAD_BYTES: usize = 8 * 1024;

/// Why there is nothing to be seen. Texts are safe to show and name the path.
#[derive(Debug, thiserror::Error)]
pub enum BrowseError {
    /// It leads out of the workspace, or to files of the host itself.
    #[error("{0}")]
    Refused(String),
    /// There is no such thing, it is of another kind, or its name has more than one reading.
    #[error("{0}")]
    Unusable(String),
    /// The permit is for something else; a defect.
    #[error("what was permitted is not what was asked for")]
    OtherCall,
}

impl From<PathError> for BrowseError {
    fn from(error: PathError) -> Self {
        match &error {
            // What changed between the two looks did not change for a call.
            PathError::Changed { path } => {
                let shown = lanyard_policy::visible::line(&path.to_string_lossy()).into_owned();
                Self::Unusable(format!("{shown} has just become something else; look again"))
            }
            error if error.is_denial() => Self::Refused(error.to_string()),
            error => Self::Unusable(error.to_string()),
        }
    }
}

impl From<BrowseError> for WireError {
    fn from(error: BrowseError) -> Self {
        let code = match error {
            BrowseError::Refused(_) => ErrorCode::CapabilityDenied,
            BrowseError::Unusable(_) => ErrorCode::InvalidRequest,
            BrowseError::OtherCall => ErrorCode::InternalError,
        };
        Self::new(code, error.to_string())
    }
}

/// Something found, not yet looked at.
#[derive(Debug)]
pub struct Located {
    call: PlannedCall,
    place: Place,
    kind: Kind,
}

impl Located {
    /// What policy has to judge: reading it, under the name asked for and under its real one.
    pub fn call(&self) -> &PlannedCall {
        &self.call
    }

    fn permitted(&self, permit: &Permitted<PlannedCall>) -> Result<(), BrowseError> {
        if *permit.get() == self.call { Ok(()) } else { Err(BrowseError::OtherCall) }
    }
}

/// What lies in a directory.
#[derive(Debug, PartialEq, Eq)]
pub struct Listing {
    /// The directory, absolute, links resolved.
    pub path: PathBuf,
    /// The one above, within the workspace.
    pub parent: Option<PathBuf>,
    /// Directories first, then by name.
    pub entries: Vec<FileEntry>,
    /// There are more.
    pub truncated: bool,
}

/// A piece of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// The piece.
    pub bytes: Vec<u8>,
    /// Bytes in the whole.
    pub total: u64,
    /// Whether the file's first bytes look like text.
    pub text: bool,
}

/// Finds what an absolute path names. `request` gives the look its ids. Blocks for some file-system calls.
///
/// # Errors
/// [`BrowseError`]; nothing was opened but directories on the way.
pub fn locate(workspace: &Workspace, request: ToolRequest, path: &str) -> Result<Located, BrowseError> {
    if !Path::new(path).is_absolute() {
        let shown = lanyard_policy::visible::clipped_line(path, 200);
        return Err(BrowseError::Unusable(format!("{shown:?} is not an absolute path")));
    }
    let found = workspace.ground.resolve(path, LastLink::Follow)?;
    let (first, more) = demands(&found, Demand::ReadPath);
    let call = PlannedCall::new(request, first, more, Vec::new());
    Ok(Located { call, place: found.place, kind: found.kind })
}

/// Lists a directory. Blocks.
///
/// # Errors
/// [`BrowseError`], such as for what is no directory.
pub fn list(
    workspace: &Workspace,
    permit: &Permitted<PlannedCall>,
    located: &Located,
) -> Result<Listing, BrowseError> {
    located.permitted(permit)?;
    let place = &located.place;
    let path = || place.path().to_owned();
    match located.kind {
        Kind::Directory => {}
        Kind::Missing => return Err(PathError::Missing { path: path() }.into()),
        Kind::File | Kind::Special | Kind::Link => {
            return Err(PathError::NotDirectory { path: path() }.into());
        }
    }
    let dir = workspace.ground.open_directory(place)?;
    let (entries, truncated) = entries(&dir).map_err(|source| PathError::Io { path: path(), source })?;
    let parent = place.parent().map(|parent| parent.path().to_owned());
    Ok(Listing { path: path(), parent, entries, truncated })
}

fn entries(dir: &Dir) -> std::io::Result<(Vec<FileEntry>, bool)> {
    let mut names: Vec<(bool, OsString, FileKind)> = Vec::new();
    let mut truncated = false;
    for entry in dir.entries()? {
        if names.len() == MAX_READ {
            truncated = true;
            break;
        }
        // What is gone since the directory was read is not there.
        let Ok(entry) = entry else { continue };
        let Ok(kind) = entry.file_type().map(Kind::of).map(file_kind) else { continue };
        names.push((kind != FileKind::Directory, entry.file_name(), kind));
    }
    names.sort();
    let mut listed = Vec::new();
    let mut bytes = 0_usize;
    for (_, name, kind) in names {
        let shown = name.to_string_lossy();
        bytes = bytes.saturating_add(written(&shown)).saturating_add(ENTRY_BYTES);
        if listed.len() == MAX_FILE_ENTRIES || bytes > MAX_LISTED_BYTES {
            truncated = true;
            break;
        }
        let metadata = dir.symlink_metadata(&name).ok();
        let modified = metadata.as_ref().and_then(|metadata| metadata.modified().ok()).and_then(|at| {
            let since = at.into_std().duration_since(UNIX_EPOCH).ok()?;
            Some(Timestamp::from_millis(i64::try_from(since.as_millis()).ok()?))
        });
        let size = metadata.filter(|_| kind == FileKind::File).map(|metadata| metadata.len());
        listed.push(FileEntry { name: shown.into_owned(), kind, size, modified });
    }
    Ok((listed, truncated))
}

/// Bytes of a text in JSON, at most.
fn written(text: &str) -> usize {
    text.chars().map(|c| if c.is_control() { 6 } else { c.len_utf8().max(2) }).sum()
}

fn file_kind(kind: Kind) -> FileKind {
    match kind {
        Kind::Directory => FileKind::Directory,
        Kind::File => FileKind::File,
        Kind::Link => FileKind::Link,
        Kind::Special | Kind::Missing => FileKind::Other,
    }
}

/// Reads at most `length` bytes (and at most [`MAX_FILE_PIECE_BYTES`]) of a file from `offset` on; none beyond its end.
/// Blocks.
///
/// # Errors
/// [`BrowseError`], such as for what is no file, or a larger one than policy lets be read.
pub fn read(
    workspace: &Workspace,
    permit: &Permitted<PlannedCall>,
    located: &Located,
    offset: u64,
    length: u32,
) -> Result<Piece, BrowseError> {
    located.permitted(permit)?;
    let path = located.place.path();
    match located.kind {
        Kind::File => {}
        Kind::Missing => return Err(PathError::Missing { path: path.to_owned() }.into()),
        Kind::Directory => return Err(PathError::IsDirectory { path: path.to_owned() }.into()),
        Kind::Special => return Err(PathError::Special { path: path.to_owned() }.into()),
        Kind::Link => return Err(PathError::IsLink { path: path.to_owned() }.into()),
    }
    let (dir, name) = workspace.ground.open_parent(&located.place)?;
    let mut file = open_regular(&dir, name, path, &Aliases::new(&workspace.ground))?;
    let total = file.metadata().len();
    if let Some(limit) = permit.limits().max_file_size_bytes.filter(|limit| total > *limit) {
        let error = PathError::TooLarge { path: path.to_owned(), size: total, limit };
        return Err(BrowseError::Refused(error.to_string()));
    }
    let head = file.piece(0, HEAD_BYTES)?;
    let length = length.min(MAX_FILE_PIECE_BYTES) as usize;
    // Offsets that no file has are not taken to the system.
    let bytes = if offset < total { file.piece(offset, length)? } else { Vec::new() };
    Ok(Piece { bytes, total, text: !is_binary(&head) })
}

#[cfg(test)]
mod tests;
