//! Work that is dispatched from the console, within what the machine's owner allows.

use anyhow::Result;
use lanyard_governance_api::people::Role;
use lanyard_tests::browser::{Device, Page};

use crate::scene::{self, Album, EVERYTHING, Scene};

async fn reads(page: &Page, file: &str) -> Result<()> {
    page.goes("#/jobs/new").await?;
    scene::choose(page, "Tool", "Read a file").await?;
    page.types("File", file).await?;
    page.types("What it is for", &format!("Look at {file}")).await?;
    page.sees("ReadFile gets exactly this:").await?;
    page.press("Dispatch").await?;
    page.sees("Not claimed after").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_denied_done_watched_and_cancelled() -> Result<()> {
    let scene = Scene::begin().await?;
    let (machine, _) = scene.host("Build box", EVERYTHING).await?;
    let desk = scene.operator(Device::Desktop).await?;
    let album = Album::of(&desk);

    // The machine's own policy is not overruled.
    reads(&desk, "/etc/shadow").await?;
    desk.sees("Policy or a person refused it. It never ran.").await?;
    album.takes("job-denied").await?;

    // What is allowed is done, and its result and its timeline are there.
    reads(&desk, "notes.txt").await?;
    desk.sees("It did what was asked.").await?;
    desk.sees("found from afar").await?;
    album.takes("job").await?;
    scene::follows(&desk, "Its timeline").await?;
    desk.sees("notes.txt").await?;
    desk.sees("It was opened for a job").await?;

    // A command asks; whoever dispatched it does not answer.
    desk.goes("#/jobs/new").await?;
    let command = "i=0; while [ ! -e enough ]; do i=$((i+1)); echo line $i; sleep 0.2; done";
    desk.types("Command", command).await?;
    desk.press_row("Let a shell run it").await?;
    desk.types("What it is for", "Watch the queue").await?;
    album.takes("job-new").await?;
    desk.press("Dispatch").await?;
    desk.sees("It has not run.").await?;
    scene::follows(&desk, "the approvals").await?;
    desk.sees("You dispatched the job that asks. Somebody else has to answer.").await?;
    scene::has_none_of(&desk, &["Approve", "Deny"]).await?;
    let token = scene.invited("Bob", Role::Approver).await?;
    let bob = scene.person(Device::Phone, &token).await?;
    bob.goes("#/approvals").await?;
    bob.press("Approve").await?;
    bob.sees("Nothing waits for a person").await?;

    // It is seen while it runs, and stopped.
    desk.goes("#/jobs").await?;
    desk.sees("running").await?;
    album.takes("jobs").await?;
    scene::follows(&desk, "Watch the queue").await?;
    desk.sees("It runs on the host.").await?;
    scene::follows(&desk, "Its timeline").await?;
    desk.sees("runs · approved by Bob").await?;
    bob.goes("#/jobs").await?;
    scene::has_none_of(&bob, &["Dispatch a job"]).await?;
    scene::follows(&bob, "Watch the queue").await?;
    bob.press("Cancel the job").await?;
    bob.press("Cancel it").await?;
    bob.sees("It was taken back before it ran, or stopped.").await?;
    desk.sees("cancelled").await?;
    drop(machine);
    album.verdict()
}
