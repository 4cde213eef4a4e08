//! A device that asks to be let in, from its question to the end of its pairings on every host.

use anyhow::{Context, Result, ensure};
use lanyard_governance_api::audit::{AuditQuery, AuditRecord};
use lanyard_governance_api::endpoint::SearchAudit;
use lanyard_governance_api::page::Nothing;
use lanyard_tests::browser::{Device, Page};
use lanyard_tests::central::until;
use lanyard_tests::machine::{Joining, Machine, Way, Window};

use crate::scene::{self, Album, EVERYTHING, Scene};

/// The device joins by the typed code, so that its digits must be typed too.
async fn asks(device: &Machine, host: &Machine) -> Result<(Window, Joining)> {
    let window = host.opens_window().await?;
    let joining = device.joins(host, &window, Way::Address(host.loopback()?)).await?;
    Ok((window, joining))
}

/// The device has been told that it is paired, and reaches the host.
async fn is_in(mut joining: Joining, device: &Machine, host: &str) -> Result<()> {
    joining.join.until("the answer", |line| line["event"] == "paired").await?;
    let ended = joining.join.end().await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    device.asks(&["sessions", "--host", host]).await.map(drop)
}

async fn lets_in(page: &Page, digits: &str) -> Result<()> {
    page.types("Digits that the device shows", digits).await?;
    page.press("Let it in").await
}

/// How many devices the host itself knows.
async fn devices(host: &Machine) -> Result<usize> {
    let listed = host.asks(&["devices"]).await?;
    listed["devices"].as_array().map(Vec::len).with_context(|| listed.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_let_in_by_its_digits_and_cut_off_from_every_host() -> Result<()> {
    let scene = Scene::begin().await?;
    let (study, _) = scene.host("Study Linux", EVERYTHING).await?;
    let (laptop, _) = scene.host("Ada's laptop", EVERYTHING).await?;
    let (private, _) = scene.host("Private laptop", &[]).await?;
    let device = Machine::here("Pixel")?;
    let desk = scene.operator(Device::Desktop).await?;
    let phone = scene.operator(Device::Phone).await?;
    let (wide, narrow) = (Album::of(&desk), Album::of(&phone));

    // It asks: said on the first page, and in full on its own.
    let (_window, joining) = asks(&device, &study).await?;
    phone.sees("1 device asks to be let in").await?;
    narrow.takes("overview-pairing").await?;
    scene::follows(&phone, "1 device asks to be let in").await?;
    for words in
        ["Pixel", "asks Study Linux", "Counts as turned away in", "running programs as the host's user"]
    {
        phone.sees(words).await?;
    }
    narrow.takes("pairings-asking").await?;
    desk.goes("#/pairings").await?;
    desk.sees("Digits that the device shows").await?;
    wide.takes("pairings-asking").await?;

    // With other digits somebody may be in between: the host says no, and the console that it still asks.
    let wrong = if joining.digits == "000000" { "000001" } else { "000000" };
    lets_in(&phone, wrong).await?;
    phone.sees("on its way to the host").await?;
    phone.sees("The host has not taken that").await?;
    ensure!(devices(&study).await? == 0, "it was let in with other digits");
    narrow.takes("pairings-wrong-digits").await?;
    lets_in(&phone, &joining.digits).await?;
    is_in(joining, &device, "Study Linux").await?;
    phone.sees("No device asks").await?;

    // The same device on another host; a host whose owner lets nobody answer does not even tell.
    let (_window, joining) = asks(&device, &laptop).await?;
    desk.sees("asks Ada's laptop").await?;
    lets_in(&desk, &joining.digits).await?;
    is_in(joining, &device, "Ada's laptop").await?;
    let unheard = asks(&device, &private).await?;
    desk.sees("No device asks").await?;
    drop(unheard);
    let mut watch = device.follows(&["watch", "--host", "Study Linux"])?;
    watch.until("the host", |line| line["event"] == "reached").await?;
    phone.sees("connected").await?;
    narrow.takes("pairings-paired").await?;
    desk.sees("connected").await?;
    wide.takes("pairings-paired").await?;
    // Each host tells by itself.
    phone.button("End the pairing of Pixel with Ada's laptop").await?;

    // Lost: its pairings end on every host, and the connection with them.
    phone.press("End the pairing of Pixel with Study Linux").await?;
    phone.sees("Ends where").await?;
    scene::choose(&phone, "Ends where", "On all 2 hosts that know it").await?;
    narrow.takes("pairings-end").await?;
    phone.press("End the pairing").await?;
    let ended = watch.end().await?;
    ensure!(ended.code == Some(3) && ended.err.contains("pairing was ended on the host"), "{ended:?}");
    phone.sees("No device is paired with any host.").await?;
    desk.sees("No device is paired with any host.").await?;
    for host in [&study, &laptop] {
        ensure!(devices(host).await? == 0, "{} still knows the device", host.name());
    }
    for host in ["Study Linux", "Ada's laptop"] {
        let refused = device.types(&["sessions", "--host", host]).await?;
        ensure!(refused.code == Some(5) && refused.err.contains("does not know this device"), "{refused:?}");
    }
    // Who let it in and who ended it is written down.
    for kind in ["pairing_answered", "device_revoked"] {
        let query = AuditQuery { event_type: Some(kind.to_owned()), ..AuditQuery::default() };
        let named = |record: &AuditRecord| record.event.payload.0["device"] == "Pixel";
        // What the services do is written down a moment after they did it.
        until(&format!("{kind} is written down"), || async {
            let found = scene.admin.call::<SearchAudit>(&[], &query, &Nothing {}).await?;
            Ok(found.items.iter().any(named).then_some(()))
        })
        .await?;
    }
    wide.verdict()?;
    narrow.verdict()
}
