//! Every message at every state of both sides, generated: only one path leads anywhere.
//!
//! The messages are the real ones of the very conversation they are played into: the lab repeats, so what a side would
//! say later in this conversation is known beforehand. A message that is refused here is refused for its moment alone.

use super::*;
use crate::identity::Lineage;
use crate::message::{MAX_MESSAGE_BYTES, ToDevice, ToHost};

/// What a frame is. Matched without a wildcard: a new message must be placed here before the tests compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Hello,
    ShareA,
    ConfirmA,
    Resume,
    Ack,
    AskLineage,
    DeviceAborts,
    Offer,
    ShareB,
    ConfirmB,
    Waiting,
    Grant,
    TellLineage,
    HostAborts,
    Noise,
}

fn kind(message: &InFlight) -> Kind {
    match message.to {
        Side::Host => match ToHost::decode(&message.frame) {
            Ok(ToHost::Hello(_)) => Kind::Hello,
            Ok(ToHost::ShareA(_)) => Kind::ShareA,
            Ok(ToHost::ConfirmA(_)) => Kind::ConfirmA,
            Ok(ToHost::Resume(_)) => Kind::Resume,
            Ok(ToHost::Ack(_)) => Kind::Ack,
            Ok(ToHost::Lineage(_)) => Kind::AskLineage,
            Ok(ToHost::Abort(_)) => Kind::DeviceAborts,
            Err(_) => Kind::Noise,
        },
        Side::Device => match ToDevice::decode(&message.frame) {
            Ok(ToDevice::Offer(_)) => Kind::Offer,
            Ok(ToDevice::ShareB(_)) => Kind::ShareB,
            Ok(ToDevice::ConfirmB(_)) => Kind::ConfirmB,
            Ok(ToDevice::Waiting) => Kind::Waiting,
            Ok(ToDevice::Grant(_)) => Kind::Grant,
            Ok(ToDevice::Lineage(_)) => Kind::TellLineage,
            Ok(ToDevice::Abort(_)) => Kind::HostAborts,
            Err(_) => Kind::Noise,
        },
    }
}

/// What each side awaits, in the order of the conversation. `Waiting` is awaited by a device that waits for a person.
const PATH: [Kind; 8] = [
    Kind::Hello,
    Kind::Offer,
    Kind::ShareA,
    Kind::ShareB,
    Kind::ConfirmA,
    Kind::ConfirmB,
    Kind::Grant,
    Kind::Ack,
];

/// One of every kind, as real as it can be, to both sides.
fn everything(seed: u64, carrier: Carrier, method: Way) -> Vec<InFlight> {
    let mut all = recorded(seed, carrier, method);
    assert_eq!(all.iter().map(kind).collect::<Vec<_>>(), PATH);
    let line = all[0].line;
    // A resume of this very conversation, made by the device itself for this channel.
    let mut lab = Lab::new(seed).over(carrier);
    let same = lab.connect(0, 0);
    join(&mut lab, same, method);
    lab.run();
    let channel = lab.channel(same, Side::Device).unwrap();
    let resume = lab.devices[0].pending.as_ref().unwrap().resume(&channel).unwrap();
    let print = lab.hosts[0].keys().public().fingerprint();
    let mut to_host = vec![resume.encode(), ToHost::Lineage(print).encode(), Vec::new(), vec![0xff; 40]];
    to_host.push(vec![0; MAX_MESSAGE_BYTES + 1]);
    to_host.push(ToHost::Abort(Abort::Timeout).encode());
    let mut to_device = vec![ToDevice::Waiting.encode(), ToDevice::Lineage(Lineage::default()).encode()];
    to_device.extend([Vec::new(), vec![0xff; 40], vec![0; MAX_MESSAGE_BYTES + 1]]);
    to_device.push(ToDevice::Abort(Abort::Timeout).encode());
    all.extend(to_host.into_iter().map(|frame| InFlight { line, to: Side::Host, frame }));
    all.extend(to_device.into_iter().map(|frame| InFlight { line, to: Side::Device, frame }));
    all
}

/// The conversation up to the delivery of `PATH[steps - 1]`; the next message has been sent and is taken away.
fn up_to(steps: usize, seed: u64, carrier: Carrier, method: Way) -> (Lab, Vec<InFlight>) {
    let mut lab = Lab::new(seed).over(carrier);
    let line = lab.connect(0, 0);
    join(&mut lab, line, method);
    for _ in 0..steps {
        if lab.in_flight().next().is_none() {
            assert!(let_in(&mut lab, 0, method));
        }
        assert!(lab.step());
    }
    if lab.in_flight().next().is_none() {
        let_in(&mut lab, 0, method);
    }
    let sent = lab.intercept();
    (lab, sent)
}

#[test]
fn only_one_path_leads_to_a_grant() {
    let mut played = Vec::new();
    for (carrier, method) in ways() {
        let everything = everything(11, carrier, method);
        for steps in 0..PATH.len() {
            let (_, sent) = up_to(steps, 11, carrier, method);
            assert_eq!(sent.iter().map(kind).collect::<Vec<_>>(), PATH[steps..=steps]);
            // To the side whose turn it is: the other one is in a state of another row.
            for message in everything.iter().filter(|message| message.to == sent[0].to) {
                let (mut lab, _) = up_to(steps, 11, carrier, method);
                play(&mut lab, message, &sent[0], steps);
                played.push((steps, kind(message)));
            }
        }
    }
    // Every kind at every state, for each of the six ways: seven messages and three frames that are none.
    assert_eq!(played.len(), 6 * PATH.len() * 10);
    for steps in 0..PATH.len() {
        let kinds: Vec<_> = played.iter().filter(|(at, _)| *at == steps).map(|(_, kind)| *kind).collect();
        assert!(turn_of(steps).iter().all(|kind| kinds.contains(kind)), "{steps}");
    }
}

/// What can be said to the side whose turn it is.
fn turn_of(steps: usize) -> [Kind; 8] {
    let to_host = [Kind::Hello, Kind::ShareA, Kind::ConfirmA, Kind::Ack, Kind::Resume, Kind::AskLineage];
    let to_device =
        [Kind::Offer, Kind::ShareB, Kind::ConfirmB, Kind::Grant, Kind::Waiting, Kind::TellLineage];
    // A grant follows when the host has proven, so from there on the turns are the other way round.
    let (all, aborts) = match steps {
        0 | 2 | 4 | 7 => (to_host, Kind::DeviceAborts),
        _ => (to_device, Kind::HostAborts),
    };
    let [a, b, c, d, e, f] = all;
    [a, b, c, d, e, f, aborts, Kind::Noise]
}

fn play(lab: &mut Lab, message: &InFlight, awaited: &InFlight, steps: usize) {
    let played = kind(message);
    lab.post(message.line, message.to, vec![message.frame.clone()]);
    lab.step();
    let name = format!("{played:?} where {:?} is awaited", PATH[steps]);
    if message == awaited {
        let next = lab.in_flight().map(kind).collect::<Vec<_>>();
        assert!(!next.contains(&Kind::HostAborts) && !next.contains(&Kind::DeviceAborts), "{name}: {next:?}");
        return;
    }
    // A device that waits may be told so again and goes on waiting.
    if played == Kind::Waiting && PATH[steps] == Kind::Grant {
        assert!(lab.devices[0].pending.is_some(), "{name}");
        return;
    }
    let refusals = lab.intercept();
    let aborts = |it: &InFlight| matches!(kind(it), Kind::DeviceAborts | Kind::HostAborts);
    let answers = usize::from(!aborts(message));
    assert!(refusals.len() == answers && refusals.iter().all(aborts), "{name}: {refusals:?}");
    // The state is gone: neither what was awaited nor anything else leads on from here.
    lab.post(awaited.line, awaited.to, vec![awaited.frame.clone()]);
    lab.step();
    match message.to {
        Side::Device => {
            assert!(!lab.devices[0].is_paired() && lab.devices[0].pending.is_none(), "{name}");
        }
        Side::Host => {
            // Once a person has said yes the entry is there, and waits for the device to know; never before.
            assert_eq!(lab.hosts[0].entries.len(), usize::from(steps == 7), "{name}");
            assert!(lab.hosts[0].waiting().next().is_none(), "{name}");
        }
    }
}

/// The one state without a row above: the host has nothing to await while a person thinks.
#[test]
fn while_a_person_thinks_nothing_a_device_says_leads_on() {
    for (carrier, method) in ways() {
        for message in everything(11, carrier, method).iter().filter(|message| message.to == Side::Host) {
            let mut lab = Lab::new(11).over(carrier);
            let line = lab.connect(0, 0);
            join(&mut lab, line, method);
            lab.run();
            assert_eq!(lab.hosts[0].waiting().count(), 1);
            lab.post(line, Side::Host, vec![message.frame.clone()]);
            lab.step();
            assert!(lab.hosts[0].entries.is_empty(), "{:?}", kind(message));
            assert_eq!(lab.hosts[0].waiting().count(), 0, "{:?}", kind(message));
            assert_eq!(lab.hosts[0].entrance.window.is_open(lab.now), method == Way::Pass);
        }
    }
}

/// What a device may say it gave up for, and what only a host can know.
#[test]
fn a_device_cannot_put_the_hosts_words_into_its_log() {
    for why in Abort::ALL {
        let (mut lab, sent) = up_to(4, 11, Carrier::Quic, Way::Code);
        lab.post(sent[0].line, Side::Host, vec![ToHost::Abort(*why).encode()]);
        lab.step();
        let logged = lab.hosts[0].failures[0];
        let hosts_own = matches!(
            why,
            Abort::NotOpen
                | Abort::Expired
                | Abort::Used
                | Abort::Burnt
                | Abort::Busy
                | Abort::TooMany
                | Abort::BadRequest
                | Abort::Denied
                | Abort::Unanswered
                | Abort::Unknown
                | Abort::Full
                | Abort::Internal
                | Abort::Elsewhere
        );
        assert_eq!(logged, if hosts_own { Abort::Malformed } else { *why });
    }
}
