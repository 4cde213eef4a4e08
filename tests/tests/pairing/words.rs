//! What people are told when a pairing does not come about. Each text names the thing and the way out.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lanyard_pairing::device::{About, Secret};
use lanyard_pairing::{IdentityKeys, PairingLink};
use lanyard_protocol::principal::Scope;
use lanyard_tests::device::candidates;
use lanyard_tests::machine::Way;
use lanyard_transport::dial::Dialer;
use lanyard_transport::join::join;
use rand_core::OsRng;
use serde_json::json;

use crate::Pair;

const WRONG: &str =
    "the code is wrong, or somebody interferes with the connection: check the code and the host's address";

/// A code of the same form that is another.
fn other(code: &str) -> String {
    let flipped = if code.starts_with('7') { "8" } else { "7" };
    format!("{flipped}{}", &code[1..])
}

#[tokio::test]
async fn a_wrong_code() -> Result<()> {
    let pair = Pair::strangers().await?;
    let mut window = pair.host.opens_window().await?;
    let right = window.code.clone();
    window.code = other(&right);
    let words = pair.device.join_words(&pair.host, &window, pair.by_code()?);
    let ended = pair.fails_to_join(&words).await?;
    ensure!(ended.code == Some(1) && ended.err.contains(WRONG), "{ended:?}");
    let shown = pair.host.asks(&["pairings"]).await?;
    ensure!(shown["window"]["attemptsLeft"] == 2, "{shown}");
    // The right one still works.
    window.code = right;
    let joining = pair.device.joins(&pair.host, &window, pair.by_code()?).await?;
    let question = window.question().await?;
    pair.host.approves(&question, &joining.digits).await?;
    ensure!(joining.join.end().await?.code == Some(0));
    Ok(())
}

#[tokio::test]
async fn what_is_no_code_and_no_link() -> Result<()> {
    let pair = Pair::strangers().await?;
    let window = pair.host.opens_window().await?;
    let at = pair.host.loopback()?.to_string();
    for (typed, words) in [
        (&["join", "--address", &at, "--code", "K7QX"][..], "8"),
        (
            &["join", &window.link[..window.link.len() - 3]],
            "the pairing link is damaged: scan or copy it again, whole",
        ),
        (&["join", "https://example.org/"], "this is not a pairing link"),
    ] {
        let words_typed: Vec<_> = typed.iter().map(|word| (*word).to_owned()).collect();
        let ended = pair.fails_to_join(&words_typed).await?;
        ensure!(ended.code == Some(2) && ended.err.contains(words), "{ended:?}");
    }
    window.closes().await
}

#[tokio::test]
async fn a_code_and_a_link_that_were_used() -> Result<()> {
    let pair = Pair::strangers().await?;
    let mut window = pair.host.opens_window().await?;
    let joining = pair.device.joins(&pair.host, &window, pair.by_code()?).await?;
    let second = lanyard_tests::machine::Machine::here("tablet")?;
    for way in [pair.by_code()?, Way::Link] {
        let words = second.join_words(&pair.host, &window, way);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let ended = second.types(&words).await?;
        let said = "the code was used already: run `lanyard pair` on the host again and use the new code";
        ensure!(ended.code == Some(1) && ended.err.contains(said), "{ended:?}");
    }
    let question = window.question().await?;
    pair.host.approves(&question, &joining.digits).await?;
    ensure!(joining.join.end().await?.code == Some(0), "the first one is not disturbed");
    ensure!(pair.row().await?["name"] == "laptop");
    Ok(())
}

#[tokio::test]
async fn a_host_that_expects_nobody_and_a_link_of_an_older_window() -> Result<()> {
    let pair = Pair::strangers().await?;
    let old = pair.host.opens_window().await?;
    let (old_link, old_code) = (
        pair.device.join_words(&pair.host, &old, Way::Link),
        pair.device.join_words(&pair.host, &old, pair.by_code()?),
    );
    let new = pair.host.opens_window().await?;
    let ended = pair.fails_to_join(&old_code).await?;
    ensure!(ended.err.contains(WRONG), "{ended:?}");
    let ended = pair.fails_to_join(&old_link).await?;
    ensure!(ended.err.contains(WRONG), "{ended:?}");
    new.closes().await?;
    drop(old);
    for words in [&old_link, &old_code] {
        let ended = pair.fails_to_join(words).await?;
        let said = "the host does not expect a device: run `lanyard pair` on it and use the code it shows";
        ensure!(ended.code == Some(1) && ended.err.contains(said), "{ended:?}");
    }
    Ok(())
}

/// Three wrong codes burn a code, four burnt codes end typing; the owner is told each time, and the link works on.
#[tokio::test]
async fn somebody_who_guesses_burns_the_code_and_the_owner_is_told() -> Result<()> {
    let pair = Pair::strangers().await?;
    let mut window = pair.host.opens_window().await?;
    let first = window.code.clone();
    for burnt in 1..=4 {
        let mut guess =
            pair.host.asks(&["pairings"]).await?["window"]["code"].as_str().context("no code")?.to_owned();
        guess = other(&guess);
        std::mem::swap(&mut window.code, &mut guess);
        let words = pair.device.join_words(&pair.host, &window, pair.by_code()?);
        for _ in 0..3 {
            let ended = pair.fails_to_join(&words).await?;
            ensure!(ended.code == Some(1) && ended.err.contains(WRONG), "{ended:?}");
        }
        let shown = window.pair.until("what the owner is told", |line| line["event"] == "window").await?;
        let warning = shown["warning"].as_str().context("no warning")?;
        ensure!(warning.contains("somebody is guessing the code"), "{shown}");
        if burnt < 4 {
            ensure!(shown["code"] != first.as_str() && warning.contains("there is a new one"), "{shown}");
        } else {
            ensure!(shown["code"].is_null() && warning.contains("use the QR code"), "{shown}");
        }
    }
    window.code = first;
    let ended = pair.fails_to_join(&pair.device.join_words(&pair.host, &window, pair.by_code()?)).await?;
    let said = "the code was burnt by wrong attempts: use the new code or the QR code that the host shows";
    ensure!(ended.code == Some(1) && ended.err.contains(said), "{ended:?}");
    let joining = pair.device.joins(&pair.host, &window, Way::Link).await?;
    let question = window.question().await?;
    pair.host.approves(&question, &joining.digits).await?;
    ensure!(joining.join.end().await?.code == Some(0));
    Ok(())
}

#[tokio::test]
async fn a_host_that_is_not_there() -> Result<()> {
    let mut pair = Pair::strangers().await?;
    let window = pair.host.opens_window().await?;
    pair.host.host_killed().await?;
    let by_code = pair.device.join_words(&pair.host, &window, pair.by_code()?);
    let ended = pair.fails_to_join(&by_code).await?;
    ensure!(ended.code == Some(5) && ended.err.contains("the host does not answer at 127."), "{ended:?}");
    Ok(())
}

/// It proves one key to the channel and shows another in the pairing.
#[tokio::test]
async fn a_device_that_lies_about_its_key() -> Result<()> {
    let pair = Pair::strangers().await?;
    let window = pair.host.opens_window().await?;
    let (proven, claimed) = (IdentityKeys::generate(&mut OsRng), IdentityKeys::generate(&mut OsRng));
    let link = PairingLink::parse(&window.link)?;
    let about = About { name: "liar".into(), platform: "test".into(), scopes: vec![Scope::Observe] };
    let tried = join(
        &Dialer::new(&proven)?,
        &claimed,
        &candidates(&link.addresses),
        &about,
        Secret::Link(link.secret, link.host),
    )
    .await;
    let error = tried.err().context("it got through")?.to_string();
    ensure!(error.contains("the peer claims a key that is not its own"), "{error}");
    let shown = pair.host.asks(&["pairings"]).await?;
    ensure!(shown["pending"] == json!([]), "nobody is asked about a liar: {shown}");
    ensure!(pair.host.asks(&["devices"]).await?["devices"] == json!([]));
    // Counters are written down every few seconds and shown at once.
    let health = pair.host.asks(&["health"]).await?;
    let aborts = &health["network"]["counters"]["pairingAborts"];
    ensure!(aborts.to_string().contains("key_mismatch"), "{health}");
    tokio::time::timeout(Duration::from_secs(60), window.closes()).await?
}
