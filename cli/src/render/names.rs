//! Short forms of what is too long to be read: ids of devices, addresses with the number of an interface.

use std::net::SocketAddrV6;

use lanyard_pairing::Fingerprint;

use super::visible::line;

/// Who did something: `owner` as it is, a paired device by the first group of its id, which `lanyard devices` shows
/// too. Ids are as long as the hash of a key.
pub(crate) fn who(principal: &str) -> String {
    match principal.parse::<Fingerprint>() {
        Ok(device) => format!("device {}", device.short()),
        Err(_) => line(principal).into_owned(),
    }
}

/// An address of a host for people. A link-local one comes with the number the interface has on that host
/// (RFC 4007 §6), which means nothing anywhere else.
pub(crate) fn address(text: &str) -> String {
    match text.parse::<SocketAddrV6>() {
        Ok(mut address) => {
            address.set_scope_id(0);
            address.to_string()
        }
        Err(_) => line(text).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{address, who};
    use crate::known::samples::identity;

    #[test]
    fn a_device_is_named_by_the_first_group_of_its_id() {
        let device = identity(3).fingerprint();
        assert_eq!(who(&device.to_string()), format!("device {}", device.short()));
        assert_eq!(who("owner"), "owner");
        assert_eq!(who("\u{1b}"), "\u{27e6}U+001B\u{27e7}");
    }

    #[test]
    fn an_address_is_shown_without_the_interface_of_another_machine() {
        assert_eq!(address("[fe80::1%2]:7717"), "[fe80::1]:7717");
        assert_eq!(address("[fd00::7]:7717"), "[fd00::7]:7717");
        assert_eq!(address("192.168.1.7:7717"), "192.168.1.7:7717");
        assert_eq!(address("\u{1b}"), "\u{27e6}U+001B\u{27e7}");
    }
}
