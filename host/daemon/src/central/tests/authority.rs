//! What a session is opened under.

use lanyard_ports::authority::{CENTRAL_LAYER, PolicyNews, SessionClaim};
use lanyard_ports::journal::{Checkpoint, Cursor};
use lanyard_protocol::event::{EventBody, Usage};
use lanyard_protocol::id::StepId;
use lanyard_protocol::method::{DeleteSession, EndSession, GetHistory};
use lanyard_protocol::session::{SessionState, TaskOptions};

use super::*;
use crate::central::tie::Broken;

fn claim(house: &House, opened: &SessionOpened) -> SessionClaim {
    SessionClaim {
        session_id: opened.session_id.clone(),
        workspace_id: opened.workspace_id.clone(),
        roots: vec![house.work()],
        tenant_id: house.host().centre.tenant_id(),
        user_id: house.host().centre.user_id("owner"),
    }
}

/// The next opening does not profit from what was granted at the creation.
fn later(house: &House) {
    house.host().centre.fresh.lock().unwrap().clear();
}

#[tokio::test]
async fn a_host_that_belongs_to_itself_asks_nobody_and_has_no_directory_for_it() {
    let house = House::new(Played::default());
    let opened = house.session().await.unwrap();
    assert_eq!(opened.policy.policy_bundle_version, "local-1");
    assert_eq!((house.host().centre.tenant_id().as_str(), house.wire.told().len()), ("local", 0));
    assert!(!house.dir.path().join("state/central").exists());
    house.stop().await;
}

#[tokio::test]
async fn an_enrolled_hosts_session_has_both_layers_the_centres_workspace_and_one_request() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let opened = house.session().await.unwrap();
    assert_eq!(opened.policy.policy_bundle_version, "local-1 + central-7");
    assert_eq!(opened.workspace_id.as_str(), "ws_central");
    house.host().sessions.open(house.host(), &opened.session_id).await.unwrap();
    let told = house.wire.told();
    let [Told::Created(request)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(request.session_id.as_ref(), Some(&opened.session_id));
    assert!(request.supported_tools.iter().any(|tool| tool == "ReadFile"));
    assert!(request.supported_capabilities.iter().any(|c| c == "Shell.Exec"));
    let row = house.host().journal.central_session(&opened.session_id).unwrap().unwrap();
    assert_eq!((row.shipped_seq, row.timeline, row.workspace_id.as_str()), (0, true, "ws_central"));
    assert_eq!(house.host().centre.tenant_id(), "acme");
    house.stop().await;
}

#[tokio::test]
async fn what_was_granted_at_the_creation_serves_one_opening_and_no_doubt_later() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let opened = house.session().await.unwrap();
    house.host().sessions.open(house.host(), &opened.session_id).await.unwrap();
    assert_eq!(house.wire.told().len(), 1);
    // What is held does not count any more, seconds after the creation: the centre is asked.
    house.host().authority.issue(&claim(&house, &opened)).await.unwrap();
    let told = house.wire.told();
    assert!(matches!(told.as_slice(), [Told::Created(_), Told::Resumed(..)]), "{told:?}");
    house.stop().await;
}

#[tokio::test]
async fn a_session_that_does_not_fit_does_not_begin_and_says_why() {
    let house = House::new(Played { unfit: true, ..Played::default() });
    house.enrol(false, false).await;
    let error = house.session().await.unwrap_err();
    assert_eq!(error.code, ErrorCode::PolicyBundleInvalid);
    assert!(error.message.contains("the host is too old"), "{error}");
    assert_eq!(house.host().journal.list_sessions(None, None, 9).unwrap().0.len(), 0);
    house.stop().await;
}

#[tokio::test]
async fn a_session_from_before_the_enrolment_stays_here_and_can_be_read_and_ended() {
    let house = House::new(Played::default());
    let (one, two) = (house.session_named("before").await.unwrap(), house.session().await.unwrap());
    house.host().sessions.forget_idle();
    house.enrol(false, false).await;
    let refused = house.host().sessions.open(house.host(), &one.session_id).await.map(drop).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Conflict);
    assert!(refused.message.contains("before this host was enrolled"), "{refused}");
    assert!(refused.message.contains("start a new session"), "{refused}");
    assert!(refused.message.contains("--share-earlier-sessions"), "{refused}");
    let ask = async |request| handle(house.host(), &owner().unwrap(), request).await.unwrap();
    let history = GetHistory {
        session_id: one.session_id.clone(),
        after_seq: None,
        before_seq: None,
        limit: None,
        query: None,
    };
    ask(Request::GetHistory(history)).await;
    ask(Request::EndSession(EndSession { session_id: one.session_id.clone(), command_id: None })).await;
    let state =
        |opened: &SessionOpened| house.host().journal.session(&opened.session_id).unwrap().summary.state;
    assert_eq!(state(&one), SessionState::SessionCompleted);
    ask(Request::DeleteSession(DeleteSession { session_id: one.session_id, command_id: None })).await;
    assert_eq!((house.wire.told(), house.host().journal.unshipped(9).unwrap()), (vec![], vec![]));
    // The machine's own again, it goes on.
    house.host().journal.commit(vec![Write::Unenrol]).await.unwrap();
    house.host().centre.tie.send_replace(Tie::Alone);
    house.host().sessions.open(house.host(), &two.session_id).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn it_goes_on_where_the_owner_shares_it_under_its_own_ids_and_is_sent_whole() {
    let house = House::new(Played::default());
    let opened = house.session_named("before").await.unwrap();
    house.enrol(false, false).await;
    house.share_earlier_sessions();
    house.host().sessions.open(house.host(), &opened.session_id).await.unwrap();
    let told = house.wire.told();
    let [Told::Created(request)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(request.session_id.as_ref(), Some(&opened.session_id));
    assert_eq!(request.workspace_hint.workspace_id.as_ref(), Some(&opened.workspace_id));
    assert_eq!(request.name, None, "the centre has not said yet what must stay here");
    assert_eq!(house.host().journal.unshipped(9).unwrap().len(), 1, "its log is sent from the beginning");
    house.stop().await;
}

#[tokio::test]
async fn what_was_made_for_one_centre_is_never_told_another() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let opened = house.session().await.unwrap();
    // Lost by the centre, it is registered there again.
    let lost = Write::ForgetCentralSession(opened.session_id.clone());
    house.host().journal.commit(vec![lost]).await.unwrap();
    later(&house);
    house.host().sessions.open(house.host(), &opened.session_id).await.unwrap();
    house.host().sessions.forget_idle();
    house.host().journal.commit(vec![Write::Unenrol]).await.unwrap();
    house.enrol_as("agent_2", false, false).await;
    house.share_earlier_sessions();
    let before = house.wire.told().len();
    let refused = house.host().authority.issue(&claim(&house, &opened)).await.unwrap_err();
    assert!(refused.message.contains("an earlier enrolment"), "{refused}");
    assert_eq!((house.wire.told().len(), house.host().journal.unshipped(9).unwrap()), (before, vec![]));
    house.stop().await;
}

#[tokio::test]
async fn one_that_did_not_fit_is_registered_when_it_does_and_not_sent_before() {
    let house = House::new(Played { unfit: true, ..Played::default() });
    let opened = house.session().await.unwrap();
    house.enrol(false, false).await;
    house.share_earlier_sessions();
    let claim = claim(&house, &opened);
    let refused = house.host().authority.issue(&claim).await.unwrap_err();
    assert!(refused.message.contains("the host is too old"), "{refused}");
    assert_eq!(house.host().journal.unshipped(9).unwrap(), [], "it got no bundle");
    house.host().authority.issue(&claim).await.unwrap_err();
    let told = house.wire.told();
    assert!(matches!(told.as_slice(), [Told::Created(_), Told::Created(_)]), "{told:?}");
    house.stop().await;
}

#[tokio::test]
async fn known_sessions_are_resumed_and_those_the_centre_has_lost_are_registered_anew() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let opened = house.session().await.unwrap();
    let claim = claim(&house, &opened);
    later(&house);
    house.host().authority.issue(&claim).await.unwrap();
    assert_eq!(house.wire.told().last(), Some(&Told::Resumed(opened.session_id.clone())));
    house.wire.refuse_after(0, WireError::new(ErrorCode::SessionNotFound, "gone"));
    house.host().authority.issue(&claim).await.unwrap();
    assert!(matches!(house.wire.told().last(), Some(Told::Created(_))));
    house.wire.refuse_after(0, WireError::new(ErrorCode::SessionExpired, "over"));
    assert_eq!(house.host().authority.issue(&claim).await.unwrap_err().code, ErrorCode::SessionExpired);
    house.stop().await;
}

#[tokio::test]
async fn while_the_centre_is_away_open_sessions_go_on_by_what_is_kept_and_no_new_one_begins() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let opened = house.session().await.unwrap();
    house.wire.go_away();
    // A host that was started again remembers nothing but its files.
    let (dir, wire) = house.stop().await;
    let house = House::open(dir, wire);
    house.enrol(false, false).await;
    let issued = house.host().authority.issue(&claim(&house, &opened)).await.unwrap();
    let layers: Vec<_> = issued.bundles.iter().map(|bundle| bundle.layer).collect();
    assert_eq!(layers, ["local", CENTRAL_LAYER]);
    let error = house.session().await.unwrap_err();
    assert_eq!(error.code, ErrorCode::CentralUnavailable);
    // News that outrun what is kept end that.
    house.host().centre.take_news(PolicyNews { epoch: 2, revoked: None }).unwrap();
    let error = house.host().authority.issue(&claim(&house, &opened)).await.unwrap_err();
    assert!(error.code == ErrorCode::CentralUnavailable && error.message.contains("has changed"), "{error}");
    house.stop().await;
}

#[tokio::test]
async fn where_the_tenant_says_pause_nothing_goes_on_without_the_centre() {
    let house = House::new(Played { when_away: WhenAway::Pause, ..Played::default() });
    house.enrol(false, false).await;
    let opened = house.session().await.unwrap();
    house.wire.go_away();
    later(&house);
    let error = house.host().authority.issue(&claim(&house, &opened)).await.unwrap_err();
    assert!(error.message.contains("stand still"), "{error}");
    house.wire.come_back();
    assert!(house.host().authority.issue(&claim(&house, &opened)).await.unwrap().pause_when_away);
    house.stop().await;
}

#[tokio::test]
async fn an_enrolment_that_was_ended_or_cannot_be_read_never_falls_back_to_the_machines_own_policy() {
    let house = House::new(Played::default());
    let opened = house.session().await.unwrap();
    let reason = "the machine was lost".to_owned();
    for revoked in [true, false] {
        let broken = Broken { facts: None, consent: Consent::default(), reason: reason.clone(), revoked };
        house.host().centre.tie.send_replace(Tie::Broken(Arc::new(broken)));
        let error = house.session().await.unwrap_err();
        assert!(error.message.contains("the machine was lost") && error.message.contains("lanyard unenroll"));
        house.host().authority.issue(&claim(&house, &opened)).await.unwrap_err();
    }
    house.stop().await;
}

#[tokio::test]
async fn a_spoilt_identity_is_not_taken_for_none() {
    let house = House::new(Played::default());
    let (dir, wire) = house.stop().await;
    let central = dir.path().join("state/central");
    crate::state_dir::private_dir(&central).unwrap();
    crate::state_dir::write_private(&central.join("identity.json"), b"{}").unwrap();
    let house = House::open(dir, wire);
    assert!(matches!(house.host().centre.tie(), Tie::Broken(_)));
    house.session().await.unwrap_err();
    house.stop().await;
}

#[tokio::test]
async fn looking_at_files_needs_no_session_of_the_centre() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let opened = house.session().await.unwrap();
    let before = house.wire.told().len();
    let look = SessionClaim { session_id: SessionId::new("look_1").unwrap(), ..claim(&house, &opened) };
    assert_eq!(house.host().authority.issue(&look).await.unwrap().bundles.len(), 1);
    assert_eq!(house.wire.told().len(), before);
    let get = Request::GetPolicy(lanyard_protocol::method::GetPolicy {});
    let shown = handle(house.host(), &owner().unwrap(), get).await.unwrap();
    let Response::GetPolicy(shown) = shown.into_response() else { panic!() };
    assert_eq!(shown.layers, ["local", CENTRAL_LAYER], "people see what the centre last said");
    house.stop().await;
}

#[tokio::test]
async fn a_granted_gateway_is_the_sessions_model_and_its_bound_on_steps_the_tasks() {
    let gateway = LlmGateway {
        // Nobody listens there: the task fails, and only there.
        endpoint: "http://127.0.0.1:9/v1".to_owned(),
        auth_token: "short-lived".to_owned(),
        model: Some("tenant-model".to_owned()),
        expires_at: None,
    };
    let house = House::new(Played { gateway: Some(gateway), max_steps: 3, ..Played::default() });
    house.enrol(false, false).await;
    let opened = house.session().await.unwrap();
    assert_eq!((opened.model.name.as_str(), opened.model.source.as_str()), ("tenant-model", "central"));
    let start = serde_json::json!({
        "sessionId": opened.session_id, "prompt": "hello", "taskOptions": { "maxSteps": 40 },
    });
    let start = Request::StartTask(serde_json::from_value(start).unwrap());
    handle(house.host(), &owner().unwrap(), start).await.unwrap();
    let page = house.host().journal.events(&opened.session_id, Cursor::After(0), 9).unwrap();
    let started = page.events.into_iter().find_map(|event| match event.body {
        EventBody::TaskStarted(started) => Some(started),
        _ => None,
    });
    let started = started.unwrap();
    assert_eq!((started.options.max_steps, started.model.name.as_str()), (3, "tenant-model"));
    house.stop().await;
}

#[tokio::test]
async fn a_task_that_may_not_go_on_after_a_restart_pauses_and_says_why() {
    let house = House::new(Played { when_away: WhenAway::Pause, ..Played::default() });
    house.enrol(false, false).await;
    let opened = house.session().await.unwrap();
    let mark = Checkpoint {
        session_id: opened.session_id.clone(),
        task_id: TaskId::new("task_1").unwrap(),
        prompt: "hello".to_owned(),
        options: TaskOptions::default(),
        initiator: owner().unwrap(),
        step_id: StepId::new("step_1").unwrap(),
        step_number: 1,
        calls_under_way: false,
        usage: Usage::default(),
        started_at: Timestamp::now(),
        resumes: 0,
    };
    house.host().journal.commit(vec![Write::Checkpoint(Box::new(mark))]).await.unwrap();
    house.wire.go_away();
    let (dir, wire) = house.stop().await;
    let house = House::open(dir, wire);
    house.enrol(false, false).await;
    crate::sessions::recover(house.host().clone()).await;
    let record = house.host().journal.session(&opened.session_id).unwrap();
    assert_eq!(record.summary.state, SessionState::SessionPaused);
    let why = house.host().journal.search_events(&opened.session_id, "stand still", Cursor::After(0), 9);
    assert_eq!(why.unwrap().events.len(), 1);
    house.stop().await;
}
