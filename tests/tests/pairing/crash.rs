//! SIGKILL at every step of a pairing, of the host or of the device, then one reconnect: both sides agree, and pairing
//! works.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::try_join_all;
use lanyard_pairing::PairingLink;
use lanyard_tests::machine::{Joining, Program, Way};
use lanyard_tests::newcomer::Signal;
use serde_json::json;

use crate::Pair;
use crate::relay::Relay;

/// More points than a pairing has; a matrix that gets here no longer sees the end of it.
const MOST_POINTS: u64 = 60;

/// Hosts that die at the same time: most of it is waiting.
const AT_ONCE: usize = 4;

/// What both sides say in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Paired,
    Strangers,
    /// The host has approved a device that never learnt so: forgotten after ten minutes, and replaced by a new pairing.
    Forgetting,
}

fn is_long() -> bool {
    std::env::var_os("LANYARD_LONG").is_some()
}

/// What both sides say, when they say the same.
async fn agreement(pair: &Pair) -> Result<Standing> {
    let hosts = pair.device.asks(&["hosts"]).await?;
    let devices = pair.host.asks(&["devices"]).await?;
    ensure!(hosts["waiting"] == json!([]), "the device waits for nothing any more: {hosts}");
    let rows = devices["devices"].as_array().context("no list")?;
    match (hosts["hosts"].as_array().map(Vec::as_slice), rows.as_slice()) {
        (Some([]), []) => Ok(Standing::Strangers),
        (Some([]), [row]) if !row["provisionalUntil"].is_null() => Ok(Standing::Forgetting),
        (Some([host]), [row]) => {
            ensure!(host["status"] == "reachable", "{host}");
            ensure!(row["provisionalUntil"].is_null(), "it has shown that it knows: {row}");
            Ok(Standing::Paired)
        }
        _ => bail!("the device says {hosts}\nthe host says {devices}"),
    }
}

/// Whatever came of it, the two can be paired.
async fn can_pair(pair: &Pair) -> Result<()> {
    pair.device.pairs_with(&pair.host, Way::Link).await?;
    ensure!(agreement(pair).await? == Standing::Paired);
    Ok(())
}

/// A pairing and the first connection after it, as far as the host lives; the device's command, if it still waits.
async fn as_far_as_it_goes(pair: &Pair, way: Way) -> (Option<Program>, Result<()>) {
    let mut join = None;
    let done = async {
        let mut window = pair.host.opens_window().await?;
        let Joining { join: waits, digits } = pair.device.joins(&pair.host, &window, way).await?;
        join = Some(waits);
        let question = window.question().await?;
        pair.host.approves(&question, &digits).await?;
        if let Some(join) = &mut join {
            join.until("the answer", |line| line["event"] == "paired").await?;
        }
        pair.device.asks(&["health", "--host", "studio"]).await.map(drop)
    }
    .await;
    (join, done)
}

/// Kills the host the N-th time it reaches a point, for every N there is in a pairing.
async fn host_dies_at_each(point: &str, way: fn(&Pair) -> Result<Way>) -> Result<()> {
    let mut standings = Vec::new();
    for first in (1..MOST_POINTS).step_by(AT_ONCE) {
        let numbers: Vec<_> = (first..).take(AT_ONCE).map(|number| format!("{point}:{number}")).collect();
        let tries = numbers
            .iter()
            .map(|fault| async move { host_dies_at(fault, way).await.with_context(|| fault.clone()) });
        let tried = try_join_all(tries).await?;
        standings.extend(tried.iter().map_while(|standing| *standing));
        if tried.contains(&None) {
            println!("{point}: killed at {} places: {standings:?}", standings.len());
            let granted = standings.iter().position(|standing| *standing == Standing::Paired);
            let granted = granted.context("no kill came after the grant")?;
            ensure!(granted > 0, "no kill came before the grant");
            let after = &standings[granted..];
            ensure!(after.iter().all(|s| *s == Standing::Paired), "what was granted is lost: {standings:?}");
            return Ok(());
        }
    }
    bail!("{point} has no end")
}

/// `None`: it was not reached in a whole pairing.
async fn host_dies_at(fault: &str, way: fn(&Pair) -> Result<Way>) -> Result<Option<Standing>> {
    let mut pair = Pair::strangers().await?;
    pair.host.host_killed().await?;
    let way = way(&pair)?;
    let mut waits = None;
    if pair.host.host_up_with(&[("LANYARD_FAULT", fault)]).await.is_ok() {
        let (join, done) = as_far_as_it_goes(&pair, way).await;
        let alive = pair.host.host()?.runs().is_ok();
        if alive && done.is_ok() {
            return Ok(None);
        }
        let ended = pair.host.host_ends().await?;
        ensure!(ended.code.is_none(), "the host was not killed: {ended:?}, {done:?}");
        waits = join;
    }
    pair.host.host_up().await?;
    if let Some(join) = waits {
        // The device comes back by itself, and hears what has become of it.
        let ended = join.end().await?;
        let lost = "the host does not know this pairing any more: pair again with a new code";
        ensure!(ended.code == Some(0) || ended.err.contains(lost), "{ended:?}");
    }
    let standing = agreement(&pair).await?;
    ensure!(standing != Standing::Forgetting, "the device that waited was not told");
    can_pair(&pair).await?;
    Ok(Some(standing))
}

#[tokio::test]
async fn the_host_is_killed_before_every_commit_of_a_pairing_by_code() -> Result<()> {
    host_dies_at_each("commit.before", Pair::by_code).await
}

#[tokio::test]
async fn the_host_is_killed_after_every_commit_of_a_pairing_by_link() -> Result<()> {
    host_dies_at_each("commit.after", |_| Ok(Way::Link)).await?;
    if is_long() {
        host_dies_at_each("commit.after", Pair::by_code).await?;
        host_dies_at_each("commit.before", |_| Ok(Way::Link)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_host_is_killed_when_the_grant_is_on_disk_and_has_not_left() -> Result<()> {
    for way in [Pair::by_code, |_: &Pair| Ok(Way::Link)] {
        ensure!(host_dies_at("pairing.provisional:1", way).await? == Some(Standing::Paired));
    }
    Ok(())
}

/// At which step the device is killed that waits, and what is answered when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It shows its digits; it is approved before it comes back.
    ThenApproved,
    /// It shows its digits; it is approved after it came back.
    ApprovedWhenBack,
    /// It shows its digits; it is denied before it comes back.
    ThenDenied,
    /// The grant is on its way to it.
    GrantUnderWay,
    /// The same, and then the host is killed as well.
    GrantUnderWayAndHost,
    /// It has the grant; its last words may not have left.
    HasGrant,
}

#[tokio::test]
async fn the_device_is_killed_at_every_step_of_its_wait() -> Result<()> {
    let steps = [
        Step::ThenApproved,
        Step::ApprovedWhenBack,
        Step::ThenDenied,
        Step::GrantUnderWay,
        Step::GrantUnderWayAndHost,
        Step::HasGrant,
    ];
    let died =
        steps.map(|step| async move { device_dies_at(step).await.with_context(|| format!("{step:?}")) });
    try_join_all(died).await.map(drop)
}

async fn device_dies_at(step: Step) -> Result<()> {
    let mut pair = Pair::strangers().await?;
    let mut window = pair.host.opens_window().await?;
    let Joining { mut join, digits } = pair.device.joins(&pair.host, &window, pair.by_code()?).await?;
    let question = window.question().await?;
    match step {
        Step::GrantUnderWay | Step::GrantUnderWayAndHost => {
            // Stopped, it takes nothing; the host has sent it all the same.
            join.signal(Signal::STOP)?;
            pair.host.approves(&question, &digits).await?;
        }
        Step::HasGrant => {
            pair.host.approves(&question, &digits).await?;
            let known = pair.device.state_dir().join("hosts.toml");
            let has = || std::fs::read_to_string(&known).unwrap_or_default().contains("[[host]]");
            lanyard_tests::stage::eventually("the grant is written down", has).await?;
        }
        Step::ThenApproved | Step::ApprovedWhenBack | Step::ThenDenied => {}
    }
    join.kill().await?;
    match step {
        Step::ThenApproved => drop(pair.host.approves(&question, &digits).await?),
        Step::ThenDenied => {
            let id = question["pairingId"].as_str().context("no id")?;
            pair.host.types(&["pairings", "deny", id]).await?.ok()?;
        }
        Step::GrantUnderWayAndHost => {
            pair.host.host_killed().await?;
            pair.host.host_up().await?;
        }
        Step::ApprovedWhenBack | Step::GrantUnderWay | Step::HasGrant => {}
    }
    let mut back = pair.device.follows(&["join", "--resume"])?;
    if step == Step::ApprovedWhenBack {
        let shown = back.until("the digits", |line| line["event"] == "digits").await?;
        ensure!(shown["digits"] == digits.as_str(), "the same digits as before: {shown}");
        pair.host.approves(&question, &digits).await?;
    }
    let ended = back.end().await?;
    let (code, standing) = match step {
        Step::ThenDenied => (3, Standing::Strangers),
        // Nothing waits any more: the pairing was complete.
        Step::HasGrant => (2, Standing::Paired),
        _ => (0, Standing::Paired),
    };
    ensure!(ended.code == Some(code), "{ended:?}");
    ensure!(agreement(&pair).await? == standing);
    can_pair(&pair).await
}

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Device,
    Host,
    Both,
}

/// When.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// So long after the device has begun.
    After(Duration),
    /// When so many datagrams have passed between the two; no other passes.
    Datagrams(u64),
}

/// At each step that can be seen from outside: after every datagram. LANYARD_LONG=1 for every one of them.
#[tokio::test]
async fn after_each_datagram_that_passes_between_the_two() -> Result<()> {
    let stride = if is_long() { 1 } else { 4 };
    for victim in [Victim::Device, Victim::Host, Victim::Both] {
        let mut standings = Vec::new();
        'victim: for first in (1..MOST_POINTS).step_by(AT_ONCE * stride) {
            let numbers = (first..).step_by(stride).take(AT_ONCE);
            let deaths = numbers.map(|number| async move {
                let standing = killed(Moment::Datagrams(number), victim).await;
                standing.with_context(|| format!("{victim:?} after {number} datagrams"))
            });
            for standing in try_join_all(deaths).await? {
                match standing {
                    Some(standing) => standings.push(standing),
                    None => break 'victim,
                }
            }
        }
        println!("{victim:?}: {standings:?}");
        ensure!(standings.contains(&Standing::Strangers), "the first datagrams were too many: {standings:?}");
        // The last datagrams are few; in great strides they may all be passed over.
        ensure!(!is_long() || standings.contains(&Standing::Paired), "{standings:?}");
    }
    Ok(())
}

/// At moments nobody chose. LANYARD_LONG=1 for many.
#[tokio::test]
async fn at_any_moment() -> Result<()> {
    let times: u64 = if is_long() { 200 } else { 8 };
    let mut standings = Vec::new();
    for first in (0..times).step_by(AT_ONCE) {
        let deaths = (first..times).take(AT_ONCE).map(|time| async move {
            // Spread over the length of a pairing, in an order that does not depend on a random source.
            let moment = Moment::After(Duration::from_millis((time * 73 + 17) % 560));
            let victim = if time % 3 == 0 { Victim::Both } else { Victim::Device };
            killed(moment, victim).await.with_context(|| format!("{victim:?} {moment:?}"))
        });
        standings.extend(try_join_all(deaths).await?);
    }
    println!("{standings:?}");
    Ok(())
}

/// One pairing in which somebody is killed, one reconnect, and what both say then. `None`: it was over before.
async fn killed(moment: Moment, victim: Victim) -> Result<Option<Standing>> {
    let mut pair = Pair::strangers().await?;
    let datagrams = if let Moment::Datagrams(number) = moment { number } else { u64::MAX };
    let relay = Relay::to(pair.host.loopback()?, datagrams).await?;
    let mut window = pair.host.opens_window().await?;
    // The way leads through the relay alone.
    let link = PairingLink::parse(&window.link)?;
    window.link = PairingLink { addresses: vec![relay.address()], ..link }.to_url("https://localhost");
    let words = pair.device.join_words(&pair.host, &window, Way::Link);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let mut join = pair.device.follows(&words)?;
    let owner = async {
        // Says yes as soon as somebody asks.
        let question = window.question().await?;
        let id = question["pairingId"].as_str().context("no id")?.to_owned();
        pair.host.types(&["pairings", "approve", &id]).await?.ok()?;
        join.until("the answer", |line| line["event"] == "paired").await.map(drop)
    };
    tokio::select! {
        done = owner => {
            done?;
            // Enough datagrams were left for all of it.
            if matches!(moment, Moment::Datagrams(_)) {
                return Ok(None);
            }
        }
        _ = relay.ended() => {}
        () = sleep_until(moment) => {}
    }
    if victim != Victim::Host {
        join.kill().await?;
    }
    if victim != Victim::Device {
        pair.host.host_killed().await?;
        pair.host.host_up().await?;
    }
    relay.mend();
    reconnects(&pair, victim, join).await?;
    let standing = agreement(&pair).await?;
    can_pair(&pair).await?;
    Ok(Some(standing))
}

async fn sleep_until(moment: Moment) {
    match moment {
        Moment::After(time) => tokio::time::sleep(time).await,
        Moment::Datagrams(_) => std::future::pending().await,
    }
}

/// Whoever was asked before is answered, and the device comes back once: by itself, or when it is told to.
async fn reconnects(pair: &Pair, victim: Victim, join: Program) -> Result<()> {
    if let Some(question) = pair.host.asks(&["pairings"]).await?["pending"].get(0) {
        let id = question["pairingId"].as_str().context("no id")?;
        pair.host.types(&["pairings", "approve", id]).await?.ok()?;
    }
    if victim == Victim::Host {
        // What came of it is what both say then.
        return join.end().await.map(drop);
    }
    let back = pair.device.types(&["join", "--resume", "--json"]).await?;
    let nothing_waits = back.code == Some(2);
    let lost = back.err.contains("the host does not know this pairing any more");
    ensure!(back.code == Some(0) || nothing_waits || lost, "{back:?}");
    Ok(())
}
