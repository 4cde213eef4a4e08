//! Asking what became of a call, and calls of a definition.

use lanyard_governance_api::tool::ToolList;
use lanyard_governance_foundation::testing::on_both;
use lanyard_protocol::ErrorCode;
use lanyard_protocol::tool::ToolStatus;

use super::*;
use crate::MIGRATIONS;

async fn settle(rig: &Rig, call: &str) -> Answer {
    rig.send(&agent("a", "one"), "POST", "/tools/Search/settle", &request(call)).await
}

#[tokio::test]
async fn asked_after_a_call_that_never_began_never_does() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        let closed: ToolResult = settle(&rig, "c1").await.json();
        assert_eq!(closed.status, ToolStatus::Cancelled);
        // The first request was only slow.
        assert_eq!(rig.result("c1").await, closed);
        assert_eq!(settle(&rig, "c1").await.json::<ToolResult>(), closed);
        assert!(rig.backend.calls().is_empty());
        // One that ran is told as it was.
        let ran = rig.result("c2").await;
        assert_eq!(settle(&rig, "c2").await.json::<ToolResult>(), ran);
        assert_eq!(rig.backend.calls().len(), 1);
        let trail = rig.trail().await;
        assert!(trail.contains("cancelled"), "{trail}");
    })
    .await;
}

#[tokio::test]
async fn asked_after_a_call_that_runs_it_is_waited_for() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Arc::new(Rig::new(ground).await);
        rig.backend.hold();
        let runs = tokio::spawn({
            let rig = rig.clone();
            async move { rig.result("c1").await }
        });
        rig.backend.called(1).await;
        let asks = tokio::spawn({
            let rig = rig.clone();
            async move { settle(&rig, "c1").await.json::<ToolResult>() }
        });
        rig.backend.let_all();
        assert_eq!(asks.await.unwrap(), runs.await.unwrap());
        assert_eq!(rig.backend.calls().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn only_a_hosts_own_calls_are_settled() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        let answer = rig.send(&agent("a", "two"), "POST", "/tools/Search/settle", &request("c1")).await;
        assert!(answer.status == 404 && answer.text().contains("SESSION_NOT_FOUND"), "{}", answer.text());
        let mut other = request("c1");
        rig.result("c1").await;
        other["request"]["arguments"] = json!({"q": "other"});
        let answer = rig.send(&agent("a", "one"), "POST", "/tools/Search/settle", &other).await;
        assert_eq!(answer.status, 409, "{}", answer.text());
    })
    .await;
}

#[tokio::test]
async fn what_is_no_session_service_says_nothing_of_a_session() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        rig.others.with(|inner| inner.elsewhere = true);
        for answer in [settle(&rig, "c1").await, rig.invoke("c1").await] {
            assert_eq!(answer.status, 503, "{}", answer.text());
        }
        rig.others.with(|inner| inner.elsewhere = false);
        assert_eq!(rig.result("c1").await.status, ToolStatus::Succeeded);
    })
    .await;
}

#[tokio::test]
async fn a_call_is_of_the_definition_that_was_agreed_to() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        let list = || async {
            let answer = rig.send(&agent("a", "one"), "GET", "/tools", &json!({})).await;
            answer.json::<ToolList>().definitions["Search"].clone()
        };
        let call = |id: &str, definition: &str| {
            let mut body = request(id);
            body["definition"] = json!(definition);
            body
        };
        let host = agent("a", "one");
        let agreed = list().await;
        let fine = rig.send(&host, "POST", "/tools/Search/invoke", &call("c1", &agreed)).await;
        assert_eq!(fine.json::<ToolResult>().status, ToolStatus::Succeeded);
        // Another authorization is the same tool.
        let mut definition = rig.definition();
        definition["authorization"] = json!("Bearer another");
        rig.define("Search", &definition).await;
        assert_eq!(list().await, agreed);
        let fresh = rig.backend.url("/other");
        let schema =
            json!({"type": "object", "properties": {"q": {"type": "string"}, "r": {}}, "required": ["q"]});
        let changes = [
            ("description", json!("Searches, and tells.")),
            ("inputSchema", schema),
            ("timeoutSeconds", json!(21)),
            ("url", json!(fresh)),
        ];
        for (number, (member, value)) in changes.into_iter().enumerate() {
            let before = list().await;
            definition[member] = value;
            assert_eq!(rig.define("Search", &definition).await.status, 200);
            assert_ne!(list().await, before, "{member}");
            let id = format!("d{number}");
            let refused = rig.send(&host, "POST", "/tools/Search/invoke", &call(&id, &before)).await;
            assert_eq!(refused.status, 409, "{member}: {}", refused.text());
            assert_eq!(refused.json::<lanyard_protocol::WireError>().code, ErrorCode::Conflict);
        }
        assert_eq!(rig.backend.calls().len(), 1);
    })
    .await;
}
