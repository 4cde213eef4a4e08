//! A stream does not shake: what is read stays where it is.

use anyhow::{Context, Result, ensure};
use lanyard_protocol::session::TaskOptions;
use lanyard_tests::gateway::errands;

use crate::scene::{self, Scene};

/// Sum of the shifts that nobody caused by a press (<https://web.dev/articles/cls>; 0.1 counts as good).
const STILL: f64 = 0.02;

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_moves_nothing_that_is_read() -> Result<()> {
    let scene = Scene::of("Steady").await?;
    let page = scene.phone().await?;
    // The page is there before the first word: all of the stream is for looking.
    let mut owner = scene.host.connect().await?;
    let session = owner.session(&scene.host.workspace()).await?.session_id;
    scene::opens(&page, &session).await?;
    page.sees("No task yet").await?;
    owner.start(&session, &errands::telling("river"), TaskOptions::default()).await?;
    page.sees("Line 1 of river").await?;
    page.eval(
        "window.moved = []; new PerformanceObserver(list => list.getEntries().forEach(entry => { \
           if (!entry.hadRecentInput) moved.push([entry.value, entry.sources.map(s => s.node?.outerHTML?.slice(0, 80))]); \
         })).observe({ type: 'layout-shift' });",
    )
    .await?;
    // It is followed while it grows past the screen.
    let at_end = "const box = document.querySelector('.timeline').closest('.page-scroll'); \
                  return box.scrollHeight > box.clientHeight * 1.5 && box.scrollHeight - box.scrollTop - box.clientHeight < 30";
    page.comes_true(at_end).await?;
    // The reader goes back, and stays there.
    page.eval("const box = document.querySelector('.page-scroll'); box.scrollTop = 60;").await?;
    page.sees("New below").await?;
    let before = "return document.querySelector('.page-scroll').scrollTop";
    let first = page.eval(before).await?;
    page.comes_true("return document.querySelector('.timeline').textContent.includes('That was all.')")
        .await?;
    page.comes_true("return !!document.querySelector('.timeline article.end')").await?;
    ensure!(page.eval(before).await? == first, "the reader was moved from {first}");
    let moved = page.eval("return window.moved").await?;
    let shifts = moved.as_array().context("a list")?;
    let sum: f64 = shifts.iter().filter_map(|shift| shift[0].as_f64()).sum();
    ensure!(sum < STILL, "the page moved by {sum}: {moved:#}");
    page.press("New below").await?;
    page.sees("That was all.").await?;
    page.comes_true(at_end).await?;
    page.loses("New below").await
}
