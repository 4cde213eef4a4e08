//! One browser with one page.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fantoccini::elements::Element;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, Locator};
use http::Method;
use serde_json::{Value, json};

use super::driver::Device;

/// How long something may take to appear. Two cores run the host, the browser and other tests.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How long the browser may take to do what it is told. One that is stuck would hold a test for ever.
pub(super) const ANSWER: Duration = Duration::from_secs(90);

/// How often is looked.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// See the module. The browser ends with [`Page::close`], or with its [`Browser`](super::Browser).
#[derive(Debug)]
pub struct Page {
    client: Client,
    device: Device,
}

/// An extension of the protocol.
#[derive(Debug)]
struct Extension {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

impl Page {
    pub(super) fn new(client: Client, device: Device) -> Result<Self> {
        Ok(Self { client, device })
    }

    /// What the browser pretends to be.
    pub fn device(&self) -> Device {
        self.device
    }

    /// WebDriver itself.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Opens an address, as following a link or scanning a QR code does.
    ///
    /// # Errors
    /// It cannot be loaded.
    pub async fn open(&self, url: &str) -> Result<()> {
        // A change of the fragment alone loads nothing; a scanned code always does.
        self.client.goto("about:blank").await?;
        Ok(self.client.goto(url).await?)
    }

    /// Runs a script's body and returns what it returns.
    ///
    /// # Errors
    /// It throws.
    pub async fn eval(&self, script: &str) -> Result<Value> {
        self.run(script, Vec::new()).await
    }

    /// [`Page::eval`] with arguments.
    pub(super) async fn run(&self, script: &str, arguments: Vec<Value>) -> Result<Value> {
        let done = tokio::time::timeout(ANSWER, self.client.execute(script, arguments)).await;
        done.context("the page does not answer")?.with_context(|| format!("in the page: {script}"))
    }

    /// A command of the Chrome DevTools Protocol.
    ///
    /// # Errors
    /// Chromium refuses it.
    pub async fn devtools(&self, command: &str, params: Value) -> Result<Value> {
        let body = json!({ "cmd": command, "params": params });
        let done = self.client.issue_cmd(Extension { path: "goog/cdp/execute", body });
        let done = tokio::time::timeout(ANSWER, done).await;
        done.context("the browser does not answer")?.with_context(|| command.to_owned())
    }

    /// Everything a person sees as text.
    ///
    /// # Errors
    /// There is no page.
    pub async fn text(&self) -> Result<String> {
        let text = self.eval("return document.body ? document.body.innerText : ''").await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until `text` is seen; case counts, white space does not.
    ///
    /// # Errors
    /// It is not; says what is seen instead.
    pub async fn sees(&self, text: &str) -> Result<()> {
        self.sees_within(text, PATIENCE).await
    }

    /// [`Page::sees`] with more, or less, patience.
    ///
    /// # Errors
    /// It is not seen.
    pub async fn sees_within(&self, text: &str, patience: Duration) -> Result<()> {
        let seen = self.until(patience, async || Ok(squeezed(&self.text().await?).contains(text))).await?;
        ensure!(seen, "{text:?} is not seen; the page says:\n{}", self.text().await?);
        Ok(())
    }

    /// Waits until `text` is no longer seen.
    ///
    /// # Errors
    /// It still is.
    pub async fn loses(&self, text: &str) -> Result<()> {
        let gone = self.until(PATIENCE, async || Ok(!squeezed(&self.text().await?).contains(text))).await?;
        ensure!(gone, "{text:?} is still seen; the page says:\n{}", self.text().await?);
        Ok(())
    }

    /// Waits until a script's body returns something true.
    ///
    /// # Errors
    /// It does not.
    pub async fn comes_true(&self, script: &str) -> Result<()> {
        let done = self.until(PATIENCE, async || Ok(self.eval(script).await? == Value::Bool(true))).await?;
        ensure!(done, "never true: {script}; the page says:\n{}", self.text().await?);
        Ok(())
    }

    /// Looks until it is so. What goes wrong while looking is looked at again: a page that is being left answers nothing.
    async fn until(&self, patience: Duration, look: impl AsyncFn() -> Result<bool>) -> Result<bool> {
        let deadline = Instant::now() + patience;
        loop {
            match look().await {
                Ok(true) => return Ok(true),
                seen if Instant::now() >= deadline => return seen,
                Ok(false) | Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// A button, link or tab of that name: its label for screen readers, or its text.
    ///
    /// # Errors
    /// There is none that can be seen.
    pub async fn button(&self, name: &str) -> Result<Element> {
        let name = quoted(name);
        let kinds = "self::button or self::a or self::summary or @role='button' or @role='tab' or @role='link' or \
                     @role='radio' or @role='switch' or @role='menuitem'";
        let path = format!(
            "//*[{kinds}][normalize-space(@aria-label)={name} or (not(@aria-label) and normalize-space()={name})]"
        );
        self.visible(&path).await.with_context(|| format!("no button {name}"))
    }

    /// A field of that label.
    ///
    /// # Errors
    /// There is none that can be seen.
    pub async fn field(&self, label: &str) -> Result<Element> {
        let label = quoted(label);
        let path = format!(
            "//*[self::input or self::textarea or self::select][normalize-space(@aria-label)={label} or \
             @id=//label[normalize-space()={label}]/@for or ancestor::label[starts-with(normalize-space(), {label})]]"
        );
        self.visible(&path).await.with_context(|| format!("no field {label}"))
    }

    /// The first element at an XPath that can be seen.
    pub(super) async fn visible(&self, path: &str) -> Result<Element> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.displayed(path).await {
                Ok(Some(element)) => return Ok(element),
                Ok(None) if Instant::now() >= deadline => {
                    bail!("nothing to be seen at {path}; the page says:\n{}", self.text().await?);
                }
                Err(error) if Instant::now() >= deadline => return Err(error),
                // A page that is being left answers nothing.
                Ok(None) | Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    async fn displayed(&self, path: &str) -> Result<Option<Element>> {
        let path = format!("{}{path}", self.in_front().await?);
        for element in self.client.find_all(Locator::XPath(&path)).await? {
            // Gone between finding and looking is as good as not there.
            if element.is_displayed().await.unwrap_or(false) {
                return Ok(Some(element));
            }
        }
        Ok(None)
    }

    /// Where things can be reached: in the dialog before the page, where there is one.
    async fn in_front(&self) -> Result<&'static str> {
        let modal = self.eval("return !!document.querySelector('dialog[open]')").await?;
        Ok(if modal == Value::Bool(true) { "//dialog[@open]" } else { "" })
    }

    /// A picture of what is seen.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn picture(&self, path: &Path) -> Result<()> {
        let png = self.client.screenshot().await?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, png).with_context(|| path.display().to_string())
    }

    /// Where pictures of a run go: `target/pictures`.
    ///
    /// # Errors
    /// There is no target directory.
    pub fn pictures() -> Result<PathBuf> {
        let test = std::env::current_exe()?;
        let target = test.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists());
        Ok(target.context("no target directory")?.join("pictures"))
    }

    /// The page is no wider than the screen.
    ///
    /// # Errors
    /// It scrolls sideways; names what is too wide.
    pub async fn fits(&self) -> Result<()> {
        let script = "const wide = innerWidth; \
            const out = [...document.querySelectorAll('body *')] \
              .filter(e => e.getBoundingClientRect().right > wide + 0.5 && !e.closest('[data-scrolls]')) \
              .slice(0, 5).map(e => e.outerHTML.slice(0, 160)); \
            return { inner: innerWidth, scroll: document.documentElement.scrollWidth, out };";
        let seen = self.eval(script).await?;
        let width = self.device.size().0;
        ensure!(
            seen["inner"] == width && seen["scroll"].as_u64() <= Some(u64::from(width)),
            "the page is wider than {width}: {seen}"
        );
        Ok(())
    }

    /// What the browser complained about since it was last asked: errors in the console, scripts refused, …
    ///
    /// # Errors
    /// The log cannot be had.
    pub async fn complaints(&self) -> Result<Vec<String>> {
        let log =
            self.client.issue_cmd(Extension { path: "se/log", body: json!({ "type": "browser" }) }).await?;
        let entries = log.as_array().cloned().unwrap_or_default();
        let severe = entries.iter().filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        Ok(severe.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect())
    }

    /// Ends the browser.
    ///
    /// # Errors
    /// It does not end in order.
    pub async fn close(self) -> Result<()> {
        Ok(self.client.close().await?)
    }
}

/// With every run of white space as one space.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text as XPath writes it.
pub(super) fn quoted(text: &str) -> String {
    if text.contains('\'') { format!("\"{text}\"") } else { format!("'{text}'") }
}
