//! Numbers and hashes of a chain, as `lanyard_governance_api::audit` says.

use data_encoding::HEXLOWER;
use lanyard_governance_api::audit;
use lanyard_protocol::codec;
use lanyard_protocol::envelope::EventEnvelope;
use sha2::{Digest, Sha256};

/// Where a chain stands: number and hash of its last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainHead {
    /// Number; 0 before the first.
    pub seq: u64,
    /// SHA-256; zeros before the first.
    pub hash: [u8; 32],
}

impl ChainHead {
    /// Before the first record.
    pub const START: ChainHead = ChainHead { seq: 0, hash: [0; 32] };

    /// As the centre says it.
    ///
    /// # Errors
    /// The hash is not 64 hex digits.
    pub fn from_wire(wire: &audit::ChainHead) -> Result<Self, String> {
        let hash = HEXLOWER.decode(wire.hash.as_bytes()).ok().and_then(|hash| hash.try_into().ok());
        let hash = hash.ok_or_else(|| "the hash of the chain's head is not 64 hex digits".to_owned())?;
        Ok(Self { seq: wire.last_seq, hash })
    }

    /// The hash in lower-case hex.
    pub fn hex(&self) -> String {
        HEXLOWER.encode(&self.hash)
    }
}

/// The record after `head`: its number and hash, which are the chain's new head.
///
/// # Errors
/// The event cannot be written as JSON.
pub fn chain(head: ChainHead, event: &EventEnvelope) -> Result<ChainHead, serde_json::Error> {
    Ok(link(head, &codec::to_json(event)?))
}

/// The same, of an event that was written already.
pub(super) fn link(head: ChainHead, json: &str) -> ChainHead {
    let seq = head.seq.saturating_add(1);
    let hash = Sha256::new().chain_update(head.hash).chain_update(seq.to_be_bytes()).chain_update(json);
    ChainHead { seq, hash: hash.finalize().into() }
}

#[cfg(test)]
mod tests {
    use lanyard_protocol::codec::from_json;

    use super::*;

    /// The event of the vector that this crate and the Audit Service share.
    const EVENT: &str = r#"{"eventId":"evt-1","eventType":"tool_call_finished","timestamp":"2026-11-20T12:00:00Z","tenantId":"tenant-1","userId":"user-1","workspaceId":"ws-1","sessionId":"ses-1","taskId":"task-1","toolCallId":"call-1","component":"LocalToolRuntime","boundedContext":"ToolExecution","severity":"info","payload":{"exitCode":0,"tool":"RunCommand","über":"naïve \"quoted\" \\ text"}}"#;

    /// Hashes of it as record 1 and, once more, as record 2.
    const HASHES: [&str; 2] = [
        "0fc1915c6e84861c7e3513269302896e9104f706a781af5bf3a4ff85148db919",
        "e51f318b6cf34fe542566ff9c5228f6e295053be4c030af6e87fdc9b6cf8768d",
    ];

    #[test]
    fn the_shared_vector_comes_out() {
        let event: EventEnvelope = from_json(EVENT).unwrap();
        assert_eq!(codec::to_json(&event).unwrap(), EVENT, "canonical JSON is what the contract writes");
        let first = chain(ChainHead::START, &event).unwrap();
        let second = chain(first, &event).unwrap();
        assert_eq!([first.hex().as_str(), second.hex().as_str()], HASHES);
        assert_eq!((first.seq, second.seq), (1, 2));
    }

    #[test]
    fn heads_survive_the_wire() {
        let head = ChainHead { seq: 7, hash: [0xab; 32] };
        let wire = audit::ChainHead { last_seq: 7, hash: head.hex() };
        assert_eq!(ChainHead::from_wire(&wire), Ok(head));
        for hash in ["", "ab", &"zz".repeat(32), &"ab".repeat(33), &"AB".repeat(32)] {
            assert!(
                ChainHead::from_wire(&audit::ChainHead { last_seq: 7, hash: (*hash).to_owned() }).is_err()
            );
        }
    }
}
