//! Finds a repository without asking git, whose own search would obey what it finds.

use std::path::Path;

use crate::ground::{Aliases, Found, Ground, Kind, LastLink, PathError, Place, open_regular};

use super::GitError;

/// Longest `.git` file and `commondir` file, bytes: they hold one path.
const MAX_POINTER_BYTES: u64 = 8 << 10;

/// A repository with a work tree, both within the workspace.
#[derive(Debug, Clone)]
pub(super) struct Repository {
    top: Place,
    git_dir: Place,
    common_dir: Place,
}

impl Repository {
    /// The innermost repository that `start` lies in. Only a `.git` entry counts: a bare repository among ordinary
    /// files is just files.
    pub(super) fn find(ground: &Ground, start: &Found) -> Result<Self, GitError> {
        let mut here = match start.kind {
            Kind::Directory => Some(start.place.clone()),
            _ => start.place.parent(),
        };
        while let Some(place) = here {
            if let Some(git_dir) = git_dir(ground, &place)? {
                let common_dir = common_dir(ground, &git_dir)?;
                return Ok(Self { top: place, git_dir, common_dir });
            }
            here = place.parent();
        }
        Err(GitError::refused(format!(
            "there is no git repository at or above {} within the workspace",
            ground.shown(start.place.path())
        )))
    }

    /// The repository at `path` that something is to be pushed to: bare, or with a `.git` of its own.
    pub(super) fn receiving(ground: &Ground, path: &Path) -> Result<Self, GitError> {
        let place = ground.place_of(path).ok_or_else(|| PathError::Missing { path: path.to_owned() })?;
        let own = git_dir(ground, &place)?;
        let git_dir = own.unwrap_or_else(|| place.clone());
        let common_dir = common_dir(ground, &git_dir)?;
        Ok(Self { top: place, git_dir, common_dir })
    }

    /// Top of the work tree.
    pub(super) fn top(&self) -> &Place {
        &self.top
    }

    pub(super) fn git_dir(&self) -> &Path {
        self.git_dir.path()
    }

    pub(super) fn git_dir_place(&self) -> &Place {
        &self.git_dir
    }

    /// Where the objects are.
    pub(super) fn object_dir(&self) -> Place {
        self.common_dir.child("objects")
    }

    /// The files git reads settings from; they need not exist.
    pub(super) fn config_files(&self) -> [Place; 2] {
        [self.common_dir.child("config"), self.git_dir.child("config.worktree")]
    }

    /// The path of a place below the top; `None` when it lies elsewhere, or inside git's own directory.
    pub(super) fn below_top(&self, place: &Place) -> Option<String> {
        let below = place.names().strip_prefix(self.top.names()).filter(|_| place.same_root(&self.top))?;
        if below.iter().any(|name| name.eq_ignore_ascii_case(".git")) {
            return None;
        }
        Some(if below.is_empty() { ".".to_owned() } else { below.join("/") })
    }
}

/// Where the `.git` of a directory leads, if it has one.
fn git_dir(ground: &Ground, top: &Place) -> Result<Option<Place>, GitError> {
    let found = match ground.resolve_from(top, ".git", LastLink::Follow) {
        Ok(found) => found,
        Err(PathError::Missing { .. } | PathError::Dangling { .. }) => return Ok(None),
        Err(error) => return Err(outside(ground, top, error)),
    };
    match found.kind {
        Kind::Directory => Ok(Some(found.place)),
        Kind::File => {
            let text = pointer(ground, &found.place)?;
            let target = text.strip_prefix("gitdir:").map(str::trim).filter(|target| !target.is_empty());
            let Some(target) = target else {
                return Err(GitError::refused(format!("{} is not git's", ground.shown(found.place.path()))));
            };
            directory(ground, top, target).map(Some)
        }
        Kind::Missing | Kind::Link | Kind::Special => Ok(None),
    }
}

/// The directory several work trees share; the repository's own unless a file says otherwise.
fn common_dir(ground: &Ground, git_dir: &Place) -> Result<Place, GitError> {
    match pointer(ground, &git_dir.child("commondir")) {
        Ok(text) => directory(ground, git_dir, text.trim()),
        Err(PathError::Missing { .. }) => Ok(git_dir.clone()),
        Err(error) => Err(error.into()),
    }
}

fn pointer(ground: &Ground, place: &Place) -> Result<String, PathError> {
    let (dir, name) = ground.open_parent(place)?;
    let content = open_regular(&dir, name, place.path(), &Aliases::new(ground))?.read(MAX_POINTER_BYTES)?;
    Ok(String::from_utf8_lossy(&content).into_owned())
}

fn directory(ground: &Ground, base: &Place, target: &str) -> Result<Place, GitError> {
    let found =
        ground.resolve_from(base, target, LastLink::Follow).map_err(|error| outside(ground, base, error))?;
    match found.kind {
        Kind::Directory => Ok(found.place),
        Kind::Missing => Err(PathError::Missing { path: found.place.path().to_owned() }.into()),
        _ => Err(PathError::NotDirectory { path: found.place.path().to_owned() }.into()),
    }
}

fn outside(ground: &Ground, base: &Place, error: PathError) -> GitError {
    match error {
        PathError::Outside { path, .. } => PathError::Outside {
            path,
            roots: format!(
                "the workspace for the git directory of {}, or add that directory as a workspace",
                ground.shown(base.path())
            ),
        }
        .into(),
        other => other.into(),
    }
}
