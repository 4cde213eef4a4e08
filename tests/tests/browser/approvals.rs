//! What is asked is what will happen, and an answer is what was pressed.

use anyhow::{Context, Result, ensure};
use lanyard_tests::gateway::errands;
use serde_json::json;

use crate::scene::{self, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_exact() -> Result<()> {
    let scene = Scene::of("Asker").await?;
    let phone = scene.phone().await?;

    // Each word stands for itself; a denial says why, and the model hears it.
    let session = scene.gives(&errands::quoting("q")).await?;
    scene::opens(&phone, &session).await?;
    phone.button("Approve once").await?;
    let shown = phone
        .eval("return [...document.querySelectorAll('.ask-argv .arg')].map(word => word.textContent)")
        .await?;
    ensure!(shown == json!(["printf", "'[%s]'", "'two words'", r"'it'\''s'", "''", "q"]), "{shown}");
    for words in ["risk", "In", "Network", "Sandbox", "Answer within", "or it is denied"] {
        phone.sees(words).await?;
    }
    phone.press("Deny, and say why").await?;
    phone.types("Why", "take the other road").await?;
    phone.press("Deny").await?;
    phone.sees("denied by you: take the other road").await?;
    phone.sees("I was told:").await?;
    phone.comes_true("return [...document.querySelectorAll('.answer')].some(a => a.innerText.includes('take the other road'))").await?;

    // "Do not ask again" is a second step that says what it covers, and covers no more.
    let session = scene.gives(&errands::twice("t")).await?;
    scene::opens(&phone, &session).await?;
    phone.press("Approve, and do not ask again for exactly this").await?;
    phone.sees("Runs without asking again until this task ends").await?;
    scene::choose(&phone, "In this session").await?;
    phone.sees("Runs without asking again in this session").await?;
    phone.press("Approve and remember").await?;
    phone.sees("approved by a remembered answer").await?;
    phone.sees("done twice").await?;
    let rules = scene.host.asks(&["rules"]).await?;
    ensure!(rules["rules"].as_array().is_some_and(|rules| rules.len() == 1), "{rules}");
    phone.goes("#/approvals").await?;
    phone.press("Remembered answers …").await?;
    phone.press("Ask again").await?;
    phone.sees("Nothing is remembered").await?;
    phone.press("Close").await?;

    // Answered in the terminal, the question goes away and says who it was.
    scene.gives(&errands::asking("e")).await?;
    phone.sees("asked-e").await?;
    phone.button("Approve once").await?;
    let question = scene.questions().await?.first().cloned().context("nothing waits")?;
    let id = question["request"]["approvalId"].as_str().or(question["approvalId"].as_str());
    scene.host.asks(&["approve", id.with_context(|| question.to_string())?]).await?;
    phone.sees("Approved by the owner at the machine").await?;
    phone.sees("Nothing waits for you").await?;

    // Who may only look is told so.
    scene.host.asks(&["devices", "scopes", &scene.device().await?, "observe"]).await?;
    phone.sees("This device may look, not answer").await?;
    scene.gives(&errands::asking("l")).await?;
    phone.sees("asked-l").await?;
    phone.sees("This device may look, not answer. Somebody with the right to approve can").await?;
    ensure!(phone.eval("return document.querySelector('.ask .buttons') === null").await? == true);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_nobody_answers_is_denied() -> Result<()> {
    let scene = Scene::with("Patient", &[("LANYARD_APPROVAL_SECONDS", "5")]).await?;
    let phone = scene.phone().await?;
    // It follows the host, so that it hears of the question while it waits.
    phone.sees("What should this machine do?").await?;
    let session = scene.gives(&errands::quoting("late")).await?;
    scene::opens(&phone, &session).await?;
    phone.sees("nobody answered in time: denied").await?;
    phone.sees("I was told:").await?;
    phone.goes("#/approvals").await?;
    phone.sees("Nothing waits for you").await?;
    phone.sees("Nobody answered in time, so it was denied.").await
}
