//! Fifty MiB up and down with bounded memory, measured in a process that does nothing else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, header};
use lanyard_governance_api::artifact::{ArtifactRecord, WorkspaceRecord};
use lanyard_governance_api::endpoint::AgentScope;
use lanyard_governance_api::limits::MAX_ARTIFACT_BYTES;
use lanyard_governance_foundation::Caller;
use lanyard_governance_foundation::caller::Agent;
use lanyard_governance_foundation::testing::on_both;
use lanyard_service_workspace::{MIGRATIONS, Settings, routes};
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;

/// Two parts of 5 MiB, what the allocator keeps, and some room.
const BOUND_KIB: u64 = 24 << 10;

const PIECE: u64 = 64 << 10;

/// Content that does not repeat, made as it is asked for.
fn piece(number: u64) -> Bytes {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = (0..PIECE / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.collect()
}

fn content(bytes: u64) -> Body {
    assert_eq!(MAX_ARTIFACT_BYTES % PIECE, 0);
    let whole = futures_util::stream::iter(0..bytes / PIECE).map(|n| Ok::<_, std::io::Error>(piece(n)));
    let rest = (bytes % PIECE) as usize;
    let rest = (rest > 0).then(|| Ok(Bytes::from(vec![1; rest])));
    Body::from_stream(whole.chain(futures_util::stream::iter(rest)))
}

/// Begins to measure the most memory in use anew, and says what is in use.
fn begin() -> u64 {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    peak()
}

/// The most memory in use since, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn request(caller: Caller, method: &str, uri: &str, body: Body) -> Request<Body> {
    let request = Request::builder().method(method).uri(uri).extension(caller);
    request.header(header::CONTENT_TYPE, "application/json").body(body).unwrap()
}

#[tokio::test]
async fn the_largest_artifact_goes_up_and_down_in_a_few_parts() {
    on_both(MIGRATIONS, |ground| async move {
        let dir = tempfile::tempdir().unwrap();
        // Another store can be named, to measure the same over S3; it speaks TLS or not.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let named = std::env::var("LANYARD_TEST_ARTIFACT_STORE").ok();
        let place = named.as_deref().unwrap_or(dir.path().to_str().unwrap());
        let settings = Settings::open(place).await.unwrap();
        let router = routes(ground.foundation.clone(), settings).finish().0;
        let tenant: lanyard_governance_api::id::TenantId = "a".parse().unwrap();
        let wanted = r#"{"userId": "u", "agentId": "agt", "localPaths": []}"#;
        let service = Caller::Service { tenant: Some(tenant.clone()) };
        let made = router
            .clone()
            .oneshot(request(service, "POST", "/workspaces", Body::from(wanted)))
            .await
            .unwrap();
        let made = axum::body::to_bytes(made.into_body(), 1 << 20).await.unwrap();
        let made: WorkspaceRecord = serde_json::from_slice(&made).unwrap();
        let host = Caller::Agent(Agent {
            tenant,
            agent: "agt".parse().unwrap(),
            user: "u".parse().unwrap(),
            scope: AgentScope::Agent,
        });
        let uri = format!("/workspaces/{}/artifacts?artifactType=tool_output&sessionId=s", made.workspace_id);
        let expected =
            (0..MAX_ARTIFACT_BYTES / PIECE).fold(Sha256::new(), |hash, n| hash.chain_update(piece(n)));
        let expected = data_encoding::HEXLOWER.encode(&expected.finalize());

        let before = begin();
        let answer =
            router.clone().oneshot(request(host.clone(), "POST", &uri, content(MAX_ARTIFACT_BYTES))).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 201);
        let up = peak().saturating_sub(before);
        let record = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        let record: ArtifactRecord = serde_json::from_slice(&record).unwrap();
        assert_eq!((record.bytes, record.artifact_id.as_str()), (52_428_800, &*format!("sha256-{expected}")));

        let before = begin();
        let answer =
            router.clone().oneshot(request(host.clone(), "GET", &record.uri, Body::empty())).await.unwrap();
        let mut hash = Sha256::new();
        let mut body = answer.into_body().into_data_stream();
        while let Some(chunk) = body.next().await {
            hash.update(chunk.unwrap());
        }
        assert_eq!(data_encoding::HEXLOWER.encode(&hash.finalize()), expected);
        let down = peak().saturating_sub(before);
        println!("up {up} KiB, down {down} KiB");
        assert!(up < BOUND_KIB && down < BOUND_KIB, "up {up} KiB, down {down} KiB");

        let answer =
            router.clone().oneshot(request(host, "POST", &uri, content(MAX_ARTIFACT_BYTES + 1))).await;
        assert_eq!(answer.unwrap().status(), 413);
    })
    .await;
}
