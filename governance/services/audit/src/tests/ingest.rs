//! Taking records of hosts and of services.

use lanyard_governance_api::people::Role;
use lanyard_governance_foundation::testing::on_both;
use lanyard_protocol::codec;
use serde_json::json;

use super::{House, batch, event, filled, host, links, person, service};
use crate::MIGRATIONS;

#[tokio::test]
async fn records_are_taken_once_and_in_order() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground);
        let agent = host("t", "agt_1");
        assert_eq!(house.get(&agent, "/audit/head").await.1["lastSeq"], 0);
        let chain = links(None, (1..=20).map(event));
        let (status, answer) = house.post(&agent, &chain[..10]).await;
        assert_eq!(
            (status, &answer["accepted"], &answer["lastSeq"]),
            (202, &json!(10), &json!(10)),
            "{answer}"
        );
        // Again, overlapping, and as a whole.
        let (_, again) = house.post(&agent, &chain[..10]).await;
        assert_eq!((&again["accepted"], &again["duplicates"]), (&json!(0), &json!(10)));
        let (_, over) = house.post(&agent, &chain[5..15]).await;
        assert_eq!(
            (&over["accepted"], &over["duplicates"], &over["lastSeq"]),
            (&json!(5), &json!(5), &json!(15))
        );
        // Records that do not follow are refused, with the place where the chain stands.
        let (status, gap) = house.post(&agent, &chain[16..]).await;
        assert_eq!(
            (status, &gap["details"]["fault"], &gap["details"]["seq"]),
            (409, &json!("gap"), &json!(17))
        );
        assert_eq!(gap["details"]["head"], json!({ "lastSeq": 15, "hash": chain[14].hash.hex() }));
        let (_, rest) = house.post(&agent, &chain).await;
        assert_eq!((&rest["accepted"], &rest["duplicates"]), (&json!(5), &json!(15)));
        let head = house.get(&agent, "/audit/head").await.1;
        assert_eq!(head, json!({ "lastSeq": 20, "hash": chain[19].hash.hex() }));
        let (_, none) = house.post(&agent, &[]).await;
        assert_eq!((&none["accepted"], &none["lastSeq"]), (&json!(0), &json!(20)));
        assert_eq!(house.verify(&person("t", Role::Viewer)).await["whole"], true);
        // What is stored is the text that was hashed.
        let texts = "SELECT COUNT(*) AS n FROM audit_records WHERE event LIKE '{\"eventId\":\"aud_%\"}}'";
        assert_eq!(house.count(texts).await, 20);
    })
    .await;
}

#[tokio::test]
async fn a_wrong_hash_ends_a_batch_and_what_comes_before_it_is_kept() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground);
        let agent = host("t", "agt_1");
        let mut chain = links(None, (1..=6).map(event));
        let whole = chain.clone();
        chain[3].text = chain[3].text.replace("Shell.Exec", "Shell.Evil");
        let (status, answer) = house.post(&agent, &chain).await;
        assert_eq!(
            (status, &answer["details"]["fault"], &answer["details"]["seq"]),
            (409, &json!("hash"), &json!(4))
        );
        assert_eq!(answer["details"]["head"]["lastSeq"], 3);
        assert_eq!(house.count("SELECT COUNT(*) AS n FROM audit_records").await, 3);
        // A record that is there, under its own hash, with another content: no duplicate.
        let mut forged = whole[..3].to_vec();
        forged[1].text = forged[1].text.replace("Shell.Exec", "Shell.Evil");
        let (status, answer) = house.post(&agent, &forged).await;
        assert_eq!((status, &answer["details"]["seq"]), (409, &json!(2)), "{answer}");
        assert_eq!(house.post(&agent, &whole).await.1["accepted"], 3);
        assert_eq!(house.verify(&person("t", Role::Viewer)).await["whole"], true);
    })
    .await;
}

#[tokio::test]
async fn a_caller_that_writes_absent_members_as_null_hashed_the_canonical_text() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground);
        let agent = host("t", "agt_1");
        let mut chain = links(None, (1..=4).map(event));
        for (number, link) in (1..).zip(&mut chain) {
            link.text = serde_json::to_string_pretty(&event(number)).unwrap();
        }
        let (status, answer) = house.post(&agent, &chain).await;
        assert_eq!((status, &answer["accepted"]), (202, &json!(4)), "{answer}");
        assert_eq!(house.count("SELECT COUNT(*) AS n FROM audit_records WHERE event LIKE '%null%'").await, 0);
        assert_eq!(house.verify(&person("t", Role::Viewer)).await["whole"], true);
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_a_batch_is_refused_and_nothing_is_stored() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground);
        let agent = host("t", "agt_1");
        let chain = links(None, (1..=3).map(event));
        let whole = batch(&chain);
        let deep = "[".repeat(124) + &"]".repeat(124);
        let payload =
            |text: &str| whole.replacen("\"payload\":{", &format!("\"payload\":{{\"x\":{text},"), 1);
        for (body, status) in [
            ("{}".to_owned(), 400),
            ("[]".to_owned(), 400),
            (whole.replace("}]}", "}],\"more\":1}"), 400),
            (whole.replace("\"seq\":1", "\"seq\":0"), 400),
            (whole.replace("\"seq\":2", "\"seq\":7"), 400),
            (whole.replace("\"seq\":1,", "\"seq\":18446744073709551615,"), 400),
            (whole.replace("LocalToolRuntime", "SomethingElse"), 400),
            (whole.replace("ToolExecution", "SomethingElse"), 400),
            (whole.replace("\"eventId\":\"aud_1\"", "\"eventId\":\"a d\""), 400),
            (whole.replace(&chain[0].hash.hex(), "12"), 400),
            (whole.replace("\"tenantId\":\"t\"", "\"tenantId\":\"u\""), 403),
            (payload(&deep), 400),
            (payload("\"\\ud800\""), 400),
            (payload("1e999"), 400),
            (whole.replacen("\"payload\":{", "\"payload\":7,\"other\":{", 1), 400),
            (whole.replacen("tool_completed", "tool\\u0000completed", 1), 409),
            (format!("{whole} "), 202),
        ] {
            let (answered, bytes) = house.raw(&agent, "POST", "/audit/events", body.clone()).await;
            assert_eq!(answered.as_u16(), status, "{body}: {}", String::from_utf8_lossy(&bytes));
            if status != 202 {
                assert_eq!(house.count("SELECT COUNT(*) AS n FROM audit_records").await, 0, "{body}");
            }
        }
        // A NUL that is hashed rightly, and which no database takes.
        let mut nul = event(4);
        nul.event_type = "a\0b".to_owned();
        let next = links(chain.last(), [nul]);
        assert_eq!(house.post(&agent, &next).await.0, 400);
        let long = format!("{{\"records\":[],\"x\":\"{}\"}}", "x".repeat(9 << 20));
        assert_eq!(house.raw(&agent, "POST", "/audit/events", long).await.0.as_u16(), 413);
        // Nobody but a host, and no host under a service's name.
        assert_eq!(house.post(&person("t", Role::Admin), &chain).await.0, 403);
        assert_eq!(house.post(&host("t", "service:audit"), &chain).await.0, 403);
    })
    .await;
}

#[tokio::test]
async fn contradictions_are_kept_counted_and_recorded() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground);
        let agent = host("t", "agt_1");
        let chain = filled(&house, "agt_1", 5).await;
        // Another history from number 4 on: a restored host that went on by itself.
        let fork = links(Some(&chain[2]), (11..=14).map(event));
        for _ in 0..2 {
            let (status, answer) = house.post(&agent, &fork).await;
            assert_eq!((status, &answer["details"]["fault"]), (409, &json!("hash")), "{answer}");
            assert_eq!(answer["details"]["head"]["lastSeq"], 5);
        }
        let (status, answer) = house.post(&agent, &fork[..2]).await;
        assert_eq!((status, &answer["conflicts"], &answer["accepted"]), (202, &json!(2), &json!(0)));
        assert_eq!(house.count("SELECT COUNT(*) AS n FROM audit_conflicts").await, 2);
        assert_eq!(house.count("SELECT COUNT(*) AS n FROM audit_records").await, 5);
        let verdict = house.verify(&person("t", Role::Viewer)).await;
        assert_eq!((&verdict["whole"], &verdict["chains"][0]["conflicts"]), (&json!(true), &json!(2)));
        // Each is a record of the Audit Service's own, delivered by the trail.
        assert_eq!(house.count("SELECT COUNT(*) AS n FROM trail").await, 2);
        let here = [(lanyard_governance_api::endpoint::Service::Audit, house.router.clone())];
        house.ground.foundation.peers.set_here(here.into());
        lanyard_governance_foundation::trail::deliver_all(&house.ground.foundation).await.unwrap();
        let admin = person("t", Role::Viewer);
        let (_, own) = house.get(&admin, "/audit/events?source=service:audit").await;
        let items = own["items"].as_array().unwrap();
        assert_eq!(items.len(), 2);
        assert_eq!(items[0]["event"]["eventType"], "audit_conflict");
        assert_eq!(items[0]["event"]["payload"]["source"], "agt_1");
        assert_eq!(items[0]["event"]["payload"]["storedHash"].as_str().unwrap().len(), 64);
        assert_eq!(house.verify(&admin).await["whole"], true);
    })
    .await;
}

#[tokio::test]
async fn an_event_that_comes_again_under_a_new_number_stays_a_link_and_counts_once() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground);
        let (agent, admin) = (host("t", "agt_1"), person("t", Role::Viewer));
        let chain = filled(&house, "agt_1", 4).await;
        // A host that was set back takes the head up and sends 3 and 4 once more, and 5, twice in one batch.
        let again = links(chain.last(), [event(3), event(4), event(5), event(5)]);
        let (status, answer) = house.post(&agent, &again).await;
        assert_eq!(
            (status, &answer["accepted"], &answer["duplicates"]),
            (202, &json!(1), &json!(3)),
            "{answer}"
        );
        assert_eq!(answer["lastSeq"], 8);
        let (_, page) = house.get(&admin, "/audit/events").await;
        assert_eq!(page["items"].as_array().unwrap().len(), 5);
        // The same id with another content is shown, and is a contradiction.
        let mut other = event(2);
        other.user_id = "usr_mallory".to_owned();
        let more = links(again.last(), [other, event(6)]);
        let (status, answer) = house.post(&agent, &more).await;
        assert_eq!(
            (status, &answer["accepted"], &answer["conflicts"]),
            (202, &json!(1), &json!(1)),
            "{answer}"
        );
        let (_, page) = house.get(&admin, "/audit/events").await;
        assert_eq!(page["items"].as_array().unwrap().len(), 7);
        let verdict = house.verify(&admin).await;
        assert_eq!(
            (&verdict["whole"], &verdict["chains"][0]["records"]),
            (&json!(true), &json!(10)),
            "{verdict}"
        );
        assert_eq!(verdict["chains"][0]["conflicts"], 1);
        // Sent again, everything is a duplicate.
        let all: Vec<_> = chain.into_iter().chain(again).chain(more).collect();
        assert_eq!(house.post(&agent, &all).await.1["duplicates"], 10);
    })
    .await;
}

#[tokio::test]
async fn services_are_chained_here_and_deduped_by_id() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground);
        let caller = service("t");
        let of = |number: u64, component: &str| {
            let mut value = codec::to_json_value(&event(number)).unwrap();
            value["component"] = json!(component);
            value
        };
        let body = json!({ "agentId": "agt_9", "events": [
            of(1, "SessionService"), of(2, "PolicyService"), of(3, "SessionService"), of(3, "SessionService")] });
        let (status, answer) = house.send(&caller, "POST", "/audit/services", &body).await;
        assert_eq!((status, &answer["accepted"], &answer["duplicates"]), (202, &json!(3), &json!(1)), "{answer}");
        let (_, again) = house.send(&caller, "POST", "/audit/services", &body).await;
        assert_eq!((&again["accepted"], &again["duplicates"]), (&json!(0), &json!(4)));
        let mut changed = of(1, "SessionService");
        changed["userId"] = json!("usr_other");
        let (_, other) = house.send(&caller, "POST", "/audit/services", &json!({ "events": [changed] })).await;
        assert_eq!((&other["accepted"], &other["conflicts"]), (&json!(0), &json!(1)));
        let bodies: Vec<_> = (10..26).map(|n| json!({ "events": [of(n, "SessionService"), of(n, "PolicyService")] })).collect();
        let all = futures_util::future::join_all(
            bodies.iter().map(|body| house.send(&caller, "POST", "/audit/services", body)),
        );
        assert!(all.await.iter().all(|(status, _)| *status == 202));
        let verdict = house.verify(&person("t", Role::Viewer)).await;
        assert_eq!(verdict["whole"], true, "{verdict}");
        let chains: Vec<_> = verdict["chains"].as_array().unwrap().iter().map(|c| (&c["source"], &c["records"])).collect();
        assert_eq!(chains, [(&json!("service:policy"), &json!(17)), (&json!("service:session"), &json!(18))]);
        let (_, page) = house.get(&person("t", Role::Viewer), "/audit/events?source=service:policy&limit=500").await;
        assert_eq!(page["items"].as_array().unwrap().last().unwrap()["event"]["payload"]["agentId"], "agt_9");
        for (body, status) in [
            (json!({ "events": [of(50, "LocalAgentHost")] }), 400),
            (json!({ "events": [of(50, "SessionService")], "agentId": "a b" }), 400),
        ] {
            assert_eq!(house.send(&caller, "POST", "/audit/services", &body).await.0, status, "{body}");
        }
        let foreign = json!({ "events": [of(60, "SessionService")] });
        assert_eq!(house.send(&service("u"), "POST", "/audit/services", &foreign).await.0, 403);
        assert_eq!(house.send(&host("t", "agt_1"), "POST", "/audit/services", &foreign).await.0, 403);
    })
    .await;
}

#[tokio::test]
async fn what_is_nested_as_deep_as_may_be_is_taken_and_read_again() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground);
        let mut deep = event(1);
        let nested = "[".repeat(115) + &"]".repeat(115);
        deep.payload = json!({ "x": serde_json::from_str::<serde_json::Value>(&nested).unwrap() }).into();
        assert_eq!(house.post(&host("t", "agt_1"), &links(None, [deep])).await.0, 202);
        let viewer = person("t", Role::Viewer);
        assert_eq!(house.get(&viewer, "/audit/events").await.1["items"].as_array().unwrap().len(), 1);
        assert_eq!(house.verify(&viewer).await["whole"], true);
    })
    .await;
}
