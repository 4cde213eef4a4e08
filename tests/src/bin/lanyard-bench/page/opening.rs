//! From the navigation of a paired phone to its page until a task can be typed, on lines of three kinds. The floor: a
//! document of the same host that does nothing but fetch the same files.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lanyard_tests::browser::Network;
use serde_json::json;

use super::{Phone, millis};
use crate::network;
use crate::table::{Samples, Table};

/// Openings of each kind, by turns with the floor.
const ROUNDS: usize = 10;

/// A document of the host that loads nothing by itself.
const BARE: &str = "/icon.svg";

/// Name, line.
const LINES: [(&str, Network); 3] = [
    ("loopback", Network::Plain),
    ("10 Mbit/s, 20 ms", Network::Slow { latency: 20, rate: 10_000_000 / 8 }),
    ("1.6 Mbit/s, 150 ms", Network::Slow { latency: 150, rate: 1_600_000 / 8 }),
];

/// Runs in each document before anything else: notes when the box for a task is drawn, and when the host is reached; in
/// the bare one, when everything has come. In milliseconds since the navigation began.
const NOTES: &str = "\
    if (location.pathname === BARE) { \
        Promise.all(FILES.map((file) => fetch(file).then((answer) => answer.arrayBuffer()))) \
            .then(() => { window.benchFetched = performance.now(); }); \
    } else { \
        const look = () => { \
            const box = document.querySelector('.composer textarea'); \
            if (window.benchUsable === undefined && box && box.getBoundingClientRect().height > 0) \
                window.benchUsable = performance.now(); \
            if (window.benchReached === undefined && document.querySelector('.connection .dot-good')) \
                window.benchReached = performance.now(); \
            if (window.benchUsable === undefined || window.benchReached === undefined) requestAnimationFrame(look); \
        }; \
        requestAnimationFrame(look); \
    }";

/// Where the files may come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Only from the host: the first time.
    Host,
    /// What the browser has kept, but for the document: every time after, where the certificate is not trusted.
    Kept,
    /// The page's own worker: every time after, where it is.
    Worker,
}

pub(super) async fn measure(table: &mut Table) -> Result<()> {
    let host = network::host().await?;
    let phone = Phone::paired_with(&host).await?;
    phone.page.network(Network::Plain).await?;
    notes(&phone).await?;
    for (line, network) in LINES {
        phone.page.network(network).await?;
        let (mut floor, mut reached) = (Vec::new(), Vec::new());
        let (mut first, mut kept, mut worker) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            take_from(&phone, Source::Host).await?;
            floor.push(load(&phone, BARE, "benchFetched").await?);
            came_from_the_host(&phone).await?;
            first.push(load(&phone, "/", "benchUsable").await?);
            reached.push(millis(phone.number("window.benchReached").await?));
            came_from_the_host(&phone).await?;
            for (source, times) in [(Source::Kept, &mut kept), (Source::Worker, &mut worker)] {
                take_from(&phone, source).await?;
                // Once for whatever it has to keep first.
                load(&phone, "/", "benchReached").await?;
                times.push(load(&phone, "/", "benchUsable").await?);
            }
        }
        let floor = Samples::of(&floor)?;
        table.times(&format!("floor: the same files, {line}"), &floor, None);
        let of = "fetching the files";
        for (what, times) in
            [("usable", first), ("connected", reached), ("kept, usable", kept), ("worker, usable", worker)]
        {
            table.times_against(&format!("page: {what}, {line}"), &Samples::of(&times)?, &floor, of);
        }
    }
    Ok(())
}

/// Has [`NOTES`] run in every document from now on, with what the page is made of.
async fn notes(phone: &Phone) -> Result<()> {
    let files = phone
        .page
        .eval(
            "return ['/', ...new Set(performance.getEntriesByType('resource') \
               .map((entry) => new URL(entry.name).pathname).filter((path) => path.startsWith('/assets/')))];",
        )
        .await?;
    let count = files.as_array().map_or(0, Vec::len);
    // The document, the style, two scripts and the program.
    ensure!(count >= 5, "the page is made of {files}");
    let source = format!("const BARE = {}, FILES = {files}; {NOTES}", json!(BARE));
    let params = json!({ "source": format!("(() => {{ {source} }})();") });
    phone.page.devtools("Page.addScriptToEvaluateOnNewDocument", params).await?;
    Ok(())
}

async fn take_from(phone: &Phone, source: Source) -> Result<()> {
    let fresh = json!({ "cacheDisabled": source == Source::Host });
    phone.page.devtools("Network.setCacheDisabled", fresh).await?;
    let past = json!({ "bypass": source != Source::Worker });
    phone.page.devtools("Network.setBypassServiceWorker", past).await?;
    Ok(())
}

/// That nothing was kept somewhere, which would be measured as a line faster than it is.
async fn came_from_the_host(phone: &Phone) -> Result<()> {
    let kept = phone
        .page
        .eval(
            "return performance.getEntriesByType('resource') \
               .filter((entry) => new URL(entry.name).pathname.startsWith('/assets/') && entry.transferSize === 0) \
               .map((entry) => `${entry.initiatorType} ${entry.name}`);",
        )
        .await?;
    ensure!(kept == json!([]), "these were not downloaded: {kept}");
    Ok(())
}

/// Loads a document and waits until it has noted what is wanted.
async fn load(phone: &Phone, path: &str, noted: &str) -> Result<Duration> {
    let url = format!("{}{path}", phone.origin);
    phone.page.client().goto(&url).await.with_context(|| url.clone())?;
    Ok(millis(phone.number(&format!("window.{noted}")).await?))
}
