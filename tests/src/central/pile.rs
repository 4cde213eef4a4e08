//! What piles up on a host while the centre is away, without waiting for it to happen.

use std::sync::Arc;

use anyhow::Result;
use lanyard_ports::journal::{Journal, Write};
use lanyard_ports::sink::CommitObserver;
use lanyard_protocol::event::{HostEvent, SessionEvent};
use lanyard_store::{Store, StoreOptions};

use super::chain::record;
use crate::host::TestHost;

struct Silence;

impl CommitObserver for Silence {
    fn committed(&self, _: &[Arc<SessionEvent>], _: &[Arc<HostEvent>]) {}
}

/// So many audit records, written straight into the store of a host that does not run.
///
/// # Errors
/// It runs, or the store cannot be written.
pub async fn pile_up(host: &TestHost, records: u64) -> Result<()> {
    let (store, _) = Store::open(StoreOptions::new(host.state_dir().join("store")), Arc::new(Silence))?;
    for first in (0..records).step_by(500) {
        let batch = (first..(first + 500).min(records)).map(|number| {
            let event = record("pile", number)?;
            Ok(Write::Audit(Box::new(event)))
        });
        store.commit(batch.collect::<Result<Vec<_>>>()?).await?;
    }
    store.close()?;
    Ok(())
}
