//! Starting chromedriver and browsers.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fantoccini::ClientBuilder;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::page::Page;

/// How long chromedriver may take to say where it listens.
const START: Duration = Duration::from_secs(60);

/// How often it is started. It takes a port that is free for IPv4, and ends when somebody else has the same for IPv6: on a
/// machine on which a hundred servers come and go that happens.
const STARTS: usize = 5;

/// What a browser pretends to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// 390×844 at 3×, touch.
    Phone,
    /// 320×568 at 2×, touch: the smallest that counts.
    SmallPhone,
    /// 1440×900.
    Desktop,
}

impl Device {
    /// CSS pixels.
    pub fn size(self) -> (u32, u32) {
        match self {
            Self::Phone => (390, 844),
            Self::SmallPhone => (320, 568),
            Self::Desktop => (1440, 900),
        }
    }

    fn options(self) -> Value {
        let (width, height) = self.size();
        let ratio = match self {
            Self::Phone => 3.0,
            Self::SmallPhone => 2.0,
            Self::Desktop => return json!({}),
        };
        let agent = "Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) \
                     Chrome/156.0.0.0 Mobile Safari/537.36";
        json!({ "mobileEmulation": {
            "deviceMetrics": { "width": width, "height": height, "pixelRatio": ratio, "touch": true },
            "userAgent": agent,
        } })
    }
}

/// One chromedriver. It, and every browser it started, end when it is dropped.
#[derive(Debug)]
pub struct Browser {
    /// Killed with its whole process group, which the browsers are in.
    driver: Child,
    address: String,
    profiles: TempDir,
    pages: std::sync::atomic::AtomicU32,
}

impl Browser {
    /// Starts chromedriver on a free port.
    ///
    /// # Errors
    /// It is not installed (`cargo xtask test` installs it), or does not start.
    pub async fn start() -> Result<Self> {
        Self::start_for(None).await
    }

    /// Browsers of a person with this home directory, whose authorities (`.pki/nssdb`) they trust.
    ///
    /// # Errors
    /// As [`Browser::start`].
    pub async fn start_at(home: &Path) -> Result<Self> {
        Self::start_for(Some(home)).await
    }

    async fn start_for(home: Option<&Path>) -> Result<Self> {
        let mut said = String::new();
        for _ in 0..STARTS {
            match Self::start_once(home).await? {
                Ok(browser) => return Ok(browser),
                Err(last) => said = last,
            }
        }
        bail!("chromedriver ended {STARTS} times at its start; it said last:\n{said}")
    }

    /// `Err`: it ended before it listened; what it said.
    async fn start_once(home: Option<&Path>) -> Result<Result<Self, String>> {
        let profiles = tempfile::Builder::new().prefix("lanyard-browser-").tempdir()?;
        let mut command = Command::new("chromedriver");
        command.envs(home.map(|home| ("HOME", home)));
        // What killed browsers leave behind goes with their profiles.
        command.env("TMPDIR", profiles.path());
        command.args(["--port=0"]).stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(Stdio::null()).kill_on_drop(true).process_group(0);
        let mut driver =
            command.spawn().context("chromedriver (Debian: chromium-driver) cannot be started")?;
        let out = driver.stdout.take().context("a pipe was asked for")?;
        let mut lines = BufReader::new(out).lines();
        let port = tokio::time::timeout(START, async {
            let mut said = String::new();
            while let Some(line) = lines.next_line().await? {
                if let Some((_, port)) = line.split_once("successfully on port ") {
                    return anyhow::Ok(Ok(port.trim_end_matches('.').to_owned()));
                }
                said.push_str(&line);
                said.push('\n');
            }
            Ok(Err(said))
        });
        let port = match port.await.context("chromedriver does not say where it listens")?? {
            Ok(port) => port,
            Err(said) => return Ok(Err(said)),
        };
        // Reads on, so that it never waits for a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Ok(Self { driver, address: format!("http://127.0.0.1:{port}"), profiles, pages: 0.into() }))
    }

    /// A browser of its own with an empty profile, which takes the host's certificate as a person does who goes on past
    /// the warning.
    ///
    /// # Errors
    /// It does not start.
    pub async fn page(&self, device: Device) -> Result<Page> {
        self.page_with(device, true, &[]).await
    }

    /// [`Browser::page`]; `warned`: go on past certificate warnings; `args`: further arguments of Chromium.
    ///
    /// # Errors
    /// It does not start.
    pub async fn page_with(&self, device: Device, warned: bool, args: &[String]) -> Result<Page> {
        let number = self.pages.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let profile = self.profiles.path().join(number.to_string());
        let (width, height) = device.size();
        let mut all: Vec<String> = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-quic",
            "--no-first-run",
            "--hide-scrollbars",
            "--lang=en-GB",
        ]
        .map(str::to_owned)
        .to_vec();
        all.push(format!("--user-data-dir={}", profile.display()));
        all.push(format!("--window-size={width},{height}"));
        all.extend(args.iter().cloned());
        let mut options = device.options();
        options["args"] = json!(all);
        let capabilities = json!({
            "browserName": "chrome",
            "acceptInsecureCerts": warned,
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "script": 60_000, "pageLoad": 60_000 },
        });
        let Value::Object(capabilities) = capabilities else { bail!("capabilities are an object") };
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(capabilities)
            .connect(&self.address)
            .await
            .context("Chromium does not start")?;
        let page = Page::new(client, device)?;
        // As a window that somebody works in: without a screen there is no focus before the first click.
        page.in_use(true).await?;
        Ok(page)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The group: chromedriver leaves its browsers behind when it is killed alone.
        if let Some(pid) = self.driver.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())) {
            // Gone already is as good.
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}
