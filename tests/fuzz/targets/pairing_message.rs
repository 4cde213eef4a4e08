//! A frame of a pairing, as either side reads it. The first byte of the input says at which moment of a conversation it
//! arrives, the rest is the frame.
//!
//! What is understood is the same after it was written and read again, and nothing that a fuzzer can say makes a person
//! be asked or a device be paired: the right proofs are beyond it.
#![no_main]

use lanyard_pairing::lab::{Carrier, Lab, Side};
use lanyard_pairing::message::{MAX_MESSAGE_BYTES, ToDevice, ToHost};
use libfuzzer_sys::fuzz_target;

/// Messages up to the proofs of both sides.
const MOMENTS: u8 = 6;

fuzz_target!(|input: &[u8]| {
    let Some((moment, frame)) = input.split_first() else { return };
    let to_host = ToHost::decode(frame);
    let to_device = ToDevice::decode(frame);
    if let Ok(message) = &to_host {
        assert!(frame.len() <= MAX_MESSAGE_BYTES);
        assert_eq!(ToHost::decode(&message.encode()).as_ref(), Ok(message));
    }
    if let Ok(message) = &to_device {
        assert_eq!(ToDevice::decode(&message.encode()).as_ref(), Ok(message));
    }
    if to_host.is_ok() || to_device.is_ok() {
        play(*moment, frame);
    }
});

fn play(moment: u8, frame: &[u8]) {
    let carrier = if moment & 0x80 == 0 { Carrier::Quic } else { Carrier::Noise };
    let mut lab = Lab::new(1).over(carrier);
    let line = lab.connect(0, 0);
    if moment & 0x40 == 0 {
        lab.join_by_code(line);
    } else {
        lab.join_by_link(line);
    }
    for _ in 0..(moment & 0x3f) % MOMENTS {
        lab.step();
    }
    let awaited = lab.intercept();
    let Some(awaited) = awaited.first().filter(|awaited| awaited.frame != frame) else { return };
    lab.post(line, awaited.to, vec![frame.to_vec()]);
    lab.run();
    assert!(lab.hosts[0].entries.is_empty() && !lab.devices[0].is_paired());
    // In place of the host's last proof it reaches the device alone: the host has proofs enough.
    let host_asks = lab.hosts[0].waiting().next().is_some();
    assert!(awaited.to == Side::Device || !host_asks);
    assert!(lab.devices[0].pending.is_none());
}
