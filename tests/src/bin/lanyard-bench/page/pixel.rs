//! From a task's start until the page has drawn the event that says so. The floors: the same event's arrival at a client
//! of the local socket, and what the browser takes to draw a text that is there.

use std::time::Duration;

use anyhow::{Context, Result};
use lanyard_protocol::event::EventBody;
use lanyard_protocol::method::Subscribe;
use lanyard_protocol::session::TaskOptions;
use lanyard_tests::gateway::{ScriptedGateway, say};
use lanyard_tests::host::{Connection, HostOptions, TestHost};
use serde_json::json;
use tokio::sync::mpsc;

use super::{PATIENCE, Phone, millis, now};
use crate::table::{Samples, Table};

/// Tasks whose start is timed.
const ROUNDS: usize = 50;

/// Notes when the last prompt of the timeline has been drawn that has a certain text.
const WATCH: &str = "\
    window.benchSeen = {}; \
    new MutationObserver(() => { \
        const awaited = window.benchAwaited; \
        const last = [...document.querySelectorAll('.timeline article.prompt')].at(-1); \
        if (!awaited || !last || !last.textContent.includes(awaited)) return; \
        window.benchAwaited = undefined; \
        benchDrawn((at) => { window.benchSeen[awaited] = at; }); \
    }).observe(document.body, { childList: true, subtree: true, characterData: true });";

/// Puts a text into the page at some moment between two frames, and notes how long until it is drawn.
const DRAW: &str = "\
    window.benchDrew = undefined; \
    setTimeout(() => { \
        const at = benchNow(); \
        const line = document.body.appendChild(document.createElement('p')); \
        line.textContent = 'drawn'; \
        benchDrawn((drawn) => { line.remove(); window.benchDrew = drawn - at; }); \
    }, Math.random() * 50);";

pub(super) async fn measure(table: &mut Table) -> Result<()> {
    let gateway = ScriptedGateway::start(say("done"));
    let options = HostOptions { gateway: Some(gateway.url()), ..HostOptions::default() };
    let host = TestHost::with(options).await?;
    let phone = Phone::paired_with(&host).await?;
    let mut owner = host.connect().await?;
    let session = owner.session(&host.workspace()).await?.session_id;
    phone.opens(session.as_str()).await?;
    phone.has_clock().await?;
    phone.page.eval(WATCH).await?;
    let mut near = host.connect().await?;
    near.call(Subscribe { session_id: session.clone(), after_seq: 1 }).await?;
    let (told, mut arrivals) = mpsc::channel(1);
    let follower = tokio::spawn(follow(near, told));

    let (mut frames, mut local, mut drawn, mut beyond) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        phone.page.eval(DRAW).await?;
        frames.push(millis(phone.number("window.benchDrew").await?));
        let prompt = format!("look at part number {round} of it");
        let awaited = json!(prompt);
        phone.page.eval(&format!("window.benchAwaited = {awaited};")).await?;
        let started = now()?;
        owner.start(&session, &prompt, TaskOptions::default()).await?;
        let arrived = tokio::time::timeout(PATIENCE, arrivals.recv()).await.context("no event came")?;
        let arrived: f64 = arrived.context("the follower has ended")?;
        let seen = phone.number(&format!("window.benchSeen[{awaited}]")).await?;
        owner.until_task_ends().await?;
        local.push(millis(arrived - started));
        drawn.push(millis(seen - started));
        beyond.push(millis(seen - arrived));
    }
    follower.abort();
    report(table, [&frames, &local, &drawn, &beyond])
}

fn report(table: &mut Table, [frames, local, drawn, beyond]: [&[Duration]; 4]) -> Result<()> {
    let (frames, local) = (Samples::of(frames)?, Samples::of(local)?);
    table.times("floor: a text of the page until drawn", &frames, None);
    table.times("floor: StartTask to event, local", &local, None);
    let drawn = Samples::of(drawn)?;
    table.times_against("page: StartTask to event drawn", &drawn, &local, "the local socket's");
    let of = "drawing a text";
    table.times_against("page: event at a local client to drawn", &Samples::of(beyond)?, &frames, of);
    Ok(())
}

/// When the start of each task arrived.
async fn follow(mut near: Connection, told: mpsc::Sender<f64>) -> Result<()> {
    loop {
        let event = near.event().await?;
        if matches!(event.body, EventBody::TaskStarted(_)) {
            told.send(now()?).await?;
        }
    }
}
