//! Configuration: flags and environment, checked once, before anything is bound or written.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser, Subcommand};
use lanyard_governance_api::endpoint::Service;

use crate::proxy::Network;

/// Where central listens unless told otherwise.
const LISTEN: &str = "127.0.0.1:8787";

/// Central governance services for Lanyard hosts: enrolment, policy, sessions, approvals, artifacts, audit, telemetry.
///
/// Without arguments: everything in one process, on loopback, with SQLite and a directory. `DATABASE_URL` and
/// `ARTIFACT_STORE_URL` name a PostgreSQL database and an S3 bucket instead.
#[derive(Debug, Parser)]
#[command(name = "lanyard-central", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print a one-time link with which the operator signs in to the console.
    SignInLink,
    /// Print the OpenAPI document.
    Openapi,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Keys, and the embedded database and artifacts. Replicas share the keys of one.
    #[arg(long, global = true, env = "LANYARD_CENTRAL_STATE_DIR", value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Address to listen at. Plain HTTP on loopback; anywhere else TLS.
    #[arg(long, env = "LANYARD_CENTRAL_LISTEN", value_name = "IP:PORT", default_value = LISTEN)]
    pub(crate) listen: SocketAddr,
    /// Addresses of a proxy that passes connections through, or networks like 10.1.0.0/16: they must begin each connection
    /// with a header of the PROXY protocol, version 2, which says from where it came; nobody else may. Without it, all who
    /// come through a proxy and have not said who they are share one pace.
    #[arg(
        long,
        env = "LANYARD_CENTRAL_PROXY_PROTOCOL_FROM",
        value_name = "ADDRESSES",
        value_delimiter = ','
    )]
    pub(crate) proxy_protocol_from: Vec<String>,
    /// Services of this process, by name; all by default.
    #[arg(long, env = "LANYARD_CENTRAL_SERVICES", value_name = "NAMES", value_delimiter = ',')]
    pub(crate) services: Vec<String>,
    /// Where a service of another process is, like session=https://10.0.0.2:8787. May be repeated.
    #[arg(long, env = "LANYARD_CENTRAL_PEERS", value_name = "SERVICE=URL", value_delimiter = ',')]
    pub(crate) peer: Vec<String>,
    /// Where browsers and hosts reach this installation.
    #[arg(long, global = true, env = "LANYARD_CENTRAL_PUBLIC_URL", value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// PostgreSQL, or sqlite://PATH; the embedded file by default.
    #[arg(long, global = true, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) database_url: Option<String>,
    /// s3://BUCKET/PREFIX?region=…, or a directory; the embedded directory by default.
    #[arg(long, env = "ARTIFACT_STORE_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) artifact_store_url: Option<String>,
    /// Issuer of the OpenID Connect provider at which people sign in.
    #[arg(long, global = true, env = "LANYARD_CENTRAL_OIDC_ISSUER", value_name = "URL")]
    pub(crate) oidc_issuer: Option<String>,
    /// Our client id there.
    #[arg(long, global = true, env = "LANYARD_CENTRAL_OIDC_CLIENT_ID", value_name = "ID")]
    pub(crate) oidc_client_id: Option<String>,
    /// A file with our client secret.
    #[arg(long, global = true, env = "LANYARD_CENTRAL_OIDC_CLIENT_SECRET_FILE", value_name = "FILE")]
    pub(crate) oidc_client_secret_file: Option<PathBuf>,
    /// The LLM gateway that sessions are sent to.
    #[arg(long, env = "LANYARD_CENTRAL_LLM_ENDPOINT", value_name = "URL")]
    pub(crate) llm_endpoint: Option<String>,
    /// The model sessions ask it for.
    #[arg(long, env = "LANYARD_CENTRAL_LLM_MODEL", value_name = "NAME")]
    pub(crate) llm_model: Option<String>,
    /// A file with a token for the gateway, handed to every session as it is. Without it, tokens are minted per session
    /// with gateway.key.
    #[arg(long, env = "LANYARD_CENTRAL_LLM_TOKEN_FILE", value_name = "FILE")]
    pub(crate) llm_token_file: Option<PathBuf>,
    /// Where traces go: the base URL of an OTLP/HTTP receiver.
    #[arg(long, env = "LANYARD_CENTRAL_OTLP_ENDPOINT", value_name = "URL")]
    pub(crate) otlp_endpoint: Option<String>,
    /// A file with headers that go with them, one a line, like `Authorization: Bearer …`.
    #[arg(long, env = "LANYARD_CENTRAL_OTLP_HEADERS_FILE", value_name = "FILE")]
    pub(crate) otlp_headers_file: Option<PathBuf>,
    /// Backend tools may be at private and loopback addresses.
    #[arg(long, env = "LANYARD_CENTRAL_ALLOW_PRIVATE_TOOLS")]
    pub(crate) allow_private_tools: bool,
    /// Requests a second of one caller in the long run; four times as many at once.
    #[arg(long, env = "LANYARD_CENTRAL_REQUESTS_PER_SECOND", value_name = "N", default_value_t = 200)]
    pub(crate) requests_per_second: u32,
    /// Fewest days for which an administrator can have audit records kept.
    #[arg(long, env = "LANYARD_CENTRAL_AUDIT_LEAST_DAYS", value_name = "N", default_value_t = 30,
        value_parser = clap::value_parser!(u32).range(1..=3_650))]
    pub(crate) audit_least_days: u32,
    /// Days after which audit records are kept for a shorter time once an administrator has said so.
    #[arg(long, env = "LANYARD_CENTRAL_AUDIT_SHORTENING_DAYS", value_name = "N", default_value_t = 7,
        value_parser = clap::value_parser!(u32).range(0..=365))]
    pub(crate) audit_shortening_days: u32,
    /// Lifetime of a session, in seconds.
    #[arg(long, env = "LANYARD_CENTRAL_SESSION_SECONDS", value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) session_seconds: Option<u32>,
    /// Move the server's clock: for trying out retention and purge.
    #[arg(
        long,
        hide = true,
        global = true,
        env = "LANYARD_CENTRAL_CLOCK_OFFSET_SECONDS",
        allow_hyphen_values = true,
        default_value_t = 0
    )]
    pub(crate) clock_offset_seconds: i64,
}

/// How connections are secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tls {
    /// Not at all: loopback.
    Off,
    /// With a certificate by the installation's own CA.
    Own,
}

/// A checked configuration.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) state_dir: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) services: Vec<Service>,
    pub(crate) peers: HashMap<Service, String>,
    /// As configured; else made from the address once it is bound.
    pub(crate) public_url: Option<String>,
    pub(crate) database_url: String,
    pub(crate) artifact_store: String,
    pub(crate) tls: Tls,
    /// Proxies whose word is taken for where a connection came from.
    pub(crate) proxies: Vec<Network>,
    pub(crate) options: Options,
}

impl Options {
    /// Checks everything; touches no file.
    pub(crate) fn check(mut self) -> Result<Config> {
        self.forget_empty();
        let state_dir = match &self.state_dir {
            Some(dir) => {
                std::path::absolute(dir).with_context(|| format!("--state-dir {}", dir.display()))?
            }
            None => default_state_dir()?,
        };
        let services = services(&self.services)?;
        let mut peers = HashMap::new();
        for peer in &self.peer {
            let (name, url) =
                peer.split_once('=').with_context(|| format!("--peer {peer}: SERVICE=URL is wanted"))?;
            let url = web_url("--peer", url)?;
            let host = host_of(&url).unwrap_or_default();
            let here = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
            if url.starts_with("http://") && !here {
                bail!("--peer {peer}: the key that services share does not go over plain HTTP; use https");
            }
            peers.insert(service(name)?, url);
        }
        let missing: Vec<&str> = Service::ALL
            .iter()
            .filter(|service| !services.contains(service) && !peers.contains_key(service))
            .map(|service| service.as_str())
            .collect();
        if !missing.is_empty() {
            let missing = missing.join(", ");
            bail!(
                "no process runs {missing}: add them to --services, or say where they are with --peer SERVICE=URL"
            );
        }
        let tls = if self.listen.ip().is_loopback() { Tls::Off } else { Tls::Own };
        if self.oidc_issuer.is_some() != self.oidc_client_id.is_some() {
            bail!("--oidc-issuer and --oidc-client-id belong together");
        }
        let gateway = ("--llm-endpoint", self.llm_endpoint.is_some());
        for (flag, is_set, (of, is_there)) in [
            (
                "--otlp-headers-file",
                self.otlp_headers_file.is_some(),
                ("--otlp-endpoint", self.otlp_endpoint.is_some()),
            ),
            (
                "--oidc-client-secret-file",
                self.oidc_client_secret_file.is_some(),
                ("--oidc-issuer", self.oidc_issuer.is_some()),
            ),
            ("--llm-model", self.llm_model.is_some(), gateway),
            ("--llm-token-file", self.llm_token_file.is_some(), gateway),
        ] {
            if is_set && !is_there {
                bail!("{flag} is for {of}, which is not set");
            }
        }
        if let Some(url) = self.llm_endpoint.as_deref().filter(|url| !is_web_address(url)) {
            bail!("--llm-endpoint {url:?}: a URL like https://gateway.example.com/v1 is wanted");
        }
        let public_url = self.public_url.as_deref().map(|url| web_url("--public-url", url)).transpose()?;
        if self.oidc_issuer.is_some() && public_url.is_none() {
            bail!("--oidc-issuer needs --public-url: the provider sends people back to it");
        }
        let proxies = self.proxy_protocol_from.iter().map(|text| text.parse());
        let proxies = proxies.collect::<Result<Vec<Network>>>().context("--proxy-protocol-from")?;
        for (name, url) in
            [("DATABASE_URL", &self.database_url), ("ARTIFACT_STORE_URL", &self.artifact_store_url)]
        {
            if url.as_deref().is_some_and(|url| url.trim().is_empty()) {
                bail!("{name} is empty: name one, or leave it out for the embedded one");
            }
        }
        let embedded = |name: &str| state_dir.join(name).display().to_string();
        let database_url =
            self.database_url.clone().unwrap_or_else(|| format!("sqlite://{}", embedded("central.sqlite")));
        let artifact_store = self.artifact_store_url.clone().unwrap_or_else(|| embedded("artifacts"));
        Ok(Config {
            listen: self.listen,
            services,
            peers,
            public_url,
            database_url,
            artifact_store,
            tls,
            proxies,
            options: self,
            state_dir,
        })
    }
}

impl Options {
    /// What is set to nothing is not set: compose files and units name variables that are filled in elsewhere. Where that
    /// would choose another database or store, it is an error instead.
    fn forget_empty(&mut self) {
        for option in [
            &mut self.oidc_issuer,
            &mut self.oidc_client_id,
            &mut self.llm_endpoint,
            &mut self.llm_model,
            &mut self.otlp_endpoint,
        ] {
            if option.as_deref().is_some_and(|text| text.trim().is_empty()) {
                *option = None;
            }
        }
    }
}

impl Config {
    /// Names and addresses for the certificate of our own CA.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        if !self.listen.ip().is_unspecified() {
            names.push(self.listen.ip().to_string());
        }
        let host = self.public_url.as_deref().and_then(host_of);
        names.extend(host.map(str::to_owned));
        names.sort();
        names.dedup();
        names
    }

    /// Where it is reached, once it is bound.
    pub(crate) fn url(&self, bound: SocketAddr) -> String {
        if let Some(url) = &self.public_url {
            return url.clone();
        }
        let scheme = if self.tls == Tls::Off { "http" } else { "https" };
        let ip = match bound.ip() {
            ip if !ip.is_unspecified() => ip,
            _ => IpAddr::from([127, 0, 0, 1]),
        };
        format!("{scheme}://{}", SocketAddr::new(ip, bound.port()))
    }
}

fn default_state_dir() -> Result<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    let base = std::env::var_os("XDG_STATE_HOME").filter(|dir| Path::new(dir).is_absolute());
    let base = base.map(PathBuf::from).or(home.map(|home| PathBuf::from(home).join(".local/state")));
    base.map(|base| base.join("lanyard-central")).context("no home directory is known; pass --state-dir DIR")
}

fn services(names: &[String]) -> Result<Vec<Service>> {
    if names.is_empty() {
        return Ok(Service::ALL.to_vec());
    }
    let mut found = names.iter().map(|name| service(name)).collect::<Result<Vec<_>>>()?;
    found.sort();
    found.dedup();
    Ok(found)
}

fn service(name: &str) -> Result<Service> {
    let known = Service::ALL.iter().find(|service| service.as_str() == name.trim());
    known.copied().with_context(|| {
        let all: Vec<&str> = Service::ALL.iter().map(|service| service.as_str()).collect();
        format!("there is no service {name:?}; there are {}", all.join(", "))
    })
}

/// A URL of http or https without a path.
fn web_url(flag: &str, url: &str) -> Result<String> {
    let url = url.trim_end_matches('/');
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains(['/', '?', '#', '@', ' ']) => Ok(url.to_owned()),
        _ => bail!("{flag} {url:?}: a URL like https://central.example.com is wanted, without a path"),
    }
}

/// Whether it is a URL of http or https with a host, as far as that can be told without taking it apart.
fn is_web_address(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace))
}

/// The host of a URL that [`web_url`] took.
fn host_of(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1;
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next();
    }
    authority.split(':').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(arguments: &[&str]) -> Result<Config> {
        let cli = Cli::try_parse_from([&["lanyard-central"], arguments].concat())?;
        cli.options.check()
    }

    fn refused(arguments: &[&str]) -> String {
        checked(arguments).err().map(|error| format!("{error:#}")).unwrap_or_default()
    }

    #[test]
    fn what_is_wrong_is_named_with_the_way_out() {
        assert!(refused(&["--services", "x-session"]).contains("there is no service \"x-session\""));
        assert!(refused(&["--services", "session"]).contains("--peer SERVICE=URL"));
        let plain = "policy=http://10.0.0.2:8787";
        assert!(refused(&["--services", "session", "--peer", plain]).contains("use https"));
        assert!(refused(&["--public-url", "central.example.com"]).contains("--public-url"));
        assert!(refused(&["--oidc-issuer", "https://a"]).contains("belong together"));
        let everybody = refused(&["--proxy-protocol-from", "10.0.0.1,::/0"]);
        assert!(everybody.contains("--proxy-protocol-from: \"::/0\" is everybody"), "{everybody}");
    }

    #[test]
    fn nothing_that_is_set_is_passed_over() {
        for flag in ["--llm-model", "--llm-token-file", "--oidc-client-secret-file", "--otlp-headers-file"] {
            let told = refused(&[flag, "x"]);
            assert!(told.starts_with(flag) && told.ends_with("which is not set"), "{told}");
        }
        assert!(refused(&["--llm-endpoint", "gateway:4000"]).contains("https://gateway.example.com/v1"));
        assert!(refused(&["--session-seconds", "0"]).contains("--session-seconds"));
    }

    #[test]
    fn what_is_set_to_nothing_is_not_set_unless_it_would_be_another_store() -> Result<()> {
        let state = ["--state-dir", "/tmp/nowhere"];
        let empty =
            ["--llm-endpoint=", "--llm-model=", "--oidc-issuer=", "--oidc-client-id=", "--otlp-endpoint= "];
        let options = checked(&[&state[..], &empty].concat())?.options;
        assert_eq!((options.llm_endpoint, options.llm_model, options.oidc_issuer), (None, None, None));
        assert_eq!((options.oidc_client_id, options.otlp_endpoint), (None, None));
        for flag in ["--database-url=", "--artifact-store-url="] {
            assert!(refused(&[&state[..], &[flag]].concat()).contains("leave it out"), "{flag}");
        }
        Ok(())
    }

    #[test]
    fn loopback_is_plain_and_everything_else_is_secured() -> Result<()> {
        let state = ["--state-dir", "/tmp/nowhere"];
        assert_eq!(checked(&state)?.tls, Tls::Off);
        let open = checked(&[&state[..], &["--listen", "0.0.0.0:8787"]].concat())?;
        assert_eq!(open.tls, Tls::Own);
        assert_eq!(open.url("0.0.0.0:8787".parse()?), "https://127.0.0.1:8787");
        let named = checked(&[&state[..], &["--public-url", "https://c.example:9"]].concat())?;
        assert!(named.names().contains(&"c.example".to_owned()));
        Ok(())
    }
}
