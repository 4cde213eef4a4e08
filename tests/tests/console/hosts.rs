//! A host from its token to the end of its enrolment.

use anyhow::{Context, Result, ensure};
use lanyard_governance_api::endpoint::GetSession;
use lanyard_tests::browser::Device;
use lanyard_tests::central::until;

use crate::scene::{self, Album, EVERYTHING, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_enrolled_seen_and_revoked() -> Result<()> {
    let scene = Scene::begin().await?;
    let page = scene.operator(Device::Desktop).await?;
    let album = Album::of(&page);

    // A token, shown once.
    scene::follows(&page, "Make a token").await?;
    page.sees("No tokens").await?;
    page.types("What it is for", "Ada's study").await?;
    page.types("How many hosts", "0").await?;
    page.sees("A number from 1 to 1000.").await?;
    page.types("How many hosts", "1").await?;
    page.press("Make a token").await?;
    page.sees("It is not shown again").await?;
    page.sees(&format!("lanyard enroll {}", scene.central.url(0))).await?;
    album.takes("token").await?;
    let shown = page
        .eval("return [...document.querySelectorAll('dialog[open] pre')].map(code => code.textContent)")
        .await?;
    let token = shown.as_array().and_then(|all| {
        all.iter().find_map(|text| text.as_str().filter(|text| text.starts_with("lanyard-enroll.")))
    });
    let token = token.with_context(|| shown.to_string())?.to_owned();
    page.press("Close").await?;
    page.sees("used 0 of 1 time").await?;
    page.comes_true(&format!("return !document.documentElement.outerHTML.includes({token:?})")).await?;

    // The command, at the machine.
    let machine = scene::machine("Study Linux").await?;
    let agent = scene::enrolled(&machine, &scene.central.url(0), &token, EVERYTHING).await?;
    let again = scene::enrols(&scene::machine("Thief").await?, &scene.central.url(0), &token, &[]).await?;
    ensure!(again.code != Some(0), "a token was used twice: {again:?}");
    page.sees("used 1 of 1 time").await?;
    page.sees("used up").await?;

    // It appears, with what it says of itself.
    page.goes("#/hosts").await?;
    page.sees("1 of 1 host online").await?;
    page.sees("Study Linux").await?;
    album.takes("hosts-enrolled").await?;
    scene::follows(&page, "Study Linux").await?;
    page.sees("The machine").await?;
    for words in [
        "Host version",
        env!("CARGO_PKG_VERSION"),
        "Programs are confined",
        "Audit records waiting to be sent",
    ] {
        page.sees(words).await?;
    }
    page.sees("Takes jobs yes").await?;
    page.sees("Takes answers from here yes").await?;
    let session = scene::gives(&machine, "Nothing").await?;
    page.sees("Nothing").await?;
    album.takes("host-enrolled").await?;

    // The enrolment is ended, with a reason, and it stops cleanly.
    page.press("Revoke this host").await?;
    page.press("Revoke it").await?;
    page.sees("Say why").await?;
    page.types("Why", "it was lost on a train").await?;
    album.takes("revoke-host").await?;
    page.press("Revoke it").await?;
    page.sees("This host was revoked").await?;
    page.sees("it was lost on a train. It gets no more policy").await?;
    scene::has_none_of(&page, &["Revoke this host"]).await?;
    until("the host says so", || async {
        let said = machine.types(&["sync", "status"]).await?;
        Ok((said.out.contains("The centre ended this enrolment") && said.out.contains("lost on a train"))
            .then_some(()))
    })
    .await?;
    let refused = scene::gives(&machine, "Nothing").await;
    ensure!(refused.is_err(), "a session began after the revocation");
    // What it had sent is still there.
    scene.admin.get::<GetSession>(&[session.as_str()]).await?;
    ensure!(!agent.as_str().is_empty());
    page.goes("#/hosts").await?;
    page.sees("revoked").await?;
    album.verdict()
}
