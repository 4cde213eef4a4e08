//! Proofs, renewal, access tokens, revocation of identities.

use super::*;
use crate::MIGRATIONS;
use lanyard_governance_api::enrolment::{AccessToken, AccessTokenRequest, RenewRequest};
use lanyard_governance_foundation::testing::on_both;

async fn renew_with(world: &World, host: &Host, csr_pem: String, proof: Proof) -> Answer {
    let body = RenewRequest { csr_pem, nonce: "cd".repeat(32), proof };
    world.call::<ep::RenewIdentity>(&Caller::Nobody, &[host.id()], "", &body).await
}

async fn renew(world: &World, host: &Host) -> Answer {
    renew_with(world, host, host.key.csr("again"), host.proof(Purpose::Renew, world.now())).await
}

async fn access(world: &World, id: &str, proof: Proof) -> Answer {
    world.call::<ep::CreateAccessToken>(&Caller::Nobody, &[id], "", &AccessTokenRequest { proof }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_renews_for_ninety_days_after_its_certificate_ran_out() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let host = world.enrol("acme").await;
        let answer = renew(&world, &host).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let issued: IssuedIdentity = serde_json::from_value(answer.body).unwrap();
        assert_eq!((issued.agent_id.as_str(), issued.nonce), (host.id(), "cd".repeat(32)));
        assert_eq!(world.who(&der(&issued.certificate_pem)).await, host.caller());
        // The answer may be lost: what was issued before is good for a while.
        assert_eq!(world.who(&der(&host.issued.certificate_pem)).await, host.caller());
        assert_eq!(world.who(host.issued.service_token.as_bytes()).await, host.with(AgentScope::Heartbeat));
        world.ground.clock.set(DAY + MINUTE);
        assert_eq!(
            world.who(host.issued.service_token.as_bytes()).await,
            Caller::Nobody,
            "replaced a day ago"
        );
        assert_eq!(world.who(issued.service_token.as_bytes()).await, host.with(AgentScope::Heartbeat));
        world.ground.clock.set(91 * DAY - MINUTE);
        assert_eq!(renew(&world, &host).await.status, StatusCode::OK, "89 days, 23:59 after its end");
        world.ground.clock.set(182 * DAY);
        for answer in [
            renew(&world, &host).await,
            access(&world, host.id(), host.proof(Purpose::AccessToken, world.now())).await,
        ] {
            assert_eq!((answer.status, answer.code()), (StatusCode::UNAUTHORIZED, "ENROLMENT_REFUSED"));
            assert!(answer.message().contains("90 days"));
        }
        assert_eq!(
            world.agent(&host).await.certificate_not_after.as_millis() / DAY,
            (world.now().as_millis() - 90 * DAY) / DAY
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_counts_once_now_and_for_its_purpose() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let (host, other) = (world.enrol("acme").await, world.enrol("acme").await);
        let proof = host.proof(Purpose::AccessToken, world.now());
        let granted = access(&world, host.id(), proof.clone()).await;
        assert_eq!(granted.status, StatusCode::CREATED);
        let token: AccessToken = serde_json::from_value(granted.body).unwrap();
        assert_eq!(world.who(token.token.as_bytes()).await, host.caller());
        let refused = |answer: &Answer, what: &str| {
            assert_eq!((answer.status, answer.code()), (StatusCode::UNAUTHORIZED, "UNAUTHORIZED"), "{what}");
        };
        let replayed = access(&world, host.id(), proof.clone()).await;
        refused(&replayed, "replayed");
        assert!(replayed.message().contains("used already"));
        let mut same = Vec::new();
        for (what, id, proof) in [
            ("another's", other.id(), host.proof(Purpose::AccessToken, world.now())),
            ("another purpose", host.id(), host.proof(Purpose::Renew, world.now())),
            ("unknown host", "agt_nobody", host.proof(Purpose::AccessToken, world.now())),
            ("other nonce", host.id(), Proof { nonce: "00".repeat(16), ..proof.clone() }),
            ("other time", host.id(), Proof { timestamp: proof.timestamp.plus_millis(1), ..proof.clone() }),
            ("no signature", host.id(), Proof { signature: String::new(), ..proof.clone() }),
            ("nonsense", host.id(), Proof { signature: "AAAA".to_owned(), ..proof.clone() }),
        ] {
            let answer = access(&world, id, proof).await;
            refused(&answer, what);
            same.push(answer.body.to_string());
        }
        assert!(same.windows(2).all(|pair| pair[0] == pair[1]), "{same:#?}");
        for minutes in [-6, 6] {
            let skewed = host.proof(Purpose::AccessToken, world.now().plus_millis(minutes * MINUTE));
            let answer = access(&world, host.id(), skewed).await;
            refused(&answer, "skewed");
            let told: Timestamp =
                serde_json::from_value(answer.body["details"]["serverTime"].clone()).unwrap();
            assert!(told.as_millis().abs_diff(world.now().as_millis()) < 60_000);
            let again = access(&world, host.id(), host.proof(Purpose::AccessToken, told)).await;
            assert_eq!(again.status, StatusCode::CREATED);
        }
        for minutes in [-4, 4] {
            let near = host.proof(Purpose::AccessToken, world.now().plus_millis(minutes * MINUTE));
            assert_eq!(access(&world, host.id(), near).await.status, StatusCode::CREATED);
        }
        world.ground.clock.set(15 * MINUTE + 1_000);
        assert_eq!(world.who(token.token.as_bytes()).await, Caller::Nobody);
        assert!(world.trail("acme").await.contains(&"proof_refused".to_owned()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_proof_used_by_many_at_once_counts_once() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let replica = world.replica();
        let host = world.enrol("acme").await;
        let proof = host.proof(Purpose::AccessToken, world.now());
        let tries =
            (0..20).map(|n| access(if n % 2 == 0 { &world } else { &replica }, host.id(), proof.clone()));
        let answers = futures_util::future::join_all(tries).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == StatusCode::CREATED).count(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refusals_does_not_bury_the_records() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let host = world.enrol("acme").await;
        for _ in 0..30 {
            let proof = host.proof(Purpose::Renew, world.now());
            assert_eq!(access(&world, host.id(), proof).await.status, StatusCode::UNAUTHORIZED);
        }
        let trail = world.trail("acme").await;
        assert_eq!(trail.iter().filter(|kind| *kind == "proof_refused").count(), 10);
        // Others' failures cost the host nothing; its own enthusiasm does, after a while.
        let mut last = StatusCode::CREATED;
        for _ in 0..600 {
            last = access(&world, host.id(), host.proof(Purpose::AccessToken, world.now())).await.status;
            if last == StatusCode::TOO_MANY_REQUESTS {
                break;
            }
        }
        assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_with_another_key_is_a_clone() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let host = world.enrol("acme").await;
        let proof = host.proof(Purpose::Renew, world.now());
        let answer = renew_with(&world, &host, Key::new().csr("again"), proof.clone()).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::FORBIDDEN, "UNAUTHORIZED"),
            "{}",
            answer.body
        );
        assert!(world.agent(&host).await.clone_suspected);
        assert!(world.trail("acme").await.contains(&"clone_suspected".to_owned()));
        let again = renew_with(&world, &host, host.key.csr("again"), proof).await;
        assert_eq!(again.status, StatusCode::UNAUTHORIZED, "the nonce was used up");
        assert_eq!(renew(&world, &host).await.status, StatusCode::OK, "the flag cuts nobody off");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_is_at_once_and_for_good() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let (host, other) = (world.online("acme").await, world.online("acme").await);
        let granted = access(&world, host.id(), host.proof(Purpose::AccessToken, world.now())).await;
        let token = granted.body["token"].as_str().unwrap().to_owned();
        let body = json!({ "reason": "lost in a train" });
        let viewer_tries = world.call::<ep::RevokeAgent>(&viewer("acme"), &[host.id()], "", &body).await;
        assert_eq!(viewer_tries.status, StatusCode::FORBIDDEN);
        let info = world.ok::<ep::RevokeAgent>(&admin("acme"), &[host.id()], "", &body).await;
        let revoked = info.revoked.clone().unwrap();
        assert_eq!((revoked.by.unwrap().as_str(), revoked.reason.as_str()), ("usr_ada", "lost in a train"));
        let certificate = der(&host.issued.certificate_pem);
        for secret in [certificate.as_slice(), token.as_bytes(), host.issued.service_token.as_bytes()] {
            let Caller::Revoked { reason, .. } = world.who(secret).await else { panic!("still known") };
            assert!(reason.contains("lost in a train"));
        }
        let told = |answer: Answer| {
            assert_eq!(
                (answer.status, answer.code()),
                (StatusCode::FORBIDDEN, "AGENT_REVOKED"),
                "{}",
                answer.body
            );
            assert!(answer.message().contains("lost in a train"));
        };
        told(renew(&world, &host).await);
        told(access(&world, host.id(), host.proof(Purpose::AccessToken, world.now())).await);
        // A request that was admitted a moment before.
        let beat = heartbeat(world.now());
        let beaten =
            world.call::<ep::SendHeartbeat>(&host.with(AgentScope::Heartbeat), &[host.id()], "", &beat).await;
        told(beaten);
        told(world.call::<ep::PollCommands>(&host.caller(), &[host.id()], "", &json!({})).await);
        let twice =
            world.ok::<ep::RevokeAgent>(&admin("acme"), &[host.id()], "", &json!({ "reason": "x" })).await;
        assert_eq!(twice.revoked.unwrap().reason, "lost in a train");
        assert_eq!(renew(&world, &other).await.status, StatusCode::OK);
        // A host may end its own enrolment, and nobody else's.
        let own = json!({ "reason": "unenrolled" });
        let foreign = world.call::<ep::RevokeAgent>(&other.caller(), &[host.id()], "", &own).await;
        assert_eq!(foreign.status, StatusCode::FORBIDDEN);
        let info = world.ok::<ep::RevokeAgent>(&other.caller(), &[other.id()], "", &own).await;
        assert_eq!(info.revoked.unwrap().by, None);
        let trail = world.trail("acme").await;
        assert_eq!(trail.iter().filter(|kind| *kind == "agent_revoked").count(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_of_a_revoked_host_gets_nothing() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let token = world.token("acme", |_| {}).await.token;
        let key = Key::new();
        let issued = world.exchange(&token, &key.csr("x")).await;
        let id = issued.body["agentId"].as_str().unwrap().to_owned();
        world.ok::<ep::RevokeAgent>(&admin("acme"), &[&id], "", &json!({ "reason": "gone" })).await;
        let again = world.exchange(&token, &key.csr("x")).await;
        assert_eq!((again.status, again.code()), (StatusCode::FORBIDDEN, "AGENT_REVOKED"));
    })
    .await;
}
