//! `lanyard join`: pairs this machine with a host elsewhere, by the link of its QR code or by its code.
//!
//! The order is what survives a crash: what the wait needs is written down before the digits are shown, and the host is
//! written down before the host is told so.

mod find;
mod wait;

use std::net::SocketAddr;

use lanyard_pairing::device::{About, Secret};
use lanyard_pairing::{Abort, PairingCode, PairingLink};
use lanyard_protocol::Timestamp;
use lanyard_protocol::limits::MAX_DEVICE_NAME_BYTES;
use lanyard_protocol::principal::Scope;
use lanyard_transport::dial::{Candidate, Dialer, Source};
use lanyard_transport::join::{JoinError, Waiting};
use serde_json::json;

use crate::args::{ScopeArg, address, scopes};
use crate::exit::{Exit, Failure};
use crate::invocation::Invocation;
use crate::known::{HostsFile, PendingHost, device_key, device_key_or_new};
use crate::render::{self, visible};
use wait::Wait;

/// Times a mistyped code may be typed again; more are no slips.
const TYPING_ATTEMPTS: u32 = 5;

/// What a device asks for unless told otherwise: everything but managing the host.
const USUAL_SCOPES: [Scope; 3] = [Scope::Observe, Scope::Operate, Scope::Approve];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The link under the QR code, or the host's name on the network, or its address; nothing goes on with a pairing
    /// that waits
    #[arg(value_name = "HOST|LINK", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    whom: Option<String>,
    /// The code on the host's screen [default: asked for]
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// Where the host is; may be given several times
    #[arg(long = "address", value_name = "IP:PORT", value_parser = address)]
    addresses: Vec<SocketAddr>,
    /// What this machine is called on the host [default: its host name]
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: Option<String>,
    /// Rights to ask for, `observe` always among them [default: observe,operate,approve]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "RIGHTS")]
    scopes: Vec<ScopeArg>,
    /// Go on with a pairing that waits for its answer
    #[arg(long, conflicts_with_all = ["whom", "code"])]
    resume: bool,
}

/// The exit code is 0 when paired, 3 when denied, 4 when interrupted (the wait can be gone on with), 5 when there is no
/// way to the host.
pub(crate) async fn run(args: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    match join(args, invocation).await {
        Ok(exit) => Ok(exit),
        Err(Failed { failure, reason }) => {
            if invocation.json() {
                let line = json!({ "event": "failed", "reason": reason, "message": failure.to_string() });
                invocation.terminal.line(&line.to_string())?;
            }
            Err(failure)
        }
    }
}

/// A pairing that came to nothing, with a stable word for scripts: that of [`Abort`], or `unreachable`, `connection`,
/// `failed`.
#[derive(Debug)]
struct Failed {
    failure: Failure,
    reason: &'static str,
}

impl<E: Into<Failure>> From<E> for Failed {
    fn from(error: E) -> Self {
        let failure = error.into();
        let reason = if failure.exit() == Exit::Unreachable { "unreachable" } else { "failed" };
        Self { failure, reason }
    }
}

async fn join(args: Args, invocation: &mut Invocation) -> Result<Exit, Failed> {
    let file = invocation.hosts_file()?;
    let nothing_given = args.whom.is_none() && args.code.is_none() && args.addresses.is_empty();
    let waiting = file.read()?.pending.pop();
    match (waiting, args.resume) {
        (Some(pending), resume) if resume || nothing_given => {
            return go_on(pending, &args.addresses, file, invocation).await;
        }
        (None, true) => {
            let text = "no pairing waits for an answer; begin one: lanyard join";
            return Err(Failure::Usage(text.to_owned()).into());
        }
        _ => {}
    }
    let about = about(&args);
    let (secret, candidates) = match args.whom.as_deref().filter(|text| text.contains("://")) {
        Some(link) => by_link(link, &args)?,
        None => by_code(&args, invocation).await?,
    };
    let keys = device_key_or_new(&file)?;
    let dialer = Dialer::new(&keys).map_err(|e| Failure::Other(e.to_string()))?;
    invocation.terminal.status("Pairing…")?;
    let short = match &secret {
        Secret::Link(_, host) => Some(host.short()),
        Secret::Code(_) => None,
    };
    let mut joined = lanyard_transport::join::join(&dialer, &keys, &candidates, &about, secret.clone()).await;
    if let (Err(JoinError::Dial(_)), Some(short)) = (&joined, short) {
        // Nobody was there, so that nothing was used up: the host may have moved since the link was made.
        let heard = find::by_short_id(&short).await;
        if !heard.is_empty() {
            joined = lanyard_transport::join::join(&dialer, &keys, &heard, &about, secret).await;
        }
    }
    invocation.terminal.status("")?;
    let waiting = joined.map_err(failed)?;
    let (pending, address) = (waiting.pending().clone(), waiting.address());
    let alias = file.change_aside(move |known| known.wait_for(pending, address, Timestamp::now())).await?;
    show_digits(invocation, &waiting, &alias)?;
    let wait = Wait { dialer, file, pending: waiting.pending().clone(), addresses: vec![waiting.address()] };
    wait.answer(Some(waiting), invocation).await
}

/// Goes on with a pairing that was left.
async fn go_on(
    pending: PendingHost,
    given: &[SocketAddr],
    file: HostsFile,
    invocation: &mut Invocation,
) -> Result<Exit, Failed> {
    let keys = device_key(file.state_dir())?;
    let dialer = Dialer::new(&keys).map_err(|e| Failure::Other(e.to_string()))?;
    let host = visible::line(pending.join.host_name()).into_owned();
    if invocation.json() {
        let line = json!({
            "event": "digits",
            "digits": plain(&pending.join.digits().to_string()),
            "host": pending.join.host_name(),
            "hostId": pending.join.host().fingerprint().to_string(),
        });
        invocation.terminal.line(&line.to_string())?;
    } else {
        let width = invocation.terminal.width();
        let digits = render::banner(&pending.join.digits().to_string(), width);
        invocation.terminal.print(&format!("Going on with the pairing with {host}.\n\n{digits}\n"))?;
    }
    let addresses = given.iter().chain(&pending.addresses).copied().collect();
    let wait = Wait { dialer, file, pending: pending.join, addresses };
    wait.answer(None, invocation).await
}

/// What this device says about itself.
fn about(args: &Args) -> About {
    let name = args.name.clone().unwrap_or_else(|| {
        rustix::system::uname().nodename().to_string_lossy().chars().filter(|c| !c.is_control()).collect()
    });
    let mut name = name.trim().to_owned();
    if name.is_empty() {
        name = "device".to_owned();
    }
    // On a character's border.
    while name.len() > MAX_DEVICE_NAME_BYTES {
        name.pop();
    }
    let scopes = scopes(&args.scopes).unwrap_or_else(|| USUAL_SCOPES.to_vec());
    About { name, platform: std::env::consts::OS.to_owned(), scopes }
}

fn candidates(addresses: &[SocketAddr], source: Source) -> impl Iterator<Item = Candidate> {
    addresses.iter().map(move |address| Candidate { address: *address, source })
}

fn by_link(link: &str, args: &Args) -> Result<(Secret, Vec<Candidate>), Failure> {
    if args.code.is_some() {
        return Err(Failure::Usage("a link needs no --code".to_owned()));
    }
    if link.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://")) {
        let text = "this link opens the owner's page in a browser on the host's own machine; to pair another \
                    device, run `lanyard pair` on the host and use the link it shows";
        return Err(Failure::Usage(text.to_owned()));
    }
    let link = PairingLink::parse(link).map_err(|e| Failure::Usage(e.to_string()))?;
    let given = candidates(&args.addresses, Source::Given);
    let all = given.chain(candidates(&link.addresses, Source::Link)).collect();
    Ok((Secret::Link(link.secret, link.host), all))
}

/// The code as given or typed, and where the host is. The host first: a code is not typed for nobody.
async fn by_code(args: &Args, invocation: &mut Invocation) -> Result<(Secret, Vec<Candidate>), Failure> {
    let given = args.code.as_deref().map(parse_code).transpose()?;
    if given.is_none() && !invocation.terminal.stdin_is_terminal {
        let text = "there is nobody to ask for the code: pass --code CODE, or the link (run `lanyard pair` on the host)";
        return Err(Failure::Usage(text.to_owned()));
    }
    let mut candidates: Vec<Candidate> = candidates(&args.addresses, Source::Given).collect();
    match args.whom.as_deref().map(|host| (host, address(host))) {
        Some((_, Ok(address))) => candidates.push(Candidate { address, source: Source::Given }),
        // Addresses given are enough; the name is not needed then.
        _ if !candidates.is_empty() => {}
        named => candidates = find::by_name(named.map(|(name, _)| name), invocation).await?,
    }
    let code = match given {
        Some(code) => code,
        None => ask_code(invocation)?,
    };
    Ok((Secret::Code(code), candidates))
}

fn parse_code(typed: &str) -> Result<PairingCode, Failure> {
    PairingCode::parse(typed).map_err(|e| Failure::Usage(e.to_string()))
}

fn ask_code(invocation: &mut Invocation) -> Result<PairingCode, Failure> {
    for _ in 0..TYPING_ATTEMPTS {
        let Some(typed) = invocation.terminal.ask("Code on the host's screen: ")? else { break };
        match PairingCode::parse(&typed) {
            Ok(code) => return Ok(code),
            Err(error) => invocation.terminal.note(&error.to_string())?,
        }
    }
    Err(Failure::Usage("no code was typed; `lanyard pair` on the host shows one".to_owned()))
}

fn show_digits(invocation: &mut Invocation, waiting: &Waiting, alias: &str) -> Result<(), Failure> {
    let pending = waiting.pending();
    if invocation.json() {
        let line = json!({
            "event": "digits",
            "digits": plain(&pending.digits().to_string()),
            "host": pending.host_name(),
            "hostId": pending.host().fingerprint().to_string(),
            "name": alias,
            "address": waiting.address(),
        });
        return Ok(invocation.terminal.line(&line.to_string())?);
    }
    let host = visible::line(pending.host_name()).into_owned();
    let digits = render::banner(&pending.digits().to_string(), invocation.terminal.width());
    let text = format!(
        "{host} at {} asks its owner. Its screen asks for, or shows, these digits:\n\n{digits}\n",
        waiting.address()
    );
    Ok(invocation.terminal.print(&text)?)
}

/// Digits without the gap.
fn plain(digits: &str) -> String {
    digits.chars().filter(char::is_ascii_digit).collect()
}

/// The failure of its kind.
fn failed(error: JoinError) -> Failed {
    let text = error.to_string();
    match error {
        JoinError::Dial(_) => Failed { failure: Failure::Unreachable(text), reason: "unreachable" },
        JoinError::Ended(_) => Failed { failure: Failure::Unreachable(text), reason: "connection" },
        JoinError::Abort(abort @ Abort::Denied) => {
            Failed { failure: Failure::Denied(text), reason: abort.word() }
        }
        JoinError::Abort(abort) => Failed { failure: Failure::Other(text), reason: abort.word() },
    }
}

#[cfg(test)]
mod tests {
    use super::{Failed, USUAL_SCOPES, about, failed, plain};
    use crate::args::{Cli, Command};
    use crate::exit::Exit;
    use clap::Parser;
    use lanyard_pairing::Abort;
    use lanyard_transport::close::Ended;
    use lanyard_transport::dial::DialError;
    use lanyard_transport::join::JoinError;

    fn args(line: &str) -> super::Args {
        let line = std::iter::once("lanyard").chain(line.split(' '));
        match Cli::try_parse_from(line).unwrap().command {
            Command::Join(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_device_says_what_it_is() {
        let this = about(&args("join"));
        assert!(!this.name.is_empty() && this.name.len() <= 64);
        assert_eq!(this.scopes, USUAL_SCOPES);
        let long = about(&args(&format!("join --name {}", "ü".repeat(40))));
        assert_eq!(long.name, "ü".repeat(32), "cut on a character's border");
        let few = about(&args("join --scopes approve"));
        assert_eq!(crate::render::scopes_list(&few.scopes), "observe,approve");
    }

    #[test]
    fn each_kind_of_failure_has_its_code() {
        let kind = |error| {
            let Failed { failure, reason } = failed(error);
            (failure.exit(), reason)
        };
        assert_eq!(kind(JoinError::Abort(Abort::Denied)), (Exit::Denied, "denied"));
        assert_eq!(kind(JoinError::Abort(Abort::WrongSecret)), (Exit::Failed, "wrong_secret"));
        assert_eq!(kind(JoinError::Dial(DialError::NoCandidates)), (Exit::Unreachable, "unreachable"));
        assert_eq!(kind(JoinError::Ended(Ended::TimedOut)), (Exit::Unreachable, "connection"));
        assert_eq!(plain("123 456"), "123456");
    }
}
