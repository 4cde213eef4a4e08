//! What a person's hand does on a page: pressing, typing, going elsewhere.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fantoccini::elements::Element;
use serde_json::{Value, json};

use super::page::{ANSWER, LOOK, PATIENCE, Page, quoted};

/// How long a press may be on its way to the page before it counts as lost: where fingers are pretended, the browser first
/// makes up its mind that it was a tap.
const LOST: Duration = Duration::from_secs(15);

/// Whether an element takes a press now; if so, notes what becomes of the next one.
const READY: &str = "const [e] = arguments; \
    const takes = () => e.isConnected && !e.matches(':disabled, [data-fresh], [aria-busy=true]'); \
    if (!takes()) return false; \
    const told = window.pressed = { came: false, hit: false, there: true }; \
    addEventListener('click', event => { told.came = true; told.hit = takes() && event.composedPath().includes(e); }, \
      { capture: true, once: true }); \
    const link = e.closest('a[href^=\"#\"]'); \
    if (link && link.href !== location.href) { \
      told.there = false; addEventListener('hashchange', () => { told.there = true; }, { once: true }); \
    } \
    return true;";

/// What became of the press since [`READY`]. A page that was left knows nothing of it.
const PRESSED: &str = "const told = window.pressed; if (!told) return 'left'; \
    return !told.came ? 'on its way' : !told.hit ? 'missed' : !told.there ? 'goes' : 'hit';";

/// Changes the fragment and ends when the page has heard of it: its own listeners were there first.
const GO: &str = "const [place, done] = arguments, before = location.href; \
    addEventListener('hashchange', () => done(true), { once: true }); \
    location.hash = place; if (location.href === before) done(true);";

impl Page {
    /// Goes to a place of the page, `#/…`, as a link on it does. Returns once the page has left the place where it was: what
    /// is seen from then on is not what was seen there.
    ///
    /// # Errors
    /// The page does not answer.
    pub async fn goes(&self, place: &str) -> Result<()> {
        let done = tokio::time::timeout(ANSWER, self.client().execute_async(GO, vec![json!(place)])).await;
        done.context("the page does not answer")?.with_context(|| format!("on the way to {place}"))?;
        Ok(())
    }

    /// Presses a button, with a real click at its middle: what covers it gets the click. One that is drawn anew meanwhile,
    /// is disabled or busy for a moment, or has just appeared and takes no press yet, is tried again; so is a click that met
    /// something else because the page moved under it. Returns once a link has led to its place.
    ///
    /// # Errors
    /// It cannot be pressed.
    pub async fn press(&self, name: &str) -> Result<()> {
        self.hits(name, async || self.button(name).await).await
    }

    async fn hits(&self, what: &str, find: impl AsyncFn() -> Result<Element>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.hit(&find().await?).await {
                Ok(true) => return Ok(()),
                Ok(false) if Instant::now() >= deadline => {
                    bail!("{what:?} takes no press; the page says:\n{}", self.text().await?);
                }
                Err(error) if Instant::now() >= deadline => {
                    return Err(error).with_context(|| format!("{what:?} cannot be pressed"));
                }
                Ok(false) | Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// One click, if it is taken at this moment; whether it was.
    async fn hit(&self, element: &Element) -> Result<bool> {
        if self.run(READY, vec![serde_json::to_value(element)?]).await? != Value::Bool(true) {
            return Ok(false);
        }
        element.clone().click().await?;
        let (lost, deadline) = (Instant::now() + LOST, Instant::now() + PATIENCE);
        loop {
            // A page that is being left answers nothing, and is not to be pressed again for that.
            let told = self.eval(PRESSED).await;
            match told.as_ref().map(|told| told.as_str().unwrap_or_default()) {
                Ok("hit" | "left") => return Ok(true),
                Ok("missed") => return Ok(false),
                Ok("on its way") if Instant::now() >= lost => return Ok(false),
                Ok("goes") if Instant::now() >= deadline => bail!("the link leads nowhere"),
                Err(_) if Instant::now() >= deadline => return told.map(|_| false),
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Types into a field, in place of what is there. One that is drawn anew meanwhile, with or without what was typed, is
    /// tried again.
    ///
    /// # Errors
    /// It cannot.
    pub async fn types(&self, label: &str, text: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let field = self.field(label).await?;
            match typed(&field, text).await {
                Ok(true) => return Ok(()),
                Ok(false) if Instant::now() >= deadline => bail!("{label:?} keeps nothing that is typed"),
                Err(error) if Instant::now() >= deadline => {
                    return Err(error).with_context(|| format!("nothing can be typed into {label:?}"));
                }
                Ok(false) | Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Presses what can be pressed and has this among its words: a row of a list.
    ///
    /// # Errors
    /// There is none.
    pub async fn press_row(&self, words: &str) -> Result<()> {
        let path = format!(
            "//*[self::button or self::a or self::label][contains(normalize-space(), {})]",
            quoted(words)
        );
        self.hits(words, async || self.visible(&path).await).await
    }
}

/// Puts a text into a field; whether something of it stays there (some fields spell it their own way).
async fn typed(field: &Element, text: &str) -> Result<bool> {
    field.clear().await?;
    field.send_keys(text).await?;
    let kept = field.prop("value").await?;
    Ok(text.is_empty() || kept.is_some_and(|kept| !kept.is_empty()))
}
