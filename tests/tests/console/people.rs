//! Who may do what, and what is another tenant's.

use anyhow::{Context, Result, ensure};
use lanyard_tests::browser::{Device, Page};

use crate::scene::{self, Album, EVERYTHING, Scene};

/// Everything that changes something.
const DEEDS: [&str; 16] = [
    "Approve",
    "Deny",
    "Make a token",
    "Enrol a host",
    "Revoke",
    "Dispatch",
    "Cancel the",
    "Rename",
    "Edit",
    "Put ",
    "Save",
    "Invite",
    "Change",
    "Download",
    "Let it in",
    "Make it",
];

/// The link that is to be handed over.
async fn handed(page: &Page) -> Result<String> {
    page.comes_true("return !!document.querySelector('dialog[open] pre')").await?;
    let link = page.eval("return document.querySelector('dialog[open] pre').textContent.trim()").await?;
    Ok(link.as_str().context("a link")?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_sees_everything_and_changes_nothing() -> Result<()> {
    let scene = Scene::begin().await?;
    let (machine, agent) = scene.host("Study Linux", EVERYTHING).await?;
    let session = scene::gives(&machine, "Clean up").await?;
    let desk = scene.operator(Device::Desktop).await?;
    let wide = Album::of(&desk);
    desk.goes("#/people").await?;
    desk.types("Name", "Vera").await?;
    desk.press("Invite").await?;
    desk.sees("Hand this link to Vera").await?;
    let link = handed(&desk).await?;
    desk.press("Close").await?;
    desk.sees("has not signed in yet").await?;
    wide.takes("people-invited").await?;

    let token = link.rsplit('/').next().context("a token")?;
    ensure!(link == format!("{}#/sign-in/{token}", scene.console()), "{link}");
    let vera = scene.person(Device::Phone, token).await?;
    let album = Album::of(&vera);
    for (place, sees) in [
        ("#/overview".to_owned(), "1 approval waits"),
        ("#/hosts".to_owned(), "Study Linux"),
        (format!("#/hosts/{agent}"), "The machine"),
        ("#/enrolment".to_owned(), "Tokens"),
        (format!("#/sessions/{session}"), "Clean up"),
        ("#/approvals".to_owned(), "Your role sees questions; answering takes an approver."),
        ("#/pairings".to_owned(), "Pairings"),
        ("#/policy".to_owned(), "Version 2"),
        ("#/policy/edit".to_owned(), "changing it takes an admin"),
        ("#/jobs".to_owned(), "No jobs yet"),
        ("#/jobs/new".to_owned(), "Dispatching jobs takes an admin."),
        ("#/audit".to_owned(), "no. 1"),
        ("#/audit/chains".to_owned(), "Records are kept for"),
        ("#/people".to_owned(), "Vera (you)"),
        ("#/tenants".to_owned(), "Tenants are made by whoever runs this installation."),
    ] {
        vera.goes(&place).await?;
        vera.sees(sees).await.with_context(|| place.clone())?;
        scene::has_none_of(&vera, &DEEDS).await.with_context(|| place.clone())?;
    }
    album.takes("viewer").await?;

    // A link that was lost, or a sign-in that has ended: another link, for the same person.
    desk.press("Change Vera").await?;
    desk.press("New sign-in link").await?;
    desk.sees("Hand this link to Vera").await?;
    let another = handed(&desk).await?;
    ensure!(another != link, "{another} is no other link");
    desk.press("Close").await?;

    // Another role holds from the next look on; without any, the sign-in has ended.
    desk.press("Change Vera").await?;
    // The page behind the dialog has such a choice, too.
    desk.button("Remove from the tenant").await?;
    scene::choose(&desk, "Role", "Approver").await?;
    desk.press("Save the role").await?;
    desk.sees("Vera is approver now.").await?;
    vera.open(&format!("{}#/approvals", scene.console())).await?;
    vera.button("Approve").await?;
    desk.press("Change Vera").await?;
    desk.press("Remove from the tenant").await?;
    desk.press("Remove").await?;
    desk.sees("Removed. Their sign-ins have ended.").await?;
    vera.sees("Sign in to Lanyard").await?;
    wide.verdict()?;
    album.verdict()
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_see_nothing_of_each_other() -> Result<()> {
    let scene = Scene::begin().await?;
    let (_machine, agent) = scene.host("Study Linux", EVERYTHING).await?;
    let page = scene.operator(Device::Phone).await?;
    let album = Album::of(&page);
    page.goes("#/tenants").await?;
    page.types("Name", "Second house").await?;
    page.types("Id", "No Id").await?;
    page.sees("Lower-case letters, digits and - only.").await?;
    page.types("Id", "second").await?;
    page.press("Make it").await?;
    page.sees("Second house is there.").await?;
    album.takes("tenants-made").await?;
    page.press("Account").await?;
    scene::choose(&page, "Tenant", "Second house").await?;
    page.sees("You work in Second house now.").await?;
    for (place, sees) in [
        ("#/hosts".to_owned(), "No host is enrolled yet"),
        (format!("#/hosts/{agent}"), "There is nothing at this address"),
        ("#/sessions".to_owned(), "No sessions yet"),
        ("#/policy".to_owned(), "Version 1"),
    ] {
        page.goes(&place).await?;
        page.sees(sees).await.with_context(|| place.clone())?;
        ensure!(!page.text().await?.contains("Study Linux"), "{place}: {}", page.text().await?);
    }
    album.verdict()
}
