//! axe-core over a page: what keeps people with a screen reader, a keyboard or weak eyes from using it.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;
use tokio::sync::Mutex;

use super::page::Page;

/// The version whose findings the page is held to.
const AXE: &str = "axe-core@4.14.1";

/// One tests' process installs it at a time; several processes do it in folders of their own and rename.
static INSTALLING: Mutex<()> = Mutex::const_new(());

/// Something axe-core found.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Its rule.
    pub rule: String,
    /// `minor`, `moderate`, `serious` or `critical`.
    pub impact: String,
    /// What it says.
    pub help: String,
    /// Some of the elements it is about.
    pub elements: Vec<String>,
}

impl Page {
    /// Everything axe-core finds.
    ///
    /// # Errors
    /// It cannot be installed from the npm registry, or does not run.
    pub async fn accessibility(&self) -> Result<Vec<Finding>> {
        let axe = axe().await?;
        self.client().execute(&axe, Vec::new()).await.context("axe-core does not load")?;
        let script = "const done = arguments[arguments.length - 1]; \
                      axe.run(document, { resultTypes: ['violations'] }) \
                        .then(r => done(r.violations), e => done(String(e)));";
        let found = self.client().execute_async(script, Vec::new()).await?;
        let found = found.as_array().with_context(|| format!("axe-core: {found}"))?;
        Ok(found.iter().map(finding).collect())
    }

    /// No serious finding.
    ///
    /// # Errors
    /// There are some; lists them.
    pub async fn is_accessible(&self) -> Result<()> {
        let mut found = self.accessibility().await?;
        found.retain(|finding| finding.impact == "serious" || finding.impact == "critical");
        ensure!(found.is_empty(), "axe-core: {found:#?}");
        Ok(())
    }
}

fn finding(value: &Value) -> Finding {
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let nodes = value["nodes"].as_array().cloned().unwrap_or_default();
    let elements = nodes.iter().take(5).map(|node| format!("{} {}", node["html"], node["failureSummary"]));
    Finding { rule: text("id"), impact: text("impact"), help: text("help"), elements: elements.collect() }
}

/// The script, installed once from the npm registry below the target directory.
async fn axe() -> Result<String> {
    let _one = INSTALLING.lock().await;
    let target = Page::pictures()?.parent().map(PathBuf::from).context("no target directory")?;
    let home = target.join("npm");
    let script = home.join("node_modules/axe-core/axe.min.js");
    if !script.is_file() {
        let partial = target.join(format!("npm.{}", std::process::id()));
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
            .arg(&partial);
        let output = npm.arg(AXE).stdin(Stdio::null()).output().await.context("npm (Debian: npm)")?;
        ensure!(output.status.success(), "npm install {AXE}: {}", String::from_utf8_lossy(&output.stderr));
        if std::fs::rename(&partial, &home).is_err() {
            // Another process was first; its copy is as good.
            std::fs::remove_dir_all(&partial)?;
        }
    }
    std::fs::read_to_string(&script).with_context(|| script.display().to_string())
}
