//! Calls that are granted, and those that are not: then the tool is never called.

use std::time::Duration;

use lanyard_governance_foundation::testing::on_both;
use lanyard_protocol::tool::ToolStatus;

use super::*;
use crate::MIGRATIONS;

#[tokio::test]
async fn a_granted_call_reaches_the_tool_with_its_arguments_and_authorization() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        let result = rig.result("c1").await;
        assert_eq!((result.status, result.output_text.as_deref()), (ToolStatus::Succeeded, Some("found")));
        let (headers, body) = rig.backend.calls().remove(0);
        assert_eq!(body, json!({"q": "c1"}));
        assert_eq!(headers["authorization"], "Bearer very-secret");
        assert_eq!(headers["idempotency-key"], "c1");
        let trail = rig.trail().await;
        assert!(trail.contains("tool_requested") && trail.contains("tool_completed"), "{trail}");
    })
    .await;
}

#[tokio::test]
async fn the_session_must_be_the_callers_and_alive() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        let refused = |answer: Answer, status: u16, code: &str| {
            assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
            assert!(answer.text().contains(code), "{}", answer.text());
        };
        for (member, value, status, code) in [
            ("agentId", json!("two"), 404, "SESSION_NOT_FOUND"),
            ("userId", json!("v"), 404, "SESSION_NOT_FOUND"),
            ("state", json!("SESSION_CANCELLED"), 409, "ended"),
            ("state", json!("SESSION_COMPLETED"), 409, "ended"),
            ("expiresAt", json!("2020-01-01T00:00:00Z"), 409, "SESSION_EXPIRED"),
            ("compatibilityStatus", json!("incompatible"), 403, "CAPABILITY_DENIED"),
            ("workspaceId", json!("x"), 400, "workspace"),
        ] {
            let before = rig.others.with(|inner| std::mem::replace(&mut inner.session[member], value));
            refused(rig.invoke("c1").await, status, code);
            rig.others.with(|inner| inner.session[member] = before);
        }
        let mut unknown = request("c1");
        unknown["request"]["sessionId"] = json!("other");
        refused(
            rig.send(&agent("a", "one"), "POST", "/tools/Search/invoke", &unknown).await,
            404,
            "SESSION_NOT_FOUND",
        );
        // Another tenant has no such tool.
        refused(
            rig.send(&agent("b", "one"), "POST", "/tools/Search/invoke", &request("c1")).await,
            404,
            "TOOL_NOT_FOUND",
        );
        refused(
            rig.send(&agent("a", "one"), "POST", "/tools/Other/invoke", &request("c1")).await,
            400,
            "path names",
        );
        assert_eq!(
            rig.send(&person("a", Role::Admin), "POST", "/tools/Search/invoke", &request("c1")).await.status,
            403
        );
        let mut wrong = request("c1");
        wrong["request"]["arguments"] = json!({"q": 1});
        refused(
            rig.send(&agent("a", "one"), "POST", "/tools/Search/invoke", &wrong).await,
            400,
            "/arguments/q",
        );
        wrong["request"]["arguments"] = json!([]);
        refused(rig.send(&agent("a", "one"), "POST", "/tools/Search/invoke", &wrong).await, 400, "object");
        rig.others.with(|inner| inner.away = vec!["session"]);
        refused(rig.invoke("c1").await, 503, "CENTRAL_UNAVAILABLE");
        assert!(rig.backend.calls().is_empty());
    })
    .await;
}

#[tokio::test]
async fn the_policy_in_force_must_name_the_tool() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        for grants in [
            json!([]),
            json!([{"name": "Shell.Exec", "requiresApproval": false}]),
            json!([{"name": "BackendTool.Invoke", "allowedToolNames": [], "requiresApproval": false}]),
            json!([{"name": "BackendTool.Invoke", "allowedToolNames": ["search"], "requiresApproval": false}]),
        ] {
            rig.others.with(|inner| inner.grants = Some(grants));
            let answer = rig.invoke("c1").await;
            assert!(answer.status == 403 && answer.text().contains("CAPABILITY_DENIED"), "{}", answer.text());
        }
        rig.others.with(|inner| inner.grants = None);
        let answer = rig.invoke("c1").await;
        assert!(answer.text().contains("POLICY_REVOKED") && answer.text().contains("an incident"), "{}", answer.text());
        rig.others.with(|inner| inner.away = vec!["policy"]);
        assert_eq!(rig.invoke("c1").await.status, 503);
        assert!(rig.backend.calls().is_empty());
        // A refused call is not used up.
        rig.others.with(|inner| {
            inner.away.clear();
            inner.grants = Some(json!([{"name": "BackendTool.Invoke", "requiresApproval": false}]));
        });
        assert_eq!(rig.result("c1").await.status, ToolStatus::Succeeded);
    })
    .await;
}

#[tokio::test]
async fn a_policy_that_asks_needs_the_record_of_the_answer() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Arc::new(Rig::new(ground).await);
        let grants = json!([
            {"name": "BackendTool.Invoke", "requiresApproval": false},
            {"name": "BackendTool.Invoke", "allowedToolNames": ["Search"], "requiresApproval": true}
        ]);
        rig.others.with(|inner| {
            inner.grants = Some(grants);
            inner.approved = vec!["c0".to_owned(), "c1".to_owned()];
        });
        assert_eq!(rig.result("c1").await.status, ToolStatus::Succeeded, "on the second page");
        let answer = rig.invoke("c2").await;
        assert!(answer.status == 403 && answer.text().contains("none is recorded"), "{}", answer.text());
        // The record is on its way.
        let listed = || rig.others.with(|inner| inner.listed);
        let before = listed();
        let late = tokio::spawn({
            let rig = rig.clone();
            async move { rig.result("c2").await.status }
        });
        while listed() == before {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        rig.others.with(|inner| inner.approved.push("c2".to_owned()));
        assert_eq!(late.await.unwrap(), ToolStatus::Succeeded);
        rig.others.with(|inner| {
            inner.approved.push("c3".to_owned());
            inner.away = vec!["approval"];
        });
        let answer = rig.invoke("c3").await;
        assert!(answer.status == 403 && answer.text().contains("APPROVAL_REQUIRED"), "{}", answer.text());
        assert_eq!(rig.backend.calls().len(), 2);
    })
    .await;
}

fn asks(rig: &Rig, approver: &'static str) {
    rig.others.with(|inner| {
        inner.grants =
            Some(json!([{"name": "BackendTool.Invoke", "requiresApproval": true, "approvalRuleId": "r"}]));
        inner.approved = vec!["c1".to_owned()];
        inner.approver = approver;
    });
}

async fn is_refused(rig: &Rig, code: &str, why: &str) {
    let answer = rig.invoke("c1").await;
    let text = answer.text();
    assert!(answer.status == 403 && text.contains(code) && text.contains(why), "{why}: {text}");
}

#[tokio::test]
async fn an_approval_is_of_exactly_these_arguments() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        asks(&rig, "any");
        for other in [r#"{"q":"c2"}"#, r#"{"q": "c1"}"#, r#"{"q":"c1","r":1}"#, "", "Search for c1"] {
            rig.others.with(|inner| inner.shown = Some(other));
            is_refused(&rig, "APPROVAL_REQUIRED", "other arguments").await;
        }
        assert!(rig.backend.calls().is_empty());
        rig.others.with(|inner| inner.shown = None);
        assert_eq!(rig.result("c1").await.status, ToolStatus::Succeeded);
    })
    .await;
}

#[tokio::test]
async fn whoever_the_rule_names_approved_it_at_the_centre() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        asks(&rig, "any");
        for proposed in [
            None,
            Some(("ada", "approved", "sent")),
            Some(("ada", "approved", "refused")),
            Some(("ada", "denied", "accepted")),
        ] {
            rig.others.with(|inner| inner.proposed = proposed);
            is_refused(&rig, "APPROVAL_REQUIRED", "nobody gave it at the centre").await;
        }
        asks(&rig, "notInitiator");
        // The owner of the host, and whoever began the task.
        for same in ["u", "grace"] {
            rig.others.with(|inner| inner.proposed = Some((same, "approved", "accepted")));
            is_refused(&rig, "APPROVAL_REQUIRED", "nobody else").await;
        }
        rig.others.with(|inner| inner.proposed = Some(("ada", "approved", "accepted")));
        asks(&rig, "local");
        is_refused(&rig, "CAPABILITY_DENIED", "at the host itself").await;
        assert!(rig.backend.calls().is_empty());
        asks(&rig, "notInitiator");
        assert_eq!(rig.result("c1").await.status, ToolStatus::Succeeded);
    })
    .await;
}

#[tokio::test]
async fn a_policy_that_is_revoked_while_an_approval_is_looked_for_counts() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        asks(&rig, "any");
        rig.others.with(|inner| inner.revokes = true);
        is_refused(&rig, "POLICY_REVOKED", "an incident").await;
        assert!(rig.backend.calls().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_tenant_has_its_share_of_the_runs() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Arc::new(Rig::new(ground).await);
        rig.backend.hold();
        let runs: Vec<_> = (0..crate::TENANT_RUNNING)
            .map(|n| {
                let rig = rig.clone();
                tokio::spawn(async move { rig.result(&format!("c{n}")).await.status })
            })
            .collect();
        rig.backend.called(crate::TENANT_RUNNING).await;
        let answer = rig.invoke("more").await;
        assert!(answer.status == 429 && answer.text().contains("one tenant"), "{}", answer.text());
        rig.backend.let_all();
        for run in runs {
            assert_eq!(run.await.unwrap(), ToolStatus::Succeeded);
        }
        assert_eq!(rig.result("more").await.status, ToolStatus::Succeeded);
    })
    .await;
}

#[tokio::test]
async fn an_address_that_is_no_longer_allowed_is_not_called() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        let answer =
            send(&rig.stricter(), &agent("a", "one"), "POST", "/tools/Search/invoke", &request("c1")).await;
        let result: ToolResult = answer.json();
        assert_eq!(result.status, ToolStatus::Failed);
        assert!(result.error.unwrap().message.contains("not allowed"));
        // A name that leads to this machine, looked up when the connection is made.
        let settings =
            Settings { reach: Reach { private: true, loopback_http: true }, ..rig.settings.clone() };
        let mut definition = rig.definition();
        definition["url"] = json!(rig.backend.url("/tool").replace("127.0.0.1", "localhost"));
        assert_eq!(rig.define("Search", &definition).await.status, 200);
        let strict = Settings::open(&rig.dir.path().join("key"), Reach::default()).unwrap();
        let settings = Settings { client: strict.client, ..settings };
        let router = routes(rig.ground.foundation.clone(), settings).finish().0;
        let answer = send(&router, &agent("a", "one"), "POST", "/tools/Search/invoke", &request("c2")).await;
        let result: ToolResult = answer.json();
        assert_eq!(result.status, ToolStatus::Failed);
        assert!(result.error.unwrap().message.contains("was not called"));
        assert!(rig.backend.calls().is_empty());
    })
    .await;
}
