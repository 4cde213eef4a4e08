//! From the start of the process to the answer to the first request.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lanyard_tests::host::{HostOptions, TestHost, binary};

use crate::table::{Samples, Table};

const RUNS: usize = 100;

/// Between looks at the socket; adds half of itself to what is measured.
const LOOK: Duration = Duration::from_micros(100);

pub(crate) async fn measure(table: &mut Table) -> Result<()> {
    // A configured gateway, so that no time is spent on looking for a local one.
    let options = HostOptions { gateway: Some("http://127.0.0.1:9/v1".into()), ..HostOptions::default() };
    let mut host = TestHost::with(options).await?;
    let socket = host.socket()?;
    host.kill().await?;
    let mut times = Vec::new();
    for _ in 0..RUNS {
        times.push(once(&host, &socket)?);
    }
    let budget = (10.0, "10 ms".to_owned());
    table.times("start to first answer (Health)", &Samples::of(&times)?, Some(budget));
    Ok(())
}

fn once(host: &TestHost, socket: &Path) -> Result<Duration> {
    // The same words and environment as the harness, without its runtime in between.
    let words = host.command();
    let mut command = Command::new(binary()?);
    command.arg("up").env_clear();
    command.envs(std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("LANYARD_")));
    for (name, value) in words.as_std().get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    let mut child = command.spawn()?;
    let answered = answer(&mut child, socket, started);
    let took = started.elapsed();
    child.kill()?;
    child.wait()?;
    answered.map(|()| took)
}

fn answer(child: &mut Child, socket: &Path, started: Instant) -> Result<()> {
    let mut stream = loop {
        if let Ok(stream) = UnixStream::connect(socket) {
            break stream;
        }
        ensure!(child.try_wait()?.is_none() && started.elapsed().as_secs() < 30, "the host does not start");
        std::thread::sleep(LOOK);
    };
    stream.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"Health\",\"params\":{}}\n")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).context("no answer")?;
    ensure!(line.contains("\"result\""), "{line}");
    Ok(())
}
