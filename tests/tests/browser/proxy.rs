//! Between browser and host stands somebody who ends TLS: he carries what he cannot read. One who refuses WebSockets is
//! got past without them.

use anyhow::{Result, ensure};
use lanyard_tests::browser::{Device, Page, Proxy, Refuses};
use lanyard_tests::gateway::errands;

use crate::scene::{self, Scene};

/// Pairs a phone by way of the proxy, and has a task done that is asked about twice.
async fn works(scene: &Scene, proxy: &Proxy) -> Result<(Page, Vec<String>)> {
    let page = scene.browser.page(Device::Phone).await?;
    let mut window = scene.host.opens_window().await?;
    let link = proxy.leads(&window.link)?;
    page.open(&link).await?;
    page.sees("Waiting for the host").await?;
    let digits = scene::digits(&page).await?;
    scene::let_in(&page, &scene.host, &mut window).await?;
    let prompt = errands::keeping("vault");
    scene::give(&page, &prompt).await?;
    page.press("Approve change").await?;
    page.press("Approve once").await?;
    let secrets = errands::secrets("vault");
    page.sees(&secrets[3]).await?;
    let fragment = link.split_once('#').map(|(_, fragment)| fragment.to_owned()).unwrap_or_default();
    let mut words = vec![prompt, fragment, window.code.clone(), digits];
    words.extend(secrets);
    Ok((page, words))
}

/// Nothing of it was passed on as it is; the page itself was, so it is known that the proxy looked.
fn unread(proxy: &Proxy, words: &[String]) -> Result<()> {
    for known in
        ["GET / HTTP/1.1", "Sec-Fetch-Site: same-origin", "content-security-policy: default-src", ".wasm"]
    {
        ensure!(proxy.has_read(known), "the proxy has not read {known:?}");
    }
    for words in words {
        ensure!(!proxy.has_read(words), "the proxy has read {words:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_ends_tls_reads_nothing() -> Result<()> {
    let scene = Scene::of("Behind nginx").await?;
    let proxy = Proxy::before(&scene.host, Refuses::Nothing).await?;
    let (page, words) = works(&scene, &proxy).await?;
    page.goes("#/sessions").await?;
    page.press_row("Connection:").await?;
    page.sees("WebSocket").await?;
    ensure!(proxy.has_read("GET /channel") && proxy.has_read("lanyard.v1"));
    unread(&proxy, &words)
}

#[tokio::test(flavor = "multi_thread")]
async fn where_websockets_are_refused_the_page_works_without() -> Result<()> {
    let mut scene = Scene::of("Without sockets").await?;
    let mut proxy = Proxy::before(&scene.host, Refuses::WebSocket).await?;
    let (page, words) = works(&scene, &proxy).await?;
    ensure!(proxy.has_read("POST /carrier/") && !proxy.has_read("GET /channel"));
    unread(&proxy, &words)?;

    // Streams come as they are made.
    let session = scene.gives(&errands::streaming("s")).await?;
    scene::opens(&page, &session).await?;
    page.press("Approve change").await?;
    page.press("Approve").await?;
    page.sees("line 3").await?;
    // Cut off and back, nothing is missing.
    proxy.falls().await?;
    page.sees("reconnecting").await?;
    scene.host.touch(&errands::enough("s"))?;
    proxy.rises().await?;
    page.press("Approve change").await?;
    page.sees(errands::STREAMED).await?;
    scene::ended(&page, 1).await?;
    scene::is_whole(&page, &scene.log(&session).await?).await?;
    // And after the host was started anew.
    scene.host.host_killed().await?;
    page.sees("reconnecting").await?;
    scene.host.host_up().await?;
    page.loses("reconnecting").await?;
    page.goes("#/sessions").await?;
    page.press_row("Connection:").await?;
    page.sees("downloads, because WebSocket is refused here").await?;
    Ok(())
}
