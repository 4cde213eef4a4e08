//! A call runs once.

use lanyard_governance_foundation::Clock as _;
use lanyard_governance_foundation::testing::on_both;
use lanyard_protocol::tool::{ToolRequest, ToolStatus};

use super::*;
use crate::{MIGRATIONS, chores, runs};

#[tokio::test]
async fn asked_again_it_answers_the_same_and_runs_no_more() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        let first = rig.result("c1").await;
        rig.backend.answers(200, "something else");
        assert_eq!(rig.result("c1").await, first);
        // Whatever has become of the grant: it is only told again what happened.
        rig.others.with(|inner| inner.grants = None);
        assert_eq!(rig.result("c1").await, first);
        rig.others.with(|inner| *inner = Default::default());
        let mut other = request("c1");
        other["request"]["arguments"] = json!({"q": "other"});
        assert_eq!(rig.send(&agent("a", "one"), "POST", "/tools/Search/invoke", &other).await.status, 409);
        assert_eq!(rig.backend.calls().len(), 1);
        // Call ids are the host's own: another host's is another call.
        rig.others.with(|inner| inner.session["agentId"] = json!("two"));
        let answer = rig.send(&agent("a", "two"), "POST", "/tools/Search/invoke", &request("c1")).await;
        assert_eq!(answer.json::<ToolResult>().output_text.as_deref(), Some("something else"));
    })
    .await;
}

#[tokio::test]
async fn asked_by_many_at_once_it_runs_once() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Arc::new(Rig::new(ground).await);
        rig.backend.hold();
        let asked: Vec<_> = (0..8)
            .map(|_| {
                let rig = rig.clone();
                tokio::spawn(async move { rig.result("c1").await })
            })
            .collect();
        rig.backend.called(1).await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        rig.backend.let_all();
        for asked in asked {
            assert_eq!(asked.await.unwrap().output_text.as_deref(), Some("found"));
        }
        assert_eq!(rig.backend.calls().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn whoever_hangs_up_finds_the_result_later() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Arc::new(Rig::new(ground).await);
        rig.backend.hold();
        let asked = tokio::spawn({
            let rig = rig.clone();
            async move { rig.result("c1").await }
        });
        rig.backend.called(1).await;
        asked.abort();
        assert!(asked.await.is_err());
        rig.backend.let_all();
        assert_eq!(rig.result("c1").await.output_text.as_deref(), Some("found"));
        assert_eq!(rig.backend.calls().len(), 1);
        // A process that stops waits for what runs.
        rig.backend.hold();
        let asked = tokio::spawn({
            let rig = rig.clone();
            async move { rig.result("c2").await }
        });
        rig.backend.called(2).await;
        let stop = tokio_util::sync::CancellationToken::new();
        stop.cancel();
        let chores = tokio::spawn(crate::chores(rig.ground.foundation.clone(), rig.settings.clone(), stop));
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        assert!(!chores.is_finished());
        rig.backend.let_all();
        chores.await.unwrap();
        assert_eq!(asked.await.unwrap().status, ToolStatus::Succeeded);
    })
    .await;
}

#[tokio::test]
async fn after_a_crash_nobody_knows_and_it_is_not_called_again() {
    on_both(MIGRATIONS, |ground| async move {
        let rig = Rig::new(ground).await;
        let state = crate::State {
            foundation: rig.ground.foundation.clone(),
            settings: rig.settings.clone(),
            turns: Arc::new(lanyard_governance_foundation::permits::Permits::new("runs", 1, 1)),
            pace: Arc::new(lanyard_governance_foundation::pace::Pace::new(1.0, 1.0)),
        };
        let host = agent("a", "one");
        let Caller::Agent(own) = &host else { panic!() };
        for (number, tidied) in [(1_i64, false), (2, true)] {
            let call = format!("c{number}");
            let asked: ToolRequest = serde_json::from_value(request(&call)["request"].clone()).unwrap();
            let deadline = rig.ground.clock.now().plus_millis(60_000);
            assert!(runs::begin(&state, &host, own, &asked, deadline).await.unwrap());
            rig.ground.clock.set(number * 61_000);
            if tidied {
                chores::tidy(&rig.ground.foundation).await.unwrap();
            }
            let result = rig.result(&call).await;
            assert_eq!(result.status, ToolStatus::Indeterminate);
            assert_eq!(result.error.as_ref().unwrap().code, lanyard_protocol::ErrorCode::OutcomeUnknown);
            // The process was only slow: what was told stays.
            let late = ToolResult::of(&asked, ToolStatus::Succeeded);
            assert!(!runs::end(&state, own, &asked, &late).await.unwrap());
            assert_eq!(rig.result(&call).await, result);
        }
        assert!(rig.backend.calls().is_empty());
        assert!(rig.trail().await.contains("indeterminate"));
        // Forgotten after ninety days.
        rig.ground.clock.set(91 * 24 * 3_600_000);
        chores::tidy(&rig.ground.foundation).await.unwrap();
        chores::tidy(&rig.ground.foundation).await.unwrap();
        let mut tx = rig.ground.foundation.database.across_read().await.unwrap();
        let left = tx
            .all(Statement::new("SELECT tool_call_id FROM tool_runs WHERE ended_at IS NULL"))
            .await
            .unwrap();
        assert!(left.is_empty());
    })
    .await;
}
