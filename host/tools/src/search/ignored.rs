//! The `.gitignore` files that apply to a directory, read by handle.

use std::rc::Rc;

use cap_std::fs::Dir;
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::ground::{Aliases, PathError, Place, open_regular};
use crate::workspace::Workspace;

/// Largest `.gitignore` obeyed, bytes; generated ones of a few thousand lines fit.
const MAX_BYTES: u64 = 256 << 10;

/// Rules of a directory and of those above it, up to its root.
#[derive(Debug, Clone)]
pub(super) struct Ignored {
    rules: Option<Rc<Rules>>,
}

#[derive(Debug)]
struct Rules {
    own: Gitignore,
    /// Path of the directory below the root, with a slash at the end unless it is the root.
    prefix: String,
    above: Option<Rc<Rules>>,
}

impl Ignored {
    /// The rules that apply in `place`: those of its root, of every directory in between, and its own.
    pub(super) fn at(workspace: &Workspace, place: &Place) -> Result<Self, PathError> {
        let mut rules = Self { rules: None };
        let mut here = place.top();
        let mut prefix = String::new();
        rules = rules.entering(workspace, &workspace.ground.open_directory(&here)?, &here, &prefix);
        for name in place.names() {
            here = here.child(name);
            prefix.push_str(name);
            prefix.push('/');
            rules = rules.entering(workspace, &workspace.ground.open_directory(&here)?, &here, &prefix);
        }
        Ok(rules)
    }

    /// The rules inside a directory that lies in the one these apply to.
    pub(super) fn entering(&self, workspace: &Workspace, dir: &Dir, place: &Place, prefix: &str) -> Self {
        let Some(own) = read(workspace, dir, place) else { return self.clone() };
        let rules = Rules { own, prefix: prefix.to_owned(), above: self.rules.clone() };
        Self { rules: Some(Rc::new(rules)) }
    }

    /// Whether an entry, by its path below the root, is ignored. The nearest rule that says something counts.
    pub(super) fn covers(&self, below_root: &str, is_directory: bool) -> bool {
        let mut next = self.rules.as_ref();
        while let Some(rules) = next {
            if let Some(path) = below_root.strip_prefix(&rules.prefix) {
                match rules.own.matched(path, is_directory) {
                    Match::Ignore(_) => return true,
                    Match::Whitelist(_) => return false,
                    Match::None => {}
                }
            }
            next = rules.above.as_ref();
        }
        false
    }
}

/// A file that cannot be read, or lines that are no patterns, ignore nothing.
fn read(workspace: &Workspace, dir: &Dir, place: &Place) -> Option<Gitignore> {
    let aliases = Aliases::new(&workspace.ground);
    let path = place.path().join(".gitignore");
    let content = match open_regular(dir, ".gitignore", &path, &aliases).and_then(|file| file.read(MAX_BYTES))
    {
        Ok(content) => content,
        Err(PathError::Missing { .. }) => return None,
        Err(error) => {
            tracing::debug!(%error, "ignore file not obeyed");
            return None;
        }
    };
    let mut builder = GitignoreBuilder::new("");
    for line in String::from_utf8_lossy(&content).lines() {
        if let Err(error) = builder.add_line(None, line) {
            tracing::debug!(path = %path.display(), %error, "pattern not understood");
        }
    }
    match builder.build() {
        Ok(rules) => Some(rules),
        Err(error) => {
            tracing::debug!(path = %path.display(), %error, "ignore file not obeyed");
            None
        }
    }
}
