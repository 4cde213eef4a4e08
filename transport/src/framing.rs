//! Frames on a byte stream: four bytes of length, big-endian, then so many bytes.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes of the length before a frame.
const HEADER: usize = 4;

/// Memory set aside at a time while a frame arrives: an announcement alone costs its sender's victim no more than this.
const READ_STEP: usize = 16 * 1024;

/// Frames up to this length go out in one write with their header, so that they share a packet.
const COALESCED: usize = 16 * 1024;

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The announced length is over the cap. Nothing was read of it.
    #[error("a frame of {length} bytes was announced, at most {cap} are taken")]
    TooLong {
        /// Announced.
        length: usize,
        /// Allowed.
        cap: usize,
    },
    /// The stream broke, or ended in the middle of a frame.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What has arrived of a frame. Keeps it between calls, which makes reading cancel-safe.
#[derive(Debug, Default)]
pub struct FrameReader {
    header: [u8; HEADER],
    header_read: usize,
    body: Vec<u8>,
}

impl FrameReader {
    /// Whether some of a frame has arrived.
    #[cfg(test)]
    pub(crate) fn has_begun(&self) -> bool {
        self.header_read > 0
    }

    /// Reads one frame; `None` at the end of the stream. Cancel-safe: the next call goes on where this one stopped.
    /// Memory grows with what arrives, not with what was announced. After an error the stream is of no more use.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub async fn next(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        cap: usize,
    ) -> Result<Option<Vec<u8>>, FrameError> {
        while self.header_read < HEADER {
            match stream.read(&mut self.header[self.header_read..]).await? {
                0 if self.header_read == 0 => return Ok(None),
                0 => return Err(cut()),
                read => self.header_read += read,
            }
        }
        let length = usize::try_from(u32::from_be_bytes(self.header)).unwrap_or(usize::MAX);
        if length > cap {
            return Err(FrameError::TooLong { length, cap });
        }
        while self.body.len() < length {
            let missing = length - self.body.len();
            if self.body.len() == self.body.capacity() {
                self.body.reserve(missing.min(READ_STEP));
            }
            // Not a byte more than the frame has: the next one is none of this call's business.
            let mut rest = (&mut *stream).take(u64::try_from(missing).unwrap_or(u64::MAX));
            if rest.read_buf(&mut self.body).await? == 0 {
                return Err(cut());
            }
        }
        self.header_read = 0;
        Ok(Some(std::mem::take(&mut self.body)))
    }
}

/// Reads one frame; `None` at the end of the stream. Not cancel-safe (see [`FrameReader`]). Memory grows with what
/// arrives, not with what was announced.
///
/// # Errors
/// See [`FrameError`].
pub async fn read_frame(
    stream: &mut (impl AsyncRead + Unpin),
    cap: usize,
) -> Result<Option<Vec<u8>>, FrameError> {
    FrameReader::default().next(stream, cap).await
}

/// Writes one frame. Not cancel-safe.
///
/// # Errors
/// The stream is gone, or the frame is over 4 GiB.
pub async fn write_frame(stream: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a frame has less than 4 GiB"))?;
    if frame.len() <= COALESCED {
        let mut whole = Vec::with_capacity(HEADER + frame.len());
        whole.extend_from_slice(&length.to_be_bytes());
        whole.extend_from_slice(frame);
        return stream.write_all(&whole).await;
    }
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(frame).await
}

fn cut() -> FrameError {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the stream ended in the middle of a frame").into()
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use proptest::prelude::*;
    use tokio::io::ReadBuf;

    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn framed(bytes: &[u8]) -> Vec<u8> {
        let mut stream = Vec::new();
        run(write_frame(&mut stream, bytes)).unwrap();
        stream
    }

    #[test]
    fn takes_a_frame_at_the_cap_and_none_beyond() {
        let stream = framed(&[7; 100]);
        assert_eq!(run(read_frame(&mut &stream[..], 100)).unwrap().unwrap(), [7; 100]);
        let error = run(read_frame(&mut &stream[..], 99)).unwrap_err();
        assert!(matches!(error, FrameError::TooLong { length: 100, cap: 99 }), "{error}");
    }

    #[test]
    fn ends_between_frames_and_fails_within_one() {
        let mut stream = &framed(b"")[..];
        assert_eq!(run(read_frame(&mut stream, 9)).unwrap().unwrap(), b"");
        assert!(run(read_frame(&mut stream, 9)).unwrap().is_none());
        let whole = framed(b"frame");
        for cut in 1..whole.len() {
            let error = run(read_frame(&mut &whole[..cut], 9)).unwrap_err();
            let FrameError::Io(error) = error else { panic!("{error}") };
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn an_announcement_reserves_no_memory() {
        // 4 GiB are announced and allowed, three bytes come.
        let mut reader = FrameReader::default();
        let mut stream = &b"\xff\xff\xff\xffabc"[..];
        assert!(run(reader.next(&mut stream, usize::MAX)).is_err());
        assert!(reader.body.capacity() <= READ_STEP, "{} bytes are held", reader.body.capacity());
    }

    /// Gives one byte, then lets its reader wait once, and so on.
    struct Dripping<'a>(&'a [u8], bool);

    impl AsyncRead for Dripping<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.1 = !self.1;
            if self.1 {
                return Poll::Pending;
            }
            if let Some((first, rest)) = self.0.split_first() {
                buffer.put_slice(&[*first]);
                self.0 = rest;
            }
            Poll::Ready(Ok(()))
        }
    }

    proptest! {
        #[test]
        fn a_cancelled_read_loses_nothing(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..5)) {
            let bytes: Vec<u8> = frames.iter().flat_map(|frame| framed(frame)).collect();
            let mut stream = Dripping(&bytes, false);
            let mut reader = FrameReader::default();
            let mut read = Vec::new();
            // Every future is dropped after its first poll.
            for _ in 0..=2 * bytes.len() + 2 {
                let once = std::pin::pin!(reader.next(&mut stream, 40));
                if let Poll::Ready(frame) = once.poll(&mut Context::from_waker(std::task::Waker::noop())) {
                    read.extend(frame.unwrap());
                }
            }
            prop_assert_eq!(read, frames);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut stream = &bytes[..];
            while let Ok(Some(frame)) = run(read_frame(&mut stream, 64)) {
                prop_assert!(frame.len() <= 64);
            }
        }
    }
}
