//! Who commits: the owner's name and address, read from the owner's own settings without obeying anything else there.

use std::path::{Path, PathBuf};

use super::GitError;
use super::config::Settings;
use super::invoke::{Access, Git};
use crate::workspace::Workspace;

/// Largest settings file read, bytes.
const MAX_BYTES: u64 = 256 << 10;

/// Settings taken over from the owner: who commits, and how line ends are stored.
const WANTED: &str = r"^(user\.(name|email)|core\.(autocrlf|eol))$";

/// Settings that say who commits and how, for the run that does.
pub(super) async fn owner_settings(
    workspace: &Workspace,
    top: &Path,
    own: &Settings,
) -> Result<Vec<(String, String)>, GitError> {
    let mut found = Vec::new();
    for path in files(workspace.home.as_deref()) {
        let Some(content) = read(&path) else { continue };
        // Only as text on standard input: neither the file's place nor what it includes counts.
        let git = Git::nowhere(workspace, top, Access::Look);
        let args = ["config", "--no-includes", "--file", "-", "-z", "--get-regexp", WANTED];
        let answer = git.ask(&args, Some(content)).await?;
        for entry in answer.text().split('\0') {
            if let Some((key, value)) = entry.split_once('\n') {
                found.push((key.to_owned(), value.to_owned()));
            }
        }
    }
    // Later files win, and the repository's own settings win over them; neither is repeated here.
    found.retain(|(key, _)| match key.as_str() {
        "user.name" => own.name.is_none(),
        "user.email" => own.email.is_none(),
        _ => true,
    });
    let known =
        |key: &str, own: &Option<String>| own.is_some() || found.iter().any(|(found, _)| found == key);
    if known("user.name", &own.name) && known("user.email", &own.email) {
        return Ok(found);
    }
    Err(GitError::refused(
        "git does not know who commits: set it with `git config --global user.name NAME` and `user.email ADDRESS`",
    ))
}

/// The owner's settings files, weakest first.
fn files(home: Option<&Path>) -> Vec<PathBuf> {
    home.map(|home| vec![home.join(".config/git/config"), home.join(".gitconfig")]).unwrap_or_default()
}

/// The owner's own file, outside every workspace: links there are the owner's.
fn read(path: &Path) -> Option<Vec<u8>> {
    let metadata = path.metadata().ok()?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return None;
    }
    match std::fs::read(path) {
        Ok(content) => Some(content),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the owner's git settings cannot be read");
            None
        }
    }
}
