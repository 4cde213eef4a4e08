//! What was said goes with what was kept, also when nobody can be asked at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use lanyard_governance_api::endpoint::{ForgetSessions, Service};
use lanyard_governance_api::session::{ForgetRequest, Forgotten};
use lanyard_governance_foundation::testing::on_both;
use lanyard_governance_foundation::{Ask, Fault, Routes};

use super::*;
use crate::{MIGRATIONS, forgetting};

const DAY: i64 = 24 * 3_600_000;

/// The Session Service.
#[derive(Debug, Clone, Default)]
struct Sessions(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    away: bool,
    asked: Vec<ForgetRequest>,
}

impl Sessions {
    fn beside(rig: &Rig) -> Self {
        let sessions = Self::default();
        let forget = |sessions: Self, ask: Ask<ForgetSessions>| async move {
            let mut inner = sessions.0.lock().unwrap();
            if inner.away {
                return Err(Fault::unavailable("sessions are away"));
            }
            assert_eq!(ask.caller.tenant()?.as_str(), "a");
            inner.asked.push(ask.body);
            // The first time, some are left.
            Ok(Forgotten { sessions: 1, more: inner.asked.len() == 1 })
        };
        let router = Routes::new(sessions.clone()).on::<ForgetSessions, _, _>(forget).finish().0;
        rig.ground.foundation.peers.set_here(HashMap::from([(Service::Session, router)]));
        sessions
    }

    fn away(&self, away: bool) {
        self.0.lock().unwrap().away = away;
    }

    /// Workspace, session and bound of what was asked since the last look.
    fn asked(&self) -> Vec<(String, Option<String>, bool)> {
        let asked = std::mem::take(&mut self.0.lock().unwrap().asked);
        let told = |of: ForgetRequest| {
            (of.workspace_id.to_string(), of.session_id.map(|id| id.to_string()), of.before.is_some())
        };
        asked.into_iter().map(told).collect()
    }
}

#[tokio::test]
async fn deleting_a_session_takes_all_it_kept_and_what_was_said_in_it() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        let sessions = Sessions::beside(&rig);
        let (host, id) = (agent("a", "u"), rig.workspace("a", "u").await);
        rig.put(&host, &id, "c", b"output").await;
        let thread = format!("/workspaces/{id}/artifacts?artifactType=session_history&sessionId=s1&seq=1");
        assert_eq!(rig.send(&host, "POST", &thread, Body::empty()).await.status, 201);
        let other = format!("/workspaces/{id}/artifacts?artifactType=tool_output&sessionId=s2");
        assert_eq!(rig.send(&host, "POST", &other, Body::from("kept")).await.status, 201);
        sessions.away(true);
        let history = format!("/workspaces/{id}/sessions/s1/history");
        assert_eq!(rig.send(&host, "DELETE", &history, Body::empty()).await.status, 204);
        assert_eq!(
            (rig.count("workspace_artifacts").await, rig.sweep().await),
            (1, 2),
            "another session's stays"
        );
        forgetting::sweep(&rig.state).await.unwrap();
        assert_eq!(
            (sessions.asked(), rig.count("workspace_forgetting").await),
            (vec![], 1),
            "nobody was there"
        );
        sessions.away(false);
        forgetting::sweep(&rig.state).await.unwrap();
        assert_eq!(sessions.asked(), [], "its next turn has not come");
        rig.ground.clock.set(60_000);
        forgetting::sweep(&rig.state).await.unwrap();
        let asked = (id.to_string(), Some("s1".to_owned()), false);
        assert_eq!(sessions.asked(), [asked.clone(), asked.clone()], "until nothing is left");
        assert_eq!(rig.count("workspace_forgetting").await, 0);
        // Also of a session that has kept nothing yet.
        assert_eq!(rig.send(&host, "DELETE", &history, Body::empty()).await.status, 404);
        forgetting::sweep(&rig.state).await.unwrap();
        assert_eq!(sessions.asked()[0], asked);
        // Not of what another reaches.
        let foreign = rig.send(&agent("a", "thief"), "DELETE", &history, Body::empty()).await;
        assert_eq!((foreign.status.as_u16(), rig.count("workspace_forgetting").await), (404, 0));
    })
    .await;
}

#[tokio::test]
async fn a_workspace_takes_what_was_said_in_its_sessions_with_it() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        let sessions = Sessions::beside(&rig);
        let (deleted, idle) = (rig.workspace("a", "u").await, rig.workspace("a", "u").await);
        let admin = person("a", Role::Admin);
        let uri = format!("/workspaces/{deleted}");
        assert_eq!(rig.send(&admin, "DELETE", &uri, Body::empty()).await.status, 204);
        forgetting::sweep(&rig.state).await.unwrap();
        let whole = (deleted.to_string(), None, false);
        assert_eq!(sessions.asked(), [whole.clone(), whole]);
        rig.ground.clock.set(91 * DAY);
        let purge = rig.send(&Caller::Service { tenant: None }, "POST", "/workspaces/purge", Body::empty());
        assert_eq!(purge.await.status, 200);
        forgetting::sweep(&rig.state).await.unwrap();
        // Sessions that went on without keeping anything keep what was said.
        assert_eq!(sessions.asked()[0], (idle.to_string(), None, true));
    })
    .await;
}
