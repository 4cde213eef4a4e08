//! What the pairing must withstand, played in the lab.

mod advisories;
mod attempts;
mod crashes;
mod forger;
mod guesses;
mod interference;
mod passes;
mod points;
mod secrets;
mod states;
mod window;
mod wire;

use std::cell::RefCell;
use std::rc::Rc;

use lanyard_protocol::device::PairingMethod;

use crate::abort::Abort;
use crate::channel::{Channel, ChannelKey};
use crate::code::PairingCode;
use crate::device::Secret;
use crate::identity::IdentityKeys;
use crate::lab::{Carrier, InFlight, Lab, Line, SeededRng, Side};

const CARRIERS: [Carrier; 2] = [Carrier::Quic, Carrier::Noise];
const WAYS: [Way; 3] = [Way::Code, Way::Link, Way::Pass];

/// How a device shows that it is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Code,
    Link,
    /// A link whose question is answered.
    Pass,
}

impl Way {
    /// As people are told.
    fn method(self) -> PairingMethod {
        match self {
            Way::Code => PairingMethod::Code,
            Way::Link | Way::Pass => PairingMethod::Link,
        }
    }
}

/// Every way to pair.
fn ways() -> impl Iterator<Item = (Carrier, Way)> {
    CARRIERS.into_iter().flat_map(|carrier| WAYS.into_iter().map(move |way| (carrier, way)))
}

fn join(lab: &mut Lab, line: Line, way: Way) {
    match way {
        Way::Code => lab.join_by_code(line),
        Way::Link => lab.join_by_link(line),
        Way::Pass => lab.join_by_pass(line),
    }
}

/// The answer: of a person, or that which a pass holds.
fn let_in(lab: &mut Lab, device: usize, way: Way) -> bool {
    match way {
        Way::Code | Way::Link => lab.approve(0, device),
        Way::Pass => lab.let_pass(0),
    }
}

/// Nobody holds anything that a pairing gives.
fn assert_nobody_paired(lab: &Lab) {
    assert!(lab.hosts.iter().all(|host| host.entries.is_empty()), "a host has a device");
    assert!(lab.devices.iter().all(|device| !device.is_paired()), "a device has a host");
}

/// Nobody waits for a person either.
fn assert_nobody_asks(lab: &Lab) {
    assert_nobody_paired(lab);
    assert!(lab.hosts.iter().all(|host| host.waiting().next().is_none()), "somebody asks a person");
    assert!(lab.devices.iter().all(|device| device.pending.is_none()), "a device shows digits");
}

/// A whole pairing, recorded. The same seed gives the same bytes.
fn recorded(seed: u64, carrier: Carrier, method: Way) -> Vec<InFlight> {
    let tape = Rc::new(RefCell::new(Vec::new()));
    let writer = Rc::clone(&tape);
    let mut lab = Lab::new(seed).over(carrier).with_adversary(move |message| {
        writer.borrow_mut().push(message.clone());
        vec![message]
    });
    let line = lab.connect(0, 0);
    join(&mut lab, line, method);
    lab.run();
    assert!(let_in(&mut lab, 0, method));
    lab.run();
    assert!(lab.agree(0, 0) && lab.devices[0].is_paired());
    tape.take()
}

fn wrong_code(lab: &Lab, number: u64) -> Secret {
    let right = lab.hosts[0].entrance.window.code(lab.now).cloned();
    let mut rng = SeededRng::new(number);
    loop {
        let code = PairingCode::generate(&mut rng);
        if Some(&code) != right.as_ref() {
            return Secret::Code(code);
        }
    }
}

fn is_long() -> bool {
    std::env::var_os("LANYARD_LONG").is_some()
}

#[test]
fn every_way_leads_to_a_pairing_that_both_sides_hold() {
    for (carrier, method) in ways() {
        let mut lab = Lab::new(3).over(carrier);
        let line = lab.connect(0, 0);
        join(&mut lab, line, method);
        lab.run();
        assert_nobody_paired(&lab);
        let shown = lab.devices[0].digits().unwrap();
        let asks = lab.hosts[0].waiting().next().unwrap();
        assert_eq!((asks.digits(), asks.method()), (shown, method.method()));
        assert_eq!(asks.pass().is_some(), method == Way::Pass);
        assert_eq!((asks.name(), asks.platform()), ("Pixel", "linux"));
        assert_eq!(*asks.device(), lab.devices[0].keys().public());
        assert_eq!(lab.devices[0].pending.as_ref().unwrap().host_name(), "workstation");
        assert!(let_in(&mut lab, 0, method));
        lab.run();
        assert!(lab.agree(0, 0) && lab.devices[0].is_paired());
        let entry = &lab.hosts[0].entries[0];
        assert_eq!(entry.provisional, None, "the acknowledgement has arrived");
        assert_eq!(lab.hosts[0].attempts, u32::from(method == Way::Code));
        // A pass leaves the window as it was.
        assert_eq!(lab.hosts[0].entrance.window.is_open(lab.now), method == Way::Pass);
    }
}

#[test]
fn a_person_who_says_no_leaves_nothing() {
    let mut lab = Lab::new(3);
    let line = lab.connect(0, 0);
    lab.join_by_code(line);
    lab.run();
    assert!(!lab.approve_with(0, "000 000"), "other digits than those of the device");
    lab.deny(0);
    lab.run();
    assert_nobody_asks(&lab);
    assert_eq!(lab.devices[0].ended, Some(Abort::Denied));
}

#[test]
fn a_device_that_is_paired_already_pairs_again_and_keeps_one_entry() {
    let mut lab = Lab::new(3);
    for _ in 0..2 {
        lab.hosts[0].open(lab.now);
        let line = lab.connect(0, 0);
        lab.join_by_code(line);
        lab.run();
        assert!(lab.approve(0, 0));
        lab.run();
    }
    assert!(lab.agree(0, 0));
    assert_eq!(lab.hosts[0].entries.len(), 1);
}
