//! A command that runs: what it says is read as it comes, line by line, and kept.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use lanyard_protocol::codec::from_json;
use lanyard_protocol::event::SessionEvent;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::LONG;
use crate::newcomer::{Ended, Signal, kill};

/// See the module. Killed when dropped.
#[derive(Debug)]
pub struct Program {
    what: String,
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    seen: Vec<String>,
    errors: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Program {
    /// Starts a command. `what`: what a failure calls it.
    pub(super) fn start(mut command: Command, what: &str) -> Result<Self> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| what.to_owned())?;
        let (told, lines) = mpsc::unbounded_channel();
        let errors = Arc::new(Mutex::new(String::new()));
        let out = child.stdout.take().context("a pipe was asked for")?;
        let err = child.stderr.take().context("a pipe was asked for")?;
        let kept = errors.clone();
        let readers = vec![
            read(out, move |line| {
                // Nobody listens any more when the program was dropped.
                let _ = told.send(line);
            }),
            read(err, move |line| {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push_str(&line);
                kept.push('\n');
            }),
        ];
        Ok(Self { what: what.to_owned(), child, lines, seen: Vec::new(), errors, readers })
    }

    /// The next line; `None` when it has said its last.
    ///
    /// # Errors
    /// None comes.
    pub async fn line(&mut self) -> Result<Option<String>> {
        let line = tokio::time::timeout(LONG, self.lines.recv()).await;
        let line =
            line.with_context(|| format!("{} says nothing more after {:#?}", self.what, self.tail()))?;
        self.seen.extend(line.clone());
        Ok(line)
    }

    /// The first line from here on that is JSON and wanted.
    ///
    /// # Errors
    /// It ends without.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        loop {
            let Some(line) = self.line().await.with_context(|| format!("waiting for {what}"))? else {
                anyhow::bail!("{} ended before {what}: {:#?}\n{}", self.what, self.tail(), self.errors());
            };
            if let Ok(value) = serde_json::from_str(&line)
                && wanted(&value)
            {
                return Ok(value);
            }
        }
    }

    /// Waits for a session event of this name and returns it.
    ///
    /// # Errors
    /// It ends without.
    pub async fn event(&mut self, name: &str) -> Result<Value> {
        self.until(name, |line| line["eventType"] == name).await
    }

    fn tail(&self) -> &[String] {
        &self.seen[self.seen.len().saturating_sub(5)..]
    }

    /// What it has said on standard error.
    pub fn errors(&self) -> String {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its number.
    ///
    /// # Errors
    /// It has ended.
    pub fn pid(&self) -> Result<u32> {
        self.child.id().with_context(|| format!("{} has ended", self.what))
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid()?, signal)
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// It does not; what it said last.
    pub fn runs(&mut self) -> Result<()> {
        let status = self.child.try_wait()?;
        ensure!(status.is_none(), "{} has ended ({status:?}): {}", self.what, self.errors());
        Ok(())
    }

    /// Kills it with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// It cannot be killed.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Reads everything it says until it ends.
    ///
    /// # Errors
    /// It does not end.
    pub async fn end(self) -> Result<Ended> {
        Ok(self.finish().await?.0)
    }

    /// [`Program::end`], and the session events it has shown.
    ///
    /// # Errors
    /// It does not end, or showed something else.
    pub async fn finish(mut self) -> Result<(Ended, Vec<SessionEvent>)> {
        while self.line().await?.is_some() {}
        let status = tokio::time::timeout(LONG, self.child.wait()).await;
        let status = status.with_context(|| format!("{} does not end", self.what))??;
        for reader in self.readers.drain(..) {
            reader.await?;
        }
        let events = self.seen.iter().filter_map(|line| from_json(line).ok()).collect();
        let ended = Ended { code: status.code(), out: self.seen.join("\n"), err: self.errors() };
        Ok((ended, events))
    }
}

/// Takes lines until there are no more.
fn read(
    from: impl AsyncRead + Send + Unpin + 'static,
    take: impl Fn(String) + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            take(line);
        }
    })
}
