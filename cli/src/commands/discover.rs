//! `lanyard discover`: hosts heard on the local network. Hearsay, all of it.

use std::time::Duration;

use lanyard_transport::discovery::{Browser, Sighting, listen_for};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{Exit, Failure};
use crate::invocation::Invocation;
use crate::known::KnownHosts;
use crate::render;

/// How long hosts are listened to. They answer within a second, unless others asked just now.
const LISTEN: Duration = Duration::from_secs(3);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Go on listening until Ctrl-C
    #[arg(long)]
    watch: bool,
}

/// That nothing is heard is no failure.
pub(crate) async fn run(args: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let known = invocation.hosts_file()?.read()?;
    if args.watch {
        return watch(invocation, &known).await;
    }
    invocation.terminal.status("Listening for hosts…")?;
    let heard = listen_for(LISTEN).await;
    invocation.terminal.status("")?;
    let heard = heard.map_err(|e| Failure::Other(e.to_string()))?;
    let text = match invocation.json() {
        true => {
            let hosts: Vec<_> = heard.iter().map(|one| as_json(one, &known)).collect();
            format!("{}\n", json!({ "hosts": hosts }))
        }
        false => render::sightings(invocation.terminal.paint, &heard, &known),
    };
    invocation.terminal.print(&text)?;
    Ok(Exit::Completed)
}

async fn watch(invocation: &mut Invocation, known: &KnownHosts) -> Result<Exit, Failure> {
    let mut browser = Browser::start().map_err(|e| Failure::Other(e.to_string()))?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    invocation.terminal.status("Listening for hosts; Ctrl-C ends it")?;
    loop {
        let sighting = tokio::select! {
            sighting = browser.next() => sighting,
            _ = interrupt.recv() => {
                invocation.terminal.status("")?;
                return Ok(Exit::Completed);
            }
        };
        let Some(sighting) = sighting else {
            invocation.terminal.status("")?;
            return Err(Failure::Other(
                "discovery has stopped working; `lanyard doctor` says why".to_owned(),
            ));
        };
        let text = match invocation.json() {
            true => format!("{}\n", as_json(&sighting, known)),
            false => {
                let shown = render::sightings(invocation.terminal.paint, &[sighting], known);
                // The hint below the table would come with every line.
                shown.lines().next().map(|line| format!("{line}\n")).unwrap_or_default()
            }
        };
        invocation.terminal.print(&text)?;
    }
}

fn as_json(sighting: &Sighting, known: &KnownHosts) -> serde_json::Value {
    json!({
        "name": sighting.name,
        "shortId": sighting.short_id,
        "protocolVersion": sighting.version,
        "addresses": sighting.addresses,
        "pairedAs": render::claims_to_be(sighting, known).map(|host| &host.alias),
    })
}
