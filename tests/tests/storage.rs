//! Disks that are full, stores that are damaged, limits that are reached: said plainly, and nothing acknowledged lost.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use lanyard_protocol::ErrorCode;
use lanyard_protocol::bytes::Bytes;
use lanyard_protocol::health::HealthStatus;
use lanyard_protocol::id::SessionId;
use lanyard_protocol::method::{DeleteSession, GetArtifact, Health, ListSessions, PutAttachment, Subscribe};
use lanyard_tests::gateway::{Script, ScriptedGateway, call, say};
use lanyard_tests::host::{Connection, HostOptions, PATIENCE, TestHost};
use lanyard_tests::look;
use lanyard_tests::stage::{Stage, history, unasked};
use serde_json::json;

/// A small file system of its own on a directory; gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, with the reason printed, where this user may not mount.
    fn on(directory: &Path, size: &str) -> Result<Option<Self>> {
        let options = format!("size={size},mode=0700");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "lanyard-test"])
            .arg(directory)
            .output()?;
        if !mount.status.success() {
            println!(
                "skipped: no file system can be mounted here: {}",
                String::from_utf8_lossy(&mount.stderr).trim()
            );
            return Ok(None);
        }
        Ok(Some(Self(directory.to_owned())))
    }

    /// Leaves this many bytes free.
    fn fill(&self, leave: u64) -> Result<PathBuf> {
        let free = rustix::fs::statvfs(&self.0)?;
        let mut left = (free.f_bavail * free.f_frsize).saturating_sub(leave);
        let path = self.0.join("filler");
        let mut file = std::fs::File::create(&path)?;
        let block = vec![0; 1 << 20];
        while left > 0 {
            let piece = left.min(block.len() as u64);
            file.write_all(&block[..usize::try_from(piece)?])?;
            left -= piece;
        }
        Ok(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        match Command::new("umount").args(["--lazy"]).arg(&self.0).status() {
            Ok(status) if status.success() => {}
            other => eprintln!("{} stays mounted: {other:?}", self.0.display()),
        }
    }
}

/// One task, to its end; the error it failed with or was refused with, if any.
async fn one_task(peer: &mut Connection, session: &SessionId) -> Result<Option<ErrorCode>> {
    match peer.start(session, "go", unasked()).await {
        Ok(_) => Ok(look::failure(&peer.until_task_ends().await?).map(|error| error.code)),
        Err(error) => {
            let wire = error.downcast_ref::<lanyard_protocol::WireError>().context("no reason")?;
            ensure!(wire.message.len() > 20, "a reason and a way out: {wire}");
            Ok(Some(wire.code))
        }
    }
}

#[tokio::test]
async fn on_a_full_disk_new_work_is_refused_and_old_work_is_kept() -> Result<()> {
    let gateway = ScriptedGateway::start(Script::from(say("done")));
    let mut host = TestHost::idle(HostOptions { gateway: Some(gateway.url()), ..HostOptions::default() })?;
    let Some(disk) = SmallDisk::on(&host.state_dir(), "256m")? else { return Ok(()) };
    host.boot().await?;
    let mut peer = host.connect().await?;
    let session = peer.session(&host.workspace()).await?.session_id;
    assert_eq!(one_task(&mut peer, &session).await?, None);
    let before = history(&mut peer, &session).await?;
    for leave in [32 << 20, 1 << 20, 0] {
        let filler = disk.fill(leave)?;
        assert_eq!(one_task(&mut peer, &session).await?, Some(ErrorCode::StorageFull), "{leave} bytes left");
        let kept = history(&mut peer, &session).await?;
        assert!(kept.starts_with(&before), "reading goes on");
        std::fs::remove_file(filler)?;
    }
    assert_eq!(one_task(&mut peer, &session).await?, None, "there is room again, and no restart was needed");
    let after = history(&mut peer, &session).await?;
    // A host that starts on a full disk can still be looked into; its manifest takes a few hundred bytes.
    let filler = disk.fill(64 << 10)?;
    host.kill().await?;
    host.boot().await?;
    let mut peer = host.connect().await?;
    assert_eq!(history(&mut peer, &session).await?, after, "nothing acknowledged is lost");
    let after_seq = peer.last_seq(&session).await?;
    peer.call(Subscribe { session_id: session.clone(), after_seq }).await?;
    assert_eq!(one_task(&mut peer, &session).await?, Some(ErrorCode::StorageFull));
    std::fs::remove_file(filler)?;
    assert_eq!(one_task(&mut peer, &session).await?, None);
    Ok(())
}

/// Sends a whole small file along; where it lies.
async fn attach(
    peer: &mut Connection,
    session: &SessionId,
    content: &[u8],
) -> Result<Result<String, ErrorCode>> {
    let put = PutAttachment {
        session_id: session.clone(),
        attachment_id: "one".parse()?,
        name: "photo.jpg".to_owned(),
        offset: 0,
        bytes: Bytes(content.to_vec()),
        last: true,
    };
    Ok(match peer.try_call(put).await? {
        Ok(put) => Ok(put.path.context("the last piece names the place")?),
        Err(error) => Err(error.code),
    })
}

#[tokio::test]
async fn an_attachment_that_finds_no_room_leaves_nothing_and_can_be_sent_again() -> Result<()> {
    let mut host = TestHost::idle(HostOptions::default())?;
    let Some(disk) = SmallDisk::on(&host.workspace(), "16m")? else { return Ok(()) };
    host.boot().await?;
    let mut peer = host.connect().await?;
    let session = peer.session(&host.workspace()).await?.session_id;
    let content = vec![7; 200 * 1024];
    let filler = disk.fill(64 * 1024)?;
    assert_eq!(attach(&mut peer, &session, &content).await?, Err(ErrorCode::StorageFull));
    let attachments = host.workspace().join(".lanyard/attachments");
    ensure!(std::fs::read_dir(&attachments)?.next().is_none(), "a part of it is left");
    std::fs::remove_file(filler)?;
    let path = attach(&mut peer, &session, &content).await?.map_err(|code| anyhow::anyhow!("{code}"))?;
    ensure!(std::fs::read(host.workspace().join(path))? == content);
    Ok(())
}

#[tokio::test]
async fn a_disk_that_fills_up_under_a_task_loses_nothing_acknowledged() -> Result<()> {
    // Every step keeps a large output until there is no room for it.
    let mut number = 0;
    let script = Script::by(move |_| {
        number += 1;
        let text = format!("yes {number} | head -c 6000000");
        if number > 12 { say("done") } else { call("RunCommand", json!({"command": text})) }
    });
    let gateway = ScriptedGateway::start(script);
    let mut host = TestHost::idle(HostOptions { gateway: Some(gateway.url()), ..HostOptions::default() })?;
    let Some(disk) = SmallDisk::on(&host.state_dir(), "128m")? else { return Ok(()) };
    host.boot().await?;
    let mut peer = host.connect().await?;
    let session = peer.session(&host.workspace()).await?.session_id;
    let filler = disk.fill(80 << 20)?;
    peer.start(&session, "fill the disk", unasked()).await?;
    let told = peer.until_task_ends().await?;
    let told: Vec<_> = told.into_iter().filter(|event| event.seq.is_some()).collect();
    std::fs::remove_file(filler)?;
    host.kill().await?;
    host.boot().await?;
    let mut peer = host.connect().await?;
    let kept = history(&mut peer, &session).await?;
    for event in &told {
        assert!(kept.contains(event), "told and lost: {event:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_damaged_store_is_moved_aside_and_said_to_be() -> Result<()> {
    let mut stage = Stage::with(Script::from(say("done"))).await?;
    stage.run("go").await?;
    stage.host.kill().await?;
    let store = store_file(&stage.host)?;
    let mut bytes = std::fs::read(&store)?;
    let head = bytes.len().min(4096);
    bytes[..head].fill(0xA5);
    std::fs::write(&store, &bytes)?;
    stage.host.boot().await?;
    let mut peer = stage.host.connect().await?;
    assert!(peer.call(ListSessions::default()).await?.sessions.is_empty());
    let aside = std::fs::read_dir(store.parent().context("no directory")?)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| std::fs::read(path).is_ok_and(|content| content == bytes));
    let aside = aside.context("the damaged store is not kept")?;
    let name = aside.file_name().context("no name")?.to_string_lossy().into_owned();
    let health = peer.call(Health {}).await?;
    assert_eq!(health.status, HealthStatus::Bad);
    let check =
        health.checks.iter().find(|check| check.message.contains(&name)).context("health says nothing")?;
    assert!(check.action.is_some(), "{check:?}");
    lanyard_tests::stage::eventually("`up` says it", || stage.host.log().contains(&name)).await?;
    let session = peer.session(&stage.host.workspace()).await?.session_id;
    assert_eq!(one_task(&mut peer, &session).await?, None, "work goes on in a new store");
    Ok(())
}

#[tokio::test]
async fn at_store_max_bytes_tasks_are_refused_until_something_is_deleted() -> Result<()> {
    const LIMIT: u64 = 16 << 20;
    let script =
        Script::by(|request| match request.messages().last().is_some_and(|last| last["role"] == "tool") {
            true => say("done"),
            false => call(
                "RunCommand",
                json!({"command": format!("yes {} | head -c 9000000", request.last("user"))}),
            ),
        });
    let mut stage = Stage::under(script, &[("LANYARD_STORE_MAX_BYTES", &LIMIT.to_string())]).await?;
    for word in ["one", "two"] {
        let events = stage.run(word).await?;
        let result = &look::completed(&events)[0].result;
        let uri = result.artifact_uris.first().context("the whole output is not kept")?;
        let artifact_id = uri.strip_prefix("artifact:").context("no artifact")?.parse()?;
        let page = stage.peer.call(GetArtifact { artifact_id, offset: 0, length: Some(8) }).await?;
        assert!(page.total > 8_000_000 && page.text.starts_with(word), "{page:?}");
        assert!(
            result.output_text.as_deref().is_some_and(|text| text.len() < 110_000),
            "the model gets less"
        );
    }
    assert_eq!(one_task(&mut stage.peer, &stage.session).await?, Some(ErrorCode::StorageFull));
    assert_eq!(attach(&mut stage.peer, &stage.session, b"x").await?, Err(ErrorCode::StorageFull));
    let health = stage.peer.call(Health {}).await?;
    let check = health.checks.iter().find(|check| check.name == "store").context("no check")?;
    assert!(check.status == HealthStatus::Bad && check.action.is_some(), "{check:?}");
    stage.peer.call(DeleteSession { session_id: stage.session.clone(), command_id: None }).await?;
    let session = stage.peer.session(&stage.host.workspace()).await?.session_id;
    let until = Instant::now() + PATIENCE;
    // Files of a deleted session are removed right after it is gone.
    while one_task(&mut stage.peer, &session).await? == Some(ErrorCode::StorageFull) {
        ensure!(Instant::now() < until, "deleting made no room");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Ok(())
}

fn store_file(host: &TestHost) -> Result<PathBuf> {
    std::fs::read_dir(host.state_dir().join("store"))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "redb"))
        .context("no store file")
}
