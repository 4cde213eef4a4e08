//! Whole stories, for the test program that also runs compiled for a browser.

use std::time::Duration;

use lanyard_client::Incoming;
use lanyard_pairing::IdentityKeys;
use lanyard_pairing::device::{About, Secret};
use lanyard_pairing::lab::SeededRng;
use lanyard_protocol::Tick;
use lanyard_protocol::method::{Call, ListSessions, Subscribe};
use lanyard_protocol::principal::Scope;

use super::api::session;
use super::{Lab, LabHost, Network};
use crate::driver::{Driver, Output, Standing};
use crate::joiner::{Joiner, Told};

const NOW: Tick = Tick::from_millis(1_000_000);

/// A device that scans the code, sleeps while a person decides, wakes up, and is paired.
pub fn a_phone_pairs_in_its_sleep() {
    let mut host = LabHost::new(1);
    host.open_window(NOW);
    let secret =
        Secret::Link(host.entrance.window.link(NOW).unwrap().clone(), host.keys.public().fingerprint());
    let mut rng = SeededRng::new(2);
    let keys = IdentityKeys::generate(&mut rng);
    let about = About { name: "phone".into(), platform: "test".into(), scopes: vec![Scope::Observe] };
    let mut lab = Lab::new(Joiner::start(keys, about, secret, rng, NOW), host, NOW);
    lab.run();
    assert!(matches!(lab.told[..], [Told::Agreed(_)]));
    lab.network = Network::Dead;
    lab.sleep(Duration::from_secs(60));
    assert!(lab.host.approve());
    lab.network = Network::Up;
    lab.wake();
    assert!(matches!(lab.told[..], [Told::Agreed(_), Told::Granted(_)]));
    lab.machine.written_down(lab.now);
    lab.run();
    assert_eq!(lab.host.acknowledged, 1);
}

/// A paired device whose connection breaks before each of its messages in turn: every event once, every call answered.
pub fn a_paired_page_loses_nothing() {
    let mut at = 0;
    while a_page_cut_at(at) {
        at += 1;
    }
    assert!(at > 10);
}

/// False when there are not so many messages.
fn a_page_cut_at(at: usize) -> bool {
    let mut rng = SeededRng::new(3);
    let keys = IdentityKeys::generate(&mut rng);
    let mut host = LabHost::new(4);
    host.paired.push(keys.public().agreement);
    let mut lab = Lab::new(Driver::start(keys, host.keys.public(), rng, NOW), host, NOW);
    lab.cut_at = Some(at);
    lab.machine.call(Subscribe { session_id: session(), after_seq: 0 }.into_request()).unwrap();
    let list = lab.machine.call(ListSessions::default().into_request()).unwrap();
    lab.run();
    for _ in 0..5 {
        lab.host.write();
        lab.run();
    }
    let cut = lab.cut_at.is_none();
    lab.wait(Duration::from_secs(4));
    let mut next = 1;
    let (mut answers, mut connected) = (0, false);
    for told in &lab.told {
        match told {
            Output::Incoming(Incoming::Event(event)) => {
                assert_eq!(event.seq, Some(next), "cut at {at}");
                next += 1;
            }
            Output::Answer(id, answer) if *id == list => answers += u32::from(answer.is_ok()),
            Output::Standing(standing) => connected = matches!(standing, Standing::Connected { .. }),
            _ => {}
        }
    }
    assert_eq!((next, answers, connected), (6, 1, true), "cut at {at}");
    cut
}
