//! A model server that knows to the microsecond when it was asked and when it had answered. Plain threads and blocking
//! sockets: nothing here waits for a scheduler of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// What is answered to a request, by its number from 0 on.
type Answer = dyn Fn(usize, &mut TcpStream) -> Result<()> + Send + Sync;

/// When something happened.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moment {
    /// The first byte of a request was read.
    Asked(Instant),
    /// The last byte of an answer was handed to the system.
    Answered(Instant),
}

/// See the module. Runs until the process ends.
pub(crate) struct Provider {
    /// Base address.
    pub(crate) url: String,
    /// What happened, in order.
    pub(crate) moments: mpsc::Receiver<Moment>,
}

impl Provider {
    /// Starts on a free port.
    pub(crate) fn start(
        answer: impl Fn(usize, &mut TcpStream) -> Result<()> + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let url = format!("http://{}/v1", listener.local_addr()?);
        let (told, moments) = mpsc::channel();
        std::thread::Builder::new().name("provider".into()).spawn(move || {
            let mut number = 0;
            // One connection at a time: a host keeps one open and opens another only when that one is gone.
            for stream in listener.incoming() {
                if let Err(error) =
                    stream.map_err(Into::into).and_then(|s| serve(s, &mut number, &answer, &told))
                {
                    eprintln!("provider: {error:#}");
                }
            }
        })?;
        Ok(Self { url, moments })
    }
}

fn serve(
    mut stream: TcpStream,
    number: &mut usize,
    answer: &Answer,
    told: &mpsc::Sender<Moment>,
) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        if reader.fill_buf()?.is_empty() {
            return Ok(());
        }
        let asked = Instant::now();
        read_request(&mut reader)?;
        // Nobody may be listening any more.
        let _ = told.send(Moment::Asked(asked));
        answer(*number, &mut stream)?;
        let _ = told.send(Moment::Answered(Instant::now()));
        *number += 1;
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Result<()> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            bail!("the request ends in its head");
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().context(line.clone())?;
        }
    }
    let read = std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    if read < length {
        bail!("the request ends in its body");
    }
    Ok(())
}

fn chunk(delta: &Value, finish: Option<&str>) -> String {
    let chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "scripted",
                       "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    format!("data: {chunk}\n\n")
}

/// One piece of text.
pub(crate) fn text(text: &str) -> String {
    chunk(&json!({"role": "assistant", "content": text}), None)
}

/// The end of a stream.
pub(crate) fn end(reason: &str) -> String {
    let usage = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "scripted", "choices": [],
                       "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}});
    format!("{}data: {usage}\n\ndata: [DONE]\n\n", chunk(&json!({}), Some(reason)))
}

/// A stream that asks for one call.
pub(crate) fn call(tool: &str, arguments: &Value) -> String {
    let call = json!({"tool_calls": [{"index": 0, "id": "call_1", "type": "function",
                      "function": {"name": tool, "arguments": arguments.to_string()}}]});
    chunk(&call, None) + &end("tool_calls")
}

/// Sends a whole answer in one write.
pub(crate) fn send(stream: &mut TcpStream, body: &str) -> Result<()> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {length}\r\n\r\n");
    Ok(stream.write_all((head + body).as_bytes())?)
}
