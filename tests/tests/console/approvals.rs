//! What is asked at the centre is what will run, and what is answered there is a proposal that the host takes or not.

use anyhow::{Result, ensure};
use lanyard_tests::browser::{Device, Page};
use serde_json::json;

use crate::scene::{self, Album, EVERYTHING, Scene};

async fn opens(page: &Page, session: &lanyard_protocol::id::SessionId) -> Result<()> {
    page.goes(&format!("#/sessions/{session}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_while_the_timeline_is_watched() -> Result<()> {
    let scene = Scene::begin().await?;
    let (machine, _) = scene.host("Study Linux", EVERYTHING).await?;
    let desk = scene.operator(Device::Desktop).await?;
    let phone = scene.operator(Device::Phone).await?;
    let (wide, narrow) = (Album::of(&desk), Album::of(&phone));

    // Exactly what will run, each word by itself.
    let session = scene::gives(&machine, "Clean up what the last build left").await?;
    phone.sees("1 approval waits").await?;
    narrow.takes("overview-asked").await?;
    scene::follows(&phone, "1 approval waits").await?;
    phone.sees("Answer within").await?;
    let argv = "return [...document.querySelectorAll('.ask-argv .arg')].map(word => word.textContent)";
    ensure!(phone.eval(argv).await? == json!(["rm", "-rv", "'old build'"]), "{}", phone.eval(argv).await?);
    for words in ["Study Linux", "cannot be undone", "In", "Network", "This is a proposal"] {
        phone.sees(words).await?;
    }
    narrow.takes("approval").await?;
    opens(&desk, &session).await?;
    desk.sees("Clean up what the last build left").await?;
    desk.sees("Live").await?;
    wide.takes("session-asks").await?;
    phone.types("Why (if you like)", "nobody needs it").await?;
    phone.press("Approve").await?;
    phone.sees("Nothing waits for a person").await?;
    phone.sees("Approved by Operator").await?;
    scene::follows(&phone, "Approved by Operator").await?;
    phone.sees("the host has taken that as the answer. “nobody needs it”").await?;
    narrow.takes("approval-accepted").await?;
    desk.sees("removed directory").await?;
    desk.sees(scene::DONE).await?;
    wide.takes("session").await?;
    ensure!(!machine.workspace().join("old build").exists(), "it did not run");

    // Denied: it does not run, and the model hears why.
    std::fs::create_dir(machine.workspace().join("old build"))?;
    let session = scene::gives(&machine, "Clean up again").await?;
    opens(&desk, &session).await?;
    phone.goes("#/approvals").await?;
    phone.types("Why (if you like)", "the tester still reads it").await?;
    phone.press("Deny").await?;
    phone.sees("Denied by Operator: “the tester still reads it”").await?;
    desk.comes_true("return [...document.querySelectorAll('.answer')].some(a => a.innerText.includes('the tester still reads it'))").await?;
    ensure!(machine.workspace().join("old build").exists(), "it ran although it was denied");
    phone.sees("Nothing waits for a person").await?;

    // The output of a command is seen while it runs, and the session by its state.
    let session = scene::gives(&machine, "Watch it").await?;
    phone.press("Approve").await?;
    opens(&desk, &session).await?;
    desk.sees("runs · approved by you").await?;
    phone.goes("#/sessions").await?;
    phone.sees("working").await?;
    narrow.takes("sessions-working").await?;
    scene::enough(&machine)?;
    desk.sees(scene::DONE).await?;
    desk.sees("line 1").await?;
    wide.verdict()?;
    narrow.verdict()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_owner_has_not_allowed_cannot_be_answered() -> Result<()> {
    let scene = Scene::begin().await?;
    let (machine, _) = scene.host("Private laptop", &[]).await?;
    let page = scene.operator(Device::Phone).await?;
    let album = Album::of(&page);
    scene::gives(&machine, "Clean up").await?;
    page.goes("#/approvals").await?;
    page.sees("The host's owner has not allowed answers from here").await?;
    page.sees("old build").await?;
    scene::has_none_of(&page, &["Approve", "Deny"]).await?;
    album.takes("approval-not-allowed").await?;
    // At the machine it can, and the page says who it was.
    scene::answers(&machine, "approve").await?;
    page.sees("Nothing waits for a person").await?;
    page.sees("Approved by the owner at the machine").await?;
    album.verdict()
}
