//! Enrolment: a one-time token for an identity.
//!
//! The token carries the hash of the centre's CA certificate, so that whoever is in between is found out before the token
//! is sent. Key and request are kept before the first exchange: when its answer is lost, the same request is sent again and
//! uses nothing.

mod exchange;
#[cfg(test)]
mod tests;
mod token;

use lanyard_governance_api::enrolment::MachineInfo;
use lanyard_protocol::{ErrorCode, WireError};

pub use token::TokenError;

use crate::address::{self, AddressError};
use crate::central::{CallError, ServerClock};
use crate::identity::{AgentKey, Identity, IdentityError, IdentityStore, Pending};
use crate::secret::Secret;
use token::Token;

/// Why a host was not enrolled.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EnrolError {
    /// The token is none.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The address is not one of a centre.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The token is for an encrypted centre and the address is not, or the other way round.
    #[error("{0}")]
    Mismatch(&'static str),
    /// There is an identity already.
    #[error("this host is enrolled at {0} already; run `lanyard unenroll` first")]
    Enrolled(String),
    /// Nobody answered there.
    #[error(
        "{url} was not reached ({reason}); check the address, then repeat the command with the same token"
    )]
    Unreachable {
        /// The address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// What answers there is no centre.
    #[error("{url} is not a lanyard centre: {reason}")]
    NotACentre {
        /// The address.
        url: String,
        /// What it said.
        reason: String,
    },
    /// The CA certificate is another than the token names.
    #[error(
        "{0} showed another CA certificate than the token names: somebody is in between, or the token is from another centre. The token was not sent"
    )]
    OtherCa(String),
    /// The token has run out.
    #[error("the enrolment token has expired; ask for a new one")]
    Expired,
    /// The centre does not take the token.
    #[error("the centre does not take the enrolment token: {0}")]
    Refused(String),
    /// The centre refused for another reason.
    #[error("the centre refused: {0}")]
    Other(WireError),
    /// The identity could not be kept, or does not fit.
    #[error("{0}")]
    Identity(String),
}

impl From<IdentityError> for EnrolError {
    fn from(error: IdentityError) -> Self {
        Self::Identity(error.to_string())
    }
}

impl EnrolError {
    fn of_call(url: &str, error: CallError) -> Self {
        let url = url.to_owned();
        match error {
            CallError::Unreachable { reason, .. } => Self::Unreachable { url, reason },
            CallError::Protocol(reason) => Self::NotACentre { url, reason },
            CallError::Revoked(reason) => Self::Refused(reason),
            CallError::Refused { error, .. } if error.code == ErrorCode::EnrolmentRefused => {
                // No code of its own: what to do is the same, and the words are for people.
                if error.message.contains("expired") { Self::Expired } else { Self::Refused(error.message) }
            }
            CallError::Refused { error, .. } => Self::Other(error),
        }
    }
}

/// Exchanges a token for an identity, which is in the store when this returns. Repeating it with the same token after a
/// failure goes on where it stopped. Cancel-safe in the same sense. The token is wiped when this returns, and never logged.
///
/// # Errors
/// See [`EnrolError`]; each says what to do.
pub async fn enrol(
    store: &IdentityStore,
    url: &str,
    token: Secret,
    machine: MachineInfo,
) -> Result<Identity, EnrolError> {
    enrol_by_clock(store, url, token, machine, ServerClock::default()).await
}

/// The same over a clock of the caller's, for tests.
///
/// # Errors
/// As [`enrol`].
pub async fn enrol_by_clock(
    store: &IdentityStore,
    url: &str,
    token: Secret,
    machine: MachineInfo,
    clock: ServerClock,
) -> Result<Identity, EnrolError> {
    let central = address::parse(url)?;
    let token = Token::parse(&token)?;
    match (central.scheme(), token.ca_hash) {
        ("https", None) => {
            return Err(EnrolError::Mismatch(
                "this token is for a centre without encryption on its own machine; the address is https",
            ));
        }
        ("http", Some(_)) => {
            return Err(EnrolError::Mismatch("this token is for an encrypted centre; the address is http"));
        }
        _ => {}
    }
    if let Some(identity) = store.load()? {
        return Err(EnrolError::Enrolled(identity.central.origin().ascii_serialization()));
    }
    let client = exchange::client(&central, token.ca_hash, &clock).await?;
    let pending = begin(store, &central, &token)?;
    let issued = exchange::exchange(&client, &pending, &token, machine, &clock).await?;
    let identity = Identity::from_issued(central, pending.key, issued)?;
    store.save_first(&identity)?;
    Ok(identity)
}

/// The request that was begun with this token there, or a new one, kept before it is sent.
fn begin(store: &IdentityStore, central: &url::Url, token: &Token) -> Result<Pending, EnrolError> {
    if let Some(pending) = store.pending()
        && pending.central == *central
        && pending.token_id == token.id
    {
        return Ok(pending);
    }
    let fault =
        |error: &dyn std::fmt::Display| EnrolError::Identity(format!("a key could not be made: {error}"));
    let key = AgentKey::generate().map_err(|error| fault(&error))?;
    let nonce = crate::central::http::nonce().map_err(|error| fault(&error))?;
    let csr_pem = key.request("lanyard-host", &nonce).map_err(|error| fault(&error))?;
    let pending = Pending { central: central.clone(), token_id: token.id.clone(), csr_pem, nonce, key };
    store.save_pending(&pending)?;
    Ok(pending)
}
