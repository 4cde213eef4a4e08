//! Jobs.

use super::*;
use crate::{MIGRATIONS, chores};
use lanyard_governance_api::command::Order;
use lanyard_governance_api::job::{Job, JobState};
use lanyard_governance_foundation::testing::on_both;

fn new_job(host: &Host, key: &str) -> Value {
    json!({ "agentId": host.id(), "toolName": "shell", "arguments": { "command": "ls" }, "workspace": "/code/project",
        "title": "see what is there", "idempotencyKey": key, "expiresInSeconds": null })
}

fn says(state: &str, key: &str) -> Value {
    json!({ "state": state, "leaseKey": key, "sessionId": null, "reason": null, "result": null })
}

impl World {
    async fn job(&self, host: &Host, key: &str) -> Job {
        self.ok::<ep::CreateJob>(&admin(host.tenant()), &[], "", &new_job(host, key)).await
    }

    async fn report(&self, host: &Host, job: &Job, body: &Value) -> Answer {
        self.call::<ep::ReportJob>(&host.caller(), &[job.job_id.as_str()], "", body).await
    }

    async fn state(&self, job: &Job) -> JobState {
        self.ok::<ep::GetJob>(&viewer("acme"), &[job.job_id.as_str()], "", &json!({})).await.state
    }

    async fn orders(&self, host: &Host) -> Vec<Order> {
        let found = self.ok::<ep::PollCommands>(&host.caller(), &[host.id()], "", &json!({})).await;
        found.commands.into_iter().map(|command| command.order).collect()
    }

    async fn stored_state(&self, job: &Job) -> String {
        let mut tx = self.foundation().database.across_read().await.unwrap();
        let sql = "SELECT state FROM jobs WHERE job_id = $1";
        tx.one(Statement::new(sql).bind_id(&job.job_id)).await.unwrap().unwrap().text("state").unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_dispatched_claimed_run_and_seen() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let (host, other) = (world.online("acme").await, world.online("acme").await);
        let job = world.job(&host, "key-1").await;
        assert_eq!((job.state, job.created_by.as_str()), (JobState::Queued, "usr_ada"));
        assert_eq!(world.job(&host, "key-1").await.job_id, job.job_id, "the same key is the same job");
        let mut other_content = new_job(&host, "key-1");
        other_content["arguments"] = json!({ "command": "rm" });
        let answer = world.call::<ep::CreateJob>(&admin("acme"), &[], "", &other_content).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "CONFLICT"));
        assert_eq!(world.orders(&host).await, [Order::Job { job_id: job.job_id.clone() }]);

        let refused = |answer: Answer, what: &str| {
            assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "CONFLICT"), "{what}");
        };
        refused(world.report(&host, &job, &says("running", "life-1")).await, "not claimed");
        let stranger = world.report(&other, &job, &says("leased", "life-x")).await;
        assert_eq!(stranger.status, StatusCode::NOT_FOUND);
        let seen = world.call::<ep::GetJob>(&other.caller(), &[job.job_id.as_str()], "", &json!({})).await;
        assert_eq!(seen.status, StatusCode::NOT_FOUND);
        for state in ["queued", "expired"] {
            assert_eq!(world.report(&host, &job, &says(state, "life-1")).await.status, StatusCode::BAD_REQUEST);
        }
        let claimed = world.report(&host, &job, &says("leased", "life-1")).await;
        assert_eq!((claimed.status, claimed.body["state"].as_str()), (StatusCode::OK, Some("leased")));
        let claimed = world.report(&host, &job, &says("leased", "life-1")).await;
        assert_eq!(claimed.status, StatusCode::OK, "its own repetition");
        refused(world.report(&host, &job, &says("leased", "life-2")).await, "an other life of the host");
        let mut begun = says("running", "life-1");
        begun["sessionId"] = json!("ses_7");
        assert_eq!(world.report(&host, &job, &begun).await.body["sessionId"], "ses_7");
        refused(world.report(&host, &job, &says("leased", "life-1")).await, "backwards");
        let result = json!({ "toolName": "shell", "workspaceId": "w", "sessionId": "ses_7", "taskId": "t", "stepId": "s",
            "toolCallId": "c", "status": "succeeded", "outputText": "a b", "error": null });
        let mut early = says("running", "life-1");
        early["result"] = result.clone();
        assert_eq!(world.report(&host, &job, &early).await.status, StatusCode::BAD_REQUEST);
        let mut ended = says("succeeded", "life-1");
        ended["result"] = result;
        let long = "x".repeat(2 << 20);
        let mut too_long = ended.clone();
        too_long["result"]["outputText"] = json!(long);
        assert_eq!(world.report(&host, &job, &too_long).await.status, StatusCode::PAYLOAD_TOO_LARGE);
        let over = world.report(&host, &job, &ended).await;
        assert_eq!((over.status, &over.body["leaseUntil"]), (StatusCode::OK, &Value::Null), "{}", over.body);
        assert_eq!(world.report(&host, &job, &ended).await.status, StatusCode::OK, "after a lost answer");
        refused(world.report(&host, &job, &says("failed", "life-1")).await, "over");
        let seen = world.ok::<ep::GetJob>(&viewer("acme"), &[job.job_id.as_str()], "", &json!({})).await;
        assert_eq!(seen.state, JobState::Succeeded);
        assert_eq!(seen.result.unwrap().output_text.as_deref(), Some("a b"));
        assert_eq!(seen.session_id.unwrap().as_str(), "ses_7");
        let trail = world.trail("acme").await;
        for kind in ["job_created", "job_claimed", "job_started", "job_ended"] {
            assert_eq!(trail.iter().filter(|other| *other == kind).count(), 1, "{kind}: {trail:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_only_where_the_owner_takes_it() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let host = world.enrol("acme").await;
        let tries = async |change: &dyn Fn(&mut Value)| {
            let mut body = new_job(&host, "key");
            change(&mut body);
            world.call::<ep::CreateJob>(&admin("acme"), &[], "", &body).await
        };
        let conflict = |answer: Answer, why: &str| {
            assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "CONFLICT"), "{why}");
            assert!(answer.message().contains(why), "{}", answer.message());
        };
        conflict(tries(&|_| {}).await, "not online");
        world.beat(&host, |beat| beat.accepts_jobs = false).await;
        conflict(tries(&|_| {}).await, "takes no jobs");
        world.beat(&host, |beat| beat.workspaces.clear()).await;
        conflict(tries(&|_| {}).await, "names no directory");
        world.beat(&host, |_| {}).await;
        for path in ["/", "/codeshop", "/code/../etc", "/etc"] {
            conflict(tries(&|body| body["workspace"] = json!(path)).await, "/code only");
        }
        for (member, value) in [
            ("arguments", json!([1])),
            ("arguments", json!({ "x": "y".repeat(70_000) })),
            ("title", json!("")),
            ("toolName", json!(" ")),
            ("expiresInSeconds", json!(9)),
            ("expiresInSeconds", json!(86_401)),
            ("workspace", json!("")),
        ] {
            let answer = tries(&|body| body[member] = value.clone()).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{member}");
        }
        let nobody = tries(&|body| body["agentId"] = json!("agt_none")).await;
        assert_eq!(nobody.status, StatusCode::NOT_FOUND);
        for role in [Role::Viewer, Role::Approver] {
            let answer =
                world.call::<ep::CreateJob>(&person("acme", role), &[], "", &new_job(&host, "key")).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN);
        }
        assert!(world.orders(&host).await.is_empty());
        assert_eq!(tries(&|_| {}).await.status, StatusCode::CREATED);
        world.ground.clock.set(4 * MINUTE);
        // Gone offline since; the same request is still answered.
        assert_eq!(tries(&|_| {}).await.status, StatusCode::CREATED);
        conflict(tries(&|body| body["idempotencyKey"] = json!("key-2")).await, "not online");
        world.ok::<ep::RevokeAgent>(&admin("acme"), &[host.id()], "", &json!({ "reason": "x" })).await;
        conflict(tries(&|body| body["idempotencyKey"] = json!("key-3")).await, "revoked");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_job_sent_many_times_at_once_is_one() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let replica = world.replica();
        let host = world.online("acme").await;
        let sends = (0..12).map(|n| (if n % 2 == 0 { &world } else { &replica }).job(&host, "key"));
        let jobs = futures_util::future::join_all(sends).await;
        assert!(jobs.windows(2).all(|pair| pair[0].job_id == pair[1].job_id));
        assert_eq!(world.orders(&host).await.len(), 1);
        // And claimed by many lives at once, it is one's.
        let lives: Vec<_> = (0..12).map(|n| says("leased", &format!("life-{n}"))).collect();
        let claims = lives
            .iter()
            .enumerate()
            .map(|(n, body)| (if n % 2 == 0 { &world } else { &replica }).report(&host, &jobs[0], body));
        let claims = futures_util::future::join_all(claims).await;
        assert_eq!(claims.iter().filter(|claim| claim.status == StatusCode::OK).count(), 1);
        assert_eq!(claims.iter().filter(|claim| claim.status == StatusCode::CONFLICT).count(), 11);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_end_on_the_servers_clock() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let host = world.online("acme").await;
        let mut jobs = Vec::new();
        for key in ["unclaimed", "leased", "running", "renewed", "late"] {
            jobs.push(world.job(&host, key).await);
        }
        let [unclaimed, leased, running, renewed, late] = jobs.try_into().unwrap();
        for job in [&leased, &running, &renewed, &late] {
            assert_eq!(world.report(&host, job, &says("leased", "life")).await.status, StatusCode::OK);
        }
        for job in [&running, &renewed] {
            world.report(&host, job, &says("running", "life")).await;
        }
        world.ground.clock.set(50_000);
        assert_eq!(world.report(&host, &renewed, &says("running", "life")).await.status, StatusCode::OK);
        crate::jobs::settle_due(world.foundation()).await.unwrap();
        assert_eq!(world.stored_state(&running).await, "running");
        world.ground.clock.set(70_000);
        // Before any chore: what is due is due.
        assert_eq!(world.state(&running).await, JobState::Indeterminate);
        let answer = world.report(&host, &late, &says("running", "life")).await;
        assert_eq!(
            (answer.status, answer.body["details"]["state"].as_str()),
            (StatusCode::CONFLICT, Some("expired"))
        );
        assert_eq!(world.stored_state(&late).await, "expired");
        // Two replicas settle at the same time; it is recorded once.
        let (one, two) = tokio::join!(
            crate::jobs::settle_due(world.foundation()),
            crate::jobs::settle_due(world.foundation())
        );
        one.unwrap();
        two.unwrap();
        assert_eq!(world.stored_state(&leased).await, "expired");
        assert_eq!(world.stored_state(&running).await, "indeterminate");
        assert_eq!(world.stored_state(&renewed).await, "running");
        assert_eq!(world.stored_state(&unclaimed).await, "queued");
        for key in ["life", "another-life"] {
            let answer = world.report(&host, &running, &says("leased", key)).await;
            assert_eq!(answer.status, StatusCode::CONFLICT, "it never runs again");
        }
        world.ground.clock.set(3_601_000);
        crate::jobs::settle_due(world.foundation()).await.unwrap();
        assert_eq!(world.stored_state(&unclaimed).await, "expired");
        assert_eq!(
            world.report(&host, &unclaimed, &says("leased", "life")).await.status,
            StatusCode::CONFLICT
        );
        let trail = world.trail("acme").await;
        assert_eq!(trail.iter().filter(|kind| *kind == "job_ended").count(), 5, "{trail:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_away_tells_late_how_a_job_ended() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let (host, other) = (world.online("acme").await, world.online("acme").await);
        let mut jobs = Vec::new();
        for key in ["lost", "told", "unknown", "revoked"] {
            let job = world.job(if key == "revoked" { &other } else { &host }, key).await;
            for state in ["leased", "running"] {
                let host = if key == "revoked" { &other } else { &host };
                assert_eq!(world.report(host, &job, &says(state, "life")).await.status, StatusCode::OK);
            }
            jobs.push(job);
        }
        let [lost, told, unknown, revoked] = jobs.try_into().unwrap();
        world.ok::<ep::RevokeAgent>(&admin("acme"), &[other.id()], "", &json!({ "reason": "x" })).await;
        world.ground.clock.set(70_000);
        crate::jobs::settle_due(world.foundation()).await.unwrap();
        let get = async |job: &Job| {
            world.ok::<ep::GetJob>(&viewer("acme"), &[job.job_id.as_str()], "", &json!({})).await
        };
        let given_up = get(&told).await;
        assert_eq!((given_up.state, given_up.late), (JobState::Indeterminate, false));
        assert!(given_up.reason.unwrap().contains("unless the host comes back"));
        // It still runs: nothing changes but what is said of it.
        for _ in 0..2 {
            let answer = world.report(&host, &told, &says("running", "life")).await;
            assert_eq!(
                (answer.status, answer.body["state"].as_str()),
                (StatusCode::OK, Some("indeterminate"))
            );
        }
        assert!(get(&told).await.reason.unwrap().contains("still runs"));
        // Only whoever held the lease knows.
        let another_life = world.report(&host, &told, &says("succeeded", "another-life")).await;
        assert_eq!(another_life.status, StatusCode::CONFLICT);
        let stranger = world.report(&other, &told, &says("succeeded", "life")).await;
        assert_eq!(stranger.status, StatusCode::NOT_FOUND);
        let mut ended = says("failed", "life");
        ended["reason"] = json!(format!("no such file\u{7}{}", "x".repeat(9_000)));
        // On two replicas at once, and again after a lost answer.
        let replica = world.replica();
        let (one, two) =
            tokio::join!(world.report(&host, &told, &ended), replica.report(&host, &told, &ended));
        assert_eq!((one.status, two.status), (StatusCode::OK, StatusCode::OK), "{} {}", one.body, two.body);
        let seen = get(&told).await;
        assert_eq!((seen.state, seen.late), (JobState::Failed, true));
        assert!(seen.reason.unwrap().starts_with("no such file x"), "words are cut, and never refused");
        for state in ["succeeded", "running", "indeterminate"] {
            let answer = world.report(&host, &told, &says(state, "life")).await;
            assert_eq!(answer.status, StatusCode::CONFLICT, "{state}: told once");
        }
        // A host that does not know either has said so, and that is the end of it.
        let answer = world.report(&host, &unknown, &says("indeterminate", "life")).await;
        assert_eq!(answer.body["late"], true);
        let answer = world.report(&host, &unknown, &says("succeeded", "life")).await;
        assert_eq!(answer.status, StatusCode::CONFLICT);
        // Nobody comes back for a revoked host's, and one that nobody tells of stays.
        let answer = world.report(&other, &revoked, &says("succeeded", "life")).await;
        assert_eq!(answer.status, StatusCode::CONFLICT);
        assert_eq!((get(&lost).await.state, get(&lost).await.late), (JobState::Indeterminate, false));
        let listed = world.ok::<ep::ListJobs>(&viewer("acme"), &[], "?state=failed", &json!({})).await;
        assert!(listed.items.len() == 1 && listed.items[0].late);
        let trail = world.trail("acme").await;
        assert_eq!(trail.iter().filter(|kind| *kind == "job_ended_late").count(), 2, "{trail:?}");
        assert_eq!(trail.iter().filter(|kind| *kind == "job_ended").count(), 4, "{trail:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_ends_with_the_rights_of_whoever_dispatched_it() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let host = world.online("acme").await;
        for (n, role, why) in
            [(1, Some(Role::Approver), "no administrator any more"), (2, None, "was removed")]
        {
            let (waits, runs) =
                (world.job(&host, &format!("waits-{n}")).await, world.job(&host, &format!("runs-{n}")).await);
            assert_eq!(world.report(&host, &runs, &says("leased", "life")).await.status, StatusCode::OK);
            world.people.put("usr_ada", role);
            let answer = world.report(&host, &waits, &says("leased", "life")).await;
            assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "CONFLICT"));
            assert!(answer.message().contains(why), "{}", answer.message());
            assert_eq!(world.stored_state(&waits).await, "denied");
            // One that was claimed is the host's.
            for state in ["leased", "running", "succeeded"] {
                assert_eq!(world.report(&host, &runs, &says(state, "life")).await.status, StatusCode::OK);
            }
            world.people.put("usr_ada", Some(Role::Admin));
        }
        // While nobody can be asked, it waits.
        let waits = world.job(&host, "away").await;
        world.others.0.lock().unwrap().remove(&Service::Identity);
        let answer = world.report(&host, &waits, &says("leased", "life")).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        world.peers([(Service::Identity, world.people.router())]);
        assert_eq!(world.report(&host, &waits, &says("leased", "life")).await.status, StatusCode::OK);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_takes_a_job_back() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let host = world.online("acme").await;
        let (queued, leased, running) =
            (world.job(&host, "1").await, world.job(&host, "2").await, world.job(&host, "3").await);
        for job in [&leased, &running] {
            world.report(&host, job, &says("leased", "life")).await;
        }
        world.report(&host, &running, &says("running", "life")).await;
        let approver = person("acme", Role::Approver);
        let cancel = async |job: &Job| {
            world.call::<ep::CancelJob>(&approver, &[job.job_id.as_str()], "", &json!({})).await
        };
        for job in [&queued, &leased] {
            for _ in 0..2 {
                assert_eq!(cancel(job).await.body["state"], "cancelled");
            }
            let answer = world.report(&host, job, &says("running", "life")).await;
            assert_eq!(answer.status, StatusCode::CONFLICT, "it does not run any more");
            assert!(answer.message().contains("taken back by Ada"), "{}", answer.message());
        }
        for _ in 0..2 {
            let asked = cancel(&running).await;
            assert_eq!((asked.status, asked.body["state"].as_str()), (StatusCode::OK, Some("running")));
        }
        let orders = world.orders(&host).await;
        let told: Vec<_> = orders.iter().filter(|order| matches!(order, Order::CancelJob { .. })).collect();
        let ids = [&leased, &running].map(|job| Order::CancelJob { job_id: job.job_id.clone() });
        assert_eq!(told, [&ids[0], &ids[1]], "each is told once");
        assert_eq!(world.report(&host, &running, &says("cancelled", "life")).await.status, StatusCode::OK);
        assert_eq!(cancel(&running).await.body["state"], "cancelled");
        let done = world.job(&host, "4").await;
        world.report(&host, &done, &says("leased", "life")).await;
        world.report(&host, &done, &says("denied", "life")).await;
        assert_eq!(cancel(&done).await.status, StatusCode::CONFLICT);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_refuses_or_is_revoked_leaves_no_job_open() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let host = world.online("acme").await;
        let refused = world.job(&host, "1").await;
        let error =
            json!({ "code": "UNAUTHORIZED", "message": "the owner\0changed their mind", "retryable": false });
        let body = json!({ "results": [{ "number": 1, "error": error }] });
        world.ok::<ep::AcknowledgeCommands>(&host.caller(), &[host.id()], "", &body).await;
        let seen = world.ok::<ep::GetJob>(&viewer("acme"), &[refused.job_id.as_str()], "", &json!({})).await;
        assert_eq!(
            (seen.state, seen.reason.as_deref()),
            (JobState::Denied, Some("the owner changed their mind"))
        );
        let (queued, running) = (world.job(&host, "2").await, world.job(&host, "3").await);
        world.report(&host, &running, &says("leased", "life")).await;
        world.report(&host, &running, &says("running", "life")).await;
        world.ok::<ep::RevokeAgent>(&admin("acme"), &[host.id()], "", &json!({ "reason": "x" })).await;
        assert_eq!(world.state(&queued).await, JobState::Cancelled);
        assert_eq!(world.state(&running).await, JobState::Indeterminate);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_listed_and_in_time_forgotten() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let (host, other) = (world.online("acme").await, world.online("acme").await);
        let mut wanted = Vec::new();
        for n in 0..5 {
            let host = if n == 3 { &other } else { &host };
            wanted.insert(0, world.job(host, &n.to_string()).await.job_id);
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        let mut seen = Vec::new();
        let mut query = "?limit=2".to_owned();
        loop {
            let page = world.ok::<ep::ListJobs>(&viewer("acme"), &[], &query, &json!({})).await;
            seen.extend(page.items.into_iter().map(|job| job.job_id));
            let Some(next) = page.next_token else { break };
            query = format!("?limit=2&nextToken={next}");
        }
        assert_eq!(seen, wanted);
        let count = async |query: &str| {
            world.ok::<ep::ListJobs>(&viewer("acme"), &[], query, &json!({})).await.items.len()
        };
        assert_eq!(count(&format!("?agentId={}", other.id())).await, 1);
        assert_eq!(count(&format!("?state=queued&agentId={}", host.id())).await, 4);
        assert_eq!(count("?state=running").await, 0);
        assert_eq!(
            world.call::<ep::ListJobs>(&viewer("acme"), &[], "?state=nonsense", &json!({})).await.status,
            StatusCode::BAD_REQUEST
        );
        // The chore settles and forgets; what still counts is left.
        world.beat(&host, |_| {}).await;
        let token = world.token("acme", |_| {}).await;
        world.ground.clock.set(100 * DAY);
        crate::jobs::settle_due(world.foundation()).await.unwrap();
        chores::sweep(world.foundation()).await.unwrap();
        assert_eq!(count("?state=expired").await, 5, "they ended just now");
        let tokens = world.ok::<ep::ListEnrolmentTokens>(&admin("acme"), &[], "", &json!({})).await;
        assert!(tokens.items.iter().all(|one| one.token_id != token.record.token_id));
        assert_eq!(world.who(host.issued.service_token.as_bytes()).await, Caller::Nobody);
        assert_eq!(world.agent(&host).await.agent_id, host.issued.agent_id, "hosts stay");
        world.ground.clock.set(200 * DAY);
        chores::sweep(world.foundation()).await.unwrap();
        assert_eq!(count("").await, 0);
        let mut tx = world.foundation().database.across_read().await.unwrap();
        for table in ["SELECT COUNT(*) AS n FROM commands", "SELECT COUNT(*) AS n FROM proof_nonces"] {
            assert_eq!(tx.one(Statement::new(table)).await.unwrap().unwrap().int("n").unwrap(), 0, "{table}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chores_settle_and_stop() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let host = world.online("acme").await;
        let job = world.job(&host, "1").await;
        world.ground.clock.set(2 * 3_600_000);
        let stop = CancellationToken::new();
        let replicas =
            [(); 2].map(|()| tokio::spawn(crate::chores(world.foundation().clone(), stop.clone())));
        let begun = std::time::Instant::now();
        while world.stored_state(&job).await != "expired" {
            assert!(begun.elapsed().as_secs() < 60);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        stop.cancel();
        for replica in replicas {
            tokio::time::timeout(std::time::Duration::from_secs(60), replica).await.unwrap().unwrap();
        }
    })
    .await;
}
