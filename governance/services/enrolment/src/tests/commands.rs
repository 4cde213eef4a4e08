//! The command channel: numbers, at least once, waiting, many hosts at once, outcomes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::heartbeat::epoch;
use super::*;
use crate::MIGRATIONS;
use axum::routing::post;
use lanyard_governance_api::command::{Command, NewCommand, Order};
use lanyard_governance_foundation::testing::on_both;

pub(super) fn cancel(session: &str) -> NewCommand {
    let order = Order::CancelSession { session_id: session.parse().unwrap(), reason: "enough".to_owned() };
    NewCommand { by: Some(UserId::new("usr_ada").unwrap()), by_name: Some("Ada".to_owned()), order }
}

impl World {
    pub(super) async fn give(&self, host: &Host, command: &NewCommand) {
        let queued = self.ok::<ep::QueueCommand>(&service(host.tenant()), &[host.id()], "", command).await;
        assert_eq!(queued.agents, 1);
    }

    async fn everybody(&self, tenant: &str, command: &NewCommand) -> u64 {
        self.ok::<ep::BroadcastCommand>(&service(tenant), &[], "", command).await.agents
    }

    async fn poll(&self, host: &Host, query: &str) -> Vec<Command> {
        self.ok::<ep::PollCommands>(&host.caller(), &[host.id()], query, &json!({})).await.commands
    }

    async fn numbers(&self, host: &Host, query: &str) -> Vec<u64> {
        self.poll(host, query).await.iter().map(|command| command.number).collect()
    }

    /// Changes what is kept, as no caller can.
    async fn write(&self, sql: &str) {
        let mut tx = self.foundation().database.across_write().await.unwrap();
        assert_eq!(tx.run(Statement::new(sql.to_owned())).await.unwrap(), 1);
        tx.commit().await.unwrap();
    }

    async fn done(&self, host: &Host, numbers: &[u64]) {
        let results: Vec<_> = numbers.iter().map(|n| json!({ "number": n })).collect();
        let body = json!({ "results": results });
        self.ok::<ep::AcknowledgeCommands>(&host.caller(), &[host.id()], "", &body).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_come_in_order_until_they_are_acknowledged() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let (host, other) = (world.enrol("acme").await, world.enrol("acme").await);
        assert!(world.poll(&host, "").await.is_empty());
        for n in 1..=25 {
            world.give(&host, &cancel(&format!("ses_{n}"))).await;
        }
        let first = world.poll(&host, "").await;
        assert_eq!(first.iter().map(|c| c.number).collect::<Vec<_>>(), (1..=20).collect::<Vec<_>>());
        assert_eq!((first[0].by_name.as_deref(), &first[0].order), (Some("Ada"), &cancel("ses_1").order));
        // The answer was lost: they come again. So do they when the acknowledgement was.
        assert_eq!(world.poll(&host, "").await, first);
        assert_eq!(world.numbers(&host, "?after=20").await, [21, 22, 23, 24, 25]);
        world.done(&host, &[1, 2, 4]).await;
        world.done(&host, &[1, 2, 4, 99]).await;
        assert_eq!(world.numbers(&host, "").await[..3], [3, 5, 6]);
        world.done(&host, &(3..=25).collect::<Vec<_>>()).await;
        assert!(world.poll(&host, "").await.is_empty());
        world.give(&host, &cancel("ses_x")).await;
        assert_eq!(world.numbers(&host, "").await, [26]);
        assert!(world.poll(&other, "").await.is_empty(), "another host has its own");
        assert_eq!(world.beat(&host, |_| {}).await.last_command, 26);
        let stranger = world.call::<ep::PollCommands>(&other.caller(), &[host.id()], "", &json!({})).await;
        assert_eq!(stranger.status, StatusCode::FORBIDDEN);
        for (query, body) in [("?waitSeconds=26", json!({})), ("?after=18446744073709551615", json!({}))] {
            let answer = world.call::<ep::PollCommands>(&host.caller(), &[host.id()], query, &body).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        }
        let many: Vec<_> = (0..201).map(|n| json!({ "number": n })).collect();
        let body = json!({ "results": many });
        let answer = world.call::<ep::AcknowledgeCommands>(&host.caller(), &[host.id()], "", &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_hears_at_once_on_any_replica() {
    on_both(MIGRATIONS, |ground| async move {
        let world = Arc::new(World::new(ground));
        let replica = Arc::new(world.replica());
        let host = Arc::new(world.enrol("acme").await);
        let waits = |replica: &Arc<World>, query: String| {
            let (replica, host) = (replica.clone(), host.clone());
            tokio::spawn(async move { (replica.numbers(&host, &query).await, Instant::now()) })
        };
        let mut number = 0;
        for to_all in [false, true] {
            // Who waits also looks by itself, at instants five seconds apart that are the same for all. Whoever was not
            // woken has heard at one of them, and has five seconds before the next: of two after the first, one is fast.
            let mut took = Vec::new();
            for _ in 0..3 {
                number += 1;
                let waiting = waits(&replica, format!("?waitSeconds=25&after={}", number - 1));
                tokio::time::sleep(Duration::from_millis(300)).await;
                let given = Instant::now();
                if to_all {
                    assert_eq!(world.everybody("acme", &epoch(number)).await, 1);
                } else {
                    world.give(&host, &cancel("ses_1")).await;
                }
                let (numbers, heard) = waiting.await.unwrap();
                assert_eq!(numbers, [number]);
                took.push(heard.duration_since(given));
            }
            assert!(took[1..].iter().any(|took| *took < Duration::from_secs(3)), "{to_all}: {took:?}");
        }
        let begun = Instant::now();
        assert!(world.numbers(&host, "?waitSeconds=1&after=6").await.is_empty());
        assert!((900..20_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
        // The process stops: nobody is kept waiting.
        let waiting = waits(&replica, "?waitSeconds=25&after=6".to_owned());
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.stop.cancel();
        let stopped = tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap().unwrap();
        assert!(stopped.0.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_epoch_takes_the_place_of_one_that_waits() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let (host, other, gone) =
            (world.enrol("acme").await, world.enrol("acme").await, world.enrol("acme").await);
        let foreign = world.enrol("umbrella").await;
        world.ok::<ep::RevokeAgent>(&admin("acme"), &[gone.id()], "", &json!({ "reason": "x" })).await;
        let lost = world.call::<ep::QueueCommand>(&service("acme"), &[gone.id()], "", &cancel("ses_1")).await;
        assert_eq!((lost.status, lost.code()), (StatusCode::FORBIDDEN, "AGENT_REVOKED"));
        world.give(&host, &cancel("ses_1")).await;
        assert_eq!(world.everybody("acme", &epoch(4)).await, 2);
        world.give(&host, &cancel("ses_2")).await;
        assert_eq!(world.numbers(&host, "").await, [1, 2, 3]);
        assert_eq!(world.numbers(&other, "").await, [1]);
        // Told again by a service whose answer was lost: nothing new.
        assert_eq!(world.everybody("acme", &epoch(4)).await, 2);
        assert_eq!(world.everybody("acme", &epoch(3)).await, 2);
        assert_eq!(world.numbers(&other, "").await, [1]);
        let revoked = NewCommand { order: Order::PolicyEpoch { epoch: 5, revoked: Some("stop".to_owned()) }, ..epoch(5) };
        assert_eq!(world.everybody("acme", &revoked).await, 2);
        let waiting = world.poll(&host, "").await;
        assert_eq!(waiting.iter().map(|c| c.number).collect::<Vec<_>>(), [1, 3, 4]);
        assert_eq!(waiting[2].order, revoked.order);
        // An acknowledgement of the one that was replaced confirms nothing.
        world.done(&host, &[2]).await;
        assert_eq!(world.numbers(&host, "?after=3").await, [4]);
        world.done(&host, &[1, 3, 4]).await;
        assert!(world.poll(&host, "").await.is_empty());
        assert_eq!(world.numbers(&other, "").await, [2]);
        let failed = json!({ "results": [{ "number": 2, "error": { "code": "INTERNAL_ERROR", "message": "no", "retryable": true } }] });
        world.ok::<ep::AcknowledgeCommands>(&other.caller(), &[other.id()], "", &failed).await;
        world.beat(&host, |_| {}).await;
        world.beat(&other, |_| {}).await;
        let counts = world.ok::<ep::CountEpoch>(&service("acme"), &[], "?epoch=5", &json!({})).await;
        assert_eq!((counts.online, counts.confirmed), (2, 1), "who could not do it has not confirmed");
        assert!(world.trail("acme").await.contains(&"command_refused".to_owned()));
        assert!(world.poll(&foreign, "").await.is_empty());
        // To one host alone.
        world.give(&host, &epoch(6)).await;
        world.give(&host, &epoch(7)).await;
        assert_eq!(world.numbers(&host, "").await, [6]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_orders_reach_everybody_too_and_nothing_grows_without_end() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let (full, other) = (world.enrol("acme").await, world.enrol("acme").await);
        for n in 0..1_000 {
            world.give(&full, &cancel(&format!("ses_{n}"))).await;
        }
        let answer =
            world.call::<ep::QueueCommand>(&service("acme"), &[full.id()], "", &cancel("ses_x")).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED"));
        assert_eq!(world.everybody("acme", &cancel("ses_y")).await, 1);
        assert_eq!(world.poll(&other, "").await[0].order, cancel("ses_y").order);
        assert_eq!(world.numbers(&full, "?after=990").await, (991..=1_000).collect::<Vec<_>>());
        // A policy is told all the same.
        assert_eq!(world.everybody("acme", &epoch(1)).await, 2);
        assert_eq!(world.numbers(&full, "?after=1000").await, [1_001]);
        world.done(&full, &[1]).await;
        world.give(&full, &cancel("ses_x")).await;
        assert_eq!(
            world.numbers(&full, "?after=1000").await,
            [1_001, 1_002],
            "refused commands took no number"
        );
        let long = NewCommand { order: Order::Revoked { reason: "x".repeat(20_000) }, ..cancel("ses_z") };
        let answer = world.call::<ep::QueueCommand>(&service("acme"), &[other.id()], "", &long).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        let nobody = world.call::<ep::QueueCommand>(&service("acme"), &["agt_none"], "", &cancel("s")).await;
        assert_eq!(nobody.status, StatusCode::NOT_FOUND);
        assert_eq!(world.everybody("umbrella", &epoch(1)).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_hosts_hear_and_acknowledge_at_once() {
    on_both(MIGRATIONS, |ground| async move {
        let world = Arc::new(World::new(ground));
        let replica = Arc::new(world.replica());
        let token = world.token("acme", |token| token.max_uses = Some(150)).await.token;
        let mut hosts = Vec::new();
        for n in 0..150 {
            let key = Key::new();
            let answer = world.exchange(&token, &key.csr(&n.to_string())).await;
            hosts.push(Host { key, issued: serde_json::from_value(answer.body).unwrap() });
        }
        let waits = hosts.into_iter().enumerate().map(|(n, host)| {
            let world = if n % 2 == 0 { world.clone() } else { replica.clone() };
            tokio::spawn(async move {
                world.beat(&host, |_| {}).await;
                let found = world.poll(&host, "?waitSeconds=25").await;
                assert_eq!(found.iter().map(|c| c.number).collect::<Vec<_>>(), [1]);
                assert_eq!(found[0].order, epoch(9).order);
                world.done(&host, &[1]).await;
                Instant::now()
            })
        });
        let waits: Vec<_> = waits.collect();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let begun = Instant::now();
        assert_eq!(world.everybody("acme", &epoch(9)).await, 150);
        let mut last = begun;
        for wait in waits {
            last = last.max(wait.await.unwrap());
        }
        assert!(last.duration_since(begun) < Duration::from_secs(20), "{:?}", last.duration_since(begun));
        let counts = world.ok::<ep::CountEpoch>(&service("acme"), &[], "?epoch=9", &json!({})).await;
        assert_eq!((counts.online, counts.confirmed), (150, 150));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_given_while_a_policy_is_told_get_numbers_of_their_own() {
    on_both(MIGRATIONS, |ground| async move {
        let world = Arc::new(World::new(ground));
        let hosts = [Arc::new(world.enrol("acme").await), Arc::new(world.enrol("acme").await)];
        let mut tasks = Vec::new();
        for n in 1..=8_u64 {
            let (world, hosts) = (world.clone(), hosts.clone());
            tasks.push(tokio::spawn(async move {
                for host in &hosts {
                    world.give(host, &cancel(&format!("ses_{n}"))).await;
                }
                world.everybody("acme", &cancel(&format!("all_{n}"))).await;
                world.everybody("acme", &epoch(n)).await;
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        for host in &hosts {
            let found = world.poll(host, "").await;
            let last = world.beat(host, |_| {}).await.last_command;
            assert_eq!(found.iter().filter(|c| matches!(c.order, Order::CancelSession { .. })).count(), 16);
            let told: Vec<_> =
                found.iter().filter(|c| matches!(c.order, Order::PolicyEpoch { .. })).collect();
            assert_eq!(told.len(), 1);
            assert_eq!(told[0].order, epoch(8).order);
            assert!(found.windows(2).all(|pair| pair[0].number < pair[1].number));
            assert_eq!(found.last().unwrap().number.max(told[0].number), last);
        }
    })
    .await;
}

fn refusal(number: u64, message: &str) -> Value {
    let error = json!({ "code": "INTERNAL_ERROR", "message": message, "retryable": false });
    json!({ "results": [{ "number": number, "error": error }] })
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_of_what_is_gone_or_cannot_be_read_are_done() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let host = world.enrol("acme").await;
        let swept = NewCommand { order: Order::Job { job_id: "job_swept".parse().unwrap() }, ..cancel("s") };
        world.give(&host, &swept).await;
        world.give(&host, &cancel("ses_2")).await;
        world.write("UPDATE commands SET body = '{\"kind\":\"of_tomorrow\"}' WHERE number = 2").await;
        for number in [1, 2] {
            let body = refusal(number, "no\0t today");
            world.ok::<ep::AcknowledgeCommands>(&host.caller(), &[host.id()], "", &body).await;
        }
        assert!(world.poll(&host, "").await.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_acknowledgement_fails_nobody_elses() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let mut hosts = Vec::new();
        for n in 0..12 {
            let host = world.enrol(if n % 2 == 0 { "acme" } else { "umbrella" }).await;
            world.give(&host, &cancel("ses_1")).await;
            hosts.push(host);
        }
        let bad = 5;
        // An epoch that no database keeps: whoever confirms it cannot be served.
        let order = Order::PolicyEpoch { epoch: u64::MAX, revoked: None };
        let body = serde_json::to_string(&order).unwrap();
        world.write(&format!("UPDATE commands SET body = '{body}' WHERE agent_id = '{}'", hosts[bad].id())).await;
        let body = json!({ "results": [{ "number": 1 }] });
        let answers = hosts.iter().map(|host| {
            let (world, body, caller) = (&world, &body, host.caller());
            async move { world.raw::<ep::AcknowledgeCommands>(&caller, &[host.id()], "", body).await.status() }
        });
        let answers = futures_util::future::join_all(answers).await;
        for (n, (host, answer)) in hosts.iter().zip(answers).enumerate() {
            assert_eq!(answer.is_success(), n != bad, "{n}: {answer}");
            if n != bad {
                assert!(world.poll(host, "").await.is_empty());
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_says_of_an_answer_reaches_the_approval_service() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let host = world.enrol("acme").await;
        let decide = |n: u8| NewCommand {
            order: Order::DecideApproval {
                session_id: "ses_1".parse().unwrap(),
                approval_id: format!("apr_{n}").parse().unwrap(),
                proposal_id: format!("prp_{n}").parse().unwrap(),
                decision: serde_json::from_value(json!("approved")).unwrap(),
                reason: None,
            },
            ..cancel("ses_1")
        };
        for n in 1..=3 {
            world.give(&host, &decide(n)).await;
        }
        let refusal =
            json!({ "code": "CONFLICT", "message": "another answer was first", "retryable": false });
        let body =
            json!({ "results": [{ "number": 1 }, { "number": 2, "error": refusal }, { "number": 3 }] });
        for _ in 0..2 {
            world.ok::<ep::AcknowledgeCommands>(&host.caller(), &[host.id()], "", &body).await;
        }
        // The Approval Service is away: nothing is lost.
        assert!(crate::commands::deliver_all_outcomes(world.foundation()).await.is_err());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (taken, failed) = (heard.clone(), Arc::new(AtomicBool::new(false)));
        let answer = move |path: axum::extract::Path<String>, body: axum::Json<Value>| {
            let (taken, failed) = (taken.clone(), failed.clone());
            async move {
                let error = |status, code| {
                    Err((status, axum::Json(json!({ "code": code, "message": "no", "retryable": false }))))
                };
                // One that fails holds up no other; one it does not know is dropped.
                if path.0 == "apr_1" && !failed.swap(true, Ordering::Relaxed) {
                    return error(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR");
                }
                if path.0 == "apr_1" {
                    return error(StatusCode::NOT_FOUND, "APPROVAL_NOT_FOUND");
                }
                taken.lock().unwrap().push((path.0, body.0));
                Ok(axum::Json(json!({})))
            }
        };
        world.peers([(Service::Approval, Router::new().route("/approvals/{id}/outcome", post(answer)))]);
        assert!(crate::commands::deliver_all_outcomes(world.foundation()).await.is_err());
        assert_eq!(heard.lock().unwrap().len(), 2);
        for _ in 0..2 {
            crate::commands::deliver_all_outcomes(world.foundation()).await.unwrap();
        }
        let mut heard = heard.lock().unwrap().clone();
        heard.sort_by_key(|(approval, _)| approval.clone());
        assert_eq!(heard.len(), 2);
        assert_eq!((heard[0].0.as_str(), &heard[0].1["outcome"]), ("apr_2", &json!("refused")));
        assert_eq!(heard[0].1["refusal"], "another answer was first");
        assert_eq!(
            (heard[1].1["proposalId"].as_str(), &heard[1].1["outcome"]),
            (Some("prp_3"), &json!("accepted"))
        );
    })
    .await;
}
