//! Artifacts in an S3 store, and the bound on one artifact.

use anyhow::{Context, Result, ensure};
use lanyard_governance_api::artifact::{ArtifactQuery, ArtifactRecord, ArtifactType};
use lanyard_governance_api::endpoint::{DeleteWorkspace, GetArtifactContent, PutArtifact};
use lanyard_governance_api::limits::MAX_ARTIFACT_BYTES;
use lanyard_governance_api::page::Nothing;
use lanyard_tests::central::{Installation, Records, S3, World, python, until};

fn query(world: &World) -> ArtifactQuery {
    ArtifactQuery {
        artifact_type: ArtifactType::ToolOutput,
        session_id: world.grant.session_id.clone(),
        task_id: None,
        step_id: None,
        tool_call_id: None,
        seq: None,
        sha256: None,
    }
}

/// Peak resident memory of a process, in kibibytes.
fn peak(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

async fn largest(central: &Installation) -> Result<()> {
    let world = World::of(central.operator().await?).await?;
    let (workspace, query) = (world.grant.workspace_id.to_string(), query(&world));
    let pid = central.replica(0).pid()?;
    let before = peak(pid)?;
    let size = usize::try_from(MAX_ARTIFACT_BYTES)?;
    let mut content: Vec<u8> = (0..size).map(|n| u8::try_from(n % 251).unwrap_or(0)).collect();
    let sent = world.host.agent.send::<PutArtifact>(&[&workspace], &query, content.clone()).await;
    let (status, said) = sent.with_context(|| central.replica(0).log())?;
    ensure!(status == 201, "{status}: {}", String::from_utf8_lossy(&said));
    let record: ArtifactRecord = serde_json::from_slice(&said)?;
    ensure!(record.bytes == MAX_ARTIFACT_BYTES && !record.uri.contains("://"), "{record:?}");
    let path = [workspace.as_str(), record.artifact_id.as_str()];
    let (status, back) = world.admin.send::<GetArtifactContent>(&path, &Nothing {}, Vec::new()).await?;
    ensure!(status == 200 && back == content, "{status}: {} bytes came back", back.len());
    let grown = peak(pid)? - before;
    ensure!(grown < 40 * 1024, "50 MiB took {grown} KiB of memory");
    content.push(0);
    let (status, said) = world.host.agent.send::<PutArtifact>(&[&workspace], &query, content).await?;
    ensure!(status == 413, "{status}: {}", String::from_utf8_lossy(&said));
    Ok(())
}

#[tokio::test]
async fn fifty_mebibytes_and_not_a_byte_more_in_a_directory() -> Result<()> {
    largest(&Installation::start(Records::Sqlite).await?).await
}

#[tokio::test]
async fn the_same_in_an_s3_store_from_which_a_workspace_goes_with_everything() -> Result<()> {
    let venv = match python("python-central", &["moto[server]==5.2.5", "schemathesis==4.32.5"]).await? {
        Ok(venv) => venv,
        Err(why) => {
            println!("skipped: {why}");
            return Ok(());
        }
    };
    let s3 = S3::start(&venv).await?;
    let mut central = Installation::prepare(Records::Postgres)?;
    s3.serve(&mut central);
    central.add().await?;
    largest(&central).await?;
    let world = World::of(central.operator().await?).await?;
    let workspace = world.grant.workspace_id.to_string();
    let (status, said) =
        world.host.agent.send::<PutArtifact>(&[&workspace], &query(&world), b"kept once".to_vec()).await?;
    ensure!(status == 201, "{status}: {}", String::from_utf8_lossy(&said));
    let record: ArtifactRecord = serde_json::from_slice(&said)?;
    let hash = record.artifact_id.as_str().trim_start_matches("sha256-").to_owned();
    let kept = |keys: Vec<String>| keys.into_iter().any(|key| key.contains(&hash[4..]));
    ensure!(kept(s3.keys().await?), "{:?} holds no {hash}", s3.keys().await?);
    world.admin.call::<DeleteWorkspace>(&[&workspace], &Nothing {}, &Nothing {}).await?;
    until("the object is gone", || async { Ok((!kept(s3.keys().await?)).then_some(())) }).await
}
