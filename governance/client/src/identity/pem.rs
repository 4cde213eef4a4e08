//! PEM, as far as it is needed: certificates in, requests and certificates out.

use data_encoding::BASE64;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Letters in a line (RFC 7468 §2).
const LINE: usize = 64;

/// Most certificates in one chain: a root that is being replaced, and its successor, with room.
const MAX_CERTIFICATES: usize = 8;

/// Bytes as PEM. Not for secrets: copies are left behind.
pub(crate) fn encode(der: &[u8], label: &str) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let letters = BASE64.encode(der);
    let mut rest = letters.as_str();
    while !rest.is_empty() {
        let (line, further) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = further;
    }
    text + &format!("-----END {label}-----\n")
}

/// The certificates in a text, at least one.
///
/// # Errors
/// In words: none, too many, or not PEM.
pub(crate) fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        if found.len() == MAX_CERTIFICATES {
            return Err(format!("more than {MAX_CERTIFICATES} certificates"));
        }
        found.push(certificate.map_err(|error| format!("not PEM: {error}"))?);
    }
    if found.is_empty() { Err("no certificate".to_owned()) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_out_comes_in() {
        for length in [0, 1, 47, 48, 49, 96, 500] {
            let bytes: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let text = encode(&bytes, "CERTIFICATE");
            assert!(text.lines().all(|line| line.len() <= LINE), "{text}");
            assert_eq!(certificates(&text).unwrap()[0].as_ref(), bytes);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(certificates("").is_err());
        assert!(certificates("-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n").is_err());
        let many = encode(&[1, 2, 3], "CERTIFICATE").repeat(MAX_CERTIFICATES + 1);
        assert!(certificates(&many).unwrap_err().contains("more than"));
        assert_eq!(certificates(&many[..many.len() / 9 * 4]).unwrap().len(), 4);
    }
}
