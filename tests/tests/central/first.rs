//! The first sign-in: the link is for somebody at a terminal, and is in no log.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use lanyard_tests::central::{Admin, Installation, Records, binary, until};

#[tokio::test]
async fn no_log_holds_a_link() -> Result<()> {
    let central = Installation::start(Records::Sqlite).await?;
    let said = until("it says that it is ready", || async {
        let log = central.replica(0).log();
        Ok(log.contains("Central is ready").then_some(log))
    })
    .await?;
    ensure!(!said.contains("/sign-in/") && said.contains("lanyard-central sign-in-link"), "{said}");
    // Nobody has been here: the link that the command makes is the first.
    central.operator().await?;
    Ok(())
}

#[tokio::test]
async fn at_a_terminal_the_first_start_shows_one_and_it_is_taken() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (screen, ready) = (dir.path().join("screen"), dir.path().join("ready"));
    let state = dir.path().join("state");
    // `script` gives it a terminal.
    let command = format!("{} --state-dir {} --listen 127.0.0.1:0", binary()?.display(), state.display());
    let mut terminal = tokio::process::Command::new("script");
    terminal.args(["--quiet", "--flush", "--return", "--command", &command]).arg(&screen);
    terminal.env("LANYARD_CENTRAL_READY_FILE", &ready).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = terminal.kill_on_drop(true).spawn().context("script (Debian: bsdutils)")?;
    let token = until("the link is shown", || async {
        let shown = std::fs::read_to_string(&screen).unwrap_or_default();
        // The last line may still be coming.
        let whole = shown.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let link = whole.lines().find_map(|line| line.split_once("/console/#/sign-in/"));
        Ok(link.map(|(_, token)| token.trim().to_owned()))
    })
    .await?;
    let address = until("its address is known", || async {
        let address = std::fs::read_to_string(&ready).unwrap_or_default();
        Ok((!address.is_empty()).then_some(address))
    })
    .await?;
    Admin::by_link(&format!("http://{address}"), &token).await?;
    // The terminal goes, and what ran in it.
    drop(child.stdin.take());
    child.kill().await?;
    Ok(())
}
