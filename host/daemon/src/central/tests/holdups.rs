//! What stands in the way of one session, and what is behind it all the same.

use lanyard_governance_api::artifact::ArtifactType;
use lanyard_protocol::event::{EventBody, ToolCompleted};
use lanyard_protocol::id::{ArtifactId, StepId, ToolCallId};
use lanyard_protocol::method::DeleteSession;
use lanyard_protocol::tool::{ToolResult, ToolStatus, artifact_uri};

use super::shipping::artifacts;
use super::*;

impl House {
    /// A call whose whole output is kept elsewhere.
    async fn output(&self, opened: &SessionOpened, output: &[u8]) -> ArtifactId {
        let host = self.host();
        let artifact = host.artifacts.put(&opened.session_id, output).unwrap();
        let result = ToolResult {
            tool_name: "RunCommand".to_owned(),
            workspace_id: opened.workspace_id.clone(),
            session_id: opened.session_id.clone(),
            task_id: TaskId::new("task_1").unwrap(),
            step_id: StepId::new("step_1").unwrap(),
            tool_call_id: ToolCallId::new("call_1").unwrap(),
            status: ToolStatus::Succeeded,
            output_text: None,
            artifact_uris: vec![artifact_uri(&artifact)],
            error: None,
        };
        let ran = ToolCompleted {
            result,
            exit_code: Some(0),
            duration_ms: 5,
            sandbox_level: SandboxLevel::Full,
            changes: Vec::new(),
            replayed: false,
        };
        host.journal.commit(vec![self.event(opened, EventBody::ToolCompleted(ran))]).await.unwrap();
        artifact
    }

    fn sent(&self, opened: &SessionOpened) -> u64 {
        self.host().journal.central_session(&opened.session_id).unwrap().unwrap().shipped_seq
    }
}

/// The file below a directory whose name ends so.
fn find(dir: &std::path::Path, end: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.into_iter().find_map(|path| match path.is_dir() {
        true => find(&path, end),
        false => path.to_str().is_some_and(|path| path.ends_with(end)).then_some(path),
    })
}

#[tokio::test]
async fn an_output_that_was_damaged_on_disk_is_left_out_and_holds_nothing_up() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let (one, two) = (house.session().await.unwrap(), house.session().await.unwrap());
    let artifact = house.output(&one, &[b'x'; 1_000]).await;
    house.output(&one, &[b'y'; 1_000]).await;
    house.work_in(&two, 3).await;
    // As long as it was: found out only while it is read.
    std::fs::write(
        find(house.dir.path(), &artifact.as_str()[artifact.as_str().len() - 62..]).unwrap(),
        [b'z'; 1_000],
    )
    .unwrap();
    let (stop, task) = house.ship();
    house.all_sent().await;
    let told = house.wire.told();
    let outputs = artifacts(&told).into_iter();
    let outputs = outputs.filter(|(query, _)| query.artifact_type == ArtifactType::ToolOutput);
    let whose: Vec<_> = outputs.map(|(query, bytes)| (&query.session_id, bytes.len())).collect();
    assert_eq!(whose, [(&one.session_id, 1_000), (&two.session_id, 700_000)]);
    assert_eq!((house.sent(&one), house.sent(&two)), (3, 5));
    stop.cancel();
    task.await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn sessions_that_are_not_taken_for_now_give_way_to_any_number_behind_them() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let mut opened = Vec::new();
    for _ in 0..35 {
        opened.push(house.session().await.unwrap());
    }
    // More than are looked at together, each time.
    let stumbles =
        || Some(WireError::new(ErrorCode::WorkspaceUploadFailed, "the store of artifacts is away"));
    let refuse =
        (0..34).map(|_| stumbles()).chain((0..8).map(|_| None)).chain((0..9_000).map(|_| stumbles()));
    house.wire.book().refuse = refuse.collect();
    let (stop, task) = house.ship();
    until(|| house.sent(&opened[34]) == 1).await;
    house.wire.book().refuse.clear();
    house.all_sent().await;
    stop.cancel();
    task.await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn the_history_of_a_deleted_session_goes_although_the_centre_knows_the_session_no_more() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let opened = house.session().await.unwrap();
    let delete = DeleteSession { session_id: opened.session_id.clone(), command_id: None };
    handle(house.host(), &owner().unwrap(), Request::DeleteSession(delete)).await.unwrap();
    let told = house.wire.told().len();
    house.wire.refuse_after(0, WireError::new(ErrorCode::SessionNotFound, "that was long ago"));
    let (stop, task) = house.ship();
    house.all_sent().await;
    assert_eq!(house.wire.told()[told..], [Told::HistoryDeleted(opened.session_id.clone())]);
    assert_eq!(house.host().journal.central_session(&opened.session_id).unwrap(), None);
    stop.cancel();
    task.await.unwrap();
    house.stop().await;
}
