//! The ways in, and the first task.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use lanyard_tests::gateway::errands::{self, ASKED, STREAMED};
use lanyard_tests::host::PATIENCE;
use lanyard_tests::look;
use lanyard_tests::machine::{Machine, Way};
use lanyard_tests::newcomer::Signal;
use serde_json::{Value, json};

use crate::Pair;

#[tokio::test]
async fn a_typed_code_pairs_with_the_digits_of_the_devices_screen() -> Result<()> {
    let pair = Pair::strangers().await?;
    let (host, device) = (&pair.host, &pair.device);
    let mut window = host.opens_window().await?;
    // As people type: small letters, no dash, an O for a zero.
    window.code = window.code.replace('-', "").to_lowercase().replace('0', "o");
    let mut joining = device.joins(host, &window, pair.by_code()?).await?;
    let question = window.question().await?;
    ensure!(question["name"] == "laptop" && question["method"] == "code", "{question}");
    let listed = host.asks(&["pairings", "list"]).await?;
    ensure!(listed["window"].is_null(), "a code works once: {listed}");
    ensure!(listed["pending"][0]["digits"].is_null(), "the digits come from the device: {listed}");
    let id = question["pairingId"].as_str().context("no id")?;
    let without = host.types(&["pairings", "approve", id]).await?;
    ensure!(without.code == Some(2) && without.err.contains("--digits"), "{without:?}");
    let wrong = if joining.digits == "000000" { "000001" } else { "000000" };
    let refused = host.types(&["pairings", "approve", id, "--digits", wrong]).await?;
    ensure!(refused.code == Some(1), "{refused:?}");
    let words = "these are not the digits that the device shows; look again, 2 tries are left";
    ensure!(refused.err.contains(words), "{refused:?}");
    let decided = host.approves(&question, &joining.digits).await?;
    ensure!(decided["device"]["name"] == "laptop", "{decided}");
    joining.join.until("the answer", |line| line["event"] == "paired").await?;
    ensure!(joining.join.end().await?.code == Some(0));
    ensure!(window.pair.end().await?.code == Some(0));
    knows_each_other(&pair).await
}

/// Both show the other's id, and the connection made the pairing final.
async fn knows_each_other(pair: &Pair) -> Result<()> {
    let (host, device) = (&pair.host, &pair.device);
    let hosts = device.asks(&["hosts"]).await?;
    ensure!(hosts["hosts"][0]["hostId"] == host.host_id().await?.as_str(), "{hosts}");
    ensure!(hosts["hosts"][0]["status"] == "reachable", "{hosts}");
    ensure!(hosts["hosts"][0]["scopes"] == json!(["observe", "operate", "approve"]), "{hosts}");
    let row = pair.row().await?;
    ensure!(row["deviceId"] == device.asks(&["identity"]).await?["deviceId"], "{row}");
    ensure!(row["provisionalUntil"].is_null() && row["name"] == "laptop", "{row}");
    Ok(())
}

#[tokio::test]
async fn the_link_pairs_with_one_tap_and_both_screens_show_the_same_digits() -> Result<()> {
    let pair = Pair::strangers().await?;
    ensure!(pair.device.pairs_with(&pair.host, Way::Link).await? == "studio");
    knows_each_other(&pair).await
}

#[tokio::test]
async fn what_is_denied_is_denied_on_both_sides() -> Result<()> {
    let pair = Pair::strangers().await?;
    let mut window = pair.host.opens_window().await?;
    let joining = pair.device.joins(&pair.host, &window, Way::Link).await?;
    let question = window.question().await?;
    let id = question["pairingId"].as_str().context("no id")?;
    pair.host.types(&["pairings", "deny", id]).await?.ok()?;
    let ended = joining.join.end().await?;
    ensure!(ended.code == Some(3) && ended.err.contains("the pairing was denied on the host"), "{ended:?}");
    ensure!(window.pair.end().await?.code == Some(3));
    let hosts = pair.device.asks(&["hosts", "--offline"]).await?;
    ensure!(hosts == json!({"hosts": [], "waiting": []}), "{hosts}");
    ensure!(pair.host.asks(&["devices"]).await?["devices"] == json!([]));
    Ok(())
}

#[tokio::test]
async fn three_times_wrong_digits_are_a_denial() -> Result<()> {
    let pair = Pair::strangers().await?;
    let mut window = pair.host.opens_window().await?;
    let joining = pair.device.joins(&pair.host, &window, pair.by_code()?).await?;
    let question = window.question().await?;
    let id = question["pairingId"].as_str().context("no id")?;
    let wrong = if joining.digits == "000000" { "000001" } else { "000000" };
    for words in ["2 tries are left", "one try is left", "it was denied, because somebody may be between"] {
        let refused = pair.host.types(&["pairings", "approve", id, "--digits", wrong]).await?;
        ensure!(refused.code == Some(1) && refused.err.contains(words), "{refused:?}");
    }
    let late = pair.host.types(&["pairings", "approve", id, "--digits", &joining.digits]).await?;
    ensure!(late.code != Some(0), "{late:?}");
    let ended = joining.join.end().await?;
    ensure!(ended.code == Some(3), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn a_task_given_on_the_device_runs_on_the_host_and_is_seen_everywhere() -> Result<()> {
    let pair = Pair::friends().await?;
    let mut watch = pair.device.follows(&["watch"])?;
    watch.until("the host", |line| line["event"] == "reached").await?;
    pair.host.touch(&errands::enough("w"))?;
    let (ended, shown) = pair.runs(&errands::streaming("w"))?.finish().await?;
    ensure!(ended.code == Some(0) && look::answer(&shown) == STREAMED, "{ended:?}");
    ensure!(
        pair.host.workspace().join("notes-w").exists() && !pair.device.workspace().join("notes-w").exists()
    );
    let (ended, shown) = pair.runs(&errands::asking("w"))?.finish().await?;
    ensure!(ended.code == Some(0) && look::answer(&shown) == ASKED, "{ended:?}");
    for words in [&["sessions"][..], &["sessions", "--host", "studio"]] {
        let sessions = pair.device.asks(words).await?;
        ensure!(sessions["sessions"].as_array().map(Vec::len) == Some(2), "{sessions}");
    }
    let by = shown[0].session_id.as_str();
    watch
        .until("the end of the task", |line| {
            let changed = &line["hostEvent"]["payload"]["session"];
            changed["sessionId"] == by && changed["lastTask"]["state"] == "completed"
        })
        .await?;
    watch.signal(Signal::INT)?;
    ensure!(watch.end().await?.code == Some(0));
    // Who came and went is written down with whatever is written next, which may be a moment later.
    let until = Instant::now() + PATIENCE;
    loop {
        let connections = pair.host.asks(&["devices", "connections"]).await?;
        let rows = connections["connections"].as_array().context("no rows")?;
        ensure!(rows.iter().all(|row| row["name"] == "laptop"), "{connections}");
        if rows.len() >= 5 && rows.iter().any(|row| row["endReason"] == "closed") {
            return Ok(());
        }
        ensure!(Instant::now() < until, "{connections}");
    }
}

#[tokio::test]
async fn rights_that_were_not_granted_are_refused_with_words() -> Result<()> {
    let pair = Pair::strangers().await?;
    let mut window = pair.host.opens_window().await?;
    let joining = pair.device.joins(&pair.host, &window, Way::Link).await?;
    let id = window.question().await?["pairingId"].as_str().context("no id")?.to_owned();
    pair.host.types(&["pairings", "approve", &id, "--scopes", "observe", "--name", "kitchen"]).await?.ok()?;
    let ended = joining.join.end().await?;
    let paired: Value = serde_json::from_str(ended.out.lines().last().unwrap_or_default())?;
    ensure!(paired["scopes"] == json!(["observe"]) && paired["deviceName"] == "kitchen", "{paired}");
    let (ended, _) = pair.runs(&errands::streaming("w"))?.finish().await?;
    ensure!(ended.code == Some(3) && ended.err.contains("operate"), "{ended:?}");
    for words in [&["devices"][..], &["identity", "rotate"]] {
        let refused = pair.device.types(words).await?;
        ensure!(refused.code == Some(3), "{words:?}: {refused:?}");
    }
    // It may look for those who come by a link of its own, and sees nobody else.
    let mut window = pair.host.opens_window().await?;
    let stranger = Machine::here("stranger")?;
    let waiting = stranger.joins(&pair.host, &window, Way::Link).await?;
    let id = window.question().await?["pairingId"].as_str().context("no id")?.to_owned();
    let seen = pair.device.asks(&["pairings"]).await?;
    ensure!(seen["pending"] == json!([]) && seen.get("window").is_none_or(Value::is_null), "{seen}");
    let answer = pair.device.types(&["pairings", "approve", &id]).await?;
    ensure!(answer.code != Some(0), "{answer:?}");
    drop(waiting);
    pair.device.types(&["sessions"]).await?.ok().map(drop)
}
