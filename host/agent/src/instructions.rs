//! Workspace instructions: the `AGENTS.md` files that hold for a session's directories, nearest first.
//!
//! Looked for in each root and in the directories above it up to its repository (the nearest one with `.git`), where
//! the file and every directory on the way belong to whoever owns the root: a repository planted above the workspace
//! by somebody else (`/tmp/.git`) has nothing to say. Links are not followed, so that a checked-out `AGENTS.md` cannot
//! point at a key file and have it sent to the model. What is found is the workspace's word
//! ([`lanyard_protocol::message::Trust::Workspace`]): it may shape how work is done, never what is allowed.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::text::floor_boundary;

/// The file's name.
pub const FILE_NAME: &str = "AGENTS.md";

/// Bytes of one file; real ones have a few kilobytes.
pub const MAX_FILE_BYTES: usize = 32 * 1024;

/// Bytes of all files together: about 16,000 tokens, the most a system prompt should spend on them.
pub const MAX_TOTAL_BYTES: usize = 64 * 1024;

/// Files in force at most.
pub const MAX_FILES: usize = 8;

/// Directories looked at above one root.
const MAX_LEVELS: usize = 16;

/// One file in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// Where it is.
    pub path: PathBuf,
    /// What it says, cut at the caps.
    pub text: String,
    /// Whether it was cut.
    pub truncated: bool,
}

/// The instructions in force for a workspace. Blocks on the file system; a file that cannot be read is left out and
/// logged.
pub fn load(roots: &[PathBuf]) -> Vec<Instruction> {
    let mut found: Vec<Instruction> = Vec::new();
    let mut room = MAX_TOTAL_BYTES;
    for path in candidates(roots) {
        if found.len() == MAX_FILES || room == 0 {
            break;
        }
        match read(&path, room.min(MAX_FILE_BYTES)) {
            Ok(Some(instruction)) => {
                room = room.saturating_sub(instruction.text.len());
                found.push(instruction);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "workspace instructions could not be read");
            }
        }
    }
    found
}

/// Paths to try, nearest first, each once.
fn candidates(roots: &[PathBuf]) -> Vec<PathBuf> {
    let mut levels: Vec<(usize, PathBuf)> = Vec::new();
    for root in roots {
        for (level, directory) in directories(root).into_iter().enumerate() {
            let path = directory.join(FILE_NAME);
            match levels.iter_mut().find(|(_, known)| *known == path) {
                Some(known) => known.0 = known.0.min(level),
                None => levels.push((level, path)),
            }
        }
    }
    levels.sort_by_key(|(level, _)| *level);
    levels.into_iter().map(|(_, path)| path).collect()
}

/// The root and, inside a repository, the directories above it up to the repository's top. Where the system does not
/// say who owns a directory, the root alone.
fn directories(root: &Path) -> Vec<PathBuf> {
    let alone = vec![root.to_path_buf()];
    if !cfg!(unix) {
        return alone;
    }
    let Ok(owner) = root.symlink_metadata() else { return alone };
    let mut climbed = Vec::new();
    for directory in root.ancestors().take(MAX_LEVELS) {
        match directory.symlink_metadata() {
            Ok(metadata) if same_owner(&owner, &metadata) => climbed.push(directory.to_path_buf()),
            Ok(_) | Err(_) => return alone,
        }
        if let Ok(git) = directory.join(".git").symlink_metadata() {
            return if same_owner(&owner, &git) { climbed } else { alone };
        }
    }
    alone
}

fn read(path: &Path, max: usize) -> io::Result<Option<Instruction>> {
    let file = match open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    let owner = path.parent().map_or_else(|| Ok(metadata.clone()), Path::symlink_metadata)?;
    if !metadata.is_file() || !same_owner(&owner, &metadata) {
        let problem = "not a plain file of the directory's owner";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    }
    let mut bytes = Vec::new();
    file.take(max as u64 + 1).read_to_end(&mut bytes)?;
    let truncated = bytes.len() > max;
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    text.truncate(floor_boundary(&text, max));
    Ok((!text.trim().is_empty()).then(|| Instruction { path: path.to_path_buf(), text, truncated }))
}

/// Opens without following a link in the last component and without waiting for the other end of a pipe.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    }
    #[cfg(not(unix))]
    if path.symlink_metadata()?.file_type().is_symlink() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a link is not followed"));
    }
    options.open(path)
}

#[cfg(unix)]
fn same_owner(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    a.uid() == b.uid()
}

/// Unknown here: [`directories`] does not climb, and the root was chosen by its owner.
#[cfg(not(unix))]
fn same_owner(_: &Metadata, _: &Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn texts(roots: &[&Path]) -> Vec<String> {
        let roots: Vec<PathBuf> = roots.iter().map(|root| root.to_path_buf()).collect();
        load(&roots).into_iter().map(|one| one.text).collect()
    }

    fn tree() -> tempfile::TempDir {
        let top = tempfile::tempdir().unwrap();
        fs::create_dir_all(top.path().join("repo/sub/deep")).unwrap();
        for (directory, text) in
            [("", "outside"), ("repo", "top"), ("repo/sub", "sub"), ("repo/sub/deep", "deep")]
        {
            fs::write(top.path().join(directory).join(FILE_NAME), text).unwrap();
        }
        top
    }

    #[test]
    fn nearest_first_up_to_the_repository_and_not_beyond() {
        let top = tree();
        let deep = top.path().join("repo/sub/deep");
        assert_eq!(texts(&[&deep]), ["deep"], "without a repository only the root counts");
        fs::create_dir(top.path().join("repo/.git")).unwrap();
        assert_eq!(texts(&[&deep]), ["deep", "sub", "top"]);
        assert_eq!(texts(&[&top.path().join("repo"), &deep]), ["top", "deep", "sub"], "each file once");
    }

    #[test]
    fn files_are_capped_each_and_together() {
        let top = tree();
        fs::create_dir(top.path().join("repo/.git")).unwrap();
        for directory in ["repo", "repo/sub", "repo/sub/deep"] {
            fs::write(top.path().join(directory).join(FILE_NAME), "é".repeat(MAX_FILE_BYTES)).unwrap();
        }
        let found = load(&[top.path().join("repo/sub/deep")]);
        assert_eq!(found.len(), 2, "two fill the room for all");
        assert!(found.iter().all(|one| one.truncated && one.text.len() == MAX_FILE_BYTES));
    }

    #[cfg(unix)]
    #[test]
    fn links_and_special_files_are_left_alone() {
        let top = tempfile::tempdir().unwrap();
        fs::write(top.path().join("secret"), "key").unwrap();
        std::os::unix::fs::symlink(top.path().join("secret"), top.path().join(FILE_NAME)).unwrap();
        assert_eq!(texts(&[top.path()]), Vec::<String>::new());
        fs::remove_file(top.path().join(FILE_NAME)).unwrap();
        fs::create_dir(top.path().join(FILE_NAME)).unwrap();
        assert_eq!(texts(&[top.path()]), Vec::<String>::new());
        fs::remove_dir(top.path().join(FILE_NAME)).unwrap();
        fs::write(top.path().join(FILE_NAME), " \n").unwrap();
        assert_eq!(texts(&[top.path()]), Vec::<String>::new(), "an empty file is not in force");
    }
}
