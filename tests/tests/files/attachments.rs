//! Files sent along with a prompt: in pieces, into the session's workspace, to the model.

use anyhow::{Context, Result, ensure};
use lanyard_protocol::ErrorCode;
use lanyard_protocol::bytes::Bytes;
use lanyard_protocol::event::EventBody;
use lanyard_protocol::id::{CommandId, SessionId};
use lanyard_protocol::limits::{MAX_ATTACHMENTS, MAX_FILE_PIECE_BYTES};
use lanyard_protocol::method::{
    AttachmentPut, CreateSession, EndSession, GetFile, ListFiles, PutAttachment, StartTask, TaskAccepted,
};
use lanyard_protocol::session::TaskOptions;
use lanyard_tests::device::DeviceConnection;
use lanyard_tests::gateway::{Recorded, Script, ScriptedGateway, call, say, shapes};
use serde_json::{Value, json};

use super::{host, phone, refused};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR and so on";

fn piece(
    session: &SessionId,
    id: &str,
    name: &str,
    offset: u64,
    bytes: &[u8],
    last: bool,
) -> Result<PutAttachment> {
    Ok(PutAttachment {
        session_id: session.clone(),
        attachment_id: CommandId::new(id)?,
        name: name.to_owned(),
        offset,
        bytes: Bytes(bytes.to_vec()),
        last,
    })
}

/// Sends a whole file, and says where it lies.
async fn put(
    phone: &mut DeviceConnection,
    session: &SessionId,
    name: &str,
    content: &[u8],
) -> Result<String> {
    let mut path = None;
    let id: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let pieces = content.len().div_ceil(MAX_FILE_PIECE_BYTES as usize).max(1);
    for n in 0..pieces {
        let start = n * MAX_FILE_PIECE_BYTES as usize;
        let end = (start + MAX_FILE_PIECE_BYTES as usize).min(content.len());
        let call = piece(session, &id, name, start as u64, &content[start..end], n + 1 == pieces)?;
        path = phone.call(call).await?.path;
    }
    path.context("the last piece names the place")
}

fn task(session: &SessionId, prompt: &str, attachments: &[String]) -> StartTask {
    StartTask {
        session_id: session.clone(),
        task_id: None,
        prompt: prompt.to_owned(),
        task_options: TaskOptions::default(),
        model: None,
        attachments: attachments.to_vec(),
    }
}

async fn run(phone: &mut DeviceConnection, task: StartTask) -> Result<(TaskAccepted, Vec<EventBody>)> {
    let accepted = phone.call(task).await?;
    let mut seen = Vec::new();
    loop {
        let event = phone.next_event().await?;
        let over = event.body.ends_task();
        seen.push(event.body);
        if over {
            return Ok((accepted, seen));
        }
    }
}

/// The content of the last prompt as the gateway was sent it.
fn prompt(request: &Recorded) -> Value {
    let last = request.messages().iter().rev().find(|message| message["role"] == "user");
    last.map(|message| message["content"].clone()).unwrap_or_default()
}

#[tokio::test]
async fn a_photo_and_a_log_go_from_the_phone_to_the_model() -> Result<()> {
    let gateway = ScriptedGateway::start([
        call("ReadFile", json!({ "path": ".lanyard/attachments/app.log" })),
        say("A cat, and a stack trace."),
    ]);
    let host = host(Some(gateway.url())).await?;
    let mut phone = phone(&host).await?;
    let session = phone.call(CreateSession::default()).await?.session_id;
    let log = "a line\n".repeat(100_000);
    let photo = put(&mut phone, &session, "../../IMG 1.png", PNG).await?;
    let log_path = put(&mut phone, &session, "app.log", log.as_bytes()).await?;
    ensure!(photo == ".lanyard/attachments/IMG 1.png" && log_path == ".lanyard/attachments/app.log");
    ensure!(std::fs::read(host.workspace().join(&log_path))? == log.as_bytes());
    ensure!(std::fs::read_to_string(host.workspace().join(".lanyard/.gitignore"))? == "*\n");

    let (_, seen) = run(&mut phone, task(&session, "what is this?", &[photo, log_path])).await?;
    let started = seen.iter().find_map(|body| match body {
        EventBody::TaskStarted(started) => Some(started.prompt.as_str()),
        _ => None,
    });
    ensure!(started == Some("what is this?"), "the log says what the person wrote: {started:?}");
    let requests = gateway.requests();
    let sent = prompt(&requests[0]);
    let text = sent[0]["text"].as_str().context("a text part")?;
    ensure!(text.starts_with("what is this?\n\n[host] Files the person attached"), "{text}");
    ensure!(text.contains("\n- .lanyard/attachments/IMG 1.png\n- .lanyard/attachments/app.log"), "{text}");
    let url = sent[1]["image_url"]["url"].as_str().context("a picture")?;
    ensure!(url.starts_with("data:image/png;base64,iVBORw0KGgoAAAANSUhEUi"), "{url}");
    ensure!(sent.as_array().is_some_and(|parts| parts.len() == 2), "a log is no picture");
    ensure!(requests[1].tool_results()[0].contains("a line"), "the tools read it");
    // And the person sees what is there.
    let work = host.workspace().canonicalize()?;
    let dir = work.join(".lanyard/attachments").display().to_string();
    let listed = phone.call(ListFiles { path: dir.clone() }).await?.entries;
    ensure!(listed.iter().map(|entry| entry.name.as_str()).eq(["IMG 1.png", "app.log"]), "{listed:?}");
    let back = phone.call(GetFile { path: format!("{dir}/IMG 1.png"), offset: 0, length: None }).await?;
    ensure!(back.bytes.0 == PNG && !back.text);
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_takes_no_pictures_is_asked_again_without_them() -> Result<()> {
    let gateway = ScriptedGateway::start(Script::by(|request: &Recorded| match prompt(request).is_array() {
        true => shapes::error(400, "invalid_request_error", "image_url is not supported by this model"),
        false => say("I cannot see it."),
    }));
    let host = host(Some(gateway.url())).await?;
    let mut phone = phone(&host).await?;
    let session = phone.call(CreateSession::default()).await?.session_id;
    let photo = put(&mut phone, &session, "a.png", PNG).await?;
    for _ in 0..2 {
        let (_, seen) =
            run(&mut phone, task(&session, "what is this?", std::slice::from_ref(&photo))).await?;
        ensure!(matches!(seen.last(), Some(EventBody::TaskCompleted(_))), "{seen:?}");
    }
    let requests = gateway.requests();
    ensure!(requests.len() == 3, "it is learnt once: {}", requests.len());
    ensure!(requests[1].last("user").contains("You cannot be shown the attached pictures"));
    Ok(())
}

#[tokio::test]
async fn the_demo_model_is_not_confused_by_what_is_attached() -> Result<()> {
    let host = host(None).await?;
    let mut phone = phone(&host).await?;
    let session = phone.call(CreateSession::default()).await?.session_id;
    let path = put(&mut phone, &session, "notes.txt", b"remember the milk").await?;
    let (_, seen) = run(&mut phone, task(&session, &format!("read {path}"), &[path])).await?;
    let Some(EventBody::TaskCompleted(done)) = seen.last() else { anyhow::bail!("{seen:?}") };
    ensure!(done.text.contains("milk"), "{}", done.text);
    Ok(())
}

#[tokio::test]
async fn pieces_that_do_not_fit_together_are_refused_and_the_right_ones_still_taken() -> Result<()> {
    let host = host(None).await?;
    let mut phone = phone(&host).await?;
    let session = phone.call(CreateSession::default()).await?.session_id;
    let missing = piece(&session, "a", "x", 5, b"x", false)?;
    let error = refused(&mut phone, missing).await?;
    ensure!(error.code == ErrorCode::InvalidRequest && error.message.contains("first byte"), "{error}");
    let first = piece(&session, "a", "x", 0, b"abc", false)?;
    for _ in 0..2 {
        ensure!(phone.call(first.clone()).await? == AttachmentPut { length: 3, path: None });
    }
    let gap = piece(&session, "a", "x", 4, b"e", false)?;
    let error = refused(&mut phone, gap).await?;
    ensure!(error.message.contains("3 bytes") && error.details.0["length"] == 3, "{error}");
    let other = piece(&session, "a", "x", 0, b"xyz", false)?;
    ensure!(refused(&mut phone, other).await?.message.contains("other bytes"));
    let long = piece(&session, "b", "x", 0, &vec![0; MAX_FILE_PIECE_BYTES as usize + 1], false)?;
    ensure!(refused(&mut phone, long).await?.message.contains("in one piece"));
    let name = piece(&session, "b", &"x".repeat(2_000), 0, b"", false)?;
    ensure!(refused(&mut phone, name).await?.message.contains("name"));
    let last = piece(&session, "a", "x", 3, b"d", true)?;
    // The answer may get lost on the way.
    for _ in 0..2 {
        let put = phone.call(last.clone()).await?;
        ensure!(put == AttachmentPut { length: 4, path: Some(".lanyard/attachments/x".to_owned()) });
    }
    ensure!(std::fs::read(host.workspace().join(".lanyard/attachments/x"))? == b"abcd");
    // The same name again does not take the place of the first.
    let again = put(&mut phone, &session, "x", b"other").await?;
    ensure!(again == ".lanyard/attachments/x (2)", "{again}");
    Ok(())
}

#[tokio::test]
async fn a_workspace_that_was_tampered_with_sends_nothing_elsewhere() -> Result<()> {
    let host = host(None).await?;
    let elsewhere = host.dir().join("elsewhere");
    std::fs::create_dir(&elsewhere)?;
    std::os::unix::fs::symlink(&elsewhere, host.workspace().join(".lanyard"))?;
    let mut phone = phone(&host).await?;
    let session = phone.call(CreateSession::default()).await?.session_id;
    let last = piece(&session, "a", "x", 0, b"abc", true)?;
    let error = refused(&mut phone, last.clone()).await?;
    ensure!(error.code == ErrorCode::CapabilityDenied && error.message.contains("symbolic link"), "{error}");
    ensure!(std::fs::read_dir(&elsewhere)?.next().is_none());
    // Mended, the same piece is taken.
    std::fs::remove_file(host.workspace().join(".lanyard"))?;
    ensure!(phone.call(last).await?.path.is_some());
    let left = std::fs::read_dir(host.state_dir())?.filter_map(Result::ok);
    let left: Vec<_> = left.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    ensure!(!left.iter().any(|name| name.contains("attachment")), "{left:?}");
    Ok(())
}

#[tokio::test]
async fn only_what_was_attached_to_a_session_that_lives_goes_with_a_task() -> Result<()> {
    let host = host(None).await?;
    std::fs::write(host.workspace().join("in.txt"), "")?;
    let mut phone = phone(&host).await?;
    let session = phone.call(CreateSession::default()).await?.session_id;
    let good = put(&mut phone, &session, "x", b"").await?;
    for bad in ["in.txt", "/etc/passwd", ".lanyard/attachments/gone", ".lanyard/attachments/../../in.txt"] {
        let error = refused(&mut phone, task(&session, "go", &[good.clone(), bad.to_owned()])).await?;
        ensure!(error.code == ErrorCode::InvalidRequest, "{bad}: {error}");
    }
    let many = vec![good.clone(); MAX_ATTACHMENTS + 1];
    ensure!(refused(&mut phone, task(&session, "go", &many)).await?.message.contains("at most"));
    let known = StartTask {
        task_id: Some("t1".parse()?),
        ..task(&session, "list the files", std::slice::from_ref(&good))
    };
    run(&mut phone, known.clone()).await?;
    // The same request again is the same task, whatever became of the file.
    std::fs::remove_file(host.workspace().join(&good))?;
    phone.call(known).await?;

    phone.call(EndSession { session_id: session.clone(), command_id: None }).await?;
    let late = piece(&session, "b", "x", 0, b"x", true)?;
    let error = refused(&mut phone, late).await?;
    ensure!(error.code == ErrorCode::SessionExpired, "{error}");
    let nowhere = piece(&"sess_none".parse()?, "b", "x", 0, b"x", true)?;
    ensure!(refused(&mut phone, nowhere).await?.code == ErrorCode::SessionNotFound);
    Ok(())
}
