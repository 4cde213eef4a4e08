//! From the provider's write of a piece of text to its arrival at a client.

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lanyard_protocol::event::EventBody;
use lanyard_protocol::session::TaskOptions;
use lanyard_tests::host::{HostOptions, TestHost};

use crate::provider::{Provider, end, text};
use crate::table::{Samples, Table};

/// Pieces of text in one answer, and characters in a piece.
pub(crate) const TOKENS: usize = 1_000;
pub(crate) const PIECE: usize = 6;

/// Between pieces: the pace of a fast model.
const PACE: Duration = Duration::from_millis(3);

pub(crate) async fn measure(table: &mut Table) -> Result<()> {
    let sent = Arc::new(Mutex::new(Vec::with_capacity(TOKENS)));
    let noted = Arc::clone(&sent);
    let provider = Provider::start(move |_, stream| stream_pieces(stream, &noted))?;
    let host =
        TestHost::with(HostOptions { gateway: Some(provider.url.clone()), ..HostOptions::default() }).await?;
    let mut peer = host.connect().await?;
    let session = peer.session(&host.workspace()).await?.session_id;
    peer.start(&session, "many words", TaskOptions::default()).await?;
    let mut arrived = Vec::with_capacity(TOKENS);
    loop {
        let event = peer.event().await?;
        let now = Instant::now();
        match event.body {
            // Pieces that came together arrived together.
            EventBody::TextDelta(delta) => arrived.extend((0..delta.text.len() / PIECE).map(|_| now)),
            body if body.ends_task() => break,
            _ => {}
        }
    }
    let sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
    ensure!(arrived.len() == sent.len(), "{} of {} pieces arrived", arrived.len(), sent.len());
    let times: Vec<_> =
        sent.iter().zip(&arrived).map(|(sent, arrived)| arrived.duration_since(*sent)).collect();
    times.first().context("nothing arrived")?;
    table.times("token: provider to client", &Samples::of(&times)?, None);
    Ok(())
}

/// Streams an answer piece by piece and notes when each was written.
pub(crate) fn stream_pieces(stream: &mut TcpStream, noted: &Mutex<Vec<Instant>>) -> Result<()> {
    stream.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    )?;
    // Chunked, as streams come; the empty chunk is the end.
    let mut write = |text: &str| stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes());
    for number in 0..TOKENS {
        std::thread::sleep(PACE);
        let piece = text(&format!("{number:0PIECE$}"));
        noted.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        write(&piece)?;
    }
    write(&end("stop"))?;
    Ok(write("")?)
}
