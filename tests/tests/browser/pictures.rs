//! Every page as people see it: on a phone and on a desktop, light and dark. Each is looked at by axe-core, fits its
//! screen, and leaves a picture in `target/pictures`; the user guide's are made here.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use lanyard_protocol::session::TaskOptions;
use lanyard_tests::browser::{Browser, Device, Page};
use lanyard_tests::gateway::{Recorded, Script, ScriptedGateway, Turn, call, calls, say};
use lanyard_tests::machine::Machine;
use serde_json::json;

use crate::scene;

/// A task of which most pictures tell.
const TASK: &str = "Refactor the API client and add tests. Keep the public names.";

/// What it ends with.
const ANSWER: &str = "Retries now wait between attempts and stop at errors that will not go away.\n\n\
    - `Retry::run` sleeps with jitter, at most `CAP`\n- errors that cannot be retried are returned at once\n\n\
    ```rust\nErr(error) if !error.retryable() => return Err(error),\n```\n\nThe public names are as they were.";

const CLIENT: &str = "pub struct Client {\n    retry: Retry,\n}\n\nimpl Client {\n    pub fn get(&self, path: &str) -> \
    Result<Answer, Error> {\n        self.retry.run(|| self.once(path))\n    }\n}\n";

const RETRY: &str = "pub fn run(&self) -> Result<Answer, Error> {\n    let mut wait = self.base;\n    for _ in 0..self.tries {\n        \
    match call() {\n            Ok(answer) => return Ok(answer),\n            Err(_) => sleep(wait),\n        }\n        \
    wait = (wait * 2).min(CAP);\n    }\n    Err(Error::Exhausted)\n}\n";

fn script(request: &Recorded) -> Turn {
    let results = request.tool_results().len();
    let prompt = request.last("user");
    if prompt.starts_with("Why is the backup slow") {
        return say("The backup reads every file again because the clock of the disk is an hour ahead.");
    }
    if prompt.starts_with("Export the photos") {
        return match results {
            0 => call(
                "RunCommand",
                json!({"argv": ["tar", "czf", "photos of March.tar.gz", "photos/2026-03"]}),
            ),
            _ => say("Done."),
        };
    }
    match results {
        0 => calls(&[
            ("ReadFile", json!({"path": "src/client.rs"})),
            ("ReadFile", json!({"path": "src/retry.rs"})),
        ]),
        2 => call(
            "EditFile",
            json!({"path": "src/retry.rs", "oldText": "            Err(_) => sleep(wait),\n",
                "newText": "            Err(error) if !error.retryable() => return Err(error),\n            Err(_) => sleep(jitter(wait)),\n"}),
        ),
        3 => call("RunCommand", json!({"argv": ["grep", "-rn", "retry", "src"]})),
        _ => say(ANSWER),
    }
}

async fn machine(gateway: &ScriptedGateway) -> Result<Machine> {
    let mut machine = Machine::here("Study Linux")?;
    machine.works_in("code/atlas")?;
    let source = machine.workspace().join("src");
    std::fs::create_dir(&source)?;
    std::fs::write(source.join("client.rs"), CLIENT)?;
    std::fs::write(source.join("retry.rs"), RETRY)?;
    std::fs::write(machine.workspace().join("README.md"), "# Atlas\n\nMaps for people who walk.\n")?;
    machine.behind(&gateway.url());
    machine.host_up().await?;
    Ok(machine)
}

/// One browser's album.
struct Album<'a> {
    page: &'a Page,
    /// What the names of its pictures begin with.
    of: &'static str,
    /// What is wrong with them; all of it is told at once.
    wrong: &'a Mutex<Vec<String>>,
}

impl Album<'_> {
    /// The page as it is now, in both themes.
    async fn takes(&self, name: &str) -> Result<()> {
        for (theme, dark) in [("light", false), ("dark", true)] {
            self.page.dark(dark).await?;
            // What appears slowly is there.
            self.page
                .comes_true("return document.getAnimations().every(a => a.playState !== 'running')")
                .await?;
            let path = Page::pictures()?.join(format!("{}-{name}-{theme}.png", self.of));
            self.page.picture(&path).await?;
            let looked = self.page.is_accessible().await;
            self.notes(looked.with_context(|| format!("{} {name} {theme}", self.of)));
        }
        self.page.dark(false).await?;
        let fits = self.page.fits().await;
        self.notes(fits.with_context(|| format!("{} {name}", self.of)));
        Ok(())
    }

    fn notes(&self, looked: Result<()>) {
        if let Err(wrong) = looked {
            self.wrong.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{wrong:#}"));
        }
    }

    /// Goes to a place, waits for what is to be seen there, and takes it.
    async fn visits(&self, name: &str, place: &str, sees: &str) -> Result<()> {
        self.page.goes(place).await?;
        self.page.sees(sees).await.with_context(|| name.to_owned())?;
        self.takes(name).await
    }

    /// What anybody may look at.
    async fn walks(&self, workspace: &str) -> Result<()> {
        self.visits("approvals", "#/approvals", "tar").await?;
        self.visits("workspaces", "#/files", "atlas").await?;
        self.visits("files", &format!("#/files?path={workspace}/src"), "retry.rs").await?;
        self.visits("file", &format!("#/files?path={workspace}/src/retry.rs"), "wait").await?;
        self.visits("host", "#/host", "Tasks in seven days").await?;
        self.visits("health", "#/host/health", "Looked at").await?;
        self.visits("policy", "#/host/policy", "Who may ask it").await?;
        self.visits("hosts", "#/hosts", "Addresses of this host").await?;
        self.visits("settings", "#/settings", "This device's key").await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_in_both_themes_and_sizes() -> Result<()> {
    let _turn = scene::turn().await?;
    let wrong = Mutex::new(Vec::new());
    let gateway = ScriptedGateway::start(Script::by(script));
    let host = machine(&gateway).await?;
    let browser = Browser::start().await?;
    let workspace = host.workspace().to_string_lossy().into_owned();

    // A phone joins.
    let phone = browser.page(Device::Phone).await?;
    let album = Album { page: &phone, of: "phone", wrong: &wrong };
    let mut window = host.opens_window().await?;
    let origin = window.link.split_once("/#").context("a link")?.0.to_owned();
    phone.open(&origin).await?;
    phone.sees("Code on the host").await?;
    album.takes("code").await?;
    phone.open(&window.link).await?;
    phone.sees("Waiting for the host to approve").await?;
    album.takes("join").await?;
    scene::let_in(&phone, &host, &mut window).await?;
    drop(window);

    // The host has some history, and something to ask.
    let mut owner = host.connect().await?;
    for prompt in ["Why is the backup slow?", "Export the photos from March"] {
        let session = owner.session(&host.workspace()).await?.session_id;
        owner.start(&session, prompt, TaskOptions::default()).await?;
    }
    let session = owner.session(&host.workspace()).await?.session_id;
    owner.start(&session, TASK, TaskOptions::default()).await?;
    album.visits("sessions", "#/sessions", "Refactor the API client").await?;
    phone.sees("backup").await?;

    // It asks twice, and ends.
    album.visits("approval-diff", &format!("#/sessions/{session}"), "Approve change").await?;
    phone.press("Approve change").await?;
    phone.sees("grep").await?;
    album.takes("approval-command").await?;
    phone.press("Approve once").await?;
    phone.sees("The public names are as they were.").await?;
    album.takes("session").await?;
    album.walks(&workspace).await?;

    // The smallest phone that counts: nothing sticks out.
    let small = scene::paired(&browser, &host, Device::SmallPhone).await?;
    let tiny = Album { page: &small, of: "small", wrong: &wrong };
    tiny.visits("session", &format!("#/sessions/{session}"), "The public names").await?;
    tiny.walks(&workspace).await?;
    small.close().await?;

    // The owner's desk, on a large screen.
    let printed = host.types(&["open", "--print", "--force"]).await?;
    let link =
        printed.out.split_whitespace().find(|word| word.starts_with("http")).context(printed.out.clone())?;
    let desk = browser.page(Device::Desktop).await?;
    let album = Album { page: &desk, of: "desktop", wrong: &wrong };
    desk.open(link).await?;
    desk.sees("Refactor the API client").await?;
    album.visits("sessions", "#/sessions", "backup").await?;
    album.visits("session", &format!("#/sessions/{session}"), "The public names").await?;
    album.walks(&workspace).await?;
    album.visits("devices", "#/host/devices", "Pixel").await?;
    album.visits("pairings-closed", "#/host/pairings", "No device can join").await?;
    desk.press("Show the QR code").await?;
    desk.sees("Or type this code").await?;
    album.takes("pairings").await?;
    let complaints = desk.complaints().await?;
    ensure!(complaints.is_empty(), "{complaints:#?}");
    let wrong = wrong.into_inner().unwrap_or_else(PoisonError::into_inner);
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
