//! How a device that lost its connection while it waited shows that it is the same one.

use crate::channel::Channel;
use crate::identity::PublicIdentity;
use crate::message::{Sid, ToHost};
use crate::transcript::{self, equal};

/// Good in one channel only: bound to it, and to the keys the device has paired with.
pub(crate) fn mac(key: &[u8; 32], sid: &Sid, channel: &Channel, device: &PublicIdentity) -> [u8; 32] {
    let parts: [&[u8]; 4] = [&sid.0, &channel.binding, &device.signing, &device.agreement];
    transcript::mac(key, b"lanyard-pair resume", &parts)
}

/// That the grant is written down.
pub(crate) fn acknowledgement(key: &[u8; 32], sid: &Sid) -> [u8; 32] {
    transcript::mac(key, b"lanyard-pair ack", &[&sid.0])
}

/// Whether a message on a new channel comes from this device, for this sid, in a channel that proves the device's key.
pub(crate) fn is_from(
    key: &[u8; 32],
    sid: &Sid,
    device: &PublicIdentity,
    message: &ToHost,
    channel: &Channel,
) -> bool {
    let ToHost::Resume(resume) = message else { return false };
    resume.sid == *sid
        && channel.peer.belongs_to(device)
        && equal(&mac(key, sid, channel, device), &resume.mac)
}
