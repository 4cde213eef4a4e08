//! A host with a scripted model, and phones that are paired with it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lanyard_protocol::Timestamp;
use lanyard_protocol::event::{EventBody, SessionEvent};
use lanyard_protocol::id::SessionId;
use lanyard_protocol::session::TaskOptions;
use lanyard_tests::browser::{Browser, Device, Page};
use lanyard_tests::machine::{Machine, Window};
use lanyard_tests::stage::history;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The model of the tests.
const MODEL: &str = env!("CARGO_BIN_EXE_lanyard-model");

/// How long something may take that the limit only keeps from hanging; a host keeps a closed tab in mind for a minute.
const PATIENCE: Duration = Duration::from_secs(120);

/// Scenes at once: each has up to three browsers, and a machine with two cores is to be quick with all of them.
const SCENES: usize = 3;

/// Scenes that may be played now.
static TURNS: Semaphore = Semaphore::const_new(SCENES);

/// A host, and browsers beside it.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) browser: Browser,
    pub(crate) host: Machine,
    /// Given back last.
    _turn: SemaphorePermit<'static>,
}

impl Scene {
    /// A machine whose host runs and whose model answers.
    pub(crate) async fn of(name: &str) -> Result<Self> {
        Self::with(name, &[]).await
    }

    /// The same with environment variables of its own.
    pub(crate) async fn with(name: &str, env: &[(&str, &str)]) -> Result<Self> {
        let turn = TURNS.acquire().await?;
        let mut host = Machine::here(name)?;
        for (name, value) in env {
            host.set(name, value);
        }
        host.has_model(MODEL).await?;
        host.host_up().await?;
        Ok(Self { browser: Browser::start().await?, host, _turn: turn })
    }

    /// A phone that is paired.
    pub(crate) async fn phone(&self) -> Result<Page> {
        paired(&self.browser, &self.host, Device::Phone).await
    }

    /// A task that the owner gives in a new session.
    pub(crate) async fn gives(&self, prompt: &str) -> Result<SessionId> {
        let mut owner = self.host.connect().await?;
        let session = owner.session(&self.host.workspace()).await?.session_id;
        owner.start(&session, prompt, TaskOptions::default()).await?;
        Ok(session)
    }

    /// What the host's log says of a session.
    pub(crate) async fn log(&self, session: &SessionId) -> Result<Vec<SessionEvent>> {
        history(&mut self.host.connect().await?, session).await
    }

    /// The device that was paired last.
    pub(crate) async fn device(&self) -> Result<String> {
        let devices = self.devices().await?;
        let newest =
            devices.iter().max_by_key(|device| device["pairedAt"].as_str()?.parse::<Timestamp>().ok());
        let id = newest.and_then(|device| device["deviceId"].as_str());
        Ok(id.context("no device is paired")?.to_owned())
    }

    /// All that are paired, as the host lists them.
    pub(crate) async fn devices(&self) -> Result<Vec<Value>> {
        let listed = self.host.asks(&["devices"]).await?;
        Ok(listed["devices"].as_array().with_context(|| listed.to_string())?.clone())
    }

    /// The questions that wait, as the host lists them.
    pub(crate) async fn questions(&self) -> Result<Vec<Value>> {
        let listed = self.host.asks(&["approvals"]).await?;
        Ok(listed["approvals"].as_array().with_context(|| listed.to_string())?.clone())
    }
}

/// A turn for a scene of another kind.
pub(crate) async fn turn() -> Result<SemaphorePermit<'static>> {
    Ok(TURNS.acquire().await?)
}

/// Scans the QR code with a new phone and lets it in with one tap at the host.
pub(crate) async fn paired(browser: &Browser, host: &Machine, device: Device) -> Result<Page> {
    let page = browser.page(device).await?;
    let mut window = host.opens_window().await?;
    page.open(&window.link).await?;
    let_in(&page, host, &mut window).await?;
    Ok(page)
}

/// Lets in who waits, and waits until the page shows its host.
pub(crate) async fn let_in(page: &Page, host: &Machine, window: &mut Window) -> Result<()> {
    page.sees("Waiting for the host").await?;
    let question = window.question().await?;
    let digits = digits(page).await?;
    let decided = host.approves(&question, &digits).await?;
    ensure!(decided["end"] == "approved", "{decided}");
    page.field("Give this machine a task").await?;
    Ok(())
}

/// Waits for something that is not on a page.
pub(crate) async fn until(what: &str, look: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !look().await? {
        ensure!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// How long a phone lies in a pocket: two minutes in the long run, long enough for the task to go on in the short one.
pub(crate) fn locked_for() -> Duration {
    let long = std::env::var_os("LANYARD_LONG").is_some();
    if long { Duration::from_secs(120) } else { Duration::from_secs(8) }
}

/// The digits the page shows.
pub(crate) async fn digits(page: &Page) -> Result<String> {
    let shown =
        page.eval("return document.querySelector('.digits')?.getAttribute('aria-label') ?? ''").await?;
    let digits: String = shown.as_str().context("a text")?.chars().filter(char::is_ascii_digit).collect();
    ensure!(digits.len() == 6, "the page shows {shown}: {}", page.text().await?);
    Ok(digits)
}

/// Chooses what is called so, or whose description is, from a group of radio buttons.
pub(crate) async fn choose(page: &Page, name: &str) -> Result<()> {
    let script = format!(
        "const label = [...document.querySelectorAll('dialog[open] label')] \
           .find(l => l.innerText.includes({name:?})); \
         if (!label) return false; label.click(); return true;"
    );
    page.comes_true(&script).await.with_context(|| format!("nothing is called {name}"))
}

/// Opens what can be chosen for the next task.
pub(crate) async fn options(page: &Page) -> Result<()> {
    page.comes_true("document.querySelector('.composer-options').click(); return !!document.querySelector('dialog[open]')").await?;
    page.sees("How it runs").await
}

/// Gives a task in the host's workspace, as a person does.
pub(crate) async fn give(page: &Page, prompt: &str) -> Result<()> {
    options(page).await?;
    choose(page, "/work").await?;
    page.press("Close").await?;
    page.types("Give this machine a task", prompt).await?;
    page.press("Start the task").await
}

/// Opens a session.
pub(crate) async fn opens(page: &Page, session: &SessionId) -> Result<()> {
    page.goes(&format!("#/sessions/{session}")).await
}

/// What the timeline shows, a line a row: its kind, and what it says of itself without who did it.
pub(crate) async fn rows(page: &Page) -> Result<Vec<String>> {
    let script = "return [...document.querySelectorAll('.timeline article')].map(row => { \
        const part = row.querySelector('.bubble, .call-title, .prose, .note') ?? row; \
        return `${row.classList[0]}: ${part.textContent.replace(/\\s+/g, ' ').trim()}`; });";
    let rows = page.eval(script).await?;
    let rows = rows.as_array().with_context(|| rows.to_string())?;
    Ok(rows.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

/// Waits until the timeline shows the end of so many tasks: with the last of them, all that the log has.
pub(crate) async fn ended(page: &Page, tasks: usize) -> Result<()> {
    let script = format!("return document.querySelectorAll('.timeline article.end').length === {tasks}");
    page.comes_true(&script).await.with_context(|| format!("not {tasks} ends"))
}

/// The timeline has exactly what the log has: each task, call, answer and end once.
pub(crate) async fn is_whole(page: &Page, log: &[SessionEvent]) -> Result<()> {
    let count = |wanted: fn(&EventBody) -> bool| log.iter().filter(|event| wanted(&event.body)).count();
    let rows = rows(page).await?;
    let shown = |kind: &str| rows.iter().filter(|row| row.starts_with(kind)).count();
    let of_page = [shown("prompt:"), shown("call:"), shown("end:")];
    let of_host = [
        count(|body| matches!(body, EventBody::TaskStarted(_))),
        count(|body| matches!(body, EventBody::ToolRequested(_))),
        count(EventBody::ends_task),
    ];
    ensure!(
        of_page == of_host,
        "the log has {of_host:?} prompts, calls and ends, the page {of_page:?}: {rows:#?}"
    );
    Ok(())
}
