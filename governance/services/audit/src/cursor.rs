//! Where a page of a search begins. Opaque to callers, and good only for the search it came from.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use lanyard_governance_api::audit::AuditQuery;
use lanyard_governance_foundation::Fault;
use lanyard_protocol::Timestamp;
use sha2::{Digest as _, Sha256};

/// A record's place in the order of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) received_at: Timestamp,
    pub(crate) seq: u64,
    pub(crate) source: String,
}

/// What is looked for, in 16 hex digits.
fn fingerprint(query: &AuditQuery) -> Result<String, Fault> {
    let filters = AuditQuery { limit: None, next_token: None, format: None, ..query.clone() };
    let text =
        serde_json::to_string(&filters).map_err(|e| Fault::internal("a query cannot be written", &e))?;
    let mut hex = HEXLOWER.encode(&Sha256::digest(text));
    hex.truncate(16);
    Ok(hex)
}

impl Position {
    /// As a token of a query's pages.
    pub(crate) fn token(&self, query: &AuditQuery) -> Result<String, Fault> {
        let at = self.received_at.as_millis();
        let text = format!("{}.{at}.{}.{}", fingerprint(query)?, self.seq, self.source);
        Ok(BASE64URL_NOPAD.encode(text.as_bytes()))
    }

    /// From the token of a query, if it has one.
    pub(crate) fn of(query: &AuditQuery) -> Result<Option<Self>, Fault> {
        let Some(token) = &query.next_token else { return Ok(None) };
        let wrong = || Fault::invalid("nextToken is not one of this search; begin again without it");
        let text = BASE64URL_NOPAD.decode(token.as_bytes()).map_err(|_| wrong())?;
        let text = String::from_utf8(text).map_err(|_| wrong())?;
        // A source may hold dots; the rest does not.
        let mut parts = text.splitn(4, '.');
        let mut next = || parts.next().ok_or_else(wrong);
        if next()? != fingerprint(query)? {
            return Err(wrong());
        }
        let received_at = next()?.parse().map(Timestamp::from_millis).map_err(|_| wrong())?;
        let seq: u64 = next()?.parse().map_err(|_| wrong())?;
        let source = next()?.to_owned();
        if i64::try_from(seq).is_err() || lanyard_protocol::id::check(&source).is_err() {
            return Err(wrong());
        }
        Ok(Some(Self { received_at, seq, source }))
    }
}
