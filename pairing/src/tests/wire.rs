//! Frames: whatever arrives, it is read or refused, and nothing of it pairs anybody.

use super::*;
use crate::device::About;
use crate::message::{Hello, MAX_MESSAGE_BYTES, ToDevice, ToHost};
use lanyard_protocol::principal::Scope;
use proptest::prelude::*;

#[test]
fn longer_frames_and_bytes_left_over_are_refused() {
    let mut frame = ToHost::Abort(Abort::Timeout).encode();
    assert_eq!(ToHost::decode(&frame), Ok(ToHost::Abort(Abort::Timeout)));
    frame.push(0);
    assert_eq!(ToHost::decode(&frame), Err(Abort::Malformed));
    assert_eq!(ToDevice::decode(&[]), Err(Abort::Malformed));
    assert_eq!(ToDevice::decode(&vec![3; MAX_MESSAGE_BYTES + 1]), Err(Abort::Malformed));
}

#[test]
fn every_reason_to_abort_keeps_its_number_and_has_its_word() {
    let words: std::collections::BTreeSet<_> = Abort::ALL.iter().map(|why| why.word()).collect();
    assert_eq!(words.len(), Abort::ALL.len());
    for (number, why) in (0..).zip(Abort::ALL) {
        let frame = ToHost::Abort(*why).encode();
        assert_eq!(frame, [6, number], "{why:?}");
        assert_eq!(ToHost::decode(&frame), Ok(ToHost::Abort(*why)));
    }
    assert_eq!(ToHost::decode(&[6, u8::try_from(Abort::ALL.len()).unwrap()]), Err(Abort::Malformed));
}

fn about(name: &str, scopes: &[Scope]) -> About {
    About { name: name.to_owned(), platform: "linux".to_owned(), scopes: scopes.to_vec() }
}

fn begins(about: &About) -> Result<ToHost, Abort> {
    let channel = Channel { binding: [0; 32], peer: ChannelKey::Signing([1; 32]) };
    let mut rng = SeededRng::new(91);
    let secret = Secret::Code(PairingCode::generate(&mut rng));
    let keys = IdentityKeys::generate(&mut rng);
    crate::device::start(&keys, about, secret, channel, &mut rng).map(|(_, hello)| hello)
}

#[test]
fn names_that_hide_or_mislead_and_rights_without_sight_are_refused() {
    let observe = [Scope::Observe];
    let long = "x".repeat(65);
    let names = ["", "  ", "a\nb", "a\u{7f}", "a\u{202e}b", "a\u{200b}", "\u{1b}[31m", long.as_str()];
    for name in names {
        assert_eq!(begins(&about(name, &observe)), Err(Abort::BadRequest), "{name:?}");
    }
    for scopes in [&[][..], &[Scope::Operate, Scope::Admin]] {
        assert_eq!(begins(&about("Pixel", scopes)), Err(Abort::BadRequest), "{scopes:?}");
    }
    let mut platform = about("Pixel", &observe);
    platform.platform = long;
    assert_eq!(begins(&platform), Err(Abort::BadRequest));
    for name in ["Pixel 9", "Jürgens Büro", "电话", &"x".repeat(64)] {
        assert!(begins(&about(name, &observe)).is_ok(), "{name}");
    }
}

#[test]
fn rights_are_sorted_by_the_device_and_checked_by_the_host() {
    let asked = about("Pixel", &[Scope::Operate, Scope::Observe, Scope::Operate]);
    let Ok(ToHost::Hello(hello)) = begins(&asked) else { panic!("no hello") };
    assert_eq!(hello.scopes, [Scope::Observe, Scope::Operate]);
    type Change = fn(&mut Hello);
    let changes: [Change; 5] = [
        |hello| hello.scopes.reverse(),
        |hello| hello.scopes.insert(0, Scope::Observe),
        |hello| hello.scopes.clear(),
        |hello| hello.name = "a\u{202e}b".to_owned(),
        |hello| hello.platform = "\n".to_owned(),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut lab = Lab::new(92).with_adversary(move |mut message| {
            if let Some(ToHost::Hello(mut hello)) = message.to_host() {
                change(&mut hello);
                message.frame = ToHost::Hello(hello).encode();
            }
            vec![message]
        });
        let line = lab.connect(0, 0);
        lab.join_by_code(line);
        lab.run();
        assert_eq!(lab.devices[0].ended, Some(Abort::BadRequest), "{at}");
    }
}

#[test]
fn a_host_whose_name_misleads_is_refused() {
    let mut lab = Lab::new(93).with_adversary(|mut message| {
        if let Some(ToDevice::Offer(mut offer)) = message.to_device() {
            offer.name = "\u{202e}evil".to_owned();
            message.frame = ToDevice::Offer(offer).encode();
        }
        vec![message]
    });
    let line = lab.connect(0, 0);
    lab.join_by_code(line);
    lab.run();
    assert_eq!(lab.devices[0].ended, Some(Abort::Malformed));
}

proptest! {
    #[test]
    fn any_frame_is_read_or_refused(frame in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(message) = ToHost::decode(&frame) {
            prop_assert_eq!(ToHost::decode(&message.encode()), Ok(message));
        }
        if let Ok(message) = ToDevice::decode(&frame) {
            prop_assert_eq!(ToDevice::decode(&message.encode()), Ok(message));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if is_long() { 2_000 } else { 48 }))]

    /// A bit changed anywhere in any message before a person is asked: nobody is asked.
    #[test]
    fn no_changed_bit_leads_to_a_question(
        seed in 0_u64..50,
        place: usize,
        bit in 0_u8..8,
        at in 0_usize..6,
        way in 0..WAYS.len(),
    ) {
        let mut seen = 0;
        let mut lab = Lab::new(seed).with_adversary(move |mut message| {
            if seen == at {
                let place = place % message.frame.len();
                message.frame[place] ^= 1 << bit;
            }
            seen += 1;
            vec![message]
        });
        let line = lab.connect(0, 0);
        join(&mut lab, line, WAYS[way]);
        lab.run();
        // The host's last word may be lost on its way: then it waits for a device that does not.
        prop_assert!(lab.devices[0].pending.is_none());
        prop_assert!(at == 5 || lab.hosts[0].waiting().next().is_none());
        assert_nobody_paired(&lab);
    }

    /// Random frames in the middle of a conversation end it.
    #[test]
    fn no_random_frame_leads_on(
        frame in proptest::collection::vec(any::<u8>(), 0..200),
        steps in 0_usize..6,
    ) {
        let mut lab = Lab::new(94);
        let line = lab.connect(0, 0);
        lab.join_by_code(line);
        for _ in 0..steps {
            lab.step();
        }
        let awaited = lab.intercept();
        prop_assume!(awaited[0].frame != frame);
        lab.post(line, awaited[0].to, vec![frame]);
        lab.run();
        assert_nobody_asks(&lab);
    }
}
