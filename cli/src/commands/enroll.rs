//! `lanyard enroll`: this machine's host becomes one of a tenant's.

use std::io::Read;
use std::path::Path;

use lanyard_protocol::Timestamp;
use lanyard_protocol::method::{EnrolHost, Response};
use tokio::signal::unix::{Signal, SignalKind, signal};
use zeroize::Zeroizing;

use crate::exit::{Exit, Failure};
use crate::host::Patience;
use crate::invocation::Invocation;
use crate::keys::Keys;
use crate::render::{self, Consent, consent_words};

/// Where a script may put the token. Not on the command line: every user of the machine can read that.
const TOKEN_VARIABLE: &str = "LANYARD_ENROLL_TOKEN";

/// Longest token read, in bytes; they have about a hundred.
const MAX_TOKEN_BYTES: usize = 4 * 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the central services are, like https://central.example:7720
    url: String,
    /// Read the one-time token from a file, `-` for standard input [default: LANYARD_ENROLL_TOKEN, else it is asked for]
    #[arg(long, value_name = "FILE")]
    token_file: Option<std::path::PathBuf>,
    /// Let the centre have this machine do work (its own policy and your approvals still count)
    #[arg(long)]
    accept_jobs: bool,
    /// Let the centre answer approvals and pairings of this machine
    #[arg(long)]
    accept_answers: bool,
    /// Let sessions from before go on, and send each whole to the centre once it does; without this they can be read and
    /// go on after `lanyard unenroll`. Those of an earlier enrolment stay as they are
    #[arg(long)]
    share_earlier_sessions: bool,
}

pub(crate) async fn run(args: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let url = address(&args.url)?;
    let Some(token) = token(args.token_file.as_deref(), invocation).await? else {
        return Ok(Exit::Cancelled);
    };
    let mut interrupt = signal(SignalKind::interrupt())?;
    let Some(accept_jobs) = consent(Consent::Jobs, args.accept_jobs, invocation, &mut interrupt).await?
    else {
        return Ok(Exit::Cancelled);
    };
    let Some(accept_answers) =
        consent(Consent::Answers, args.accept_answers, invocation, &mut interrupt).await?
    else {
        return Ok(Exit::Cancelled);
    };
    let mut connection = invocation.connect_local_or_start(Patience::None)?;
    let share_earlier_sessions = args.share_earlier_sessions;
    let token = token.to_string();
    let request = EnrolHost { url, token, accept_jobs, accept_answers, share_earlier_sessions };
    let sync = invocation.command("sync status");
    let status = tokio::select! {
        status = connection.call(request) => status?,
        _ = interrupt.recv() => {
            invocation.terminal.note(&format!("The host may go on enrolling; `{sync}` says what became of it."))?;
            return Ok(Exit::Cancelled);
        }
    };
    invocation.show(Response::EnrolHost(status.clone()), |terminal| {
        render::enrolled(terminal.paint, &status, (&sync, share_earlier_sessions), Timestamp::now())
    })?;
    Ok(Exit::Completed)
}

/// The address as it is sent on: a URL without a user name, a query or a fragment.
fn address(text: &str) -> Result<String, Failure> {
    let usage = |why: &str| {
        Failure::Usage(format!("{why}; central services are at an address like https://central.example:7720"))
    };
    let url = url::Url::parse(text.trim()).map_err(|_| usage("this is not a URL"))?;
    if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none() {
        return Err(usage("the URL must begin with https:// and name a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(usage("the URL must not hold a user name or a password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(usage("the URL must end with its path"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// The token, from wherever it is; `None` when the person gave up.
async fn token(
    file: Option<&Path>,
    invocation: &mut Invocation,
) -> Result<Option<Zeroizing<String>>, Failure> {
    let typed = match file {
        Some(path) if path == Path::new("-") => Some(read_token(std::io::stdin().lock(), "standard input")?),
        Some(path) => {
            let shown = path.display().to_string();
            let opened = std::fs::File::open(path)
                .map_err(|e| Failure::Usage(format!("--token-file {shown}: {e}")))?;
            Some(read_token(opened, &shown)?)
        }
        None => match std::env::var(TOKEN_VARIABLE) {
            Ok(token) => Some(Zeroizing::new(token)),
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(Failure::Usage(format!("{TOKEN_VARIABLE} holds no token")));
            }
            Err(std::env::VarError::NotPresent) if invocation.terminal.stdin_is_terminal => {
                type_token(invocation).await?
            }
            Err(std::env::VarError::NotPresent) => {
                Some(read_token(std::io::stdin().lock(), "standard input")?)
            }
        },
    };
    let Some(typed) = typed else { return Ok(None) };
    let token = Zeroizing::new(typed.trim().to_owned());
    match check_token(&token) {
        Ok(()) => Ok(Some(token)),
        Err(why) => Err(Failure::Usage(format!(
            "{why}; an administrator of the central services issues it, for one machine and one day: pass \
             --token-file FILE, or set {TOKEN_VARIABLE}"
        ))),
    }
}

fn check_token(token: &str) -> Result<(), &'static str> {
    if token.is_empty() {
        return Err("there is no token");
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the token holds a blank, a line break or a character that no token has");
    }
    Ok(())
}

fn read_token(from: impl Read, shown: &str) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let limit = u64::try_from(MAX_TOKEN_BYTES).unwrap_or(u64::MAX);
    from.take(limit + 1).read_to_string(&mut text).map_err(|e| Failure::Usage(format!("{shown}: {e}")))?;
    if text.len() > MAX_TOKEN_BYTES {
        return Err(Failure::Usage(format!("{shown} is too long to be a token")));
    }
    Ok(text)
}

/// Typed or pasted, and not shown; `None` on Ctrl-C.
async fn type_token(invocation: &mut Invocation) -> Result<Option<Zeroizing<String>>, Failure> {
    // Before the terminal is made mute: ended in between, it would stay so.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut keys = Keys::open_for_text()?;
    // Room for all of it: growing would leave copies behind.
    let mut typed = Zeroizing::new(String::with_capacity(MAX_TOKEN_BYTES));
    invocation.terminal.note("One-time token from your administrator (it is not shown), then Enter:")?;
    loop {
        let key = tokio::select! {
            key = keys.next() => key?,
            _ = interrupt.recv() => return Ok(None),
        };
        match key {
            '\r' | '\n' => return Ok(Some(typed)),
            '\u{8}' | '\u{7f}' => drop(typed.pop()),
            '\u{4}' => return Ok(None),
            key if typed.len() < MAX_TOKEN_BYTES => typed.push(key),
            _ => {}
        }
    }
}

/// Whether the centre may do this: as the flag says, else as the person at the terminal says, else not. Never without
/// words on what it means. `None` on Ctrl-C.
async fn consent(
    what: Consent,
    given: bool,
    invocation: &mut Invocation,
    interrupt: &mut Signal,
) -> Result<Option<bool>, Failure> {
    if given {
        if !invocation.json() {
            invocation.terminal.note(&consent_words(what, true))?;
        }
        return Ok(Some(true));
    }
    if !invocation.terminal.stdin_is_terminal || invocation.json() {
        return Ok(Some(false));
    }
    invocation.terminal.note(&format!("\n{}\n  [y] allow  [n] not", render::consent_question(what)))?;
    let mut keys = Keys::open()?;
    loop {
        let key = tokio::select! {
            key = keys.next() => key?,
            _ = interrupt.recv() => return Ok(None),
        };
        let allowed = match key {
            'y' | 'Y' => true,
            'n' | 'N' | '\r' | '\n' => false,
            '\u{4}' => return Ok(None),
            _ => continue,
        };
        invocation.terminal.note(&consent_words(what, allowed))?;
        return Ok(Some(allowed));
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_TOKEN_BYTES, address, check_token, read_token};

    #[test]
    fn an_address_is_a_plain_url() {
        for (text, expected) in [
            ("https://central.example:7720", "https://central.example:7720"),
            (" https://central.example:7720/ ", "https://central.example:7720"),
            ("http://127.0.0.1:7720", "http://127.0.0.1:7720"),
            ("https://example.org/lanyard/", "https://example.org/lanyard"),
        ] {
            assert_eq!(address(text).unwrap(), expected);
        }
        for text in [
            "central.example",
            "ftp://c",
            "https://me:secret@c",
            "https://c/?t=1",
            "https://c/#t",
            "https://",
        ] {
            let error = address(text).unwrap_err();
            assert_eq!(error.exit().code(), 2, "{text}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_token_is_one_word_and_not_a_film() {
        assert_eq!(check_token("lanyard-reg-abc"), Ok(()));
        for token in ["", "two words", "line\nbreak", "schlüssel"] {
            assert!(check_token(token).is_err(), "{token:?}");
        }
        assert_eq!(read_token(&b"token\n"[..], "f").unwrap().as_str(), "token\n");
        assert!(read_token(&vec![b'a'; MAX_TOKEN_BYTES + 1][..], "f").is_err());
        assert!(read_token(&[0xff, 0xfe][..], "f").is_err());
    }
}
