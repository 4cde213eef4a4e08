//! From the tap on "approve" until the host has decided: its log says that the question is settled. The floor: the same
//! answer over the local socket.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use fantoccini::Locator;
use lanyard_protocol::event::HostEventBody;
use lanyard_protocol::id::ApprovalId;
use lanyard_protocol::method::SubscribeHost;
use lanyard_protocol::session::TaskOptions;
use lanyard_tests::gateway::{Script, ScriptedGateway, call, say};
use lanyard_tests::host::{Connection, HostOptions, TestHost};
use serde_json::json;
use tokio::sync::mpsc;

use super::{PATIENCE, Phone, millis, now};
use crate::table::{Samples, Table};

/// Questions answered in each way, by turns.
const ROUNDS: usize = 30;

/// Between the question's appearance and the answer: a person takes longer, and the page has drawn it by then.
const QUIET: Duration = Duration::from_millis(200);

/// Settled questions that wait to be looked at; each round takes one.
const SETTLED: usize = 4;

/// The buttons of a question that takes presses; the last one approves.
const READY: &str = "document.querySelector('.ask .buttons button:last-child:enabled') \
     && !document.querySelector('.ask [data-fresh]')";
const APPROVE: &str = ".ask .buttons button:last-child";

pub(super) async fn measure(table: &mut Table) -> Result<()> {
    // Each task wants to run one command, never the same twice, and is done.
    let gateway = ScriptedGateway::start(Script::by(|request| {
        if request.messages().last().is_some_and(|last| last["role"] == "tool") {
            return say("done");
        }
        let name = format!("asked-{}", request.tool_results().len());
        call("RunCommand", json!({ "argv": ["touch", name] }))
    }));
    let options = HostOptions { gateway: Some(gateway.url()), ..HostOptions::default() };
    let host = TestHost::with(options).await?;
    let phone = Phone::paired_with(&host).await?;
    let mut owner = host.connect().await?;
    let session = owner.session(&host.workspace()).await?.session_id;
    phone.opens(session.as_str()).await?;
    phone.has_clock().await?;
    phone.page.eval("addEventListener('click', () => { window.benchTap ??= benchNow(); }, true);").await?;
    let mut watcher = host.connect().await?;
    watcher.call(SubscribeHost::default()).await?;
    let (told, mut settled) = mpsc::channel(SETTLED);
    let watcher = tokio::spawn(watch(watcher, told));

    let (mut near, mut tapped) = (Vec::new(), Vec::new());
    for round in 0..2 * ROUNDS {
        owner.start(&session, "leave a file", TaskOptions::default()).await?;
        let question = owner.question().await?;
        // Also where the owner answers: the page then has the same to do in both.
        phone.until(READY).await?;
        tokio::time::sleep(QUIET).await;
        let at = if round % 2 == 0 {
            let at = now()?;
            owner.approve(&question).await?;
            at
        } else {
            phone.page.eval("window.benchTap = undefined;").await?;
            phone.page.client().find(Locator::Css(APPROVE)).await?.click().await?;
            phone.number("window.benchTap").await?
        };
        let decided = decision(&mut settled, &question.approval_id).await?;
        let times = if round % 2 == 0 { &mut near } else { &mut tapped };
        times.push(millis(decided - at));
        owner.until_task_ends().await?;
    }
    watcher.abort();
    let near = Samples::of(&near)?;
    table.times("floor: ApproveAction to decision, local", &near, None);
    let of = "the local socket's";
    table.times_against("page: approve tap to decision", &Samples::of(&tapped)?, &near, of);
    Ok(())
}

/// When the host's log said of which question that it is settled.
async fn watch(mut host: Connection, told: mpsc::Sender<(ApprovalId, f64)>) -> Result<()> {
    loop {
        // A minute without an event ends this; no round takes as long.
        if let HostEventBody::ApprovalSettled(settled) = host.host_event().await?.body {
            told.send((settled.approval_id, now()?)).await?;
        }
    }
}

async fn decision(settled: &mut mpsc::Receiver<(ApprovalId, f64)>, wanted: &ApprovalId) -> Result<f64> {
    match tokio::time::timeout(PATIENCE, settled.recv()).await.context("no decision came")? {
        Some((id, at)) if id == *wanted => Ok(at),
        other => bail!("another question was settled: {other:?}"),
    }
}
