//! Retention on a moved clock, and what is told to the outside.

use lanyard_governance_api::people::Role;
use lanyard_governance_foundation::testing::on_both;
use lanyard_protocol::Timestamp;
use serde_json::json;

use super::{House, event, filled, host, links, person};
use crate::{MIGRATIONS, Settings, head, retention};

const DAY: i64 = 24 * 3_600 * 1_000;

#[tokio::test]
async fn old_records_go_and_the_rest_is_still_proven() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground.clone());
        let (agent, viewer) = (host("t", "agt_1"), person("t", Role::Viewer));
        let sweep = async || retention::sweep(&ground.foundation, &Settings::default()).await.unwrap();
        let chain = filled(&house, "agt_1", 2_500).await;
        // The same event again, before and after the one it repeats is gone.
        let again = links(chain.last(), [event(2_500)]);
        assert_eq!(house.post(&agent, &again).await.1["duplicates"], 1);
        ground.clock.set(200 * DAY);
        let later = links(again.last(), (2_501..=2_600).chain([9]).map(event));
        assert_eq!(house.post(&agent, &later).await.0, 202);
        assert_eq!(sweep().await, 0);
        ground.clock.set(366 * DAY);
        assert_eq!(sweep().await, 2_501);
        assert_eq!(sweep().await, 0);
        let verdict = house.verify(&viewer).await;
        let whole = &verdict["chains"][0];
        assert_eq!(
            (&whole["firstSeq"], &whole["lastSeq"], &whole["records"]),
            (&json!(2_502), &json!(2_602), &json!(101))
        );
        assert_eq!(
            (&verdict["whole"], &whole["head"]),
            (&json!(true), &json!(later[100].hash.hex())),
            "{verdict}"
        );
        // The one that repeated a record that is gone is shown now.
        assert_eq!(
            house.get(&viewer, "/audit/events?userId=usr_1&limit=500").await.1["items"]
                .as_array()
                .unwrap()
                .len(),
            26
        );
        // What was removed and comes again is a duplicate, and the chain goes on.
        assert_eq!(house.post(&agent, &chain[..400]).await.1["duplicates"], 400);
        let more = links(later.last(), [event(3_000)]);
        assert_eq!(house.post(&agent, &more).await.1["accepted"], 1);
        ground.clock.set(2_000 * DAY);
        assert_eq!(sweep().await, 102);
        let verdict = house.verify(&viewer).await;
        assert_eq!(
            (&verdict["whole"], &verdict["chains"][0]["records"]),
            (&json!(true), &json!(0)),
            "{verdict}"
        );
        let last = links(more.last(), [event(3_001)]);
        assert_eq!(house.post(&agent, &last).await.1["lastSeq"], 2_604);
        assert_eq!(house.verify(&viewer).await["whole"], true);
        // Even with everything older gone, a wrong start is told.
        house.tamper("UPDATE audit_heads SET kept_after_hash = hash").await;
        assert_eq!(house.verify(&viewer).await["whole"], false);
    })
    .await;
}

#[tokio::test]
async fn each_tenant_keeps_as_long_as_it_says() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground.clone());
        let admin = person("t", Role::Admin);
        let untouched = json!({ "days": 365, "leastDays": 30 });
        assert_eq!(house.get(&admin, "/audit/retention").await.1, untouched);
        for (body, status) in [
            (json!({ "days": 0 }), 400),
            (json!({ "days": 29 }), 400),
            (json!({ "days": 3_651 }), 400),
            (json!({ "days": 30, "x": 1 }), 400),
            (json!({ "days": 400 }), 200),
        ] {
            assert_eq!(house.send(&admin, "PUT", "/audit/retention", &body).await.0, status, "{body}");
        }
        // More counts at once, and who changed it is recorded, once.
        assert_eq!(house.send(&admin, "PUT", "/audit/retention", &json!({ "days": 400 })).await.0, 200);
        assert_eq!(house.get(&admin, "/audit/retention").await.1, json!({ "days": 400, "leastDays": 30 }));
        assert_eq!(house.count("SELECT COUNT(*) AS n FROM trail").await, 1);
        assert_eq!(house.get(&person("u", Role::Admin), "/audit/retention").await.1, untouched);
        let by_approver =
            house.send(&person("t", Role::Approver), "PUT", "/audit/retention", &json!({ "days": 40 })).await;
        assert_eq!(by_approver.0, 403);
        filled(&house, "agt_1", 10).await;
        let mut foreign = event(1);
        foreign.tenant_id = "u".to_owned();
        assert_eq!(house.post(&host("u", "agt_u"), &links(None, [foreign])).await.0, 202);
        let sweep = async || retention::sweep(&ground.foundation, &Settings::default()).await.unwrap();
        ground.clock.set(366 * DAY);
        assert_eq!(sweep().await, 1);
        ground.clock.set(401 * DAY);
        assert_eq!(sweep().await, 10);
    })
    .await;
}

#[tokio::test]
async fn a_shorter_time_waits_for_a_week_and_can_be_taken_back() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground.clone());
        let admin = person("t", Role::Admin);
        let set = async |days: u32| {
            let (status, answer) =
                house.send(&admin, "PUT", "/audit/retention", &json!({ "days": days })).await;
            assert_eq!(status, 200, "{answer}");
            answer
        };
        let sweep = async || retention::sweep(&ground.foundation, &Settings::default()).await.unwrap();
        filled(&house, "agt_1", 10).await;
        ground.clock.set(100 * DAY);
        let asked = set(30).await;
        assert_eq!((&asked["days"], &asked["pending"]["days"]), (&json!(365), &json!(30)), "{asked}");
        let from: Timestamp = serde_json::from_value(asked["pending"]["from"].clone()).unwrap();
        let wait = i64::try_from(from.millis_since(ground.foundation.clock.now())).unwrap();
        assert!((6 * DAY..=7 * DAY).contains(&wait), "{asked}");
        assert_eq!(sweep().await, 0);
        // Asked for again it comes no sooner and no later, and is no news.
        ground.clock.set(106 * DAY);
        assert_eq!(set(30).await["pending"], asked["pending"]);
        assert_eq!(house.count("SELECT COUNT(*) AS n FROM trail").await, 1);
        assert_eq!(sweep().await, 0);
        // Somebody saw it.
        assert_eq!(set(365).await, json!({ "days": 365, "leastDays": 30 }));
        ground.clock.set(120 * DAY);
        assert_eq!(sweep().await, 0);
        set(90).await;
        ground.clock.set(127 * DAY + 60_000);
        let shorter = json!({ "days": 90, "leastDays": 30 });
        assert_eq!(house.get(&admin, "/audit/retention").await.1, shorter);
        assert_eq!(sweep().await, 10);
        assert_eq!(house.count("SELECT COUNT(*) AS n FROM trail").await, 3);
        // What the installation keeps longer is kept longer, whatever was set before.
        let patient = Settings { least_days: 200, ..Settings::default() };
        filled(&house, "agt_2", 5).await;
        ground.clock.set(300 * DAY);
        assert_eq!(retention::sweep(&ground.foundation, &patient).await.unwrap(), 0);
        assert_eq!(sweep().await, 5);
    })
    .await;
}

#[tokio::test]
async fn heads_that_changed_are_logged() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground.clone());
        filled(&house, "agt_1", 3).await;
        ground.clock.set(DAY);
        filled(&house, "agt_2", 3).await;
        let since = |millis: i64| Timestamp::now().plus_millis(millis);
        assert_eq!(head::log_changed(&ground.foundation, since(-DAY)).await.unwrap(), 2);
        assert_eq!(head::log_changed(&ground.foundation, since(DAY / 2)).await.unwrap(), 1);
        assert_eq!(head::log_changed(&ground.foundation, since(2 * DAY)).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_tenant_whose_chains_are_spoilt_keeps_nobody_from_being_looked_after() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground.clone());
        for tenant in ["a", "t", "z"] {
            let of_tenant = |number| {
                let mut event = event(number);
                event.tenant_id = tenant.to_owned();
                event
            };
            let chain = links(None, (1..=3).map(of_tenant));
            assert_eq!(house.post(&host(tenant, "agt_1"), &chain).await.0, 202);
        }
        house.tamper("UPDATE audit_heads SET hash = SUBSTR(hash, 1, 3) WHERE tenant_id = 'a'").await;
        assert!(head::log_changed(&ground.foundation, Timestamp::from_millis(0)).await.is_err());
        ground.clock.set(400 * DAY);
        assert!(retention::sweep(&ground.foundation, &Settings::default()).await.is_err());
        assert_eq!(house.count("SELECT COUNT(*) AS n FROM audit_records").await, 3);
        assert_eq!(house.count("SELECT COUNT(*) AS n FROM audit_records WHERE tenant_id = 'a'").await, 3);
    })
    .await;
}
