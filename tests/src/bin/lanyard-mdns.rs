//! Announces a host or listens for hosts, for the discovery tests: a process of its own, so that it can be put into a
//! network namespace and killed. Prints one JSON object a line.
//!
//! `lanyard-mdns advertise NAME NUMBER PORT` announces the host whose key hash is NUMBER times 32 (or NUMBER itself, where
//! that is a whole host id), prints its health whenever that changes, and says goodbye at the end of standard input.
//! `browse` prints sightings, and who is gone, until then. `hold` takes the mDNS port for itself. `ask NAME` asks for a
//! name's IPv4 address, as any program may.

use std::io::Write;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lanyard_pairing::Fingerprint;
use lanyard_transport::discovery::{Advertiser, Announcement, Browser};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["advertise", name, number, port] => {
            let host = match number.parse() {
                Ok(number) => Fingerprint::from_bytes([number; 32]),
                Err(_) => number.parse::<Fingerprint>()?,
            };
            advertise(Announcement { name: (*name).to_owned(), port: port.parse()?, host }).await
        }
        ["browse"] => browse().await,
        ["hold"] => {
            let _port = UdpSocket::bind(("0.0.0.0", 5353)).context("the mDNS port")?;
            say(&json!({ "holding": true }))?;
            end_of_input().await
        }
        ["ask", name] => say(&json!({ "address": ask(name)?.to_string() })),
        _ => bail!("advertise NAME NUMBER PORT, browse, ask NAME, or hold"),
    }
}

async fn advertise(what: Announcement) -> Result<()> {
    let id = what.host.short();
    let advertiser = Advertiser::start(what);
    let mut told = None;
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    let end = end_of_input();
    tokio::pin!(end);
    loop {
        tokio::select! {
            ended = &mut end => {
                advertiser.stop().await;
                return ended;
            }
            _ = looks.tick() => {}
        }
        let health = advertiser.health();
        if told.as_ref() != Some(&health) {
            say(&json!({ "id": id, "state": health.state, "detail": health.detail }))?;
            told = Some(health);
        }
    }
}

async fn browse() -> Result<()> {
    let mut browser = match Browser::start() {
        Ok(browser) => browser,
        Err(error) => return say(&json!({ "error": error.to_string() })),
    };
    say(&json!({ "listening": true }))?;
    let mut here: Vec<String> = Vec::new();
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    let end = end_of_input();
    tokio::pin!(end);
    loop {
        tokio::select! {
            ended = &mut end => return ended,
            _ = looks.tick() => {
                let now: Vec<_> = browser.heard().into_iter().map(|seen| seen.short_id).collect();
                for gone in here.iter().filter(|id| !now.contains(id)) {
                    say(&json!({ "gone": gone }))?;
                }
                here = now;
            }
            seen = browser.next() => {
                let seen = seen.context("the responder is gone")?;
                let addresses: Vec<_> = seen.addresses.iter().map(ToString::to_string).collect();
                say(&json!({
                    "name": seen.name, "id": seen.short_id, "version": seen.version, "addresses": addresses,
                }))?;
            }
        }
    }
}

/// Asks as a plain resolver does (RFC 6762 §6.7), so the answer comes back to the asking port.
fn ask(name: &str) -> Result<Ipv4Addr> {
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    let mut question = vec![0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        question.push(u8::try_from(label.len())?);
        question.extend(label.as_bytes());
    }
    question.extend([0, 0, 1, 0, 1]);
    let mut answer = [0; 1500];
    for _ in 0..20 {
        socket.send_to(&question, ("224.0.0.251", 5353))?;
        let Ok(length) = socket.recv(&mut answer) else { continue };
        // Type A, class IN whatever the flush bit says, four bytes of time to live, four bytes of address.
        let answer = answer.get(question.len()..length).unwrap_or_default();
        let found = answer.windows(14).find(|w| w[..2] == [0, 1] && w[3] == 1 && w[8..10] == [0, 4]);
        if let Some(found) = found {
            return Ok(Ipv4Addr::new(found[10], found[11], found[12], found[13]));
        }
    }
    bail!("nobody answers for {name}")
}

async fn end_of_input() -> Result<()> {
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await?;
    Ok(())
}

fn say(what: &Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what}")?;
    Ok(out.flush()?)
}
