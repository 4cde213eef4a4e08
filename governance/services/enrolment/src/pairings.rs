//! Pairings across hosts: what hosts report, and what the console asks of them. The host arbitrates.

use lanyard_governance_api::command::{CommandsQueued, NewCommand, Order};
use lanyard_governance_api::endpoint as ep;
use lanyard_governance_api::id::AgentId;
use lanyard_governance_api::page::{Nothing, Page};
use lanyard_governance_api::pairing::{HostPairings, PairingSnapshot};
use lanyard_governance_foundation::caller::Person;
use lanyard_governance_foundation::page::Cut;
use lanyard_governance_foundation::{Ask, Caller, Fault, Row, Statement, Tx};
use lanyard_protocol::ErrorCode;
use lanyard_protocol::Timestamp;
use lanyard_protocol::id::{DeviceId, PairingId};

use crate::trace::Trace;
use crate::{State, agents, check, commands};

/// Devices of one snapshot; a host has a handful.
const MAX_DEVICES: usize = 500;
const MAX_ASKING: usize = 50;

/// Digits that a device shows, and room.
const MAX_DIGITS: usize = 12;

pub(crate) async fn put(state: State, ask: Ask<ep::PutPairings>) -> Result<Nothing, Fault> {
    let caller = ask.caller.agent()?;
    let snapshot = ask.body;
    if snapshot.devices.len() > MAX_DEVICES || snapshot.asking.len() > MAX_ASKING {
        return Err(Fault::invalid(format!("at most {MAX_DEVICES} devices and {MAX_ASKING} that ask")));
    }
    for device in &snapshot.devices {
        check::optional("devices.name", Some(&device.name), check::MAX_NAME)?;
        check::optional("devices.platform", Some(&device.platform), check::MAX_NAME)?;
    }
    for device in &snapshot.asking {
        check::optional("asking.name", Some(&device.name), check::MAX_NAME)?;
        check::optional("asking.platform", Some(&device.platform), check::MAX_NAME)?;
        check::optional("asking.address", Some(&device.address), check::MAX_NAME)?;
    }
    let mut tx = state.foundation.database.write_of(&caller.tenant).await?;
    let sql = "INSERT INTO pairings (tenant_id, agent_id, snapshot, reported_at) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (tenant_id, agent_id) \
               DO UPDATE SET snapshot = excluded.snapshot, reported_at = excluded.reported_at";
    let now = state.foundation.clock.now();
    tx.run(Statement::new(sql).bind_id(&caller.agent).bind_json(&snapshot).bind(now)).await?;
    tx.commit().await?;
    Ok(Nothing {})
}

pub(crate) async fn list(state: State, ask: Ask<ep::ListPairings>) -> Result<Page<HostPairings>, Fault> {
    let cut = Cut::of(ask.query.limit, ask.query.next_token.as_deref())?;
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    let sql = "SELECT p.agent_id AS agent_id, p.snapshot AS snapshot, p.reported_at AS reported_at, a.machine AS machine \
               FROM pairings p JOIN agents a ON a.tenant_id = p.tenant_id AND a.agent_id = p.agent_id \
               WHERE p.tenant_id = $1 AND a.revoked_at IS NULL";
    let rows = tx.all(cut.apply(Statement::new(sql), "AND", "p.reported_at", "p.agent_id")?).await?;
    cut.page(rows, |row| Ok((row.time("reported_at")?, row.text("agent_id")?)), read)
}

fn read(row: &Row) -> Result<HostPairings, Fault> {
    let machine: lanyard_governance_api::enrolment::MachineInfo = row.json("machine")?;
    Ok(HostPairings {
        agent_id: row.id("agent_id")?,
        host_name: machine.name,
        snapshot: row.json("snapshot")?,
        reported_at: row.time("reported_at")?,
    })
}

pub(crate) async fn decide(state: State, ask: Ask<ep::DecidePairing>) -> Result<CommandsQueued, Fault> {
    let (agent, pairing_id): (AgentId, PairingId) = (ask.path.get("agent_id")?, ask.path.get("pairing_id")?);
    let body = ask.body;
    let digits =
        body.digits.filter(|digits| !digits.trim().is_empty()).map(|digits| digits.trim().to_owned());
    check::optional("digits", digits.as_deref(), MAX_DIGITS)?;
    let now = state.foundation.clock.now();
    let mut tx = state.foundation.database.write(&ask.caller).await?;
    let snapshot = reachable(&mut tx, &agent, now).await?;
    let Some(asking) = snapshot.asking.iter().find(|asking| asking.pairing_id == pairing_id) else {
        let text = format!(
            "no device asks under {pairing_id} on this host; it may have been answered, or have run out"
        );
        return Err(Fault::new(ErrorCode::PairingNotFound, text));
    };
    if body.approve && asking.needs_digits && digits.is_none() {
        return Err(Fault::invalid("digits: type those that the device shows"));
    }
    let trace = Trace::of("pairing_answered")
        .with("pairingId", pairing_id.as_str())
        .with("device", asking.name.as_str())
        .with("approve", body.approve);
    let order = Order::DecidePairing { pairing_id, approve: body.approve, digits };
    order_host(&state, tx, &ask.caller, &agent, order, trace, now).await
}

pub(crate) async fn revoke_device(state: State, ask: Ask<ep::RevokeDevice>) -> Result<CommandsQueued, Fault> {
    let (agent, device_id): (AgentId, DeviceId) = (ask.path.get("agent_id")?, ask.path.get("device_id")?);
    let now = state.foundation.clock.now();
    let mut tx = state.foundation.database.write(&ask.caller).await?;
    let snapshot = reachable(&mut tx, &agent, now).await?;
    let Some(device) = snapshot.devices.iter().find(|device| device.device_id == device_id) else {
        let text = format!("no device {device_id} is paired with this host");
        return Err(Fault::new(ErrorCode::DeviceNotFound, text));
    };
    let trace =
        Trace::of("device_revoked").with("deviceId", device_id.as_str()).with("device", device.name.as_str());
    let order = Order::RevokeDevice { device_id };
    order_host(&state, tx, &ask.caller, &agent, order, trace, now).await
}

/// What a host reported, if its owner takes answers from here.
async fn reachable(tx: &mut Tx, agent: &AgentId, now: Timestamp) -> Result<PairingSnapshot, Fault> {
    let info = agents::find(tx, agent, false, now).await?;
    if info.revoked.is_some() {
        return Err(Fault::conflict(format!("the enrolment of host {} was revoked", info.machine.name)));
    }
    if !info.heartbeat.is_some_and(|beat| beat.accepts_answers) {
        let text = format!(
            "the owner of host {} takes no answers from the centre; it is their choice, made on the host",
            info.machine.name
        );
        return Err(Fault::conflict(text));
    }
    let sql = "SELECT snapshot FROM pairings WHERE tenant_id = $1 AND agent_id = $2";
    match tx.one(Statement::new(sql).bind_id(agent)).await? {
        Some(row) => Ok(row.json("snapshot")?),
        None => Ok(PairingSnapshot::default()),
    }
}

async fn order_host(
    state: &State,
    mut tx: Tx,
    caller: &Caller,
    agent: &AgentId,
    order: Order,
    trace: Trace,
    now: Timestamp,
) -> Result<CommandsQueued, Fault> {
    let Person { tenant, user, name, .. } = caller.person()?;
    let command = NewCommand { by: Some(user.clone()), by_name: Some(name.clone()), order };
    commands::give(&mut tx, tenant, agent, &command, now).await?;
    trace.by(caller).about(agent).write(&mut tx, tenant, &state.foundation).await?;
    tx.commit().await?;
    Ok(CommandsQueued { agents: 1 })
}
