//! Who is connected, and the record of who was.

use lanyard_ports::journal::Journal;
use lanyard_protocol::principal::Scope;
use lanyard_transport::close::CloseCode;

use super::{Lab, Phone};

#[tokio::test]
async fn the_first_connection_shows_that_the_device_knows() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    lab.approve(&phone, &[Scope::Observe]).await;
    assert!(lab.row(&phone).unwrap().provisional.is_some());
    let lease = lab.desk.arrived(phone.signing(), phone.from).await.unwrap();
    let row = lab.row(&phone).unwrap();
    assert!(row.provisional.is_none());
    assert_eq!(row.last_seen.unwrap().1, "192.0.2.7:4711");
    assert_eq!((lab.devices.list()[0].connections, lab.devices.count()), (1, (1, 1)));
    lab.desk.left(lease, "timed_out").await;
    lab.pass(0).await;
    assert_eq!((lab.devices.list()[0].connections, lab.devices.count()), (0, (1, 0)));
}

#[tokio::test]
async fn for_one_connection_too_many_the_oldest_of_the_device_goes() {
    let lab = Lab::new();
    let (phone, other) = (Phone::new("Pixel"), Phone::new("Other"));
    lab.paired(&phone, &[Scope::Observe]).await;
    lab.paired(&other, &[Scope::Observe]).await;
    let others = lab.desk.arrived(other.signing(), other.from).await.unwrap();
    let mut leases = Vec::new();
    for _ in 0..18 {
        leases.push(lab.desk.arrived(phone.signing(), phone.from).await.unwrap());
    }
    // Those that are cut and have not gone yet are not cut in place of others.
    assert_eq!(leases[0].cut().await, CloseCode::TooMany);
    assert_eq!(leases[1].cut().await, CloseCode::TooMany);
    let kept = leases[2..].iter().chain([&others]);
    for lease in kept {
        let at_once = tokio::time::timeout(std::time::Duration::ZERO, lease.cut()).await;
        assert!(at_once.is_err(), "{}", lease.number);
    }
}

#[tokio::test]
async fn connections_are_recorded_and_numbered_through_restarts() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    lab.paired(&phone, &[Scope::Observe]).await;
    let first = lab.desk.arrived(phone.signing(), phone.from).await.unwrap();
    lab.desk.left(first, "timed_out").await;
    lab.desk.arrived(phone.signing(), phone.from).await.unwrap();
    let lab = lab.restart().await;
    let rows = lab.store.connections(10).unwrap();
    let shown: Vec<_> = rows.iter().map(|row| (row.connection, row.end_reason.as_deref())).collect();
    assert_eq!(shown, [(2, Some("host_stopping")), (1, Some("timed_out"))]);
    assert!(rows.iter().all(|row| row.ended_at.is_some() && row.device_id == phone.id()));

    lab.desk.arrived(phone.signing(), phone.from).await.unwrap();
    lab.pass(0).await;
    let lab = lab.kill().await;
    let lease = lab.desk.arrived(phone.signing(), phone.from).await.unwrap();
    assert_eq!(lease.number, 4);
    assert_eq!(lab.devices.list()[0].connections, 1, "those of the dead host do not count");
    let counters = lab.tally.counters();
    assert_eq!(counters.disconnects.iter().map(|row| row.count).sum::<u64>(), 2);
}

#[tokio::test]
async fn a_caller_that_is_gone_leaves_no_connection_behind() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    lab.paired(&phone, &[Scope::Observe]).await;
    for _ in 0..20 {
        // Dropped after it was sent and before it is answered.
        let mut arriving = Box::pin(lab.desk.arrived(phone.signing(), phone.from));
        assert!(futures_poll(&mut arriving).is_none());
        drop(arriving);
    }
    lab.pass(0).await;
    assert_eq!(lab.devices.list()[0].connections, 0);
}

/// Polls once.
fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(future).poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}
