//! `lanyard hosts`: the hosts this device is paired with.

use std::time::{Duration, Instant};

use lanyard_pairing::PublicIdentity;
use lanyard_protocol::Timestamp;
use lanyard_protocol::method::Identify;
use lanyard_protocol::principal::Scope;
use serde_json::json;
use tokio::task::JoinSet;

use crate::exit::{Exit, Failure};
use crate::host::{Connection, Named, Patience, RemoteError, Route, named};
use crate::invocation::Invocation;
use crate::known::{KnownHost, LOCAL, fits_alias};
use crate::render::{self, Standing};

/// How long a host is tried, and how much of that the network is listened to: what was found out by then is told.
const WITHIN: Duration = Duration::from_secs(2);
const LISTEN: Duration = Duration::from_millis(1_200);

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// Do not try to reach them
    #[arg(long)]
    offline: bool,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List them, and whether they can be reached
    List {
        /// Do not try to reach them
        #[arg(long)]
        offline: bool,
    },
    /// Call a host something else on this machine
    Rename {
        /// The host
        name: String,
        /// What it is called from now on: letters, digits, `.`, `_` and `-`, in lower case
        new: String,
    },
    /// Forget a host on this machine only; `lanyard unpair` tells the host too
    Forget {
        /// The host
        name: String,
    },
}

pub(crate) async fn run(args: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    match args.what.unwrap_or(What::List { offline: args.offline }) {
        What::List { offline } => list(invocation, offline).await?,
        What::Rename { name, new } => rename(invocation, &name, &new)?,
        What::Forget { name } => forget(invocation, &name)?,
    }
    Ok(Exit::Completed)
}

async fn list(invocation: &mut Invocation, offline: bool) -> Result<(), Failure> {
    let file = invocation.hosts_file()?;
    let known = file.read()?;
    let mut rows: Vec<(KnownHost, Standing)> =
        known.hosts.into_iter().map(|host| (host, Standing::NotTried)).collect();
    if let (false, Some((first, _))) = (offline, rows.first()) {
        invocation.terminal.status("Trying the hosts…")?;
        let way = Route::new(first.clone(), file.clone())?;
        let mut tries = JoinSet::new();
        for (at, (host, _)) in rows.iter().enumerate() {
            let route = way.for_host(host.clone());
            tries.spawn(async move { (at, standing(route).await) });
        }
        let mut notices = Vec::new();
        while let Some(tried) = tries.join_next().await {
            let Ok((at, tried)) = tried else { continue };
            let Some(row) = rows.get_mut(at) else { continue };
            row.1 = tried.standing;
            notices.extend(tried.notice);
            if let Some(identity) = tried.identity {
                row.0.identity = identity;
            }
            if let Some(scopes) = tried.scopes.filter(|scopes| *scopes != row.0.scopes) {
                let of = row.0.fingerprint();
                row.0.scopes.clone_from(&scopes);
                file.change_aside(move |known| known.host_mut(of).map(|host| host.scopes = scopes)).await?;
            }
        }
        invocation.terminal.status("")?;
        for notice in notices {
            invocation.terminal.note(&notice)?;
        }
    }
    let text = match invocation.json() {
        true => {
            let hosts: Vec<_> = rows.iter().map(|(host, standing)| as_json(host, standing)).collect();
            let waiting = known.pending.iter().map(|one| {
                json!({
                    "name": one.alias,
                    "hostId": one.join.host().fingerprint().to_string(),
                    "digits": one.join.digits().to_string(),
                    "startedAt": one.started_at,
                })
            });
            format!("{}\n", json!({ "hosts": hosts, "waiting": waiting.collect::<Vec<_>>() }))
        }
        false => render::hosts(invocation.terminal.paint, &rows, &known.pending, Timestamp::now()),
    };
    Ok(invocation.terminal.print(&text)?)
}

/// What a try to reach a host has found out.
pub(super) struct Tried {
    pub(super) standing: Standing,
    /// The rights this device has there now.
    scopes: Option<Vec<Scope>>,
    /// Its keys, which may have followed from those known before.
    identity: Option<PublicIdentity>,
    /// What a person should know.
    pub(super) notice: Option<String>,
}

impl Tried {
    fn without(standing: Standing) -> Self {
        Self { standing, scopes: None, identity: None, notice: None }
    }
}

/// Whether a host answers, and what it says of this device.
pub(super) async fn standing(route: Route) -> Tried {
    let started = Instant::now();
    let reached = tokio::time::timeout(WITHIN, async {
        let mut reached = route.listening(LISTEN).reach().await?;
        let (notice, identity) = (reached.notice.take(), *reached.route.identity());
        let address = reached.session.address().to_string();
        let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut connection = Connection::over(reached, Patience::None);
        // What it thinks of this device is a courtesy; that it accepted it is known by now.
        let scopes = connection.call(Identify {}).await.ok().map(|identity| identity.principal.scopes);
        let standing = Standing::Reachable { address, millis };
        Ok::<_, RemoteError>(Tried { standing, scopes, identity: Some(identity), notice })
    });
    match reached.await {
        Ok(Ok(found)) => found,
        Ok(Err(error @ RemoteError::Unreachable { .. })) => Tried::without(Standing::Silent(reason(&error))),
        Ok(Err(error @ RemoteError::Unfit { .. })) => Tried::without(Standing::Unfit(reason(&error))),
        Ok(Err(error)) => Tried::without(Standing::Refuses(reason(&error))),
        Err(_) => Tried::without(Standing::Silent(format!("no answer within {} s", WITHIN.as_secs()))),
    }
}

/// The error without the name, which stands beside it.
pub(super) fn reason(error: &RemoteError) -> String {
    match error {
        RemoteError::Unreachable { reason, .. } | RemoteError::Unfit { reason, .. } => reason.to_string(),
        RemoteError::TurnedAway { reason, .. } => reason.to_string(),
        RemoteError::IdentityChanged { address, why, .. } => {
            format!("identity changed: another key at {address} ({why}); reinstalled, or an impostor")
        }
        RemoteError::Gone { reason, .. } => reason.clone(),
    }
}

fn as_json(host: &KnownHost, standing: &Standing) -> serde_json::Value {
    let (status, detail) = match standing {
        Standing::NotTried => ("notTried", None),
        Standing::Reachable { address, .. } => ("reachable", Some(address)),
        Standing::Silent(why) => ("unreachable", Some(why)),
        Standing::Refuses(why) | Standing::Unfit(why) => ("refused", Some(why)),
    };
    json!({
        "name": host.alias,
        "hostName": host.name,
        "hostId": host.fingerprint().to_string(),
        "addresses": host.addresses,
        "scopes": host.scopes,
        "pairedAt": host.paired_at,
        "status": status,
        "detail": detail,
    })
}

/// The paired host of a name, with what waits of it left aside.
pub(super) fn paired(invocation: &Invocation, name: &str) -> Result<KnownHost, Failure> {
    match named(&invocation.hosts_file()?.read()?.hosts, name)? {
        Named::Paired(host) => Ok(host.clone()),
        Named::Local => Err(Failure::Usage(format!("{LOCAL} is this machine's own host; name a paired one"))),
    }
}

fn rename(invocation: &mut Invocation, name: &str, new: &str) -> Result<(), Failure> {
    if !fits_alias(new) {
        return Err(Failure::Usage(format!(
            "{new:?} cannot be the name of a host here: use up to 32 letters, digits, '.', '_' and '-' in lower \
             case, and not `{LOCAL}`"
        )));
    }
    let host = paired(invocation, name)?;
    let of = host.fingerprint();
    let renamed = invocation.hosts_file()?.change(|known| {
        let taken = known.hosts.iter().any(|other| other.alias == new && other.fingerprint() != of)
            || known.pending.iter().any(|one| one.alias == new && one.join.host().fingerprint() != of);
        if !taken && let Some(host) = known.host_mut(of) {
            host.alias = new.to_owned();
        }
        !taken
    })?;
    match renamed {
        true => done(invocation, &format!("{} is called {new} here now.", host.alias)),
        false => Err(Failure::Usage(format!("another host is called {new} here already"))),
    }
}

/// Pairings that wait can be forgotten too, by what they would be called.
fn forget(invocation: &mut Invocation, name: &str) -> Result<(), Failure> {
    let file = invocation.hosts_file()?;
    let waiting = file.read()?.pending.into_iter().find(|one| one.alias == name);
    let (of, alias) = match (named(&file.read()?.hosts, name), waiting) {
        (Ok(Named::Paired(host)), _) => (host.fingerprint(), host.alias.clone()),
        (_, Some(one)) => (one.join.host().fingerprint(), one.alias),
        (Ok(Named::Local), None) => {
            return Err(Failure::Usage(format!("{LOCAL} is this machine's own host; name a paired one")));
        }
        (Err(failure), None) => return Err(failure),
    };
    file.change(|known| known.forget(of))?;
    done(
        invocation,
        &format!(
            "{alias} is forgotten here. The host still lists this device until somebody revokes it there."
        ),
    )
}

/// A sentence for a person, or `{}` for a script.
pub(super) fn done(invocation: &mut Invocation, text: &str) -> Result<(), Failure> {
    let json = invocation.json();
    Ok(invocation.terminal.line(if json { "{}" } else { text })?)
}
