//! Pairings across hosts.

use super::*;
use crate::MIGRATIONS;
use lanyard_governance_api::command::Order;
use lanyard_governance_foundation::testing::on_both;

fn snapshot() -> Value {
    json!({
        "asking": [{ "pairingId": "par_1", "name": "phone", "platform": "Android", "address": "10.0.0.9",
            "scopes": [], "needsDigits": true, "expiresAt": "2026-11-20T10:00:00Z" }],
        "devices": [{ "deviceId": "dev_1", "name": "tablet", "platform": "iPadOS", "scopes": [],
            "pairedAt": "2026-11-19T10:00:00Z", "lastSeenAt": null, "connected": true }]
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn pairings_are_seen_across_hosts_and_answered_by_the_host() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let (host, other) = (world.online("acme").await, world.online("acme").await);
        for (second, host) in [&host, &other, &host].into_iter().enumerate() {
            world.ground.clock.set(i64::try_from(second).unwrap() * 1_000);
            world.ok::<ep::PutPairings>(&host.caller(), &[host.id()], "", &snapshot()).await;
        }
        let page = world.ok::<ep::ListPairings>(&viewer("acme"), &[], "?limit=1", &json!({})).await;
        assert_eq!(page.items[0].agent_id, host.issued.agent_id, "the last report first");
        assert_eq!(
            (page.items[0].host_name.as_str(), page.items[0].snapshot.devices.len()),
            ("workbench", 1)
        );
        let query = format!("?limit=1&nextToken={}", page.next_token.unwrap());
        let page = world.ok::<ep::ListPairings>(&viewer("acme"), &[], &query, &json!({})).await;
        assert_eq!((page.items[0].agent_id.clone(), page.next_token), (other.issued.agent_id.clone(), None));

        let approver = person("acme", Role::Approver);
        let decide = async |caller: &Caller, pairing: &str, body: Value| {
            world.call::<ep::DecidePairing>(caller, &[host.id(), pairing], "", &body).await
        };
        let yes = json!({ "approve": true, "digits": " 123456 " });
        assert_eq!(decide(&viewer("acme"), "par_1", yes.clone()).await.status, StatusCode::FORBIDDEN);
        let blind = decide(&approver, "par_1", json!({ "approve": true, "digits": null })).await;
        assert!(blind.status == StatusCode::BAD_REQUEST && blind.message().contains("digits"));
        let gone = decide(&approver, "par_2", yes.clone()).await;
        assert_eq!((gone.status, gone.code()), (StatusCode::NOT_FOUND, "PAIRING_NOT_FOUND"));
        assert_eq!(decide(&approver, "par_1", yes).await.status, StatusCode::ACCEPTED);
        assert_eq!(
            decide(&approver, "par_1", json!({ "approve": false, "digits": null })).await.status,
            StatusCode::ACCEPTED
        );
        let revoke = async |device: &str| {
            world.call::<ep::RevokeDevice>(&approver, &[host.id(), device], "", &json!({})).await
        };
        assert_eq!(revoke("dev_2").await.code(), "DEVICE_NOT_FOUND");
        assert_eq!(revoke("dev_1").await.status, StatusCode::ACCEPTED);
        let polled =
            world.ok::<ep::PollCommands>(&host.caller(), &[host.id()], "", &json!({})).await.commands;
        let orders: Vec<_> = polled.iter().map(|command| command.order.clone()).collect();
        let pairing_id: lanyard_protocol::id::PairingId = "par_1".parse().unwrap();
        assert_eq!(
            orders,
            [
                Order::DecidePairing {
                    pairing_id: pairing_id.clone(),
                    approve: true,
                    digits: Some("123456".to_owned())
                },
                Order::DecidePairing { pairing_id, approve: false, digits: None },
                Order::RevokeDevice { device_id: "dev_1".parse().unwrap() },
            ]
        );
        assert!(polled.iter().all(|command| command.by_name.as_deref() == Some("Ada")));
        let trail = world.trail("acme").await;
        assert_eq!(
            trail
                .iter()
                .filter(|kind| matches!(kind.as_str(), "pairing_answered" | "device_revoked"))
                .count(),
            3
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_takes_no_answers_is_not_sent_any() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let host = world.enrol("acme").await;
        world.ok::<ep::PutPairings>(&host.caller(), &[host.id()], "", &snapshot()).await;
        let tries = async |why: &str| {
            let yes = json!({ "approve": true, "digits": "123456" });
            let approver = person("acme", Role::Approver);
            for answer in [
                world.call::<ep::DecidePairing>(&approver, &[host.id(), "par_1"], "", &yes).await,
                world.call::<ep::RevokeDevice>(&approver, &[host.id(), "dev_1"], "", &json!({})).await,
            ] {
                assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "CONFLICT"));
                assert!(answer.message().contains(why), "{}", answer.message());
            }
        };
        tries("takes no answers").await;
        world.beat(&host, |beat| beat.accepts_answers = false).await;
        tries("takes no answers").await;
        world.beat(&host, |_| {}).await;
        world.ok::<ep::RevokeAgent>(&admin("acme"), &[host.id()], "", &json!({ "reason": "x" })).await;
        tries("revoked").await;
        let page = world.ok::<ep::ListPairings>(&viewer("acme"), &[], "", &json!({})).await;
        assert!(page.items.is_empty(), "a revoked host's are not shown");
    })
    .await;
}
