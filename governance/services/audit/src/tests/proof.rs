//! Verification finds what was changed behind the service's back.

use lanyard_governance_api::people::Role;
use lanyard_governance_foundation::testing::on_both;
use serde_json::{Value, json};

use super::{House, event, filled, host, links, person};
use crate::MIGRATIONS;

/// Each way to tamper, the fault that is told, and the way back where there is an easy one.
const WAYS: &[(&[&str], &str)] = &[
    (
        &[
            "UPDATE audit_records SET event = REPLACE(event, '\"n\":6', '\"n\":7') WHERE source = 'agt_1' AND seq = 6",
        ],
        "record 6: its hash is not",
    ),
    (&["DELETE FROM audit_records WHERE source = 'agt_1' AND seq = 6"], "record 6 is missing"),
    (&["DELETE FROM audit_records WHERE source = 'agt_1' AND seq = 1"], "record 1 is missing"),
    (
        &[
            "UPDATE audit_records SET seq = 999 WHERE source = 'agt_1' AND seq = 6",
            "UPDATE audit_records SET seq = 6 WHERE source = 'agt_1' AND seq = 7",
            "UPDATE audit_records SET seq = 7 WHERE source = 'agt_1' AND seq = 999",
        ],
        "record 6: its hash is not",
    ),
    (
        &["DELETE FROM audit_records WHERE source = 'agt_1' AND seq > 8"],
        "the chain ends at 8, and its head is 12",
    ),
    (&["DELETE FROM audit_records WHERE source = 'agt_1'"], "the chain ends at 0, and its head is 12"),
    (
        &[
            "INSERT INTO audit_records (tenant_id, source, seq, received_at, severity, repeats, hash, event_type, \
           session_id, workspace_id, user_id, event) SELECT tenant_id, source, 13, received_at, severity, 0, hash, \
           event_type, session_id, workspace_id, user_id, event FROM audit_records WHERE source = 'agt_1' AND seq = 12",
        ],
        "record 13 is there, and the chain ends at 12",
    ),
    (
        &[
            "INSERT INTO audit_records (tenant_id, source, seq, received_at, severity, repeats, hash, event_type, \
           session_id, workspace_id, user_id, event) SELECT tenant_id, source, 0, received_at, severity, 0, hash, \
           event_type, session_id, workspace_id, user_id, event FROM audit_records WHERE source = 'agt_1' AND seq = 12",
        ],
        "record 0 is there, and retention removed",
    ),
    (
        &["UPDATE audit_records SET user_id = 'usr_x' WHERE source = 'agt_1' AND seq = 6"],
        "record 6: what is stored beside",
    ),
    (
        &["UPDATE audit_records SET severity = 0 WHERE source = 'agt_1' AND seq = 5"],
        "record 5: what is stored beside",
    ),
    (
        &["UPDATE audit_records SET event_key = NULL, repeats = 2 WHERE source = 'agt_1' AND seq = 6"],
        "record 6: it says that it repeats",
    ),
    (
        &["UPDATE audit_records SET repeats = 2 WHERE source = 'agt_1' AND seq = 6"],
        "record 6: the key it is found by",
    ),
    (
        &["UPDATE audit_records SET received_at = received_at - 1000000 WHERE source = 'agt_1' AND seq = 6"],
        "record 6: it is dated",
    ),
    (
        &["UPDATE audit_heads SET last_seq = 11 WHERE source = 'agt_1'"],
        "record 12 is there, and the chain ends at 11",
    ),
    (
        &["UPDATE audit_heads SET kept_after = 3 WHERE source = 'agt_1'"],
        "record 1 is there, and retention removed those up to 3",
    ),
    (
        &[
            "DELETE FROM audit_records WHERE source = 'agt_1' AND seq <= 3",
            "UPDATE audit_heads SET kept_after = 3 WHERE source = 'agt_1'",
        ],
        "record 4: its hash is not",
    ),
    (&["DELETE FROM audit_heads WHERE source = 'agt_1'"], "the chain's head is missing"),
];

#[tokio::test]
async fn every_way_to_tamper_is_told_with_its_place() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground);
        let viewer = person("t", Role::Viewer);
        for (statements, fault) in WAYS {
            house.tamper("DELETE FROM audit_records").await;
            house.tamper("DELETE FROM audit_heads").await;
            filled(&house, "agt_1", 12).await;
            filled(&house, "agt_2", 3).await;
            assert_eq!(house.verify(&viewer).await["whole"], true);
            for statement in *statements {
                assert!(house.tamper(statement).await > 0, "{statement}");
            }
            let verdict = house.verify(&viewer).await;
            assert_eq!(verdict["whole"], false, "{statements:?}");
            let chains = verdict["chains"].as_array().unwrap();
            let of = |source: &str| chains.iter().find(|c| c["source"] == source).unwrap();
            let told = of("agt_1")["fault"].as_str().unwrap();
            assert!(told.contains(fault), "{statements:?}: {told}");
            // Nobody else's chain is doubted.
            assert_eq!(of("agt_2")["fault"], Value::Null);
        }
    })
    .await;
}

#[tokio::test]
async fn an_end_cut_off_with_its_head_is_found_by_the_anchored_head() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground);
        let viewer = person("t", Role::Viewer);
        let chain = filled(&house, "agt_1", 12).await;
        let anchored = house.verify(&viewer).await["chains"][0].clone();
        assert_eq!((&anchored["lastSeq"], &anchored["head"]), (&json!(12), &json!(chain[11].hash.hex())));
        house.tamper("DELETE FROM audit_records WHERE seq > 8").await;
        house
            .tamper(
                "UPDATE audit_heads SET last_seq = 8, hash = (SELECT hash FROM audit_records WHERE seq = 8)",
            )
            .await;
        let verdict = house.verify(&viewer).await;
        // Inside, nothing is to be seen; against what was anchored, it is.
        assert_eq!(verdict["whole"], true);
        assert!(verdict["chains"][0]["lastSeq"].as_u64() < anchored["lastSeq"].as_u64());
        // The host notices too.
        let next = links(chain.last(), [event(13)]);
        assert_eq!(house.post(&host("t", "agt_1"), &next).await.0, 409);
    })
    .await;
}

#[tokio::test]
async fn one_chain_many_pages_and_other_tenants() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground);
        let viewer = person("t", Role::Viewer);
        let mut big = event(1_201);
        // Longer than what is read with its page.
        big.payload = json!({ "note": "x".repeat(200_000) }).into();
        let chain = filled(&house, "agt_1", 1_200).await;
        assert_eq!(house.post(&host("t", "agt_1"), &links(chain.last(), [big])).await.0, 202);
        filled(&house, "agt_2", 2).await;
        let (status, verdict) = house.get(&viewer, "/audit/verify?source=agt_1").await;
        assert_eq!((status, verdict["chains"].as_array().unwrap().len()), (200, 1));
        assert_eq!(
            (&verdict["chains"][0]["records"], &verdict["whole"]),
            (&json!(1_201), &json!(true)),
            "{verdict}"
        );
        let (_, page) = house.get(&viewer, "/audit/events?source=agt_1&limit=1").await;
        assert_eq!(page["items"][0]["event"]["payload"]["note"].as_str().unwrap().len(), 200_000);
        for (caller, path, status) in [
            (&viewer, "/audit/verify?source=agt_9", 404),
            (&viewer, "/audit/verify?source=a%20b", 404),
            (&person("u", Role::Admin), "/audit/verify?source=agt_1", 404),
            (&host("t", "agt_1"), "/audit/verify", 403),
        ] {
            assert_eq!(house.get(caller, path).await.0, status, "{path}");
        }
        let nothing = house.verify(&person("u", Role::Admin)).await;
        assert_eq!(nothing, json!({ "chains": [], "whole": true }));
    })
    .await;
}

#[tokio::test]
async fn a_record_that_cannot_be_read_hides_no_other() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground);
        let admin = person("t", Role::Admin);
        filled(&house, "agt_1", 12).await;
        house.tamper("UPDATE audit_records SET event = '{\"payload\":{\"x\":' WHERE seq = 6").await;
        for query in ["", "?text=shell", "?source=agt_1"] {
            let (status, page) = house.get(&admin, &format!("/audit/events{query}")).await;
            assert_eq!((status, page["items"].as_array().unwrap().len()), (200, 11), "{query}");
        }
        for format in ["json_lines", "cloud_events"] {
            let (status, bytes) =
                house.raw(&admin, "GET", &format!("/audit/export?format={format}"), String::new()).await;
            let text = String::from_utf8(bytes).unwrap();
            assert_eq!((status.as_u16(), text.lines().count()), (200, 11));
            assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{text}");
        }
        assert_eq!(
            house.verify(&admin).await["chains"][0]["fault"].as_str().map(|f| f.starts_with("record 6")),
            Some(true)
        );
    })
    .await;
}
