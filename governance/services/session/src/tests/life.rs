//! Cancelling, naming, listing, tasks, expiry, and who sees what.

use futures_util::future::join_all;
use lanyard_governance_api::command::Order;
use lanyard_governance_api::people::Role;
use lanyard_governance_foundation::Caller;
use lanyard_governance_foundation::testing::on_both;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Channel, Stage, agent, host, offer, person, request};
use crate::{MIGRATIONS, Settings, cancel, chores};

const DAY: i64 = 24 * 3_600_000;

fn why(reason: &str) -> Option<Value> {
    Some(json!({"reason": reason}))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_cancels_for_good_and_the_host_is_told() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        stage.begin("ses_1").await;
        let ada = person("acme", Role::Approver);
        let info = stage.ok(&ada, "POST", "/sessions/ses_1/cancel", why("enough")).await;
        assert_eq!((&info["state"], &info["reason"]), (&json!("SESSION_CANCELLED"), &json!("enough")));
        // Once more changes nothing and tells nobody.
        let info = stage.ok(&ada, "POST", "/sessions/ses_1/cancel", why("other")).await;
        assert_eq!(info["reason"], "enough");
        let told = stage.world(|world| world.told.clone());
        assert_eq!(told.len(), 1);
        let (agent, command) = &told[0];
        assert_eq!((agent.as_str(), command.by_name.as_deref()), ("agt_a", Some("Ada")));
        let order = Order::CancelSession { session_id: "ses_1".parse().unwrap(), reason: "enough".into() };
        assert_eq!(command.order, order);
        for wrong in [why(" "), why(&"x".repeat(2_001)), Some(json!({}))] {
            assert_eq!(stage.call(&ada, "POST", "/sessions/ses_1/cancel", wrong).await.0, 400);
        }
        assert_eq!(
            stage.call(&person("acme", Role::Viewer), "POST", "/sessions/ses_1/cancel", why("x")).await.0,
            403
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_cancels_its_own_and_what_ended_otherwise_is_not_cancelled() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        stage.begin("ses_1").await;
        stage.ok(&host(), "POST", "/sessions/ses_1/cancel", why("deleted")).await;
        assert!(stage.world(|world| world.told.is_empty()));
        stage.begin("ses_2").await;
        let done = json!({"state": "SESSION_COMPLETED", "seq": 1});
        stage.ok(&host(), "POST", "/sessions/ses_2/state", Some(done)).await;
        let (status, error) = stage.call(&host(), "POST", "/sessions/ses_2/cancel", why("late")).await;
        assert_eq!((status.as_u16(), &error["details"]["state"]), (409, &json!("SESSION_COMPLETED")));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_could_not_be_told_is_told_later_once() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        let ada = person("acme", Role::Approver);
        for session in ["ses_1", "ses_2", "ses_3"] {
            stage.begin(session).await;
        }
        stage.world(|world| world.channel = Channel::Away);
        stage.ok(&ada, "POST", "/sessions/ses_1/cancel", why("enough")).await;
        let foundation = &stage.ground.foundation;
        stage.ground.clock.set(60_000);
        cancel::tell_waiting(foundation).await.unwrap();
        stage.world(|world| world.channel = Channel::Open);
        // Its next turn has not come.
        cancel::tell_waiting(foundation).await.unwrap();
        assert!(stage.world(|world| world.told.is_empty()));
        stage.ground.clock.set(120_000);
        let rounds = join_all((0..5).map(|_| cancel::tell_waiting(foundation))).await;
        assert!(rounds.iter().all(Result::is_ok));
        assert_eq!(stage.world(|world| world.told.len()), 1);
        stage.ground.clock.set(DAY / 2);
        cancel::tell_waiting(foundation).await.unwrap();
        assert_eq!(stage.world(|world| world.told.len()), 1);
        // A host that is not enrolled any more is given up.
        for (gone, session) in [(Channel::Unknown, "ses_2"), (Channel::Revoked, "ses_3")] {
            stage.world(|world| world.channel = gone);
            stage.ok(&ada, "POST", &format!("/sessions/{session}/cancel"), why("enough")).await;
        }
        stage.world(|world| world.channel = Channel::Open);
        stage.ground.clock.set(DAY - 1);
        cancel::tell_waiting(foundation).await.unwrap();
        assert_eq!(stage.world(|world| world.told.len()), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_named() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        stage.begin("ses_1").await;
        let name = |name: &str| Some(json!({"name": name}));
        let info = stage.ok(&host(), "PATCH", "/sessions/ses_1/name", name(" Mend it ")).await;
        assert_eq!(info["name"], "Mend it");
        let info = stage.ok(&person("acme", Role::Admin), "PATCH", "/sessions/ses_1/name", name("x")).await;
        assert_eq!(info["name"], "x");
        for wrong in [name(" "), name(&"x".repeat(2_001)), name("\u{0}")] {
            assert_eq!(stage.call(&host(), "PATCH", "/sessions/ses_1/name", wrong).await.0, 400);
        }
        let approver = person("acme", Role::Approver);
        assert_eq!(stage.call(&approver, "PATCH", "/sessions/ses_1/name", name("y")).await.0, 403);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_paged_newest_first_and_filtered() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        let ada = person("acme", Role::Viewer);
        for number in 0..7 {
            // Several in the same millisecond too.
            stage.ground.clock.set((number / 3) * 1_000);
            let who = agent("acme", if number % 2 == 0 { "agt_a" } else { "agt_b" });
            stage.ok(&who, "POST", "/sessions", request(&format!("ses_{number}"))).await;
        }
        stage.ok(&agent("other", "agt_a"), "POST", "/sessions", request("ses_x")).await;
        let mut seen = Vec::new();
        let mut next = String::new();
        loop {
            let page = stage.ok(&ada, "GET", &format!("/sessions?limit=2{next}"), None).await;
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= 2);
            seen.extend(items.iter().map(|item| item["sessionId"].as_str().unwrap().to_owned()));
            match page["nextToken"].as_str() {
                Some(token) => next = format!("&nextToken={token}"),
                None => break,
            }
        }
        let mut sorted = seen.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!((seen.len(), sorted.len()), (7, 7), "{seen:?}");
        assert_eq!(seen[0], "ses_6");
        let ids = |page: Value| page["items"].as_array().unwrap().len();
        assert_eq!(ids(stage.ok(&ada, "GET", "/sessions?agentId=agt_b", None).await), 3);
        stage.ok(&host(), "POST", "/sessions/ses_0/cancel", why("x")).await;
        assert_eq!(ids(stage.ok(&ada, "GET", "/sessions?open=true", None).await), 6);
        assert_eq!(ids(stage.ok(&ada, "GET", "/sessions?open=true&agentId=agt_a", None).await), 3);
        let ended = stage.ok(&ada, "GET", "/sessions?open=false", None).await;
        assert_eq!((&ended["items"][0]["sessionId"], ids(ended.clone())), (&json!("ses_0"), 1));
        let one = stage.ok(&ada, "GET", "/sessions/ses_1", None).await;
        let of = format!("/sessions?workspaceId={}", one["workspaceId"].as_str().unwrap());
        assert_eq!(ids(stage.ok(&ada, "GET", &of, None).await), 1);
        for wrong in
            ["limit=0", "limit=501", "nextToken=x", "nextToken=!", "nextToken=MS4", "agentId=a%20b", "x=1"]
        {
            let path = format!("/sessions?{wrong}");
            assert_eq!(stage.call(&ada, "GET", &path, None).await.0, 400, "{wrong}");
        }
        assert_eq!(stage.call(&host(), "GET", "/sessions", None).await.0, 403);
    })
    .await;
}

fn begun(id: &str) -> Option<Value> {
    Some(json!({"taskId": id, "prompt": "mend it", "startedAt": "2026-01-01T00:00:00Z"}))
}

fn ended(state: &str) -> Value {
    json!({"state": state, "steps": 3, "tokens": 9, "endedAt": "2026-01-01T00:01:00Z"})
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_reported_as_often_as_a_host_likes() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        stage.begin("ses_1").await;
        let path = "/sessions/ses_1/tasks";
        let own = host();
        let all = join_all((0..10).map(|_| stage.ok(&own, "POST", path, begun("tsk_1")))).await;
        assert!(all.iter().all(|task| task["state"] == "running" && task["prompt"] == "mend it"));
        let info = stage.ok(&host(), "GET", "/sessions/ses_1", None).await;
        assert_eq!((&info["tasks"], &info["lastTask"]["taskId"]), (&json!(1), &json!("tsk_1")));
        let complete = "/sessions/ses_1/tasks/tsk_1/complete";
        assert_eq!(stage.refused(&host(), "POST", complete, Some(ended("running"))).await.0, 400);
        for _ in 0..2 {
            let task = stage.ok(&host(), "POST", complete, Some(ended("completed"))).await;
            assert_eq!(
                (&task["state"], &task["steps"], &task["tokens"]),
                (&json!("completed"), &json!(3), &json!(9))
            );
        }
        assert_eq!(stage.refused(&host(), "POST", complete, Some(ended("failed"))).await.0, 409);
        let mut other = ended("completed");
        other["tokens"] = json!(10);
        assert_eq!(stage.refused(&host(), "POST", complete, Some(other)).await.0, 409);
        // A repeated beginning does not undo the end.
        assert_eq!(stage.ok(&host(), "POST", path, begun("tsk_1")).await["state"], "completed");
        let missing =
            stage.refused(&own, "POST", "/sessions/ses_1/tasks/tsk_9/complete", Some(ended("failed")));
        assert_eq!(missing.await, (404, "TASK_NOT_FOUND".to_owned()));
        let mut broken = ended("failed");
        broken["error"] =
            json!({"code": "MAX_STEPS_EXCEEDED", "message": "too many", "retryable": false, "details": {}});
        stage.ok(&host(), "POST", path, begun("tsk_2")).await;
        stage.ok(&host(), "POST", "/sessions/ses_1/tasks/tsk_2/complete", Some(broken.clone())).await;
        stage.ok(&host(), "POST", "/sessions/ses_1/tasks/tsk_2/complete", Some(broken)).await;
        stage.ok(&host(), "POST", path, begun("tsk_3")).await;
        let page = stage.ok(&person("acme", Role::Viewer), "GET", &format!("{path}?limit=2"), None).await;
        assert_eq!(
            (&page["items"][0]["taskId"], &page["items"][1]["error"]["code"]),
            (&json!("tsk_3"), &json!("MAX_STEPS_EXCEEDED"))
        );
        let next = format!("{path}?limit=2&nextToken={}", page["nextToken"].as_str().unwrap());
        let rest = stage.ok(&host(), "GET", &next, None).await;
        assert_eq!((&rest["items"][0]["taskId"], &rest["nextToken"]), (&json!("tsk_1"), &Value::Null));
        stage.begin("ses_2").await;
        let foreign = format!("/sessions/ses_2/tasks?nextToken={}", page["nextToken"].as_str().unwrap());
        assert_eq!(
            stage.ok(&host(), "GET", &foreign, None).await["items"],
            json!([]),
            "it leads nowhere else"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_are_kept_where_the_timeline_is_wanted_and_tasks_are_bounded() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::with(ground, Settings { max_tasks: 2, ..Settings::default() });
        stage.world(|world| world.timeline = false);
        stage.begin("ses_1").await;
        let task = stage.ok(&host(), "POST", "/sessions/ses_1/tasks", begun("tsk_1")).await;
        assert_eq!(task["prompt"], Value::Null);
        stage.ok(&host(), "POST", "/sessions/ses_1/tasks", begun("tsk_2")).await;
        let refused = stage.refused(&host(), "POST", "/sessions/ses_1/tasks", begun("tsk_3")).await;
        assert_eq!(refused, (413, "PAYLOAD_TOO_LARGE".to_owned()));
        stage.ok(&host(), "POST", "/sessions/ses_1/tasks", begun("tsk_2")).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_past_their_time_are_ended_and_old_ones_forgotten() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        for id in ["ses_1", "ses_2", "ses_3"] {
            stage.begin(id).await;
        }
        stage.ok(&host(), "POST", "/sessions/ses_1/tasks", begun("tsk_1")).await;
        stage.ok(&host(), "POST", "/sessions/ses_2/cancel", why("x")).await;
        let foundation = &stage.ground.foundation;
        stage.ground.clock.set(DAY - 60_000);
        chores::end_expired(foundation).await.unwrap();
        assert_eq!(stage.state("ses_1").await.0, "SESSION_CREATED");
        stage.ok(&host(), "POST", "/sessions/ses_3/resume", Some(offer())).await;
        stage.ground.clock.set(DAY + 60_000);
        chores::end_expired(foundation).await.unwrap();
        assert_eq!(stage.state("ses_1").await, ("SESSION_FAILED".to_owned(), Some("expired".to_owned())));
        assert_eq!(stage.state("ses_2").await.0, "SESSION_CANCELLED");
        assert_eq!(stage.state("ses_3").await.0, "SESSION_CREATED");
        let refused = stage.refused(&host(), "POST", "/sessions/ses_1/resume", Some(offer())).await;
        assert_eq!(refused, (409, "SESSION_EXPIRED".to_owned()));
        // Its host says late how it really ended.
        let running = json!({"state": "SESSION_RUNNING", "seq": 8});
        assert_eq!(stage.refused(&host(), "POST", "/sessions/ses_1/state", Some(running)).await.0, 409);
        let done = json!({"state": "SESSION_COMPLETED", "seq": 9});
        stage.ok(&host(), "POST", "/sessions/ses_1/state", Some(done)).await;
        assert_eq!(stage.state("ses_1").await.0, "SESSION_COMPLETED");
        stage.ground.clock.set(89 * DAY);
        chores::forget(foundation, 90).await.unwrap();
        assert_eq!(stage.count("sessions").await, 3);
        stage.ground.clock.set(92 * DAY);
        chores::forget(foundation, 90).await.unwrap();
        // The open one stays, however old.
        assert_eq!((stage.count("sessions").await, stage.count("session_tasks").await), (1, 0));
        let stop = CancellationToken::new();
        let chore = tokio::spawn(crate::chores(foundation.clone(), Settings::default(), stop.clone()));
        for _ in 0..1_000 {
            if stage.state("ses_3").await.0 == "SESSION_FAILED" {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(stage.state("ses_3").await.1.as_deref(), Some("expired"));
        stop.cancel();
        tokio::time::timeout(std::time::Duration::from_secs(60), chore).await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ran_out_is_not_begun_anew_though_its_host_did_not_fit_at_last() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        stage.begin("ses_1").await;
        stage.world(|world| world.min_version = Some("9.0.0".into()));
        let grant = stage.ok(&host(), "POST", "/sessions/ses_1/resume", Some(offer())).await;
        assert_eq!(grant["compatibilityStatus"], "incompatible");
        stage.ground.clock.set(DAY + 60_000);
        chores::end_expired(&stage.ground.foundation).await.unwrap();
        stage.world(|world| world.min_version = None);
        let refused = stage.refused(&host(), "POST", "/sessions", request("ses_1")).await;
        assert_eq!(refused, (409, "SESSION_EXPIRED".to_owned()));
    })
    .await;
}

/// Every way to a session, with a body that would be taken.
fn ways() -> Vec<(&'static str, &'static str, Option<Value>)> {
    vec![
        ("GET", "/sessions/ses_1", None),
        ("POST", "/sessions/ses_1/resume", Some(offer())),
        ("POST", "/sessions/ses_1/cancel", why("x")),
        ("PATCH", "/sessions/ses_1/name", Some(json!({"name": "x"}))),
        ("POST", "/sessions/ses_1/state", Some(json!({"state": "SESSION_PAUSED", "seq": 9}))),
        ("POST", "/sessions/ses_1/tasks", begun("tsk_2")),
        ("GET", "/sessions/ses_1/tasks", None),
        ("POST", "/sessions/ses_1/tasks/tsk_1/complete", Some(ended("failed"))),
        ("POST", "/sessions/ses_1/events", Some(json!({"events": []}))),
        ("GET", "/sessions/ses_1/events", None),
        ("GET", "/sessions/ses_1/stream", None),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reaches_a_foreign_session() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        stage.begin("ses_1").await;
        stage.ok(&host(), "POST", "/sessions/ses_1/tasks", begun("tsk_1")).await;
        let before = stage.ok(&host(), "GET", "/sessions/ses_1", None).await;
        for who in [agent("acme", "agt_b"), agent("other", "agt_a"), person("other", Role::Admin)] {
            for (method, path, body) in ways() {
                let (status, answer) = stage.call(&who, method, path, body).await;
                let status = status.as_u16();
                assert!([403, 404].contains(&status), "{who:?} {method} {path}: {status} {answer}");
                if status == 404 {
                    assert_eq!(answer["message"], "there is no session ses_1", "{method} {path}");
                }
            }
        }
        for (method, path, body) in ways() {
            assert_eq!(stage.call(&Caller::Nobody, method, path, body).await.0, 401, "{method} {path}");
        }
        assert_eq!(stage.ok(&host(), "GET", "/sessions/ses_1", None).await, before);
        let service = Caller::Service { tenant: Some("acme".parse().unwrap()) };
        stage.ok(&service, "GET", "/sessions/ses_1", None).await;
        assert_eq!(stage.call(&service, "POST", "/sessions/ses_1/cancel", why("x")).await.0, 403);
        // An id that is none names nothing.
        assert_eq!(stage.call(&host(), "GET", "/sessions/a%20b", None).await.0, 404);
    })
    .await;
}
