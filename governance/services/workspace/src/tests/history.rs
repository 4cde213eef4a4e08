//! Threads of sessions.

use axum::body::Body;
use lanyard_governance_api::artifact::{ArtifactRecord, SessionHistory, WorkspaceSession};
use lanyard_governance_api::page::Page;
use lanyard_governance_api::people::Role;
use lanyard_governance_foundation::testing::on_both;

use super::*;
use crate::MIGRATIONS;

fn line(number: usize, text: &str) -> String {
    let message = serde_json::json!({
        "messageId": format!("m{number}"), "sessionId": "s1", "role": "user", "content": text,
        "timestamp": "2026-02-21T15:04:22Z",
    });
    format!("{message}\n")
}

async fn send(rig: &Rig, id: &WorkspaceId, session: &str, seq: u64, thread: &str) -> Answer {
    let uri =
        format!("/workspaces/{id}/artifacts?artifactType=session_history&sessionId={session}&seq={seq}");
    rig.send(&agent("a", "u"), "POST", &uri, Body::from(thread.to_owned())).await
}

#[tokio::test]
async fn a_thread_is_replaced_by_a_newer_one_only() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        let (host, id) = (agent("a", "u"), rig.workspace("a", "u").await);
        let (old, new) = (line(1, "one"), line(1, "one") + &line(2, "two"));
        assert_eq!(send(&rig, &id, "s1", 5, &old).await.status, 201);
        assert_eq!(send(&rig, &id, "s1", 5, &old).await.status, 201, "the same again");
        assert_eq!(send(&rig, &id, "s1", 5, &new).await.status, 409, "another of the same number");
        assert_eq!(send(&rig, &id, "s1", 4, &new).await.status, 409, "an older one");
        assert_eq!(send(&rig, &id, "s1", 9, &new).await.status, 201);
        assert_eq!(send(&rig, &id, "s1", 5, &old).await.status, 409);
        // The same content with a higher number keeps its one object.
        assert_eq!(send(&rig, &id, "s1", 10, &new).await.status, 201);
        assert_eq!((rig.sweep().await, rig.files().len()), (1, 1));
        let uri = format!("/workspaces/{id}/sessions/s1/history");
        let history: SessionHistory = rig.get(&host, &uri).await.json();
        assert_eq!((history.seq, history.messages.len()), (10, 2));
        assert_eq!(history.messages[1].content, "two");
        rig.put(&host, &id, "c", b"output").await;
        rig.ground.clock.set(60_000);
        assert_eq!(send(&rig, &id, "s2", 1, "").await.status, 201);
        let page: Page<WorkspaceSession> = rig.get(&host, &format!("/workspaces/{id}/sessions")).await.json();
        let shape: Vec<_> =
            page.items.iter().map(|s| (s.session_id.as_str(), s.history.is_some(), s.artifacts)).collect();
        assert_eq!(shape, [("s2", true, 0), ("s1", true, 1)]);
        let first: Page<WorkspaceSession> =
            rig.get(&host, &format!("/workspaces/{id}/sessions?limit=1")).await.json();
        let next = format!("/workspaces/{id}/sessions?limit=1&nextToken={}", first.next_token.unwrap());
        let second: Page<WorkspaceSession> = rig.get(&host, &next).await.json();
        assert_eq!((second.items[0].session_id.as_str(), second.next_token), ("s1", None));
        assert_eq!(rig.send(&host, "DELETE", &uri, Body::empty()).await.status, 204);
        assert_eq!(rig.send(&host, "DELETE", &uri, Body::empty()).await.status, 404);
        assert_eq!(rig.get(&person("a", Role::Viewer), &uri).await.status, 404);
        let uri = format!("/workspaces/{id}/artifacts?artifactType=session_history&sessionId=s1");
        assert_eq!(rig.send(&host, "POST", &uri, Body::empty()).await.status, 400, "without a number");
    })
    .await;
}

#[tokio::test]
async fn a_thread_that_is_none_or_too_long_names_its_artifact() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        let (host, id) = (agent("a", "u"), rig.workspace("a", "u").await);
        let uri = format!("/workspaces/{id}/sessions/s1/history");
        let stored: ArtifactRecord =
            send(&rig, &id, "s1", 1, &(line(1, "a") + "\n{\"no\": 1}\n")).await.json();
        let answer = rig.get(&host, &uri).await;
        assert_eq!(answer.status, 409);
        assert!(answer.text().contains("line 3") && answer.text().contains(&stored.uri), "{}", answer.text());
        // As much as is answered, without an end of line; then a byte more.
        let mut thread = String::new();
        let text = "x".repeat(100_000);
        while thread.len() + text.len() + 1_000 < 16 << 20 {
            thread.push_str(&line(thread.len(), &text));
        }
        let left = (16 << 20) - thread.len() - line(0, "").len() + 1;
        thread.push_str(line(0, &"y".repeat(left)).trim_end());
        assert_eq!(thread.len(), 16 << 20);
        assert_eq!(send(&rig, &id, "s1", 2, &thread).await.status, 201);
        let history: SessionHistory = rig.get(&host, &uri).await.json();
        assert_eq!(history.messages.len(), thread.lines().count());
        let stored: ArtifactRecord = send(&rig, &id, "s1", 3, &(thread + "\n")).await.json();
        let answer = rig.get(&host, &uri).await;
        assert_eq!(answer.status, 413);
        assert!(answer.text().contains(&stored.uri), "{}", answer.text());
        assert_eq!(rig.get(&host, &stored.uri).await.body.len(), (16 << 20) + 1);
    })
    .await;
}
