//! Two phones of one host: both are asked, the first answer counts, and both see the same.

use anyhow::{Result, ensure};
use lanyard_protocol::event::EventBody;
use lanyard_tests::browser::Page;
use lanyard_tests::gateway::errands;
use serde_json::Value;

use crate::scene::{self, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_answer_of_two_phones_counts() -> Result<()> {
    let scene = Scene::of("Shared").await?;
    let (one, two) = (scene.phone().await?, scene.phone().await?);
    let session = scene.gives(&errands::asking("a")).await?;
    for page in [&one, &two] {
        scene::opens(page, &session).await?;
        page.sees("asked-a").await?;
        page.button("Approve once").await?;
    }
    one.press("Approve once").await?;
    // Both know who, and nobody is asked any more.
    one.sees("approved by you").await?;
    two.sees("approved by another device").await?;
    for page in [&one, &two] {
        page.sees(errands::ASKED).await?;
        page.loses("Approve once").await?;
        scene::ended(page, 1).await?;
    }
    ensure!(
        scene::rows(&one).await? == scene::rows(&two).await?,
        "{:#?} {:#?}",
        one.text().await?,
        two.text().await?
    );
    scene::is_whole(&one, &scene.log(&session).await?).await?;
    // Who was too late finds it among what was answered, and no question.
    two.goes("#/approvals").await?;
    two.sees("Nothing waits for you").await?;
    two.sees("Approved by another device").await?;

    // Both at the same moment, with different answers.
    let session = scene.gives(&errands::asking("b")).await?;
    for page in [&one, &two] {
        scene::opens(page, &session).await?;
        page.sees("asked-b").await?;
        page.comes_true(
            "return !!document.querySelector('.ask .buttons') && !document.querySelector('[data-fresh]')",
        )
        .await?;
    }
    let (yes, no) = tokio::try_join!(taps(&one, "Approve once"), taps(&two, "Deny"))?;
    ensure!(yes || no, "nobody could answer");
    for page in [&one, &two] {
        scene::ended(page, 1).await?;
        page.loses("Approve once").await?;
    }
    ensure!(
        scene::rows(&one).await? == scene::rows(&two).await?,
        "{:#?} {:#?}",
        one.text().await?,
        two.text().await?
    );
    let log = scene.log(&session).await?;
    let answers = log.iter().filter(|event| matches!(event.body, EventBody::ApprovalResolved(_))).count();
    ensure!(answers == 1, "{log:#?}");
    let done = scene.host.workspace().join(errands::asked_file("b")).exists();
    let said = if done {
        ("approved by you", "approved by another device")
    } else {
        ("denied by another device", "denied by you")
    };
    one.sees(said.0).await?;
    two.sees(said.1).await?;
    // An answer that came too late is said to have come too late.
    if yes && no {
        let late = if done { &two } else { &one };
        late.sees("your answer did not count").await?;
    }
    Ok(())
}

/// Taps a button of the question if it is still there, and waits for nothing.
async fn taps(page: &Page, name: &str) -> Result<bool> {
    let script = format!(
        "const button = [...document.querySelectorAll('.ask .buttons button')].find(b => b.innerText.trim() === {name:?}); \
         if (!button || button.disabled) return false; button.click(); return true;"
    );
    Ok(page.eval(&script).await? == Value::Bool(true))
}
