//! How long events take to a client at the machine and to a device, both following the same session in the same minute.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Result, ensure};
use lanyard_protocol::event::{EventBody, SessionEvent};
use lanyard_protocol::method::{StartTask, Subscribe};
use lanyard_protocol::session::TaskOptions;
use lanyard_tests::device::DeviceConnection;
use lanyard_tests::host::{Connection, HostOptions, TestHost};

use crate::provider::{Provider, end, send, text};
use crate::table::{Samples, Table};
use crate::tokens::{PIECE, TOKENS, stream_pieces};

/// Tasks whose durable events are timed.
const TASKS: usize = 100;

/// What one client saw: arrival of each piece of text, and of the start of each task.
#[derive(Default)]
struct Seen {
    pieces: Vec<Instant>,
    starts: Vec<Instant>,
    ended: usize,
}

impl Seen {
    fn take(&mut self, event: &SessionEvent) {
        let now = Instant::now();
        match &event.body {
            // Pieces that came together arrived together.
            EventBody::TextDelta(delta) if self.ended == 0 => {
                self.pieces.extend((0..delta.text.len() / PIECE).map(|_| now));
            }
            EventBody::TaskStarted(_) => self.starts.push(now),
            body => self.ended += usize::from(body.ends_task()),
        }
    }
}

pub(super) async fn measure(table: &mut Table) -> Result<()> {
    let written = Arc::new(Mutex::new(Vec::with_capacity(TOKENS)));
    let noted = Arc::clone(&written);
    let provider = Provider::start(move |number, stream| match number {
        0 => stream_pieces(stream, &noted),
        _ => send(stream, &(text("done") + &end("stop"))),
    })?;
    let options = HostOptions { gateway: Some(provider.url.clone()), ..HostOptions::default() };
    let host = TestHost::with(options).await?;
    let device = super::device(&host, "bench").await?;
    let mut starter = device.connect().await?;
    let mut near = host.connect().await?;
    let session = near.session(&host.workspace()).await?.session_id;
    let mut far = device.connect().await?;
    far.call(Subscribe { session_id: session.clone(), after_seq: 1 }).await?;

    // The tasks are started from a third connection: a client that follows does nothing but follow.
    let start = StartTask {
        model: None,
        attachments: Vec::new(),
        session_id: session,
        task_id: None,
        prompt: "many words".into(),
        task_options: TaskOptions::default(),
    };
    let (told, mut task_over) = tokio::sync::mpsc::channel(TASKS + 1);
    let near = tokio::spawn(follow_near(near, told));
    let far = tokio::spawn(follow_far(far));
    let mut sent = Vec::new();
    for _ in 0..=TASKS {
        sent.push(Instant::now());
        starter.call(start.clone()).await?;
        ensure!(task_over.recv().await.is_some(), "the follower at the machine has ended");
    }
    let (near, far) = (near.await??, far.await??);
    let written = written.lock().unwrap_or_else(PoisonError::into_inner);
    report(table, &written, &sent, [&near, &far])
}

fn report(table: &mut Table, written: &[Instant], sent: &[Instant], seen: [&Seen; 2]) -> Result<()> {
    let since = |from: &[Instant], to: &[Instant]| {
        ensure!(from.len() == to.len(), "{} of {} events arrived", to.len(), from.len());
        let times: Vec<_> = from.iter().zip(to).map(|(from, to)| to.duration_since(*from)).collect();
        Samples::of(&times)
    };
    let [near, far] = seen;
    let of = "the local socket's";
    let local = since(written, &near.pieces)?;
    table.times("text: provider to client, local socket", &local, None);
    table.times_against("text: provider to device", &since(written, &far.pieces)?, &local, of);
    // The first task is the long one; its start is as good as any.
    let local = since(sent, &near.starts)?;
    table.times("durable event: StartTask to client, local", &local, None);
    table.times_against("durable event: StartTask to device", &since(sent, &far.starts)?, &local, of);
    Ok(())
}

async fn follow_near(mut peer: Connection, told: tokio::sync::mpsc::Sender<()>) -> Result<Seen> {
    let mut seen = Seen::default();
    while seen.ended <= TASKS {
        let before = seen.ended;
        seen.take(&peer.event().await?);
        if seen.ended > before {
            told.send(()).await?;
        }
    }
    Ok(seen)
}

async fn follow_far(mut device: DeviceConnection) -> Result<Seen> {
    let mut seen = Seen::default();
    while seen.ended <= TASKS {
        seen.take(&device.next_event().await?);
    }
    Ok(seen)
}
