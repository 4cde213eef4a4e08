//! Somebody on the way: one case a class of attack.

use std::time::Duration;

use super::forger::{ForgedDevice, keys};
use super::*;
use crate::message::{Hello, Offer, ToDevice, ToHost};
use crate::window::SLOT;

/// Plays an attack on a line between a device and a host who mean each other.
fn on_the_way(method: Way, change: impl FnMut(InFlight) -> Vec<InFlight> + 'static) -> Lab {
    let mut lab = Lab::new(21).with_adversary(change);
    let line = lab.connect(0, 0);
    join(&mut lab, line, method);
    lab.run();
    lab
}

/// What a changed message leads to: who found it out, and with which reason.
fn ends(lab: &Lab) -> (Option<Abort>, Option<Abort>) {
    assert_nobody_asks(lab);
    (lab.devices[0].ended, lab.hosts[0].failures.first().copied())
}

fn change_hello(mut change: impl FnMut(&mut Hello)) -> impl FnMut(InFlight) -> Vec<InFlight> {
    move |mut message| {
        if let Some(ToHost::Hello(mut hello)) = message.to_host() {
            change(&mut hello);
            message.frame = ToHost::Hello(hello).encode();
        }
        vec![message]
    }
}

fn change_offer(mut change: impl FnMut(&mut Offer)) -> impl FnMut(InFlight) -> Vec<InFlight> {
    move |mut message| {
        if let Some(ToDevice::Offer(mut offer)) = message.to_device() {
            change(&mut offer);
            message.frame = ToDevice::Offer(offer).encode();
        }
        vec![message]
    }
}

#[test]
fn reflection_of_the_share() {
    // The device's own point comes back, as it is and with the side mended.
    for mend in [false, true] {
        let lab = on_the_way(Way::Code, move |message| match message.to_host() {
            Some(ToHost::ShareA(mut share)) => {
                if mend {
                    share.share[0] = b'B';
                }
                let back = crate::message::ShareB { share: share.share };
                let frame = ToDevice::ShareB(back).encode();
                vec![InFlight { line: message.line, to: Side::Device, frame }]
            }
            _ => vec![message],
        });
        assert_eq!(lab.devices[0].ended, Some(Abort::BadShare), "mended: {mend}");
        assert_nobody_asks(&lab);
    }
}

#[test]
fn reflection_of_the_proofs() {
    let lab = on_the_way(Way::Code, |message| match message.to_host() {
        Some(ToHost::ConfirmA(confirm)) => {
            let back = crate::message::ConfirmB {
                confirmation: confirm.confirmation,
                proof: confirm.proof,
                nonce: [0; 32],
            };
            let frame = ToDevice::ConfirmB(back).encode();
            vec![InFlight { line: message.line, to: Side::Device, frame }]
        }
        _ => vec![message],
    });
    assert_eq!(lab.devices[0].ended, Some(Abort::WrongSecret));
    assert_nobody_asks(&lab);
}

#[test]
fn reflection_of_a_whole_side() {
    // A host that answers with the device's own keys, in a channel that leads back to the device.
    for carrier in CARRIERS {
        let mut lab = Lab::new(21).over(carrier);
        let own = lab.devices[0].keys().clone();
        let (near, _) = lab.connect_through(0, &own, 0);
        lab.join_by_code(near);
        let sent = lab.intercept();
        let Some(ToHost::Hello(hello)) = sent[0].to_host() else { panic!("no hello") };
        let offer = Offer {
            version: 1,
            sid: crate::message::Sid([1; 16]),
            host: hello.device,
            ephemeral: hello.ephemeral,
            name: "mirror".to_owned(),
            commitment: [0; 32],
        };
        lab.post(near, Side::Device, vec![ToDevice::Offer(offer).encode()]);
        lab.run();
        assert_eq!(lab.devices[0].ended, Some(Abort::KeyMismatch));
        // And a device with the host's own keys.
        let own = lab.hosts[0].keys().clone();
        let line = lab.attack(&own, 0);
        let device = ForgedDevice::new(own.clone(), own.public(), lab.channel(line, Side::Host).unwrap());
        let answer = device.ask(&mut lab, line, device.hello());
        assert_eq!(answer, ToDevice::Abort(Abort::KeyMismatch));
        assert_nobody_asks(&lab);
    }
}

/// Carries every message between its two channels, after a change.
fn relayed(
    carrier: Carrier,
    method: Way,
    mut change: impl FnMut(InFlight, &crate::PublicIdentity) -> InFlight + 'static,
) -> Lab {
    let adversary = keys(40);
    let claimed = adversary.public();
    let mut lab = Lab::new(22).over(carrier).with_adversary(move |mut message| {
        // The two lines of the relay are the first ones of the lab.
        message.line = match (message.line, message.to) {
            (Line(0), Side::Host) => Line(1),
            (Line(1), Side::Device) => Line(0),
            (line, _) => line,
        };
        vec![change(message, &claimed)]
    });
    let (near, _) = lab.connect_through(0, &adversary, 0);
    join(&mut lab, near, method);
    lab.run();
    assert_nobody_asks(&lab);
    lab
}

#[test]
fn relay_of_unchanged_messages() {
    for (carrier, method) in ways() {
        let lab = relayed(carrier, method, |message, _| message);
        assert_eq!(lab.hosts[0].failures[0], Abort::KeyMismatch);
        assert_eq!(lab.hosts[0].attempts, 0);
    }
}

#[test]
fn relay_with_the_keys_replaced_fails_by_the_channels() {
    for carrier in CARRIERS {
        let lab = relayed(carrier, Way::Code, |message, own| {
            let hello = |mut hello: Hello| {
                hello.device = *own;
                ToHost::Hello(hello).encode()
            };
            let offer = |mut offer: Offer| {
                offer.host = *own;
                ToDevice::Offer(offer).encode()
            };
            match (message.to_host(), message.to_device()) {
                (Some(ToHost::Hello(said)), _) => InFlight { frame: hello(said), ..message },
                (_, Some(ToDevice::Offer(said))) => InFlight { frame: offer(said), ..message },
                _ => message,
            }
        });
        // Both sides hold the right code, and the passwords differ: each is bound to its channel.
        assert_eq!(lab.hosts[0].failures[0], Abort::WrongSecret);
        assert_eq!(lab.hosts[0].attempts, 1, "a relay costs one attempt");
    }
}

#[test]
fn relay_of_a_link_fails_at_the_first_message() {
    for carrier in CARRIERS {
        let lab = relayed(carrier, Way::Link, |message, own| match message.to_host() {
            Some(ToHost::Hello(mut hello)) => {
                hello.device = *own;
                InFlight { frame: ToHost::Hello(hello).encode(), ..message }
            }
            _ => message,
        });
        assert_eq!(lab.hosts[0].failures[0], Abort::WrongSecret);
        assert_eq!(lab.hosts[0].attempts, 0);
    }
}

#[test]
fn relay_to_another_host() {
    // The second host has an open window of its own; the conversation is moved to it at every message.
    for (carrier, method) in ways() {
        for at in 0..3 {
            let mut seen = 0;
            let mut lab = Lab::new(22).over(carrier).with_adversary(move |mut message| {
                if message.to == Side::Host {
                    seen += 1;
                    if seen > at {
                        message.line = Line(1);
                    }
                } else {
                    message.line = Line(0);
                }
                vec![message]
            });
            let other = lab.add_host();
            lab.hosts[other].open(lab.now);
            let line = lab.connect(0, 0);
            lab.connect(0, other);
            join(&mut lab, line, method);
            lab.run();
            assert_nobody_asks(&lab);
            assert!(lab.devices[0].ended.is_some(), "message {at} by {method:?} over {carrier:?}");
        }
    }
}

#[test]
fn downgrade_of_the_offered_versions() {
    // A message of the channel is changed, which the channel forbids: the transcript finds it all the same.
    let lab = on_the_way(Way::Code, change_hello(|hello| hello.versions.push(0)));
    assert_eq!(ends(&lab).1, Some(Abort::WrongSecret));
    let lab = on_the_way(Way::Link, change_hello(|hello| hello.versions.push(0)));
    assert_eq!(ends(&lab).1, Some(Abort::WrongSecret));
    let lab = on_the_way(Way::Code, change_hello(|hello| hello.versions = vec![0]));
    assert_eq!(ends(&lab).1, Some(Abort::Version));
    let lab = on_the_way(Way::Code, change_offer(|offer| offer.version = 0));
    assert_eq!(ends(&lab).0, Some(Abort::Version));
}

#[test]
fn downgrade_from_link_to_code() {
    // Without its MAC a link's Hello is one of a code, and the secrets differ.
    let lab = on_the_way(Way::Link, change_hello(|hello| hello.link_mac = None));
    assert_eq!(ends(&lab).1, Some(Abort::WrongSecret));
}

#[test]
fn every_word_of_the_first_messages_counts() {
    type Change<T> = fn(&mut T);
    let hello: [Change<Hello>; 5] = [
        |hello| hello.name.push('x'),
        |hello| hello.platform.push('x'),
        |hello| hello.ephemeral[0] ^= 1,
        |hello| hello.scopes.truncate(1),
        |hello| hello.versions.push(7),
    ];
    for (at, change) in hello.into_iter().enumerate() {
        let lab = on_the_way(Way::Code, change_hello(change));
        assert_eq!(ends(&lab).1, Some(Abort::WrongSecret), "{at}");
    }
    let offer: [Change<Offer>; 4] = [
        |offer| offer.sid.0[0] ^= 1,
        |offer| offer.ephemeral[0] ^= 1,
        |offer| offer.name.push('x'),
        |offer| offer.commitment[0] ^= 1,
    ];
    for (at, change) in offer.into_iter().enumerate() {
        let lab = on_the_way(Way::Code, change_offer(change));
        assert_eq!(ends(&lab).1, Some(Abort::WrongSecret), "{at}");
    }
    // The nonce that the digits come from, and each proof.
    let lab = on_the_way(Way::Code, |mut message| {
        if let Some(ToHost::ShareA(mut share)) = message.to_host() {
            share.nonce[0] ^= 1;
            message.frame = ToHost::ShareA(share).encode();
        }
        vec![message]
    });
    assert_eq!(ends(&lab).1, Some(Abort::WrongSecret));
}

#[test]
fn misbinding_of_keys_in_an_honest_channel() {
    let other = keys(41).public();
    for carrier in CARRIERS {
        let claimed = move |mut identity: crate::PublicIdentity| {
            match carrier {
                Carrier::Quic => identity.agreement = other.agreement,
                Carrier::Noise => identity.signing = other.signing,
            }
            identity
        };
        let mut lab = Lab::new(23)
            .over(carrier)
            .with_adversary(change_hello(move |hello| hello.device = claimed(hello.device)));
        let line = lab.connect(0, 0);
        lab.join_by_code(line);
        lab.run();
        assert_eq!(ends(&lab).1, Some(Abort::WrongSecret));
        let mut lab = Lab::new(23)
            .over(carrier)
            .with_adversary(change_offer(move |offer| offer.host = claimed(offer.host)));
        let line = lab.connect(0, 0);
        lab.join_by_code(line);
        lab.run();
        assert_eq!(ends(&lab).1, Some(Abort::WrongSecret));
    }
}

#[test]
fn keys_swapped_between_their_places_are_not_the_channels() {
    for carrier in CARRIERS {
        let swap = |identity: crate::PublicIdentity| crate::PublicIdentity {
            signing: identity.agreement,
            agreement: identity.signing,
        };
        let adversary = change_hello(move |hello| hello.device = swap(hello.device));
        let mut lab = Lab::new(23).over(carrier).with_adversary(adversary);
        let line = lab.connect(0, 0);
        lab.join_by_code(line);
        lab.run();
        assert_eq!(ends(&lab).1, Some(Abort::KeyMismatch));
        let adversary = change_offer(move |offer| offer.host = swap(offer.host));
        let mut lab = Lab::new(23).over(carrier).with_adversary(adversary);
        let line = lab.connect(0, 0);
        lab.join_by_code(line);
        lab.run();
        assert_eq!(ends(&lab).0, Some(Abort::KeyMismatch));
    }
}

#[test]
fn messages_of_an_earlier_pairing_are_worth_nothing() {
    for (carrier, method) in ways() {
        let tape = recorded(24, carrier, method);
        // To the host, in a new channel of the same device, with a window as fresh as the first one.
        let mut lab = Lab::new(24).over(carrier);
        let first = lab.connect(0, 0);
        join(&mut lab, first, method);
        lab.run();
        lab.hang_up(first);
        lab.deny(0);
        lab.hosts[0].open(lab.now);
        let again = lab.connect(0, 0);
        for message in tape.iter().filter(|message| message.to == Side::Host) {
            lab.post(again, Side::Host, vec![message.frame.clone()]);
            lab.step();
        }
        assert!(lab.hosts[0].entries.is_empty() && lab.hosts[0].waiting().next().is_none());
        // To the device: the offer with its sid, share and proofs are a recording.
        let mut lab = Lab::new(24).over(carrier);
        lab.connect(0, 0);
        let line = lab.connect(0, 0);
        join(&mut lab, line, method);
        lab.intercept();
        for message in tape.iter().filter(|message| message.to == Side::Device) {
            lab.post(line, Side::Device, vec![message.frame.clone()]);
            lab.step();
            lab.intercept();
        }
        assert!(lab.devices[0].pending.is_none() && !lab.devices[0].is_paired());
        assert_eq!(lab.devices[0].ended, Some(Abort::WrongSecret));
    }
}

/// The first message of a link, heard in one channel and said in another one of the same device: were the MAC not bound
/// to its channel, whoever repeats it could make the host compute at will.
#[test]
fn the_first_message_of_a_link_is_good_in_its_channel_alone() {
    for carrier in CARRIERS {
        let mut lab = Lab::new(24).over(carrier);
        let line = lab.connect(0, 0);
        lab.join_by_link(line);
        let heard = lab.intercept();
        let again = lab.connect(0, 0);
        lab.post(again, Side::Host, vec![heard[0].frame.clone()]);
        lab.step();
        assert_eq!(lab.hosts[0].failures, [Abort::WrongSecret]);
        lab.intercept();
        lab.post(line, Side::Host, vec![heard[0].frame.clone()]);
        lab.step();
        assert!(lab.in_flight().any(|message| matches!(message.to_device(), Some(ToDevice::Offer(_)))));
    }
}

#[test]
fn everything_said_twice_pairs_nobody_twice() {
    // The second copy is out of order: the conversation ends. A person must not be asked twice about one device.
    for method in WAYS {
        let lab = on_the_way(method, |message| vec![message.clone(), message]);
        assert_nobody_asks(&lab);
        assert!(lab.hosts[0].failures.contains(&Abort::OutOfOrder));
    }
}

#[test]
fn dropping_any_message_leaves_nobody_paired() {
    for (carrier, method) in ways() {
        for dropped in 0..6 {
            let mut seen = 0;
            let mut lab = Lab::new(25).over(carrier).with_adversary(move |message| {
                seen += 1;
                if seen == dropped + 1 { Vec::new() } else { vec![message] }
            });
            let line = lab.connect(0, 0);
            join(&mut lab, line, method);
            lab.run();
            assert_nobody_paired(&lab);
            lab.hang_up(line);
            lab.run();
            assert_nobody_paired(&lab);
        }
    }
}

#[test]
fn a_slot_is_hogged_for_three_seconds_and_no_longer() {
    // The hog even knows the code.
    let mut lab = Lab::new(26);
    let hog = lab.connect(0, 0);
    lab.join_by_code(hog);
    while !lab.in_flight().any(|message| matches!(message.to_host(), Some(ToHost::ConfirmA(_)))) {
        assert!(lab.step());
    }
    let proofs = lab.intercept();
    let honest = lab.add_device();
    let line = lab.connect(honest, 0);
    lab.join_by_code(line);
    lab.run();
    assert_eq!(lab.devices[honest].ended, Some(Abort::Busy));
    assert_eq!(lab.hosts[0].attempts, 1);

    lab.advance(SLOT - Duration::from_millis(1));
    let line = lab.connect(honest, 0);
    lab.join_by_code(line);
    lab.run();
    assert_eq!(lab.devices[honest].ended, Some(Abort::Busy));

    lab.advance(Duration::from_millis(1));
    let line = lab.connect(honest, 0);
    lab.join_by_code(line);
    // The honest one takes the slot over; now the hog comes with the right proofs.
    while !lab.in_flight().any(|message| matches!(message.to_host(), Some(ToHost::ConfirmA(_)))) {
        assert!(lab.step());
    }
    let honest_proofs = lab.intercept();
    lab.post(hog, Side::Host, vec![proofs[0].frame.clone()]);
    lab.run();
    lab.post(line, Side::Host, vec![honest_proofs[0].frame.clone()]);
    lab.run();
    assert_eq!(lab.hosts[0].failures, [Abort::Busy, Abort::Busy, Abort::Timeout]);
    assert_eq!(lab.devices[0].ended, Some(Abort::Timeout));
    assert!(lab.approve(0, honest));
    lab.run();
    assert!(lab.agree(honest, 0) && lab.devices[honest].is_paired());
    assert_eq!(lab.hosts[0].attempts, 2, "the hog's attempt stays consumed");
}

#[test]
fn forged_link_hellos_burn_neither_link_nor_code() {
    let mut lab = Lab::new(27);
    let adversary = keys(42);
    for forged in 0..200_u8 {
        let line = lab.attack(&adversary, 0);
        let channel = lab.channel(line, Side::Host).unwrap();
        let mut device = ForgedDevice::new(adversary.clone(), adversary.public(), channel);
        device.hello.link_mac = Some([forged; 32]);
        let answer = device.ask(&mut lab, line, device.hello());
        assert_eq!(answer, ToDevice::Abort(Abort::WrongSecret));
    }
    assert_eq!((lab.hosts[0].attempts, lab.hosts[0].entrance.window.attempts_left()), (0, 3));
    assert!(lab.hosts[0].changes.is_empty());
    for method in WAYS {
        // Either still works; the second in a window of its own.
        lab.hosts[0].open(lab.now);
        let device = lab.add_device();
        let line = lab.connect(device, 0);
        join(&mut lab, line, method);
        lab.run();
        assert!(let_in(&mut lab, device, method), "{method:?}");
        lab.run();
        assert!(lab.agree(device, 0) && lab.devices[device].is_paired());
    }
}

#[test]
fn a_link_of_another_host_is_refused_by_the_device() {
    for carrier in CARRIERS {
        let mut lab = Lab::new(28).over(carrier);
        let other = lab.add_host();
        lab.hosts[other].open(lab.now);
        // Steered to another host, as by a spoofed announcement.
        let line = lab.connect(0, other);
        let link = lab.hosts[other].entrance.window.link(lab.now).cloned().unwrap();
        let meant = lab.hosts[0].keys().public().fingerprint();
        lab.join(line, Secret::Link(link, meant));
        lab.run();
        assert_eq!(lab.devices[0].ended, Some(Abort::WrongHost));
        assert_nobody_asks(&lab);
    }
}

/// The digits of two conversations with the same attacker in the middle, who knows the code, are the same by chance
/// only: the attacker has fixed all its parts before it sees any of the other side's.
#[test]
fn the_comparison_string_cannot_be_ground() {
    use super::forger::{Deviation, forged_host};
    let own = keys(20);
    // A host that picks another nonce, or another share, after it has seen the device's is found out …
    for deviation in [Deviation::Nonce, Deviation::Share] {
        let refused = forged_host(Carrier::Quic, &own, own.public(), deviation).unwrap_err();
        assert_eq!(refused, Abort::BadCommitment);
    }
    // … and a device says its nonce before it learns anything about the host's: not even the share.
    let tape = recorded(29, Carrier::Quic, Way::Code);
    let position = |wanted: fn(&InFlight) -> bool| tape.iter().position(wanted).unwrap();
    let device_fixed = position(|message| matches!(message.to_host(), Some(ToHost::ShareA(_))));
    let host_share = position(|message| matches!(message.to_device(), Some(ToDevice::ShareB(_))));
    let host_nonce = position(|message| matches!(message.to_device(), Some(ToDevice::ConfirmB(_))));
    assert!(device_fixed < host_share && host_share < host_nonce);
}
