//! A light request over the page's channel (WebSocket, TLS, Noise, streams), by a native client. The floor: an echo of a
//! plain WebSocket over TLS.

use std::time::Instant;

use anyhow::Result;
use lanyard_protocol::method::{GetSessionState, Identify};

use super::wire::{Echo, Tab};
use crate::network;
use crate::table::{Samples, Table};

/// Turns, and requests of each kind in one of them.
const ROUNDS: usize = 20;
const REQUESTS: usize = 150;

pub(super) async fn measure(table: &mut Table) -> Result<()> {
    let host = network::host().await?;
    let session = host.connect().await?.session(&host.workspace()).await?.session_id;
    let device = network::device(&host, "bench").await?;
    let mut tab = Tab::of(&device).await?;
    let mut plain = Echo::start().await?;
    let (mut echoes, mut state, mut identify) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for _ in 0..REQUESTS {
            echoes.push(plain.round_trip().await?);
        }
        for _ in 0..REQUESTS {
            let started = Instant::now();
            tab.call(GetSessionState { session_id: session.clone() }).await?;
            state.push(started.elapsed());
        }
        for _ in 0..REQUESTS {
            let started = Instant::now();
            tab.call(Identify {}).await?;
            identify.push(started.elapsed());
        }
    }
    let echoes = Samples::of(&echoes)?;
    table.times("floor: WebSocket over TLS, echo of 64 B", &echoes, None);
    for (name, times) in [("GetSessionState", state), ("Identify", identify)] {
        table.times_against(&format!("page's channel: {name}"), &Samples::of(&times)?, &echoes, "the echo");
    }
    Ok(())
}
