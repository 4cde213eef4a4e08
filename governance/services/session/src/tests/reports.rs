//! What hosts report of states: never out of an end, never back, never twice.

use std::sync::Arc;

use lanyard_governance_foundation::testing::{Ground, on_both};
use lanyard_protocol::Timestamp;
use lanyard_protocol::session::{ClientInfo, ExecutionEnvironment, SessionState};
use proptest::prelude::*;
use serde_json::json;

use super::{Stage, host};
use crate::MIGRATIONS;
use crate::standing::{EXPIRED, Effect, effect, follows};
use crate::store::Session;

const ALL: [SessionState; 9] = [
    SessionState::SessionCreated,
    SessionState::SessionRunning,
    SessionState::WaitingForLlm,
    SessionState::WaitingForApproval,
    SessionState::WaitingForTool,
    SessionState::SessionPaused,
    SessionState::SessionCompleted,
    SessionState::SessionFailed,
    SessionState::SessionCancelled,
];

fn session() -> Session {
    Session {
        id: "ses_1".parse().unwrap(),
        workspace: "wsp_1".parse().unwrap(),
        agent: "agt_a".parse().unwrap(),
        user: "usr_mia".parse().unwrap(),
        name: String::new(),
        state: SessionState::SessionCreated,
        reason: None,
        state_seq: 0,
        environment: ExecutionEnvironment::Desktop,
        client_info: ClientInfo {
            desktop_app_version: None,
            local_agent_host_version: None,
            os_family: None,
            os_version: None,
        },
        directories: vec![],
        compatible: true,
        bundle_version: None,
        timeline: true,
        job: None,
        tasks: 0,
        last_seq: 0,
        event_bytes: 0,
        created_at: Timestamp::from_millis(0),
        updated_at: Timestamp::from_millis(0),
        expires_at: Timestamp::from_millis(0),
    }
}

/// What can happen to a session.
#[derive(Debug, Clone, Copy)]
enum Step {
    Report(SessionState, u64),
    Expire,
    Cancel,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0..ALL.len(), 0..40u64).prop_map(|(state, seq)| Step::Report(ALL[state], seq)),
        1 => Just(Step::Expire),
        1 => Just(Step::Cancel),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn no_order_of_reports_leads_out_of_an_end(steps in steps()) {
        let mut session = session();
        for step in steps {
            let before = session.clone();
            match step {
                Step::Expire if !session.state.is_final() => {
                    session.state = SessionState::SessionFailed;
                    session.reason = Some(EXPIRED.to_owned());
                }
                Step::Cancel if !session.state.is_final() => {
                    session.state = SessionState::SessionCancelled;
                    session.reason = None;
                }
                Step::Expire | Step::Cancel => {}
                Step::Report(to, seq) => match effect(&session, to, seq) {
                    Effect::Change => {
                        prop_assert!(seq > before.state_seq);
                        prop_assert!(to != SessionState::SessionCreated || before.state == to);
                        (session.state, session.state_seq, session.reason) = (to, seq, None);
                    }
                    Effect::Nothing => prop_assert!(seq <= before.state_seq || to == before.state),
                    Effect::Refused => prop_assert!(to != before.state && seq > before.state_seq),
                },
            }
            if before.state.is_final() && !before.lapsed() {
                prop_assert_eq!(session.state, before.state);
            }
            if before.state.is_final() {
                prop_assert!(session.state.is_final());
            }
            prop_assert!(session.state_seq >= before.state_seq);
        }
    }
}

#[test]
fn the_table_is_the_seeds() {
    for from in ALL {
        for to in ALL {
            let allowed = !from.is_final() && to != SessionState::SessionCreated;
            assert_eq!(follows(from, to), allowed, "{from:?} to {to:?}");
        }
    }
}

/// The state a report leads to, or the refusal.
async fn report(stage: &Stage, state: &str, seq: u64) -> Result<String, u16> {
    let body = json!({"state": state, "reason": format!("because of {seq}"), "seq": seq});
    let (status, answer) = stage.call(&host(), "POST", "/sessions/ses_1/state", Some(body)).await;
    match status.as_u16() {
        200 => Ok(answer["state"].as_str().unwrap().to_owned()),
        refused => Err(refused),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_taken_in_order_and_once() {
    on_both(MIGRATIONS, |ground: Arc<Ground>| async move {
        let stage = Stage::new(ground);
        stage.begin("ses_1").await;
        assert_eq!(report(&stage, "WAITING_FOR_LLM", 5).await.unwrap(), "WAITING_FOR_LLM");
        assert_eq!(report(&stage, "SESSION_PAUSED", 4).await.unwrap(), "WAITING_FOR_LLM");
        assert_eq!(report(&stage, "SESSION_PAUSED", 5).await.unwrap(), "WAITING_FOR_LLM");
        assert_eq!(report(&stage, "SESSION_PAUSED", 6).await.unwrap(), "SESSION_PAUSED");
        assert_eq!(stage.state("ses_1").await.1.as_deref(), Some("because of 6"));
        assert_eq!(report(&stage, "SESSION_CREATED", 7).await, Err(409));
        assert_eq!(report(&stage, "SESSION_COMPLETED", 8).await.unwrap(), "SESSION_COMPLETED");
        assert_eq!(report(&stage, "SESSION_COMPLETED", 9).await.unwrap(), "SESSION_COMPLETED");
        assert_eq!(report(&stage, "SESSION_RUNNING", 10).await, Err(409));
        assert_eq!(report(&stage, "SESSION_RUNNING", 3).await.unwrap(), "SESSION_COMPLETED");
        let long = json!({"state": "SESSION_COMPLETED", "reason": "ä".repeat(3_000), "seq": 11});
        assert_eq!(stage.call(&host(), "POST", "/sessions/ses_1/state", Some(long)).await.0, 200);
        let huge = json!({"state": "SESSION_RUNNING", "seq": u64::MAX});
        assert_eq!(stage.call(&host(), "POST", "/sessions/ses_1/state", Some(huge)).await.0, 409);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_reason_is_cut_and_a_number_beyond_all_is_refused() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        stage.begin("ses_1").await;
        let long = json!({"state": "SESSION_PAUSED", "reason": "ä".repeat(3_000), "seq": 1});
        let info = stage.ok(&host(), "POST", "/sessions/ses_1/state", Some(long)).await;
        assert_eq!(info["reason"].as_str().unwrap().len(), 2_000);
        let huge = json!({"state": "SESSION_RUNNING", "seq": u64::MAX});
        assert_eq!(stage.call(&host(), "POST", "/sessions/ses_1/state", Some(huge)).await.0, 400);
        assert_eq!(stage.state("ses_1").await.0, "SESSION_PAUSED");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_reports_at_once_the_newest_counts() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        stage.begin("ses_1").await;
        let states = ["WAITING_FOR_LLM", "WAITING_FOR_TOOL", "SESSION_RUNNING", "SESSION_PAUSED"];
        let all = (1..=24).map(|seq| report(&stage, states[seq as usize % 4], seq));
        let all = futures_util::future::join_all(all).await;
        assert!(all.iter().all(Result::is_ok), "{all:?}");
        assert_eq!(stage.state("ses_1").await, (states[0].to_owned(), Some("because of 24".to_owned())));
    })
    .await;
}
