//! Finding, making, listing and reaching workspaces.

use std::sync::Arc;

use axum::body::Body;
use lanyard_governance_api::artifact::WorkspaceRecord;
use lanyard_governance_api::page::Page;
use lanyard_governance_api::people::Role;
use lanyard_governance_foundation::testing::on_both;
use lanyard_protocol::session::WorkspaceScope;

use super::*;
use crate::MIGRATIONS;

#[tokio::test]
async fn local_ones_are_found_again_and_general_ones_are_new() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        let first = rig.resolve("a", "u", &["/p", "/q"], Some("mine")).await;
        assert_eq!(first.workspace_id.as_str(), "mine");
        assert_eq!((first.workspace_scope, first.local_path.as_deref()), (WorkspaceScope::Local, Some("/p")));
        assert_eq!(rig.resolve("a", "u", &["/p"], Some("other")).await.workspace_id, first.workspace_id);
        assert_ne!(rig.resolve("a", "u", &["/q"], None).await.workspace_id, first.workspace_id);
        assert_ne!(rig.resolve("a", "v", &["/p"], None).await.workspace_id, first.workspace_id);
        assert_ne!(rig.resolve("b", "u", &["/p"], None).await.workspace_id, first.workspace_id);
        // A path as long as Linux takes is no problem for the index.
        let long = format!("/{}", "x".repeat(4_095));
        let one = rig.resolve("a", "u", &[&long], None).await;
        assert_eq!(rig.resolve("a", "u", &[&long], None).await.workspace_id, one.workspace_id);
        let general = rig.resolve("a", "u", &[], None).await;
        assert_eq!((general.workspace_scope, general.local_path), (WorkspaceScope::General, None));
        assert_ne!(rig.resolve("a", "u", &[], None).await.workspace_id, general.workspace_id);
        // A repeated request names the one it got; another user's id is not adopted, and neither is another directory's.
        let again = rig.resolve("a", "u", &[], Some(general.workspace_id.as_str())).await;
        assert_eq!(again.workspace_id, general.workspace_id);
        assert_ne!(rig.resolve("a", "v", &[], Some("mine")).await.workspace_id.as_str(), "mine");
        assert_ne!(rig.resolve("a", "u", &["/r"], Some("mine")).await.workspace_id.as_str(), "mine");
        assert_eq!(rig.resolve("b", "v", &[], Some("mine")).await.workspace_id.as_str(), "mine");
        for paths in
            [vec![String::new()], vec!["/".repeat(4_097)], vec!["/p".to_owned(); 65], vec!["/\0".to_owned()]]
        {
            let body = serde_json::json!({"userId": "u", "agentId": "x", "localPaths": paths}).to_string();
            let answer = rig.send(&service("a"), "POST", "/workspaces", Body::from(body)).await;
            assert_eq!(answer.status, 400, "{}", answer.text());
        }
    })
    .await;
}

#[tokio::test]
async fn a_race_to_make_one_makes_one() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Arc::new(Rig::new(ground).await);
        for round in 0..5 {
            let path = format!("/round{round}");
            let racers = (0..12).map(|n| {
                let (rig, path) = (rig.clone(), path.clone());
                tokio::spawn(async move {
                    let proposed = format!("p{n}-{path}").replace('/', "_");
                    rig.resolve("a", "u", &[&path], Some(&proposed)).await.workspace_id
                })
            });
            let mut ids = std::collections::BTreeSet::new();
            for racer in racers.collect::<Vec<_>>() {
                ids.insert(racer.await.unwrap());
            }
            assert_eq!(ids.len(), 1, "{ids:?}");
        }
        assert_eq!(rig.count("workspaces").await, 5);
    })
    .await;
}

#[tokio::test]
async fn a_host_reaches_what_is_its_users_and_a_tenant_what_is_its_own() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        let id = rig.workspace("a", "u").await;
        let record = rig.stored(&agent("a", "u"), &id, b"content").await;
        let uris = [
            format!("/workspaces/{id}"),
            format!("/workspaces/{id}/artifacts"),
            record.uri.clone(),
            format!("/workspaces/{id}/sessions"),
            format!("/workspaces/{id}/sessions/s1/history"),
        ];
        for stranger in [agent("a", "v"), agent("b", "u"), person("b", Role::Admin)] {
            for uri in &uris {
                assert_eq!(rig.get(&stranger, uri).await.status, 404, "{stranger:?} {uri}");
            }
        }
        for stranger in [agent("a", "v"), agent("b", "u")] {
            assert_eq!(rig.put(&stranger, &id, "c", b"x").await.status, 404);
        }
        let uri = format!("/workspaces/{id}/sessions/s1/history");
        assert_eq!(rig.send(&agent("a", "v"), "DELETE", &uri, Body::empty()).await.status, 404);
        let admin = person("b", Role::Admin);
        for uri in [format!("/workspaces/{id}"), record.uri.clone(), uri] {
            assert_eq!(rig.send(&admin, "DELETE", &uri, Body::empty()).await.status, 404, "{uri}");
        }
        for uri in &uris[..4] {
            assert_eq!(rig.get(&agent("a", "u"), uri).await.status, 200, "{uri}");
            assert_eq!(rig.get(&person("a", Role::Viewer), uri).await.status, 200, "{uri}");
        }
        // What is no id names nothing.
        for uri in ["/workspaces/%20", "/workspaces/x%2F..%2Fy/artifacts"] {
            assert_eq!(rig.get(&agent("a", "u"), uri).await.status, 404, "{uri}");
        }
    })
    .await;
}

#[tokio::test]
async fn lists_are_paged_last_used_first() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        let mut made = Vec::new();
        for n in 0..7_i64 {
            rig.ground.clock.set(n * 60_000);
            made.push(rig.workspace("a", "u").await);
        }
        rig.workspace("b", "u").await;
        // Used again: it is first now.
        rig.ground.clock.set(10 * 60_000);
        rig.stored(&agent("a", "u"), &made[2], b"12345").await;
        let viewer = person("a", Role::Viewer);
        let mut seen: Vec<WorkspaceRecord> = Vec::new();
        let mut uri = "/workspaces?limit=3".to_owned();
        loop {
            let page: Page<WorkspaceRecord> = rig.get(&viewer, &uri).await.json();
            assert!(page.items.len() <= 3);
            seen.extend(page.items);
            let Some(token) = page.next_token else { break };
            uri = format!("/workspaces?limit=3&nextToken={token}");
        }
        let ids: Vec<_> = seen.iter().map(|w| w.workspace_id.clone()).collect();
        let expected: Vec<_> = [2, 6, 5, 4, 3, 1, 0].iter().map(|n| made[*n].clone()).collect();
        assert_eq!(ids, expected);
        assert_eq!((seen[0].artifacts, seen[0].bytes), (1, 5));
        assert_eq!(rig.get(&viewer, "/workspaces?nextToken=nonsense").await.status, 400);
        assert_eq!(rig.get(&viewer, "/workspaces?limit=0").await.status, 400);
    })
    .await;
}
