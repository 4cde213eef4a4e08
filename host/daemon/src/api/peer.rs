//! A connected client, whatever it came through: an authenticated principal and framed streams.
//!
//! The local socket implements [`FrameSource`] and [`FrameSink`] here; connections of devices hand over the same pair for
//! each request ([`Streams`]), so that the API has one implementation.

use std::io;

use lanyard_protocol::limits::MAX_FRAME_BYTES;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// One frame, without its framing.
    Frame(Vec<u8>),
    /// A frame longer than the cap; it was skipped and the next one can be read.
    TooLong,
    /// The peer has closed its side.
    Closed,
}

/// Frames from a peer. Not cancel-safe: run it in a task of its own.
pub(crate) trait FrameSource: Send + 'static {
    /// The next frame.
    fn receive(&mut self) -> impl Future<Output = io::Result<Received>> + Send;
}

/// Frames to a peer. Not cancel-safe.
pub(crate) trait FrameSink: Send + 'static {
    /// Sends one frame; waits while the peer does not read.
    fn send(&mut self, frame: &[u8]) -> impl Future<Output = io::Result<()>> + Send;
    /// Hands everything sent so far to the system.
    fn flush(&mut self) -> impl Future<Output = io::Result<()>> + Send;
    /// Says that nothing more comes, and waits until the peer has what was sent where the transport can tell.
    fn finish(&mut self) -> impl Future<Output = io::Result<()>> + Send {
        self.flush()
    }
}

/// How urgent what goes out on a stream is; a higher one is never behind a lower one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// Files and kept outputs.
    Bulk,
    /// Events.
    Events,
    /// Answers.
    Control,
}

/// The sending half of one request's stream.
pub(crate) trait StreamSink: FrameSink {
    /// Sets how urgent it is.
    fn set_urgency(&mut self, urgency: Urgency);
    /// Resolves when the peer wants no more of this stream. Does not borrow the stream.
    fn stopped(&self) -> impl Future<Output = ()> + Send + 'static;
}

/// A peer that opens a stream for each request.
pub(crate) trait Streams: Send + 'static {
    /// How many it may have open at once.
    const STREAMS: u32;
    /// The request's side of a stream.
    type Source: FrameSource;
    /// The answer's side.
    type Sink: StreamSink;
    /// The next stream; `None` when the connection is gone. Cancel-safe.
    fn accept(&mut self) -> impl Future<Output = Option<(Self::Source, Self::Sink)>> + Send;
    /// Ends the connection because the peer does not read; it may come back.
    fn cut_slow(&self);
}

/// Newline-delimited frames of a byte stream. Empty lines are passed over.
#[derive(Debug)]
pub(crate) struct Lines<R>(BufReader<R>);

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Reads lines of a stream.
    pub(crate) fn new(stream: R) -> Self {
        Self(BufReader::with_capacity(16 * 1024, stream))
    }
}

impl<R: AsyncRead + Unpin + Send + 'static> FrameSource for Lines<R> {
    async fn receive(&mut self) -> io::Result<Received> {
        let mut line = Vec::new();
        let mut too_long = false;
        loop {
            let chunk = self.0.fill_buf().await?;
            if chunk.is_empty() {
                // A last line without its newline is a cut one: it is not carried out.
                return Ok(Received::Closed);
            }
            let (piece, end) = match chunk.iter().position(|b| *b == b'\n') {
                Some(at) => (chunk.get(..at).unwrap_or_default(), true),
                None => (chunk, false),
            };
            let used = piece.len() + usize::from(end);
            if line.len() + piece.len() > MAX_FRAME_BYTES {
                too_long = true;
                line = Vec::new();
            }
            if !too_long {
                line.extend_from_slice(piece);
            }
            self.0.consume(used);
            if !end {
                continue;
            }
            if too_long {
                return Ok(Received::TooLong);
            }
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            if !line.is_empty() {
                return Ok(Received::Frame(line));
            }
        }
    }
}

/// Newline-delimited frames onto a byte stream.
#[derive(Debug)]
pub(crate) struct LineSink<W>(tokio::io::BufWriter<W>);

impl<W: AsyncWrite + Unpin> LineSink<W> {
    /// Writes lines to a stream.
    pub(crate) fn new(stream: W) -> Self {
        Self(tokio::io::BufWriter::with_capacity(16 * 1024, stream))
    }
}

impl<W: AsyncWrite + Unpin + Send + 'static> FrameSink for LineSink<W> {
    async fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        self.0.write_all(frame).await?;
        self.0.write_all(b"\n").await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.0.flush().await
    }
}

#[cfg(test)]
mod tests {
    use lanyard_protocol::limits::MAX_FRAME_BYTES;

    use super::{FrameSource, Lines, Received};

    #[tokio::test]
    async fn long_lines_are_skipped_and_the_next_one_is_read() {
        let mut input = vec![b'x'; MAX_FRAME_BYTES + 1];
        input.extend_from_slice(b"\r\n\n{}\r\ncut");
        let mut lines = Lines::new(std::io::Cursor::new(input));
        assert_eq!(lines.receive().await.unwrap(), Received::TooLong);
        assert_eq!(lines.receive().await.unwrap(), Received::Frame(b"{}".to_vec()));
        assert_eq!(lines.receive().await.unwrap(), Received::Closed, "a cut line is not a request");
    }

    #[tokio::test]
    async fn a_line_of_exactly_the_cap_is_taken() {
        let mut input = vec![b'x'; MAX_FRAME_BYTES];
        input.push(b'\n');
        let mut lines = Lines::new(std::io::Cursor::new(input));
        assert!(matches!(lines.receive().await.unwrap(), Received::Frame(f) if f.len() == MAX_FRAME_BYTES));
    }
}
