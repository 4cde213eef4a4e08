//! Every page on a phone and on a desktop, light and dark: looked at by axe-core, no wider than its screen, and a picture
//! of it in `target/pictures`.

use anyhow::{Result, ensure};
use lanyard_tests::browser::Device;

use crate::scene::{self, Album, EVERYTHING, Scene};

async fn every_page(device: Device) -> Result<()> {
    let scene = Scene::begin().await?;
    let (machine, agent) = scene.host("Study Linux", EVERYTHING).await?;
    let (_laptop, _) = scene.host("Ada's laptop", &[]).await?;
    scene::activates(&scene.admin, &scene::careful(), "The same again, for the new hosts").await?;
    let done = scene::gives(&machine, "Read the notes").await?;
    scene::gives(&machine, "Clean up what the last build left").await?;
    let page = scene.operator(device).await?;
    let album = Album::of(&page);
    page.sees("1 approval waits").await?;
    album.takes("overview").await?;
    for (name, place, sees) in [
        ("session-done", format!("#/sessions/{done}"), scene::DONE),
        ("sessions", "#/sessions".to_owned(), "Clean up what the last build left"),
        ("approvals", "#/approvals".to_owned(), "Answer within"),
        ("hosts", "#/hosts".to_owned(), "Ada's laptop"),
        ("host", format!("#/hosts/{agent}"), "Read the notes"),
        ("enrolment", "#/enrolment".to_owned(), "used up"),
        ("pairings", "#/pairings".to_owned(), "Pairings"),
        ("policy", "#/policy".to_owned(), "2 of 2 hosts online have confirmed it"),
        ("policy-edit", "#/policy/edit".to_owned(), "It can be put in force as it is."),
        ("policy-compare", "#/policy/compare?from=1&to=2".to_owned(), "lines added"),
        ("policy-dry", "#/policy/try".to_owned(), "What would it get?"),
        ("jobs-none", "#/jobs".to_owned(), "No jobs yet"),
        ("job-new", "#/jobs/new".to_owned(), "Run a command"),
        ("audit", "#/audit".to_owned(), "no. 1"),
        ("chains", "#/audit/chains".to_owned(), "Records are kept for"),
        ("telemetry", "#/telemetry".to_owned(), "Telemetry"),
        ("people", "#/people".to_owned(), "Operator (you)"),
        ("tenants", "#/tenants".to_owned(), "you work here"),
        ("more", "#/more".to_owned(), "Policy"),
    ] {
        album.visits(name, &place, sees).await?;
    }
    let mut complaints = page.complaints().await?;
    // Whoever is not signed in yet is told so, and browsers write that down.
    complaints.retain(|complaint| !(complaint.contains("/me ") && complaint.contains("401")));
    ensure!(complaints.is_empty(), "{complaints:#?}");
    album.verdict()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_on_a_phone() -> Result<()> {
    every_page(Device::Phone).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_on_a_desktop() -> Result<()> {
    every_page(Device::Desktop).await
}
