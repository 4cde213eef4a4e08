//! The text form of what is remembered, and nothing else: TOML, keys in hexadecimal, secrets in base64.

use std::net::SocketAddr;

use data_encoding::{BASE64, HEXLOWER};
use lanyard_pairing::{Fingerprint, PublicIdentity};
use lanyard_protocol::Timestamp;
use lanyard_protocol::codec::{from_postcard, to_postcard};
use lanyard_protocol::principal::Scope;
use serde::{Deserialize, Serialize};

use super::{KnownHost, KnownHosts, MAX_ADDRESSES, PendingHost};

/// The form written. A newer one is refused, not half understood.
const VERSION: u32 = 1;

/// What a person reads who opens the file.
const HEADING: &str =
    "# Hosts this device is paired with. Written by `lanyard`; change it with `lanyard hosts`.\n";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    version: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    host: Vec<RawHost>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pending: Vec<RawPending>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHost {
    alias: String,
    name: String,
    fingerprint: String,
    signing_key: String,
    agreement_key: String,
    addresses: Vec<SocketAddr>,
    scopes: Vec<Scope>,
    paired_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPending {
    alias: String,
    addresses: Vec<SocketAddr>,
    started_at: Timestamp,
    join: String,
}

impl std::fmt::Debug for RawPending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawPending").field("alias", &self.alias).finish_non_exhaustive()
    }
}

/// As text.
pub(super) fn encode(known: &KnownHosts) -> Result<String, String> {
    let host = known.hosts.iter().map(RawHost::from).collect();
    let pending = known.pending.iter().map(raw_pending).collect::<Result<_, _>>()?;
    let file = RawFile { version: VERSION, host, pending };
    toml::to_string(&file).map(|text| format!("{HEADING}{text}")).map_err(|e| e.to_string())
}

/// From text; the error says what is wrong, and where.
pub(super) fn decode(bytes: &[u8]) -> Result<KnownHosts, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    // The version first: a newer file may have anything else.
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let Version { version } = toml::from_str(text).map_err(|e| one_line(&e))?;
    if version > VERSION {
        return Err(format!("it was written by a newer version of this program (form {version})"));
    }
    let file: RawFile = toml::from_str(text).map_err(|e| one_line(&e))?;
    let hosts = file.host.into_iter().map(known_host).collect::<Result<Vec<_>, _>>()?;
    let pending = file.pending.into_iter().map(pending_host).collect::<Result<Vec<_>, _>>()?;
    let mut aliases: Vec<&str> = hosts.iter().map(|host| host.alias.as_str()).collect();
    aliases.sort_unstable();
    if let Some([twice, _]) = aliases.windows(2).find(|pair| matches!(pair, [a, b] if a == b)) {
        return Err(format!("two hosts are called {twice:?}"));
    }
    Ok(KnownHosts { hosts, pending })
}

/// The parser draws the line it stumbled over, which may hold a secret: only place and reason are told.
fn one_line(error: &toml::de::Error) -> String {
    match error.span() {
        Some(span) => format!("byte {}: {}", span.start, error.message()),
        None => error.message().to_owned(),
    }
}

impl From<&KnownHost> for RawHost {
    fn from(host: &KnownHost) -> Self {
        Self {
            alias: host.alias.clone(),
            name: host.name.clone(),
            fingerprint: host.fingerprint().to_string(),
            signing_key: HEXLOWER.encode(&host.identity.signing),
            agreement_key: HEXLOWER.encode(&host.identity.agreement),
            addresses: host.addresses.clone(),
            scopes: host.scopes.clone(),
            paired_at: host.paired_at,
        }
    }
}

fn known_host(raw: RawHost) -> Result<KnownHost, String> {
    let key = |what: &str, text: &str| -> Result<[u8; 32], String> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok();
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| format!("the {what} of {:?} is not 64 hexadecimal digits", raw.alias))
    };
    let identity = PublicIdentity {
        signing: key("signing_key", &raw.signing_key)?,
        agreement: key("agreement_key", &raw.agreement_key)?,
    };
    // The keys count; that the fingerprint fits them catches a file mended by hand, badly.
    let fingerprint: Option<Fingerprint> = raw.fingerprint.parse().ok();
    if fingerprint != Some(identity.fingerprint()) {
        return Err(format!("the fingerprint of {:?} does not fit its keys", raw.alias));
    }
    let mut addresses = raw.addresses;
    addresses.truncate(MAX_ADDRESSES);
    Ok(KnownHost {
        alias: raw.alias,
        name: raw.name,
        identity,
        addresses,
        scopes: raw.scopes,
        paired_at: raw.paired_at,
    })
}

fn raw_pending(pending: &PendingHost) -> Result<RawPending, String> {
    let bytes = to_postcard(&pending.join).map(zeroize::Zeroizing::new).map_err(|e| e.to_string())?;
    Ok(RawPending {
        alias: pending.alias.clone(),
        addresses: pending.addresses.clone(),
        started_at: pending.started_at,
        join: BASE64.encode(&bytes),
    })
}

fn pending_host(raw: RawPending) -> Result<PendingHost, String> {
    let damaged = || format!("what is kept of the pairing with {:?} is damaged", raw.alias);
    let bytes = BASE64.decode(raw.join.as_bytes()).map(zeroize::Zeroizing::new).map_err(|_| damaged())?;
    let join = from_postcard(&bytes).map_err(|_| damaged())?;
    Ok(PendingHost { alias: raw.alias, addresses: raw.addresses, started_at: raw.started_at, join })
}
