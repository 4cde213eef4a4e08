//! The link of the QR code: where the host is, who it is, and a one-time secret, all in the fragment.
//!
//! The fragment is `P` and RFC 4648 base32 without padding, in capitals: QR codes hold those at 5.5 bits a character. It
//! says: version, fingerprint, secret, addresses (4 or 6, the address, the port), four bytes of a SHA-256 over all that.

use std::net::{IpAddr, SocketAddr};

use data_encoding::BASE32_NOPAD;
use rand_core::CryptoRngCore;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::identity::Fingerprint;

/// Most addresses in a link: what keeps the QR code small enough for a terminal of 80 columns.
pub const MAX_LINK_ADDRESSES: usize = 6;

/// Longest link that is read. One of ours has below 400 bytes; the origin may be a long name.
const MAX_LINK_BYTES: usize = 1024;

const VERSION: u8 = 1;
/// Tells the fragment of a pairing from the page's own ones.
const MARK: &str = "P";
const CHECK_BYTES: usize = 4;

/// A one-time secret of 128 bits.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct LinkSecret(pub(crate) [u8; 16]);

impl LinkSecret {
    /// A fresh secret.
    pub fn generate(rng: &mut impl CryptoRngCore) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }
}

impl std::fmt::Debug for LinkSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkSecret(…)")
    }
}

/// Why a text is not a pairing link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Not `https://…#…`.
    #[error("this is not a pairing link: it starts with https:// and carries its content after #")]
    NotALink,
    /// Made by a newer or older version.
    #[error("the pairing link is of version {0}, which this program does not know: update it")]
    Version(u8),
    /// Cut or changed on its way.
    #[error("the pairing link is damaged: scan or copy it again, whole")]
    Damaged,
}

/// What the QR code says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairingLink {
    /// Hash of the host's public keys.
    pub host: Fingerprint,
    /// Works once.
    pub secret: LinkSecret,
    /// Where the host may be reached, likeliest first; at most [`MAX_LINK_ADDRESSES`]. Without scope ids, which mean
    /// something on one machine only.
    pub addresses: Vec<SocketAddr>,
}

impl PairingLink {
    /// The link; `origin` is where the page is served, such as `https://192.168.1.7:7717`, or `http://localhost:7717` for
    /// the owner's page. Secrets are in the fragment, which no browser sends anywhere. Addresses beyond [`MAX_LINK_ADDRESSES`] are left out.
    pub fn to_url(&self, origin: &str) -> String {
        let mut said = Zeroizing::new(vec![VERSION]);
        said.extend_from_slice(self.host.as_bytes());
        said.extend_from_slice(&self.secret.0);
        for address in self.addresses.iter().take(MAX_LINK_ADDRESSES) {
            match address.ip() {
                IpAddr::V4(ip) => {
                    said.push(4);
                    said.extend_from_slice(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    said.push(6);
                    said.extend_from_slice(&ip.octets());
                }
            }
            said.extend_from_slice(&address.port().to_be_bytes());
        }
        let check = check(&said);
        said.extend_from_slice(&check);
        format!("{}/#{MARK}{}", origin.trim_end_matches('/'), BASE32_NOPAD.encode(&said))
    }

    /// Reads a link to a page of `https`. That of an owner's page is for that page alone, which reads its fragment.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn parse(url: &str) -> Result<Self, LinkError> {
        let url = url.trim();
        let scheme = url.get(.."https://".len()).ok_or(LinkError::NotALink)?;
        if url.len() > MAX_LINK_BYTES || !scheme.eq_ignore_ascii_case("https://") {
            return Err(LinkError::NotALink);
        }
        let (_, fragment) = url.split_once('#').ok_or(LinkError::NotALink)?;
        Self::content(fragment)
    }

    /// Reads what stands behind the `#` of a page's own address, with the `#` or without, whatever origin the page has.
    ///
    /// # Errors
    /// See [`LinkError`]; [`LinkError::NotALink`] for a fragment that is something else, such as one of the page's own.
    pub fn from_fragment(fragment: &str) -> Result<Self, LinkError> {
        Self::content(fragment.strip_prefix('#').unwrap_or(fragment))
    }

    fn content(fragment: &str) -> Result<Self, LinkError> {
        if fragment.len() > MAX_LINK_BYTES {
            return Err(LinkError::NotALink);
        }
        let written = fragment.strip_prefix(MARK).ok_or(LinkError::NotALink)?;
        let said = BASE32_NOPAD.decode(written.as_bytes()).map_err(|_| LinkError::Damaged)?;
        let said = Zeroizing::new(said);
        // Another version may have another checksum, so its number is read first.
        match said.first() {
            Some(&VERSION) => Self::read(&said).ok_or(LinkError::Damaged),
            Some(other) => Err(LinkError::Version(*other)),
            None => Err(LinkError::Damaged),
        }
    }

    fn read(said: &[u8]) -> Option<Self> {
        let (said, found) = said.split_last_chunk::<CHECK_BYTES>()?;
        if check(said) != *found {
            return None;
        }
        let (host, rest) = said.get(1..)?.split_first_chunk::<32>()?;
        let (secret, mut rest) = rest.split_first_chunk::<16>()?;
        let mut addresses = Vec::new();
        while !rest.is_empty() {
            let (address, behind) = read_address(rest)?;
            addresses.push(address);
            rest = behind;
        }
        let few = addresses.len() <= MAX_LINK_ADDRESSES;
        few.then(|| Self { host: Fingerprint::from_bytes(*host), secret: LinkSecret(*secret), addresses })
    }
}

fn read_address(said: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let (ip, rest) = match said.split_first()? {
        (4, rest) => {
            let (octets, rest) = rest.split_first_chunk::<4>()?;
            (IpAddr::from(*octets), rest)
        }
        (6, rest) => {
            let (octets, rest) = rest.split_first_chunk::<16>()?;
            (IpAddr::from(*octets), rest)
        }
        _ => return None,
    };
    let (port, rest) = rest.split_first_chunk::<2>()?;
    Some((SocketAddr::new(ip, u16::from_be_bytes(*port)), rest))
}

/// Finds a link that was cut or changed on its way. Not a matter of security.
fn check(said: &[u8]) -> [u8; CHECK_BYTES] {
    let hash: [u8; 32] = Sha256::new_with_prefix(b"lanyard-link-v1").chain_update(said).finalize().into();
    [hash[0], hash[1], hash[2], hash[3]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRng;
    use proptest::prelude::*;

    const ORIGIN: &str = "https://192.168.1.7:7717";

    fn link(addresses: &[&str]) -> PairingLink {
        PairingLink {
            host: Fingerprint::from_bytes([9; 32]),
            secret: LinkSecret::generate(&mut SeededRng::new(5)),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn everything_is_in_the_fragment_and_fits_a_qr_code() {
        let link = link(&[
            "192.168.1.7:7717",
            "10.0.0.2:7717",
            "172.17.0.1:7717",
            "[fe80::1]:7717",
            "[2001:db8::1]:7717",
            "[fd00::1]:7717",
        ]);
        let url = link.to_url("https://192.168.1.7:7717/");
        let (page, fragment) = url.split_once('#').unwrap();
        assert_eq!(page, "https://192.168.1.7:7717/");
        assert!(
            fragment.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()),
            "{fragment}"
        );
        // QR version 10 at level L, 57 modules wide, holds 395 such characters.
        assert!(url.len() < 300, "{}", url.len());
        assert_eq!(PairingLink::parse(&url), Ok(link));
    }

    #[test]
    fn a_link_that_was_cut_or_changed_is_damaged() {
        let url = link(&["192.168.1.7:7717"]).to_url(ORIGIN);
        let start = url.find('#').unwrap() + 2;
        for end in start..url.len() {
            assert_eq!(PairingLink::parse(&url[..end]), Err(LinkError::Damaged), "cut at {end}");
        }
        // The first two characters say the version.
        for at in start + 2..url.len() {
            let mut changed = url.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(PairingLink::parse(&changed), Err(LinkError::Damaged), "changed at {at}");
        }
    }

    #[test]
    fn the_owners_page_reads_its_own_fragment_and_nobody_else_takes_the_link() {
        let link = link(&["127.0.0.1:7717"]);
        let url = link.to_url("http://localhost:7717");
        assert!(url.starts_with("http://localhost:7717/#P"), "{url}");
        let (_, fragment) = url.split_once('#').unwrap();
        assert_eq!(PairingLink::from_fragment(fragment), Ok(link.clone()));
        assert_eq!(PairingLink::from_fragment(&format!("#{fragment}")), Ok(link));
        assert_eq!(PairingLink::parse(&url), Err(LinkError::NotALink));
        let twice = format!("https://localhost:7717/##{fragment}");
        assert_eq!(PairingLink::parse(&twice), Err(LinkError::NotALink), "one spelling");
        for other in ["", "#", "/sessions", "#/sessions", "##PAE", "p"] {
            assert_eq!(PairingLink::from_fragment(other), Err(LinkError::NotALink), "{other}");
        }
        let long = format!("P{}", "A".repeat(MAX_LINK_BYTES));
        assert_eq!(PairingLink::from_fragment(&long), Err(LinkError::NotALink));
    }

    #[test]
    fn another_version_is_named_and_anything_else_is_no_link() {
        let other = BASE32_NOPAD.encode(&[2, 0, 0, 0, 0]);
        assert_eq!(PairingLink::parse(&format!("{ORIGIN}/#P{other}")), Err(LinkError::Version(2)));
        for text in
            ["", "https://", "http://h/#PAE", "https://h/?PAE", "https://h/#/sessions", "héé", "K7QX-92MD"]
        {
            assert_eq!(PairingLink::parse(text), Err(LinkError::NotALink), "{text}");
        }
        let long = format!("https://{}/#P", "h".repeat(MAX_LINK_BYTES));
        assert_eq!(PairingLink::parse(&long), Err(LinkError::NotALink));
    }

    #[test]
    fn more_addresses_than_fit_are_left_out() {
        let mut many = link(&["192.168.1.7:7717"; MAX_LINK_ADDRESSES + 1]);
        let read = PairingLink::parse(&many.to_url(ORIGIN)).unwrap();
        many.addresses.truncate(MAX_LINK_ADDRESSES);
        assert_eq!(read, many);
    }

    #[test]
    fn debug_shows_no_secret() {
        let link = link(&[]);
        assert!(format!("{link:?}").contains("LinkSecret(…)"));
        assert!(!format!("{link:?}").contains(&format!("{:?}", link.secret.0)));
    }

    proptest! {
        #[test]
        fn a_link_reads_back(
            host: [u8; 32],
            secret: [u8; 16],
            v4 in proptest::collection::vec(any::<([u8; 4], u16)>(), 0..4),
            v6 in proptest::collection::vec(any::<([u8; 16], u16)>(), 0..3),
        ) {
            let v4 = v4.into_iter().map(|(ip, port)| SocketAddr::new(ip.into(), port));
            let v6 = v6.into_iter().map(|(ip, port)| SocketAddr::new(ip.into(), port));
            let link = PairingLink {
                host: Fingerprint::from_bytes(host),
                secret: LinkSecret(secret),
                addresses: v4.chain(v6).collect(),
            };
            prop_assert_eq!(PairingLink::parse(&link.to_url(ORIGIN)), Ok(link));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = PairingLink::parse(&text);
            let _ = PairingLink::parse(&format!("{ORIGIN}/#{text}"));
            let mut said = vec![VERSION];
            said.extend(bytes);
            let check = check(&said);
            said.extend(check);
            let url = format!("{ORIGIN}/#P{}", BASE32_NOPAD.encode(&said));
            if let Ok(link) = PairingLink::parse(&url) {
                prop_assert_eq!(link.to_url(ORIGIN), url);
            }
        }
    }
}
