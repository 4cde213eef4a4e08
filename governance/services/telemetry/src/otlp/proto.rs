//! As much of protobuf as OTLP needs: varints, 64-bit numbers, and fields with a length.

/// A message being written.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH: u64 = 2;

impl Message {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn raw(&mut self, mut value: u64) {
        while value >= 0x80 {
            // The low seven bits, and that more follow.
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push((value & 0x7f) as u8);
    }

    fn tag(&mut self, field: u32, wire: u64) {
        self.raw(u64::from(field) << 3 | wire);
    }

    /// A number.
    pub(super) fn varint(&mut self, field: u32, value: u64) {
        self.tag(field, VARINT);
        self.raw(value);
    }

    /// A signed number, not zig-zag: `int64`.
    pub(super) fn int64(&mut self, field: u32, value: i64) {
        self.varint(field, value.cast_unsigned());
    }

    /// `fixed64`.
    pub(super) fn fixed64(&mut self, field: u32, value: u64) {
        self.tag(field, FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// `bytes`, `string`.
    pub(super) fn bytes(&mut self, field: u32, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        self.tag(field, LENGTH);
        self.raw(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// A message in the message.
    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        write(&mut inner);
        self.bytes(field, inner.0);
    }
}

/// One field as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// Varint or fixed.
    Number(u64),
    /// Bytes, string, message.
    Bytes(&'a [u8]),
}

#[cfg(test)]
impl<'a> Part<'a> {
    /// The bytes; for tests.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        match self {
            Part::Bytes(bytes) => bytes,
            Part::Number(number) => panic!("{number} is a number"),
        }
    }

    /// The number; for tests.
    pub(crate) fn number(&self) -> u64 {
        match self {
            Part::Number(number) => *number,
            Part::Bytes(bytes) => panic!("{bytes:?} is no number"),
        }
    }
}

/// Reads the fields of a message, in order. Absent where it is not protobuf.
pub(crate) fn read(mut bytes: &[u8]) -> Option<Vec<(u64, Part<'_>)>> {
    fn varint(bytes: &mut &[u8]) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = bytes.split_first()?;
            *bytes = rest;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
    fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        Some(taken)
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let field = match tag & 7 {
            0 => Part::Number(varint(&mut bytes)?),
            1 => Part::Number(u64::from_le_bytes(take(&mut bytes, 8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                Part::Bytes(take(&mut bytes, length)?)
            }
            5 => Part::Number(u64::from(u32::from_le_bytes(take(&mut bytes, 4)?.try_into().ok()?))),
            _ => return None,
        };
        fields.push((tag >> 3, field));
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_cut_is_not() {
        let mut message = Message::default();
        message.varint(1, 0);
        message.varint(2, 300);
        message.int64(3, -1);
        message.fixed64(4, u64::MAX - 1);
        message.bytes(16, "text");
        message.message(5, |inner| inner.varint(1, 7));
        let bytes = message.into_bytes();
        assert_eq!(bytes[..5], [0x08, 0, 0x10, 0xac, 0x02]);
        let fields = read(&bytes).unwrap();
        assert_eq!(
            fields,
            [
                (1, Part::Number(0)),
                (2, Part::Number(300)),
                (3, Part::Number(u64::MAX)),
                (4, Part::Number(u64::MAX - 1)),
                (16, Part::Bytes(b"text")),
                (5, Part::Bytes(&[8, 7])),
            ]
        );
        for length in 1..bytes.len() {
            // Cut between two fields it is a shorter message, else none; it never panics.
            assert!(read(&bytes[..length]).is_none_or(|cut| fields.starts_with(&cut)));
        }
        assert_eq!(read(&[0xff; 11]), None);
    }
}
