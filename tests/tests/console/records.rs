//! Audit records and figures.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lanyard_protocol::session::TaskOptions;
use lanyard_tests::browser::Device;
use lanyard_tests::central::until;
use serde_json::Value;
use tokio::process::Command;

use crate::scene::{self, Album, EVERYTHING, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn records_are_found_proved_and_exported() -> Result<()> {
    let scene = Scene::begin().await?;
    let (machine, agent) = scene.host("Study Linux", EVERYTHING).await?;
    let page = scene.operator(Device::Desktop).await?;
    let album = Album::of(&page);
    let session = scene::gives(&machine, "Clean up").await?;
    scene::answers(&machine, "approve").await?;
    page.goes(&format!("#/sessions/{session}")).await?;
    page.sees(scene::DONE).await?;

    // Found by words in them, and shown in full.
    page.goes("#/audit").await?;
    page.sees("no. 1").await?;
    page.types("Text", "OLD build").await?;
    until("the host's records are found", || async {
        page.press("Search").await?;
        Ok(page.sees_within("tool_completed", Duration::from_secs(5)).await.ok())
    })
    .await?;
    album.takes("audit-found").await?;
    scene::follows(&page, "tool_completed").await?;
    page.sees("Particulars").await?;
    page.sees(session.as_str()).await?;
    page.sees(&format!("{agent}, no.")).await?;
    album.takes("audit-record").await?;
    page.press("Close").await?;
    page.types("Text", "nobody ever wrote this").await?;
    page.press("Search").await?;
    page.sees("No such records").await?;

    // Proved whole; exported, one record a line.
    page.goes("#/audit/chains").await?;
    page.press("Verify all chains").await?;
    page.sees("chains are whole").await?;
    album.takes("chains-whole").await?;
    let folder = scene.central.path().join("downloads");
    std::fs::create_dir(&folder)?;
    page.downloads_to(&folder).await?;
    page.press("Download").await?;
    let file = folder.join("lanyard-audit.jsonl");
    let lines = until("the export is there", || async {
        let text = std::fs::read_to_string(&file)?;
        let lines: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        Ok((!lines.is_empty()).then_some(lines))
    })
    .await?;
    ensure!(lines.iter().any(|line| line.to_string().contains("old build")), "{lines:?}");
    ensure!(lines.iter().all(|line| line["hash"].is_string() && line["seq"].is_u64()), "{lines:?}");

    // One letter changed in the database is found, and its place is named.
    let database = scene.central.state_dir().join("central.sqlite");
    let tamper = "UPDATE audit_records SET event = replace(event, 'old build', 'old guild') \
                  WHERE event LIKE '%old build%' AND event_type = 'tool_completed'; SELECT changes();";
    let changed =
        Command::new("sqlite3").args(["-cmd", ".timeout 10000"]).arg(&database).arg(tamper).output().await?;
    let said = String::from_utf8_lossy(&changed.stdout).trim().to_owned();
    ensure!(changed.status.success() && said != "0", "{said} {}", String::from_utf8_lossy(&changed.stderr));
    page.press("Verify all chains").await?;
    page.sees("are broken").await?;
    page.sees("broken").await?;
    let broken = page.eval("return [...document.querySelectorAll('article')].filter(a => a.innerText.includes('broken')).map(a => a.innerText)").await?;
    let broken = broken.as_array().context("a list")?.clone();
    ensure!(
        broken.len() == 1 && broken[0].as_str().is_some_and(|text| text.contains(agent.as_str())),
        "{broken:?}"
    );
    album.takes("chains-broken").await?;

    // Figures of what was done.
    page.goes("#/telemetry").await?;
    page.sees_within("How long a model call takes", Duration::from_secs(60)).await?;
    page.sees("RunCommand").await?;
    page.sees("scripted-1").await?;
    album.takes("telemetry-figures").await?;
    album.verdict()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_task_changed_in_files_is_seen() -> Result<()> {
    let scene = Scene::begin().await?;
    let mut document = scene::careful();
    document["redactionRules"] =
        serde_json::json!([{"name": "keys", "pattern": "sk-[a-z]+", "replacement": "[key]"}]);
    scene::activates(&scene.admin, &document, "Keys stay on the machine").await?;
    let (machine, _) = scene.host("Study Linux", EVERYTHING).await?;
    let read = scene::gives(&machine, "Read the notes").await?;
    let session = scene::gives(&machine, "Change the notes").await?;
    // The machine's own policy asks before files are written.
    scene::answers(&machine, "approve").await?;
    for device in [Device::Phone, Device::Desktop] {
        let page = scene.operator(device).await?;
        let album = Album::of(&page);
        page.goes(&format!("#/sessions/{session}")).await?;
        page.sees(scene::DONE).await?;
        page.sees("view diff").await?;
        album.takes("session-changed").await?;
        page.press("changes").await?;
        page.sees("As the files stood").await?;
        page.sees("and changed with key [key]").await?;
        page.sees("notes.txt").await?;
        album.takes("session-diff").await?;
        let all = page.eval("return document.documentElement.outerHTML").await?.to_string();
        ensure!(!all.contains("sk-abcdef"), "what the policy keeps on the machine was sent");
        page.press("Close").await?;
        page.press("view diff").await?;
        page.sees("and changed with key [key]").await?;
        page.press("Close").await?;
        // A task that changed nothing has nothing to show.
        page.goes(&format!("#/sessions/{read}")).await?;
        page.sees("Read the notes").await?;
        page.sees(scene::DONE).await?;
        scene::has_none_of(&page, &["changes", "view diff"]).await?;
        album.verdict()?;
        page.close().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_timeline_ends_the_thread_goes_on() -> Result<()> {
    let scene = Scene::begin().await?;
    let (machine, _) = scene.host("Study Linux", EVERYTHING).await?;
    let session = scene::gives(&machine, "Read the notes").await?;
    let page = scene.operator(Device::Phone).await?;
    let album = Album::of(&page);
    page.goes(&format!("#/sessions/{session}")).await?;
    page.sees(scene::DONE).await?;
    ensure!(!page.text().await?.contains("The timeline ends here"));

    let mut document = scene::careful();
    document["timeline"] = Value::Bool(false);
    scene::activates(&scene.admin, &document, "Only the thread after each task").await?;
    // The session asks for it with its next task, whose beginning may still be sent under the one before.
    scene.is_heard().await?;
    let mut owner = machine.connect().await?;
    owner.start(&session, "Nothing in between", TaskOptions::default()).await?;
    scene::ends(&machine, &session).await?;
    owner.start(&session, "Nothing that is followed", TaskOptions::default()).await?;
    page.sees("The timeline ends here").await?;
    page.sees("Nothing that is followed").await?;
    album.takes("session-stopped").await?;
    album.verdict()
}
