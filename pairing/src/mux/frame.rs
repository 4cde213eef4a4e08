//! The frames in a message, as bytes. Integers are big-endian; no frame crosses the end of its message.
//!
//! ```text
//! 1 open    stream u32, class u8        4 reset   stream u32, code u32
//! 2 data    stream u32, length u16, …   5 credit  stream u32, bytes u32
//! 3 finish  stream u32                  6 slots   streams u32
//!                                       7 close   code u32
//! ```

use super::{Class, MAX_DATA_BYTES, MuxError, ResetCode, StreamId};

/// Bytes of a data frame without its data.
pub const DATA_HEADER: usize = 7;
/// Bytes of a finish frame.
pub const FINISH: usize = 5;
/// The longest frames that are not data, credit and reset.
pub const LONGEST_CONTROL: usize = 9;

/// One frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A new stream, the next of its opener's.
    Open {
        /// The stream.
        stream: StreamId,
        /// For both directions.
        class: Class,
    },
    /// 1 to [`MAX_DATA_BYTES`] bytes.
    Data {
        /// The stream.
        stream: StreamId,
        /// What it carries.
        bytes: &'a [u8],
    },
    /// The sender has written everything.
    Finish {
        /// The stream.
        stream: StreamId,
    },
    /// The stream ends at once, in both directions.
    Reset {
        /// The stream.
        stream: StreamId,
        /// Why.
        code: ResetCode,
    },
    /// The receiver may send more bytes.
    Credit {
        /// The stream.
        stream: StreamId,
        /// How many more; not none.
        bytes: u32,
    },
    /// The receiver may open more streams.
    Slots {
        /// How many more; not none.
        streams: u32,
    },
    /// The connection ends; whatever follows is not looked at.
    Close {
        /// Why; the meaning is the application's.
        code: u32,
    },
}

impl<'a> Frame<'a> {
    /// Takes the first frame off a message.
    ///
    /// # Errors
    /// When it is not one.
    pub fn take(rest: &mut &'a [u8]) -> Result<Self, MuxError> {
        let kind = byte(rest)?;
        let frame = match kind {
            1 => Frame::Open { stream: stream(rest)?, class: class(byte(rest)?)? },
            2 => {
                let stream = stream(rest)?;
                let length = usize::from(u16::from_be_bytes(*chunk(rest)?));
                if length == 0 || length > MAX_DATA_BYTES {
                    return Err(MuxError::DataLength(length));
                }
                let (bytes, after) = rest.split_at_checked(length).ok_or(MuxError::Truncated)?;
                *rest = after;
                Frame::Data { stream, bytes }
            }
            3 => Frame::Finish { stream: stream(rest)? },
            4 => Frame::Reset { stream: stream(rest)?, code: ResetCode(number(rest)?) },
            5 => Frame::Credit { stream: stream(rest)?, bytes: some(number(rest)?)? },
            6 => Frame::Slots { streams: some(number(rest)?)? },
            7 => Frame::Close { code: number(rest)? },
            kind => return Err(MuxError::Kind(kind)),
        };
        Ok(frame)
    }

    /// The code of a message that is one [`Frame::Close`] and nothing else, as [`Mux::close`](super::Mux::close) makes it:
    /// for those who let what came before be read first.
    pub fn only_close(message: &[u8]) -> Option<u32> {
        let mut rest = message;
        match Frame::take(&mut rest) {
            Ok(Frame::Close { code }) if rest.is_empty() => Some(code),
            _ => None,
        }
    }

    /// Appends the frame to a message.
    pub fn put(&self, message: &mut Vec<u8>) {
        let mut head = |kind: u8, stream: StreamId| {
            message.push(kind);
            message.extend_from_slice(&stream.0.to_be_bytes());
        };
        match *self {
            Frame::Open { stream, class } => {
                head(1, stream);
                message.push(match class {
                    Class::Interactive => 0,
                    Class::Bulk => 1,
                });
            }
            Frame::Data { stream, bytes } => {
                // Callers cut at the bound, which fits 16 bits.
                let bytes = &bytes[..bytes.len().min(MAX_DATA_BYTES)];
                head(2, stream);
                message.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
                message.extend_from_slice(bytes);
            }
            Frame::Finish { stream } => head(3, stream),
            Frame::Reset { stream, code } => {
                head(4, stream);
                message.extend_from_slice(&code.0.to_be_bytes());
            }
            Frame::Credit { stream, bytes } => {
                head(5, stream);
                message.extend_from_slice(&bytes.to_be_bytes());
            }
            Frame::Slots { streams } => {
                message.push(6);
                message.extend_from_slice(&streams.to_be_bytes());
            }
            Frame::Close { code } => {
                message.push(7);
                message.extend_from_slice(&code.to_be_bytes());
            }
        }
    }
}

fn chunk<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], MuxError> {
    let (chunk, after) = rest.split_first_chunk().ok_or(MuxError::Truncated)?;
    *rest = after;
    Ok(chunk)
}

fn byte(rest: &mut &[u8]) -> Result<u8, MuxError> {
    chunk::<1>(rest).map(|[byte]| *byte)
}

fn number(rest: &mut &[u8]) -> Result<u32, MuxError> {
    Ok(u32::from_be_bytes(*chunk(rest)?))
}

fn stream(rest: &mut &[u8]) -> Result<StreamId, MuxError> {
    number(rest).map(StreamId)
}

fn class(byte: u8) -> Result<Class, MuxError> {
    match byte {
        0 => Ok(Class::Interactive),
        1 => Ok(Class::Bulk),
        _ => Err(MuxError::Value),
    }
}

/// A grant of nothing says nothing; who sends one is not one of us.
fn some(number: u32) -> Result<u32, MuxError> {
    if number == 0 { Err(MuxError::Value) } else { Ok(number) }
}
