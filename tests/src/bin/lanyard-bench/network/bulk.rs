//! A kept output fetched whole by a device, page by page: one after the other, and four at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lanyard_ports::journal::ArtifactStore;
use lanyard_ports::sink::CommitObserver;
use lanyard_protocol::event::{HostEvent, SessionEvent};
use lanyard_protocol::id::ArtifactId;
use lanyard_protocol::limits::MAX_ARTIFACT_PAGE_BYTES;
use lanyard_protocol::method::GetArtifact;
use lanyard_store::{Store, StoreOptions};
use lanyard_tests::device::DeviceConnection;
use lanyard_tests::host::TestHost;
use lanyard_tests::long;

use super::raw::{self, Floor};
use crate::table::{Samples, Table};

/// Size of the output.
const BYTES: u64 = 32 << 20;

/// How often each way is gone, by turns.
const ROUNDS: usize = 5;

/// Pages under way at a time.
const AT_A_TIME: u64 = 4;

pub(super) async fn measure(table: &mut Table, floor: &Floor) -> Result<()> {
    let mut host = TestHost::idle(super::quiet())?;
    let artifact = keep(&host).await?;
    host.boot().await?;
    let device = super::device(&host, "bench").await?;
    let mut connection = device.connect().await?;
    let plain = floor.connect().await?;
    let (mut bare, mut single, mut four) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(raw::bulk(&plain, BYTES).await?);
        single.push(fetch(&mut connection, &artifact, 1).await?);
        four.push(fetch(&mut connection, &artifact, AT_A_TIME).await?);
    }
    let bare = Samples::of_rates(BYTES, &bare)?;
    table.rates("quinn: 32 MiB on one stream", &bare, None);
    let raw = Some((&bare, "quinn's one stream"));
    table.rates("device: 32 MiB by GetArtifact, one by one", &Samples::of_rates(BYTES, &single)?, raw);
    table.rates("device: 32 MiB by GetArtifact, 4 at a time", &Samples::of_rates(BYTES, &four)?, raw);
    Ok(())
}

/// Nobody listens to the store here.
struct Silence;

impl CommitObserver for Silence {
    fn committed(&self, _: &[Arc<SessionEvent>], _: &[Arc<HostEvent>]) {}
}

/// Writes the output into the store of a host that does not run yet.
async fn keep(host: &TestHost) -> Result<ArtifactId> {
    long::session(&host.state_dir(), &host.workspace(), 1).await?;
    let (store, _) = Store::open(StoreOptions::new(host.state_dir().join("store")), Arc::new(Silence))?;
    let text = vec![b'x'; usize::try_from(BYTES)?];
    let artifact = store.put(&long::SESSION.parse()?, &text)?;
    store.close()?;
    Ok(artifact)
}

/// Fetches the whole with so many pages under way at a time.
async fn fetch(connection: &mut DeviceConnection, artifact: &ArtifactId, at_a_time: u64) -> Result<Duration> {
    let page = |number: u64| GetArtifact {
        artifact_id: artifact.clone(),
        offset: number * u64::from(MAX_ARTIFACT_PAGE_BYTES),
        length: Some(MAX_ARTIFACT_PAGE_BYTES),
    };
    let pages = BYTES / u64::from(MAX_ARTIFACT_PAGE_BYTES);
    let started = Instant::now();
    let mut under_way = std::collections::VecDeque::new();
    let (mut asked, mut got) = (0, 0);
    while got < BYTES {
        while asked < pages && (under_way.len() as u64) < at_a_time {
            under_way.push_back(connection.send(page(asked))?);
            asked += 1;
        }
        let next = under_way.pop_front().context("all pages came and the output is not whole")?;
        let page = connection.reply::<GetArtifact>(&next).await??;
        ensure!(page.text.len() == page.length as usize, "the text is not what was kept");
        got += u64::from(page.length);
    }
    Ok(started.elapsed())
}
