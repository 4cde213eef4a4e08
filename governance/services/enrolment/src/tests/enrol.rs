//! Tokens and their exchange.

use super::*;
use crate::MIGRATIONS;
use lanyard_governance_api::enrolment::EnrolmentToken;
use lanyard_governance_api::page::Page;
use lanyard_governance_foundation::testing::on_both;

#[tokio::test(flavor = "multi_thread")]
async fn a_token_becomes_an_identity_that_is_known() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let token = world.token("acme", |_| {}).await;
        let hash = data_encoding::BASE32_NOPAD.encode(&world.ca.certificate_hash()).to_lowercase();
        assert!(token.token.starts_with("lanyard-enroll.1.") && token.token.ends_with(&hash));
        let key = Key::new();
        let answer = world.exchange(&token.token, &key.csr("one")).await;
        assert_eq!(answer.status, StatusCode::CREATED);
        let issued: IssuedIdentity = serde_json::from_value(answer.body).unwrap();
        assert_eq!((issued.tenant_id.as_str(), issued.user_id.as_str()), ("acme", "usr_owner"));
        assert_eq!(issued.nonce, "ab".repeat(16));
        assert_eq!(der(&issued.ca_chain_pem), world.ca.certificate_der());
        let ca = world.raw::<ep::GetCa>(&Caller::Nobody, &[], "", &json!({})).await;
        let ca = axum::body::to_bytes(ca.into_body(), 10_000).await.unwrap();
        assert_eq!(der(std::str::from_utf8(&ca).unwrap()), world.ca.certificate_der());

        let certificate = der(&issued.certificate_pem);
        let host = Host { key, issued };
        assert_eq!(world.who(&certificate).await, host.caller());
        assert_eq!(world.who(host.issued.service_token.as_bytes()).await, host.with(AgentScope::Heartbeat));
        let info = world.agent(&host).await;
        assert_eq!((info.class.as_str(), info.machine.name.as_str()), ("laptop", "workbench"));
        assert_eq!(info.certificate_not_after, host.issued.not_after);
        // A day later the certificate is nobody's; the service token still says that the host is there.
        world.ground.clock.set(DAY + MINUTE);
        assert_eq!(world.who(&certificate).await, Caller::Nobody);
        assert_eq!(world.who(host.issued.service_token.as_bytes()).await, host.with(AgentScope::Heartbeat));
        assert_eq!(world.trail("acme").await, ["enrolment_token_created", "agent_enrolled"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_hold_the_secret_learns_nothing() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let (mine, other) = (world.token("acme", |_| {}).await, world.token("acme", |_| {}).await);
        let gone = world.token("acme", |_| {}).await;
        world
            .call::<ep::RevokeEnrolmentToken>(
                &admin("acme"),
                &[gone.record.token_id.as_str()],
                "",
                &json!({}),
            )
            .await;
        let csr = Key::new().csr("one");
        let secret = |token: &IssuedEnrolmentToken| token.token.split('.').nth(3).unwrap().to_owned();
        let foreign = |token: &IssuedEnrolmentToken| token.token.replace(&secret(token), &secret(&other));
        let unknown = mine.token.replace(mine.record.token_id.as_str(), "abcdefgh");
        let mut seen = Vec::new();
        for token in [foreign(&mine), foreign(&gone), unknown, "nonsense".to_owned(), String::new()] {
            let answer = world.exchange(&token, &csr).await;
            assert_eq!((answer.status, answer.code()), (StatusCode::UNAUTHORIZED, "ENROLMENT_REFUSED"));
            seen.push(answer.body.to_string());
        }
        assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:#?}");
        // With the secret it is told, and still good for one that was not used.
        assert!(world.exchange(&gone.token, &csr).await.message().contains("revoked"));
        assert_eq!(world.exchange(&mine.token, &csr).await.status, StatusCode::CREATED);
        let trail = world.trail("acme").await;
        assert_eq!(trail.iter().filter(|kind| *kind == "enrolment_refused").count(), 3, "{trail:?}");
        // The secret is kept nowhere.
        let mut tx = world.foundation().database.across_read().await.unwrap();
        let rows = tx.all(Statement::new("SELECT event FROM trail")).await.unwrap();
        assert!(rows.iter().all(|row| !row.text("event").unwrap().contains(&secret(&mine))));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_by_time_use_and_revocation() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let csr = || Key::new().csr("one");
        let refused = |answer: Answer, why: &str| {
            assert_eq!((answer.status, answer.code()), (StatusCode::UNAUTHORIZED, "ENROLMENT_REFUSED"));
            assert!(answer.message().contains(why), "{}", answer.message());
        };
        let twice = world.token("acme", |token| token.max_uses = Some(2)).await;
        let (first, again) = (Key::new(), csr());
        let one = world.exchange(&twice.token, &first.csr("a")).await;
        // The same request again, whatever became of the answer: the same host, and nothing is used.
        let same = world.exchange(&twice.token, &first.csr("a")).await;
        assert_eq!(one.body["agentId"], same.body["agentId"]);
        let two = world.exchange(&twice.token, &again).await;
        assert_ne!(one.body["agentId"], two.body["agentId"]);
        refused(world.exchange(&twice.token, &csr()).await, "used up");
        refused(world.exchange(&twice.token, &first.csr("b")).await, "used up");
        assert_eq!(world.exchange(&twice.token, &again).await.body["agentId"], two.body["agentId"]);
        let short = world.token("acme", |token| token.expires_in_seconds = Some(60)).await;
        assert_eq!(world.exchange(&short.token, &csr()).await.status, StatusCode::CREATED);
        let late = world.token("acme", |token| token.expires_in_seconds = Some(60)).await;
        world.ground.clock.set(61_000);
        refused(world.exchange(&late.token, &csr()).await, "expired");
        let list: Page<EnrolmentToken> =
            world.ok::<ep::ListEnrolmentTokens>(&admin("acme"), &[], "?limit=2", &json!({})).await;
        assert_eq!(list.items.iter().map(|token| token.uses).collect::<Vec<_>>().len(), 2);
        let next = format!("?limit=2&nextToken={}", list.next_token.unwrap());
        let rest: Page<EnrolmentToken> =
            world.ok::<ep::ListEnrolmentTokens>(&admin("acme"), &[], &next, &json!({})).await;
        assert_eq!((rest.items.len(), rest.next_token), (1, None));
        assert_eq!((rest.items[0].uses, rest.items[0].max_uses), (2, 2));
        let id = twice.record.token_id.as_str();
        for _ in 0..2 {
            let gone = world.call::<ep::RevokeEnrolmentToken>(&admin("acme"), &[id], "", &json!({})).await;
            assert_eq!(gone.status, StatusCode::NO_CONTENT);
        }
        refused(world.exchange(&twice.token, &again).await, "revoked");
        // Another key with a token for one host is a clone of that host, or a thief; with one for several, a mistake.
        let once = world.token("acme", |_| {}).await;
        let host = world.exchange(&once.token, &csr()).await.body["agentId"].clone();
        for _ in 0..2 {
            refused(world.exchange(&once.token, &csr()).await, "used up");
        }
        let hosts = world.ok::<ep::ListAgents>(&viewer("acme"), &[], "", &json!({})).await.items;
        let marked: Vec<_> = hosts.iter().filter(|info| info.clone_suspected).collect();
        assert_eq!(marked.len(), 1);
        assert_eq!(json!(marked[0].agent_id), host);
        let marks = world.trail("acme").await.into_iter().filter(|event| event == "clone_suspected");
        assert_eq!(marks.count(), 1, "once");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_clients_race_for_seven_uses() {
    on_both(MIGRATIONS, |ground| async move {
        let world = Arc::new(World::new(ground));
        let token = world.token("acme", |token| token.max_uses = Some(7)).await.token;
        let tries = (0..50).map(|n| {
            let (world, token) = (world.clone(), token.clone());
            tokio::spawn(async move {
                // Each sends its request twice, as after a lost answer.
                let csr = Key::new().csr(&n.to_string());
                let (one, two) = tokio::join!(world.exchange(&token, &csr), world.exchange(&token, &csr));
                assert_eq!(one.status, two.status);
                (one.status, one.body["agentId"] == two.body["agentId"], one.body["agentId"].clone())
            })
        });
        let mut agents = std::collections::BTreeSet::new();
        for one in tries.collect::<Vec<_>>() {
            match one.await.unwrap() {
                (StatusCode::CREATED, same, agent) => {
                    assert!(same);
                    agents.insert(agent.to_string());
                }
                (status, _, _) => assert_eq!(status, StatusCode::UNAUTHORIZED),
            }
        }
        assert_eq!(agents.len(), 7);
        let list = world.ok::<ep::ListEnrolmentTokens>(&admin("acme"), &[], "", &json!({})).await;
        assert_eq!(list.items[0].uses, 7);
        let hosts = world.ok::<ep::ListAgents>(&viewer("acme"), &[], "", &json!({})).await;
        assert_eq!(hosts.items.len(), 7);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_refused() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let token = world.token("acme", |_| {}).await.token;
        let csr = Key::new().csr("x");
        let ec = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let ec = CertificateParams::default().serialize_request(&ec).unwrap();
        let ec = format!(
            "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----",
            data_encoding::BASE64.encode(ec.der())
        );
        let good = exchange_body(&token, &csr);
        let with = |change: &dyn Fn(&mut ExchangeRequest)| {
            let mut body = good.clone();
            change(&mut body);
            body
        };
        for body in [
            with(&|b| b.csr_pem = ec.clone()),
            with(&|b| b.csr_pem = "nothing".to_owned()),
            with(&|b| b.nonce = "ab".repeat(15)),
            with(&|b| b.nonce = "zz".repeat(16)),
            with(&|b| b.machine.name = String::new()),
            with(&|b| b.machine.os_version = "x".repeat(10_000)),
            with(&|b| b.machine.name = "a\u{1b}[2J".to_owned()),
        ] {
            let answer = world.call::<ep::ExchangeToken>(&Caller::Nobody, &[], "", &body).await;
            assert_eq!(
                (answer.status, answer.code()),
                (StatusCode::BAD_REQUEST, "INVALID_REQUEST"),
                "{body:?}"
            );
        }
        for (uses, seconds, class) in
            [(Some(0), None, "x"), (Some(1_001), None, "x"), (None, Some(59), "x"), (None, None, "")]
        {
            let body = json!({ "class": class, "maxUses": uses, "expiresInSeconds": seconds });
            let answer = world.call::<ep::CreateEnrolmentToken>(&admin("acme"), &[], "", &body).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        }
        assert_eq!(
            world.call::<ep::ExchangeToken>(&Caller::Nobody, &[], "", &good).await.status,
            StatusCode::CREATED
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_with_the_rights_of_whoever_made_it() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let token = world.token("acme", |token| token.max_uses = Some(9)).await;
        let key = Key::new();
        let first = key.csr("first");
        assert_eq!(world.exchange(&token.token, &first).await.status, StatusCode::CREATED);
        let void = async || {
            let page = world.ok::<ep::ListEnrolmentTokens>(&admin("acme"), &[], "", &json!({})).await;
            page.items[0].void.clone()
        };
        assert_eq!(void().await, None);
        for (user, role, why) in [
            ("usr_ada", Some(Role::Approver), "is no administrator any more"),
            ("usr_ada", None, "usr_ada, who made it, was removed"),
            ("usr_owner", None, "usr_owner, whose host it would be, was removed"),
        ] {
            world.people.put(user, role);
            assert!(void().await.unwrap().contains(why), "{why}: {:?}", void().await);
            // Nor is an answer that was lost given again.
            for csr in [&first, &Key::new().csr("second")] {
                let answer = world.exchange(&token.token, csr).await;
                assert_eq!(
                    (answer.status, answer.code()),
                    (StatusCode::UNAUTHORIZED, "ENROLMENT_REFUSED"),
                    "{why}"
                );
                assert!(answer.message().contains("ask your administrator"), "{}", answer.message());
            }
            world.people.put(user, Some(Role::Admin));
            assert_eq!(void().await, None);
        }
        // Whoever does not hold the secret does not learn of it, and while nobody can be asked nobody gets in.
        world.people.put("usr_ada", None);
        let other = world.token("acme", |_| {}).await;
        let secret = |token: &IssuedEnrolmentToken| token.token.split('.').nth(3).unwrap().to_owned();
        let foreign = token.token.replace(&secret(&token), &secret(&other));
        assert!(world.exchange(&foreign, &first).await.message().contains("is not accepted"));
        world.people.put("usr_ada", Some(Role::Admin));
        world.others.0.lock().unwrap().remove(&Service::Identity);
        assert_eq!(world.exchange(&token.token, &first).await.status, StatusCode::SERVICE_UNAVAILABLE);
        world.peers([(Service::Identity, world.people.router())]);
        assert_eq!(world.exchange(&token.token, &first).await.status, StatusCode::CREATED);
        let trail = world.trail("acme").await;
        assert!(trail.iter().filter(|kind| *kind == "enrolment_refused").count() >= 6, "{trail:?}");
        // Tokens are made for people of the tenant.
        world.people.put("usr_nobody", None);
        let body = json!({ "userId": "usr_nobody", "class": "laptop" });
        let answer = world.call::<ep::CreateEnrolmentToken>(&admin("acme"), &[], "", &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(answer.message().contains("invite them first"), "{}", answer.message());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_half_way_uses_no_token() {
    on_both(MIGRATIONS, |ground| async move {
        let world = World::new(ground);
        let token = world.token("acme", |_| {}).await;
        let rename = async |sql: &'static str| {
            let mut tx = world.foundation().database.across_write().await.unwrap();
            tx.run(Statement::new(sql)).await.unwrap();
            tx.commit().await.unwrap();
        };
        // The host is written down before its credentials.
        rename("ALTER TABLE credentials RENAME TO credentials_away").await;
        let body = exchange_body(&token.token, &Key::new().csr("one"));
        let answer = world.raw::<ep::ExchangeToken>(&Caller::Nobody, &[], "", &body).await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        rename("ALTER TABLE credentials_away RENAME TO credentials").await;
        let answer = world.exchange(&token.token, &Key::new().csr("two")).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        let hosts: Page<AgentInfo> = world.ok::<ep::ListAgents>(&viewer("acme"), &[], "", &json!({})).await;
        assert_eq!(hosts.items.len(), 1);
    })
    .await;
}
