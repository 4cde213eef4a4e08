//! Files that a person sends along with a prompt: where they are put in a workspace, under which names, and which of
//! them are pictures.
//!
//! The name comes from elsewhere and is only a wish: its last component, without anything that hides or misleads, never
//! the name of something that is there already. The place is reached by directory handle like every other, so that a
//! `.lanyard` that is a link leads nowhere.

use std::io::{self, Read};
use std::path::PathBuf;

use lanyard_policy::path::HostPath;
use lanyard_policy::visible;
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::visible::{is_false_space, is_invisible};

use crate::ground::{Aliases, Expected, PathError, Place, create_new, open_regular, replace};
use crate::workspace::Workspace;

/// The directory of the host in a workspace, and that of attachments in it.
const OWN: &str = ".lanyard";
const ATTACHMENTS: &str = "attachments";

/// Keeps what is attached out of commits and searches.
const IGNORED: &[u8] = b"*\n";

/// Longest name given to a file, in bytes. Short of what file systems take, so that ` (999)` and a suffix of whatever
/// program works with it still fit.
const MAX_NAME_BYTES: usize = 120;

/// Longest ending taken for one (`.jpeg`, `.tar.gz` is `.gz`); longer ones are cut like the rest.
const MAX_ENDING_BYTES: usize = 16;

/// Files of one name in a workspace. Whoever sends more has other names.
const MAX_OF_A_NAME: usize = 1_000;

/// Largest picture that a model is shown, in bytes: what the common providers take.
const MAX_PICTURE_BYTES: u64 = 5 << 20;

/// Why a file is not attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The workspace has something else where attachments go.
    #[error("{0}")]
    Refused(String),
    /// There is no such attachment.
    #[error("{0}")]
    Missing(String),
    /// The disk is full.
    #[error("there is no room for the file in the workspace: {0}")]
    Full(io::Error),
    /// The system refuses.
    #[error("the file cannot be put into the workspace: {0}")]
    Failed(String),
}

impl From<PathError> for AttachError {
    fn from(error: PathError) -> Self {
        match error {
            PathError::Io { source, .. } if is_full(&source) => Self::Full(source),
            PathError::Changed { path } | PathError::IsLink { path } => {
                let shown = visible::line(&path.to_string_lossy()).into_owned();
                Self::Refused(format!(
                    "{shown} is not a directory or file of the workspace itself (a symbolic link?); remove it, then \
                     attach again"
                ))
            }
            error if error.is_denial() => Self::Refused(error.to_string()),
            error @ PathError::Missing { .. } => Self::Missing(error.to_string()),
            error => Self::Failed(error.to_string()),
        }
    }
}

impl From<AttachError> for WireError {
    fn from(error: AttachError) -> Self {
        let code = match error {
            AttachError::Refused(_) => ErrorCode::CapabilityDenied,
            AttachError::Missing(_) => ErrorCode::InvalidRequest,
            AttachError::Full(_) => ErrorCode::StorageFull,
            AttachError::Failed(_) => ErrorCode::InternalError,
        };
        Self::new(code, error.to_string())
    }
}

/// Whether a fault of the system says that there is no room.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Puts a file into the workspace under a name as near to `wish` as can be. On disk when it returns: whole, or not
/// there. Returns its path relative to the first directory. Blocks.
///
/// # Errors
/// [`AttachError`].
pub fn attach(workspace: &Workspace, wish: &str, content: &mut dyn Read) -> Result<String, AttachError> {
    let ground = &workspace.ground;
    let own = ground.home().child(OWN);
    let name = file_name(wish);
    let wanted = own.child(ATTACHMENTS).child(&name);
    let (dir, _) = ground.make_parent(&wanted)?;
    ignore(workspace, &own)?;
    let (stem, ending) = split(&name);
    let numbered = (2..=MAX_OF_A_NAME).map(|n| format!("{stem} ({n}){ending}"));
    let names = std::iter::once(name.clone()).chain(numbered);
    let taken = create_new(&dir, names, wanted.path(), content)?;
    Ok(format!("{OWN}/{ATTACHMENTS}/{taken}"))
}

/// Makes git, and the searches of the tools, pass over everything of the host's in a workspace.
fn ignore(workspace: &Workspace, own: &Place) -> Result<(), PathError> {
    let file = own.child(".gitignore");
    let (dir, name) = workspace.ground.open_parent(&file)?;
    if dir.symlink_metadata(name).is_ok() {
        // Somebody's own wish stands, whatever it is.
        return Ok(());
    }
    let aliases = Aliases::new(&workspace.ground);
    match replace(&dir, name, file.path(), IGNORED, &Expected::Absent, &aliases) {
        // Made by another attachment meanwhile.
        Ok(_) | Err(PathError::Changed { .. } | PathError::Exists { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether a path is one that [`attach`] gave, of a file that is still there. Blocks.
///
/// # Errors
/// [`AttachError`]; it names the path.
pub fn attached(workspace: &Workspace, path: &str) -> Result<(), AttachError> {
    opened(workspace, path).map(drop)
}

/// The picture at a path that [`attach`] gave, with its media type; `None` when it is none that a model can be shown.
/// Blocks.
///
/// # Errors
/// As [`attached`].
pub fn picture(workspace: &Workspace, path: &str) -> Result<Option<(&'static str, Vec<u8>)>, AttachError> {
    let mut file = opened(workspace, path)?;
    if file.metadata().len() > MAX_PICTURE_BYTES {
        return Ok(None);
    }
    let Some(media_type) = media_type(&file.piece(0, 16)?) else { return Ok(None) };
    file.rewind()?;
    Ok(Some((media_type, file.read(MAX_PICTURE_BYTES)?)))
}

/// The absolute path of an attachment, for policy.
pub fn attachment_path(workspace: &Workspace, path: &str) -> Option<PathBuf> {
    place(workspace, path).ok().map(|place| place.path().to_owned())
}

fn opened(workspace: &Workspace, path: &str) -> Result<crate::ground::OpenFile, AttachError> {
    let place = place(workspace, path)?;
    let (dir, name) = workspace.ground.open_parent(&place)?;
    Ok(open_regular(&dir, name, place.path(), &Aliases::new(&workspace.ground))?)
}

fn place(workspace: &Workspace, path: &str) -> Result<Place, AttachError> {
    let name = path.strip_prefix(OWN).and_then(|rest| rest.strip_prefix('/'));
    let name = name.and_then(|rest| rest.strip_prefix(ATTACHMENTS)).and_then(|rest| rest.strip_prefix('/'));
    let name = name.filter(|name| is_plain(name)).ok_or_else(|| {
        let shown = visible::clipped_line(path, 200);
        AttachError::Missing(format!("{shown:?} is no attachment: use the path that PutAttachment gave"))
    })?;
    Ok(workspace.ground.home().child(OWN).child(ATTACHMENTS).child(name))
}

/// What the first bytes of a picture that models take say it is.
fn media_type(head: &[u8]) -> Option<&'static str> {
    match head {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

/// The name a file gets for the one it is said to have: one component, with no character that does not show, misleads
/// or is reserved on some system.
pub(crate) fn file_name(wish: &str) -> String {
    let last = wish.rsplit(['/', '\\']).find(|part| !part.trim().is_empty()).unwrap_or_default();
    let spoken: String = last.chars().filter(|c| !c.is_control() && !is_invisible(*c)).map(plain).collect();
    // What begins with a dot hides; what ends in one or in a blank loses it on some systems.
    let spoken = spoken.trim_start_matches(['.', ' ']).trim_end_matches(['.', ' ']);
    let (stem, ending) = split(spoken);
    let ending = if ending.len() <= MAX_ENDING_BYTES { ending } else { "" };
    let stem = if ending.is_empty() { spoken } else { stem };
    let room =
        (0..=stem.len().min(MAX_NAME_BYTES - ending.len())).rev().find(|at| stem.is_char_boundary(*at));
    let stem = stem[..room.unwrap_or(0)].trim_end_matches(['.', ' ']);
    let mut name = format!("{stem}{ending}");
    if is_reserved(&name) {
        name.insert(0, '_');
    }
    // The short form of another name, on systems that have such.
    let name = if is_plain(&name) { name } else { name.replace('~', "-") };
    if is_plain(&name) { name } else { "file".to_owned() }
}

/// Name and ending, the dot with the ending.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(at) if at > 0 => name.split_at(at),
        _ => (name, ""),
    }
}

fn plain(c: char) -> char {
    if matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*') || !is_plain(&format!("x{c}x")) {
        '_'
    } else if is_false_space(c) {
        ' '
    } else {
        c
    }
}

/// One component that the tools take, too.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.contains('/')
        && !matches!(name, "." | "..")
        && HostPath::parse(&format!("/{name}")).is_ok()
}

/// Device names of Windows, with whatever ending (Microsoft, "Naming Files, Paths, and Namespaces").
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let numbered = |prefix: &str| {
        let mut rest = stem.strip_prefix(prefix).unwrap_or_default().chars();
        matches!((rest.next(), rest.next()), (Some('0'..='9' | '\u{b9}' | '\u{b2}' | '\u{b3}'), None))
    };
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
        || numbered("COM")
        || numbered("LPT")
}

#[cfg(test)]
mod tests;
