//! Rows of paired devices, and of what is counted by name.

use std::borrow::Cow;

use lanyard_ports::journal::{DeviceRecord, ProvisionalDevice};
use lanyard_protocol::Timestamp;
use lanyard_protocol::id::DeviceId;
use lanyard_protocol::principal::Scope;
use serde::{Deserialize, Serialize};

use super::{Record, RecordError, from_bytes, from_bytes_as, to_bytes, to_bytes_as};
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

/// Version of [`MadeRow`]; devices that were let in by no other one are stored as they always were.
const MADE_VERSION: u8 = 2;

/// The stored form of a device that another one has let in.
#[derive(Serialize, Deserialize)]
struct MadeRow<'a> {
    device: DeviceRow<'a>,
    made_by: Cow<'a, DeviceId>,
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
        let device = DeviceRow {
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
        };
        match &self.made_by {
            None => to_bytes(&device),
            Some(made_by) => to_bytes_as(MADE_VERSION, &MadeRow { device, made_by: Cow::Borrowed(made_by) }),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let (row, made_by) = if bytes.first() == Some(&MADE_VERSION) {
            let MadeRow { device, made_by } = from_bytes_as(MADE_VERSION, bytes)?;
            (device, Some(made_by.into_owned()))
        } else {
            (from_bytes(bytes)?, None)
        };
        let row: DeviceRow<'_> = row;
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
            made_by,
        })
    }
}

/// A counter; its name is the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct CounterRow {
    /// How often it happened.
    pub(crate) count: u64,
}
