//! Answers that take long end with the credential they were asked with.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lanyard_governance_api::agent::RevokeAgent as Revocation;
use lanyard_governance_api::artifact::{ArtifactQuery, ArtifactRecord, ArtifactType};
use lanyard_governance_api::endpoint::{PutArtifact, RevokeAgent};
use lanyard_tests::central::{Installation, Records, World};
use lanyard_tests::host::PATIENCE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// Far more than lies on the way between two sockets.
const SIZE: usize = 45 << 20;

/// A download of a host that reads slowly.
async fn downloading(central: &Installation, world: &World, artifact: &ArtifactRecord) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(64 << 10)?;
    let mut stream = socket.connect(central.replica(0).address()?).await?;
    let token = world.host.agent.token.as_deref().context("no token")?;
    let request = format!(
        "GET /workspaces/{}/artifacts/{} HTTP/1.1\r\nhost: central\r\nauthorization: Bearer {token}\r\n\r\n",
        world.grant.workspace_id, artifact.artifact_id
    );
    stream.write_all(request.as_bytes()).await?;
    let mut begun = vec![0; 16 << 10];
    stream.read_exact(&mut begun).await?;
    ensure!(begun.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&begun[..200]));
    Ok(stream)
}

async fn uploaded(world: &World) -> Result<ArtifactRecord> {
    let query = ArtifactQuery {
        artifact_type: ArtifactType::ToolOutput,
        session_id: world.grant.session_id.clone(),
        task_id: None,
        step_id: None,
        tool_call_id: None,
        seq: None,
        sha256: None,
    };
    let workspace = world.grant.workspace_id.to_string();
    let (status, said) =
        world.host.agent.send::<PutArtifact>(&[&workspace], &query, vec![b'x'; SIZE]).await?;
    serde_json::from_slice(&said).with_context(|| format!("{status}: {}", String::from_utf8_lossy(&said)))
}

async fn revoked_meanwhile(records: Records) -> Result<()> {
    let central = Installation::start(records).await?;
    let world = World::of(central.operator().await?).await?;
    let artifact = uploaded(&world).await?;
    let mut download = downloading(&central, &world, &artifact).await?;
    let id = world.host.id().as_str();
    let mut followed = reqwest::Client::new()
        .get(format!("{}/agents/{id}/commands/stream", central.url(0)))
        .bearer_auth(world.host.agent.token.as_deref().unwrap_or_default())
        .send()
        .await?
        .error_for_status()?;
    followed.chunk().await?.context("no first frame")?;

    let reason = Revocation { reason: "lost on a train".to_owned() };
    world.admin.post::<RevokeAgent>(&[id], &reason).await?;
    // What is followed ends by itself; so does the download, long before its end.
    let ends = async { while let Ok(Some(_)) = followed.chunk().await {} };
    tokio::time::timeout(PATIENCE, ends).await.context("commands are still followed")?;
    let (mut came, mut piece) = (0, vec![0; 64 << 10]);
    let ends = async {
        while let Ok(more @ 1..) = download.read(&mut piece).await {
            came += more;
            // Slower than the news, as on a real network.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ends).await.context("the download neither ends nor goes on")?;
    ensure!(came < SIZE / 2, "{came} of {SIZE} bytes came after the revocation");
    Ok(())
}

#[tokio::test]
async fn a_download_and_a_stream_break_off_when_the_host_is_revoked() -> Result<()> {
    revoked_meanwhile(Records::Sqlite).await
}

#[tokio::test]
async fn so_they_do_on_postgresql() -> Result<()> {
    revoked_meanwhile(Records::Postgres).await
}
