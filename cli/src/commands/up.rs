//! `lanyard up`: the host itself.

use std::path::PathBuf;
use std::time::Duration;

use lanyard_daemon::{Config, ConfigSources, Listen, Ready, RunError};
use lanyard_protocol::health::{HealthReport, NetworkHealth};
use lanyard_protocol::method::Health;
use lanyard_protocol::session::ModelInfo;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::pair;
use crate::exit::{Exit, Failure};
use crate::host::{Connection, Patience, attach, lock_is_held};
use crate::invocation::Invocation;
use crate::render::{self, Tone, visible};

/// Threads of the host: it waits far more than it computes, and each costs memory.
const MAX_THREADS: usize = 4;

/// How long finding a model may hold up the first lines.
const HEALTH_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A directory the agent may work in; may be given several times
    #[arg(long = "workspace", value_name = "DIR")]
    workspaces: Vec<PathBuf>,
    /// Where other devices reach the host: an address and a port, for machines by UDP and for browsers by TCP, or `off` [default: [::]:7717]
    #[arg(long, value_name = "IP:PORT|off")]
    listen: Option<Listen>,
    /// Do not offer to pair a first device at this terminal
    #[arg(long)]
    no_pair: bool,
    /// Leave the terminal: used by commands that start a host
    #[arg(long, hide = true)]
    detached: bool,
}

pub(crate) fn run(args: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    if args.detached {
        // An error says that this process leads a session already, which is what is wanted.
        let _ = rustix::process::setsid();
    } else if !invocation.json() {
        invocation.terminal.line(concat!("Starting Lanyard ", env!("CARGO_PKG_VERSION"), " …"))?;
    }
    start_log(args.detached, invocation)?;
    let sources = ConfigSources {
        state_dir: invocation.given_state_dir(),
        workspaces: args.workspaces,
        listen: args.listen,
    };
    let config = Config::load(sources).map_err(|e| Failure::Usage(e.to_string()))?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = runtime.map_err(|e| Failure::Other(format!("the runtime cannot be started: {e}")))?;
    let state_dir = config.state_dir.clone();
    let offer = offers_to_pair(args.no_pair || args.detached, invocation);
    let ended = runtime.block_on(Box::pin(serve(config, args.detached, offer, invocation)))?;
    match ended {
        Ok(()) => Ok(Exit::Completed),
        // Two commands started a host at the same moment: one of them runs, and that is all that is wanted.
        Err(RunError::Start(_)) if args.detached && lock_is_held(&state_dir) => Ok(Exit::Completed),
        Err(error) => Err(Failure::Other(error.to_string())),
    }
}

/// Logs go to standard error: the terminal, or the log file of a detached host. `LANYARD_LOG` chooses what.
fn start_log(detached: bool, invocation: &Invocation) -> Result<(), Failure> {
    let wanted =
        std::env::var("LANYARD_LOG").unwrap_or_else(|_| (if detached { "info" } else { "warn" }).into());
    let filter = EnvFilter::try_new(&wanted)
        .map_err(|e| Failure::Usage(format!("LANYARD_LOG={wanted}: {e}; try LANYARD_LOG=debug")))?;
    let colours = !detached && invocation.terminal.stderr_is_terminal;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    Ok(())
}

async fn serve(
    config: Config,
    detached: bool,
    offer: bool,
    invocation: &mut Invocation,
) -> Result<Result<(), RunError>, Failure> {
    let stop = CancellationToken::new();
    let interrupt = signal(SignalKind::interrupt())?;
    let terminate = signal(SignalKind::terminate())?;
    let hang_up = signal(SignalKind::hangup())?;
    tokio::spawn(stop_on_signal(stop.clone(), [interrupt, terminate, hang_up], !detached));
    let (ready, is_ready) = oneshot::channel();
    let announce = |what: &Ready| {
        // Nobody waits for it when the host is stopped in this very moment.
        let _ = ready.send(what.clone());
    };
    let stopping = stop.clone();
    let host = Box::pin(lanyard_daemon::run(config, stop, announce));
    let words = async {
        let what = match is_ready.await {
            Ok(what) if !detached => what,
            _ => return Ok(()),
        };
        say_ready(&what, invocation).await?;
        if offer {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = first_device(&what, invocation) => {}
            }
        }
        Ok(())
    };
    let (ended, said) = tokio::join!(host, words);
    match said {
        // The host does not depend on somebody reading what it says.
        Err(Failure::OutputClosed) | Ok(()) => Ok(ended),
        Err(failure) => Err(failure),
    }
}

/// The first signal stops the host in order; a second one ends it at once, which loses nothing acknowledged.
async fn stop_on_signal(stop: CancellationToken, mut signals: [tokio::signal::unix::Signal; 3], say: bool) {
    let [interrupt, terminate, hang_up] = &mut signals;
    for last in [false, true] {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
        if last {
            std::process::exit(Exit::Failed.code().into());
        }
        if say {
            eprintln!("Stopping; running tasks are put to rest first. Ctrl-C again ends at once.");
        }
        stop.cancel();
    }
}

/// Whether somebody sits at this terminal who could scan a QR code and answer.
fn offers_to_pair(unwanted: bool, invocation: &Invocation) -> bool {
    let terminal = &invocation.terminal;
    !unwanted && !invocation.json() && terminal.stdout_is_terminal && terminal.stdin_is_terminal
}

/// Where no device is paired yet: shows what the first one needs, and asks about it. The host runs on, however this ends.
async fn first_device(ready: &Ready, invocation: &mut Invocation) {
    let paired = async {
        let stream = attach(&ready.state_dir)?;
        let mut connection = Connection::new(stream, ready.state_dir.clone(), Patience::None)?;
        let network = connection.call(Health {}).await?.network;
        if network.devices > 0 || network.listening.is_none() {
            return Ok(());
        }
        pair::first(&mut connection, invocation).await.map(drop)
    };
    match paired.await {
        Ok(()) | Err(Failure::OutputClosed) => {}
        Err(failure) => tracing::warn!(%failure, "no device could be paired at this terminal"),
    }
}

async fn say_ready(ready: &Ready, invocation: &mut Invocation) -> Result<(), Failure> {
    if invocation.json() {
        let line = serde_json::json!({
            "socket": ready.socket,
            "manifest": ready.manifest,
            "stateDir": ready.state_dir,
            "workspaces": ready.workspaces,
            "notices": ready.notices,
        });
        return Ok(invocation.terminal.line(&line.to_string())?);
    }
    let paint = invocation.terminal.paint;
    let mut shown = format!("{}\n", paint.tone(Tone::Good, "✓ The host is ready."));
    let mut row =
        |label: &str, text: &str| shown.push_str(&format!("  {label:<11} {}\n", visible::line(text)));
    match ready.workspaces.as_slice() {
        [] => row("workspaces", "none set; a task works in the directory it is given in"),
        dirs => dirs.iter().for_each(|dir| row("workspace", &dir.display().to_string())),
    }
    row("state", &ready.state_dir.display().to_string());
    row("socket", &ready.socket.display().to_string());
    for notice in &ready.notices {
        shown.push_str(&format!("  {}\n", paint.tone(Tone::Waits, &format!("! {}", visible::line(notice)))));
    }
    invocation.terminal.print(&shown)?;
    let report = tokio::time::timeout(HEALTH_WITHIN, ask_health(ready)).await;
    let (model, network) = match report {
        Ok(Ok(report)) => (model_line(paint, &report.model), reach_rows(&report.network)),
        Ok(Err(_)) | Err(_) => ("not known yet; `lanyard health` tells".to_owned(), String::new()),
    };
    let model = format!("  {:<11} {model}\n", "model");
    let run = invocation.command("run \"what is in this folder?\"");
    let (pair, open) = (invocation.command("pair"), invocation.command("open"));
    let accent = |command: &str| paint.tone(Tone::Accent, &visible::line(command));
    let mut next = format!("Next, in another terminal:\n  {}\n", accent(&run));
    if !network.is_empty() {
        next.push_str(&format!("In a browser on this machine:\n  {}\n", accent(&open)));
        next.push_str(&format!("From a phone or another computer: pair it\n  {}\n", accent(&pair)));
    }
    Ok(invocation.terminal.print(&format!("{model}{network}{next}Ctrl-C stops the host.\n"))?)
}

/// The host's own words on itself: it may have to look for a model first.
async fn ask_health(ready: &Ready) -> Result<HealthReport, Failure> {
    let mut connection = Connection::new(attach(&ready.state_dir)?, ready.state_dir.clone(), Patience::None)?;
    connection.call(Health {}).await
}

/// Where devices reach the host; nothing where they cannot.
fn reach_rows(network: &NetworkHealth) -> String {
    let Some(listening) = &network.listening else { return String::new() };
    let addresses = match network.reachable_at.is_empty() {
        true => std::slice::from_ref(listening),
        false => network.reachable_at.as_slice(),
    };
    let mut rows = String::new();
    for (at, address) in addresses.iter().enumerate() {
        let label = if at == 0 { "address" } else { "" };
        rows.push_str(&format!("  {label:<11} {}\n", render::address(address)));
    }
    rows
}

fn model_line(paint: render::Paint, model: &ModelInfo) -> String {
    let words = render::model_words(model);
    if !model.demo {
        return words;
    }
    let way_out = "for a real one set LANYARD_GATEWAY_URL, or start Ollama, LM Studio or llama.cpp";
    format!("{}\n  {:<11} {way_out}", paint.tone(Tone::Waits, &words), "")
}
