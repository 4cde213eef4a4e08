//! Requests that only look, one after the other over the local socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use anyhow::{Result, ensure};
use lanyard_tests::host::{HostOptions, TestHost};
use serde_json::{Value, json};

use crate::table::{Samples, Table};

const REQUESTS: usize = 5_000;

pub(crate) async fn measure(table: &mut Table) -> Result<()> {
    let options = HostOptions { gateway: Some("http://127.0.0.1:9/v1".into()), ..HostOptions::default() };
    let host = TestHost::with(options).await?;
    let session = host.connect().await?.session(&host.workspace()).await?.session_id;
    let socket = host.socket()?;
    for (method, params) in
        [("ListRules", json!({})), ("GetSessionState", json!({"sessionId": session})), ("Health", json!({}))]
    {
        let socket = socket.clone();
        let times = tokio::task::spawn_blocking(move || round_trips(&socket, method, &params)).await??;
        table.times(&format!("request: {method}"), &times, None);
    }
    Ok(())
}

fn round_trips(socket: &std::path::Path, method: &str, params: &Value) -> Result<Samples> {
    let mut stream = UnixStream::connect(socket)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let request = format!("{}\n", json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}));
    let (mut times, mut line) = (Vec::with_capacity(REQUESTS), String::new());
    for _ in 0..REQUESTS {
        line.clear();
        let started = Instant::now();
        stream.write_all(request.as_bytes())?;
        reader.read_line(&mut line)?;
        times.push(started.elapsed());
        ensure!(line.contains("\"result\""), "{line}");
    }
    Samples::of(&times)
}
