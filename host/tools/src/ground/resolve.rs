//! From the text of an argument to a place, following the symbolic links that stay inside the workspace.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use cap_fs_ext::DirExt;
use cap_std::fs::Dir;
use lanyard_policy::path::HostPath;

use super::{Found, Ground, Kind, PathError, Place};

/// Symbolic links in one path, as in Linux.
const MAX_LINKS: usize = 40;

/// What to do with a symbolic link that is the last name of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastLink {
    /// Go where it leads: reading, writing.
    Follow,
    /// Take the link itself: deleting.
    Keep,
}

impl Ground {
    /// Finds what `text` names, relative to the first root or absolute.
    ///
    /// # Errors
    /// When it is malformed, leads outside, or reaches a directory of the host itself.
    pub(crate) fn resolve(&self, text: &str, last: LastLink) -> Result<Found, PathError> {
        self.resolve_from(&self.home(), text, last)
    }

    /// [`Ground::resolve`], relative paths starting at another directory.
    pub(crate) fn resolve_from(&self, base: &Place, text: &str, last: LastLink) -> Result<Found, PathError> {
        let base = HostPath::parse(&base.path().to_string_lossy())?;
        let asked = base.resolve(text)?;
        let mut walk = Walk::enter(self, &asked)?;
        let kind = walk.run(last)?;
        let place = walk.place();
        self.refuse_protected_path(place.path())?;
        if kind == Kind::Missing {
            self.refuse_look_alike(&place)?;
        }
        Ok(Found { place, asked: PathBuf::from(asked.as_str()), kind })
    }

    /// The place of an absolute path that is already resolved; `None` when it is in no root.
    pub(crate) fn place_of(&self, path: &Path) -> Option<Place> {
        let path = HostPath::parse(path.to_str()?).ok()?;
        let root = self.root_of(&path)?;
        let names = path.components().skip(self.roots[root].path.components().count());
        let names = names.map(str::to_owned).collect();
        Some(Place { root, names, path: PathBuf::from(path.as_str()) })
    }

    /// The innermost root a path lies in.
    fn root_of(&self, path: &HostPath) -> Option<usize> {
        (0..self.roots.len())
            .filter(|index| path.is_within(&self.roots[*index].path))
            .max_by_key(|index| self.roots[*index].path.as_str().len())
    }

    fn outside(&self, path: PathBuf) -> PathError {
        let roots: Vec<&str> = self.roots.iter().map(|root| root.path.as_str()).collect();
        PathError::Outside { path, roots: roots.join(" or ") }
    }

    /// A new file must not stand beside one whose name differs only in Unicode form (item 7): on other systems both
    /// would be the same file. Case alone may differ, as everywhere on Linux.
    fn refuse_look_alike(&self, place: &Place) -> Result<(), PathError> {
        let Some(name) = place.name().filter(|name| !name.is_ascii()) else { return Ok(()) };
        // A missing directory has no entries to be mistaken for.
        let Ok((dir, _)) = self.open_parent(place) else { return Ok(()) };
        let entries = dir.entries().map_err(|source| PathError::Io { path: place.path.clone(), source })?;
        let wanted = folded(name);
        for entry in entries.take(MAX_SIBLINGS) {
            let entry = entry.map_err(|source| PathError::Io { path: place.path.clone(), source })?;
            let Ok(other) = entry.file_name().into_string() else { continue };
            let same_letters = other.to_lowercase() == name.to_lowercase();
            if other != name && !same_letters && wanted.is_some() && folded(&other) == wanted {
                return Err(PathError::LookAlike { path: place.path.clone(), existing: other });
            }
        }
        Ok(())
    }
}

/// Entries compared with the name of a new file; larger directories hold generated names.
const MAX_SIBLINGS: usize = 20_000;

fn folded(name: &str) -> Option<lanyard_policy::path::FoldedPath> {
    HostPath::parse(&format!("/{name}")).ok().map(|path| path.folded())
}

/// A walk from a root towards a file.
struct Walk<'g> {
    ground: &'g Ground,
    root: usize,
    /// Handles of `names`, as far as they exist.
    dirs: Vec<Dir>,
    names: Vec<String>,
    pending: VecDeque<String>,
    /// How many of `pending`, from the back, were asked for; those before come out of symbolic links.
    asked: usize,
    links: usize,
}

impl<'g> Walk<'g> {
    fn enter(ground: &'g Ground, asked: &HostPath) -> Result<Self, PathError> {
        let root = ground.root_of(asked).ok_or_else(|| ground.outside(PathBuf::from(asked.as_str())))?;
        let pending = asked.components().skip(ground.roots[root].path.components().count());
        let pending: VecDeque<String> = pending.map(str::to_owned).collect();
        let asked = pending.len();
        Ok(Self { ground, root, dirs: Vec::new(), names: Vec::new(), pending, asked, links: 0 })
    }

    fn run(&mut self, last: LastLink) -> Result<Kind, PathError> {
        while let Some(name) = self.pending.pop_front() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    self.up()?;
                    continue;
                }
                _ => {}
            }
            let metadata = match self.here().symlink_metadata(&name) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return self.missing(name),
                Err(source) => return Err(PathError::Io { path: self.path_of(&name), source }),
            };
            let kind = metadata.file_type();
            if kind.is_symlink() {
                if last == LastLink::Keep && self.pending.iter().all(|rest| rest.is_empty() || rest == ".") {
                    self.names.push(name);
                    return Ok(Kind::Link);
                }
                self.follow(&name)?;
            } else if kind.is_dir() {
                let dir = self.here().open_dir_nofollow(&name);
                let dir = dir.map_err(|error| PathError::from_open(self.path_of(&name), error))?;
                self.ground.refuse_protected(&dir, || self.path_of(&name))?;
                self.names.push(name);
                self.dirs.push(dir);
            } else {
                if !self.pending.is_empty() {
                    return Err(PathError::NotDirectory { path: self.path_of(&name) });
                }
                self.names.push(name);
                return Ok(if kind.is_file() { Kind::File } else { Kind::Special });
            }
        }
        Ok(Kind::Directory)
    }

    /// The rest of the path does not exist. Where a link leads to nothing, nothing is created.
    fn missing(&mut self, name: String) -> Result<Kind, PathError> {
        if self.pending.len() >= self.asked {
            return Err(PathError::Dangling { path: self.path_of(&name) });
        }
        self.names.push(name);
        self.names.extend(std::mem::take(&mut self.pending));
        Ok(Kind::Missing)
    }

    fn follow(&mut self, name: &str) -> Result<(), PathError> {
        self.links += 1;
        let link = self.path_of(name);
        if self.links > MAX_LINKS {
            return Err(PathError::TooManyLinks { path: link, max: MAX_LINKS });
        }
        let target = self.here().read_link_contents(name);
        let target = target.map_err(|source| PathError::Io { path: link.clone(), source })?;
        let Some(target) = target.to_str() else { return Err(PathError::Escape { link }) };
        self.asked = self.asked.min(self.pending.len());
        let names: Vec<String> = target.split('/').map(str::to_owned).collect();
        for name in names.into_iter().rev() {
            self.pending.push_front(name);
        }
        if target.starts_with('/') { self.jump(&link) } else { Ok(()) }
    }

    /// Goes one directory up; above a root only another root can follow.
    fn up(&mut self) -> Result<(), PathError> {
        if self.names.pop().is_some() {
            self.dirs.pop();
            return Ok(());
        }
        let root = &self.ground.roots[self.root].path;
        let above: Vec<String> = root.components().map(str::to_owned).collect();
        let link = PathBuf::from(root.as_str()).join("..");
        let Some((_, above)) = above.split_last() else { return Err(PathError::Escape { link }) };
        for name in above.iter().rev() {
            self.pending.push_front(name.clone());
        }
        self.jump(&link)
    }

    /// Starts again at the root that the pending, absolute names lie in.
    fn jump(&mut self, link: &Path) -> Result<(), PathError> {
        let names: Vec<&str> =
            self.pending.iter().map(String::as_str).filter(|name| !name.is_empty() && *name != ".").collect();
        let inside = |root: &super::Root| {
            let mut names = names.iter();
            root.path.components().all(|wanted| names.next().is_some_and(|name| *name == wanted))
        };
        let root = (0..self.ground.roots.len())
            .filter(|index| inside(&self.ground.roots[*index]))
            .max_by_key(|index| self.ground.roots[*index].path.as_str().len())
            .ok_or_else(|| PathError::Escape { link: link.to_owned() })?;
        let below = names.iter().skip(self.ground.roots[root].path.components().count());
        let below: VecDeque<String> = below.map(|name| (*name).to_owned()).collect();
        self.root = root;
        self.pending = below;
        self.names.clear();
        self.dirs.clear();
        Ok(())
    }

    fn here(&self) -> &Dir {
        self.dirs.last().unwrap_or(&self.ground.roots[self.root].dir)
    }

    fn path_of(&self, name: &str) -> PathBuf {
        let mut path = PathBuf::from(self.ground.roots[self.root].path.as_str());
        path.extend(&self.names);
        path.join(name)
    }

    fn place(self) -> Place {
        let mut path = PathBuf::from(self.ground.roots[self.root].path.as_str());
        path.extend(&self.names);
        Place { root: self.root, names: self.names, path }
    }
}
