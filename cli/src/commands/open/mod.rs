//! `lanyard open`: the host's page in this machine's browser, as the owner.
//!
//! Nobody is let in for being on this machine: the host makes a link that works once, within two minutes, and its page is
//! the owner's for as long as the tab is open. The link is a key, so it is never an argument of a program, where every
//! user of the machine could read it: the browser is given a file of mode 0600 that leads on to it.

mod browser;
mod redirect;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use lanyard_daemon::Manifest;
use lanyard_protocol::Timestamp;
use lanyard_protocol::id::DeviceId;
use lanyard_protocol::method::{CreateLink, LinkCreated, ListDevices, Response};
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::host::{Connection, Patience};
use crate::invocation::Invocation;
use crate::render::{Tone, visible};
use browser::{Browser, NoBrowser};
use redirect::Redirect;

/// How often it is looked whether the browser has come: a person sees the page before the terminal says so.
const LOOK_EVERY: Duration = Duration::from_millis(300);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write the link to the terminal instead of opening it
    #[arg(long)]
    print: bool,
    /// Write the link even where standard output is no terminal. Whoever reads it is the owner of this host
    #[arg(long, requires = "print")]
    force: bool,
}

/// The exit code is 0 once the page is there, 1 when it did not come, 4 when interrupted.
pub(crate) async fn run(args: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    if args.print && !args.force && !invocation.terminal.stdout_is_terminal {
        let text = "the link is a key to this host, and standard output is no terminal: it could end in a log; \
                    pass --force if it is meant to go there";
        return Err(Failure::Usage(text.to_owned()));
    }
    if args.print {
        let mut connection = invocation.connect_local_or_start(Patience::None)?;
        return print(&mut connection, invocation).await;
    }
    // Looked for first: a link that nobody can open is not made.
    let browser = Browser::find().map_err(|why| Failure::Other(without_browser(why, invocation)))?;
    let mut connection = invocation.connect_local_or_start(Patience::None)?;
    open(&mut connection, browser, invocation).await
}

fn without_browser(why: NoBrowser, invocation: &Invocation) -> String {
    let print = invocation.command("open --print");
    format!(
        "{why}\nWhere you sit at another computer: forward the host's port to it (ssh -L PORT:127.0.0.1:PORT …, the port \
         is in the link), run `{print}` here and open the link there.\nOn a phone or another computer of the network: \
         `{}`",
        invocation.command("pair")
    )
}

async fn print(connection: &mut Connection, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let made = connection.call(CreateLink { origin: None }).await?;
    let seconds = made.expires_at.millis_since(Timestamp::now()).div_ceil(1000);
    let words = format!(
        "{}\nOpen it on this machine within {seconds} s. It works once, and its page is the owner's until it is closed.\n",
        visible::line(&made.link)
    );
    invocation.show(Response::CreateLink(made), |_| words)?;
    Ok(Exit::Completed)
}

async fn open(
    connection: &mut Connection,
    browser: Browser,
    invocation: &mut Invocation,
) -> Result<Exit, Failure> {
    let before = tabs(connection).await?;
    let LinkCreated { link, expires_at } = connection.call(CreateLink { origin: None }).await?;
    let mut random = [0; 3];
    rand_core::RngCore::fill_bytes(&mut rand_core::OsRng, &mut random);
    let link = at_fresh_origin(link, random);
    let page = link.split('#').next().unwrap_or_default().trim_end_matches('/').to_owned();
    let redirect = Redirect::write(&runtime_dir(invocation)?, &link)
        .map_err(|error| Failure::Other(format!("the file for the browser cannot be written: {error}")))?;
    let mut opening = browser.open(redirect.path()).map_err(Failure::Other)?;
    invocation.terminal.status(&format!("Opening {page} in the browser …"))?;
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    let came = loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(Exit::Cancelled),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if tabs(connection).await?.iter().any(|tab| !before.contains(tab)) {
            break true;
        }
        if let Some(why) = opening.failed() {
            return Err(Failure::Other(without_browser(why, invocation)));
        }
        if expires_at <= Timestamp::now() {
            break false;
        }
    };
    drop(redirect);
    invocation.terminal.status("")?;
    if !came {
        let print = invocation.command("open --print");
        return Err(Failure::Other(format!(
            "the browser has not opened the page; some (from snap or flatpak) may not read files of other programs: \
             `{print}` shows the link, to be pasted"
        )));
    }
    let text = match invocation.json() {
        true => json!({ "opened": page }).to_string(),
        false => {
            let paint = invocation.terminal.paint;
            let done = paint.tone(Tone::Good, "✓ The page is open.");
            format!("{done} It is the owner's until its tab is closed; open it again with this command.")
        }
    };
    invocation.terminal.line(&text)?;
    Ok(Exit::Completed)
}

/// The link at an origin that no browser has seen. A service worker outlives the program it came from: whoever once served
/// a page on this port, another user perhaps, would be asked for this one first, and be given the link. On Linux all of
/// 127.0.0.0/8 is this machine, and a host that says `localhost` listens there.
fn at_fresh_origin(link: String, random: [u8; 3]) -> String {
    match link.strip_prefix("http://localhost:") {
        Some(rest) if cfg!(target_os = "linux") => {
            let [a, b, c] = random.map(|byte| byte % 254 + 1);
            format!("http://127.{a}.{b}.{c}:{rest}")
        }
        _ => link,
    }
}

/// The owner's tabs there are.
async fn tabs(connection: &mut Connection) -> Result<BTreeSet<DeviceId>, Failure> {
    let devices = connection.call(ListDevices {}).await?.devices;
    Ok(devices.into_iter().filter(|device| device.temporary).map(|device| device.device_id).collect())
}

/// The private directory of the host's socket.
fn runtime_dir(invocation: &Invocation) -> Result<PathBuf, Failure> {
    let state_dir = invocation.state_dir()?;
    let manifest = Manifest::read(&state_dir)?;
    let dir = manifest.and_then(|manifest| manifest.socket.parent().map(PathBuf::from));
    Ok(dir.unwrap_or(state_dir))
}

#[cfg(test)]
mod tests {
    use super::at_fresh_origin;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_link_has_an_origin_of_its_own_where_there_are_some_to_choose_from() {
        let fresh = |link: &str, random| at_fresh_origin(link.to_owned(), random);
        assert_eq!(fresh("http://localhost:7717/#P4", [0, 7, 255]), "http://127.1.8.2:7717/#P4");
        assert_eq!(fresh("http://127.0.0.1:7717/#P4", [9; 3]), "http://127.0.0.1:7717/#P4");
    }
}
