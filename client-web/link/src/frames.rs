//! Frames on a stream that arrives in pieces: four bytes of length, big-endian, then so many bytes. The same as
//! `lanyard-transport` has on QUIC, without IO.

/// Bytes of the length before a frame.
pub(crate) const HEADER: usize = 4;

/// Memory set aside for a frame that was announced; beyond it memory grows with what arrives.
const AHEAD: usize = 64 * 1024;

/// The peer announced a frame longer than any it may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// What has arrived of the next frame.
#[derive(Debug)]
pub(crate) struct Frames {
    cap: usize,
    header: [u8; HEADER],
    header_read: usize,
    body: Vec<u8>,
}

impl Frames {
    /// For frames of at most `cap` bytes.
    pub(crate) fn up_to(cap: usize) -> Self {
        Self { cap, header: [0; HEADER], header_read: 0, body: Vec::new() }
    }

    /// Whether a frame has begun and is not whole.
    pub(crate) fn is_within(&self) -> bool {
        self.header_read > 0
    }

    /// Takes bytes off the front of `bytes` until a frame is whole; `None` when all were taken before.
    ///
    /// # Errors
    /// [`TooLong`]; the stream is of no more use.
    pub(crate) fn take(&mut self, bytes: &mut &[u8]) -> Result<Option<Vec<u8>>, TooLong> {
        while self.header_read < HEADER {
            let Some((byte, rest)) = bytes.split_first() else { return Ok(None) };
            self.header[self.header_read] = *byte;
            self.header_read += 1;
            *bytes = rest;
        }
        let length = usize::try_from(u32::from_be_bytes(self.header)).map_err(|_| TooLong)?;
        if length > self.cap {
            return Err(TooLong);
        }
        if self.body.capacity() == 0 {
            self.body.reserve(length.min(AHEAD));
        }
        let (now, rest) = bytes.split_at((length - self.body.len()).min(bytes.len()));
        self.body.extend_from_slice(now);
        *bytes = rest;
        if self.body.len() < length {
            return Ok(None);
        }
        self.header_read = 0;
        Ok(Some(std::mem::take(&mut self.body)))
    }
}

/// A frame with its length before it. Callers send frames far below 4 GiB.
pub(crate) fn framed(frame: &[u8]) -> Vec<u8> {
    let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    let mut whole = Vec::with_capacity(HEADER + frame.len());
    whole.extend_from_slice(&length.to_be_bytes());
    whole.extend_from_slice(frame);
    whole
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(frames: &mut Frames, mut bytes: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut taken = Vec::new();
        while let Some(frame) = frames.take(&mut bytes)? {
            taken.push(frame);
        }
        Ok(taken)
    }

    #[test]
    fn a_frame_at_the_cap_is_taken_and_none_beyond_even_announced() {
        assert_eq!(all(&mut Frames::up_to(3), &framed(b"abc")), Ok(vec![b"abc".to_vec()]));
        assert_eq!(all(&mut Frames::up_to(2), &framed(b"abc")[..4]), Err(TooLong));
        let mut announced = Frames::up_to(usize::MAX);
        assert_eq!(all(&mut announced, b"\xff\xff\xff\xffabc"), Ok(vec![]));
        assert!(announced.body.capacity() <= AHEAD && announced.is_within());
    }

    proptest! {
        #[test]
        fn however_the_bytes_come_the_frames_are_the_same(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
            step in 1_usize..9,
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(|frame| framed(frame)).collect();
            let mut reader = Frames::up_to(40);
            let mut taken = Vec::new();
            for piece in bytes.chunks(step) {
                taken.extend(all(&mut reader, piece).unwrap());
            }
            prop_assert!(!reader.is_within());
            prop_assert_eq!(taken, frames);
        }
    }
}
