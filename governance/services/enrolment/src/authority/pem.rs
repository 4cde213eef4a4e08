//! PEM, as far as it is needed (RFC 7468).

use data_encoding::BASE64;

/// Letters in a line.
const LINE: usize = 64;

/// Bytes as PEM.
pub(super) fn encode(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let letters = BASE64.encode(der);
    let mut rest = letters.as_str();
    while !rest.is_empty() {
        // Base64 is ASCII.
        let (line, further) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = further;
    }
    text + &format!("-----END {label}-----\n")
}

/// The first section with this label.
pub(super) fn decode(label: &str, text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (letters, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let letters: String = letters.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    BASE64.decode(letters.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_out_comes_in_and_nonsense_does_not() {
        for length in [0, 1, 47, 48, 49, 500] {
            let bytes: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let text = encode("CERTIFICATE", &bytes);
            assert!(text.lines().all(|line| line.len() <= LINE));
            assert_eq!(decode("CERTIFICATE", &format!("before\n{text}after")), Some(bytes));
            assert_eq!(decode("PRIVATE KEY", &text), None);
        }
        for text in [
            "",
            "-----BEGIN A-----",
            "-----BEGIN A-----\n%%\n-----END A-----",
            "-----END A----------BEGIN A-----",
        ] {
            assert_eq!(decode("A", text), None, "{text}");
        }
    }
}
