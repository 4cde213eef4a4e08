//! `lanyard unpair`: ends the pairing with a host, on both sides.

use lanyard_protocol::method::Unpair;
use lanyard_transport::close::{CloseCode, Ended};

use super::hosts::{done, paired, reason};
use crate::exit::{Exit, Failure};
use crate::host::{Connection, HostError, Patience, RemoteError, Route};
use crate::invocation::Invocation;
use crate::known::KnownHost;
use crate::render::visible;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The host (`lanyard hosts`)
    name: String,
    /// Forget it here even when it cannot be told
    #[arg(long)]
    force: bool,
}

pub(crate) async fn run(args: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let host = paired(invocation, &args.name)?;
    let file = invocation.hosts_file()?;
    let alias = host.alias.clone();
    let told = match tell(Route::new(host, file.clone())?).await {
        Ok(()) => format!("{alias} and this device are paired no more."),
        Err(Failure::Host(HostError::Remote(RemoteError::TurnedAway {
            reason: Ended::ByPeer(CloseCode::NotPaired | CloseCode::Revoked | CloseCode::Unpaired),
            ..
        }))) => {
            format!("{alias} did not know this device any more; it is forgotten here too.")
        }
        Err(failure) if args.force => not_told(&alias, &failure),
        Err(failure) => {
            let text = format!("{failure}\nTo forget it here all the same: lanyard unpair --force {alias}");
            return Err(match failure {
                Failure::Host(_) => Failure::Unreachable(text),
                _ => Failure::Other(text),
            });
        }
    };
    // By the name: the host's keys may have changed on the way.
    file.change(|known| {
        if let Some(of) = known.hosts.iter().find(|host| host.alias == alias).map(KnownHost::fingerprint) {
            known.forget(of);
        }
    })?;
    done(invocation, &told)?;
    Ok(Exit::Completed)
}

/// What is said when a host is forgotten without its knowledge.
fn not_told(alias: &str, failure: &Failure) -> String {
    let why = match failure {
        // The name stands in front, and what to do about it is what follows.
        Failure::Host(HostError::Remote(error)) => reason(error),
        failure => failure.to_string(),
    };
    let why = visible::line(&why);
    format!(
        "{alias} was not told ({why}). It is forgotten here; revoke this device there with `lanyard devices`."
    )
}

/// Tells the host.
async fn tell(route: Route) -> Result<(), Failure> {
    let reached = route.reach().await?;
    match Connection::over(reached, Patience::None).call(Unpair {}).await {
        Ok(_) => Ok(()),
        // It cuts the connection right after its answer, or before that was read.
        Err(Failure::Host(HostError::Remote(RemoteError::TurnedAway {
            reason: Ended::ByPeer(CloseCode::Unpaired),
            ..
        }))) => Ok(()),
        Err(failure) => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::not_told;
    use crate::host::RemoteError;

    #[test]
    fn forgetting_by_force_names_a_short_reason() {
        let changed = RemoteError::IdentityChanged {
            alias: "nas".into(),
            address: "192.168.1.7:7717".parse().unwrap(),
            why: "no record leads to it".into(),
        };
        assert_eq!(
            not_told("nas", &changed.into()),
            "nas was not told (identity changed: another key at 192.168.1.7:7717 (no record leads to it); reinstalled, \
             or an impostor). It is forgotten here; revoke this device there with `lanyard devices`."
        );
    }
}
