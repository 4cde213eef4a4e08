//! Files of the host on the phone, and files of the phone on the host.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use fantoccini::Locator;
use lanyard_tests::browser::Page;
use lanyard_tests::gateway::errands;

use crate::scene::{self, Scene};

/// A picture of one pixel.
const PNG: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, b'I', b'H', b'D', b'R', 0, 0, 0, 1, 0, 0, 0,
    1, 8, 6, 0, 0, 0, 0x1f, 0x15, 0xc4, 0x89, 0, 0, 0, 13, b'I', b'D', b'A', b'T', 0x78, 0x9c, 0x63, 0xf8,
    0xcf, 0xc0, 0xf0, 0x1f, 0, 5, 0, 1, 0xff, 0x89, 0x99, 0x3d, 0x1d, 0, 0, 0, 0, b'I', b'E', b'N', b'D',
    0xae, 0x42, 0x60, 0x82,
];

/// More than two pieces of a download, and nothing that looks like text.
fn data() -> Vec<u8> {
    (0..700_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_looked_at_and_taken_along() -> Result<()> {
    let scene = Scene::of("Archive").await?;
    let work = scene.host.workspace();
    std::fs::create_dir(work.join("docs"))?;
    std::fs::write(work.join("docs/notes.txt"), "first line\nsecond <b>line</b>\n")?;
    std::fs::write(work.join("docs/dot.png"), PNG)?;
    std::fs::write(work.join("docs/data.bin"), data())?;
    std::fs::write(work.join(".env"), "TOKEN=hushed")?;
    let phone = scene.phone().await?;
    let folder = tempfile::tempdir()?;
    phone.downloads_to(folder.path()).await?;

    phone.press("Files").await?;
    phone.press_row("/work").await?;
    phone.press_row("docs").await?;
    phone.press_row("notes.txt").await?;
    phone.sees("second <b>line</b>").await?;
    phone.press("Back").await?;
    phone.press_row("dot.png").await?;
    phone.comes_true("const picture = document.querySelector('img.picture'); return !!picture && picture.naturalWidth === 1").await?;
    phone.press("Back").await?;
    phone.press_row("data.bin").await?;
    phone.sees("This is data, not text").await?;
    phone.press("Download").await?;
    let taken = folder.path().join("data.bin");
    scene::until("the download is complete", async || {
        Ok(std::fs::read(&taken).ok().as_deref() == Some(&data()))
    })
    .await?;

    // What tasks may not read without being asked, nobody reads here.
    phone.press("Back").await?;
    phone.sees("dot.png").await?;
    phone.press("Back").await?;
    phone.press_row(".env").await?;
    phone.sees("The host's policy does not let its tools read this").await?;
    ensure!(!phone.text().await?.contains("hushed"));
    // And what a page asks for by itself is held to the same.
    phone.goes("#/files?path=/etc/passwd").await?;
    phone.sees("lies in no workspace").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_takes_files_a_model_and_a_follow_up() -> Result<()> {
    let scene = Scene::of("Workbench").await?;
    let phone = scene.phone().await?;
    let folder = tempfile::tempdir()?;
    let text = folder.path().join("letter & plan.txt");
    std::fs::write(&text, "what the phone knows")?;
    let photo = folder.path().join("photo.png");
    std::fs::write(&photo, PNG)?;

    attach(&phone, &text).await?;
    attach(&phone, &photo).await?;
    phone.sees("letter & plan.txt").await?;
    phone.sees("photo.png").await?;
    scene::options(&phone).await?;
    scene::choose(&phone, "/work").await?;
    scene::choose(&phone, errands::OTHER_MODEL).await?;
    phone.press("Close").await?;
    phone.sees(errands::OTHER_MODEL).await?;
    phone.types("Give this machine a task", &errands::knowing()).await?;
    phone.press("Start the task").await?;
    phone.sees(&format!("I am {}", errands::OTHER_MODEL)).await?;
    let put: Vec<PathBuf> = walk(&scene.host.workspace().join(".lanyard/attachments"))?;
    let has = |content: &[u8]| put.iter().any(|path| std::fs::read(path).is_ok_and(|found| found == content));
    ensure!(put.len() == 2 && has(b"what the phone knows") && has(PNG), "{put:?}");

    // The next task of the session, and its end before it has one.
    phone.types("What next?", &errands::asking("f")).await?;
    phone.press("Give the next task").await?;
    phone.sees("asked-f").await?;
    phone.press("More").await?;
    phone.press_row("Cancel the task").await?;
    phone.sees("Cancelled by you").await?;
    phone.loses("Approve once").await?;
    phone.field("What next?").await?;
    ensure!(!scene.host.workspace().join(errands::asked_file("f")).exists());
    Ok(())
}

/// Chooses a file, as the browser's own dialog does.
async fn attach(page: &Page, path: &std::path::Path) -> Result<()> {
    page.button("Attach a file or photo").await?;
    let picker = page.client().find(Locator::Css("input[type=file]")).await?;
    picker.send_keys(path.to_str().context("a path")?).await?;
    Ok(())
}

/// Every file below a folder.
fn walk(folder: &std::path::Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() { found.extend(walk(&path)?) } else { found.push(path) }
    }
    Ok(found)
}
