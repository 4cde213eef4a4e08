//! Jobs: claimed, judged like every call, run at most once, told.

use lanyard_ports::journal::{CallPhase, CallRecord, Cursor, Replay};
use lanyard_protocol::approval::{ApprovalRecord, Decision};
use lanyard_protocol::event::EventBody;
use lanyard_protocol::method::{CancelTask, StartTask};
use lanyard_protocol::session::SessionState;
use lanyard_protocol::tool::ToolStatus;
use serde_json::json;

use super::*;
use crate::central::jobs::recover;

impl House {
    pub(super) async fn begin(&self, job: &JobId) -> Result<(), WireError> {
        self.host().centre.jobs().begin(self.host(), job.clone(), None).await
    }

    /// Until the job is over and its note gone.
    pub(super) async fn over(&self, job: &JobId) -> JobProgress {
        let jobs = self.host().centre.jobs();
        until(|| !jobs.knows(job)).await;
        self.wire.last_job()
    }

    pub(super) async fn asked(&self) -> ApprovalRecord {
        let waiting = || self.host().journal.approvals(None, false, 9).unwrap().pop();
        until(|| waiting().is_some()).await;
        waiting().unwrap()
    }

    fn events(&self, session: &SessionId) -> Vec<String> {
        let page = self.host().journal.events(session, Cursor::After(0), 100).unwrap();
        page.events.iter().map(|event| event.body.name().to_owned()).collect()
    }

    pub(super) fn write_job(&self) -> JobId {
        self.job("WriteFile", json!({"path": "new.txt", "content": "hello"}), ANN)
    }
}

#[tokio::test]
async fn without_the_owners_consent_a_job_is_denied_in_a_sentence() {
    let house = House::new(Played::default());
    house.enrol(false, true).await;
    let job = house.write_job();
    let refused = house.begin(&job).await.unwrap_err();
    assert!(refused.code == ErrorCode::Unauthorized && refused.message.contains("owner"), "{refused}");
    assert_eq!(house.wire.states(), [], "the refusal of the command is the answer");
    house.stop().await;
}

#[tokio::test]
async fn a_job_runs_in_a_session_of_its_own_and_its_log_reads_like_a_tasks() {
    let house = House::new(Played::default());
    house.enrol(true, false).await;
    std::fs::write(house.work().join("a.txt"), "the text").unwrap();
    let job = house.job("ReadFile", json!({"path": "a.txt"}), ANN);
    house.begin(&job).await.unwrap();
    house.begin(&job).await.unwrap();
    let told = house.over(&job).await;
    assert_eq!(
        house.wire.states(),
        [JobState::Leased, JobState::Leased, JobState::Running, JobState::Succeeded]
    );
    assert!(told.result.as_ref().unwrap().output_text.as_ref().unwrap().contains("the text"));
    let session = told.session_id.unwrap();
    let names = house.events(&session);
    let expected = [
        "session_created",
        "session_started",
        "task_started",
        "step_started",
        "tool_requested",
        "policy_decided",
        "tool_completed",
        "step_completed",
        "task_completed",
        "session_completed",
    ];
    assert_eq!(names, expected);
    let record = house.host().journal.session(&session).unwrap();
    assert_eq!(
        (record.summary.state, record.summary.name.as_str()),
        (SessionState::SessionCompleted, "Look at it")
    );
    assert_eq!(record.created_by.id.as_str(), "central:ann");
    let row = house.host().journal.central_session(&session).unwrap().unwrap();
    assert_eq!(row.job_id.as_deref(), Some(job.as_str()));
    // A host that starts finds nothing to tell.
    house.stop().await;
}

#[tokio::test]
async fn both_policies_judge_it_and_a_workspace_elsewhere_is_refused_links_resolved() {
    let house = House::new(Played::default());
    house.enrol(true, false).await;
    let outside = tempfile::tempdir().unwrap();
    let job = house.job("ReadFile", json!({"path": "/etc/hostname"}), ANN);
    house.begin(&job).await.unwrap();
    assert_eq!(house.over(&job).await.state, JobState::Denied);
    let link = house.work().join("link");
    std::os::unix::fs::symlink(outside.path(), &link).unwrap();
    for elsewhere in [outside.path().to_owned(), link, "relative".into(), house.work().join("..")] {
        let job = house.job("ListDirectory", json!({"path": "."}), ANN);
        house.wire.book().jobs.get_mut(&job).unwrap().workspace = elsewhere.display().to_string();
        house.begin(&job).await.unwrap();
        let told = house.over(&job).await;
        assert_eq!((told.state, told.session_id), (JobState::Denied, None), "{}", elsewhere.display());
    }
    house.stop().await;
}

#[tokio::test]
async fn whoever_dispatched_it_is_not_its_approver_and_somebody_else_is() {
    let house = House::new(Played::default());
    house.enrol(true, true).await;
    let job = house.write_job();
    house.begin(&job).await.unwrap();
    let asked = house.asked().await;
    assert_eq!(asked.request.initiator, central(ANN).id);
    let refused = house.decide(&asked, ANN, Decision::Approved, 1).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unauthorized);
    assert!(!house.work().join("new.txt").exists());
    house.decide(&asked, BOB, Decision::Approved, 2).await.unwrap();
    assert_eq!(house.over(&job).await.state, JobState::Succeeded);
    assert_eq!(std::fs::read_to_string(house.work().join("new.txt")).unwrap(), "hello");
    // The same command again, after a crash say, is the same answer.
    house.decide(&asked, BOB, Decision::Approved, 2).await.unwrap();
    let late = house.decide(&asked, "carl", Decision::Denied, 3).await.unwrap_err();
    assert!(late.code == ErrorCode::Conflict && late.message.contains("central:bob"), "{late}");
    house.stop().await;
}

#[tokio::test]
async fn it_does_not_begin_when_the_centre_has_not_confirmed_that_it_may() {
    let house = House::new(Played::default());
    house.enrol(true, false).await;
    std::fs::write(house.work().join("a.txt"), "the text").unwrap();
    let job = house.job("ReadFile", json!({"path": "a.txt"}), ANN);
    // The claim, the session and its name are taken, the word that it runs is not.
    house.wire.refuse_after(3, WireError::new(ErrorCode::Conflict, "another host has it"));
    house.begin(&job).await.unwrap();
    let told = house.over(&job).await;
    assert_eq!(told.state, JobState::Cancelled);
    assert!(told.reason.unwrap().contains("another host has it"));
    let call = told.result.unwrap();
    let record = house.host().journal.call(&call.session_id, &call.tool_call_id).unwrap().unwrap();
    assert!(record.phase < CallPhase::Started);
    assert_eq!(house.events(&call.session_id).iter().filter(|name| *name == "tool_completed").count(), 1);
    house.stop().await;
}

#[tokio::test]
async fn a_cancelled_job_takes_its_question_back() {
    let house = House::new(Played::default());
    house.enrol(true, false).await;
    let job = house.write_job();
    house.begin(&job).await.unwrap();
    let asked = house.asked().await;
    let session = asked.request.session_id.clone();
    let start: StartTask =
        serde_json::from_value(json!({"sessionId": session, "prompt": "meanwhile"})).unwrap();
    let refused = handle(house.host(), &owner().unwrap(), Request::StartTask(start)).await.unwrap_err();
    assert!(refused.message.contains("a job of the central services runs"), "{refused}");
    house.host().centre.jobs().cancel(&job, "it was cancelled at the centre");
    let told = house.over(&job).await;
    assert_eq!(
        (told.state, told.reason.as_deref()),
        (JobState::Cancelled, Some("it was cancelled at the centre"))
    );
    assert!(house.host().journal.approvals(None, false, 9).unwrap().is_empty());
    assert!(!house.work().join("new.txt").exists());
    house.stop().await;
}

#[tokio::test]
async fn the_owner_at_the_machine_can_cancel_it_too() {
    let house = House::new(Played::default());
    house.enrol(true, false).await;
    let job = house.write_job();
    house.begin(&job).await.unwrap();
    let asked = house.asked().await;
    let cancel: CancelTask = serde_json::from_value(
        json!({"sessionId": asked.request.session_id, "taskId": asked.request.task_id}),
    )
    .unwrap();
    handle(house.host(), &owner().unwrap(), Request::CancelTask(cancel)).await.unwrap();
    let told = house.over(&job).await;
    assert_eq!(told.state, JobState::Cancelled);
    assert!(told.reason.unwrap().contains("owner cancelled"));
    house.stop().await;
}

#[tokio::test]
async fn a_job_that_was_under_way_when_the_host_died_is_indeterminate_and_not_repeated() {
    let house = House::new(Played::default());
    house.enrol(true, false).await;
    let job = house.write_job();
    house.begin(&job).await.unwrap();
    let asked = house.asked().await;
    let note = house.host().centre.jobs().notes().left().pop().unwrap();
    // As a host leaves it that dies while the tool runs: its file, and the call STARTED in the log.
    let (session, call) = (asked.request.session_id.clone(), asked.request.tool_call_id.clone());
    let record = house.host().journal.call(&session, &call).unwrap().unwrap();
    for phase in [CallPhase::Authorized, CallPhase::Started] {
        let row = CallRecord { phase, replay: Replay::PureRead, ..record.clone() };
        house.host().journal.commit(vec![Write::Call(Box::new(row))]).await.unwrap();
    }
    house.host().centre.jobs().lose();
    recover(house.host().clone(), house.wire.clone(), CancellationToken::new()).await;
    let told = house.wire.last_job();
    assert_eq!((told.state, &told.lease_key), (JobState::Indeterminate, &note.lease));
    assert!(!house.work().join("new.txt").exists());
    assert!(!house.host().centre.jobs().notes().holds(&job));
    let names = house.events(&session);
    assert!(names.ends_with(&["task_failed".to_owned(), "session_completed".to_owned()]), "{names:?}");
    house.stop().await;
}

#[tokio::test]
async fn a_job_that_waited_when_the_host_died_is_given_back_with_its_question() {
    let house = House::new(Played::default());
    house.enrol(true, false).await;
    let job = house.write_job();
    house.begin(&job).await.unwrap();
    let asked = house.asked().await;
    let note = house.host().centre.jobs().notes().left().pop().unwrap();
    let session = asked.request.session_id.clone();
    let (dir, wire) = house.stop().await;
    // A host that stops in order has told already: here one that died.
    let told = wire.last_job();
    assert_eq!(told.state, JobState::Cancelled, "{told:?}");
    let house = House::open(dir, wire);
    house.enrol(true, false).await;
    house.host().centre.jobs().notes().keep(&note).unwrap();
    recover(house.host().clone(), house.wire.clone(), CancellationToken::new()).await;
    let told = house.wire.last_job();
    assert_eq!((told.state, told.session_id), (JobState::Cancelled, Some(session)));
    house.stop().await;
}

#[tokio::test]
async fn an_outcome_that_was_not_taken_is_told_by_the_next_host() {
    let house = House::new(Played::default());
    house.enrol(true, false).await;
    std::fs::write(house.work().join("a.txt"), "the text").unwrap();
    let job = house.job("ReadFile", json!({"path": "a.txt"}), ANN);
    // Claim, session, its name, running; then the line is cut.
    house.wire.refuse_after(4, unreachable());
    house.begin(&job).await.unwrap();
    until(|| house.host().centre.jobs().notes().left().iter().any(|note| note.outcome.is_some())).await;
    let (dir, wire) = house.stop().await;
    let house = House::open(dir, wire);
    house.enrol(true, false).await;
    recover(house.host().clone(), house.wire.clone(), CancellationToken::new()).await;
    let told = house.wire.last_job();
    assert_eq!(told.state, JobState::Succeeded);
    assert_eq!(told.result.unwrap().status, ToolStatus::Succeeded);
    let runs = house.wire.states().iter().filter(|state| **state == JobState::Running).count();
    assert_eq!(runs, 1);
    let session = told.session_id.unwrap();
    let page = house.host().journal.events(&session, Cursor::After(0), 100).unwrap();
    let ran = page.events.iter().filter(|event| matches!(event.body, EventBody::ToolCompleted(_))).count();
    assert_eq!(ran, 1);
    house.stop().await;
}

#[tokio::test]
async fn a_job_that_runs_goes_on_whatever_the_centre_takes_it_for_meanwhile() {
    let house = House::new(Played::default());
    house.enrol(true, false).await;
    let jobs = house.host().centre.jobs();
    jobs.renew_every(Duration::from_millis(50));
    let pipe = house.work().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let job = house.job("RunCommand", json!({"argv": ["cat", "pipe"]}), ANN);
    house.begin(&job).await.unwrap();
    let asked = house.asked().await;
    let answer = json!({"sessionId": asked.request.session_id, "approvalId": asked.request.approval_id,
                        "decision": "approved"});
    let answer = serde_json::from_value(answer).unwrap();
    handle(house.host(), &owner().unwrap(), Request::ApproveAction(answer)).await.unwrap();
    until(|| house.wire.states().contains(&JobState::Running)).await;
    house.wire.refuse_after(0, WireError::new(ErrorCode::Conflict, "the job is over: indeterminate"));
    until(|| house.wire.book().refuse.is_empty()).await;
    let heard = house.wire.states().len();
    until(|| house.wire.states().len() > heard).await;
    std::fs::write(&pipe, "the end").unwrap();
    let told = house.over(&job).await;
    assert_eq!(told.state, JobState::Succeeded, "{told:?}");
    assert!(told.result.unwrap().output_text.unwrap().contains("the end"));
    house.stop().await;
}

#[tokio::test]
async fn a_revoked_policy_ends_a_job_that_waits() {
    let house = House::new(Played::default());
    house.enrol(true, false).await;
    let job = house.write_job();
    house.begin(&job).await.unwrap();
    house.asked().await;
    let news = lanyard_ports::authority::PolicyNews { epoch: 2, revoked: Some("Ann: leaked".to_owned()) };
    house.host().centre.take_news(news).unwrap();
    let told = house.over(&job).await;
    assert!(matches!(told.state, JobState::Cancelled | JobState::Denied), "{told:?}");
    assert!(told.reason.unwrap().contains("Ann: leaked"));
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_begins_while_the_owner_takes_the_consent_back_does_not_slip_in() {
    let house = House::new(Played::default());
    house.enrol(true, false).await;
    let job = house.write_job();
    let host = house.host().clone();
    let (begun, jobs) = {
        let jobs = host.centre.jobs();
        let held = jobs.hold();
        let (other, same) = (host.clone(), job.clone());
        let begun = tokio::spawn(async move { other.centre.jobs().begin(&other, same, None).await });
        // It has come as far as it can.
        std::thread::sleep(Duration::from_millis(200));
        let Tie::Enrolled(enrolled) = host.centre.tie() else { panic!() };
        let said = Consent { accept_jobs: false, ..enrolled.consent };
        let withdrawn = Enrolled { consent: said, ..Enrolled::clone(&enrolled) };
        host.centre.tie.send_replace(Tie::Enrolled(Arc::new(withdrawn)));
        drop(held);
        (begun, jobs)
    };
    jobs.cancel_all("the owner of the machine takes no jobs any more");
    let refused = begun.await.unwrap().unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unauthorized);
    assert!(!jobs.knows(&job));
    assert_eq!(house.wire.states(), []);
    drop(host);
    house.stop().await;
}

#[tokio::test]
async fn a_job_that_was_begun_before_ends_when_the_owner_takes_no_jobs_any_more() {
    let house = House::new(Played::default());
    house.enrol(true, false).await;
    let job = house.write_job();
    house.begin(&job).await.unwrap();
    // It is in the map when the command is answered, although nothing has run yet.
    house.host().centre.jobs().cancel_all("the owner of the machine takes no jobs any more");
    until(|| !house.host().centre.jobs().knows(&job)).await;
    assert!(!house.work().join("new.txt").exists());
    assert!(!house.wire.states().contains(&JobState::Running));
    house.stop().await;
}
