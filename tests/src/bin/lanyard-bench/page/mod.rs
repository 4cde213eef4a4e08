//! The page: what a phone downloads, how long until it can be used, from a tap to the host's decision and from an event to
//! the screen, in a real browser; and what browsers cost a host, by native clients that speak what a page speaks.
//!
//! Every figure stands beside a floor of the same run: what the browser, the line or the disk takes without us.

mod bytes;
mod channel;
mod clients;
mod decision;
mod opening;
mod pixel;
mod tab;
mod wire;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use lanyard_protocol::approval::Decision;
use lanyard_protocol::method::ListPairings;
use lanyard_tests::browser::{Browser, Device, Page};
use lanyard_tests::device::Owner;
use lanyard_tests::host::TestHost;
use serde_json::{Value, json};

use crate::table::Table;

/// How long the browser may take for what is waited for: the page on the slowest line needs some seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often is looked whether it is there. The times themselves are taken in the page.
const LOOK: Duration = Duration::from_millis(20);

pub(crate) async fn measure(table: &mut Table) -> Result<()> {
    eprintln!("  bytes");
    let is_built = bytes::measure(table).context("bytes")?;
    if is_built {
        eprintln!("  opening");
        opening::measure(table).await.context("opening")?;
        eprintln!("  decisions");
        decision::measure(table).await.context("decisions")?;
        eprintln!("  pixels");
        pixel::measure(table).await.context("pixels")?;
        eprintln!("  the tab's memory");
        tab::measure(table).await.context("the tab's memory")?;
    }
    eprintln!("  the channel");
    channel::measure(table).await.context("the channel")?;
    eprintln!("  browser clients");
    clients::measure(table).await.context("browser clients")
}

/// A phone that is paired with a host on this machine. The browser ends when it is dropped.
struct Phone {
    page: Page,
    /// Where its page comes from, such as `https://127.0.0.1:7717`.
    origin: String,
    _browser: Browser,
}

impl Phone {
    /// Scans the link of a window that the owner opens, and is let in.
    async fn paired_with(host: &TestHost) -> Result<Self> {
        let mut owner = Owner::at(&host.socket()?).await?;
        let window = owner.open_window().await?;
        let browser = Browser::start().await?;
        let page = browser.page(Device::Phone).await?;
        page.open(&window.link).await?;
        let question = loop {
            if let Some(question) = owner.peer().call(ListPairings {}).await?.pending.pop() {
                break question;
            }
            owner.peer().host_event().await.context("the page does not ask to be paired")?;
        };
        owner.decide(&question, Decision::Approved, None).await?;
        let origin = format!("https://{}", host.address().await?);
        let phone = Self { page, origin, _browser: browser };
        phone.until("document.querySelector('.composer textarea')").await?;
        Ok(phone)
    }

    /// Opens a session on the phone.
    async fn opens(&self, session: &str) -> Result<()> {
        let place = json!(format!("#/sessions/{session}"));
        self.page.eval(&format!("location.hash = {place};")).await?;
        self.until("document.querySelector('.timeline')").await?;
        Ok(())
    }

    /// What an expression is in the page as soon as it is something.
    async fn until(&self, expression: &str) -> Result<Value> {
        let script = format!(
            "const found = {expression}; return found instanceof Node ? true : found === undefined ? null : found;"
        );
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let found = self.page.eval(&script).await?;
            if !found.is_null() && found != Value::Bool(false) {
                return Ok(found);
            }
            let late = std::time::Instant::now() >= deadline;
            ensure!(!late, "never in the page: {expression}; it says:\n{}", self.page.text().await?);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// [`Phone::until`] it is a number.
    async fn number(&self, expression: &str) -> Result<f64> {
        let found = self.until(expression).await?;
        found.as_f64().with_context(|| format!("{expression} is {found}"))
    }

    /// Puts [`CLOCK`] into the page.
    async fn has_clock(&self) -> Result<()> {
        self.page.eval(CLOCK).await?;
        Ok(())
    }
}

/// The machine's clock to a tenth of a millisecond, which is as fine as a page's own goes, in milliseconds since 1970:
/// `Date.now()` goes by whole ones, so the moment of a step is looked for once. And when a change of the page has been
/// drawn: the first task after the frame that shows it.
const CLOCK: &str = "\
    const before = Date.now(); while (Date.now() === before); \
    const zero = Date.now() - performance.now(); \
    window.benchNow = () => zero + performance.now(); \
    window.benchDrawn = (then) => requestAnimationFrame(() => { \
        const after = new MessageChannel(); \
        after.port1.onmessage = () => then(benchNow()); \
        after.port2.postMessage(0); \
    });";

/// The same clock here.
fn now() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs_f64() * 1e3)
}

/// Milliseconds as a time; what the page's clock is off may not make a time negative.
fn millis(value: f64) -> Duration {
    Duration::from_secs_f64(value.max(0.0) / 1e3)
}
