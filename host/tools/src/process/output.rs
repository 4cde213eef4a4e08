//! Reads the output of a program: every chunk is kept, then delivered, before the next one is read.

use std::future::pending;
use std::io;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::capture::{Capture, Captured};
use super::{Invocation, OutputChunk, Stream, Streams};

/// How long a receiver may take nothing once the program has ended.
const SETTLE: Duration = Duration::from_secs(1);
/// One read; a quarter of a pipe's usual capacity.
const CHUNK: usize = 16 << 10;

/// Both streams on their way to the receiver and into memory.
#[derive(Debug)]
pub(super) struct Output {
    stdout: Source,
    stderr: Source,
    sink: Option<mpsc::Sender<OutputChunk>>,
    /// Read, kept, and not taken by the receiver yet. Nothing more is read meanwhile.
    pending: Option<OutputChunk>,
}

impl Output {
    pub(super) fn attach(
        command: &mut std::process::Command,
        invocation: &Invocation,
        sink: Option<mpsc::Sender<OutputChunk>>,
    ) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let stderr = match invocation.streams {
            Streams::Merged => {
                command.stderr(writer.try_clone()?);
                None
            }
            Streams::Separate => {
                let (reader, writer) = io::pipe()?;
                command.stderr(writer);
                Some(reader)
            }
        };
        command.stdout(writer);
        Ok(Self {
            stdout: Source::open(Stream::Stdout, Some(reader), invocation.keep)?,
            stderr: Source::open(Stream::Stderr, stderr, invocation.keep)?,
            sink,
            pending: None,
        })
    }

    pub(super) fn total(&self) -> u64 {
        self.stdout.capture.total() + self.stderr.capture.total()
    }

    /// Both streams have ended and everything is delivered.
    pub(super) fn is_done(&self) -> bool {
        self.stdout.reader.is_none() && self.stderr.reader.is_none() && self.pending.is_none()
    }

    /// Delivers the pending chunk, or reads one. Never returns when there is nothing left to do.
    ///
    /// Cancel-safe: a chunk leaves `pending` only together with its permit.
    pub(super) async fn progress(&mut self) -> io::Result<()> {
        if self.pending.is_some() {
            let permit = match &self.sink {
                Some(sink) => sink.reserve().await.ok(),
                None => None,
            };
            if let (Some(permit), Some(chunk)) = (permit, self.pending.take()) {
                permit.send(chunk);
            } else {
                // Nobody listens any more.
                self.sink = None;
                self.pending = None;
            }
            return Ok(());
        }
        let chunk = tokio::select! {
            chunk = self.stdout.read() => chunk?,
            chunk = self.stderr.read() => chunk?,
        };
        self.pending = chunk.filter(|_| self.sink.is_some());
        Ok(())
    }

    /// What was kept of stdout and stderr.
    pub(super) fn finish(self) -> (Captured, Captured) {
        (self.stdout.capture.finish(), self.stderr.capture.finish())
    }

    /// Reads and delivers the rest once no process is left to write more.
    pub(super) async fn drain(&mut self) -> io::Result<()> {
        while !self.is_done() {
            match timeout(SETTLE, self.progress()).await {
                Ok(progress) => progress?,
                Err(_) if self.pending.is_some() => {
                    tracing::debug!("receiver of output takes no more: dropped");
                    self.sink = None;
                }
                // A surviving process holds the pipe.
                Err(_) => break,
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Source {
    stream: Stream,
    /// `None` after the end.
    reader: Option<Receiver>,
    capture: Capture,
}

impl Source {
    fn open(stream: Stream, reader: Option<io::PipeReader>, keep: usize) -> io::Result<Self> {
        let reader = reader.map(|reader| Receiver::from_owned_fd(reader.into())).transpose()?;
        Ok(Self { stream, reader, capture: Capture::new(keep) })
    }

    /// The next chunk, or `None` once at the end; after that it never returns. Cancel-safe.
    async fn read(&mut self) -> io::Result<Option<OutputChunk>> {
        let Some(reader) = &mut self.reader else { return pending().await };
        let mut bytes = Vec::with_capacity(CHUNK);
        if reader.read_buf(&mut bytes).await? == 0 {
            self.reader = None;
            return Ok(None);
        }
        let offset = self.capture.total();
        self.capture.push(&bytes);
        // Small pieces wait in channels by the thousand.
        bytes.shrink_to_fit();
        Ok(Some(OutputChunk { stream: self.stream, offset, bytes }))
    }
}
