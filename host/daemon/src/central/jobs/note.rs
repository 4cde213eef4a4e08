//! What is written down of a job before anything is done for it, so that the next host knows what became of it.

use std::path::{Path, PathBuf};

use lanyard_governance_api::id::{JobId, UserId};
use lanyard_governance_api::job::JobProgress;
use lanyard_protocol::id::{CommandId, SessionId, StepId, TaskId, ToolCallId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::central::consent::FileError;
use crate::state_dir::{private_dir, write_private};

/// Notes that are looked at when the host starts. More jobs than this are never under way.
const MAX_NOTES: usize = 256;

/// Where a job runs on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Ids {
    pub(crate) session: SessionId,
    pub(crate) task: TaskId,
    pub(crate) step: StepId,
    pub(crate) call: ToolCallId,
}

/// One job, from before it is claimed until its outcome has been taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Note {
    pub(crate) job: JobId,
    /// Names this claim.
    pub(crate) lease: CommandId,
    /// Who dispatched it.
    pub(crate) by: Option<UserId>,
    /// Absent until its session is there.
    pub(crate) ids: Option<Ids>,
    /// The outcome, where it is known and not yet taken by the centre.
    pub(crate) outcome: Option<JobProgress>,
}

/// The directory of notes.
#[derive(Debug, Clone)]
pub(crate) struct Notes {
    dir: PathBuf,
}

impl Notes {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Keeps a note; on disk when this returns. Blocks.
    pub(crate) fn keep(&self, note: &Note) -> Result<(), FileError> {
        private_dir(&self.dir)?;
        let path = self.path(&note.job);
        let bytes = serde_json::to_vec(note)
            .map_err(|e| FileError::Unreadable { path: path.clone(), message: e.to_string() })?;
        Ok(write_private(&path, &bytes)?)
    }

    /// Forgets one. Blocks.
    pub(crate) fn forget(&self, job: &JobId) {
        if let Err(error) = std::fs::remove_file(self.path(job))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, %job, "the note of a job could not be deleted");
        }
    }

    /// Whether there is one for a job.
    pub(crate) fn holds(&self, job: &JobId) -> bool {
        self.path(job).exists()
    }

    /// Those that earlier hosts have left. Blocks.
    pub(crate) fn left(&self) -> Vec<Note> {
        let Ok(entries) = std::fs::read_dir(&self.dir) else { return Vec::new() };
        entries.flatten().take(MAX_NOTES).filter_map(|entry| read(&entry.path())).collect()
    }

    /// Forgets all of them. Blocks.
    pub(crate) fn wipe(&self) -> Result<(), FileError> {
        match std::fs::remove_dir_all(&self.dir) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(FileError::Unreadable { path: self.dir.clone(), message: e.to_string() }),
        }
    }

    fn path(&self, job: &JobId) -> PathBuf {
        let digest = Sha256::digest(job.as_str().as_bytes());
        let name = data_encoding::HEXLOWER.encode(digest.get(..16).unwrap_or_default());
        self.dir.join(format!("{name}.json"))
    }
}

fn read(path: &Path) -> Option<Note> {
    if path.extension().is_none_or(|extension| extension != "json") {
        return None;
    }
    let parsed = std::fs::read(path).map_err(|e| e.to_string());
    match parsed.and_then(|bytes| serde_json::from_slice(&bytes).map_err(|e| e.to_string())) {
        Ok(note) => Some(note),
        Err(error) => {
            tracing::error!(error, file = %path.display(), "the note of a job cannot be read");
            None
        }
    }
}
