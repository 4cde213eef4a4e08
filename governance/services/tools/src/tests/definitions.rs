//! Defining tools.

use lanyard_governance_api::tool::ToolList;
use lanyard_governance_foundation::testing::on_both;
use lanyard_protocol::policy::Capability;
use lanyard_protocol::tool::ToolSpec;

use super::*;
use crate::MIGRATIONS;

#[tokio::test]
async fn tools_are_defined_listed_replaced_and_removed_and_secrets_never_seen() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        let mut definition = rig.definition();
        let spec: ToolSpec = rig.define("Another", &definition).await.json();
        assert_eq!(
            (spec.name.as_str(), spec.capabilities.as_slice()),
            ("Another", &[Capability::BackendToolInvoke][..])
        );
        assert_eq!(spec.input_schema.0["additionalProperties"], json!(false));
        for reader in [agent("a", "one"), person("a", Role::Viewer)] {
            let answer = rig.send(&reader, "GET", "/tools", &json!({})).await;
            let names: Vec<_> = answer.json::<ToolList>().tools.into_iter().map(|tool| tool.name).collect();
            assert_eq!(names, ["Another", "Search"]);
            assert!(!answer.text().contains("secret"));
        }
        definition["description"] = json!("Replaced.");
        let answer = rig.define("Another", &definition).await;
        assert!(answer.text().contains("Replaced.") && !answer.text().contains("secret"));
        let other: ToolList = rig.send(&agent("b", "one"), "GET", "/tools", &json!({})).await.json();
        assert!(other.tools.is_empty());
        assert_eq!(
            rig.send(&person("b", Role::Admin), "DELETE", "/tools/Another", &json!({})).await.status,
            404
        );
        for weak in [person("a", Role::Approver), agent("a", "one")] {
            assert_eq!(rig.send(&weak, "PUT", "/tools/Another", &definition).await.status, 403);
            assert_eq!(rig.send(&weak, "DELETE", "/tools/Another", &json!({})).await.status, 403);
        }
        let admin = person("a", Role::Admin);
        assert_eq!(rig.send(&admin, "DELETE", "/tools/Another", &json!({})).await.status, 204);
        assert_eq!(rig.send(&admin, "DELETE", "/tools/Another", &json!({})).await.status, 404);
        let trail = rig.trail().await;
        assert!(
            trail.contains("tool_defined") && trail.contains("tool_removed") && !trail.contains("secret"),
            "{trail}"
        );
        let mut tx = rig.ground.foundation.database.across_read().await.unwrap();
        let row = tx.one(Statement::new("SELECT sealed_authorization FROM tools")).await.unwrap().unwrap();
        let sealed = row.bytes("sealed_authorization").unwrap();
        assert!(!String::from_utf8_lossy(&sealed).contains("secret"));
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_a_tool_is_refused() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        for (member, bad) in [
            ("description", json!("")),
            ("description", json!("x".repeat(8_001))),
            ("inputSchema", json!({"type": "string"})),
            ("url", json!("http://tools.example.com/")),
            ("url", json!("https://10.0.0.1/")),
            ("url", json!("https://169.254.169.254/latest/meta-data")),
            ("authorization", json!("two\nlines")),
            ("authorization", json!("x".repeat(8_001))),
            ("timeoutSeconds", json!(0)),
            ("timeoutSeconds", json!(301)),
        ] {
            let mut definition = rig.definition();
            definition[member] = bad;
            assert_eq!(rig.define("Other", &definition).await.status, 400, "{definition}");
        }
        for name in ["1", "a.b", "x%20y", &"x".repeat(65)] {
            assert_eq!(rig.define(name, &rig.definition()).await.status, 400, "{name}");
        }
        // Plain http to this machine is the installation's choice.
        let admin = person("a", Role::Admin);
        let answer = send(&rig.stricter(), &admin, "PUT", "/tools/Other", &rig.definition()).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
        for n in 1..200 {
            assert_eq!(rig.define(&format!("t{n}"), &rig.definition()).await.status, 200);
        }
        assert_eq!(rig.define("t200", &rig.definition()).await.status, 409);
        assert_eq!(rig.define("t199", &rig.definition()).await.status, 200, "replacing is always possible");
    })
    .await;
}

#[tokio::test]
async fn an_authorization_stays_with_the_address_it_was_given_for() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        let mut definition = rig.definition();
        definition["authorization"] = json!(null);
        definition["url"] = json!(rig.backend.url("/other/path"));
        assert_eq!(rig.define("Search", &definition).await.status, 200);
        rig.result("c1").await;
        let elsewhere = Backend::start().await;
        definition["url"] = json!(elsewhere.url("/tool"));
        assert_eq!(
            rig.define("Search", &definition).await.status,
            400,
            "an administrator must not read it there"
        );
        definition["authorization"] = json!("");
        assert_eq!(rig.define("Search", &definition).await.status, 200);
        rig.result("c2").await;
        let sent = |calls: Vec<(http::HeaderMap, Value)>| {
            calls[0].0.get("authorization").map(|v| v.to_str().unwrap().to_owned())
        };
        assert_eq!(sent(rig.backend.calls()).as_deref(), Some("Bearer very-secret"));
        assert_eq!(sent(elsewhere.calls()), None);
    })
    .await;
}
