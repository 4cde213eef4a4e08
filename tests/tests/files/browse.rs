//! Looking at files: what there is, what is refused, and that neither costs the others anything.

use std::os::unix::fs::symlink;

use anyhow::{Result, ensure};
use lanyard_protocol::ErrorCode;
use lanyard_protocol::limits::MAX_FILE_PIECE_BYTES;
use lanyard_protocol::method::{FileKind, GetFile, Identify, ListFiles, ListWorkspaces};
use lanyard_protocol::principal::Scope;

use super::{device, host, phone, refused};

fn file(path: &std::path::Path) -> GetFile {
    GetFile { path: path.display().to_string(), offset: 0, length: None }
}

fn files(path: &std::path::Path) -> ListFiles {
    ListFiles { path: path.display().to_string() }
}

#[tokio::test]
async fn a_phone_finds_its_way_through_a_workspace_and_reads_a_file_piece_by_piece() -> Result<()> {
    let host = host(None).await?;
    let work = host.workspace().canonicalize()?;
    let content: Vec<u8> = (0..600_000_u32).map(|n| b'a' + (n % 26) as u8).collect();
    std::fs::create_dir(work.join("src"))?;
    std::fs::write(work.join("src/big.txt"), &content)?;
    let mut phone = phone(&host).await?;
    let places = phone.call(ListWorkspaces {}).await?.workspaces;
    ensure!(places.len() == 1 && places[0].path == work.display().to_string(), "{places:?}");
    ensure!(places[0].name == "work" && places[0].last_used.is_none(), "{places:?}");

    let top = phone.call(files(&work)).await?;
    ensure!(top.parent.is_none() && !top.truncated && top.entries.len() == 1, "{top:?}");
    ensure!(top.entries[0].name == "src" && top.entries[0].kind == FileKind::Directory, "{top:?}");
    let below = phone.call(files(&work.join("src"))).await?;
    ensure!(below.parent == Some(work.display().to_string()), "{below:?}");
    ensure!(below.entries[0].size == Some(600_000) && below.entries[0].modified.is_some(), "{below:?}");

    let mut got = Vec::new();
    loop {
        let offset = got.len() as u64;
        let piece =
            phone.call(GetFile { offset, length: Some(u32::MAX), ..file(&work.join("src/big.txt")) }).await?;
        ensure!(piece.text && piece.total == 600_000 && piece.bytes.0.len() <= MAX_FILE_PIECE_BYTES as usize);
        if piece.bytes.0.is_empty() {
            break;
        }
        got.extend(piece.bytes.0);
    }
    ensure!(got == content);
    Ok(())
}

#[tokio::test]
async fn what_is_not_a_phones_business_is_refused_with_words() -> Result<()> {
    let host = host(None).await?;
    let work = host.workspace().canonicalize()?;
    std::fs::write(work.join(".env"), "TOKEN=s3cret")?;
    std::fs::write(host.dir().join("outside"), "s3cret")?;
    symlink(host.dir().join("outside"), work.join("link"))?;
    symlink(host.state_dir(), work.join("state-link"))?;
    rustix::fs::mkfifoat(rustix::fs::CWD, work.join("pipe"), rustix::fs::Mode::from_raw_mode(0o600))?;
    let mut phone = phone(&host).await?;
    for (path, code, word) in [
        (host.dir().join("outside"), ErrorCode::CapabilityDenied, "lies in no workspace"),
        (host.state_dir().join("host.key"), ErrorCode::CapabilityDenied, "lies in no workspace"),
        ("/etc/passwd".into(), ErrorCode::CapabilityDenied, "lies in no workspace"),
        (work.join("../outside"), ErrorCode::CapabilityDenied, "lies in no workspace"),
        (work.join("link"), ErrorCode::CapabilityDenied, "symbolic link"),
        (work.join("state-link/host.key"), ErrorCode::CapabilityDenied, "symbolic link"),
        (work.join(".env"), ErrorCode::CapabilityDenied, "asks nobody"),
        (work.join("pipe"), ErrorCode::InvalidRequest, "pipe, socket or device"),
        (work.join("gone"), ErrorCode::InvalidRequest, "does not exist"),
        ("relative".into(), ErrorCode::InvalidRequest, "absolute"),
        (work.join("a\u{202e}b"), ErrorCode::InvalidRequest, "U+202E"),
    ] {
        let error = refused(&mut phone, file(&path)).await?;
        ensure!(error.code == code && error.message.contains(word), "{}: {error}", path.display());
        ensure!(!error.message.contains("s3cret"));
        refused(&mut phone, files(&path)).await?;
    }
    // It is seen that there is a link; where it leads is not.
    let listed = phone.call(files(&work)).await?;
    ensure!(listed.entries.iter().any(|entry| entry.name == "link" && entry.kind == FileKind::Link));

    let mut watcher = device(&host, "watcher", &[Scope::Observe]).await?;
    watcher.call(ListWorkspaces {}).await?;
    for error in [refused(&mut watcher, file(&work)).await?, refused(&mut watcher, files(&work)).await?] {
        ensure!(error.code == ErrorCode::Unauthorized && error.message.contains("operate"), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn directories_that_only_the_owner_may_choose_are_the_owners() -> Result<()> {
    let host = host(None).await?;
    let elsewhere = host.dir().join("elsewhere");
    std::fs::create_dir(&elsewhere)?;
    let elsewhere = elsewhere.canonicalize()?;
    std::fs::write(elsewhere.join("notes"), "mine")?;
    let mut owner = host.connect().await?;
    owner.session(&elsewhere).await?;
    owner.session(&host.workspace()).await?;
    let mine: Vec<_> = owner.call(ListWorkspaces {}).await?.workspaces.into_iter().map(|w| w.name).collect();
    ensure!(mine == ["work", "elsewhere"], "last used first: {mine:?}");
    ensure!(owner.call(file(&elsewhere.join("notes"))).await?.bytes.0 == b"mine");
    let mut phone = phone(&host).await?;
    let theirs = phone.call(ListWorkspaces {}).await?.workspaces;
    ensure!(theirs.len() == 1 && theirs[0].name == "work" && theirs[0].last_used.is_some(), "{theirs:?}");
    let error = refused(&mut phone, file(&elsewhere.join("notes"))).await?;
    ensure!(error.message.contains("lies in no workspace") && error.message.contains("/work"), "{error}");
    // One that is gone is not offered.
    std::fs::remove_dir_all(&elsewhere)?;
    let mine = owner.call(ListWorkspaces {}).await?.workspaces;
    ensure!(mine.len() == 1, "{mine:?}");
    Ok(())
}

#[tokio::test]
async fn a_session_without_a_project_can_be_looked_into_and_not_chosen() -> Result<()> {
    let mut host = lanyard_tests::host::TestHost::idle(lanyard_tests::host::HostOptions::default())?;
    host.boot().await?;
    let mut phone = phone(&host).await?;
    let opened = phone.call(lanyard_protocol::method::CreateSession::default()).await?;
    let own = std::path::Path::new(&opened.workspace_roots[0]).to_owned();
    std::fs::write(own.join("made.txt"), "for you")?;
    ensure!(phone.call(files(&own)).await?.entries.len() == 1);
    ensure!(phone.call(file(&own.join("made.txt"))).await?.bytes.0 == b"for you");
    ensure!(phone.call(ListWorkspaces {}).await?.workspaces.is_empty());
    Ok(())
}

#[tokio::test]
async fn many_looks_at_once_hold_up_nobody() -> Result<()> {
    let host = host(None).await?;
    let work = host.workspace().canonicalize()?;
    std::fs::write(work.join("big"), vec![b'x'; 4 << 20])?;
    let mut phone = phone(&host).await?;
    let ids: Vec<_> = (0..16)
        .map(|n| {
            phone.send(GetFile { offset: n * u64::from(MAX_FILE_PIECE_BYTES), ..file(&work.join("big")) })
        })
        .collect::<Result<_>>()?;
    phone.call(Identify {}).await?;
    for id in ids {
        let piece = phone.reply::<GetFile>(&id).await??;
        ensure!(piece.bytes.0.len() == MAX_FILE_PIECE_BYTES as usize);
    }
    Ok(())
}
