//! The directories that sessions may be about, and those that files may be looked at in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lanyard_ports::journal::JournalError;
use lanyard_protocol::Timestamp;
use lanyard_protocol::error::WireError;
use lanyard_protocol::method::{Response, WorkspaceEntry, WorkspacePage};
use lanyard_protocol::principal::Principal;
use lanyard_protocol::session::{SessionSummary, WorkspaceScope};

use super::sessions::allowed_root;
use super::{Answer, blocking};
use crate::host::Host;

/// Sessions whose directories are looked at, the last used ones: who goes back further names the directory.
const MAX_SESSIONS: usize = 1_000;

/// Sessions read at a time.
const PAGE: usize = 200;

/// Directories in one answer.
const MAX_WORKSPACES: usize = 200;

/// A directory of this host that a principal may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// Absolute.
    pub(super) path: PathBuf,
    /// When a session was last about it.
    pub(super) last_used: Option<Timestamp>,
    /// A session's own directory, made for it: to be looked at, not to be chosen.
    pub(super) of_a_session: bool,
}

/// `ListWorkspaces`.
pub(super) async fn list(host: &Arc<Host>, principal: &Principal) -> Result<Answer, WireError> {
    let mut known = known(host, principal).await?;
    known.retain(|known| !known.of_a_session);
    known.sort_by_cached_key(|known| (std::cmp::Reverse(known.last_used), name(&known.path).to_lowercase()));
    known.truncate(MAX_WORKSPACES);
    let workspaces = known.into_iter().map(|known| WorkspaceEntry {
        name: name(&known.path),
        path: known.path.display().to_string(),
        last_used: known.last_used,
    });
    Ok(Response::ListWorkspaces(WorkspacePage { workspaces: workspaces.collect() }).into())
}

fn name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// Every directory that a principal may use: those of the configuration, and those of sessions as far as the
/// configuration still lets the principal start one there.
pub(super) async fn known(host: &Arc<Host>, principal: &Principal) -> Result<Vec<Known>, WireError> {
    let (host, principal) = (host.clone(), principal.clone());
    blocking(move || {
        let mut known: BTreeMap<PathBuf, Known> = BTreeMap::new();
        for path in &host.config.workspaces {
            let own = Known { path: path.clone(), last_used: None, of_a_session: false };
            known.insert(path.clone(), own);
        }
        each_session(&host, |session| {
            for root in &session.workspace_roots {
                let Some(of_a_session) = usable(&host, &principal, session, Path::new(root)) else {
                    continue;
                };
                let path = PathBuf::from(root);
                let entry = known.entry(path.clone());
                let entry = entry.or_insert(Known { path, last_used: None, of_a_session });
                entry.last_used = entry.last_used.max(Some(session.updated_at));
            }
        })?;
        // Not followed: what was put in the place of a directory is none of ours.
        known.retain(|path, _| path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()));
        Ok(known.into_values().collect())
    })
    .await
}

/// Whether a session's directory may be used, and if so, whether it was made for the session.
fn usable(host: &Host, principal: &Principal, session: &SessionSummary, root: &Path) -> Option<bool> {
    match session.workspace_scope {
        WorkspaceScope::Local => allowed_root(host, principal, root).is_ok().then_some(false),
        WorkspaceScope::General => root.starts_with(&host.paths.general).then_some(true),
        WorkspaceScope::Cloud => None,
    }
}

/// Sessions, last used first, as far back as is looked.
fn each_session(host: &Host, mut each: impl FnMut(&SessionSummary)) -> Result<(), JournalError> {
    let (mut cursor, mut seen) = (None::<String>, 0);
    while seen < MAX_SESSIONS {
        let (sessions, next) = host.journal.list_sessions(None, cursor.as_deref(), PAGE)?;
        seen += sessions.len();
        sessions.iter().for_each(&mut each);
        match next {
            Some(next) if !sessions.is_empty() => cursor = Some(next),
            _ => break,
        }
    }
    Ok(())
}
