//! Rows of paired devices, and of what is counted by name.

use std::borrow::Cow;

use lanyard_ports::journal::{DeviceRecord, ProvisionalDevice};
use lanyard_protocol::Timestamp;
use lanyard_protocol::id::DeviceId;
use lanyard_protocol::principal::Scope;
use serde::{Deserialize, Serialize};

use super::{Record, RecordError, from_bytes, to_bytes};
use crate::table::TableId;

/// The stored form of [`DeviceRecord`].
#[derive(Serialize, Deserialize)]
struct DeviceRow<'a> {
    device_id: Cow<'a, DeviceId>,
    name: Cow<'a, str>,
    platform: Cow<'a, str>,
    signing_key: [u8; 32],
    agreement_key: [u8; 32],
    scopes: Cow<'a, [Scope]>,
    paired_at: Timestamp,
    last_seen: Cow<'a, Option<(Timestamp, String)>>,
    provisional: Option<ProvisionalRow<'a>>,
}

/// The stored form of [`ProvisionalDevice`].
#[derive(Serialize, Deserialize)]
struct ProvisionalRow<'a> {
    until: Timestamp,
    state: Cow<'a, [u8]>,
}

impl Record for DeviceRecord {
    const TABLE: TableId = TableId::Devices;

    fn encode(&self) -> Result<Vec<u8>, RecordError> {
        to_bytes(&DeviceRow {
            device_id: Cow::Borrowed(&self.device_id),
            name: Cow::Borrowed(&self.name),
            platform: Cow::Borrowed(&self.platform),
            signing_key: self.signing_key,
            agreement_key: self.agreement_key,
            scopes: Cow::Borrowed(&self.scopes),
            paired_at: self.paired_at,
            last_seen: Cow::Borrowed(&self.last_seen),
            provisional: self
                .provisional
                .as_ref()
                .map(|it| ProvisionalRow { until: it.until, state: Cow::Borrowed(&it.state) }),
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let row: DeviceRow<'_> = from_bytes(bytes)?;
        Ok(Self {
            device_id: row.device_id.into_owned(),
            name: row.name.into_owned(),
            platform: row.platform.into_owned(),
            signing_key: row.signing_key,
            agreement_key: row.agreement_key,
            scopes: row.scopes.into_owned(),
            paired_at: row.paired_at,
            last_seen: row.last_seen.into_owned(),
            provisional: row
                .provisional
                .map(|it| ProvisionalDevice { until: it.until, state: it.state.into_owned() }),
        })
    }
}

/// A counter; its name is the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct CounterRow {
    /// How often it happened.
    pub(crate) count: u64,
}
