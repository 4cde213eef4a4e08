//! One session followed by fifty clients: how long until the last one has an event.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lanyard_protocol::method::Subscribe;
use lanyard_protocol::session::TaskOptions;
use lanyard_tests::host::{HostOptions, TestHost};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::provider::{Provider, end, send, text};
use crate::table::{Samples, Table};

const SUBSCRIBERS: usize = 50;
const TASKS: usize = 60;

pub(crate) async fn measure(table: &mut Table) -> Result<()> {
    let provider = Provider::start(|_, stream| send(stream, &(text("done") + &end("stop"))))?;
    let host =
        TestHost::with(HostOptions { gateway: Some(provider.url.clone()), ..HostOptions::default() }).await?;
    let mut peer = host.connect().await?;
    let session = peer.session(&host.workspace()).await?.session_id;
    let mut readers = Vec::new();
    for _ in 0..SUBSCRIBERS {
        let mut stream = UnixStream::connect(host.socket()?).await?;
        let params = json!(Subscribe { session_id: session.clone(), after_seq: 1 });
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": "Subscribe", "params": params});
        stream.write_all(format!("{request}\n").as_bytes()).await?;
        readers.push(tokio::spawn(arrivals(stream)));
    }
    let mut sent = Vec::new();
    for _ in 0..TASKS {
        sent.push(Instant::now());
        peer.start(&session, "say done", TaskOptions::default()).await?;
        peer.until_task_ends().await?;
    }
    let mut by_event: BTreeMap<u64, (String, Vec<Instant>)> = BTreeMap::new();
    for reader in readers {
        for (seq, name, at) in reader.await?? {
            by_event.entry(seq).or_insert_with(|| (name, Vec::new())).1.push(at);
        }
    }
    let (mut spread, mut since_request) = (Vec::new(), Vec::new());
    let mut requests = sent.into_iter();
    for (name, times) in by_event.into_values() {
        ensure!(times.len() == SUBSCRIBERS, "{name} reached {} of {SUBSCRIBERS}", times.len());
        let (first, last) = times.iter().fold((times[0], times[0]), |(a, b), at| (a.min(*at), b.max(*at)));
        spread.push(last - first);
        if name == "task_started" {
            since_request.push(last - requests.next().context("more tasks than were started")?);
        }
    }
    table.times("fan-out: first to last of 50 subscribers", &Samples::of(&spread)?, None);
    table.times("fan-out: StartTask sent to last of 50, durable", &Samples::of(&since_request)?, None);
    Ok(())
}

/// Number, name and arrival of each durable event, until the last task has ended.
async fn arrivals(stream: UnixStream) -> Result<Vec<(u64, String, Instant)>> {
    let mut lines = BufReader::new(stream).lines();
    let (mut raw, mut ended) = (Vec::new(), 0);
    while ended < TASKS {
        let line = tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await??;
        let line = line.context("the host closed the connection")?;
        raw.push((Instant::now(), line));
        ended += usize::from(
            raw.last().is_some_and(|(_, line)| line.contains("\"eventType\":\"task_completed\"")),
        );
    }
    // Looked into afterwards, so that reading is all that is done meanwhile.
    let mut found = Vec::new();
    for (at, line) in raw {
        let line: Value = serde_json::from_str(&line)?;
        let event = &line["params"];
        if let (Some(seq), Some(name)) = (event["seq"].as_u64(), event["eventType"].as_str()) {
            found.push((seq, name.to_owned(), at));
        }
    }
    Ok(found)
}
