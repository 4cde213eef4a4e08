//! Whether the centre is in reach, as sessions' policies are told.

use lanyard_governance_client as client;

use super::*;

/// What the client knows after an answer at `last_ok`, and a failure since, if any.
fn known(last_ok: Timestamp, reason: Option<&str>) -> client::Reach {
    client::Reach {
        last_ok: Some(last_ok),
        failing_since: reason.map(|_| last_ok),
        reason: reason.map(str::to_owned),
        ..client::Reach::default()
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_prolongs_no_grace() {
    let house = House::new(Played::default());
    house.enrol(false, false).await;
    let centre = house.host().centre.clone();
    // Set back by an hour after the last answer.
    let last_ok = Timestamp::now().plus_millis(3_600_000);
    assert!(centre.tell(&known(last_ok, None)).await);
    let heard = centre.reach.borrow().heard_at.unwrap();
    for reason in ["no connection in time", "Connection refused"] {
        until(|| centre.boot.boot() > heard).await;
        assert!(!centre.tell(&known(last_ok, Some(reason))).await);
        let reach = *centre.reach.borrow();
        assert_eq!((reach.heard_at, reach.failing), (Some(heard), true), "{reason}");
    }
    // Loops that are started anew are told the same again.
    assert!(!centre.tell(&known(last_ok, None)).await);
    assert_eq!(centre.reach.borrow().heard_at, Some(heard));
    assert!(centre.tell(&known(last_ok.plus_millis(1_000), None)).await);
    assert!(centre.reach.borrow().heard_at.unwrap() > heard);
    drop(centre);
    house.stop().await;
}
