//! What tasks of a session have changed in files, as their host sent it after each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lanyard_governance_api::artifact::{ArtifactRecord, ArtifactType, ArtifactsQuery};
use lanyard_governance_api::endpoint::{GetArtifactContent, ListArtifacts};
use lanyard_governance_api::session::SessionInfo;
use lanyard_protocol::id::{ArtifactId, TaskId, WorkspaceId};
use lanyard_protocol::method::PatchPreview;
use lanyard_web_state::words::path_end;
use lanyard_web_ui::timeline::{ChangedFiles, Look};
use lanyard_web_ui::{Button, Problem, Sheet, Waiting};
use lanyard_web_view::{component, view};
use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use crate::api::{self, Failed};
use crate::poll::Poll;

/// Tasks of one session whose changes are offered: the newest ones.
const MOST: u32 = 200;

/// What it means that a list of files is empty, which hosts do not send.
const NONE: &str = "The task changed no file through its tools.";

/// Where the changes of each task are. Newest first: what a host sent again after an interruption counts.
fn by_task(records: &[ArtifactRecord]) -> BTreeMap<TaskId, (WorkspaceId, ArtifactId)> {
    let mut kept = BTreeMap::new();
    for record in records {
        let workspace = record.uri.split('/').nth(2).and_then(|id| WorkspaceId::new(id).ok());
        if let (Some(task), Some(workspace)) = (record.task_id.clone(), workspace) {
            kept.entry(task).or_insert((workspace, record.artifact_id.clone()));
        }
    }
    kept
}

/// What is kept of a session's changes. `Copy`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    found: Memo<BTreeMap<TaskId, (WorkspaceId, ArtifactId)>>,
}

impl Kept {
    /// Follows what the host sends of a session.
    pub(super) fn follow(session: Poll<SessionInfo>) -> Self {
        let place = Memo::new(move |_| {
            session.now.with(|now| now.as_ref().map(|now| (now.workspace_id.clone(), now.session_id.clone())))
        });
        let asked = Poll::start(move || {
            let place = place.get();
            async move {
                let Some((workspace, session)) = place else { return Ok(Vec::new()) };
                let query = ArtifactsQuery {
                    session_id: Some(session),
                    artifact_type: Some(ArtifactType::FileDiff),
                    limit: Some(MOST),
                    next_token: None,
                };
                api::get::<ListArtifacts>(&[workspace.as_str()], &query).await.map(|page| page.items)
            }
        });
        let found = Memo::new(move |_| {
            asked.now.with(|now| now.as_ref().map(|records| by_task(records)).unwrap_or_default())
        });
        Self { found }
    }

    /// The tasks whose changes are there. Follows.
    pub(super) fn tasks(self) -> Signal<Option<Arc<BTreeSet<TaskId>>>> {
        Signal::derive(move || Some(Arc::new(self.found.with(|found| found.keys().cloned().collect()))))
    }
}

/// The changes of a task, over the page.
#[component]
pub(super) fn Changes(kept: Kept, look: RwSignal<Option<Look>>) -> impl IntoView {
    let open = Memo::new(move |_| look.with(Option::is_some));
    let title = Signal::derive(move || {
        let path = look.with(|look| look.as_ref().and_then(|look| look.path.clone()));
        path.map_or_else(|| "Changes".to_owned(), |path| path_end(&path))
    });
    view! {
        <Sheet open title on_close=move || look.set(None)>
            {move || look.get().map(|look| view! { <Shown kept look/> })}
        </Sheet>
    }
}

#[component]
fn Shown(kept: Kept, look: Look) -> impl IntoView {
    let found = RwSignal::new(None::<Result<PatchPreview, Failed>>);
    let Look { task, path } = look;
    let fetch = move || {
        let place = kept.found.with_untracked(|found| found.get(&task).cloned());
        found.set(None);
        spawn_local(async move {
            let answer = match place {
                Some((workspace, artifact)) => {
                    api::content::<GetArtifactContent, _>(&[workspace.as_str(), artifact.as_str()]).await
                }
                None => Ok(PatchPreview { files: Vec::new() }),
            };
            let _ = found.try_set(Some(answer));
        });
    };
    fetch();
    let fetch = StoredValue::new(fetch);
    move || match found.get() {
        None => view! { <Waiting what="Fetching the changes"/> },
        Some(Ok(preview)) => view! {
            <p class="soft">"As the files stood when the host sent this, right after the task."</p>
            <ChangedFiles files=preview.files path=path.clone() none=NONE/>
        },
        Some(Err(failed)) => view! {
            <Problem title="The changes could not be read" meaning=failed.said code=failed.code>
                <Button on_press=move || fetch.with_value(|fetch| fetch())>"Try again"</Button>
            </Problem>
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lanyard_protocol::Timestamp;
    use lanyard_protocol::id::SessionId;

    #[test]
    fn what_was_sent_last_of_a_task_counts() {
        let record = |task: &str, content: &str| ArtifactRecord {
            artifact_id: ArtifactId::new(content).unwrap(),
            artifact_type: ArtifactType::FileDiff,
            uri: format!("/workspaces/ws-1/artifacts/{content}"),
            session_id: SessionId::new("s-1").unwrap(),
            task_id: Some(TaskId::new(task).unwrap()),
            step_id: None,
            tool_call_id: None,
            bytes: 1,
            seq: None,
            created_at: Timestamp::from_millis(0),
        };
        let found = by_task(&[record("two", "b"), record("one", "c"), record("one", "a")]);
        let kept: Vec<_> =
            found.iter().map(|(task, (at, id))| (task.as_str(), at.as_str(), id.as_str())).collect();
        assert_eq!(kept, [("one", "ws-1", "c"), ("two", "ws-1", "b")]);
    }
}
