//! Advisories of other systems that pair, replayed in spirit: `docs/security.md` lists them. Where a whole class of
//! attack stands behind one, the class has its cases in `interference`; here is the mistake that was made.

use super::forger::{Deviation, ForgedDevice, forged_host, half_of, keys};
use super::*;
use crate::message::{ConfirmA, ToDevice, ToHost};

/// The host's last word to a device that knows the code and sends these proofs.
fn answer_to(carrier: Carrier, change: impl FnOnce(&mut ConfirmA)) -> (ToDevice, Lab) {
    let own = keys(20);
    let mut lab = Lab::new(5).over(carrier);
    let line = lab.attack(&own, 0);
    let shared = lab.hosts[0].entrance.window.shared(false, lab.now).unwrap();
    let peer = carrier.key_of(&lab.hosts[0].keys().public());
    let channel = Channel { peer, ..lab.channel(line, Side::Host).unwrap() };
    let mut device = ForgedDevice::new(own.clone(), own.public(), channel);
    let last = device.play(&mut lab, line, &shared, change);
    (last, lab)
}

/// A comparison that cannot be made is no success (adbd, a key that is not of the kind expected).
#[test]
fn adbd_cve_2026_0073_a_proof_of_another_kind_or_length_is_no_proof() {
    for carrier in CARRIERS {
        for proof in [
            vec![],
            vec![0],
            vec![0; 31],
            vec![0; 32],
            vec![0; 33],
            vec![0; 64],
            vec![0xff; 64],
            vec![1; 200],
        ] {
            let (last, lab) = answer_to(carrier, |confirm| confirm.proof = proof.clone());
            assert_eq!(last, ToDevice::Abort(Abort::BadProof), "{proof:?}");
            assert_nobody_asks(&lab);
        }
        // The proof for the other kind of channel.
        let (last, _) = answer_to(carrier, |confirm| confirm.proof.resize(96 - confirm.proof.len(), 0));
        assert_eq!(last, ToDevice::Abort(Abort::BadProof));
    }
}

/// The result of a comparison is looked at (Sunshine).
#[test]
fn sunshine_cve_2026_32253_a_wrong_confirmation_is_never_taken_for_a_right_one() {
    for bit in (0..256).step_by(if is_long() { 1 } else { 51 }) {
        let (last, lab) = answer_to(Carrier::Quic, |confirm| confirm.confirmation[bit / 8] ^= 1 << (bit % 8));
        assert_eq!(last, ToDevice::Abort(Abort::WrongSecret), "bit {bit}");
        assert_nobody_asks(&lab);
    }
    let (last, _) = answer_to(Carrier::Quic, |confirm| confirm.confirmation = [0; 32]);
    assert_eq!(last, ToDevice::Abort(Abort::WrongSecret));
}

/// Messages left out (Sunshine): straight to the proofs, to the acknowledgement, to the resumption.
#[test]
fn sunshine_cve_2024_51738_out_of_order_messages_skip_nothing() {
    for (carrier, method) in ways() {
        let tape = recorded(97, carrier, method);
        let said: Vec<_> = tape.iter().filter(|message| message.to == Side::Host).collect();
        for left_out in 1_usize..16 {
            // Every selection of the device's four messages but the whole.
            if left_out == 15 {
                continue;
            }
            let mut lab = Lab::new(97).over(carrier);
            let line = lab.connect(0, 0);
            for (at, message) in said.iter().enumerate() {
                if left_out >> at & 1 == 1 {
                    lab.post(line, Side::Host, vec![message.frame.clone()]);
                    lab.step();
                    lab.intercept();
                }
            }
            assert!(lab.hosts[0].entries.is_empty(), "{left_out:04b}");
            let proven = left_out & 0b111 == 0b111;
            assert!(proven || lab.hosts[0].waiting().next().is_none(), "{left_out:04b}");
        }
    }
}

/// A device that says it is another one (KDE Connect: the id in the packet was believed).
#[test]
fn kde_connect_cve_2025_66270_an_identity_is_proven_by_both_its_keys() {
    for carrier in CARRIERS {
        let (own, victim) = (keys(20), keys(30).public());
        let mut lab = Lab::new(5).over(carrier);
        for claimed in [victim, half_of(&own, &victim, carrier)] {
            lab.hosts[0].open(lab.now);
            let line = lab.attack(&own, 0);
            let shared = lab.hosts[0].entrance.window.shared(false, lab.now).unwrap();
            let peer = carrier.key_of(&lab.hosts[0].keys().public());
            let channel = Channel { peer, ..lab.channel(line, Side::Host).unwrap() };
            let mut device = ForgedDevice::new(own.clone(), claimed, channel);
            let last = device.play(&mut lab, line, &shared, |_| {});
            let expected = if claimed == victim { Abort::KeyMismatch } else { Abort::BadProof };
            assert_eq!(last, ToDevice::Abort(expected));
            assert_nobody_asks(&lab);
        }
    }
}

/// A comparison string that an attacker can search for (KDE Connect: eight hex digits over public keys and a time).
#[test]
fn kde_connect_cve_2025_32898_the_comparison_string_holds_secret_and_committed_parts() {
    let digits = |seed, carrier, method| {
        let mut lab = Lab::new(seed).over(carrier);
        let line = lab.connect(0, 0);
        join(&mut lab, line, method);
        lab.run();
        lab.devices[0].digits().unwrap().to_string()
    };
    let shown: std::collections::BTreeSet<_> =
        (0..12).map(|seed| digits(seed, Carrier::Quic, Way::Code)).collect();
    assert!(shown.len() >= 11, "digits repeat: {shown:?}");
    let refused = forged_host(Carrier::Quic, &keys(20), keys(20).public(), Deviation::Nonce).unwrap_err();
    assert_eq!(refused, Abort::BadCommitment);
}

/// An "unpair" from anybody (KDE Connect): no message of a stranger touches an entry or a wait.
#[test]
fn kde_connect_cve_2025_32899_a_strangers_words_unpair_nobody() {
    let mut lab = Lab::new(98);
    let line = lab.connect(0, 0);
    lab.join_by_code(line);
    lab.run();
    lab.approve(0, 0);
    lab.run();
    // One is paired, one waits.
    lab.hosts[0].open(lab.now);
    let waits = lab.add_device();
    let line = lab.connect(waits, 0);
    lab.join_by_code(line);
    lab.run();
    let entries = lab.hosts[0].entries.clone();
    let stranger = keys(31);
    let channel = lab.channel(line, Side::Device).unwrap();
    let resume = lab.devices[waits].pending.as_ref().unwrap().resume(&channel).unwrap();
    let ack = lab.devices[waits].pending.as_ref().unwrap().acknowledge();
    let mut words = vec![resume, ack, ToHost::Lineage(stranger.public().fingerprint())];
    words.extend(Abort::ALL.iter().map(|why| ToHost::Abort(*why)));
    for word in words {
        let line = lab.attack(&stranger, 0);
        lab.post(line, Side::Host, vec![word.encode()]);
        lab.run();
        assert_eq!(lab.hosts[0].entries, entries);
        assert_eq!(lab.hosts[0].waiting().count(), 1);
    }
    assert!(lab.approve(0, waits));
    lab.run();
    assert!(lab.agree(0, 0) && lab.agree(waits, 0) && lab.devices[waits].is_paired());
}

/// The first contact is believed (LocalSend): whoever answers first is the host.
#[test]
fn localsend_cve_2025_54792_the_first_to_answer_is_not_believed() {
    for carrier in CARRIERS {
        // Somebody else with an open window of its own, who does not know the code.
        let mut lab = Lab::new(99).over(carrier);
        let other = lab.add_host();
        lab.hosts[other].open(lab.now);
        for method in WAYS {
            let line = lab.connect(0, other);
            join(&mut lab, line, method);
            lab.run();
            // It does not know the code; and the link names another host, before anything else is said.
            let found = lab.devices[0].ended.unwrap();
            assert!(matches!(found, Abort::WrongSecret | Abort::WrongHost), "{found:?}");
            assert_nobody_asks(&lab);
        }
    }
}

/// Points and parameters from the peer (croc): nothing about the group travels, and degenerate points are refused.
#[test]
fn croc_cve_2021_31603_no_point_of_the_peers_choice_weakens_the_exchange() {
    for share in super::points::degenerate(b'A') {
        let bytes = share.clone();
        let mut lab = Lab::new(100).with_adversary(move |mut message| {
            if let Some(ToHost::ShareA(mut said)) = message.to_host() {
                said.share.clone_from(&bytes);
                message.frame = ToHost::ShareA(said).encode();
            }
            vec![message]
        });
        let line = lab.connect(0, 0);
        lab.join_by_code(line);
        lab.run();
        assert_eq!(lab.devices[0].ended, Some(Abort::BadShare), "{share:?}");
        assert_eq!(lab.hosts[0].attempts, 0);
    }
    for share in super::points::degenerate(b'B') {
        let bytes = share.clone();
        let mut lab = Lab::new(100).with_adversary(move |mut message| {
            if let Some(ToDevice::ShareB(mut said)) = message.to_device() {
                said.share.clone_from(&bytes);
                message.frame = ToDevice::ShareB(said).encode();
            }
            vec![message]
        });
        let line = lab.connect(0, 0);
        lab.join_by_code(line);
        lab.run();
        assert_eq!(lab.devices[0].ended, Some(Abort::BadShare), "{share:?}");
        assert_nobody_asks(&lab);
    }
}

/// Parts of the code in the clear (croc: it named the room).
#[test]
fn croc_cve_2023_43617_no_message_holds_a_part_of_the_code() {
    let lab = Lab::new(101);
    let code = lab.hosts[0].entrance.window.code(lab.now).unwrap().reveal();
    let tape = recorded(101, Carrier::Quic, Way::Code);
    for part in code.split('-') {
        for message in &tape {
            assert!(!message.frame.windows(part.len()).any(|window| window == part.as_bytes()));
        }
    }
}

/// The initiator's own numbers come back (Bluetooth passkey entry).
#[test]
fn bluetooth_cve_2020_26558_a_reflected_side_does_not_authenticate() {
    // The device hears itself at every message it can be made to hear.
    let mut lab = Lab::new(102).with_adversary(|message| {
        let back = match message.to_host() {
            Some(ToHost::ShareA(said)) => {
                let share = [b"B", &said.share[1..]].concat();
                ToDevice::ShareB(crate::message::ShareB { share })
            }
            _ => return vec![message],
        };
        vec![InFlight { to: Side::Device, frame: back.encode(), ..message }]
    });
    let line = lab.connect(0, 0);
    lab.join_by_code(line);
    lab.run();
    assert_eq!(lab.devices[0].ended, Some(Abort::BadShare));
    assert_nobody_asks(&lab);
}

/// A role or a weaker procedure is chosen by the attacker (Bluetooth BIAS): one proof for both roles would do.
#[test]
fn bluetooth_cve_2020_10135_proofs_are_bound_to_role_and_version() {
    // The host's own proofs, sent back to it by a device in the same conversation.
    let own = keys(20);
    for carrier in CARRIERS {
        for deviation in [Deviation::Confirmation, Deviation::Proof] {
            assert!(forged_host(carrier, &own, own.public(), deviation).is_err());
        }
        use crate::proof::{Role, prove, verify};
        let transcript = crate::transcript::Transcript([7; 32]);
        let ephemeral = x25519_dalek::EphemeralSecret::random_from_rng(SeededRng::new(2));
        let public = x25519_dalek::PublicKey::from(&ephemeral).to_bytes();
        let peer = carrier.key_of(&own.public());
        let proof = prove(&own, &peer, &public, Role::Host, &transcript).unwrap();
        let as_device = verify(&proof, &own.public(), &peer, ephemeral, Role::Device, &transcript);
        assert_eq!(as_device, Err(Abort::BadProof));
    }
}

/// A credential in the QR code that lives on: ours is good for one pairing within two minutes, and opens nothing.
#[test]
fn ghsa_7h7g_x2px_94hj_what_the_qr_code_holds_is_worthless_afterwards() {
    let mut lab = Lab::new(103);
    let link = lab.hosts[0].entrance.window.link(lab.now).cloned().unwrap();
    let host = lab.hosts[0].keys().public().fingerprint();
    let line = lab.connect(0, 0);
    lab.join_by_link(line);
    lab.run();
    lab.approve(0, 0);
    lab.run();
    let thief = lab.add_device();
    // At once, after the window, and in the next window.
    for wait in [0, 200, 0] {
        lab.advance(std::time::Duration::from_secs(wait));
        let line = lab.connect(thief, 0);
        lab.join(line, Secret::Link(link.clone(), host));
        lab.run();
        assert!(lab.devices[thief].ended.is_some());
        lab.hosts[0].open(lab.now);
    }
    assert_eq!(lab.devices[thief].ended, Some(Abort::WrongSecret));
    assert_eq!(lab.hosts[0].entries.len(), 1);
    assert_eq!(lab.hosts[0].waiting().count(), 0);
}

/// An announcement steers to another host and brings its key along: the link alone says who the host is.
#[test]
fn cve_2026_26327_where_the_host_is_said_to_be_does_not_say_who_it_is() {
    let mut lab = Lab::new(104);
    let other = lab.add_host();
    // It has even learnt the link's secret.
    let (link, meant) = (
        lab.hosts[0].entrance.window.link(lab.now).cloned().unwrap(),
        lab.hosts[0].keys().public().fingerprint(),
    );
    lab.hosts[other].entrance.window = crate::window::Window::open(lab.now, true, &mut SeededRng::new(3));
    let own = lab.hosts[other].keys().clone();
    let (near, _) = lab.connect_through(0, &own, 0);
    lab.join(near, Secret::Link(link, meant));
    let Some(ToHost::Hello(hello)) = lab.intercept()[0].to_host() else { panic!("no hello") };
    let offer = crate::message::Offer {
        version: 1,
        sid: crate::message::Sid([1; 16]),
        host: own.public(),
        ephemeral: hello.ephemeral,
        name: "workstation".to_owned(),
        commitment: [0; 32],
    };
    lab.post(near, Side::Device, vec![ToDevice::Offer(offer).encode()]);
    lab.run();
    assert_eq!(lab.devices[0].ended, Some(Abort::WrongHost));
}
