//! The directories of a session, held open for its whole life.
//!
//! Every file a tool touches is reached from one of these handles, one name at a time, and never by handing a path
//! back to the operating system. A path is resolved twice: when a call is planned ([`Ground::resolve`] follows the
//! symbolic links that stay inside and yields a [`Place`] without any), and when it is carried out
//! ([`Ground::open_parent`], [`Ground::open_directory`] follow none). Whatever was swapped in between is therefore an
//! error, not a way out (6-security.md, items 1 to 5).

mod alias;
mod error;
mod file;
mod replace;
mod resolve;
mod root;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use cap_fs_ext::DirExt;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use lanyard_policy::path::HostPath;

use crate::identity::FileId;
use crate::sandbox::Held;

pub(crate) use alias::Aliases;
pub(crate) use error::PathError;
pub(crate) use file::{OpenFile, open_regular, read_link_text, sync_directory};
pub(crate) use replace::{Expected, MAX_CHANGED_BYTES, create_new, remove, rename_new, replace};
pub(crate) use resolve::LastLink;
pub use root::GroundError;
use root::Root;

/// Directories a task is about; more would not fit into an approval or a prompt.
const MAX_ROOTS: usize = 16;

/// A location below a root, with no symbolic link in it when it was resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    root: usize,
    names: Vec<String>,
    path: PathBuf,
}

impl Place {
    /// Absolute and resolved.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The names below the root.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The last name; `None` for a root itself.
    pub(crate) fn name(&self) -> Option<&str> {
        self.names.last().map(String::as_str)
    }

    /// The directory it lies in; `None` for a root.
    pub(crate) fn parent(&self) -> Option<Self> {
        let (_, above) = self.names.split_last()?;
        let path = self.path.parent()?.to_owned();
        Some(Self { root: self.root, names: above.to_vec(), path })
    }

    /// An entry of this directory. `name` must be a single name.
    pub(crate) fn child(&self, name: &str) -> Self {
        let mut names = self.names.clone();
        names.push(name.to_owned());
        Self { root: self.root, names, path: self.path.join(name) }
    }

    /// The root it lies in.
    pub(crate) fn top(&self) -> Self {
        let path = self.path.ancestors().nth(self.names.len()).unwrap_or(&self.path).to_owned();
        Self { root: self.root, names: Vec::new(), path }
    }

    /// Both lie in the same root.
    pub(crate) fn same_root(&self, other: &Self) -> bool {
        self.root == other.root
    }
}

/// What is at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Nothing; some of the directories above may be missing too.
    Missing,
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link that was not followed.
    Link,
    /// A pipe, socket or device.
    Special,
}

impl Kind {
    /// Of an entry that exists.
    pub(crate) fn of(kind: cap_std::fs::FileType) -> Self {
        if kind.is_dir() {
            Self::Directory
        } else if kind.is_file() {
            Self::File
        } else if kind.is_symlink() {
            Self::Link
        } else {
            Self::Special
        }
    }
}

/// A path, resolved.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Where it really is.
    pub(crate) place: Place,
    /// Where it was asked for; differs when symbolic links lie in between.
    pub(crate) asked: PathBuf,
    /// What is there.
    pub(crate) kind: Kind,
}

/// A directory of the host itself: never reached by a tool, by whatever name.
#[derive(Debug)]
struct Protected {
    path: PathBuf,
    folded: Option<lanyard_policy::path::FoldedPath>,
    id: Option<FileId>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Ground {
    roots: Vec<Root>,
    protected: Vec<Protected>,
}

impl Ground {
    /// Opens the roots, following no link: they are resolved when a session is made, and where their names lead later is
    /// for whoever may write above them to choose. `protected` need not exist yet.
    pub(crate) fn open(roots: &[PathBuf], protected: &[PathBuf]) -> Result<Self, GroundError> {
        if roots.is_empty() {
            return Err(GroundError::NoRoot);
        }
        if roots.len() > MAX_ROOTS {
            return Err(GroundError::TooManyRoots(roots.len()));
        }
        let protected: Vec<Protected> = protected.iter().map(|path| Protected::of(path)).collect();
        let mut opened = Vec::with_capacity(roots.len());
        for path in roots {
            opened.push(Root::open(path, &protected)?);
        }
        Ok(Self { roots: opened, protected })
    }

    /// The first root, where relative paths start.
    pub(crate) fn home(&self) -> Place {
        self.root_place(0)
    }

    /// The roots, resolved.
    pub(crate) fn root_paths(&self) -> impl Iterator<Item = &Path> {
        self.roots.iter().map(|root| Path::new(root.path.as_str()))
    }

    /// The roots as they were opened, whatever their names lead to now.
    pub(crate) fn roots_held(&self) -> impl Iterator<Item = Held> {
        self.roots.iter().map(Root::held)
    }

    /// The path as people and the model see it: relative to the first root where it lies in it.
    pub(crate) fn shown(&self, path: &Path) -> String {
        let shown = match path.strip_prefix(self.roots[0].path.as_str()) {
            Ok(below) if below.as_os_str().is_empty() => Path::new("."),
            Ok(below) => below,
            Err(_) => path,
        };
        lanyard_policy::visible::line(&shown.to_string_lossy()).into_owned()
    }

    /// Opens a directory, following no link.
    pub(crate) fn open_directory(&self, place: &Place) -> Result<Dir, PathError> {
        let mut dir = self.clone_root(place.root)?;
        for (depth, name) in place.names.iter().enumerate() {
            dir = self.step(&dir, name, || self.prefix(place, depth + 1))?;
        }
        Ok(dir)
    }

    /// Opens the directory `place` lies in, following no link, and yields the name in it.
    pub(crate) fn open_parent<'p>(&self, place: &'p Place) -> Result<(Dir, &'p str), PathError> {
        let Some((name, above)) = place.names.split_last() else {
            return Err(PathError::IsDirectory { path: place.path.clone() });
        };
        let mut dir = self.clone_root(place.root)?;
        for (depth, name) in above.iter().enumerate() {
            dir = self.step(&dir, name, || self.prefix(place, depth + 1))?;
        }
        Ok((dir, name))
    }

    /// [`Ground::open_parent`], making directories that are missing.
    pub(crate) fn make_parent<'p>(&self, place: &'p Place) -> Result<(Dir, &'p str), PathError> {
        let Some((name, above)) = place.names.split_last() else {
            return Err(PathError::IsDirectory { path: place.path.clone() });
        };
        let mut dir = self.clone_root(place.root)?;
        for (depth, name) in above.iter().enumerate() {
            let path = || self.prefix(place, depth + 1);
            match dir.create_dir(name) {
                Ok(()) => sync_directory(&dir).map_err(|source| PathError::Io { path: path(), source })?,
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(PathError::Io { path: path(), source }),
            }
            dir = self.step(&dir, name, path)?;
        }
        Ok((dir, name))
    }

    /// What is at a place now, following no link.
    pub(crate) fn kind(&self, place: &Place) -> Result<Kind, PathError> {
        let opened = self.open_parent(place);
        let (dir, name) = match opened {
            Ok(opened) => opened,
            Err(PathError::IsDirectory { .. }) => return Ok(Kind::Directory),
            Err(PathError::Missing { .. }) => return Ok(Kind::Missing),
            Err(other) => return Err(other),
        };
        match dir.symlink_metadata(name) {
            Ok(metadata) => Ok(Kind::of(metadata.file_type())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Kind::Missing),
            Err(source) => Err(PathError::Io { path: place.path.clone(), source }),
        }
    }

    /// Opens one directory below another, refusing links and the host's own directories.
    fn step(&self, dir: &Dir, name: &str, path: impl Fn() -> PathBuf) -> Result<Dir, PathError> {
        let opened = dir.open_dir_nofollow(name).map_err(|error| PathError::from_open(path(), error))?;
        self.refuse_protected(&opened, path)?;
        Ok(opened)
    }

    /// Refuses a directory of the host itself, by identity: names do not matter.
    pub(crate) fn refuse_protected(&self, dir: &Dir, path: impl Fn() -> PathBuf) -> Result<(), PathError> {
        let metadata = dir.dir_metadata().map_err(|source| PathError::Io { path: path(), source })?;
        let id = FileId::of(&metadata);
        if self.protected.iter().any(|protected| protected.id == Some(id)) {
            return Err(PathError::Protected { path: path() });
        }
        Ok(())
    }

    /// Refuses a path of the host itself, by name: it need not exist.
    fn refuse_protected_path(&self, path: &Path) -> Result<(), PathError> {
        let folded = path.to_str().and_then(|text| HostPath::parse(text).ok()).map(|path| path.folded());
        let hit = self.protected.iter().any(|protected| {
            path.starts_with(&protected.path)
                || matches!((&folded, &protected.folded), (Some(path), Some(own)) if path.is_within(own))
        });
        if hit { Err(PathError::Protected { path: path.to_owned() }) } else { Ok(()) }
    }

    /// The host's own directories.
    pub(crate) fn protected_paths(&self) -> impl Iterator<Item = &Path> {
        self.protected.iter().map(|protected| protected.path.as_path())
    }

    fn clone_root(&self, root: usize) -> Result<Dir, PathError> {
        let root = &self.roots[root];
        root.dir.try_clone().map_err(|source| PathError::Io { path: root.path.as_str().into(), source })
    }

    fn root_place(&self, root: usize) -> Place {
        Place { root, names: Vec::new(), path: self.roots[root].path.as_str().into() }
    }

    fn prefix(&self, place: &Place, depth: usize) -> PathBuf {
        let mut path = PathBuf::from(self.roots[place.root].path.as_str());
        path.extend(&place.names[..depth]);
        path
    }
}

impl Protected {
    fn of(path: &Path) -> Self {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let folded = path.to_str().and_then(|text| HostPath::parse(text).ok()).map(|path| path.folded());
        let id = Dir::open_ambient_dir(&path, ambient_authority())
            .and_then(|dir| dir.dir_metadata())
            .ok()
            .map(|metadata| FileId::of(&metadata));
        Self { path, folded, id }
    }
}
