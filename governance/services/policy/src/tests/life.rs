//! Versions, what is in force, bundles.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use lanyard_governance_api::people::Role;
use lanyard_governance_foundation::Statement;
use lanyard_governance_foundation::permits::Permits;
use lanyard_governance_foundation::testing::{Ground, on_both};
use lanyard_policy::layer::Layers;
use lanyard_protocol::Timestamp;
use lanyard_protocol::policy::PolicyBundle;
use serde_json::{Value, json};

use super::{Stage, admin, agent, new, person, service};
use crate::{MIGRATIONS, Settings, State};

const CURRENT: &str = "/policies/current";

fn bundle_path(session: &str, directories: &str) -> String {
    let escaped: String = directories.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("/policy-bundles?sessionId={session}&userId=usr_mia&localPaths={escaped}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_begins_with_one_first_version_however_many_ask() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        let who = person("acme", Role::Viewer);
        let answers = join_all((0..20).map(|_| stage.ok(&who, "GET", CURRENT, None))).await;
        for answer in answers {
            assert_eq!((&answer["epoch"], &answer["active"]["version"]), (&json!(1), &json!(1)));
            assert_eq!(answer["rollout"], json!({"online": 2, "confirmed": 1, "waiting": ["agt_b"]}));
        }
        let told = stage.ok(&service("acme"), "GET", CURRENT, None).await;
        assert_eq!((&told["epoch"], &told["rollout"]["online"]), (&json!(1), &json!(0)));
        let list = stage.ok(&who, "GET", "/policies", None).await;
        assert_eq!(list["items"].as_array().unwrap().len(), 1);
        assert_eq!(list["items"][0]["active"], true);
        assert_eq!(list["nextToken"], Value::Null);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_saved_put_in_force_and_rolled_back() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        let mia = admin("acme");
        let draft = stage.ok(&mia, "POST", "/policies", new("draft", false, None)).await;
        assert_eq!((&draft["version"], &draft["createdBy"]), (&json!(2), &json!("usr_mia")));
        assert_eq!(stage.ok(&mia, "GET", CURRENT, None).await["epoch"], 1);
        let saved = stage.ok(&mia, "POST", "/policies", new("better", true, Some(1))).await;
        assert_eq!(saved["version"], 3);
        let state = stage.ok(&mia, "GET", CURRENT, None).await;
        assert_eq!((&state["epoch"], &state["active"]["version"]), (&json!(2), &json!(3)));
        let state = stage.ok(&mia, "POST", "/policies/versions/1/activate", None).await;
        assert_eq!((&state["epoch"], &state["active"]["version"]), (&json!(3), &json!(1)));
        // Once more changes nothing.
        let state = stage.ok(&mia, "POST", "/policies/versions/1/activate", None).await;
        assert_eq!(state["epoch"], 3);
        let (status, error) = stage.call(&mia, "POST", "/policies", new("late", true, Some(3))).await;
        assert_eq!((status.as_u16(), &error["code"]), (409, &json!("CONFLICT")), "{error}");
        assert_eq!(error["details"]["inForce"], 1);
        assert_eq!(stage.channel.epochs(), [(2, false), (3, false)]);
        let version = stage.ok(&mia, "GET", "/policies/versions/3", None).await;
        assert_eq!(version["comment"], "better");
        for missing in ["9", "0", "99999999999999999999", "-1", "x"] {
            let path = format!("/policies/versions/{missing}");
            assert_eq!(stage.call(&mia, "GET", &path, None).await.0, 404, "{missing}");
            let path = format!("{path}/activate");
            assert_eq!(stage.call(&mia, "POST", &path, None).await.0, 404, "{missing}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_began_from_the_same_version_one_wins() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        let mia = admin("acme");
        stage.ok(&mia, "GET", CURRENT, None).await;
        let race =
            join_all((0..12).map(|_| stage.call(&mia, "POST", "/policies", new("mine", true, Some(1)))));
        let statuses: Vec<u16> = race.await.into_iter().map(|(status, _)| status.as_u16()).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| [201, 409].contains(status)), "{statuses:?}");
        let state = stage.ok(&mia, "GET", CURRENT, None).await;
        assert_eq!((&state["epoch"], &state["active"]["version"]), (&json!(2), &json!(2)));
        // Without a base all are saved, each under a number of its own.
        let all = join_all((0..8).map(|_| stage.ok(&mia, "POST", "/policies", new("any", true, None)))).await;
        let mut numbers: Vec<u64> = all.iter().map(|saved| saved["version"].as_u64().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (3..=10).collect::<Vec<_>>());
        assert_eq!(stage.ok(&mia, "GET", CURRENT, None).await["epoch"], 10);
        // The last thing told is the last that happened.
        assert_eq!(stage.channel.epochs().last(), Some(&(10, false)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_put_in_force_that_hosts_would_refuse() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        let mia = admin("acme");
        let mut wrong = new("wrong", true, None).unwrap();
        wrong["document"]["llmPolicy"]["allowedModels"] = json!([]);
        let (status, error) = stage.call(&mia, "POST", "/policies", Some(wrong.clone())).await;
        assert_eq!((status.as_u16(), &error["code"]), (400, &json!("POLICY_BUNDLE_INVALID")));
        // It can be kept as a draft, and not be put in force later either.
        wrong["activate"] = json!(false);
        let draft = stage.ok(&mia, "POST", "/policies", Some(wrong.clone())).await;
        let path = format!("/policies/versions/{}/activate", draft["version"]);
        assert_eq!(stage.call(&mia, "POST", &path, None).await.0, 400);
        assert_eq!(stage.ok(&mia, "GET", CURRENT, None).await["epoch"], 1);
        let body = json!({"document": wrong["document"]});
        let told = stage.ok(&person("acme", Role::Viewer), "POST", "/policies/validate", Some(body)).await;
        assert_eq!(told["problems"][0]["pointer"], "/llmPolicy/allowedModels");
        let long = new(&"x".repeat(2_001), false, None);
        assert_eq!(stage.call(&mia, "POST", "/policies", long).await.0, 400);
        assert_eq!(stage.call(&mia, "POST", "/policies", new("a\0b", false, None)).await.0, 400);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_means_no_bundle_until_something_is_in_force_again() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        let mia = admin("acme");
        let reason = json!({"reason": "a leak"});
        let state = stage.ok(&mia, "POST", "/policies/revoke", Some(reason.clone())).await;
        assert_eq!((&state["epoch"], &state["active"]), (&json!(2), &Value::Null));
        assert_eq!(
            (&state["revoked"]["reason"], &state["revoked"]["by"]),
            (&json!("a leak"), &json!("usr_mia"))
        );
        // Once more changes nothing, not even the reason.
        let again = stage.ok(&mia, "POST", "/policies/revoke", Some(json!({"reason": "other"}))).await;
        assert_eq!((&again["epoch"], &again["revoked"]["reason"]), (&json!(2), &json!("a leak")));
        let (status, error) = stage.call(&service("acme"), "GET", &bundle_path("ses_1", "[]"), None).await;
        assert_eq!((status.as_u16(), &error["code"]), (403, &json!("POLICY_REVOKED")));
        assert_eq!(error["message"], "Mia revoked the policy: a leak");
        assert_eq!(error["details"], json!({"reason": "a leak", "epoch": 2}));
        let dry = json!({"workspace": ["/w"], "action": {"tool": {"name": "x"}}});
        let verdict = stage.ok(&mia, "POST", "/policies/dry-run", Some(dry)).await;
        assert_eq!(verdict["standing"], "never");
        let list = stage.ok(&mia, "GET", "/policies", None).await;
        assert_eq!(list["items"][0]["active"], false);
        // Another tenant is not concerned.
        stage.ok(&service("other"), "GET", &bundle_path("ses_1", "[]"), None).await;
        // Whoever began before the revocation may go on from there.
        let saved = stage.ok(&mia, "POST", "/policies", new("again", true, Some(1))).await;
        let issued = stage.ok(&service("acme"), "GET", &bundle_path("ses_1", "[]"), None).await;
        assert_eq!(issued["bundle"]["policyBundleVersion"], format!("v{}@epoch3", saved["version"]));
        assert_eq!(stage.channel.epochs(), [(2, true), (3, false)]);
        for body in [json!({"reason": " "}), json!({"reason": "x".repeat(2_001)}), json!({})] {
            assert_eq!(stage.call(&mia, "POST", "/policies/revoke", Some(body)).await.0, 400);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_is_filled_in_for_its_session_and_hosts_take_it() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        let path = bundle_path("ses_1", r#"["/home/mia/app/","/srv/x y"]"#);
        let issued = stage.ok(&service("acme"), "GET", &path, None).await;
        let bundle: PolicyBundle = serde_json::from_value(issued["bundle"].clone()).unwrap();
        let (session, now) = (bundle.session_id.clone(), Timestamp::now());
        assert_eq!(
            (session.as_str(), bundle.tenant_id.as_str(), bundle.user_id.as_str()),
            ("ses_1", "acme", "usr_mia")
        );
        assert_eq!((bundle.policy_epoch, bundle.policy_bundle_version.as_str()), (1, "v1@epoch1"));
        let left = bundle.expires_at.millis_since(now);
        assert!((8 * 3_600_000 - 60_000..=8 * 3_600_000).contains(&left), "{left}");
        let paths = bundle.capabilities[0].allowed_paths.as_deref().unwrap();
        assert_eq!(paths, ["/home/mia/app", "/srv/x y"]);
        Layers::validate(vec![("central", bundle)], &session, now).unwrap();
        assert_eq!((&issued["timeline"], &issued["whenAway"]), (&json!(true), &json!("continue")));
        // Without directories nothing of the file system is granted.
        let issued = stage.ok(&service("acme"), "GET", &bundle_path("ses_1", "[]"), None).await;
        assert_eq!(issued["bundle"]["capabilities"][0]["allowedPaths"], json!([]));
        let many = serde_json::to_string(&vec!["/a"; 17]).unwrap();
        let long = format!(r#"["/{}"]"#, "a/".repeat(1_600));
        for wrong in ["", "x", "[1]", r#"["a"]"#, r#"["C:\\x"]"#, many.as_str(), long.as_str()] {
            let (status, _) = stage.call(&service("acme"), "GET", &bundle_path("ses_1", wrong), None).await;
            assert_eq!(status, 400, "{wrong}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tenant_and_each_role_has_its_own() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        stage.ok(&admin("acme"), "POST", "/policies", new("ours", true, None)).await;
        let theirs = stage.ok(&admin("other"), "GET", CURRENT, None).await;
        assert_eq!((&theirs["epoch"], &theirs["active"]["version"]), (&json!(1), &json!(1)));
        assert_eq!(stage.call(&admin("other"), "GET", "/policies/versions/2", None).await.0, 404);
        assert_eq!(stage.call(&admin("other"), "POST", "/policies/versions/2/activate", None).await.0, 404);
        let reason = Some(json!({"reason": "x"}));
        for (caller, method, path, body) in [
            (person("acme", Role::Approver), "POST", "/policies", new("x", true, None)),
            (person("acme", Role::Approver), "POST", "/policies/versions/1/activate", None),
            (person("acme", Role::Approver), "POST", "/policies/revoke", reason.clone()),
            (agent("acme"), "GET", CURRENT, None),
            (agent("acme"), "POST", "/policies/revoke", reason),
            (agent("acme"), "GET", &bundle_path("ses_1", "[]"), None),
            (admin("acme"), "GET", &bundle_path("ses_1", "[]"), None),
        ] {
            assert_eq!(stage.call(&caller, method, path, body).await.0, 403, "{method} {path}");
        }
        let nobody = lanyard_governance_foundation::Caller::Nobody;
        assert_eq!(stage.call(&nobody, "GET", CURRENT, None).await.0, 401);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_versions_go_and_what_is_in_force_stays() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::with(ground, Settings { versions_kept: 5 });
        let mia = admin("acme");
        for number in 2..=12 {
            stage.ok(&mia, "POST", "/policies", new(&format!("number {number}"), false, None)).await;
        }
        let list = stage.ok(&mia, "GET", "/policies?limit=4", None).await;
        let numbers = |list: &Value| -> Vec<u64> {
            list["items"].as_array().unwrap().iter().map(|item| item["version"].as_u64().unwrap()).collect()
        };
        assert_eq!(numbers(&list), [12, 11, 10, 9]);
        let next = format!("/policies?limit=4&nextToken={}", list["nextToken"].as_str().unwrap());
        let rest = stage.ok(&mia, "GET", &next, None).await;
        assert_eq!((numbers(&rest), &rest["nextToken"]), (vec![8, 1], &Value::Null));
        for wrong in ["?limit=0", "?limit=501", "?nextToken=x", "?nextToken=v", "?nextToken=v-1", "?other=1"]
        {
            let (status, _) = stage.call(&mia, "GET", &format!("/policies{wrong}"), None).await;
            assert_eq!(status, 400, "{wrong}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_leaves_its_record_for_audit() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        let mia = admin("acme");
        stage.ok(&mia, "POST", "/policies", new("x", true, None)).await;
        stage.ok(&mia, "POST", "/policies/revoke", Some(json!({"reason": "why"}))).await;
        let mut tx = stage.ground.foundation.database.read(&mia).await.unwrap();
        let sql = "SELECT event FROM trail WHERE tenant_id = $1 ORDER BY at";
        let rows = tx.all(Statement::new(sql)).await.unwrap();
        let mut events: Vec<(String, Value)> = Vec::new();
        for row in rows {
            let event: Value = row.json("event").unwrap();
            events.push((event["eventType"].as_str().unwrap().to_owned(), event["payload"].clone()));
        }
        let mut types: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
        types.sort_unstable();
        assert_eq!(types, ["policy_activated", "policy_created", "policy_revoked", "policy_saved"]);
        let revoked = events.iter().find(|(name, _)| name == "policy_revoked").unwrap();
        assert_eq!((&revoked.1["epoch"], &revoked.1["reason"]), (&json!(3), &json!("why")));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_takes_what_is_in_force_a_version_or_a_document() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        let mia = admin("acme");
        let mut free = new("free", false, None).unwrap();
        free["document"]["capabilities"][1]["requiresApproval"] = json!(false);
        stage.ok(&mia, "POST", "/policies", Some(free.clone())).await;
        let ask = |more: Value| {
            let mut body = json!({"workspace": ["/home/mia/app"],
                "action": {"path": {"capability": "File.Write", "path": "/home/mia/app/a"}}});
            for (name, value) in more.as_object().unwrap() {
                body[name] = value.clone();
            }
            Some(body)
        };
        let path = "/policies/dry-run";
        let verdict = stage.ok(&mia, "POST", path, ask(json!({}))).await;
        assert_eq!(
            (&verdict["standing"], &verdict["rule"]["approvalRuleId"]),
            (&json!("asks"), &json!("write"))
        );
        let verdict = stage.ok(&mia, "POST", path, ask(json!({"version": 2}))).await;
        assert_eq!(verdict["standing"], "free");
        let verdict = stage.ok(&mia, "POST", path, ask(json!({"document": free["document"]}))).await;
        assert_eq!(verdict["standing"], "free");
        assert_eq!(stage.call(&mia, "POST", path, ask(json!({"version": 3}))).await.0, 404);
        let both = ask(json!({"version": 2, "document": free["document"]}));
        assert_eq!(stage.call(&mia, "POST", path, both).await.0, 400);
        free["document"]["bundleSeconds"] = json!(1);
        let (status, error) =
            stage.call(&mia, "POST", path, ask(json!({"document": free["document"]}))).await;
        assert_eq!((status.as_u16(), &error["code"]), (400, &json!("POLICY_BUNDLE_INVALID")));
    })
    .await;
}

#[tokio::test]
async fn a_document_is_looked_at_beside_the_thread_that_serves_requests() {
    let ground = Ground::sqlite(MIGRATIONS).await;
    let checks = Arc::new(Permits::new("policies looked at", 1, 1));
    let state = State { foundation: ground.foundation.clone(), settings: Settings::default(), checks };
    let (tell, told) = std::sync::mpsc::channel();
    let tenant = "acme".parse().unwrap();
    // On the only thread there is, nobody would tell.
    let look = state.beside(&tenant, move || told.recv_timeout(Duration::from_secs(10)));
    let (looked, ()) = tokio::join!(look, async { tell.send("go on").unwrap() });
    assert_eq!(looked.unwrap(), Ok("go on"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_looked_at_before_anybody_waits_for_it() {
    let stage = Stage::new(Arc::new(Ground::sqlite(MIGRATIONS).await));
    let mut wrong = new("wrong", false, None).unwrap();
    wrong["document"]["bundleSeconds"] = json!(1);
    stage.ok(&admin("acme"), "POST", "/policies", Some(wrong)).await;
    // SQLite has one writer: this would be waited for.
    let writes = stage.ground.foundation.database.write(&admin("other")).await.unwrap();
    let (_, refused) = stage.call(&admin("acme"), "POST", "/policies/versions/2/activate", None).await;
    assert_eq!(refused["code"], "POLICY_BUNDLE_INVALID", "{refused}");
    drop(writes);
}
