//! What is around a page: the network, the pocket it lies in, the system's wishes.

use std::path::Path;

use anyhow::Result;
use serde_json::json;

use super::page::Page;

/// What the browser's network is like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Network {
    /// As it is.
    Plain,
    /// Every request fails, open connections included.
    Offline,
    /// Milliseconds of delay, and bytes a second.
    Slow {
        /// Round trip, ms.
        latency: u32,
        /// Bytes a second, each way.
        rate: u32,
    },
}

impl Page {
    /// The network of the browser.
    ///
    /// # Errors
    /// Chromium refuses.
    pub async fn network(&self, network: Network) -> Result<()> {
        let (offline, latency, rate) = match network {
            Network::Plain => (false, 0, -1),
            Network::Offline => (true, 0, -1),
            Network::Slow { latency, rate } => (false, latency, i64::from(rate)),
        };
        self.devtools("Network.enable", json!({})).await?;
        let conditions = json!({ "offline": offline, "latency": latency, "downloadThroughput": rate, "uploadThroughput": rate });
        self.devtools("Network.emulateNetworkConditions", conditions).await?;
        Ok(())
    }

    /// Hides and freezes the tab as a phone does that is locked, or lets it go on and shows it again.
    ///
    /// # Errors
    /// Chromium refuses.
    pub async fn frozen(&self, frozen: bool) -> Result<()> {
        // To be hidden is a matter of the window, to be frozen one of the page: a hidden page that is not frozen goes on,
        // and one that is shown again by its own state alone stays hidden, draws nothing, and takes no press.
        if frozen {
            self.in_use(false).await?;
            self.client().minimize_window().await?;
            self.devtools("Page.setWebLifecycleState", json!({ "state": "frozen" })).await?;
        } else {
            self.devtools("Page.setWebLifecycleState", json!({ "state": "active" })).await?;
            let (width, height) = self.device().size();
            self.client().set_window_rect(0, 0, width, height).await?;
            self.in_use(true).await?;
        }
        Ok(())
    }

    /// Whether the window counts as one that somebody works in, whatever else there is; that is how a page begins. Without
    /// it, a tab behind another one is hidden.
    ///
    /// # Errors
    /// Chromium refuses.
    pub async fn in_use(&self, is: bool) -> Result<()> {
        self.devtools("Emulation.setFocusEmulationEnabled", json!({ "enabled": is })).await?;
        Ok(())
    }

    /// Runs a script in every document from the next one on, before its own.
    ///
    /// # Errors
    /// Chromium refuses.
    pub async fn before_each(&self, script: &str) -> Result<()> {
        self.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script })).await?;
        Ok(())
    }

    /// Where downloads of the page go.
    ///
    /// # Errors
    /// Chromium refuses.
    pub async fn downloads_to(&self, folder: &Path) -> Result<()> {
        let params = json!({ "behavior": "allow", "downloadPath": folder });
        self.devtools("Browser.setDownloadBehavior", params).await?;
        Ok(())
    }

    /// Light or dark, as the system says.
    ///
    /// # Errors
    /// Chromium refuses.
    pub async fn dark(&self, dark: bool) -> Result<()> {
        let value = if dark { "dark" } else { "light" };
        let media = json!({ "features": [
            { "name": "prefers-color-scheme", "value": value },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        self.devtools("Emulation.setEmulatedMedia", media).await?;
        Ok(())
    }
}
