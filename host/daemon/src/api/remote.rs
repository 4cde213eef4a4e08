//! Streams of a device that is connected, over QUIC or a browser's channel, as the API's frames.

use std::io;
use std::time::Duration;

use lanyard_protocol::limits::MAX_FRAME_BYTES;
use lanyard_transport::close::CloseCode;
use lanyard_transport::framing::{self, FrameError};
use lanyard_transport::peer::{Connection, Priority, SendHalf};
use tokio::io::AsyncRead;
use tokio::time::timeout;

use super::peer::{FrameSink, FrameSource, Received, StreamSink, Streams, Urgency};

/// How long a device may leave a stream unread before its connection is cut. A phone that is locked stops reading; it
/// comes back with its cursors and misses nothing.
const UNREAD: Duration = Duration::from_secs(30);

/// Requests on the receiving half of a stream.
#[derive(Debug)]
pub(crate) struct Source<R>(R);

/// Answers on the sending half.
#[derive(Debug)]
pub(crate) struct Sink<S>(S);

impl<C: Connection> Streams for C {
    type Source = Source<C::Recv>;
    type Sink = Sink<C::Send>;

    const STREAMS: u32 = <C as Connection>::STREAMS;

    async fn accept(&mut self) -> Option<(Self::Source, Self::Sink)> {
        // Why it ended is the business of whoever owns the connection.
        let (sink, source) = Connection::accept(self).await.ok()?;
        Some((Source(source), Sink(sink)))
    }

    fn cut_slow(&self) {
        self.close(CloseCode::Slow);
    }
}

impl<R: AsyncRead + Unpin + Send + 'static> FrameSource for Source<R> {
    async fn receive(&mut self) -> io::Result<Received> {
        match framing::read_frame(&mut self.0, MAX_FRAME_BYTES).await {
            Ok(Some(frame)) => Ok(Received::Frame(frame)),
            Ok(None) => Ok(Received::Closed),
            Err(FrameError::TooLong { .. }) => Ok(Received::TooLong),
            Err(FrameError::Io(error)) => Err(error),
        }
    }
}

impl<S: SendHalf> FrameSink for Sink<S> {
    async fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        match timeout(UNREAD, framing::write_frame(&mut self.0, frame)).await {
            Ok(written) => written,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        // Both send by themselves.
        Ok(())
    }

    async fn finish(&mut self) -> io::Result<()> {
        let finished = timeout(UNREAD, async {
            self.0.finish().await?;
            // Until then it is held in memory, and is lost when the connection is closed.
            self.0.stopped().await;
            Ok(())
        });
        finished.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: SendHalf> StreamSink for Sink<S> {
    fn set_urgency(&mut self, urgency: Urgency) {
        self.0.set_priority(match urgency {
            Urgency::Bulk => Priority::Bulk,
            Urgency::Events => Priority::Events,
            Urgency::Control => Priority::Control,
        });
    }

    fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        self.0.stopped()
    }
}
