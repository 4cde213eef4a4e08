//! How fast a host gets rid of what has piled up while the centre was away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lanyard_ports::journal::{Journal, Write};
use lanyard_ports::sink::CommitObserver;
use lanyard_protocol::envelope::{BoundedContext, Component, EventEnvelope, Severity};
use lanyard_protocol::event::{HostEvent, SessionEvent};
use lanyard_protocol::method::GetCentral;
use lanyard_protocol::{Json, Timestamp};
use lanyard_store::{Store, StoreOptions};
use lanyard_tests::central::{Installation, team};
use lanyard_tests::host::TestHost;
use serde_json::json;

use crate::table::Table;

/// Records that wait. Below the bound at which a host stops taking work.
const RECORDS: usize = 9_000;

struct Silence;

impl CommitObserver for Silence {
    fn committed(&self, _: &[Arc<SessionEvent>], _: &[Arc<HostEvent>]) {}
}

pub(super) async fn measure(table: &mut Table, central: &Installation) -> Result<()> {
    let mut host = TestHost::start().await?;
    team::enrol(&host, &central.operator().await?, &central.url(0)).await?;
    host.kill().await?;
    pile_up(&host).await?;
    host.boot().await?;
    let started = Instant::now();
    let mut peer = host.connect().await?;
    loop {
        if peer.call(GetCentral {}).await?.waiting.audit_records == 0 {
            break;
        }
        ensure!(started.elapsed() < Duration::from_secs(120), "the outbox does not empty");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let rate = f64::from(u32::try_from(RECORDS)?) / started.elapsed().as_secs_f64();
    table.number("central: a host's outbox emptied, from its start", rate, "records/s");
    Ok(())
}

/// Written straight into the store of a host that does not run.
async fn pile_up(host: &TestHost) -> Result<()> {
    let (store, _) = Store::open(StoreOptions::new(host.state_dir().join("store")), Arc::new(Silence))?;
    for first in (0..RECORDS).step_by(500) {
        let mut batch = Vec::new();
        for number in first..(first + 500).min(RECORDS) {
            batch.push(Write::Audit(Box::new(record(number)?)));
        }
        store.commit(batch).await?;
    }
    store.close()?;
    Ok(())
}

fn record(number: usize) -> Result<EventEnvelope> {
    Ok(EventEnvelope {
        event_id: format!("aud_pile_{number}").parse()?,
        event_type: "tool_completed".to_owned(),
        timestamp: Timestamp::now(),
        tenant_id: "default".to_owned(),
        user_id: "usr_operator".to_owned(),
        workspace_id: "ws_pile".parse()?,
        session_id: "ses_pile".parse()?,
        task_id: None,
        step_id: None,
        tool_call_id: Some(format!("call_{number}").parse()?),
        component: Component::LocalToolRuntime,
        bounded_context: BoundedContext::ToolExecution,
        severity: Severity::Info,
        payload: Json(json!({"toolName": "ReadFile", "status": "succeeded"})),
    })
}
