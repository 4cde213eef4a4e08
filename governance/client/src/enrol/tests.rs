//! Against a small server, and somebody in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::response::IntoResponse;
use lanyard_protocol::Timestamp;
use serde_json::json;

use super::*;
use crate::testing::{AGENT, DAY, Fake, Running, answer, cut_answer, error, identity, off_by, store, until};

fn machine() -> MachineInfo {
    MachineInfo {
        name: "desk".to_owned(),
        os_family: "linux".to_owned(),
        os_version: "12".to_owned(),
        architecture: "x86_64".to_owned(),
        host_version: "0.1.0".to_owned(),
        host_id: None,
    }
}

fn token(fake: &Fake, running: &Running) -> Secret {
    let hash = if running.url.starts_with("https") { fake.ca.hash() } else { String::new() };
    Secret::new(format!("lanyard-enroll.1.TOKEN.GOODGOODGOODGOOD.{hash}"))
}

async fn tls() -> (Arc<Fake>, Running) {
    let fake = Fake::new();
    let running = fake.serve_tls("127.0.0.1").await;
    (fake, running)
}

#[tokio::test]
async fn a_token_becomes_an_identity_that_is_kept() {
    let plain = Fake::new();
    let here = plain.serve().await;
    for (fake, running) in [tls().await, (plain, here)] {
        let (_dir, store) = store();
        let identity = enrol(&store, &running.url, token(&fake, &running), machine()).await.unwrap();
        assert_eq!(identity.agent_id.as_str(), AGENT);
        assert!(identity.not_after > Timestamp::now());
        let kept = store.load().unwrap().unwrap();
        assert_eq!(kept.certificate_pem, identity.certificate_pem);
        assert_eq!(kept.key.to_text(), identity.key.to_text());
        assert!(store.pending().is_none(), "the begun enrolment is forgotten");
        let exchange = &fake.hits("/enrolment/exchange")[0];
        assert_eq!(exchange.json()["machine"]["name"], "desk");
        // It works at once.
        let central = crate::Central::new(identity, store.clone()).unwrap();
        let nothing = lanyard_governance_api::page::Nothing {};
        central
            .call::<lanyard_governance_api::endpoint::GetChainHead>(&[], &nothing, &nothing)
            .await
            .unwrap();
        // And a second time is refused.
        let again = enrol(&store, &running.url, token(&fake, &running), machine()).await;
        assert!(matches!(again, Err(EnrolError::Enrolled(_))));
        assert_eq!(fake.books().uses, 1);
        store.remove().unwrap();
        assert!(store.load().unwrap().is_none());
    }
}

#[tokio::test]
async fn a_clock_that_is_a_day_off_does_not_matter() {
    for off in [DAY, -DAY] {
        let (fake, running) = tls().await;
        let (_dir, store) = store();
        let clock = off_by(off);
        enrol_by_clock(&store, &running.url, token(&fake, &running), machine(), clock.clone()).await.unwrap();
        assert!((clock.offset_millis() + off).abs() < 30_000);
    }
}

#[tokio::test]
async fn with_another_ca_the_token_is_not_sent() {
    let (fake, running) = tls().await;
    let (other, _) = tls().await;
    let (_dir, store) = store();
    let refused = enrol(&store, &running.url, token(&other, &running), machine()).await;
    assert!(matches!(refused, Err(EnrolError::OtherCa(_))), "{refused:?}");
    assert_eq!(fake.hits("/enrolment/exchange").len(), 0);
    assert!(store.load().unwrap().is_none());
}

#[tokio::test]
async fn whoever_shows_the_right_ca_without_its_key_gets_no_token() {
    let (real, _real) = tls().await;
    let (between, running) = tls().await;
    let shown = real.ca.pem();
    between.plan(move |hit| (hit.path == "/enrolment/ca").then(|| shown.clone().into_response()));
    let (_dir, store) = store();
    let refused = enrol(&store, &running.url, token(&real, &running), machine()).await;
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("certificate"), "{text}");
    assert_eq!(between.hits("/enrolment/exchange").len(), 0);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_uses_nothing() {
    let (fake, running) = tls().await;
    let lost = AtomicU32::new(0);
    fake.plan(move |hit| {
        // Taken, and the answer lost.
        (hit.path == "/enrolment/exchange" && lost.fetch_add(1, Ordering::SeqCst) < 2).then(cut_answer)
    });
    let (_dir, store) = store();
    enrol(&store, &running.url, token(&fake, &running), machine()).await.unwrap();
    let hits = fake.hits("/enrolment/exchange");
    assert_eq!(hits.len(), 3);
    assert!(hits.iter().all(|hit| hit.body == hits[0].body), "in the same words");
    assert_eq!(fake.books().uses, 1);
}

#[tokio::test]
async fn a_begun_enrolment_goes_on_in_another_life() {
    let (fake, running) = tls().await;
    fake.plan(|hit| (hit.path == "/enrolment/exchange").then(cut_answer));
    let (_dir, store) = store();
    let begun = tokio::spawn({
        let (store, url, token) = (store.clone(), running.url.clone(), token(&fake, &running));
        async move { enrol(&store, &url, token, machine()).await }
    });
    until("it was sent", || !fake.hits("/enrolment/exchange").is_empty()).await;
    begun.abort();
    fake.plan(|_| None);
    enrol(&store, &running.url, token(&fake, &running), machine()).await.unwrap();
    let hits = fake.hits("/enrolment/exchange");
    assert_eq!(hits[0].json()["csrPem"], hits.last().unwrap().json()["csrPem"]);
    assert_eq!(fake.books().uses, 1);
}

#[tokio::test]
async fn another_token_begins_anew() {
    let (fake, running) = tls().await;
    let (_dir, store) = store();
    fake.plan(|hit| {
        (hit.path == "/enrolment/exchange").then(|| error(401, ErrorCode::EnrolmentRefused, "used up"))
    });
    let refused = enrol(&store, &running.url, token(&fake, &running), machine()).await;
    assert!(matches!(&refused, Err(EnrolError::Refused(why)) if why == "used up"), "{refused:?}");
    fake.plan(|_| None);
    let second = Secret::new(token(&fake, &running).reveal().replace("TOKEN", "OTHER"));
    enrol(&store, &running.url, second, machine()).await.unwrap();
    let hits = fake.hits("/enrolment/exchange");
    assert_ne!(hits[0].json()["csrPem"], hits[1].json()["csrPem"]);
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let (fake, running) = tls().await;
    let (_dir, store) = store();
    let expired = WireError::new(ErrorCode::EnrolmentRefused, "this enrolment token has expired");
    fake.plan(move |hit| (hit.path == "/enrolment/exchange").then(|| answer(401, &expired)));
    let refused = enrol(&store, &running.url, token(&fake, &running), machine()).await;
    assert!(matches!(refused, Err(EnrolError::Expired)), "{refused:?}");

    fake.plan(|hit| (hit.path == "/enrolment/ca").then(|| "welcome".into_response()));
    let refused = enrol(&store, &running.url, token(&fake, &running), machine()).await;
    assert!(matches!(refused, Err(EnrolError::NotACentre { .. })), "{refused:?}");

    let gone = running.url.clone();
    let good = token(&fake, &running);
    drop(running);
    let refused = enrol(&store, &gone, good.clone(), machine()).await;
    assert!(matches!(refused, Err(EnrolError::Unreachable { .. })), "{refused:?}");

    let bare = Secret::new("lanyard-enroll.1.TOKEN.GOODGOODGOODGOOD.");
    for (url, token, expect) in [
        ("http://central.example", &bare, "not encrypted"),
        ("central.example", &bare, "not an address"),
        ("https://central.example/console", &good, "without user, path"),
        ("https://127.0.0.1:1", &bare, "the address is https"),
        ("http://127.0.0.1:1", &good, "the address is http"),
        ("http://127.0.0.1:1", &Secret::new("hello"), "no enrolment token"),
    ] {
        let text = enrol(&store, url, token.clone(), machine()).await.unwrap_err().to_string();
        assert!(text.contains(expect), "{text}");
        assert!(!text.contains("GOODGOOD"), "{text}");
    }
}

#[tokio::test]
async fn a_certificate_for_another_key_or_of_another_ca_is_not_kept() {
    let (fake, running) = tls().await;
    let (other, _other) = tls().await;
    let stranger = identity(&fake, &running.url, DAY);
    for ca in [fake.ca.pem(), other.ca.pem()] {
        let certificate = stranger.certificate_pem.clone();
        fake.plan(move |hit| {
            (hit.path == "/enrolment/exchange").then(|| {
                let mut issued = json!({
                    "agentId": AGENT, "tenantId": "t", "userId": "u", "certificatePem": certificate,
                    "caChainPem": ca, "serviceToken": "x", "heartbeatSeconds": 60,
                    "notAfter": "2099-01-01T00:00:00Z", "serverTime": Timestamp::now().to_string(),
                });
                issued["nonce"] = hit.json()["nonce"].clone();
                axum::Json(issued).into_response()
            })
        });
        let (_dir, store) = store();
        let refused = enrol(&store, &running.url, token(&fake, &running), machine()).await;
        assert!(matches!(refused, Err(EnrolError::Identity(_))), "{refused:?}");
        assert!(store.load().unwrap().is_none());
    }
}
