//! How large a picture would be once it is decoded, read from its header without decoding anything.
//!
//! A small file can say that it holds thousands of millions of pixels; a browser that decodes it takes four bytes for each,
//! and a phone's tab is ended. What the header says is believed by the decoders too: a picture that says less holds less.

/// Largest file that is fetched and decoded without being asked for.
pub const MAX_UNASKED_BYTES: u64 = 2 << 20;

/// Most pixels that are decoded without being asked for: what a good camera makes, 96 MB in memory.
pub const MAX_UNASKED_PIXELS: u64 = 24_000_000;

/// Whether a picture is decoded without being asked for. `first`: its first piece; `kind`: as
/// [`shown_as`](super::shown_as) tells; `total`: bytes of the whole file.
pub fn decodes_unasked(first: &[u8], kind: &str, total: u64) -> bool {
    total <= MAX_UNASKED_BYTES && pixels(first, kind).is_some_and(|pixels| pixels <= MAX_UNASKED_PIXELS)
}

/// Pixels of a picture, by its header. `None` where the header does not tell, is not there, or is of no known form.
pub fn pixels(first: &[u8], kind: &str) -> Option<u64> {
    let (width, height) = match kind {
        "image/png" => png(first)?,
        "image/gif" => gif(first)?,
        "image/jpeg" => jpeg(first)?,
        "image/webp" => webp(first)?,
        _ => return None,
    };
    (width > 0 && height > 0).then(|| u64::from(width) * u64::from(height))
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// Signature, then the chunk `IHDR` (PNG, section 11.2.2).
fn png(first: &[u8]) -> Option<(u32, u32)> {
    (bytes(first, 12)? == *b"IHDR").then_some(())?;
    Some((u32::from_be_bytes(bytes(first, 16)?), u32::from_be_bytes(bytes(first, 20)?)))
}

/// The logical screen, then an image at once or after extensions. Browsers make the screen as large as the first image
/// if that is larger, so both count (GIF89a, sections 18 and 20).
fn gif(first: &[u8]) -> Option<(u32, u32)> {
    let side = |at: usize| bytes(first, at).map(|two| u32::from(u16::from_le_bytes(two)));
    let screen = (side(6)?, side(8)?);
    let packed = *first.get(10)?;
    let table = if packed & 0x80 != 0 { 3 << ((packed & 7) + 1) } else { 0 };
    let mut at = 13 + table;
    loop {
        match *first.get(at)? {
            // An extension: its label, then blocks that say how long they are, up to an empty one.
            0x21 => {
                at += 2;
                while let length @ 1.. = usize::from(*first.get(at)?) {
                    at += 1 + length;
                }
                at += 1;
            }
            0x2c => {
                let right = side(at + 1)? + side(at + 5)?;
                let bottom = side(at + 3)? + side(at + 7)?;
                return Some((screen.0.max(right), screen.1.max(bottom)));
            }
            _ => return None,
        }
    }
}

/// Segments up to the one that begins a frame (ITU-T T.81, annex B).
fn jpeg(first: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        (*first.get(at)? == 0xff).then_some(())?;
        let marker = *first.get(at + 1)?;
        match marker {
            // Fill before a marker.
            0xff => at += 1,
            // Stand alone.
            0x01 | 0xd0..=0xd8 => at += 2,
            // A frame; those left out are tables and what is reserved.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let side = |at: usize| bytes(first, at).map(|two| u32::from(u16::from_be_bytes(two)));
                return Some((side(at + 7)?, side(at + 5)?));
            }
            // The end, or the picture itself before any frame.
            0xd9 | 0xda => return None,
            _ => {
                let length = usize::from(u16::from_be_bytes(bytes(first, at + 2)?));
                (length >= 2).then_some(())?;
                at += 2 + length;
            }
        }
    }
}

/// The first chunk of a RIFF file: lossy, lossless or extended (RFC 9649, sections 2.5–2.7; RFC 6386, section 9.1).
fn webp(first: &[u8]) -> Option<(u32, u32)> {
    match &bytes(first, 12)? {
        b"VP8 " => {
            (bytes(first, 23)? == [0x9d, 0x01, 0x2a]).then_some(())?;
            let side = |at: usize| bytes(first, at).map(|two| u32::from(u16::from_le_bytes(two) & 0x3fff));
            Some((side(26)?, side(28)?))
        }
        b"VP8L" => {
            (*first.get(20)? == 0x2f).then_some(())?;
            let packed = u32::from_le_bytes(bytes(first, 21)?);
            Some(((packed & 0x3fff) + 1, (packed >> 14 & 0x3fff) + 1))
        }
        b"VP8X" => {
            let side = |at: usize| {
                bytes(first, at).map(|[low, middle, high]| u32::from_le_bytes([low, middle, high, 0]) + 1)
            };
            Some((side(24)?, side(27)?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_UNASKED_BYTES, decodes_unasked, pixels};
    use proptest::prelude::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let (width, height) = (width.to_be_bytes(), height.to_be_bytes());
        [&b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"[..], &width, &height, &[8, 6, 0, 0, 0]].concat()
    }

    #[test]
    fn headers_tell_how_many_pixels_there_are() {
        let jpeg = [
            &b"\xff\xd8\xff\xe0\0\x04ab"[..],
            // Tables and fill before the frame.
            b"\xff\xc4\0\x03x\xff\xff\xc2\0\x11\x08\x01\x00\x02\x00\x03",
        ]
        .concat();
        let gif = b"GIF89a\x0a\0\x14\0\x80\0\0rgbRGB\x21\xf9\x04\0\0\0\0\0\x2c\0\0\0\0\x64\0\x05\0\0";
        let lossy = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x40\x01\xf0\x40";
        // 14 bits of width − 1, 14 of height − 1.
        let lossless =
            [&b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f"[..], &(319_u32 | 239 << 14).to_le_bytes()].concat();
        let extended = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x3f\x01\0\xef\0\0";
        for (first, kind, is) in [
            (&png(640, 480)[..], "image/png", Some(640 * 480)),
            (&jpeg, "image/jpeg", Some(512 * 256)),
            (gif, "image/gif", Some(100 * 20)),
            (lossy, "image/webp", Some(320 * 240)),
            (&lossless, "image/webp", Some(320 * 240)),
            (extended, "image/webp", Some(320 * 240)),
            (&png(0, 480), "image/png", None),
            (&png(1, 1)[..20], "image/png", None),
            (&jpeg[..jpeg.len() - 4], "image/jpeg", None),
            (b"\xff\xd8\xff\xda\0\x02", "image/jpeg", None),
            (b"\xff\xd8\xff\xe0\0\0\xff\xe0\0\0", "image/jpeg", None),
            (b"\0\0\0\x1cftypavif", "image/avif", None),
        ] {
            assert_eq!(pixels(first, kind), is, "{kind} {first:?}");
        }
    }

    #[test]
    fn what_is_large_or_does_not_say_waits_for_a_tap() {
        assert!(decodes_unasked(&png(6_000, 4_000), "image/png", 1_000));
        assert!(!decodes_unasked(&png(6_001, 4_000), "image/png", 1_000), "a bomb is small");
        assert!(!decodes_unasked(&png(u32::MAX, u32::MAX), "image/png", 1_000));
        assert!(!decodes_unasked(&png(64, 64), "image/png", MAX_UNASKED_BYTES + 1));
        assert!(!decodes_unasked(b"\0\0\0\x1cftypavif", "image/avif", 1_000), "it does not say");
        // A screen of one pixel, and an image of 65,535 by 65,535 on it.
        let bomb = b"GIF89a\x01\0\x01\0\0\0\0\x2c\0\0\0\0\xff\xff\xff\xff\0";
        assert!(!decodes_unasked(bomb, "image/gif", 1_000));
    }

    proptest! {
        #[test]
        fn any_bytes_end(rest in proptest::collection::vec(any::<u8>(), 0..300)) {
            for (start, kind) in [
                (&b"\x89PNG\r\n\x1a\n"[..], "image/png"),
                (b"\xff\xd8\xff", "image/jpeg"),
                (b"GIF89a", "image/gif"),
                (b"RIFF\0\0\0\0WEBPVP8", "image/webp"),
            ] {
                let _ = pixels(&[start, &rest].concat(), kind);
            }
        }
    }
}
