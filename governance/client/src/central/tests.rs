//! Against a small server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use lanyard_governance_api::artifact::{ArtifactQuery, ArtifactType};
use lanyard_governance_api::audit::ChainHead;
use lanyard_governance_api::endpoint::{GetChainHead, GetSession, PutArtifact};
use lanyard_governance_api::page::Nothing;
use lanyard_protocol::id::SessionId;

use super::*;
use crate::renew::RenewError;
use crate::testing::{
    AGENT, Ca, DAY, Fake, Pair, cut_answer, drip, error, identity, off_by, pair, plain, store, until,
};
use lanyard_protocol::{ErrorCode, Timestamp};

async fn head(central: &Central) -> Result<ChainHead, CallError> {
    central.call::<GetChainHead>(&[], &Nothing {}, &Nothing {}).await
}

#[tokio::test]
async fn many_calls_fetch_one_access_token() {
    let Pair { fake, central, running: _running, .. } = plain().await;
    let calls = (0..30).map(|_| {
        let central = central.clone();
        tokio::spawn(async move { head(&central).await })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap().unwrap().last_seq, 0);
    }
    assert_eq!(fake.books().issued_tokens, 1);
    let hits = fake.hits("/audit/head");
    assert_eq!(hits.len(), 30);
    assert!(hits.iter().all(|hit| hit.bearer.as_deref() == Some("access-1") && hit.method == "GET"));
    let ids: std::collections::HashSet<_> =
        hits.iter().map(|hit| hit.headers["x-request-id"].clone()).collect();
    assert_eq!(ids.len(), 30, "each request has an id of its own");
    assert!(central.reach().borrow().last_ok.is_some());
}

#[tokio::test]
async fn a_token_that_is_not_taken_any_more_is_replaced_once() {
    let Pair { fake, central, running: _running, .. } = plain().await;
    head(&central).await.unwrap();
    fake.books().tokens.clear();
    head(&central).await.unwrap();
    assert_eq!((fake.issued_tokens(), fake.hits("/audit/head").len()), (2, 3));
    fake.plan(|hit| (hit.path == "/audit/head").then(|| error(401, ErrorCode::Unauthorized, "no")));
    let refused = head(&central).await.unwrap_err();
    assert_eq!(refused.status(), Some(401));
    assert!(!refused.retryable());
    assert_eq!((fake.issued_tokens(), fake.hits("/audit/head").len()), (3, 5));
}

#[tokio::test]
async fn a_token_is_renewed_before_it_runs_out() {
    let Pair { fake, central, running: _running, .. } = plain().await;
    fake.books().token_life = 1_000;
    head(&central).await.unwrap();
    head(&central).await.unwrap();
    assert_eq!(fake.books().issued_tokens, 1);
    // To where it is still good, and not for long.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(999)).await;
    tokio::time::resume();
    head(&central).await.unwrap();
    assert_eq!((fake.issued_tokens(), fake.hits("/audit/head").len()), (2, 3));
}

#[tokio::test]
async fn waiters_share_the_failure_of_a_fetch() {
    let Pair { fake, central, running: _running, .. } = plain().await;
    fake.plan(|_| Some(error(503, ErrorCode::CentralUnavailable, "later")));
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let central = central.clone();
            tokio::spawn(async move { head(&central).await })
        })
        .collect();
    for call in calls {
        assert!(call.await.unwrap().unwrap_err().retryable());
    }
    let asked = fake.hits("/agents/agent-1/access-tokens").len();
    assert!(asked <= 3, "{asked} of 20 asked by themselves");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Fake::new();
    let other = elsewhere.serve().await;
    let Pair { fake, central, running: _running, .. } = plain().await;
    let to = format!("{}/audit/head", other.url);
    fake.plan(move |hit| {
        let answer = Response::builder().status(307).header("location", &to).body(Body::empty()).unwrap();
        (hit.path == "/audit/head").then_some(answer)
    });
    let refused = head(&central).await.unwrap_err();
    assert!(matches!(&refused, CallError::Protocol(text) if text.contains("redirect")), "{refused}");
    assert!(elsewhere.books().hits.is_empty());
}

#[tokio::test]
async fn long_answers_are_not_read() {
    let Pair { fake, central, running: _running, .. } = plain().await;
    head(&central).await.unwrap();
    fake.plan(|_| Some(drip()));
    let refused = head(&central).await.unwrap_err();
    assert!(matches!(&refused, CallError::Protocol(text) if text.contains("longer than")), "{refused}");
    fake.plan(|_| Some(vec![b' '; MAX_ANSWER + 1].into_response()));
    let refused = head(&central).await.unwrap_err();
    assert!(matches!(&refused, CallError::Protocol(text) if text.contains("longer than")), "{refused}");
    fake.plan(|_| {
        let mut answer = drip();
        *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        Some(answer)
    });
    assert!(matches!(head(&central).await.unwrap_err(), CallError::Protocol(_)), "nor long refusals");
}

#[tokio::test]
async fn an_answer_that_never_comes_is_given_up() {
    let Pair { fake, central, running: _running, .. } = plain().await;
    head(&central).await.unwrap();
    fake.plan(|_| Some(Body::from_stream(stream::pending::<std::io::Result<Bytes>>()).into_response()));
    let call = tokio::spawn({
        let central = central.clone();
        async move { head(&central).await }
    });
    until("the request is there", || fake.hits("/audit/head").len() == 2).await;
    tokio::time::pause();
    tokio::time::advance(CALL + Duration::from_secs(1)).await;
    tokio::time::resume();
    let gone = call.await.unwrap().unwrap_err();
    assert!(
        matches!(&gone, CallError::Unreachable { reason, .. } if reason.contains("30 seconds")),
        "{gone}"
    );
}

#[tokio::test]
async fn answers_that_are_cut_or_are_a_proxy_s_count_as_none() {
    let Pair { fake, central, running: _running, .. } = plain().await;
    head(&central).await.unwrap();
    fake.plan(|_| Some(cut_answer()));
    assert!(matches!(head(&central).await.unwrap_err(), CallError::Unreachable { .. }));
    fake.plan(|_| Some((StatusCode::BAD_GATEWAY, [("retry-after", "17")], "<html>").into_response()));
    let away = head(&central).await.unwrap_err();
    assert!(matches!(away, CallError::Unreachable { .. }), "{away}");
    assert_eq!((away.retryable(), away.retry_after()), (true, Some(Duration::from_secs(17))));
    fake.plan(|_| Some((StatusCode::OK, "<html>").into_response()));
    assert!(matches!(head(&central).await.unwrap_err(), CallError::Protocol(_)));
    fake.plan(|_| Some((StatusCode::NOT_FOUND, "\u{1b}[31m nothing here").into_response()));
    let odd = head(&central).await.unwrap_err();
    assert!(matches!(&odd, CallError::Protocol(text) if !text.contains('\u{1b}')), "{odd:?}");
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let Pair { running, central, .. } = plain().await;
    drop(running);
    let gone = head(&central).await.unwrap_err();
    assert!(matches!(&gone, CallError::Unreachable { .. }), "{gone}");
    assert_eq!(gone.to_wire().code, ErrorCode::CentralUnavailable);
}

#[tokio::test]
async fn refusals_keep_their_words_and_revocation_is_told() {
    let Pair { fake, central, running: _running, .. } = plain().await;
    head(&central).await.unwrap();
    fake.plan(|_| {
        let refused = error(429, ErrorCode::RateLimited, "slower");
        Some(([("retry-after", "3")], refused).into_response())
    });
    let refused = head(&central).await.unwrap_err();
    assert_eq!(
        (refused.status(), refused.code(), refused.retryable(), refused.retry_after()),
        (Some(429), Some(ErrorCode::RateLimited), true, Some(Duration::from_secs(3)))
    );
    fake.plan(|_| None);
    fake.books().revoked = true;
    assert_eq!(head(&central).await.unwrap_err(), CallError::Revoked("the machine was sold".to_owned()));
    assert_eq!(central.reach().borrow().revoked.as_deref(), Some("the machine was sold"));
}

#[tokio::test]
async fn parameters_are_checked_before_anything_is_sent() {
    let Pair { fake, central, running: _running, .. } = plain().await;
    let get = central.call::<GetSession>(&[("session_id", "..")], &Nothing {}, &Nothing {}).await;
    assert!(matches!(get, Err(CallError::Protocol(_))));
    assert!(fake.books().hits.is_empty());
}

fn artifact() -> ArtifactQuery {
    ArtifactQuery {
        artifact_type: ArtifactType::ToolOutput,
        session_id: SessionId::new("s").unwrap(),
        task_id: None,
        step_id: None,
        tool_call_id: None,
        seq: None,
        sha256: None,
    }
}

#[tokio::test]
async fn bytes_are_streamed_and_streamed_anew_with_a_new_token() {
    let Pair { fake, central, running: _running, .. } = plain().await;
    head(&central).await.unwrap();
    fake.books().tokens.clear();
    let made = Arc::new(AtomicU32::new(0));
    let counted = made.clone();
    let body = move || -> BodyStream {
        counted.fetch_add(1, Ordering::SeqCst);
        let pieces = (0..16_u8).map(|n| Ok(Bytes::from(vec![n; 1 << 16])));
        Box::pin(stream::iter(pieces))
    };
    let params = [("workspace_id", "w")];
    let put = central.put_bytes::<PutArtifact>(&params, &artifact(), body, 16 << 16).await;
    assert!(matches!(put, Err(CallError::Protocol(_))), "the fake has no record to give: {put:?}");
    assert_eq!(made.load(Ordering::SeqCst), 2);
    let hits = fake.hits("/workspaces/w/artifacts");
    assert_eq!(hits.len(), 2);
    assert_eq!(hits[1].body.len(), 16 << 16);
    assert_eq!(hits[1].headers["content-length"], "1048576");
    assert_eq!(hits[1].query, "artifactType=tool_output&sessionId=s");

    let short = || -> BodyStream { Box::pin(stream::iter([Ok(Bytes::from_static(b"abc"))])) };
    let put = central.put_bytes::<PutArtifact>(&params, &artifact(), short, 10).await;
    assert!(matches!(put, Err(CallError::Unreachable { .. })), "{put:?}");
    assert_eq!(fake.hits("/workspaces/w/artifacts").len(), 2, "half a body is no body");
}

#[tokio::test]
async fn a_clock_that_is_a_day_off_is_put_right_by_the_first_answer() {
    for (off, hides_date) in [(-DAY, false), (DAY, false), (-DAY, true), (DAY, true), (-400 * DAY, true)] {
        let Pair { fake, central, running: _running, .. } = pair(false, DAY, off_by(off)).await;
        fake.books().hides_date = hides_date;
        head(&central).await.unwrap();
        assert_eq!(fake.hits("/agents/agent-1/access-tokens").len(), 2, "refused once, then right");
        assert!(
            (central.clock().offset_millis() + off).abs() < 30_000,
            "{}",
            central.clock().offset_millis()
        );
        assert!((central.reach().borrow().server_offset_millis + off).abs() < 30_000);
        assert!(central.clock().is_learned());
        fake.books().tokens.clear();
        head(&central).await.unwrap();
        assert_eq!(fake.hits("/agents/agent-1/access-tokens").len(), 3, "known from then on");
    }
}

#[tokio::test]
async fn over_tls_the_certificate_says_who_asks() {
    let Pair { fake, central, running: _running, .. } = pair(true, DAY, ServerClock::default()).await;
    head(&central).await.unwrap();
    let hit = &fake.hits("/audit/head")[0];
    let ours = crate::identity::certificates(&central.identity().certificate_pem).unwrap();
    assert_eq!(hit.peer.as_deref(), Some(ours[0].as_ref()));
    assert_eq!(hit.bearer, None);
    assert_eq!(fake.books().issued_tokens, 0);
}

/// Tries to call a server that shows a certificate.
async fn against(ca: Option<Ca>, name: &str, from: i64, to: i64, off: i64) -> Result<ChainHead, CallError> {
    let fake = Fake::new();
    let now = Timestamp::now();
    let ca = ca.as_ref().unwrap_or(&fake.ca);
    let running = fake.serve_tls_as(ca, name, now.plus_millis(from), now.plus_millis(to)).await;
    let (_dir, store) = store();
    let central = Central::with_clock(identity(&fake, &running.url, 2 * DAY), store, off_by(off)).unwrap();
    let answer = head(&central).await;
    assert_eq!(fake.books().hits.is_empty(), answer.is_err(), "nothing is said to a stranger");
    answer
}

#[tokio::test]
async fn nobody_but_the_pinned_ca_s_server_of_that_name_is_spoken_to() {
    against(None, "127.0.0.1", -DAY, DAY, 0).await.unwrap();
    for (ca, name) in [(Some(Ca::new()), "127.0.0.1"), (None, "127.0.0.2"), (None, "localhost")] {
        let stranger = against(ca, name, -DAY, DAY, 0).await.unwrap_err();
        assert!(
            matches!(&stranger, CallError::Unreachable { reason, .. } if reason.contains("certificate")),
            "{stranger}"
        );
    }
}

#[tokio::test]
async fn a_certificate_is_good_in_its_time_give_or_take_the_host_s_clock() {
    // Made just now, or about to run out; the host is a day behind, or ahead.
    against(None, "127.0.0.1", -60_000, DAY, -DAY).await.unwrap();
    against(None, "127.0.0.1", -DAY, 60_000, DAY).await.unwrap();
    // Three days is more than a wrong clock.
    against(None, "127.0.0.1", -9 * DAY, -3 * DAY, 0).await.unwrap_err();
    against(None, "127.0.0.1", 3 * DAY, 9 * DAY, 0).await.unwrap_err();
    // And a clock never makes up for another name or CA.
    against(None, "localhost", -60_000, DAY, -DAY).await.unwrap_err();
    against(Some(Ca::new()), "127.0.0.1", -60_000, DAY, -DAY).await.unwrap_err();
}

#[tokio::test]
async fn a_renewed_certificate_is_used_from_then_on_and_kept() {
    let Pair { fake, central, store, running: _running, .. } = pair(true, DAY, ServerClock::default()).await;
    head(&central).await.unwrap();
    let before = central.identity();
    central.renew().await.unwrap();
    head(&central).await.unwrap();
    let hits = fake.hits("/audit/head");
    assert_ne!(hits[0].peer, hits[1].peer);
    let kept = store.load().unwrap().unwrap();
    assert_eq!(kept.certificate_pem, central.identity().certificate_pem);
    assert_ne!(kept.certificate_pem, before.certificate_pem);
    assert_eq!(kept.key.to_text(), before.key.to_text(), "the key stays");
    let renewal = &fake.hits("/agents/agent-1/renew")[0];
    assert_eq!((renewal.peer.clone(), renewal.bearer.clone()), (None, None));
}

#[tokio::test]
async fn after_a_long_sleep_the_first_call_renews() {
    for off in [0, DAY, -DAY] {
        let Pair { fake, central, running: _running, .. } = pair(true, -60_000 - DAY, off_by(off)).await;
        if off == -DAY {
            // By the host's own clock the certificate is about to run out; a heartbeat puts that clock right.
            central
                .call_by::<lanyard_governance_api::endpoint::GetCa>(Credential::None, &Nothing {})
                .await
                .unwrap_err();
        }
        let calls: Vec<_> = (0..5)
            .map(|_| {
                let central = central.clone();
                tokio::spawn(async move { head(&central).await })
            })
            .collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        let renewals = fake.hits("/agents/agent-1/renew").len();
        assert!(renewals == 1 || off != 0 && renewals == 2, "{renewals} with a clock off by {off}");
        assert!(central.identity().not_after > Timestamp::now());
    }
}

#[tokio::test]
async fn a_lost_renewal_is_repeated_in_the_same_words() {
    let Pair { fake, central, running: _running, .. } = plain().await;
    fake.plan(|_| Some(cut_answer()));
    assert!(matches!(central.renew().await, Err(RenewError::Call(CallError::Unreachable { .. }))));
    fake.plan(|_| None);
    central.renew().await.unwrap();
    central.renew().await.unwrap();
    let hits = fake.hits("/agents/agent-1/renew");
    let requests: Vec<_> = hits.iter().map(|hit| hit.json()["csrPem"].as_str().unwrap().to_owned()).collect();
    assert_eq!(requests[0], requests[1]);
    assert_ne!(requests[1], requests[2], "another renewal is another request");
}

#[tokio::test]
async fn a_renewal_for_somebody_else_is_not_taken_over() {
    let Pair { fake, central, store, running: _running, .. } = plain().await;
    let before = store.load().unwrap().unwrap().certificate_pem;
    let stranger = identity(&fake, "http://127.0.0.1", DAY);
    fake.books().key = None;
    fake.plan(move |hit| {
        (hit.path == "/agents/agent-1/renew").then(|| {
            axum::Json(serde_json::json!({
                "agentId": AGENT, "tenantId": "tenant-1", "userId": "user-1",
                "certificatePem": stranger.certificate_pem, "caChainPem": stranger.ca_chain_pem,
                "serviceToken": "x", "heartbeatSeconds": 60,
                "notAfter": stranger.not_after.to_string(), "serverTime": stranger.issued_at.to_string(),
                "nonce": hit.json()["nonce"],
            }))
            .into_response()
        })
    });
    assert!(matches!(central.renew().await, Err(RenewError::Unfit(_))));
    assert_eq!(store.load().unwrap().unwrap().certificate_pem, before);
    assert_eq!(central.identity().certificate_pem, before);
}
