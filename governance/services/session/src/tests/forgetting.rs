//! Removing what was said, for whoever deletes the work.

use lanyard_governance_api::people::Role;
use lanyard_governance_foundation::testing::on_both;
use lanyard_governance_foundation::{Caller, Clock as _};
use lanyard_protocol::id::{SessionId, WorkspaceId};
use serde_json::{Value, json};

use super::{Stage, agent, host, person, request};
use crate::{MIGRATIONS, forgetting};

const DAY: i64 = 24 * 3_600_000;

fn events(session: &str, seqs: std::ops::RangeInclusive<u64>) -> Option<Value> {
    let event = |seq| {
        json!({"eventId": format!("evt_{seq}"), "seq": seq, "workspaceId": "wsp_h", "sessionId": session,
            "eventType": "session_paused", "timestamp": "2026-01-01T00:00:00Z", "payload": {"reason": "a secret"}})
    };
    Some(json!({ "events": seqs.map(event).collect::<Vec<_>>() }))
}

/// A session in which something was said; its workspace.
async fn talkative(stage: &Stage, who: &Caller, id: &str) -> String {
    let grant = stage.ok(who, "POST", "/sessions", request(id)).await;
    stage.ok(who, "POST", &format!("/sessions/{id}/events"), events(id, 1..=3)).await;
    let task = json!({"taskId": "tsk_1", "prompt": "mend it", "startedAt": "2026-01-01T00:00:00Z"});
    stage.ok(who, "POST", &format!("/sessions/{id}/tasks"), Some(task)).await;
    grant["workspaceId"].as_str().unwrap().to_owned()
}

/// Prompt, events held and name.
async fn said(stage: &Stage, id: &str) -> (Value, usize, String) {
    let ada = person("acme", Role::Viewer);
    let tasks = stage.ok(&ada, "GET", &format!("/sessions/{id}/tasks"), None).await;
    let events = stage.ok(&ada, "GET", &format!("/sessions/{id}/events"), None).await;
    let info = stage.ok(&ada, "GET", &format!("/sessions/{id}"), None).await;
    let name = info["name"].as_str().unwrap().to_owned();
    (tasks["items"][0]["prompt"].clone(), events["events"].as_array().unwrap().len(), name)
}

fn service(tenant: &str) -> Caller {
    Caller::Service { tenant: Some(tenant.parse().unwrap()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_goes_and_that_there_was_a_session_stays() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        let workspace = talkative(&stage, &host(), "ses_1").await;
        let elsewhere = talkative(&stage, &host(), "ses_2").await;
        talkative(&stage, &agent("other", "agt_a"), "ses_1").await;
        let ended = json!({"state": "SESSION_COMPLETED", "seq": 3});
        stage.ok(&host(), "POST", "/sessions/ses_1/state", Some(ended)).await;
        let forget = |tenant: &'static str, body: Value| {
            let stage = &stage;
            async move {
                stage.ok(&service(tenant), "POST", "/sessions/forget", Some(body)).await["sessions"].clone()
            }
        };
        let all = json!({ "workspaceId": workspace });
        assert_eq!(forget("umbrella", all.clone()).await, 0, "another tenant's");
        let other = json!({ "workspaceId": workspace, "sessionId": "ses_2" });
        assert_eq!(forget("acme", other).await, 0, "of another workspace");
        // What changed since is in use.
        let now = lanyard_protocol::Timestamp::from_millis(0);
        assert_eq!(forget("acme", json!({ "workspaceId": workspace, "before": now })).await, 0);
        assert_eq!(forget("acme", all.clone()).await, 1);
        assert_eq!(said(&stage, "ses_1").await, (Value::Null, 0, "Deleted session".to_owned()));
        assert_eq!(stage.state("ses_1").await.0, "SESSION_COMPLETED");
        assert_eq!(forget("acme", all).await, 0, "again");
        // One that goes on keeps its name, and what it is told from then on.
        assert_eq!(forget("acme", json!({ "workspaceId": elsewhere, "sessionId": "ses_2" })).await, 1);
        assert_eq!(said(&stage, "ses_2").await, (Value::Null, 0, "app".to_owned()));
        stage.ok(&host(), "POST", "/sessions/ses_2/events", events("ses_2", 4..=4)).await;
        assert_eq!(said(&stage, "ses_2").await.1, 1);
        assert_eq!(stage.count("session_events").await, 4, "the other tenant's three, and the new one");
        let admin = person("acme", Role::Admin);
        for caller in [host(), admin] {
            let body = Some(json!({ "workspaceId": "w" }));
            assert_eq!(stage.call(&caller, "POST", "/sessions/forget", body).await.0, 403);
        }
        // As a whole it is forgotten when it would have been.
        stage.ground.clock.set(91 * DAY);
        crate::chores::forget(&stage.ground.foundation, 90).await.unwrap();
        assert_eq!(stage.refused(&host(), "GET", "/sessions/ses_1", None).await.0, 404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sessions_of_a_workspace_go_some_at_a_time() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        for number in 0..25 {
            talkative(&stage, &host(), &format!("ses_{number}")).await;
        }
        let mut tx = stage.ground.foundation.database.across_write().await.unwrap();
        let one =
            lanyard_governance_foundation::Statement::new("UPDATE sessions SET workspace_id = 'wsp_one'");
        tx.run(one).await.unwrap();
        tx.commit().await.unwrap();
        let body = Some(json!({ "workspaceId": "wsp_one" }));
        let answer = stage.ok(&service("acme"), "POST", "/sessions/forget", body.clone()).await;
        assert_eq!((&answer["sessions"], &answer["more"]), (&json!(20), &json!(true)));
        let answer = stage.ok(&service("acme"), "POST", "/sessions/forget", body).await;
        assert_eq!((&answer["sessions"], &answer["more"]), (&json!(5), &json!(false)));
        assert_eq!(stage.count("session_events").await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_changed_since_it_was_found_keeps_what_was_said() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        let workspace: WorkspaceId = talkative(&stage, &host(), "ses_1").await.parse().unwrap();
        let session: SessionId = "ses_1".parse().unwrap();
        let tenant = "acme".parse().unwrap();
        let now = stage.ground.clock.now();
        let gone = async |workspace: &WorkspaceId, before| {
            let mut tx = stage.ground.foundation.database.write_of(&tenant).await.unwrap();
            let gone = forgetting::said(&mut tx, &session, workspace, before).await.unwrap();
            tx.commit().await.unwrap();
            gone
        };
        assert!(!gone(&workspace, Some(now.plus_millis(-DAY))).await);
        assert!(!gone(&"wsp_other".parse().unwrap(), None).await);
        assert_eq!(said(&stage, "ses_1").await, (json!("mend it"), 3, "app".to_owned()));
        assert!(gone(&workspace, Some(now.plus_millis(DAY))).await);
        assert_eq!(said(&stage, "ses_1").await.1, 0);
    })
    .await;
}
