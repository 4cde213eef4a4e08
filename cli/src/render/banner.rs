//! Letters and digits large enough to be read across a room: pairing codes and the digits to compare.

/// Rows of a letter.
const ROWS: usize = 5;

/// Columns of a letter; the lowest bits of each row of a glyph.
const COLUMNS: usize = 5;

/// Rows of a character, top first, five bits each. The alphabet of pairing codes (Crockford's base32) and a dash.
#[rustfmt::skip]
fn glyph(c: char) -> Option<[u8; ROWS]> {
    Some(match c {
        '0' => [0b01110, 0b10011, 0b10101, 0b11001, 0b01110],
        '1' => [0b00100, 0b01100, 0b00100, 0b00100, 0b01110],
        '2' => [0b11110, 0b00001, 0b01110, 0b10000, 0b11111],
        '3' => [0b11110, 0b00001, 0b01110, 0b00001, 0b11110],
        '4' => [0b10010, 0b10010, 0b11111, 0b00010, 0b00010],
        '5' => [0b11111, 0b10000, 0b11110, 0b00001, 0b11110],
        '6' => [0b01110, 0b10000, 0b11110, 0b10001, 0b01110],
        '7' => [0b11111, 0b00001, 0b00010, 0b00100, 0b00100],
        '8' => [0b01110, 0b10001, 0b01110, 0b10001, 0b01110],
        '9' => [0b01110, 0b10001, 0b01111, 0b00001, 0b01110],
        'A' => [0b01110, 0b10001, 0b11111, 0b10001, 0b10001],
        'B' => [0b11110, 0b10001, 0b11110, 0b10001, 0b11110],
        'C' => [0b01111, 0b10000, 0b10000, 0b10000, 0b01111],
        'D' => [0b11110, 0b10001, 0b10001, 0b10001, 0b11110],
        'E' => [0b11111, 0b10000, 0b11110, 0b10000, 0b11111],
        'F' => [0b11111, 0b10000, 0b11110, 0b10000, 0b10000],
        'G' => [0b01111, 0b10000, 0b10011, 0b10001, 0b01111],
        'H' => [0b10001, 0b10001, 0b11111, 0b10001, 0b10001],
        'J' => [0b00111, 0b00010, 0b00010, 0b10010, 0b01100],
        'K' => [0b10001, 0b10010, 0b11100, 0b10010, 0b10001],
        'M' => [0b10001, 0b11011, 0b10101, 0b10001, 0b10001],
        'N' => [0b10001, 0b11001, 0b10101, 0b10011, 0b10001],
        'P' => [0b11110, 0b10001, 0b11110, 0b10000, 0b10000],
        'Q' => [0b01110, 0b10001, 0b10101, 0b10010, 0b01101],
        'R' => [0b11110, 0b10001, 0b11110, 0b10010, 0b10001],
        'S' => [0b01111, 0b10000, 0b01110, 0b00001, 0b11110],
        'T' => [0b11111, 0b00100, 0b00100, 0b00100, 0b00100],
        'V' => [0b10001, 0b10001, 0b01010, 0b01010, 0b00100],
        'W' => [0b10001, 0b10001, 0b10101, 0b11011, 0b10001],
        'X' => [0b10001, 0b01010, 0b00100, 0b01010, 0b10001],
        'Y' => [0b10001, 0b01010, 0b00100, 0b00100, 0b00100],
        'Z' => [0b11111, 0b00010, 0b00100, 0b01000, 0b11111],
        '-' => [0b00000, 0b00000, 0b01110, 0b00000, 0b00000],
        ' ' => [0; ROWS],
        _ => return None,
    })
}

/// The text in large letters, indented by two; spaced out in one line where it holds other characters or does not fit
/// into `width` columns.
pub(crate) fn banner(text: &str, width: Option<usize>) -> String {
    let plain = || format!("  {}\n", text.chars().map(String::from).collect::<Vec<_>>().join(" "));
    let Some(glyphs) = text.chars().map(glyph).collect::<Option<Vec<_>>>() else { return plain() };
    if width.is_some_and(|width| 2 + glyphs.len() * (COLUMNS + 2) > width) {
        return plain();
    }
    let mut shown = String::new();
    for row in 0..ROWS {
        let mut line = String::new();
        for glyph in &glyphs {
            let bits = glyph.get(row).copied().unwrap_or_default();
            line.push_str("  ");
            line.extend((0..COLUMNS).rev().map(|bit| if bits >> bit & 1 == 1 { '█' } else { ' ' }));
        }
        shown.push_str(line.trim_end());
        shown.push('\n');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{banner, glyph};

    #[test]
    fn large_letters() {
        let expected = "  █   █  █████
  █  █       █
  ███       █
  █  █     █
  █   █    █
";
        assert_eq!(banner("K7", None), expected);
        assert_eq!(banner("K7", Some(10)), "  K 7\n", "no room");
        assert_eq!(banner("k!", None), "  k !\n", "not in the alphabet");
    }

    #[test]
    fn no_two_letters_look_alike() {
        let alphabet: Vec<char> = "0123456789ABCDEFGHJKMNPQRSTVWXYZ-".chars().collect();
        for (at, one) in alphabet.iter().enumerate() {
            let this = glyph(*one).unwrap();
            for other in &alphabet[at + 1..] {
                let that = glyph(*other).unwrap();
                let differ: u32 = this.iter().zip(that).map(|(a, b)| (a ^ b).count_ones()).sum();
                assert!(differ >= 2, "{one} and {other}");
            }
        }
    }
}
