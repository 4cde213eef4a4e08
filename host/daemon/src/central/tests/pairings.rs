//! Who is paired, as the centre is told.

use lanyard_ports::journal::DeviceRecord;
use lanyard_protocol::id::DeviceId;
use lanyard_protocol::principal::Scope;

use super::*;
use crate::central::pairings::tell;

/// A host with one paired device.
async fn paired() -> House {
    let house = House::new(Played::default());
    let record = DeviceRecord {
        device_id: DeviceId::new("dev_1").unwrap(),
        name: "Pixel".to_owned(),
        platform: "Android".to_owned(),
        signing_key: [1; 32],
        agreement_key: [2; 32],
        scopes: vec![Scope::Observe],
        paired_at: Timestamp::from_millis(1),
        last_seen: None,
        provisional: None,
        made_by: None,
    };
    house.host().journal.commit(vec![Write::Device(Box::new(record))]).await.unwrap();
    let (dir, wire) = house.stop().await;
    House::open(dir, wire)
}

#[tokio::test]
async fn devices_are_told_while_the_owner_lets_the_centre_answer_and_taken_back_after() {
    let house = paired().await;
    house.enrol(false, true).await;
    let stop = CancellationToken::new();
    let task = tokio::spawn(tell(house.host().clone(), house.wire.clone(), stop.clone()));
    until(|| house.wire.told().len() == 1).await;
    let told = house.wire.told();
    let [Told::Pairings(snapshot)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(snapshot.devices[0].name, "Pixel");
    house.enrol(false, false).await;
    until(|| house.wire.told().len() == 2).await;
    assert_eq!(house.wire.told()[1], Told::Pairings(PairingSnapshot::default()));
    stop.cancel();
    task.await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn without_consent_nothing_is_told_but_that_and_what_an_earlier_host_told_is_taken_back() {
    let house = paired().await;
    house.enrol(true, false).await;
    let stop = CancellationToken::new();
    let task = tokio::spawn(tell(house.host().clone(), house.wire.clone(), stop.clone()));
    until(|| !house.wire.told().is_empty()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(house.wire.told(), [Told::Pairings(PairingSnapshot::default())], "once");
    stop.cancel();
    task.await.unwrap();
    house.stop().await;
}
