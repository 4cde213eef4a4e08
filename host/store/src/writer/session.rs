//! Rows of sessions as a whole: added, changed, deleted.

use lanyard_ports::journal::{SessionProgress, SessionRecord};
use lanyard_protocol::Timestamp;
use lanyard_protocol::event::{HostEventBody, SessionDeleted};
use lanyard_protocol::id::{ArtifactId, SessionId};
use lanyard_protocol::session::{TaskState, TaskSummary, WorkspaceScope};

use super::stage::Stage;
use crate::error::{Rejection, corrupt, refused, unstorable};
use crate::keys;
use crate::record::{DaysRow, Head, OwnerRow, Record};
use crate::schema::DAYS_KEY;
use crate::table::TableId;

/// Tables whose keys begin with a session's id.
const OF_A_SESSION: [TableId; 9] = [
    TableId::Tasks,
    TableId::Events,
    TableId::Messages,
    TableId::CallRequests,
    TableId::Calls,
    TableId::Approvals,
    TableId::ApprovalsBySession,
    TableId::Baselines,
    TableId::ArtifactsBySession,
];

/// Tables with one row per session.
const ONE_PER_SESSION: [TableId; 4] =
    [TableId::Sessions, TableId::Heads, TableId::Digests, TableId::Checkpoints];

impl Stage<'_, '_> {
    pub(super) fn add_session(&mut self, mut record: SessionRecord) -> Result<(), Rejection> {
        let id = record.summary.session_id.clone();
        let key = id.as_str().as_bytes().to_vec();
        if self.has(TableId::Heads, &key)? {
            return Err(refused(format!("session {id} exists already")));
        }
        // The store's own counters are the truth.
        record.summary.last_seq = 0;
        record.summary.pending_approvals = 0;
        record.agent_id = None;
        if record.scope == WorkspaceScope::Local {
            let roots =
                keys::workspace(&record.roots).map_err(|why| unstorable(TableId::Workspaces, &why))?;
            if !self.has(TableId::Workspaces, &roots)? {
                self.put(roots, &record.summary.workspace_id)?;
            }
        }
        self.mark(TableId::SessionsByChange, keys::by_change(record.summary.updated_at, &id));
        self.put(key.clone(), &Head::default())?;
        self.put(key, &record)?;
        self.session_changed(&id, record.summary.updated_at);
        Ok(())
    }

    pub(super) fn progress(&mut self, progress: SessionProgress) -> Result<(), Rejection> {
        let SessionProgress { session_id, state, task, name, add_tokens, at } = progress;
        let mut record = self.session(&session_id)?;
        let summary = &mut record.summary;
        if let Some(state) = state {
            summary.state = state;
        }
        if let Some(name) = name {
            summary.name = name;
        }
        record.tokens_used = record.tokens_used.saturating_add(add_tokens);
        // A clock set back does not put the session behind others that changed before it.
        let (before, after) = (summary.updated_at, summary.updated_at.max(at));
        if before != after {
            summary.updated_at = after;
            self.remove(TableId::SessionsByChange, keys::by_change(before, &session_id));
            self.mark(TableId::SessionsByChange, keys::by_change(after, &session_id));
        }
        if let Some(task) = task {
            self.task(&session_id, &task, at)?;
            record.summary.last_task = Some(task);
        }
        let over = record.summary.state.is_final();
        self.put(session_id.as_str().as_bytes().to_vec(), &record)?;
        if over {
            self.forget_session_rules(&session_id)?;
        }
        self.session_changed(&session_id, after);
        Ok(())
    }

    /// Upserts a task and counts its end, once.
    fn task(&mut self, session: &SessionId, task: &TaskSummary, at: Timestamp) -> Result<(), Rejection> {
        let key = keys::task(session, &task.task_id);
        let before = self.get::<TaskSummary>(&key)?.map_or(TaskState::Running, |before| before.state);
        if before == TaskState::Running {
            match task.state {
                TaskState::Running => {}
                TaskState::Completed => self.totals.tasks_completed += 1,
                TaskState::Failed => self.totals.tasks_failed += 1,
                TaskState::Cancelled => self.totals.tasks_cancelled += 1,
            }
            if task.state != TaskState::Running {
                self.count_in_its_day(task, at)?;
            }
        }
        self.put(key, task)
    }

    /// Adds the end of a task to those of its day (UTC).
    fn count_in_its_day(&mut self, task: &TaskSummary, at: Timestamp) -> Result<(), Rejection> {
        let mut days = match self.raw(TableId::Meta, DAYS_KEY)?.map(|bytes| DaysRow::decode(&bytes)) {
            Some(Ok(days)) => days,
            None => DaysRow::default(),
            // A picture on the health panel is not worth a task that cannot end.
            Some(Err(why)) => {
                tracing::error!(%why, "the tasks of the last days cannot be read and are counted anew");
                DaysRow::default()
            }
        };
        let day = days.day(task.ended_at.unwrap_or(at).day());
        let counted = match task.state {
            TaskState::Running => return Ok(()),
            TaskState::Completed => &mut day.completed,
            TaskState::Failed => &mut day.failed,
            TaskState::Cancelled => &mut day.cancelled,
        };
        *counted = counted.saturating_add(1);
        self.put(DAYS_KEY.to_vec(), &days)
    }

    pub(super) fn delete_session(&mut self, id: &SessionId) -> Result<(), Rejection> {
        let record = self.session(id)?;
        if self.has(TableId::Checkpoints, id.as_str().as_bytes())? {
            return Err(refused(format!(
                "a task of session {id} is under way: cancel the task first, then delete the session"
            )));
        }
        let head = self.head(id)?;
        let prefix = keys::prefix(id.as_str());
        self.forget_approval_indices(id, &prefix)?;
        self.totals.approvals_pending =
            self.totals.approvals_pending.saturating_sub(u64::from(head.pending_approvals));
        self.disown_artifacts(id, &prefix)?;
        self.forget_session_rules(id)?;
        for table in OF_A_SESSION {
            self.clear(table, prefix.clone());
        }
        for table in ONE_PER_SESSION {
            self.remove(table, id.as_str().as_bytes().to_vec());
        }
        self.remove(TableId::SessionsByChange, keys::by_change(record.summary.updated_at, id));
        self.deleted_for_centre(id)?;
        self.session_gone(id);
        let gone = HostEventBody::SessionDeleted(SessionDeleted { session_id: id.clone() });
        self.tell_host(Timestamp::now(), gone)
    }

    fn forget_approval_indices(&mut self, id: &SessionId, prefix: &[u8]) -> Result<(), Rejection> {
        for key in self.keys_under(TableId::ApprovalsBySession, prefix)? {
            let Some(other) = keys::from_approval_by_session(id, &key) else {
                return Err(Rejection::Batch(corrupt(
                    TableId::ApprovalsBySession,
                    &key,
                    &"not an index key",
                )));
            };
            self.remove(TableId::ApprovalsByTime, other.by_time.clone());
            self.remove(TableId::ApprovalsPending, other.by_time);
        }
        Ok(())
    }

    fn disown_artifacts(&mut self, id: &SessionId, prefix: &[u8]) -> Result<(), Rejection> {
        for key in self.keys_under(TableId::ArtifactsBySession, prefix)? {
            let artifact = keys::second_text(&key).and_then(|text| ArtifactId::new(text).ok());
            let Some(artifact) = artifact else {
                return Err(Rejection::Batch(corrupt(
                    TableId::ArtifactsBySession,
                    &key,
                    &"not an index key",
                )));
            };
            let owner = keys::owner(&artifact, id);
            let size = self.get::<OwnerRow>(&owner)?.map_or(0, |row| row.size);
            self.remove(TableId::ArtifactOwners, owner);
            if self.keys_under(TableId::ArtifactOwners, &keys::prefix(artifact.as_str()))?.is_empty() {
                self.totals.artifact_bytes = self.totals.artifact_bytes.saturating_sub(size);
                self.outcome.orphans.push(artifact);
            }
        }
        Ok(())
    }
}
