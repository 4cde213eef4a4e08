//! Removing and storing the same content at the same time: whatever the order, what counts is in the store, and nothing
//! else stays there.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use axum::body::Body;
use bytes::Bytes;
use lanyard_governance_api::artifact::ArtifactRecord;
use lanyard_governance_api::page::Page;
use lanyard_governance_api::people::Role;
use lanyard_governance_foundation::testing::{Ground, on_both};

use super::slow_store::SlowStore;
use super::*;
use crate::MIGRATIONS;
use crate::upload::PART;

const DAY: i64 = 24 * 3_600_000;

async fn slow_rig(ground: Arc<Ground>) -> (Arc<Rig>, SlowStore) {
    let slow = OnceLock::new();
    let rig = Rig::with(ground, |settings| {
        let store = slow.get_or_init(|| SlowStore::over(settings.store.clone())).clone();
        Settings { store: Arc::new(store), ..settings }
    })
    .await;
    (Arc::new(rig), slow.get().unwrap().clone())
}

/// Every artifact can be read, and the store holds their contents once each and nothing else.
async fn whole(rig: &Rig, workspaces: &[WorkspaceId]) {
    while rig.sweep().await > 0 {}
    let host = agent("a", "u");
    let mut contents = BTreeSet::new();
    for id in workspaces {
        let page: Page<ArtifactRecord> =
            rig.get(&host, &format!("/workspaces/{id}/artifacts?limit=500")).await.json();
        for record in page.items {
            let answer = rig.get(&host, &record.uri).await;
            assert_eq!(answer.status, 200, "lost: {record:?}");
            assert_eq!(format!("sha256-{}", sha256(&answer.body)), record.artifact_id.as_str());
            contents.insert(record.artifact_id);
        }
    }
    assert_eq!(rig.files().len(), contents.len(), "{:?}", rig.files());
    assert_eq!(rig.count("workspace_objects").await, contents.len() as u64);
}

#[tokio::test]
async fn stored_again_while_the_old_object_is_being_removed() {
    on_both(MIGRATIONS, |ground| async move {
        let (rig, slow) = slow_rig(ground).await;
        let (host, id) = (agent("a", "u"), rig.workspace("a", "u").await);
        let record = rig.stored(&host, &id, b"content").await;
        rig.send(&person("a", Role::Admin), "DELETE", &record.uri, Body::empty()).await;
        slow.before_delete.close();
        let sweep = tokio::spawn({
            let rig = rig.clone();
            async move { rig.sweep().await }
        });
        slow.before_delete.reached(1).await;
        rig.stored(&host, &id, b"content").await;
        slow.before_delete.let_one();
        assert_eq!(sweep.await.unwrap(), 1);
        assert_eq!(rig.get(&host, &record.uri).await.body, "content");
        whole(&rig, &[id]).await;
    })
    .await;
}

#[tokio::test]
async fn the_same_content_by_two_at_once_is_kept_once() {
    on_both(MIGRATIONS, |ground| async move {
        let (rig, slow) = slow_rig(ground).await;
        let (host, id) = (agent("a", "u"), rig.workspace("a", "u").await);
        let admin = person("a", Role::Admin);
        for size in [10, PART + 10] {
            let content = vec![3_u8; size];
            slow.after_put.close();
            let put = |call: &'static str| {
                let (rig, id, host, content) = (rig.clone(), id.clone(), host.clone(), content.clone());
                tokio::spawn(
                    async move { rig.put(&host, &id, call, &content).await.json::<ArtifactRecord>() },
                )
            };
            let (one, two) = (put("c1"), put("c2"));
            slow.after_put.reached(if size == 10 { 2 } else { 4 }).await;
            slow.after_put.let_one();
            slow.after_put.let_one();
            let (one, two) = (one.await.unwrap(), two.await.unwrap());
            assert_eq!(one.artifact_id, two.artifact_id);
            // Removed and stored again right behind it.
            assert_eq!(rig.send(&admin, "DELETE", &one.uri, Body::empty()).await.status, 204);
            let again = put("c3");
            slow.after_put.let_one();
            let again = again.await.unwrap();
            whole(&rig, std::slice::from_ref(&id)).await;
            rig.send(&admin, "DELETE", &again.uri, Body::empty()).await;
            whole(&rig, std::slice::from_ref(&id)).await;
            if size == 10 {
                continue;
            }
            assert_eq!((rig.files().len(), rig.count("workspace_removals").await), (0, 0));
        }
    })
    .await;
}

#[tokio::test]
async fn an_upload_that_was_given_up_never_counts() {
    on_both(MIGRATIONS, |ground| async move {
        let (rig, slow) = slow_rig(ground).await;
        let (host, id) = (agent("a", "u"), rig.workspace("a", "u").await);
        slow.after_put.close();
        let upload = tokio::spawn({
            let (rig, id) = (rig.clone(), id.clone());
            async move { rig.put(&host, &id, "c", b"content").await.status }
        });
        slow.after_put.reached(1).await;
        assert_eq!(rig.sweep().await, 0, "a day has not gone by");
        rig.ground.clock.set(DAY + 1_000);
        assert_eq!(rig.sweep().await, 1);
        slow.after_put.let_one();
        assert_eq!(upload.await.unwrap(), 503);
        assert_eq!(rig.count("workspace_artifacts").await, 0);
        whole(&rig, &[id]).await;
    })
    .await;
}

#[tokio::test]
async fn an_object_that_is_being_removed_can_no_longer_come_to_count() {
    on_both(MIGRATIONS, |ground| async move {
        let (rig, slow) = slow_rig(ground).await;
        let (host, id) = (agent("a", "u"), rig.workspace("a", "u").await);
        slow.after_put.close();
        slow.before_delete.close();
        let upload = tokio::spawn({
            let (rig, id) = (rig.clone(), id.clone());
            async move { rig.put(&host, &id, "c", b"content").await.status }
        });
        slow.after_put.reached(1).await;
        rig.ground.clock.set(DAY + 1_000);
        let sweep = tokio::spawn({
            let rig = rig.clone();
            async move { rig.sweep().await }
        });
        slow.before_delete.reached(1).await;
        // The sweep has made up its mind and not removed it yet. The upload comes too late, and removes it as well.
        slow.after_put.let_one();
        slow.before_delete.reached(2).await;
        slow.before_delete.let_one();
        slow.before_delete.let_one();
        assert_eq!(upload.await.unwrap(), 503);
        sweep.await.unwrap();
        assert_eq!(rig.count("workspace_artifacts").await, 0);
        whole(&rig, &[id]).await;
    })
    .await;
}

#[tokio::test]
async fn what_a_crash_left_is_found_a_day_later() {
    on_both(MIGRATIONS, |ground| async move {
        let (rig, slow) = slow_rig(ground).await;
        let (host, id) = (agent("a", "u"), rig.workspace("a", "u").await);
        // Between the object and its row, of one part and of several.
        slow.after_put.close();
        for (number, size) in [(1, 10), (2, PART + 10)] {
            let content = vec![5_u8; size];
            let upload = tokio::spawn({
                let (rig, id, host) = (rig.clone(), id.clone(), host.clone());
                async move { rig.put(&host, &id, "c", &content).await.status }
            });
            slow.after_put.reached(number).await;
            upload.abort();
            assert!(upload.await.is_err());
        }
        // In the middle of the parts; what the process would have removed when it ended in order is put back.
        let (sender, receiver) = tokio::sync::mpsc::channel::<std::io::Result<Bytes>>(1);
        let body = futures_util::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|piece| (piece, receiver))
        });
        let upload = tokio::spawn({
            let (rig, id, host) = (rig.clone(), id.clone(), host.clone());
            let uri = format!("/workspaces/{id}/artifacts?artifactType=tool_output&sessionId=s1");
            async move { rig.send(&host, "POST", &uri, Body::from_stream(body)).await.status }
        });
        sender.send(Ok(Bytes::from(vec![6; PART + 1]))).await.unwrap();
        let staged = loop {
            if let Some(staged) = rig.files().into_iter().find(|file| file.contains('#')) {
                break staged;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        };
        upload.abort();
        let staged = rig.dir.path().join(staged);
        while staged.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        std::fs::write(&staged, "half").unwrap();
        assert_eq!(rig.count("workspace_artifacts").await, 0);
        assert!(rig.files().len() >= 3, "{:?}", rig.files());
        assert_eq!(rig.sweep().await, 0);
        rig.ground.clock.set(DAY + 1_000);
        assert!(rig.sweep().await >= 3);
        assert_eq!(rig.files(), Vec::<String>::new());
        whole(&rig, &[id]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_store_and_remove_the_same_lose_nothing() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Arc::new(Rig::new(ground).await);
        let workspaces = vec![rig.workspace("a", "u").await, rig.workspace("a", "u").await];
        let stop = tokio_util::sync::CancellationToken::new();
        let sweeper = tokio::spawn({
            let (rig, stop) = (rig.clone(), stop.clone());
            async move {
                while !stop.is_cancelled() {
                    rig.sweep().await;
                    tokio::task::yield_now().await;
                }
            }
        });
        let actors = (0..6_usize).map(|actor| {
            let (rig, workspaces) = (rig.clone(), workspaces.clone());
            tokio::spawn(async move {
                let (host, admin) = (agent("a", "u"), person("a", Role::Admin));
                // A fixed walk per actor; what interleaves is up to the scheduler.
                let mut dice = actor as u64 + 1;
                for _ in 0..40 {
                    dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let roll = (dice >> 33) as usize;
                    let content = [b"one".as_slice(), b"two", b"three"][roll % 3];
                    let id = &workspaces[(roll / 3) % 2];
                    let status = match (roll / 6) % 5 {
                        0 | 1 => {
                            let uri = format!("/workspaces/{id}/artifacts/sha256-{}", sha256(content));
                            rig.send(&admin, "DELETE", &uri, Body::empty()).await.status
                        }
                        2 => {
                            let uri = format!(
                                "/workspaces/{id}/artifacts?artifactType=session_history&sessionId=s&seq={roll}"
                            );
                            rig.send(&host, "POST", &uri, Body::from(content.to_vec())).await.status
                        }
                        _ => rig.put(&host, id, &format!("c{}", roll % 4), content).await.status,
                    };
                    // 503: two that waited for one another on PostgreSQL; it says try again.
                    assert!([201, 204, 404, 409, 503].contains(&status.as_u16()), "{status}");
                }
            })
        });
        for actor in actors.collect::<Vec<_>>() {
            actor.await.unwrap();
        }
        stop.cancel();
        sweeper.await.unwrap();
        whole(&rig, &workspaces).await;
        let admin = person("a", Role::Admin);
        for id in &workspaces {
            rig.send(&admin, "DELETE", &format!("/workspaces/{id}"), Body::empty()).await;
        }
        whole(&rig, &[]).await;
        assert_eq!((rig.files().len(), rig.count("workspace_removals").await), (0, 0));
    })
    .await;
}
