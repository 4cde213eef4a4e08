//! Hosts are told of each epoch, whoever dies or is away in between.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lanyard_governance_api::command::Order;
use lanyard_governance_foundation::Statement;
use lanyard_governance_foundation::testing::on_both;
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Slow, Stage, admin, new};
use crate::{MIGRATIONS, chores, tell};

async fn waiting(stage: &Stage) -> usize {
    let mut tx = stage.ground.foundation.database.across_read().await.unwrap();
    tx.all(Statement::new("SELECT tenant_id FROM policy_news")).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_told_before_the_change_is_answered() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        stage.ok(&admin("acme"), "POST", "/policies/revoke", Some(json!({"reason": "why"}))).await;
        let told = stage.channel.told.lock().unwrap().clone();
        let (tenant, command) = &told[0];
        assert_eq!((tenant.as_str(), command.by_name.as_deref()), ("acme", Some("Mia")));
        assert_eq!(command.order, Order::PolicyEpoch { epoch: 2, revoked: Some("why".into()) });
        assert_eq!(waiting(&stage).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_told_is_told_later_once_and_as_it_is_then() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        stage.channel.away.store(true, Ordering::Relaxed);
        let mia = admin("acme");
        let state = stage.ok(&mia, "POST", "/policies/revoke", Some(json!({"reason": "why"}))).await;
        assert_eq!((&state["epoch"], &state["rollout"]["online"]), (&json!(2), &json!(0)));
        stage.ok(&mia, "POST", "/policies", new("new", true, None)).await;
        stage.ok(&admin("other"), "POST", "/policies", new("new", true, None)).await;
        assert_eq!((stage.channel.epochs().len(), waiting(&stage).await), (0, 2));
        let foundation = &stage.ground.foundation;
        // Not before its time, and not while the channel is away.
        stage.channel.away.store(false, Ordering::Relaxed);
        tell::round(foundation).await.unwrap();
        assert_eq!(stage.channel.epochs().len(), 0);
        stage.channel.away.store(true, Ordering::Relaxed);
        for minutes in 1..=3 {
            stage.ground.clock.set(minutes * 60_000);
            tell::round(foundation).await.unwrap();
        }
        assert_eq!(waiting(&stage).await, 2);
        stage.channel.away.store(false, Ordering::Relaxed);
        stage.ground.clock.set(3_600_000);
        tell::round(foundation).await.unwrap();
        let tenants =
            stage.channel.told.lock().unwrap().iter().map(|(tenant, _)| tenant.clone()).collect::<Vec<_>>();
        let mut told: Vec<_> = tenants.into_iter().zip(stage.channel.epochs()).collect();
        told.sort();
        assert_eq!(told, [("acme".to_owned(), (3, false)), ("other".to_owned(), (2, false))]);
        assert_eq!(waiting(&stage).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chore_tells_what_a_crash_left_and_ends_when_told() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        stage.channel.away.store(true, Ordering::Relaxed);
        stage.ok(&admin("acme"), "POST", "/policies", new("new", true, None)).await;
        stage.channel.away.store(false, Ordering::Relaxed);
        stage.ground.clock.set(10_000);
        let stop = CancellationToken::new();
        let chore = tokio::spawn(chores(stage.ground.foundation.clone(), stop.clone()));
        for _ in 0..1_000 {
            if waiting(&stage).await == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!((stage.channel.epochs(), waiting(&stage).await), (vec![(2, false)], 0));
        stop.cancel();
        tokio::time::timeout(Duration::from_secs(60), chore).await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_replicas_one_tells() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        stage.channel.away.store(true, Ordering::Relaxed);
        stage.ok(&admin("acme"), "POST", "/policies", new("new", true, None)).await;
        stage.channel.away.store(false, Ordering::Relaxed);
        stage.ground.clock.set(10_000);
        let foundation = &stage.ground.foundation;
        let rounds = futures_util::future::join_all((0..6).map(|_| tell::round(foundation))).await;
        assert!(rounds.iter().all(Result::is_ok));
        assert_eq!(stage.channel.epochs(), [(2, false)]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_overtaken_while_telling_tells_once_more() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        let mia = admin("acme");
        stage.channel.away.store(true, Ordering::Relaxed);
        stage.ok(&mia, "POST", "/policies", new("one", true, None)).await;
        stage.channel.away.store(false, Ordering::Relaxed);
        let (reached, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let slow = Slow { epoch: 2, reached: reached.clone(), go: go.clone() };
        *stage.channel.slow.lock().unwrap() = Some(slow);
        let foundation = stage.ground.foundation.clone();
        let slow = tokio::spawn(async move { tell::tenant(&foundation, &"acme".parse().unwrap()).await });
        reached.notified().await;
        stage.ok(&mia, "POST", "/policies", new("two", true, None)).await;
        go.notify_one();
        slow.await.unwrap().unwrap();
        let told = stage.channel.epochs();
        assert!(told.contains(&(2, false)) && told.last() == Some(&(3, false)), "{told:?}");
        assert_eq!(waiting(&stage).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_given_up_while_telling_leaves_the_row() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        let mia = admin("acme");
        let (reached, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        *stage.channel.slow.lock().unwrap() = Some(Slow { epoch: 2, reached, go });
        // Patience ends, the change is answered all the same.
        stage.ok(&mia, "POST", "/policies/revoke", Some(json!({"reason": "why"}))).await;
        assert_eq!(waiting(&stage).await, 1);
        let foundation = &stage.ground.foundation;
        let mut tx = foundation.database.across_write().await.unwrap();
        tx.run(Statement::new("DELETE FROM policy_news")).await.unwrap();
        tx.commit().await.unwrap();
        tell::once_more(foundation, &"acme".parse().unwrap()).await.unwrap();
        assert_eq!(waiting(&stage).await, 1);
    })
    .await;
}
