//! The life of a paired device, and its end.

use anyhow::{Context, Result, ensure};
use lanyard_protocol::method::Subscribe;
use lanyard_tests::gateway::errands;
use lanyard_tests::look;
use lanyard_tests::machine::Way;
use serde_json::{Value, json};

use crate::Pair;

const NOT_KNOWN: &str = "the host does not know this device: it was revoked, or the host was reset; pair again with `lanyard join`";

#[tokio::test]
async fn revoking_cuts_a_live_stream_cancels_the_task_and_lets_the_device_pair_again() -> Result<()> {
    let pair = Pair::friends().await?;
    let mut stream = pair.runs(&errands::streaming("w"))?;
    let session = stream.event("tool_output_delta").await?["sessionId"].as_str().context("no id")?.to_owned();
    let mut watch = pair.device.follows(&["watch"])?;
    watch.until("the host", |line| line["event"] == "reached").await?;
    let id = pair.row().await?["deviceId"].as_str().context("no id")?.to_owned();
    pair.host.types(&["devices", "revoke", &id]).await?.ok()?;
    let ended = stream.end().await?;
    let words =
        "this device's pairing was ended on the host; to use it again, pair again with `lanyard join`";
    ensure!(ended.code == Some(3) && ended.err.contains(words), "{ended:?}");
    let ended = watch.end().await?;
    ensure!(ended.code == Some(3) && ended.err.contains("pairing was ended on the host"), "{ended:?}");
    let refused = pair.device.types(&["sessions", "--host", "studio"]).await?;
    ensure!(refused.code == Some(5) && refused.err.contains(NOT_KNOWN), "{refused:?}");
    // Its programs are being ended when the command is over, and gone a moment later.
    let mut owner = pair.host.connect().await?;
    owner.call(Subscribe { session_id: session.parse()?, after_seq: 0 }).await?;
    let seen = owner.until_task_ends().await?;
    ensure!(look::names(&seen).last() == Some(&"task_cancelled"), "{:?}", look::names(&seen));
    ensure!(pair.host.asks(&["devices"]).await?["devices"] == json!([]));
    pair.device.pairs_with(&pair.host, Way::Link).await?;
    pair.device.asks(&["sessions", "--host", "studio"]).await.map(drop)
}

#[tokio::test]
async fn a_device_whose_rights_change_goes_on_with_the_new_ones() -> Result<()> {
    let pair = Pair::friends().await?;
    let mut stream = pair.runs(&errands::streaming("w"))?;
    stream.event("tool_output_delta").await?;
    let id = pair.row().await?["deviceId"].as_str().context("no id")?.to_owned();
    pair.host.types(&["devices", "scopes", &id, "observe,operate"]).await?.ok()?;
    pair.host.touch(&errands::enough("w"))?;
    // What is to be approved from now on waits for somebody else.
    let asked = stream.event("approval_requested").await?;
    let approval = asked["payload"]["approval"]["approvalId"].as_str().context("no id")?.to_owned();
    let refused = pair.device.types(&["approve", &approval, "--host", "studio"]).await?;
    ensure!(refused.code == Some(3), "{refused:?}");
    pair.host.types(&["approve", &approval]).await?.ok()?;
    let (ended, shown) = stream.finish().await?;
    ensure!(ended.code == Some(0) && ended.err.contains("rights were changed"), "{ended:?}");
    lanyard_tests::stage::gapless(&shown, shown.iter().find_map(|event| event.seq).context("nothing")?)?;
    Ok(())
}

#[tokio::test]
async fn a_device_is_renamed_on_the_host_and_a_host_on_the_device() -> Result<()> {
    let pair = Pair::friends().await?;
    pair.host.types(&["devices", "rename", "laptop", "Mia's laptop"]).await?.ok()?;
    ensure!(pair.row().await?["name"] == "Mia's laptop");
    pair.device.types(&["hosts", "rename", "studio", "attic"]).await?.ok()?;
    let known = pair.device.asks(&["identity", "--host", "attic"]).await?;
    ensure!(known["hostId"] == pair.host.host_id().await?.as_str(), "{known}");
    let gone = pair.device.types(&["health", "--host", "studio"]).await?;
    // The host still calls itself so, which is a name too.
    ensure!(gone.code == Some(0), "{gone:?}");
    let nobody = pair.device.types(&["health", "--host", "cellar"]).await?;
    ensure!(nobody.code == Some(2) && nobody.err.contains("there are: attic ("), "{nobody:?}");
    Ok(())
}

#[tokio::test]
async fn unpairing_ends_it_on_both_sides_and_pairing_works_again() -> Result<()> {
    let mut pair = Pair::friends().await?;
    pair.device.types(&["unpair", "studio"]).await?.ok()?;
    ensure!(pair.host.asks(&["devices"]).await?["devices"] == json!([]));
    ensure!(pair.device.asks(&["hosts"]).await? == json!({"hosts": [], "waiting": []}));
    ensure!(pair.device.pairs_with(&pair.host, pair.by_code()?).await? == "studio");
    // A host that is off is not told; with --force it is forgotten all the same.
    pair.host.host_killed().await?;
    let refused = pair.device.types(&["unpair", "studio"]).await?;
    ensure!(refused.code == Some(5) && refused.err.contains("lanyard unpair --force studio"), "{refused:?}");
    let forced = pair.device.types(&["unpair", "--force", "studio"]).await?.ok()?;
    ensure!(forced.contains("revoke this device there with `lanyard devices`"), "{forced}");
    pair.host.host_up().await?;
    let id = pair.row().await?["deviceId"].as_str().context("no id")?.to_owned();
    // Paired again, it replaces what is left there.
    pair.device.pairs_with(&pair.host, Way::Link).await?;
    ensure!(pair.row().await?["deviceId"] == id.as_str());
    // And a device that the host has forgotten is told so, and forgets it too.
    pair.host.types(&["devices", "revoke", &id]).await?.ok()?;
    let late = pair.device.types(&["unpair", "studio"]).await?.ok()?;
    ensure!(late.contains("did not know this device any more"), "{late}");
    Ok(())
}

#[tokio::test]
async fn devices_follow_new_keys_of_their_host_also_while_they_stream() -> Result<()> {
    let pair = Pair::friends().await?;
    let mut stream = pair.runs(&errands::streaming("w"))?;
    stream.event("tool_output_delta").await?;
    let old = pair.host.host_id().await?;
    let rotated = pair.host.asks(&["identity", "rotate"]).await?;
    let new = rotated["hostId"].as_str().context("no id")?.to_owned();
    ensure!(new != old && pair.host.host_id().await? == new);
    pair.host.touch(&errands::enough("w"))?;
    let (ended, shown) = stream.finish().await?;
    ensure!(ended.code == Some(0) && ended.err.contains("has new keys, signed by the ones"), "{ended:?}");
    lanyard_tests::stage::gapless(&shown, shown.iter().find_map(|event| event.seq).context("nothing")?)?;
    let hosts = pair.device.asks(&["hosts"]).await?;
    ensure!(hosts["hosts"][0]["hostId"] == new.as_str(), "{hosts}");
    // A device that was away while the keys changed twice follows too.
    pair.host.asks(&["identity", "rotate"]).await?;
    pair.host.asks(&["identity", "rotate"]).await?;
    let known = pair.device.asks(&["identity", "--host", "studio"]).await?;
    ensure!(known["hostId"] == pair.host.host_id().await?.as_str(), "{known}");
    Ok(())
}

#[tokio::test]
async fn nobody_follows_from_keys_that_may_be_in_other_hands() -> Result<()> {
    let pair = Pair::friends().await?;
    pair.host.asks(&["identity", "rotate", "--compromised"]).await?;
    identity_changed(&pair).await?;
    let alias = pair.device.pairs_with(&pair.host, Way::Link).await?;
    pair.device.asks(&["health", "--host", &alias]).await?;
    pair.row().await.map(drop)
}

#[tokio::test]
async fn a_host_that_was_reinstalled_is_taken_for_another_until_it_is_paired_again() -> Result<()> {
    let mut pair = Pair::friends().await?;
    let before = pair.device.asks(&["hosts", "--offline"]).await?;
    pair.host.host_killed().await?;
    pair.host.reinstall()?;
    pair.host.host_up().await?;
    identity_changed(&pair).await?;
    ensure!(pair.device.asks(&["hosts", "--offline"]).await? == before, "nothing new is believed");
    let alias = pair.device.pairs_with(&pair.host, Way::Link).await?;
    pair.device.asks(&["health", "--host", &alias]).await.map(drop)
}

async fn identity_changed(pair: &Pair) -> Result<()> {
    let refused = pair.device.types(&["run", "stream w", "--host", "studio"]).await?;
    ensure!(refused.code == Some(5), "{refused:?}");
    for words in [
        "identity changed",
        "reinstalled, or an impostor",
        "lanyard pair",
        "lanyard join",
        "Nothing was sent",
    ] {
        ensure!(refused.err.contains(words), "{words}: {refused:?}");
    }
    let hosts = pair.device.asks(&["hosts"]).await?;
    ensure!(hosts["hosts"][0]["status"] == "refused", "{hosts}");
    ensure!(pair.host.asks(&["sessions"]).await?["sessions"] == Value::Array(Vec::new()));
    Ok(())
}
