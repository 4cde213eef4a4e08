//! Ninety days, on a moved clock.

use axum::body::Body;
use lanyard_governance_api::artifact::Purged;
use lanyard_governance_foundation::testing::on_both;

use super::slow_store::SlowStore;
use super::*;
use crate::MIGRATIONS;

const DAY: i64 = 24 * 3_600_000;

async fn purge(rig: &Rig) -> Purged {
    let all = Caller::Service { tenant: None };
    let answer = rig.send(&all, "POST", "/workspaces/purge", Body::empty()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn what_was_not_used_for_ninety_days_goes_and_what_is_in_use_stays() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        let idle = rig.resolve("a", "u", &["/idle"], None).await.workspace_id;
        let written = rig.workspace("a", "u").await;
        let read = rig.workspace("a", "u").await;
        let resolved = rig.resolve("b", "u", &["/p"], None).await.workspace_id;
        let host = agent("a", "u");
        rig.stored(&host, &idle, b"idle").await;
        rig.stored(&host, &idle, b"shared").await;
        let shared = rig.stored(&host, &read, b"shared").await;
        rig.ground.clock.set(60 * DAY);
        rig.stored(&host, &written, b"fresh").await;
        assert_eq!(rig.get(&host, &shared.uri).await.status, 200);
        rig.resolve("b", "u", &["/p"], None).await;
        rig.ground.clock.set(90 * DAY - 60_000);
        assert_eq!(purge(&rig).await, Purged::default());
        // Used between being found idle and being removed: it stays.
        let now = rig.state.foundation.clock.now();
        let mut tx = rig.state.foundation.database.write_of(&tenant("a")).await.unwrap();
        let cutoff = Some(now.plus_millis(-80 * DAY));
        assert_eq!(crate::workspaces::remove(&mut tx, &written, cutoff, now).await.unwrap(), None);
        assert!(crate::workspaces::remove(&mut tx, &idle, cutoff, now).await.unwrap().is_some());
        drop(tx);
        rig.ground.clock.set(90 * DAY + 60_000);
        assert_eq!(purge(&rig).await, Purged { workspaces: 1, objects: 1 });
        assert_eq!(rig.files().len(), 2);
        assert_eq!(rig.get(&host, &format!("/workspaces/{idle}")).await.status, 404);
        assert_eq!(rig.get(&host, &shared.uri).await.body, "shared");
        assert_eq!(rig.get(&agent("b", "u"), &format!("/workspaces/{resolved}")).await.status, 200);
        assert!(rig.trail().await.contains("workspace_purged"));
        rig.ground.clock.set(200 * DAY);
        assert_eq!(purge(&rig).await.workspaces, 3);
        assert_eq!((rig.files().len(), rig.count("workspaces").await), (0, 0));
    })
    .await;
}

#[tokio::test]
async fn an_upload_under_way_keeps_its_workspace() {
    on_both(MIGRATIONS, |ground| async move {
        let slow = std::sync::OnceLock::new();
        let rig = Rig::with(ground, |settings| {
            let store = slow.get_or_init(|| SlowStore::over(settings.store.clone())).clone();
            Settings { store: Arc::new(store), ..settings }
        })
        .await;
        let rig = Arc::new(rig);
        let slow = slow.get().unwrap();
        let id = rig.workspace("a", "u").await;
        rig.ground.clock.set(91 * DAY);
        slow.after_put.close();
        let upload = tokio::spawn({
            let (rig, id) = (rig.clone(), id.clone());
            async move { rig.put(&agent("a", "u"), &id, "c", b"content").await.status }
        });
        slow.after_put.reached(1).await;
        assert_eq!(purge(&rig).await, Purged::default());
        slow.after_put.let_one();
        assert_eq!(upload.await.unwrap(), 201);
    })
    .await;
}

#[tokio::test]
async fn the_chore_does_it_by_itself() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        let id = rig.workspace("a", "u").await;
        rig.stored(&agent("a", "u"), &id, b"content").await;
        rig.ground.clock.set(91 * DAY);
        let stop = tokio_util::sync::CancellationToken::new();
        let foundation = rig.ground.foundation.clone();
        let chore = tokio::spawn(crate::chores(foundation, rig.state.settings.clone(), stop.clone()));
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !rig.files().is_empty() {
            assert!(std::time::Instant::now() < until, "{:?}", rig.files());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        // Woken by the next removal, long before it looks by itself.
        let id = rig.workspace("a", "u").await;
        let record = rig.stored(&agent("a", "u"), &id, b"content").await;
        let admin = person("a", lanyard_governance_api::people::Role::Admin);
        rig.send(&admin, "DELETE", &record.uri, Body::empty()).await;
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !rig.files().is_empty() {
            assert!(std::time::Instant::now() < until, "{:?}", rig.files());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        stop.cancel();
        chore.await.unwrap();
    })
    .await;
}
