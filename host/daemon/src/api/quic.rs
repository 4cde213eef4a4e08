//! QUIC streams as the API's frames.

use std::io;
use std::time::Duration;

use lanyard_protocol::limits::MAX_FRAME_BYTES;
use lanyard_transport::close::CloseCode;
use lanyard_transport::framing::{self, FrameError};
use lanyard_transport::peer::Peer;

use super::peer::{FrameSink, FrameSource, Received, StreamSink, Streams, Urgency};

/// How long a device may leave a stream unread before its connection is cut. A phone that is locked stops reading; it
/// comes back with its cursors and misses nothing.
const UNREAD: Duration = Duration::from_secs(30);

impl Streams for Peer {
    type Source = quinn::RecvStream;
    type Sink = quinn::SendStream;

    async fn accept(&mut self) -> Option<(quinn::RecvStream, quinn::SendStream)> {
        // Why it ended is the business of whoever owns the connection.
        let (sink, source) = Peer::accept(self).await.ok()?;
        Some((source, sink))
    }

    fn cut_slow(&self) {
        self.close(CloseCode::Slow);
    }
}

impl FrameSource for quinn::RecvStream {
    async fn receive(&mut self) -> io::Result<Received> {
        match framing::read_frame(self, MAX_FRAME_BYTES).await {
            Ok(Some(frame)) => Ok(Received::Frame(frame)),
            Ok(None) => Ok(Received::Closed),
            Err(FrameError::TooLong { .. }) => Ok(Received::TooLong),
            Err(FrameError::Io(error)) => Err(error),
        }
    }
}

impl FrameSink for quinn::SendStream {
    async fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        match tokio::time::timeout(UNREAD, framing::write_frame(self, frame)).await {
            Ok(written) => written,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        // QUIC sends by itself.
        Ok(())
    }

    async fn finish(&mut self) -> io::Result<()> {
        quinn::SendStream::finish(self).map_err(io::Error::other)?;
        // Until it is acknowledged it is held in memory, and is lost when the connection is closed.
        match tokio::time::timeout(UNREAD, quinn::SendStream::stopped(self)).await {
            // Stopped, or gone with the connection: the peer wants no more of it.
            Ok(_) => Ok(()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl StreamSink for quinn::SendStream {
    fn set_urgency(&mut self, urgency: Urgency) {
        let priority = match urgency {
            Urgency::Bulk => -1,
            Urgency::Events => 0,
            Urgency::Control => 1,
        };
        // An error says that the stream is gone, which the next write tells better.
        let _ = self.set_priority(priority);
    }

    fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let stopped = quinn::SendStream::stopped(self);
        async move {
            // Stopped by the peer, or gone with the connection: nobody reads either way.
            let _ = stopped.await;
        }
    }
}
