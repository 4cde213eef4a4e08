//! Shares that no honest peer sends.

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::CompressedEdwardsY;

use super::*;
use crate::message::Sid;
use crate::proof::Role;
use crate::spake::{Exchange, Shared, Terms};

/// With the side byte that is expected where only the point is at fault.
pub(super) fn degenerate(side: u8) -> Vec<Vec<u8>> {
    let with = |side: u8, point: [u8; 32]| [&[side], &point[..]].concat();
    let good = ED25519_BASEPOINT_POINT.compress().to_bytes();
    // The identity and the other points of small order, and a good point moved by each.
    let mut shares: Vec<_> = EIGHT_TORSION
        .iter()
        .flat_map(|torsion| [*torsion, ED25519_BASEPOINT_POINT + torsion])
        .skip(2)
        .chain([EIGHT_TORSION[0]])
        .map(|point| with(side, point.compress().to_bytes()))
        .collect();
    // y = p + 1 is y = 1 written in another way; so is the identity with its sign set.
    let mut beyond = [0xff; 32];
    (beyond[0], beyond[31]) = (0xee, 0x7f);
    let mut signed = [0; 32];
    (signed[0], signed[31]) = (1, 0x80);
    shares.extend([beyond, signed].map(|point| with(side, point)));
    // Not on the curve.
    let off = (2..).map(|y| [y; 32]).find(|bytes| CompressedEdwardsY(*bytes).decompress().is_none());
    shares.extend(off.map(|point| with(side, point)));
    // Side and length.
    let other = if side == b'A' { b'B' } else { b'A' };
    shares.extend([other, b'S', 0].map(|side| with(side, good)));
    let whole = with(side, good);
    shares.extend([
        Vec::new(),
        vec![side],
        whole[..32].to_vec(),
        [&whole[..], &[0]].concat(),
        vec![side; 4000],
    ]);
    shares
}

fn exchange(role: Role, code: &str, sid: u8) -> Exchange {
    exchange_in(role, code, sid, 1)
}

fn exchange_in(role: Role, code: &str, sid: u8, binding: u8) -> Exchange {
    let (device, host) = (super::forger::keys(1).public(), super::forger::keys(2).public());
    let shared = Shared::Code(PairingCode::parse(code).unwrap());
    let terms =
        Terms { version: 1, binding: &[binding; 32], sid: &Sid([sid; 16]), device: &device, host: &host };
    Exchange::start(role, &shared, &terms, &mut SeededRng::new(role.word().len() as u64))
}

#[test]
fn both_sides_get_one_key_if_they_share_everything() {
    let key = |code, sid, binding| {
        let (device, host) =
            (exchange(Role::Device, "K7QX92MD", 1), exchange_in(Role::Host, code, sid, binding));
        let (a, b) = (device.share().to_vec(), host.share().to_vec());
        (device.finish(&b).unwrap(), host.finish(&a).unwrap())
    };
    let (device, host) = key("K7QX92MD", 1, 1);
    assert_eq!(device, host);
    // The code, the attempt, the channel: each is part of the password by itself.
    for (code, sid, binding) in [("K7QX92ME", 1, 1), ("K7QX92MD", 2, 1), ("K7QX92MD", 1, 2)] {
        let (device, host) = key(code, sid, binding);
        assert_ne!(device, host);
    }
}

#[test]
fn degenerate_shares_are_refused_by_both_roles() {
    for (role, theirs) in [(Role::Device, b'B'), (Role::Host, b'A')] {
        for share in degenerate(theirs) {
            let refused = exchange(role, "K7QX92MD", 1).finish(&share);
            assert_eq!(refused.err(), Some(Abort::BadShare), "{share:?}");
        }
        // The same point with the right side is taken, so it is the fault that is refused.
        let good = [&[theirs], &ED25519_BASEPOINT_POINT.compress().to_bytes()[..]].concat();
        assert!(exchange(role, "K7QX92MD", 1).finish(&good).is_ok());
        let own = exchange(role, "K7QX92MD", 1);
        let reflected = [&[theirs], &own.share()[1..]].concat();
        assert_eq!(own.finish(&reflected).err(), Some(Abort::BadShare));
    }
}
