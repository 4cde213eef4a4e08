//! Heartbeats, states, epochs.

use super::*;
use crate::MIGRATIONS;
use axum::routing::get;
use lanyard_governance_api::agent::AgentState;
use lanyard_governance_api::command::{NewCommand, Order};
use lanyard_governance_foundation::testing::on_both;
use std::sync::atomic::{AtomicUsize, Ordering};

fn policy_service(epoch: u64, asked: Arc<AtomicUsize>) -> Router {
    let answer = move || {
        asked.fetch_add(1, Ordering::Relaxed);
        let rollout = json!({ "online": 0, "confirmed": 0, "waiting": [] });
        let state = json!({ "epoch": epoch, "active": null, "revoked": null,
            "changedAt": "2026-11-20T00:00:00Z", "rollout": rollout });
        async move { axum::Json(state) }
    };
    Router::new().route("/policies/current", get(answer))
}

pub(super) fn epoch(epoch: u64) -> NewCommand {
    NewCommand { by: None, by_name: None, order: Order::PolicyEpoch { epoch, revoked: None } }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_shown_as_it_said_and_as_it_was_heard() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let host = world.enrol("acme").await;
        assert_eq!(world.agent(&host).await.state, AgentState::Offline);
        let answer = world.beat(&host, |beat| {
            beat.client_time = beat.client_time.plus_millis(-DAY);
            beat.machine.host_version = "0.2.0".to_owned();
            beat.outbox_depth = 7;
        });
        let answer = answer.await;
        assert_eq!((answer.last_command, answer.renew, answer.heartbeat_seconds), (0, false, 60));
        let info = world.agent(&host).await;
        assert_eq!((info.state, info.machine.host_version.as_str()), (AgentState::Online, "0.2.0"));
        assert!((info.clock_skew_millis + DAY).abs() < MINUTE, "{}", info.clock_skew_millis);
        assert_eq!(info.heartbeat.unwrap().outbox_depth, 7);
        for (after, state) in
            [(149, AgentState::Online), (155, AgentState::Offline), (905, AgentState::Stale)]
        {
            world.ground.clock.set(after * 1_000);
            assert_eq!(world.agent(&host).await.state, state, "{after} seconds");
        }
        world.ground.clock.set(11 * 60 * MINUTE);
        assert!(!world.beat(&host, |_| {}).await.renew);
        world.ground.clock.set(12 * 60 * MINUTE + 1_000);
        assert!(world.beat(&host, |_| {}).await.renew, "half of a day is over");
        let wrong = |change: fn(&mut Heartbeat)| {
            let mut beat = heartbeat(world.now());
            change(&mut beat);
            beat
        };
        for beat in [
            wrong(|beat| beat.workspaces = vec!["/w".to_owned(); 101]),
            wrong(|beat| beat.machine.name = "x".repeat(300)),
            wrong(|beat| beat.policy_epoch = u64::MAX),
        ] {
            let answer = world.call::<ep::SendHeartbeat>(&host.caller(), &[host.id()], "", &beat).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.body);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_epoch_is_asked_for_once_and_then_heard_of() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let asked = Arc::new(AtomicUsize::new(0));
        let (one, two) = (world.enrol("acme").await, world.enrol("acme").await);
        // The Policy Service is away: hosts beat all the same.
        assert_eq!(world.beat(&one, |_| {}).await.policy_epoch, 0);
        world.peers([(Service::Policy, policy_service(5, asked.clone()))]);
        let world = world.replica();
        assert_eq!(world.beat(&one, |_| {}).await.policy_epoch, 5);
        assert_eq!(world.beat(&two, |_| {}).await.policy_epoch, 5);
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        let queued = world.ok::<ep::BroadcastCommand>(&service("acme"), &[], "", &epoch(6)).await;
        assert_eq!(queued.agents, 2);
        let answer = world.beat(&one, |beat| beat.policy_epoch = 5).await;
        assert_eq!((answer.policy_epoch, answer.last_command), (6, 1));
        let count = async || world.ok::<ep::CountEpoch>(&service("acme"), &[], "?epoch=6", &json!({})).await;
        let counts = count().await;
        assert_eq!((counts.online, counts.confirmed, counts.waiting.len()), (2, 0, 2));
        // One acknowledges, and a heartbeat that was under way arrives after it.
        let body = json!({ "results": [{ "number": 1, "error": null }] });
        world.ok::<ep::AcknowledgeCommands>(&one.caller(), &[one.id()], "", &body).await;
        world.beat(&one, |beat| beat.policy_epoch = 5).await;
        assert_eq!(count().await.confirmed, 1);
        // The other says it by heartbeat.
        world.beat(&two, |beat| beat.policy_epoch = 6).await;
        let counts = count().await;
        assert_eq!((counts.online, counts.confirmed, counts.waiting.len()), (2, 2, 0));
        // A host that was restored and runs under the old one has not confirmed, whatever it said once.
        world.ground.clock.set(5 * MINUTE);
        world.beat(&one, |beat| beat.policy_epoch = 5).await;
        let counts = count().await;
        assert_eq!((counts.online, counts.confirmed), (1, 0));
        assert_eq!(counts.waiting, std::slice::from_ref(&one.issued.agent_id));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_machines_with_one_identity_are_noticed_and_one_is_not() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let (cloned, honest) = (world.enrol("acme").await, world.enrol("acme").await);
        for minute in 0..8_u32 {
            world.ground.clock.set(i64::from(minute) * MINUTE);
            // One machine runs for ten hours, the other for one; the honest host restarts every other minute.
            let base = if minute % 2 == 0 { 36_000 } else { 3_600 };
            world.beat(&cloned, |beat| beat.uptime_seconds = base + u64::from(minute) * 60).await;
            world.beat(&honest, |beat| beat.uptime_seconds = u64::from(minute % 2) * 60).await;
        }
        assert!(world.agent(&cloned).await.clone_suspected);
        assert!(!world.agent(&honest).await.clone_suspected);
        let trail = world.trail("acme").await;
        assert_eq!(trail.iter().filter(|kind| *kind == "clone_suspected").count(), 1, "told once");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_is_cleared_by_an_administrator_with_a_reason_and_comes_back_with_its_cause() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let host = world.enrol("acme").await;
        let beats = async |minutes: std::ops::Range<u32>| {
            for minute in minutes {
                world.ground.clock.set(i64::from(minute) * MINUTE);
                let base = if minute % 2 == 0 { 36_000 } else { 3_600 };
                world.beat(&host, |beat| beat.uptime_seconds = base + u64::from(minute) * 60).await;
            }
        };
        let clear = async |caller: &Caller, reason: &str| {
            world.call::<ep::ClearCloneMark>(caller, &[host.id()], "", &json!({ "reason": reason })).await
        };
        let marked = async || world.agent(&host).await.clone_suspected;
        let recorded =
            async |kind: &str| world.trail("acme").await.into_iter().filter(|other| other == kind).count();
        assert_eq!(clear(&admin("acme"), "nothing to clear").await.status, StatusCode::OK);
        assert_eq!(recorded("clone_mark_cleared").await, 0);
        beats(0..8).await;
        assert!(marked().await);
        assert_eq!(clear(&admin("acme"), " ").await.status, StatusCode::BAD_REQUEST);
        assert_eq!(clear(&admin("other"), "x").await.status, StatusCode::NOT_FOUND);
        for caller in [person("acme", Role::Approver), host.caller()] {
            assert_eq!(clear(&caller, "x").await.status, StatusCode::FORBIDDEN);
        }
        assert!(marked().await);
        let answer = clear(&admin("acme"), "a snapshot that was tried out").await;
        assert_eq!((answer.status, &answer.body["cloneSuspected"]), (StatusCode::OK, &json!(false)));
        assert!(!marked().await);
        assert_eq!(recorded("clone_mark_cleared").await, 1);
        // One of the two machines goes on alone: no mark.
        for minute in [8, 10, 12, 14] {
            beats(minute..minute + 1).await;
        }
        assert!(!marked().await);
        // Both go on: marked again, and told again.
        beats(15..24).await;
        assert!(marked().await);
        assert_eq!(recorded("clone_suspected").await, 2);
        world.ok::<ep::RevokeAgent>(&admin("acme"), &[host.id()], "", &json!({ "reason": "x" })).await;
        assert_eq!(clear(&admin("acme"), "x").await.status, StatusCode::CONFLICT);
        assert!(marked().await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_listed_last_seen_first() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let mut hosts = Vec::new();
        for n in 0..5 {
            world.ground.clock.set(n * 1_000);
            hosts.push(world.enrol("acme").await);
        }
        world.ground.clock.set(10_000);
        world.beat(&hosts[0], |_| {}).await;
        let mut seen = Vec::new();
        let mut query = "?limit=2".to_owned();
        loop {
            let page = world.ok::<ep::ListAgents>(&viewer("acme"), &[], &query, &json!({})).await;
            seen.extend(page.items.into_iter().map(|info| info.agent_id.to_string()));
            let Some(next) = page.next_token else { break };
            query = format!("?limit=2&nextToken={next}");
        }
        let wanted: Vec<_> = [0, 4, 3, 2, 1].map(|n| hosts[n].id().to_owned()).into();
        assert_eq!(seen, wanted);
        for query in ["?limit=0", "?limit=501", "?nextToken=%27", "?nextToken=AAAA", "?limit=x", "?other=1"] {
            let answer = world.call::<ep::ListAgents>(&viewer("acme"), &[], query, &json!({})).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        }
    })
    .await;
}
