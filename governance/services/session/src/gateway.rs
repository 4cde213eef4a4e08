//! Where model calls go, and the token a session calls with.
//!
//! # Minted tokens
//!
//! The better way: a token of one session that runs out soon, made with a key that the gateway shares.
//!
//! ```text
//! lgt_TENANT.SESSION.EXPIRY.MAC
//! ```
//!
//! * `TENANT`, `SESSION`: the ids as UTF-8, base64url without padding (RFC 4648 §5);
//! * `EXPIRY`: seconds since 1970-01-01T00:00:00Z, decimal;
//! * `MAC`: HMAC-SHA256 (RFC 2104) with the key over the ASCII text of everything before the last `.`, `lgt_`
//!   included, base64url without padding.
//!
//! A gateway's plug-in checks the MAC first, in constant time and over the text as it came, then that `EXPIRY` is in
//! the future, and only then reads the ids: see [`TokenKey::verify`]. It needs no call to these services. There is no
//! revocation list: a token outlives a revoked policy by its rest, which [`GatewaySettings`] bounds; hosts stop asking
//! the moment they hear of the revocation.
//!
//! # Fixed tokens
//!
//! Where a gateway knows only keys of its own, a fixed token per tenant is passed through. Weaker: every session of the
//! tenant holds the same secret, it does not run out, and the gateway cannot tell sessions apart. Take it back by
//! changing it at the gateway and here.

use std::collections::BTreeMap;
use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, Mac as _};
use lanyard_governance_api::id::TenantId;
use lanyard_governance_api::session::LlmGateway;
use lanyard_protocol::Timestamp;
use lanyard_protocol::id::SessionId;
use sha2::Sha256;

/// Shortest key, in bytes: as long as the MAC.
pub const MIN_KEY_BYTES: usize = 32;

/// Longest token that is looked at, in bytes; two ids, a number and a MAC are far shorter.
const MAX_TOKEN_BYTES: usize = 1_024;

const PREFIX: &str = "lgt_";

/// Where model calls go.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// Base URL of an OpenAI-compatible API.
    pub endpoint: String,
    /// The model to ask for; absent: the first of the bundle's that the gateway has.
    pub model: Option<String>,
    /// How sessions authenticate there.
    pub tokens: Tokens,
}

/// How sessions authenticate at the gateway.
#[derive(Clone)]
pub enum Tokens {
    /// A token for each handshake.
    Minted {
        /// Shared with the gateway.
        key: TokenKey,
        /// Lifetime of a token, in seconds.
        seconds: u32,
    },
    /// What was configured, as it is.
    Fixed {
        /// By tenant.
        tenants: BTreeMap<TenantId, String>,
        /// For tenants without one; absent: those get no gateway.
        others: Option<String>,
    },
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tokens::Minted { seconds, .. } => {
                f.debug_struct("Minted").field("seconds", seconds).finish_non_exhaustive()
            }
            Tokens::Fixed { tenants, .. } => {
                f.debug_struct("Fixed").field("tenants", &tenants.len()).finish_non_exhaustive()
            }
        }
    }
}

/// The key shared with the gateway.
#[derive(Clone)]
pub struct TokenKey(Vec<u8>);

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

/// The key is too short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the gateway key has {0} bytes; at least {MIN_KEY_BYTES} random ones are needed")]
pub struct ShortKey(usize);

/// Whom a token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenClaims {
    /// The tenant.
    pub tenant: TenantId,
    /// The session.
    pub session: SessionId,
    /// Runs out at this instant.
    pub expires_at: Timestamp,
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// Not of the form above.
    #[error("this is no gateway token")]
    Form,
    /// Not made with this key.
    #[error("the gateway token was not made with this key")]
    Key,
    /// Its time is over.
    #[error("the gateway token ran out at {0}; resume the session for another")]
    Expired(Timestamp),
}

impl TokenKey {
    /// A key of at least [`MIN_KEY_BYTES`] bytes, as the file holds it.
    ///
    /// # Errors
    /// [`ShortKey`].
    pub fn new(bytes: Vec<u8>) -> Result<Self, ShortKey> {
        if bytes.len() < MIN_KEY_BYTES { Err(ShortKey(bytes.len())) } else { Ok(Self(bytes)) }
    }

    fn mac(&self, text: &str) -> Option<Hmac<Sha256>> {
        // HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(text.as_bytes());
        Some(mac)
    }

    fn mint(&self, tenant: &TenantId, session: &SessionId, expires_at: Timestamp) -> Option<String> {
        let text = format!(
            "{PREFIX}{}.{}.{}",
            BASE64URL_NOPAD.encode(tenant.as_str().as_bytes()),
            BASE64URL_NOPAD.encode(session.as_str().as_bytes()),
            expires_at.as_millis() / 1_000
        );
        let mac = self.mac(&text)?.finalize().into_bytes();
        Some(format!("{text}.{}", BASE64URL_NOPAD.encode(&mac)))
    }

    /// What a gateway does with a token; here for its plug-in to be tested against.
    ///
    /// # Errors
    /// [`TokenFault`].
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<TokenClaims, TokenFault> {
        if token.len() > MAX_TOKEN_BYTES || !token.starts_with(PREFIX) {
            return Err(TokenFault::Form);
        }
        let (text, mac) = token.rsplit_once('.').ok_or(TokenFault::Form)?;
        let mac = BASE64URL_NOPAD.decode(mac.as_bytes()).map_err(|_| TokenFault::Form)?;
        let known = self.mac(text).ok_or(TokenFault::Key)?;
        known.verify_slice(&mac).map_err(|_| TokenFault::Key)?;
        let mut parts = text.strip_prefix(PREFIX).ok_or(TokenFault::Form)?.split('.');
        let mut next = || parts.next().ok_or(TokenFault::Form);
        let (tenant, session, seconds) = (next()?, next()?, next()?);
        let seconds: i64 = seconds.parse().map_err(|_| TokenFault::Form)?;
        let expires_at = Timestamp::from_millis(seconds.saturating_mul(1_000));
        if expires_at <= now {
            return Err(TokenFault::Expired(expires_at));
        }
        let decode = |text: &str| {
            let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| TokenFault::Form)?;
            String::from_utf8(bytes).map_err(|_| TokenFault::Form)
        };
        let tenant = decode(tenant)?.parse().map_err(|_| TokenFault::Form)?;
        let session = decode(session)?.parse().map_err(|_| TokenFault::Form)?;
        Ok(TokenClaims { tenant, session, expires_at })
    }
}

impl GatewaySettings {
    /// What a session is handed; nothing where its tenant has no token.
    pub(crate) fn grant(
        &self,
        tenant: &TenantId,
        session: &SessionId,
        now: Timestamp,
        until: Timestamp,
    ) -> Option<LlmGateway> {
        let (auth_token, expires_at) = match &self.tokens {
            Tokens::Minted { key, seconds } => {
                // A token does not outlive its session.
                let expires_at = now.plus_millis(i64::from(*seconds) * 1_000).min(until);
                (key.mint(tenant, session, expires_at)?, Some(expires_at))
            }
            Tokens::Fixed { tenants, others } => (tenants.get(tenant).or(others.as_ref())?.clone(), None),
        };
        Some(LlmGateway {
            endpoint: self.endpoint.clone(),
            auth_token,
            model: self.model.clone(),
            expires_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> TokenKey {
        TokenKey::new(vec![byte; 32]).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn token() -> String {
        key(1).mint(&"acme.de".parse().unwrap(), &"ses:1.a".parse().unwrap(), at(1_000)).unwrap()
    }

    #[test]
    fn a_token_does_not_outlive_its_session() {
        let tokens = Tokens::Minted { key: key(1), seconds: 60 };
        let gateway = GatewaySettings { endpoint: "https://llm".to_owned(), model: None, tokens };
        let until = |end| {
            gateway.grant(&"t".parse().unwrap(), &"s".parse().unwrap(), at(1), at(end)).unwrap().expires_at
        };
        assert_eq!((until(1_000), until(30)), (Some(at(61)), Some(at(30))));
    }

    #[test]
    fn a_token_says_whose_it_is_until_it_runs_out() {
        let claims = key(1).verify(&token(), at(999)).unwrap();
        assert_eq!((claims.tenant.as_str(), claims.session.as_str()), ("acme.de", "ses:1.a"));
        assert_eq!(key(1).verify(&token(), at(1_000)), Err(TokenFault::Expired(at(1_000))));
        assert_eq!(key(2).verify(&token(), at(1)), Err(TokenFault::Key));
    }

    #[test]
    fn no_changed_character_gets_through() {
        let token = token();
        for position in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(key(1).verify(&changed, at(1)).is_err(), "{changed}");
        }
        for cut in 0..token.len() {
            assert!(key(1).verify(&token[..cut], at(1)).is_err());
        }
        for odd in ["", "lgt_", "lgt_.", "lgt_...", "lgt_....", "Bearer x", "lgt_ä.b.1.c"] {
            assert!(key(1).verify(odd, at(1)).is_err(), "{odd}");
        }
    }

    #[test]
    fn an_independent_hmac_gives_the_same_text() {
        // python3: hmac.new(b"\x01"*32, text, "sha256"), base64.urlsafe_b64encode without "=".
        assert_eq!(token(), "lgt_YWNtZS5kZQ.c2VzOjEuYQ.1000.cbiTdVeywhY8XA65W198QQJ8_9iOIY_pP75Dx5HZwQ0");
    }

    #[test]
    fn fixed_tokens_go_to_their_tenants_only() {
        let gateway = |others: Option<&str>| GatewaySettings {
            endpoint: "https://g.example/v1".into(),
            model: None,
            tokens: Tokens::Fixed {
                tenants: BTreeMap::from([("a".parse().unwrap(), "of-a".to_owned())]),
                others: others.map(str::to_owned),
            },
        };
        let token = |gateway: &GatewaySettings, tenant: &str| {
            gateway.grant(&tenant.parse().unwrap(), &"s".parse().unwrap(), at(1), at(9)).map(|g| g.auth_token)
        };
        assert_eq!(token(&gateway(None), "a").as_deref(), Some("of-a"));
        assert_eq!(token(&gateway(None), "b"), None);
        assert_eq!(token(&gateway(Some("all")), "b").as_deref(), Some("all"));
        let shown = format!("{:?} {:?}", gateway(Some("all")), key(1));
        assert!(!shown.contains("of-a") && !shown.contains("all"), "{shown}");
        assert!(TokenKey::new(vec![0; 31]).is_err());
    }
}
