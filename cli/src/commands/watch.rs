//! `lanyard watch`: what happens on this machine's host and on all paired ones, live.

use std::collections::BTreeMap;

use lanyard_client::Incoming;
use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::ApprovalRecord;
use lanyard_protocol::codec::to_json_value;
use lanyard_protocol::event::{HostEvent, HostEventBody};
use lanyard_protocol::method::{ListApprovals, Response, SubscribeHost};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::exit::{Exit, Failure};
use crate::host::{Connection, Happening, Named, Patience, Renewal, Route, Way, attach, named};
use crate::invocation::Invocation;
use crate::known::{KnownHost, LOCAL};
use crate::render::{self, WatchLine};

/// Things told and not yet shown, of all hosts; whoever does not read holds the connections up, which is what flow
/// control is for.
const MAX_WAITING: usize = 256;

/// Questions fetched when a host is reached.
const MAX_APPROVALS: u32 = 100;

/// Sessions whose last state is remembered, so that it is not shown twice. Beyond them one may be.
const MAX_SESSIONS: usize = 4_096;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// What a host's watcher tells.
#[derive(Debug)]
struct News {
    host: String,
    what: What,
}

#[derive(Debug)]
enum What {
    Reached,
    Away,
    Renewing(Renewal),
    Event(Box<HostEvent>),
    Waiting(Box<ApprovalRecord>),
    Notice(String),
    /// It will not be watched any more: why, and the exit code for that.
    Over(String, Exit),
}

/// Until Ctrl-C, or until no host is left to be watched.
pub(crate) async fn run(_: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let (sender, mut news) = mpsc::channel(MAX_WAITING);
    let mut watchers = start(invocation, &sender)?;
    drop(sender);
    if !invocation.json() {
        let hosts = render::plural(u64::try_from(watchers.len()).unwrap_or(u64::MAX), "host");
        invocation.terminal.status(&format!("Watching {hosts} (times in UTC); Ctrl-C ends it"))?;
    }
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut states = BTreeMap::new();
    let mut failed = None;
    loop {
        let news = tokio::select! {
            news = news.recv() => news,
            _ = interrupt.recv() => {
                watchers.shutdown().await;
                invocation.terminal.status("")?;
                return Ok(Exit::Completed);
            }
        };
        let Some(news) = news else { break };
        if let What::Over(why, exit) = &news.what {
            failed = Some((format!("{}: {why}", news.host), *exit));
        }
        show(invocation, &mut states, news)?;
    }
    invocation.terminal.status("")?;
    match failed {
        Some((why, exit)) => Err(none_left(&why, exit)),
        None => Ok(Exit::Completed),
    }
}

/// The last watcher has ended: its reason is the command's, with the exit code the reason has everywhere.
fn none_left(why: &str, exit: Exit) -> Failure {
    let text = format!("no host is left to be watched ({why})");
    match exit {
        Exit::Denied => Failure::Denied(text),
        Exit::Unreachable => Failure::Unreachable(text),
        Exit::Completed | Exit::Failed | Exit::Usage | Exit::Cancelled => Failure::Other(text),
    }
}

/// One watcher a host: those of `--host`, or all.
fn start(invocation: &Invocation, sender: &mpsc::Sender<News>) -> Result<JoinSet<()>, Failure> {
    let (state_dir, file) = (invocation.state_dir()?, invocation.hosts_file()?);
    let known = file.read()?.hosts;
    let (local, paired): (bool, Vec<KnownHost>) = match invocation.given_host() {
        Some(given) => match named(&known, given)? {
            Named::Local => (true, Vec::new()),
            Named::Paired(host) => (false, vec![host.clone()]),
        },
        // A machine that only joins others needs no host of its own to be watched.
        None => {
            let runs = attach(&state_dir).is_ok() || known.is_empty();
            (runs, known)
        }
    };
    let mut watchers = JoinSet::new();
    if local {
        let way = Way::Local(state_dir);
        watchers.spawn(watch(LOCAL.to_owned(), way, sender.clone()));
    }
    let mut first: Option<Route> = None;
    for host in paired {
        let alias = host.alias.clone();
        let route = match &first {
            Some(route) => route.for_host(host),
            None => Route::new(host, file.clone())?,
        };
        first.get_or_insert_with(|| route.clone());
        watchers.spawn(watch(alias, Way::Paired(Box::new(route)), sender.clone()));
    }
    Ok(watchers)
}

/// Follows one host for ever. Ends when nobody listens, or when the host does not want this device.
async fn watch(host: String, way: Way, sender: mpsc::Sender<News>) {
    let teller = Teller { host, sender };
    let mut connection = Connection::later(way, Patience::Forever);
    if let Err(failure) = follow(&mut connection, &teller).await {
        let why = failure.to_string();
        // The name stands before every line already.
        let why = why.strip_prefix(&format!("{}: ", teller.host)).unwrap_or(&why).to_owned();
        // Whether somebody still listens changes nothing any more.
        let _ = teller.tell(What::Over(why, failure.exit())).await;
    }
}

/// Where one host's news go.
struct Teller {
    host: String,
    sender: mpsc::Sender<News>,
}

impl Teller {
    /// Whether somebody listens.
    async fn tell(&self, what: What) -> bool {
        self.sender.send(News { host: self.host.clone(), what }).await.is_ok()
    }
}

async fn follow(connection: &mut Connection, teller: &Teller) -> Result<(), Failure> {
    // Asked for now, sent with the first connection, asked for again with every other.
    connection.send(SubscribeHost { after_host_seq: None })?;
    loop {
        let what = match connection.next().await? {
            Happening::Reconnected => {
                if !teller.tell(What::Reached).await {
                    return Ok(());
                }
                let list =
                    ListApprovals { session_id: None, include_settled: false, limit: Some(MAX_APPROVALS) };
                connection.send(list)?;
                continue;
            }
            Happening::Incoming(Incoming::Reply { answer, .. }) => {
                if let Response::ListApprovals(page) = *answer? {
                    for record in page.approvals {
                        if !teller.tell(What::Waiting(Box::new(record))).await {
                            return Ok(());
                        }
                    }
                }
                continue;
            }
            Happening::Reconnecting => What::Away,
            Happening::Renewing(what) => What::Renewing(what),
            Happening::Notice(text) => What::Notice(text),
            Happening::Incoming(Incoming::HostEvent(event)) => What::Event(event),
            Happening::Incoming(Incoming::Ended { error, .. }) => return Err(error.into()),
            Happening::Incoming(_) => continue,
        };
        if !teller.tell(what).await {
            return Ok(());
        }
    }
}

fn show(
    invocation: &mut Invocation,
    states: &mut BTreeMap<(String, String), &'static str>,
    news: News,
) -> Result<(), Failure> {
    if invocation.json() {
        let line = as_json(&news)?;
        return Ok(invocation.terminal.line(&line.to_string())?);
    }
    let host = news.host.as_str();
    let command = |what: &str| match host {
        LOCAL => invocation.command(what),
        host => invocation.command(&format!("--host {} {what}", render::shell_word(host))),
    };
    let line = match &news.what {
        What::Reached => WatchLine::Reached,
        What::Away => WatchLine::Away,
        What::Renewing(what) => WatchLine::Renewing(*what),
        What::Notice(text) => WatchLine::Notice(text),
        What::Over(why, _) => WatchLine::Over(why),
        What::Event(event) => {
            if let HostEventBody::SessionChanged(changed) = &event.body {
                // A session changes with every step; its line is shown when a person would see a difference.
                if states.len() >= MAX_SESSIONS {
                    states.clear();
                }
                let key = (host.to_owned(), changed.session.session_id.to_string());
                let Some((_, state)) = render::watched_session(&changed.session) else { return Ok(()) };
                if states.insert(key, state) == Some(state) {
                    return Ok(());
                }
            }
            let answer = match &event.body {
                HostEventBody::ApprovalPending(asked) => {
                    Some(command(&format!("approve {}", asked.approval_id)))
                }
                HostEventBody::PairingRequested(_) => Some(command("pairings")),
                _ => None,
            };
            WatchLine::Event(event, answer)
        }
        What::Waiting(record) => {
            let approve = command(&format!("approve {}", record.request.approval_id));
            WatchLine::Waiting(record, approve)
        }
    };
    let paint = invocation.terminal.paint;
    let text = render::watch_line(paint, host, &line, Timestamp::now());
    Ok(invocation.terminal.print(&text)?)
}

fn as_json(news: &News) -> Result<serde_json::Value, Failure> {
    let value = |value: Result<serde_json::Value, serde_json::Error>| value.map_err(std::io::Error::from);
    Ok(match &news.what {
        What::Reached => json!({ "host": news.host, "event": "reached" }),
        What::Away => json!({ "host": news.host, "event": "away" }),
        What::Renewing(what) => json!({ "host": news.host, "event": "away", "reason": what.word() }),
        What::Notice(text) => json!({ "host": news.host, "event": "notice", "message": text }),
        What::Over(why, _) => json!({ "host": news.host, "event": "over", "message": why }),
        What::Event(event) => {
            json!({ "host": news.host, "event": "hostEvent", "hostEvent": value(to_json_value(event))? })
        }
        What::Waiting(record) => {
            json!({ "host": news.host, "event": "approvalWaiting", "approval": value(to_json_value(record))? })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::none_left;
    use crate::exit::Exit;

    #[test]
    fn the_reason_of_the_last_host_decides_the_exit_code() {
        for exit in [Exit::Denied, Exit::Unreachable, Exit::Failed] {
            let failure = none_left("nas: revoked", exit);
            assert_eq!(failure.exit(), exit);
            assert_eq!(failure.to_string(), "no host is left to be watched (nas: revoked)");
        }
    }
}
