//! Storing, reading and removing artifacts.

use std::sync::atomic::Ordering;

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header;
use lanyard_governance_api::artifact::ArtifactRecord;
use lanyard_governance_api::limits::MAX_ARTIFACT_BYTES;
use lanyard_governance_api::page::Page;
use lanyard_governance_api::people::Role;
use lanyard_governance_foundation::testing::on_both;

use super::slow_store::SlowStore;
use super::*;
use crate::MIGRATIONS;
use crate::upload::PART;

fn pieces(whole: &[u8], size: usize) -> Body {
    let pieces: Vec<_> =
        whole.chunks(size).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece))).collect();
    Body::from_stream(futures_util::stream::iter(pieces))
}

#[tokio::test]
async fn what_was_stored_comes_back_as_a_download_and_nothing_else() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        let (host, id) = (agent("a", "u"), rig.workspace("a", "u").await);
        // Nothing, one part, one byte more, several parts: in pieces that fit no part.
        for size in [0, 1, PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 7] {
            let content: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            let uri = format!(
                "/workspaces/{id}/artifacts?artifactType=file_diff&sessionId=s1&stepId=st&taskId=t&sha256={}",
                sha256(&content)
            );
            let answer = rig.send(&host, "POST", &uri, pieces(&content, 77_777)).await;
            assert_eq!(answer.status, 201, "{}", answer.text());
            let record: ArtifactRecord = answer.json();
            assert_eq!(record.artifact_id.as_str(), format!("sha256-{}", sha256(&content)));
            assert_eq!(record.uri, format!("/workspaces/{id}/artifacts/{}", record.artifact_id));
            assert_eq!(record.bytes, size as u64);
            let got = rig.get(&host, &record.uri).await;
            assert_eq!(got.status, 200);
            assert!(got.body == content, "{size} bytes");
            let header = |name| got.headers.get(name).unwrap().to_str().unwrap();
            assert_eq!(header(header::CONTENT_TYPE), "application/octet-stream");
            assert_eq!(header(header::CONTENT_DISPOSITION), "attachment");
            assert_eq!(header(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
            assert_eq!(header(header::CONTENT_LENGTH), size.to_string());
            let tag = header(header::ETAG).to_owned();
            let same = [(header::IF_NONE_MATCH, tag.as_str())];
            let unchanged = rig.send_with(&host, "GET", &record.uri, &same, Body::empty()).await;
            assert_eq!((unchanged.status.as_u16(), unchanged.body.len()), (304, 0));
        }
        assert_eq!(rig.files().len(), 7);
        assert_eq!(rig.count("workspace_removals").await, 0);
    })
    .await;
}

#[tokio::test]
async fn one_byte_too_many_another_hash_and_a_torn_body_leave_nothing() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        let (host, id) = (agent("a", "u"), rig.workspace("a", "u").await);
        let uri = format!("/workspaces/{id}/artifacts?artifactType=tool_output&sessionId=s1");
        let piece = Bytes::from(vec![7; 1 << 20]);
        let endless =
            futures_util::stream::iter((0..50).map(move |_| Ok::<_, std::io::Error>(piece.clone())))
                .chain(futures_util::stream::iter([Ok(Bytes::from_static(b"1"))]));
        let answer = rig.send(&host, "POST", &uri, Body::from_stream(endless)).await;
        assert_eq!(answer.status, 413, "{}", answer.text());
        let announced = [(header::CONTENT_LENGTH, "52428801")];
        let answer = rig.send_with(&host, "POST", &uri, &announced, Body::from("short")).await;
        assert_eq!(answer.status, 413, "the length announced is enough");
        for size in [10, PART + 10] {
            let content = vec![1; size];
            let wrong = format!("{uri}&sha256={}", sha256(b"else"));
            let answer = rig.send(&host, "POST", &wrong, pieces(&content, 100_000)).await;
            assert_eq!(answer.status, 400, "{}", answer.text());
            let torn: Vec<_> = vec![Ok(Bytes::from(content)), Err(std::io::Error::other("cut"))];
            let torn = Body::from_stream(futures_util::stream::iter(torn));
            assert_eq!(rig.send(&host, "POST", &uri, torn).await.status, 400);
        }
        for bad in ["&sha256=ABC", "&seq=4", "&artifactType=other"] {
            assert_eq!(
                rig.send(&host, "POST", &format!("{uri}{bad}"), Body::empty()).await.status,
                400,
                "{bad}"
            );
        }
        assert_eq!(rig.files(), Vec::<String>::new());
        for table in ["workspace_artifacts", "workspace_objects", "workspace_removals"] {
            assert_eq!(rig.count(table).await, 0, "{table}");
        }
        assert_eq!(MAX_ARTIFACT_BYTES, 52_428_800);
    })
    .await;
}

#[tokio::test]
async fn content_is_stored_once_per_tenant_and_goes_with_its_last_name() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        let (one, two) = (rig.workspace("a", "u").await, rig.workspace("a", "v").await);
        let other = rig.workspace("b", "u").await;
        let record = rig.stored(&agent("a", "u"), &one, b"same").await;
        // Sent again: the same row. For another call: another row, the same object.
        assert_eq!(rig.stored(&agent("a", "u"), &one, b"same").await, record);
        assert_eq!(rig.put(&agent("a", "u"), &one, "c2", b"same").await.status, 201);
        let second = rig.stored(&agent("a", "v"), &two, b"same").await;
        assert_eq!((rig.count("workspace_artifacts").await, rig.files().len()), (3, 1));
        let third = rig.stored(&agent("b", "u"), &other, b"same").await;
        let files = rig.files();
        assert_eq!(files.len(), 2, "tenants share nothing: {files:?}");
        assert!(files.iter().any(|file| file.starts_with("b/sha256/")), "{files:?}");
        let admin = person("a", Role::Admin);
        assert_eq!(rig.send(&admin, "DELETE", &record.uri, Body::empty()).await.status, 204);
        assert_eq!(rig.send(&admin, "DELETE", &record.uri, Body::empty()).await.status, 404);
        assert_eq!(rig.get(&admin, &record.uri).await.status, 404);
        assert_eq!((rig.sweep().await, rig.get(&admin, &second.uri).await.status.as_u16()), (0, 200));
        let uri = format!("/workspaces/{two}");
        assert_eq!(rig.send(&admin, "DELETE", &uri, Body::empty()).await.status, 204);
        assert_eq!(rig.get(&admin, &uri).await.status, 404);
        assert_eq!((rig.sweep().await, rig.files().len()), (1, 1));
        assert_eq!(rig.get(&agent("b", "u"), &third.uri).await.body, "same");
        let trail = rig.trail().await;
        assert!(trail.contains("artifact_deleted") && trail.contains("workspace_deleted"), "{trail}");
    })
    .await;
}

#[tokio::test]
async fn artifacts_are_listed_newest_first_in_pages() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        let (host, id) = (agent("a", "u"), rig.workspace("a", "u").await);
        let mut expected = Vec::new();
        for n in 0..5_i64 {
            // Two of the same instant.
            rig.ground.clock.set(n / 2 * 60_000);
            expected.push(rig.stored(&host, &id, format!("{n}").as_bytes()).await.artifact_id);
        }
        let mut seen = Vec::new();
        let mut uri = format!("/workspaces/{id}/artifacts?limit=2");
        loop {
            let page: Page<ArtifactRecord> = rig.get(&host, &uri).await.json();
            seen.extend(page.items.into_iter().map(|item| item.artifact_id));
            let Some(token) = page.next_token else { break };
            uri = format!("/workspaces/{id}/artifacts?limit=2&nextToken={token}");
        }
        assert_eq!(seen[0], expected[4]);
        seen.sort();
        expected.sort();
        assert_eq!(seen, expected);
    })
    .await;
}

#[tokio::test]
async fn artifacts_of_one_session_or_kind_are_listed_alone() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        let (host, id) = (agent("a", "u"), rig.workspace("a", "u").await);
        let mut stored = Vec::new();
        for (n, (session, kind)) in
            [("s1", "file_diff"), ("s1", "tool_output"), ("s2", "file_diff"), ("s1", "file_diff")]
                .into_iter()
                .enumerate()
        {
            rig.ground.clock.set(n as i64 * 60_000);
            let uri =
                format!("/workspaces/{id}/artifacts?artifactType={kind}&sessionId={session}&taskId=t{n}");
            let record: ArtifactRecord =
                rig.send(&host, "POST", &uri, Body::from(format!("{n}"))).await.json();
            stored.push(record);
        }
        for (query, expected) in [
            ("sessionId=s1&artifactType=file_diff", vec![3, 0]),
            ("sessionId=s1", vec![3, 1, 0]),
            ("artifactType=file_diff", vec![3, 2, 0]),
            ("sessionId=s3", vec![]),
        ] {
            let uri = format!("/workspaces/{id}/artifacts?{query}&limit=1");
            let mut seen = Vec::new();
            let mut next = Some(uri.clone());
            while let Some(uri_now) = next {
                let page: Page<ArtifactRecord> = rig.get(&host, &uri_now).await.json();
                seen.extend(page.items);
                next = page.next_token.map(|token| format!("{uri}&nextToken={token}"));
            }
            let expected: Vec<_> = expected.into_iter().map(|n: usize| stored[n].clone()).collect();
            assert_eq!(seen, expected, "{query}");
        }
        let answer = rig.get(&host, &format!("/workspaces/{id}/artifacts?artifactType=secrets")).await;
        assert_eq!(answer.status, 400);
    })
    .await;
}

#[tokio::test]
async fn a_store_that_is_away_is_told_and_tried_again() {
    on_both(MIGRATIONS, |ground| async move {
        let slow = std::sync::OnceLock::new();
        let rig = Rig::with(ground, |settings| {
            let store = slow.get_or_init(|| SlowStore::over(settings.store.clone())).clone();
            Settings { store: Arc::new(store), ..settings }
        })
        .await;
        let slow = slow.get().unwrap();
        let (host, id) = (agent("a", "u"), rig.workspace("a", "u").await);
        slow.refuse_puts.store(true, Ordering::SeqCst);
        let answer = rig.put(&host, &id, "c", b"content").await;
        assert_eq!(answer.status, 503);
        assert!(answer.text().contains("WORKSPACE_UPLOAD_FAILED"), "{}", answer.text());
        assert_eq!((rig.count("workspace_artifacts").await, rig.files().len()), (0, 0));
        slow.refuse_puts.store(false, Ordering::SeqCst);
        let record = rig.stored(&host, &id, b"content").await;
        slow.refuse_deletes.store(true, Ordering::SeqCst);
        rig.send(&person("a", Role::Admin), "DELETE", &record.uri, Body::empty()).await;
        assert_eq!((rig.sweep().await, rig.files().len()), (0, 1));
        slow.refuse_deletes.store(false, Ordering::SeqCst);
        assert_eq!((rig.sweep().await, rig.files().len()), (0, 1), "not at once");
        rig.ground.clock.set(301_000);
        assert_eq!((rig.sweep().await, rig.files().len()), (1, 0));
        assert_eq!(rig.count("workspace_removals").await, 0);
    })
    .await;
}
