//! Beginning and going on.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use lanyard_governance_api::people::Role;
use lanyard_governance_foundation::testing::on_both;
use lanyard_protocol::Timestamp;
use serde_json::{Value, json};

use super::{Stage, agent, host, key, offer, person, request};
use crate::{MIGRATIONS, Settings};

const DAY: i64 = 24 * 3_600_000;

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_begins_with_everything_a_host_needs() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        let before = Timestamp::now();
        let grant = stage.begin("ses_1").await;
        assert_eq!(
            (&grant["sessionId"], &grant["compatibilityStatus"]),
            (&json!("ses_1"), &json!("compatible"))
        );
        assert_eq!(grant["policyBundle"]["sessionId"], "ses_1");
        assert_eq!(grant["policyBundle"]["capabilities"][0]["allowedPaths"], json!(["/home/mia/app"]));
        assert_eq!(
            (&grant["policyBundle"]["tenantId"], &grant["policyBundle"]["userId"]),
            (&json!("acme"), &json!("usr_mia"))
        );
        assert_eq!(
            (&grant["approvalRules"][0]["approvalRuleId"], &grant["whenAway"]),
            (&json!("r"), &json!("pause"))
        );
        assert_eq!(grant["featureFlags"], json!({"new": true}));
        let limits =
            json!({"maxSteps": 200, "maxSessionTokens": 3, "maxArtifactBytes": 50 << 20, "timeline": true});
        assert_eq!(grant["limits"], limits);
        assert!(time(&grant["expiresAt"]).millis_since(before) >= 24 * 3_600_000);
        let gateway = &grant["llmGateway"];
        assert_eq!(
            (&gateway["endpoint"], &gateway["model"]),
            (&json!("https://gateway.example/v1"), &json!("m"))
        );
        let token = gateway["authToken"].as_str().unwrap();
        let claims = key().verify(token, Timestamp::now()).unwrap();
        assert_eq!((claims.tenant.as_str(), claims.session.as_str()), ("acme", "ses_1"));
        assert!(key().verify(token, Timestamp::now().plus_millis(600_000)).is_err());

        let info = stage.ok(&person("acme", Role::Viewer), "GET", "/sessions/ses_1", None).await;
        assert_eq!((&info["state"], &info["name"]), (&json!("SESSION_CREATED"), &json!("app")));
        assert_eq!((&info["agentId"], &info["userId"]), (&json!("agt_a"), &json!("usr_mia")));
        assert_eq!(
            (&info["policyBundleVersion"], &info["workspaceId"]),
            (&json!("v1@epoch1"), &grant["workspaceId"])
        );
        assert_eq!(stage.count("trail").await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_policy_or_workspace_nothing_is_stored() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        stage.world(|world| world.revoked = true);
        let refused = stage.refused(&host(), "POST", "/sessions", request("ses_1")).await;
        assert_eq!(refused, (403, "POLICY_REVOKED".to_owned()));
        assert_eq!(stage.world(|world| world.workspaces), 0);
        stage.world(|world| (world.revoked, world.workspace_away) = (false, true));
        let refused = stage.refused(&host(), "POST", "/sessions", request("ses_1")).await;
        assert_eq!(refused, (503, "CENTRAL_UNAVAILABLE".to_owned()));
        assert_eq!((stage.count("sessions").await, stage.count("trail").await), (0, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_does_not_fit_gets_no_bundle_until_it_does() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        stage.world(|world| {
            world.min_version = Some("0.3.0".into());
            world.tools = vec!["ReadFile".into(), "GitPush".into()];
        });
        let mut body = request("ses_1").unwrap();
        body["supportedCapabilities"] = json!(["File.Read"]);
        body["supportedSchemaVersions"] = json!(["0.9"]);
        let (status, grant) = stage.call(&host(), "POST", "/sessions", Some(body)).await;
        assert_eq!((status.as_u16(), &grant["compatibilityStatus"]), (201, &json!("incompatible")));
        for absent in ["policyBundle", "llmGateway"] {
            assert_eq!(grant[absent], Value::Null, "{absent}");
        }
        assert_eq!(grant["approvalRules"], json!([]));
        let reason = grant["incompatibilityReason"].as_str().unwrap();
        for part in ["schema version 1.0", "0.2.0", "0.3.0", "GitPush", "LLM.Call"] {
            assert!(reason.contains(part), "{part}: {reason}");
        }
        assert_eq!(stage.state("ses_1").await, ("SESSION_FAILED".to_owned(), Some(reason.to_owned())));
        // A host that knows the session resumes it, and is told the same as long as nothing changed.
        let grant = stage.ok(&host(), "POST", "/sessions/ses_1/resume", Some(offer())).await;
        assert_eq!(grant["compatibilityStatus"], "incompatible");
        assert_eq!(stage.state("ses_1").await.0, "SESSION_FAILED");
        // Its host is updated and tries the same session again.
        let mut body = request("ses_1").unwrap();
        body["clientInfo"]["localAgentHostVersion"] = json!("0.3.0");
        body["supportedTools"] = json!(["GitPush", "ReadFile"]);
        let grant = stage.ok(&host(), "POST", "/sessions", Some(body)).await;
        assert_eq!(grant["compatibilityStatus"], "compatible");
        assert_eq!(stage.state("ses_1").await, ("SESSION_CREATED".to_owned(), None));
        assert_eq!(stage.world(|world| world.workspaces), 1);
        // Or the policy was mended, and the host goes on with what it has.
        let mut body = request("ses_2").unwrap();
        body["supportedTools"] = json!([]);
        stage.ok(&host(), "POST", "/sessions", Some(body)).await;
        assert_eq!(stage.state("ses_2").await.0, "SESSION_FAILED");
        stage.world(|world| (world.min_version, world.tools) = (None, vec![]));
        let grant = stage.ok(&host(), "POST", "/sessions/ses_2/resume", Some(offer())).await;
        assert_eq!(grant["compatibilityStatus"], "compatible");
        assert_eq!(stage.state("ses_2").await, ("SESSION_CREATED".to_owned(), None));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_count_as_versions_do() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        stage.world(|world| world.min_version = Some("0.10.0".into()));
        for (number, (version, fits)) in [
            (json!("0.9.9"), false),
            (json!("0.10.0"), true),
            (json!("0.10.0-rc.1"), false),
            (json!("1.0.0"), true),
            (json!("new"), false),
            (json!(null), false),
        ]
        .into_iter()
        .enumerate()
        {
            let mut body = request(&format!("ses_{number}")).unwrap();
            body["clientInfo"]["localAgentHostVersion"] = version.clone();
            let grant = stage.ok(&host(), "POST", "/sessions", Some(body)).await;
            assert_eq!(grant["compatibilityStatus"] == "compatible", fits, "{version}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_is_the_same_session_for_its_host_only() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        let first = stage.begin("ses_1").await;
        stage.world(|world| world.epoch = 2);
        let second = stage.begin("ses_1").await;
        assert_eq!(first["workspaceId"], second["workspaceId"]);
        assert_eq!(second["policyBundle"]["policyBundleVersion"], "v1@epoch2");
        let (status, error) =
            stage.call(&agent("acme", "agt_b"), "POST", "/sessions", request("ses_1")).await;
        assert_eq!((status.as_u16(), &error["code"]), (409, &json!("CONFLICT")));
        let theirs = stage.ok(&agent("other", "agt_a"), "POST", "/sessions", request("ses_1")).await;
        assert_ne!(theirs["workspaceId"], first["workspaceId"]);
        assert_eq!(stage.count("sessions").await, 2);
        // Without an id the server chooses.
        let mut body = request("x").unwrap();
        body.as_object_mut().unwrap().remove("sessionId");
        let own = stage.ok(&host(), "POST", "/sessions", Some(body.clone())).await;
        let other = stage.ok(&host(), "POST", "/sessions", Some(body)).await;
        assert_ne!(own["sessionId"], other["sessionId"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_who_begin_the_same_session_at_once_get_one() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        let grants = join_all((0..20).map(|_| stage.begin("ses_1"))).await;
        let workspaces: BTreeSet<&str> = grants.iter().map(|g| g["workspaceId"].as_str().unwrap()).collect();
        assert_eq!(workspaces.len(), 1);
        assert_eq!(stage.count("sessions").await, 1);
        let info = stage.ok(&host(), "GET", "/sessions/ses_1", None).await;
        assert_eq!(info["workspaceId"], grants[0]["workspaceId"]);
        // Of two hosts that want the same id, one has it.
        let (one, two) = (agent("acme", "agt_a"), agent("acme", "agt_b"));
        let race = join_all((0..20).map(|n| {
            let who = if n % 2 == 0 { &one } else { &two };
            stage.call(who, "POST", "/sessions", request("ses_2"))
        }))
        .await;
        let winner = stage.ok(&person("acme", Role::Viewer), "GET", "/sessions/ses_2", None).await;
        for (number, (status, _)) in race.iter().enumerate() {
            let won = (number % 2 == 0) == (winner["agentId"] == "agt_a");
            assert_eq!(status.as_u16(), if won { 201 } else { 409 });
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resume_brings_a_fresh_bundle_and_prolongs() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        let first = stage.begin("ses_1").await;
        stage.world(|world| (world.epoch, world.timeline) = (7, false));
        stage.ground.clock.set(DAY / 2);
        let grant = stage.ok(&host(), "POST", "/sessions/ses_1/resume", Some(offer())).await;
        assert_eq!(
            (&grant["policyBundle"]["policyEpoch"], &grant["limits"]["timeline"]),
            (&json!(7), &json!(false))
        );
        assert_eq!(grant["workspaceId"], first["workspaceId"]);
        assert_ne!(grant["llmGateway"]["authToken"], first["llmGateway"]["authToken"]);
        let longer = time(&grant["expiresAt"]).millis_since(time(&first["expiresAt"]));
        assert!(longer >= DAY as u64 / 2, "{longer}");
        // Past the first end, before the second.
        stage.ground.clock.set(DAY + 1_000);
        stage.ok(&host(), "POST", "/sessions/ses_1/resume", Some(offer())).await;
        // Not by a handshake that failed.
        let mut unfit = offer();
        unfit["supportedSchemaVersions"] = json!([]);
        let grant = stage.ok(&host(), "POST", "/sessions/ses_1/resume", Some(unfit)).await;
        assert_eq!(
            (&grant["compatibilityStatus"], &grant["policyBundle"]),
            (&json!("incompatible"), &Value::Null)
        );
        stage.ground.clock.set(3 * DAY);
        let refused = stage.refused(&host(), "POST", "/sessions/ses_1/resume", Some(offer())).await;
        assert_eq!(refused, (409, "SESSION_EXPIRED".to_owned()));
        assert_eq!(stage.refused(&host(), "POST", "/sessions", request("ses_1")).await.0, 409);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_does_not_outlive_its_session() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::with(ground, Settings { session_seconds: 60, ..Settings::default() });
        let grant = stage.begin("ses_1").await;
        assert_eq!(grant["policyBundle"]["expiresAt"], grant["expiresAt"]);
        assert_eq!(grant["llmGateway"], Value::Null);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_is_not_gone_on_with() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        stage.begin("ses_1").await;
        let reason = Some(json!({"reason": "enough"}));
        stage.ok(&person("acme", Role::Approver), "POST", "/sessions/ses_1/cancel", reason).await;
        let (status, error) = stage.call(&host(), "POST", "/sessions/ses_1/resume", Some(offer())).await;
        assert_eq!((status.as_u16(), &error["code"]), (409, &json!("CONFLICT")));
        assert!(error["message"].as_str().unwrap().contains("enough"), "{error}");
        assert_eq!(error["details"]["state"], "SESSION_CANCELLED");
        assert_eq!(stage.refused(&host(), "POST", "/sessions", request("ses_1")).await.0, 409);
        stage.begin("ses_2").await;
        stage.world(|world| world.revoked = true);
        let refused = stage.refused(&host(), "POST", "/sessions/ses_2/resume", Some(offer())).await;
        assert_eq!(refused, (403, "POLICY_REVOKED".to_owned()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_out_of_bounds_are_refused() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        for (member, value) in [
            ("name", json!("x".repeat(2_001))),
            ("name", json!("a\u{0}b")),
            ("supportedTools", json!(vec!["x"; 1_001])),
            ("supportedCapabilities", json!(["x".repeat(201)])),
            ("clientInfo", json!({"osVersion": "x".repeat(201)})),
            ("workspaceHint", json!({"localPaths": vec!["/a"; 17]})),
            ("workspaceHint", json!({"localPaths": vec!["/ä".repeat(400); 16]})),
            ("sessionId", json!("a b")),
            ("tenantId", json!("other")),
        ] {
            let mut body = request("ses_1").unwrap();
            body[member] = value;
            assert_eq!(stage.call(&host(), "POST", "/sessions", Some(body)).await.0, 400, "{member}");
        }
        assert_eq!(stage.count("sessions").await, 0);
        assert_eq!(
            stage.call(&person("acme", Role::Admin), "POST", "/sessions", request("ses_1")).await.0,
            403
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_host_and_policy_do_not_fit_is_told_in_bounds() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        stage.world(|world| world.tools = vec!["ä".repeat(50_000)]);
        let grant = stage.begin("ses_1").await;
        let reason = grant["incompatibilityReason"].as_str().unwrap();
        assert!(reason.starts_with("the host lacks tools") && reason.len() <= 2_000, "{}", reason.len());
        assert_eq!(stage.state("ses_1").await.1.as_deref(), Some(reason));
    })
    .await;
}
