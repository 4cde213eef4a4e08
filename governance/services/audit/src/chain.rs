//! Hashes of chains, and keys of events. No IO.

use data_encoding::HEXLOWER;
use lanyard_governance_foundation::database::{DatabaseError, Row, Value};
use sha2::{Digest as _, Sha256};

/// One hash of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    /// Before the first record.
    pub(crate) const START: Digest = Digest([0; 32]);

    /// From 64 hex digits, upper or lower case.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// As it goes over the wire.
    pub(crate) fn hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }

    /// From a column.
    pub(crate) fn of(row: &Row, column: &str) -> Result<Self, DatabaseError> {
        let bytes = row.bytes(column)?;
        let whole = <[u8; 32]>::try_from(bytes.as_slice());
        whole.map(Self).map_err(|_| DatabaseError::Defect(format!("column {column} is no hash")))
    }

    /// For a column.
    pub(crate) fn value(&self) -> Value {
        Value::from(self.0.as_slice())
    }

    /// The hash of the record that follows.
    pub(crate) fn then(&self, seq: u64, text: &str) -> Digest {
        let hash = Sha256::new().chain_update(self.0).chain_update(seq.to_be_bytes()).chain_update(text);
        Digest(hash.finalize().into())
    }
}

/// What stands for an event id in the index: the first half of SHA-256 over tenant, source and id, each with its length
/// before it. Half is enough: two ids that meet take 2^64 tries, and would only spoil their own source's chain.
pub(crate) fn event_key(tenant: &str, source: &str, event_id: &str) -> Vec<u8> {
    let mut hash = Sha256::new();
    for part in [tenant, source, event_id] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut key = hash.finalize().to_vec();
    key.truncate(16);
    key
}
