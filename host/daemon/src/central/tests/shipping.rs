//! What arrives at the centre, in which order, whatever is cut off when.

use lanyard_governance_api::artifact::ArtifactType;
use lanyard_ports::journal::{Baseline, NewEvent, SessionProgress};
use lanyard_protocol::approval::ChangeKind;
use lanyard_protocol::event::{
    ApprovalRequested, EventBody, SessionStarted, TaskCompleted, TaskStarted, ToolCompleted, Usage,
};
use lanyard_protocol::id::{EventId, MessageId, StepId, ToolCallId};
use lanyard_protocol::message::{ConversationMessage, Role};
use lanyard_protocol::method::{DeleteSession, EndSession, PatchPreview};
use lanyard_protocol::policy::{Approver, RedactionRule};
use lanyard_protocol::session::{ModelInfo, SessionState, TaskOptions, TaskState, TaskSummary};
use lanyard_protocol::tool::{ToolResult, ToolStatus, artifact_uri};

use super::*;
use crate::central::ship::Shipper;

impl House {
    pub(super) fn ship(&self) -> (CancellationToken, tokio::task::JoinHandle<()>) {
        let host = self.host();
        let shipper = Shipper {
            host: host.clone(),
            journal: host.journal.clone(),
            artifacts: host.artifacts.clone(),
            wire: host.centre.tie().enrolled().unwrap().way.wire(&host.centre.redaction).unwrap(),
            clock: host.clock.clone(),
            commits: host.centre.bells.sessions.clone(),
            contact: host.centre.contact.subscribe(),
            sent_at: host.centre.sent_at.clone(),
        };
        let stop = CancellationToken::new();
        (stop.clone(), tokio::spawn(shipper.run(stop)))
    }

    pub(super) fn event(&self, opened: &SessionOpened, body: EventBody) -> Write {
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
    pub(super) async fn work_in(&self, opened: &SessionOpened, messages: usize) -> Vec<u8> {
        self.work_in_saying(opened, messages, "x").await
    }

    /// The same, with something said everywhere.
    async fn work_in_saying(&self, opened: &SessionOpened, messages: usize, said: &str) -> Vec<u8> {
        let host = self.host();
        let mut output = vec![b'x'; 700_000];
        // Across the pieces that it is read in.
        let at = (256 << 10) - 3;
        output.splice(at..at + said.len(), said.bytes());
        let prompt = match said {
            "x" => "the prompt".to_owned(),
            said => format!("{said}: the prompt"),
        };
        let artifact = host.artifacts.put(&opened.session_id, &output).unwrap();
        let started = TaskStarted {
            prompt: prompt.clone(),
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
            output_text: Some(said.to_owned()),
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
        let ended = TaskCompleted { text: format!("done {said}"), steps: 1, usage };
        let at = host.clock.now();
        let summary = TaskSummary {
            task_id: TaskId::new("task_1").unwrap(),
            prompt: prompt.clone(),
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
            name: Some(prompt),
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
                content: if said == "x" { format!("message {n}") } else { format!("{said}\n{n}") },
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

    /// A file that task_1 has changed: what it was, and what it is now.
    async fn changed(&self, opened: &SessionOpened, name: &str, was: &str, is: &str) {
        let host = self.host();
        let path = self.work().join(name);
        std::fs::write(&path, is).unwrap();
        let baseline = Baseline {
            session_id: opened.session_id.clone(),
            task_id: TaskId::new("task_1").unwrap(),
            path,
            content: Some(host.artifacts.put(&opened.session_id, was.as_bytes()).unwrap()),
            change: ChangeKind::Modified,
        };
        host.journal.commit(vec![Write::Baseline(Box::new(baseline))]).await.unwrap();
    }

    pub(super) async fn all_sent(&self) {
        until(|| self.host().journal.log_backlog().unwrap().sessions == 0).await;
    }
}

pub(super) fn artifacts(told: &[Told]) -> Vec<(&ArtifactQuery, &[u8])> {
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
    let events = place(|told| matches!(told, Told::Events(seqs, _) if *seqs == [1, 2, 3, 4, 5]));
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
async fn what_a_task_changed_goes_before_the_history_and_without_what_the_policy_names() {
    let rule = RedactionRule { name: "keys".into(), pattern: r"sk-\w+".into(), replacement: "[key]".into() };
    let house = House::new(Played { redaction: vec![rule], ..Played::default() });
    house.enrol(false, false).await;
    let opened = house.session().await.unwrap();
    house.changed(&opened, "a.env", "KEY=none\n", "KEY=sk-secret\n").await;
    house.changed(&opened, "same.txt", "as it was\n", "as it was\n").await;
    house.work_in(&opened, 1).await;
    let (stop, task) = house.ship();
    house.all_sent().await;
    let told = house.wire.told();
    let kept = artifacts(&told);
    let types: Vec<_> = kept.iter().map(|(query, _)| query.artifact_type).collect();
    assert_eq!(types, [ArtifactType::ToolOutput, ArtifactType::FileDiff, ArtifactType::SessionHistory]);
    let (query, content) = kept[1];
    assert_eq!(query.task_id, Some(TaskId::new("task_1").unwrap()));
    let preview: PatchPreview = serde_json::from_slice(content).unwrap();
    let [file] = preview.files.as_slice() else { panic!("{:?}", preview.files) };
    assert!(file.path.ends_with("a.env") && file.diff.contains("-KEY=none"), "{file:?}");
    assert!(file.diff.contains("+KEY=[key]") && !file.diff.contains("secret"), "{file:?}");
    stop.cancel();
    task.await.unwrap();
    house.stop().await;
}

/// Secrets wherever somebody may have written them.
const SECRET: &str = "hush-7";

#[tokio::test]
async fn nothing_is_sent_that_the_policy_names_though_the_host_was_started_again_and_its_session_ended() {
    let rule = RedactionRule { name: "h".into(), pattern: "hush-\\d".into(), replacement: "[gone]".into() };
    let house = House::new(Played { redaction: vec![rule], ..Played::default() });
    house.enrol(false, false).await;
    let opened = house.session_named(&format!("about {SECRET}")).await.unwrap();
    house.changed(&opened, "a.txt", "before\n", &format!("{SECRET}\n")).await;
    house.work_in_saying(&opened, 3, SECRET).await;
    let end = EndSession { session_id: opened.session_id.clone(), command_id: None };
    handle(house.host(), &owner().unwrap(), Request::EndSession(end)).await.unwrap();
    let (dir, wire) = house.stop().await;
    let house = House::open(dir, wire);
    house.enrol(false, false).await;
    let (stop, task) = house.ship();
    house.all_sent().await;
    let told = house.wire.told();
    let words: Vec<_> = told.iter().filter(|told| !matches!(told, Told::Artifact(..))).collect();
    let all = format!("{words:?}");
    assert!(!all.contains(SECRET), "{all}");
    let texts = artifacts(&told).into_iter().map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned());
    let texts: Vec<String> = texts.collect();
    assert_eq!(texts.len(), 3);
    assert!(texts.iter().all(|text| text.contains("[gone]") && !text.contains(SECRET)), "{texts:?}");
    assert!(told.iter().any(|told| matches!(told, Told::Named(name) if name == "[gone]: the prompt")));
    assert!(told.iter().any(|told| matches!(told, Told::Events(_, json) if json.contains("[gone]"))));
    stop.cancel();
    task.await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn a_question_is_told_exactly_and_shown_in_the_timeline_without_what_the_policy_names() {
    let rule = RedactionRule { name: "h".into(), pattern: "hush-\\d".into(), replacement: "[gone]".into() };
    let house = House::new(Played { redaction: vec![rule], ..Played::default() });
    house.enrol(false, false).await;
    let opened = house.session().await.unwrap();
    let mut asked = super::commands::question(&opened, Approver::Any, "owner");
    asked.request.action_summary = format!("curl -H {SECRET}");
    let event = EventBody::ApprovalRequested(ApprovalRequested { approval: asked.request.clone() });
    let rows = vec![Write::Approval(Box::new(asked.clone())), house.event(&opened, event)];
    house.host().journal.commit(rows).await.unwrap();
    let (stop, task) = house.ship();
    house.all_sent().await;
    let told = house.wire.told();
    let exact = |told: &Told| matches!(told, Told::Approval(report) if report.record == asked);
    assert!(told.iter().any(exact), "who answers sees what will run");
    let shown = |told: &Told| matches!(told, Told::Events(_, json) if json.contains("curl -H [gone]"));
    assert!(told.iter().any(shown));
    stop.cancel();
    task.await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn rules_that_cannot_be_read_hold_everything_back_until_they_can() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let opened = house.session().await.unwrap();
    house.work_in(&opened, 1).await;
    let (dir, wire) = house.stop().await;
    let rules = dir.path().join("state/central/redaction.toml");
    let kept = std::fs::read(&rules).unwrap();
    std::fs::write(&rules, "rules = \"").unwrap();
    let house = House::open(dir, wire);
    house.enrol(false, false).await;
    let (stop, task) = house.ship();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(matches!(house.wire.told().as_slice(), [Told::Created(_)]));
    // What the next session is granted brings them.
    house.session_named("another").await.unwrap();
    let named = |told: &Told| matches!(told, Told::Created(request) if request.name.is_some());
    assert!(!house.wire.told().iter().any(named));
    assert_eq!(std::fs::read(&rules).unwrap(), kept);
    house.all_sent().await;
    stop.cancel();
    task.await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn what_the_policy_does_not_let_this_host_upload_stays_here_and_the_rest_is_told() {
    let small = CapabilityGrant {
        max_file_size_bytes: Some(100_000),
        ..CapabilityGrant::unlimited(Capability::WorkspaceUpload)
    };
    for (upload, expected) in [(None, vec![]), (Some(small), vec![ArtifactType::SessionHistory])] {
        let house = House::new(Played { upload, ..Played::default() });
        house.enrol(false, false).await;
        let opened = house.session().await.unwrap();
        house.work_in(&opened, 3).await;
        let (stop, task) = house.ship();
        house.all_sent().await;
        let told = house.wire.told();
        let sent: Vec<_> = artifacts(&told).iter().map(|(query, _)| query.artifact_type).collect();
        assert_eq!(sent, expected, "the output has 700,000 bytes");
        assert!(told.iter().any(|told| matches!(told, Told::Events(..))), "the timeline is another matter");
        assert!(told.iter().any(|told| matches!(told, Told::Ended(..))));
        stop.cancel();
        task.await.unwrap();
        house.stop().await;
    }
}

#[tokio::test]
async fn a_thread_that_is_too_long_is_said_to_be() {
    let few = CapabilityGrant {
        max_file_size_bytes: Some(600),
        ..CapabilityGrant::unlimited(Capability::WorkspaceUpload)
    };
    let house = House::new(Played { upload: Some(few), ..Played::default() });
    house.enrol(false, false).await;
    let opened = house.session().await.unwrap();
    house.work_in(&opened, 40).await;
    let (stop, task) = house.ship();
    house.all_sent().await;
    assert!(artifacts(&house.wire.told()).is_empty());
    let now = Some(house.host().clock.now());
    let contact = crate::central::Contact { reached: true, since: now, last_ok: now, ..Default::default() };
    house.host().centre.contact.send_replace(contact);
    let check = &crate::central::check(house.host()).unwrap()[0];
    assert!(check.message.contains("The thread of one session is too long"), "{}", check.message);
    stop.cancel();
    task.await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn where_the_tenant_wants_no_timeline_only_the_history_holds_what_was_said() {
    let house = House::new(Played { timeline: false, ..Played::default() });
    house.enrol(false, false).await;
    let opened = house.session().await.unwrap();
    house.changed(&opened, "a.txt", "before\n", "after\n").await;
    house.work_in(&opened, 1).await;
    let (stop, task) = house.ship();
    house.all_sent().await;
    let told = house.wire.told();
    assert!(!told.iter().any(|told| matches!(told, Told::Events(..) | Told::Named(_))));
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
        assert!(times(|told| matches!(told, Told::Events(..))) >= 1);
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
    let whole = |told: &Told| matches!(told, Told::Events(seqs, _) if *seqs == [1, 2, 3, 4, 5]);
    assert!(house.wire.told().iter().any(whole));
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
    assert!(!house.wire.told().iter().any(|told| matches!(told, Told::Events(..))));
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
