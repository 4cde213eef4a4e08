//! The owner's desk: the page on the host's own screen, opened with a link that works once.

use anyhow::{Context, Result, ensure};
use lanyard_tests::browser::{Device, Page};
use lanyard_tests::gateway::errands;

use crate::scene::{self, Scene};

/// Opens the owner's page in a tab.
pub(crate) async fn desk(scene: &Scene) -> Result<(Page, String)> {
    let made = scene.host.asks(&["open", "--print", "--force"]).await?;
    let link = made["link"].as_str().with_context(|| made.to_string())?.to_owned();
    ensure!(link.starts_with("http://127.0.0.1:"), "{made}");
    let page = scene.browser.page(Device::Desktop).await?;
    page.open(&link).await?;
    page.field("Give this machine a task").await?;
    Ok((page, link))
}

/// A host whose owner's page can be reached under the name that browsers trust.
pub(crate) async fn host_with_desk(name: &str) -> Result<Scene> {
    Scene::with(name, &[("LANYARD_LISTEN", "127.0.0.1:0")]).await
}

/// What a part of the page says.
async fn said(page: &Page, selector: &str) -> Result<String> {
    page.comes_true(&format!("return !!document.querySelector({selector:?})")).await?;
    let said = page.eval(&format!("return document.querySelector({selector:?}).textContent.trim()")).await?;
    Ok(said.as_str().context("a text")?.to_owned())
}

/// By the QR code: one tap. The phone, and the link it has used.
async fn by_qr_code(scene: &Scene, desk: &Page) -> Result<(Page, String)> {
    desk.goes("#/host/pairings").await?;
    desk.press("Show the QR code").await?;
    desk.sees("Scan this with the phone's camera").await?;
    let invitation = said(desk, ".pair-window details .code").await?;
    let phone = scene.browser.page(Device::Phone).await?;
    phone.open(&invitation).await?;
    phone.sees("Waiting for the host").await?;
    let digits = scene::digits(&phone).await?;
    desk.sees("asks to be paired").await?;
    let compared = desk.eval("return document.querySelector('.digits').getAttribute('aria-label')").await?;
    let compared: String =
        compared.as_str().unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
    ensure!(compared == digits, "the desk shows {compared}, the phone {digits}");
    desk.press("Approve").await?;
    // A short message: gone again in some seconds.
    desk.sees("is paired.").await?;
    phone.field("Give this machine a task").await?;
    Ok((phone, invitation))
}

/// By the typed code: whoever sits here types what the device shows.
async fn by_code(scene: &Scene, desk: &Page, invitation: &str) -> Result<Page> {
    desk.press("Show the QR code").await?;
    let code = said(desk, ".pair-code").await?;
    let other = scene.browser.page(Device::Phone).await?;
    let origin = invitation.split('#').next().unwrap_or_default();
    other.open(origin).await?;
    other.types("Code on the host's screen", &code).await?;
    other.types("Name of this device", "Second phone").await?;
    other.press("Join").await?;
    other.sees("Waiting for the host").await?;
    let digits = scene::digits(&other).await?;
    desk.sees("Second phone asks to be paired").await?;
    let wrong: String = digits.chars().map(|digit| if digit == '7' { '3' } else { '7' }).collect();
    desk.types("Digits on the device's screen", &wrong).await?;
    desk.press("Approve").await?;
    desk.sees("digits").await?;
    desk.comes_true("return !!document.querySelector('.field-bad')?.innerText.trim()").await?;
    other.sees("Waiting for the host").await?;
    desk.types("Digits on the device's screen", &digits).await?;
    desk.press("Approve").await?;
    other.field("Give this machine a task").await?;
    Ok(other)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_lets_phones_in_from_his_own_page() -> Result<()> {
    let scene = host_with_desk("Desk").await?;
    let (desk, link) = desk(&scene).await?;

    // The link is no key any more: not in another tab, and not in this one's address.
    let thief = scene.browser.page(Device::Desktop).await?;
    thief.open(&link).await?;
    thief.sees("The host does not expect a device").await?;
    thief.sees("A code or a link works once").await?;
    thief.close().await?;
    let address = desk.eval("return location.href").await?;
    ensure!(!address.as_str().unwrap_or_default().contains("#P"), "{address}");

    let (phone, invitation) = by_qr_code(&scene, &desk).await?;
    let other = by_code(&scene, &desk, &invitation).await?;
    ensure!(scene.devices().await?.len() == 3, "two phones and a tab");

    // Rights are changed under the phone's eyes.
    other.goes("#/settings").await?;
    other.sees("pprove what tasks ask for").await?;
    desk.goes("#/host/devices").await?;
    desk.press_row("Second phone").await?;
    desk.press_row("Approve what tasks ask for").await?;
    other.loses("pprove what tasks ask for").await?;
    // And taken altogether.
    desk.press("Remove this device").await?;
    desk.press("Remove").await?;
    other.sees("This device was removed on Desk").await?;
    phone.field("Give this machine a task").await?;
    ensure!(desk.complaints().await?.is_empty());

    // The owner's tab is forgotten with its window, once it could not come back any more.
    ensure!(scene.devices().await?.iter().any(|device| device["temporary"] == true));
    desk.close().await?;
    scene::until("the tab is forgotten", async || {
        Ok(!scene.devices().await?.iter().any(|device| device["temporary"] == true))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_away_from_the_page_is_told() -> Result<()> {
    let scene = host_with_desk("Noticed").await?;
    let page = scene.browser.page(Device::Desktop).await?;
    // Whether a system without a screen shows notifications is its own affair; what the page asks of it is not.
    page.before_each(
        "window.asked = { shown: [], badge: [] }; \
         window.Notification = class extends EventTarget { \
           static permission = 'granted'; static requestPermission() { return Promise.resolve('granted'); } \
           constructor(title, options) { super(); asked.shown.push(`${title}: ${options.body}`); \
             setTimeout(() => { this.onshow?.(new Event('show')); }, 0); } \
           close() { asked.shown.push('closed'); } }; \
         navigator.setAppBadge = count => { asked.badge.push(count); return Promise.resolve(); };",
    )
    .await?;
    let made = scene.host.asks(&["open", "--print", "--force"]).await?;
    page.open(made["link"].as_str().context("a link")?).await?;
    page.field("Give this machine a task").await?;
    page.goes("#/settings").await?;
    page.press_row("Notifications").await?;
    page.comes_true("return [...document.querySelectorAll('[role=switch]')].some(s => s.checked)").await?;

    // The person looks at something else.
    page.in_use(false).await?;
    let own = page.client().window().await?;
    let other = page.client().new_window(true).await?;
    page.client().switch_to_window(other.handle).await?;
    let session = scene.gives(&errands::asking("n")).await?;
    scene::until("the question was shown", async || {
        let questions = scene.questions().await?;
        let receipts = questions.first().and_then(|question| question["receipts"].as_array());
        Ok(receipts.is_some_and(|receipts| !receipts.is_empty()))
    })
    .await?;
    page.client().switch_to_window(own).await?;
    page.comes_true("return document.title.startsWith('(1) ')").await?;
    let asked = page.eval("return window.asked").await?;
    let shown = asked["shown"].as_array().context("a list")?;
    ensure!(shown.len() == 1, "{asked}");
    // What is asked is not for everybody who sees the screen.
    let shown = shown[0].as_str().unwrap_or_default();
    ensure!(shown.contains("A question waits for you") && !shown.contains("touch"), "{asked}");
    ensure!(asked["badge"].as_array().is_some_and(|badges| badges.contains(&1.into())), "{asked}");

    // Answered, nothing is left of it.
    scene::opens(&page, &session).await?;
    page.press("Approve once").await?;
    page.sees(errands::ASKED).await?;
    page.comes_true("return !document.title.startsWith('(') && asked.shown.includes('closed') && asked.badge.at(-1) === 0").await
}
