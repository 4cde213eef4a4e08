//! Works out the tree a commit would have, without touching the repository: with an index of its own and, while it is
//! only planned, a place of its own for new objects.

use std::path::PathBuf;

use cap_fs_ext::DirExt;
use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::GitError;
use super::diff::PLAIN;
use super::invoke::{Access, Git};
use super::repository::Repository;
use crate::ground::{Aliases, PathError, open_regular};
use crate::workspace::Workspace;

/// Largest index copied, bytes: some 200,000 files.
const MAX_INDEX_BYTES: u64 = 64 << 20;

/// The tree a commit would have, and what it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// Object id of the tree.
    pub(super) tree: String,
    /// The commit it follows; `None` for the first one.
    pub(super) parent: Option<String>,
    /// The branch it lands on; `None` for a detached head.
    pub(super) branch: Option<String>,
}

/// Room for an index and, where objects must not go to the repository, for objects. Removed on drop.
#[derive(Debug)]
pub(super) struct Room {
    parent: Dir,
    name: String,
    path: PathBuf,
}

impl Room {
    /// Makes it in the session's private space, by handle: commands write there too.
    pub(super) fn make(workspace: &Workspace) -> Result<Self, GitError> {
        let make = || {
            let scratch = Dir::open_ambient_dir(workspace.scratch(), ambient_authority())?;
            let name = format!("git-{:016x}", crate::random_u64());
            scratch.create_dir(&name)?;
            let room = scratch.open_dir_nofollow(&name)?;
            room.create_dir("objects")?;
            Ok(Self { path: workspace.scratch().join(&name), parent: scratch, name })
        };
        make()
            .map_err(|source| GitError::Path(PathError::Io { path: workspace.scratch().to_owned(), source }))
    }

    /// Copies the repository's index, if it has one.
    fn take_index(&self, workspace: &Workspace, repository: &Repository) -> Result<(), GitError> {
        let place = repository.git_dir_place().child("index");
        let (dir, name) = workspace.ground.open_parent(&place)?;
        let aliases = Aliases::new(&workspace.ground);
        let content = match open_regular(&dir, name, place.path(), &aliases)
            .and_then(|file| file.read(MAX_INDEX_BYTES))
        {
            Ok(content) => content,
            Err(PathError::Missing { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let written = self.parent.open_dir_nofollow(&self.name).and_then(|room| room.write("index", content));
        written.map_err(|source| PathError::Io { path: self.path.clone(), source }.into())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let removed = self.parent.open_dir_nofollow(&self.name).and_then(Dir::remove_open_dir_all);
        if let Err(error) = removed {
            tracing::warn!(path = %self.path.display(), %error, "temporary git directory not removed");
        }
    }
}

/// A git that works on the index in `room`. While planning (`Access::Look`) new objects stay there as well.
pub(super) fn within<'g>(git: Git<'g>, repository: &Repository, room: &Room, access: Access) -> Git<'g> {
    let git = git.with_variable("GIT_INDEX_FILE", room.path.join("index").to_string_lossy());
    if access != Access::Look {
        return git;
    }
    git.with_variable("GIT_OBJECT_DIRECTORY", room.path.join("objects").to_string_lossy())
        .with_variable("GIT_ALTERNATE_OBJECT_DIRECTORIES", repository.object_dir().path().to_string_lossy())
}

/// Builds the tree: of what is staged, or with `paths` of the last commit with those paths as they are now.
pub(super) async fn take(
    workspace: &Workspace,
    repository: &Repository,
    room: &Room,
    git: &Git<'_>,
    paths: &[String],
) -> Result<Snapshot, GitError> {
    refuse_unfinished(workspace, repository)?;
    let parent = git.ask(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], None).await?;
    let parent = (parent.code == 0).then(|| parent.line());
    let branch = git.ask(&["symbolic-ref", "--quiet", "HEAD"], None).await?;
    let branch = (branch.code == 0).then(|| branch.line());
    let branch = branch.map(|name| name.strip_prefix("refs/heads/").unwrap_or(&name).to_owned());
    if paths.is_empty() {
        room.take_index(workspace, repository)?;
    } else {
        if parent.is_some() {
            git.run(&["read-tree", "HEAD"], None).await?;
        }
        let mut add = vec!["add", "--all", "--"];
        add.extend(paths.iter().map(String::as_str));
        git.run(&add, None).await?;
        refuse_filtered(git).await?;
    }
    let tree = git.run(&["write-tree"], None).await?.line();
    Ok(Snapshot { tree, parent, branch })
}

/// What the commit would change, as a diff and as the list of its files.
pub(super) async fn describe(git: &Git<'_>) -> Result<(String, String), GitError> {
    let cached = |format: &'static str| {
        let mut args = vec!["diff", "--cached", format];
        args.extend_from_slice(PLAIN);
        args
    };
    let list = git.run(&cached("--stat=120"), None).await?.text();
    let diff = git.run(&cached("--patch"), None).await?.text();
    Ok((list, diff))
}

/// A commit in the middle of a merge or the like would lose what git remembers of it.
fn refuse_unfinished(workspace: &Workspace, repository: &Repository) -> Result<(), GitError> {
    const MARKS: &[(&str, &str)] = &[
        ("MERGE_HEAD", "merge"),
        ("CHERRY_PICK_HEAD", "cherry-pick"),
        ("REVERT_HEAD", "revert"),
        ("rebase-merge", "rebase"),
        ("rebase-apply", "rebase"),
    ];
    for (mark, what) in MARKS {
        if workspace.ground.kind(&repository.git_dir_place().child(mark))? != crate::ground::Kind::Missing {
            return Err(GitError::refused(format!("a {what} is under way: finish it with RunCommand")));
        }
    }
    Ok(())
}

/// Files stored through a filter would be committed in the wrong form, since filters are not run.
async fn refuse_filtered(git: &Git<'_>) -> Result<(), GitError> {
    let names =
        git.run(&["diff", "--cached", "--name-only", "-z", "--ignore-submodules=dirty"], None).await?;
    if !names.whole {
        return Err(GitError::refused("too many files for one commit: name fewer"));
    }
    let answer = git.run(&["check-attr", "-z", "--stdin", "filter"], Some(names.stdout)).await?;
    let text = answer.text();
    let fields: Vec<&str> = text.split('\0').collect();
    for entry in fields.chunks_exact(3) {
        if !matches!(entry[2], "unspecified" | "unset" | "") {
            return Err(GitError::refused(format!(
                "{} is stored through the content filter {}, which is not run here: commit it with RunCommand",
                lanyard_policy::visible::line(entry[0]),
                lanyard_policy::visible::line(entry[2])
            )));
        }
    }
    Ok(())
}
