//! What arrives at the centre, in which order, whatever is cut off when.

use lanyard_governance_api::artifact::ArtifactType;
use lanyard_ports::journal::{NewEvent, SessionProgress};
use lanyard_protocol::event::{EventBody, SessionStarted, TaskCompleted, TaskStarted, ToolCompleted, Usage};
use lanyard_protocol::id::{EventId, MessageId, StepId, ToolCallId};
use lanyard_protocol::message::{ConversationMessage, Role};
use lanyard_protocol::method::DeleteSession;
use lanyard_protocol::session::{ModelInfo, SessionState, TaskOptions, TaskState, TaskSummary};
use lanyard_protocol::tool::{ToolResult, ToolStatus, artifact_uri};

use super::*;
use crate::central::ship::Shipper;

impl House {
    fn ship(&self) -> (CancellationToken, tokio::task::JoinHandle<()>) {
        let host = self.host();
        let shipper = Shipper {
            journal: host.journal.clone(),
            artifacts: host.artifacts.clone(),
            wire: self.wire.clone(),
            clock: host.clock.clone(),
            commits: host.centre.bells.sessions.clone(),
            contact: host.centre.contact.subscribe(),
            sent_at: host.centre.sent_at.clone(),
        };
        let stop = CancellationToken::new();
        (stop.clone(), tokio::spawn(shipper.run(stop)))
    }

    fn event(&self, opened: &SessionOpened, body: EventBody) -> Write {
        Write::Event(Box::new(NewEvent {
            event_id: EventId::new(self.host().ids.fresh("evt")).unwrap(),
            workspace_id: opened.workspace_id.clone(),
            session_id: opened.session_id.clone(),
            task_id: Some(TaskId::new("task_1").unwrap()),
            step_id: None,
            timestamp: self.host().clock.now(),
            body,
        }))
    }

    /// A task with `messages` in its thread and one output that is kept whole elsewhere.
    async fn work_in(&self, opened: &SessionOpened, messages: usize) -> Vec<u8> {
        let host = self.host();
        let output = vec![b'x'; 700_000];
        let artifact = host.artifacts.put(&opened.session_id, &output).unwrap();
        let started = TaskStarted {
            prompt: "the prompt".to_owned(),
            options: TaskOptions::default(),
            initiator: owner().unwrap(),
            model: ModelInfo { name: "m".into(), endpoint: "".into(), demo: true, source: "demo".into() },
            instructions: Vec::new(),
        };
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
        let usage = Usage { input_tokens: 3, output_tokens: 4 };
        let ended = TaskCompleted { text: "done".to_owned(), steps: 1, usage };
        let at = host.clock.now();
        let summary = TaskSummary {
            task_id: TaskId::new("task_1").unwrap(),
            prompt: "the prompt".to_owned(),
            state: TaskState::Completed,
            steps: 1,
            error: None,
            started_at: at,
            ended_at: Some(at),
        };
        let progress = SessionProgress {
            session_id: opened.session_id.clone(),
            state: Some(SessionState::SessionRunning),
            task: Some(summary),
            name: Some("the prompt".to_owned()),
            add_tokens: 7,
            at,
        };
        let begun = SessionStarted { policy_bundle_version: "1".to_owned() };
        let mut batch = vec![
            self.event(opened, EventBody::SessionStarted(begun)),
            self.event(opened, EventBody::TaskStarted(started)),
        ];
        batch.extend((0..messages).map(|n| {
            Write::Message(Box::new(ConversationMessage {
                message_id: MessageId::new(format!("msg_{n}")).unwrap(),
                session_id: opened.session_id.clone(),
                task_id: None,
                step_id: None,
                role: Role::User,
                content: format!("message {n}"),
                tool_calls: Vec::new(),
                tool_call_id: None,
                token_count: None,
                provenance: None,
                timestamp: at,
            }))
        }));
        batch.push(self.event(opened, EventBody::ToolCompleted(ran)));
        batch.push(self.event(opened, EventBody::TaskCompleted(ended)));
        batch.push(Write::Progress(Box::new(progress)));
        host.journal.commit(batch).await.unwrap();
        output
    }

    async fn all_sent(&self) {
        until(|| self.host().journal.log_backlog().unwrap().sessions == 0).await;
    }
}

fn artifacts(told: &[Told]) -> Vec<(&ArtifactQuery, &[u8])> {
    let found = told.iter().filter_map(|told| match told {
        Told::Artifact(_, query, bytes) => Some((&**query, bytes.as_slice())),
        _ => None,
    });
    found.collect()
}

#[tokio::test]
async fn a_task_arrives_whole_and_in_an_order_that_makes_sense() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let opened = house.session().await.unwrap();
    let output = house.work_in(&opened, 40).await;
    let (stop, task) = house.ship();
    house.all_sent().await;
    let told = house.wire.told();
    let place = |what: fn(&Told) -> bool| told.iter().position(what).unwrap();
    let begun =
        place(|told| matches!(told, Told::Task(task) if task.prompt.as_deref() == Some("the prompt")));
    let events = place(|told| matches!(told, Told::Events(seqs) if *seqs == [1, 2, 3, 4, 5]));
    let ended = place(|told| matches!(told, Told::Ended(_, done) if done.tokens == 7 && done.steps == 1));
    assert!(begun < events && events < ended);
    assert!(told.contains(&Told::Named("the prompt".to_owned())));
    assert!(told.iter().any(|told| matches!(told, Told::Spans(2))), "a tool and a task");
    let kept = artifacts(&told);
    let [(tool, whole), (history, thread)] = kept.as_slice() else { panic!("{}", kept.len()) };
    assert_eq!((tool.artifact_type, *whole), (ArtifactType::ToolOutput, output.as_slice()));
    assert_eq!((history.artifact_type, history.seq), (ArtifactType::SessionHistory, Some(5)));
    let lines: Vec<ConversationMessage> = thread
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect();
    assert_eq!(lines.len(), 40);
    assert_eq!(lines[39].content, "message 39");
    // Nothing more happens, nothing more is said.
    let before = told.len();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(house.wire.told().len(), before);
    stop.cancel();
    task.await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn where_the_tenant_wants_no_timeline_only_the_history_holds_what_was_said() {
    let house = House::new(Played { timeline: false, ..Played::default() });
    house.enrol(false, false).await;
    let opened = house.session().await.unwrap();
    house.work_in(&opened, 1).await;
    let (stop, task) = house.ship();
    house.all_sent().await;
    let told = house.wire.told();
    assert!(!told.iter().any(|told| matches!(told, Told::Events(_) | Told::Named(_))));
    assert!(told.iter().any(|told| matches!(told, Told::Task(task) if task.prompt.is_none())));
    assert_eq!(artifacts(&told).len(), 1);
    stop.cancel();
    task.await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn a_page_that_was_cut_off_anywhere_is_sent_again_from_its_beginning() {
    for fine in 0..9 {
        let house = House::new(Played::default());
        house.enrol(false, false).await;
        let opened = house.session().await.unwrap();
        house.work_in(&opened, 3).await;
        house.wire.refuse_after(fine, unreachable());
        let (stop, task) = house.ship();
        house.all_sent().await;
        let told = house.wire.told();
        let times = |what: fn(&Told) -> bool| told.iter().filter(|told| what(told)).count();
        let history = |told: &Told| matches!(told, Told::Artifact(_, query, _) if query.seq == Some(5));
        assert_eq!(times(history), 1, "the history is the last thing of a page ({fine})");
        assert!(times(|told| matches!(told, Told::Events(_))) >= 1);
        assert!(times(|told| matches!(told, Told::Ended(..))) >= 1);
        let row = house.host().journal.central_session(&opened.session_id).unwrap().unwrap();
        assert_eq!(row.shipped_seq, 5);
        stop.cancel();
        task.await.unwrap();
        house.stop().await;
    }
}

#[tokio::test]
async fn events_that_the_centre_misses_are_sent_with_the_next() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let opened = house.session().await.unwrap();
    house.work_in(&opened, 1).await;
    house
        .host()
        .journal
        .commit(vec![Write::Shipped { session_id: opened.session_id.clone(), seq: 3 }])
        .await
        .unwrap();
    let gap = WireError::new(ErrorCode::Conflict, "events are missing").with("lastSeq", 0);
    house.wire.refuse_after(0, gap);
    let (stop, task) = house.ship();
    house.all_sent().await;
    assert!(house.wire.told().contains(&Told::Events(vec![1, 2, 3, 4, 5])));
    stop.cancel();
    task.await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn what_the_centre_will_never_take_does_not_hold_the_rest_up() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let opened = house.session().await.unwrap();
    house.work_in(&opened, 3).await;
    house.wire.refuse_after(2, WireError::new(ErrorCode::PayloadTooLarge, "too long"));
    let (stop, task) = house.ship();
    house.all_sent().await;
    assert!(!house.wire.told().iter().any(|told| matches!(told, Told::Events(_))));
    assert_eq!(artifacts(&house.wire.told()).len(), 2);
    stop.cancel();
    task.await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn a_session_that_cannot_be_sent_does_not_keep_the_others_waiting() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let (one, two) = (house.session().await.unwrap(), house.session().await.unwrap());
    house.wire.refuse_after(0, WireError::new(ErrorCode::InternalError, "it stumbles"));
    let (stop, task) = house.ship();
    house.all_sent().await;
    for opened in [one, two] {
        let row = house.host().journal.central_session(&opened.session_id).unwrap().unwrap();
        assert_eq!(row.shipped_seq, 1);
    }
    stop.cancel();
    task.await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn a_deleted_session_is_ended_at_the_centre_and_one_it_does_not_know_is_let_go() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let (one, two) = (house.session().await.unwrap(), house.session().await.unwrap());
    let delete = DeleteSession { session_id: one.session_id.clone(), command_id: None };
    handle(house.host(), &owner().unwrap(), Request::DeleteSession(delete)).await.unwrap();
    let (stop, task) = house.ship();
    house.all_sent().await;
    let told = house.wire.told();
    assert!(told.contains(&Told::Cancelled(one.session_id.clone())));
    assert!(told.contains(&Told::HistoryDeleted(one.session_id.clone())));
    assert_eq!(house.host().journal.central_session(&one.session_id).unwrap(), None);
    house.wire.refuse_after(0, WireError::new(ErrorCode::SessionNotFound, "never heard of it"));
    house.work_in(&two, 1).await;
    house.all_sent().await;
    assert_eq!(house.host().journal.central_session(&two.session_id).unwrap(), None);
    stop.cancel();
    task.await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn a_host_that_is_not_known_any_more_falls_silent() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    house.session().await.unwrap();
    house.wire.refuse_after(0, WireError::new(ErrorCode::AgentRevoked, "ended"));
    let (_stop, task) = house.ship();
    tokio::time::timeout(SOON, task).await.unwrap().unwrap();
    house.stop().await;
}
