//! The page at another address of its host, and what links are worth once they are used or damaged.

use anyhow::{Context, Result, ensure};
use lanyard_tests::browser::{Device, Page};

use crate::scene::{self, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn a_link_takes_a_pairing_to_another_address_once() -> Result<()> {
    let scene = Scene::with("Moving", &[("LANYARD_LISTEN", "127.0.0.1:0")]).await?;
    // The page under a name that means this machine; the host calls itself by its address.
    let mut window = scene.host.opens_window().await?;
    let (origin, secret) =
        window.link.split_once("/#").map(|(a, b)| (a.to_owned(), b.to_owned())).context("a link")?;
    let elsewhere = origin.replace("127.0.0.1", "localhost");
    ensure!(elsewhere != origin, "{origin}");
    let phone = scene.browser.page(Device::Phone).await?;
    phone.open(&format!("{elsewhere}/#{secret}")).await?;
    scene::let_in(&phone, &scene.host, &mut window).await?;
    forgotten(&phone, &secret).await?;

    phone.press("Host").await?;
    phone.press_row("Addresses and other hosts").await?;
    phone.press_row(&origin).await?;
    phone.comes_true("return !!document.querySelector('dialog[open] a.button-primary')").await?;
    let link = phone.eval("return document.querySelector('dialog[open] a.button-primary').href").await?;
    let link = link.as_str().context("a link")?.to_owned();
    ensure!(link.starts_with(&format!("{origin}/#")), "{link}");
    // Whoever comes by it shows digits to whoever made it, who lets him in.
    let there = scene.browser.page(Device::Desktop).await?;
    there.open(&link).await?;
    there.sees("Waiting for the host").await?;
    let digits = scene::digits(&there).await?;
    phone.sees("shows these digits").await?;
    ensure!(scene::digits(&phone).await? == digits);
    phone.press("Let it in").await?;
    there.field("Give this machine a task").await?;
    phone.sees("It is let in").await?;
    phone.press("Close").await?;
    let secret = link.split_once('#').context("a link")?.1.to_owned();
    forgotten(&there, &secret).await?;
    let devices = scene.devices().await?;
    ensure!(devices.len() == 2 && devices[0]["scopes"] == devices[1]["scopes"], "{devices:#?}");

    // Used links and damaged ones say so, and lead on.
    let other = scene.browser.page(Device::Phone).await?;
    other.open(&link).await?;
    other.sees("The code or link was used already").await?;
    let damaged = format!("{origin}/#{}", damaged(&secret));
    other.open(&damaged).await?;
    other.sees("The link cannot be used").await?;
    other.sees("Nothing was sent to the host").await?;
    other.press("Type a code").await?;
    other.field("Code on the host's screen").await?;
    // Who is paired already is asked before anything is replaced.
    let window = scene.host.opens_window().await?;
    phone.open(&window.link.replacen(&origin, &elsewhere, 1)).await?;
    phone.sees("This browser is already paired with Moving").await?;
    phone.press("Go on as it is").await?;
    phone.field("Give this machine a task").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_nobody_could_check_says_so() -> Result<()> {
    let scene = Scene::of("Unchecked").await?;
    let page = scene.browser.page_with(Device::Phone, false, &[]).await?;
    let mut window = scene.host.opens_window().await?;
    // The browser warns, and the person goes on.
    // WebDriver calls that an error or not, as it likes.
    let _ = page.open(&window.link).await;
    page.sees("Your connection is not private").await?;
    page.comes_true(
        "const proceed = document.getElementById('proceed-link'); if (!proceed) return !!document.querySelector('.join'); \
         document.getElementById('details-button')?.click(); proceed.click(); return false;",
    )
    .await?;
    page.sees("page unverified").await?;
    scene::let_in(&page, &scene.host, &mut window).await?;
    page.sees("unverified").await?;
    page.press_row("unverified").await?;
    page.sees("The browser could not check where this page came from").await?;
    page.press("What that means").await?;
    page.press("page unverified").await?;
    page.sees(
        "whoever controls the network in the moment the page is loaded could hand you a different page",
    )
    .await?;
    page.press("Understood").await?;
    let devices = scene.devices().await?;
    ensure!(devices[0]["page"]["verified"] == false, "{devices:#?}");
    Ok(())
}

/// Nothing of a link is left in the address bar, nor where "back" leads.
async fn forgotten(page: &Page, secret: &str) -> Result<()> {
    let history = page.devtools("Page.getNavigationHistory", serde_json::json!({})).await?;
    let entries = history["entries"].as_array().context("a history")?;
    // (What somebody typed is kept by Chromium for itself; nothing leads there.)
    let urls: Vec<_> = entries.iter().filter_map(|entry| entry["url"].as_str()).collect();
    ensure!(!urls.is_empty() && urls.iter().all(|url| !url.contains(secret)), "{urls:#?}");
    let href = page.eval("return location.href").await?;
    ensure!(!href.to_string().contains(secret), "{href}");
    Ok(())
}

/// One letter is another.
fn damaged(secret: &str) -> String {
    let at = secret.len() / 2;
    let other = if secret.as_bytes().get(at) == Some(&b'A') { "B" } else { "A" };
    format!("{}{other}{}", &secret[..at], &secret[at + 1..])
}
