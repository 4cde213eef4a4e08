//! The policy is edited, tried, put in force, compared, taken back and revoked, and hosts do as it says.

use anyhow::{Result, ensure};
use lanyard_governance_api::endpoint::CurrentPolicy;
use lanyard_tests::browser::{Device, Page};

use crate::scene::{self, Album, EVERYTHING, Scene};

/// The document's field.
const TEXT: &str = "The document as JSON";

async fn side(page: &Page, name: &str) -> Result<()> {
    scene::choose(page, "Look at it as", name).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_written_tried_put_in_force_and_taken_back() -> Result<()> {
    let scene = Scene::begin().await?;
    let (_machine, _) = scene.host("Study Linux", EVERYTHING).await?;
    let page = scene.operator(Device::Desktop).await?;
    let album = Album::of(&page);
    page.goes("#/policy").await?;
    page.sees("Version 2").await?;

    // The form and the text are one document.
    scene::follows(&page, "Edit it").await?;
    page.sees("It can be put in force as it is.").await?;
    scene::choose(&page, "Write files", "Asks first").await?;
    album.takes("policy-form").await?;
    side(&page, "Text").await?;
    scene::replaces(&page, TEXT, "\"bundleSeconds\": 3600", "\"bundleSeconds\": 5").await?;
    page.sees("must be mended").await?;
    let line = page
        .eval(
            "const lines = document.querySelector('textarea.json').value.split('\\n'); \
               return lines.findIndex(line => line.includes('bundleSeconds')) + 1",
        )
        .await?;
    page.sees(&format!("Line {line}")).await?;
    album.takes("policy-text").await?;
    scene::replaces(&page, TEXT, "\"bundleSeconds\": 5", "\"bundleSeconds\": 900").await?;
    page.loses("must be mended").await?;
    scene::replaces(&page, TEXT, "{", "{ nope").await?;
    page.sees("The text cannot be read").await?;
    page.sees("Line 1").await?;
    scene::replaces(&page, TEXT, "{ nope", "{").await?;
    page.sees("It can be put in force as it is.").await?;
    ensure!(
        page.eval("return JSON.parse(document.querySelector('textarea.json').value).capabilities.find(c => c.name === 'File.Write').requiresApproval").await?
            == true
    );
    side(&page, "Changes").await?;
    page.sees("\"bundleSeconds\": 900").await?;

    // What it would do, before it is in force.
    side(&page, "Try it").await?;
    page.types("Command", "rm -rf build").await?;
    page.press("What would it get?").await?;
    page.sees("It would be done: asks first").await?;
    album.takes("policy-try").await?;
    scene::choose(&page, "What to try", "File").await?;
    page.types("File", "/home/alice/.ssh/id_ed25519").await?;
    page.press("What would it get?").await?;
    page.sees("It would be done: never").await?;

    // In force, and every host says that it has heard.
    page.types("What changes, and why", "Writing asks, and bundles are short").await?;
    page.press("Save and put in force").await?;
    page.sees("Version 3 is in force. Hosts hear of it now.").await?;
    page.sees("1 of 1 host online have confirmed it").await?;
    album.takes("policy-in-force").await?;
    page.press("Compare version 2 with the one in force").await?;
    page.sees("\"bundleSeconds\": 900").await?;
    album.takes("policy-compared").await?;
    page.goes("#/policy").await?;
    page.press("Put in force: version 2").await?;
    page.press("Put it in force").await?;
    page.sees("Version 2 is in force, as epoch").await?;
    let now = scene.admin.get::<CurrentPolicy>(&[]).await?;
    ensure!(now.active.is_some_and(|active| active.version == 2));

    // Somebody else was faster: nothing is lost, nothing is overwritten unseen.
    page.goes("#/policy/edit").await?;
    page.sees("From version 2.").await?;
    scene::choose(&page, "Go online", "Asks first").await?;
    let mut theirs = scene::careful();
    theirs["offlineGraceSeconds"] = 300.into();
    scene::activates(&scene.admin, &theirs, "A shorter grace").await?;
    page.types("What changes, and why", "Mine").await?;
    page.press("Save and put in force").await?;
    page.sees("Somebody put version 4 in force meanwhile").await?;
    page.sees("From theirs to yours:").await?;
    album.takes("policy-conflict").await?;
    page.press("Go on from theirs").await?;
    page.press("Save and put in force").await?;
    page.sees("Version 5 is in force").await?;
    album.verdict()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_policy_pauses_what_runs_and_says_why() -> Result<()> {
    let scene = Scene::begin().await?;
    let (machine, _) = scene.host("Study Linux", EVERYTHING).await?;
    let page = scene.operator(Device::Phone).await?;
    let desk = scene.operator(Device::Desktop).await?;
    let album = Album::of(&page);
    let session = scene::gives(&machine, "Watch it").await?;
    scene::answers(&machine, "approve").await?;
    desk.goes(&format!("#/sessions/{session}")).await?;
    desk.sees("runs · approved by the owner at the machine").await?;

    page.goes("#/policy").await?;
    page.press("Revoke the policy").await?;
    page.types("Why", "a key was stolen").await?;
    album.takes("policy-revoke").await?;
    page.press("Revoke it").await?;
    page.sees("No policy is in force: it was revoked").await?;
    page.sees("a key was stolen").await?;
    album.takes("policy-revoked").await?;
    desk.sees("It is paused").await?;
    desk.sees("a key was stolen").await?;
    let wide = Album::of(&desk);
    wide.takes("session-paused").await?;
    let fresh = scene::gives(&machine, "Nothing").await;
    ensure!(fresh.is_err_and(|error| format!("{error:#}").contains("a key was stolen")));
    page.goes("#/overview").await?;
    page.sees("No policy is in force: enrolled hosts stand still").await?;
    page.sees("Paused sessions").await?;

    // A version put in force again lets work go on.
    page.goes("#/policy").await?;
    page.press("Put in force: version 2").await?;
    page.press("Put it in force").await?;
    // That hosts have confirmed is said of the revocation too, until it is gone.
    page.sees("Version 2 is in force, as epoch").await?;
    page.loses("No policy is in force").await?;
    page.sees("1 of 1 host online have confirmed it").await?;
    scene::gives(&machine, "Nothing").await?;
    wide.verdict()?;
    album.verdict()
}
