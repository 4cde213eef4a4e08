//! Central services with a scripted model, people at their browsers, and hosts that were enrolled by the command.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use lanyard_governance_api::endpoint::{
    CreateEnrolmentToken, CreatePolicy, CurrentPolicy, GetAgent, InvitePerson,
};
use lanyard_governance_api::enrolment::NewEnrolmentToken;
use lanyard_governance_api::id::AgentId;
use lanyard_governance_api::people::{InvitePerson as Invitation, Role};
use lanyard_governance_api::policy::NewPolicy;
use lanyard_protocol::id::SessionId;
use lanyard_protocol::method::GetCentral;
use lanyard_protocol::session::TaskOptions;
use lanyard_tests::browser::{Browser, Device, Page};
use lanyard_tests::central::team::document;
use lanyard_tests::central::{Admin, Installation, Records, until};
use lanyard_tests::gateway::{Recorded, Script, ScriptedGateway, Turn, call, say};
use lanyard_tests::machine::Machine;
use lanyard_tests::newcomer::Ended;
use lanyard_tests::stage::history;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Scenes at once: each has up to two browsers, and a machine with two cores is to be quick with all of them.
const SCENES: usize = 3;

/// Scenes that may be played now.
static TURNS: Semaphore = Semaphore::const_new(SCENES);

/// What an owner may allow the centre.
pub(crate) const EVERYTHING: &[&str] = &["--accept-jobs", "--accept-answers"];

/// What the model does about "Clean up".
pub(crate) const CLEANING: [&str; 3] = ["rm", "-rv", "old build"];

/// What the model says in the end, where everything went well.
pub(crate) const DONE: &str = "It is done, and nothing else was touched.";

/// What the model adds to the notes about "Change".
pub(crate) const CHANGED: &str = "and changed with key sk-abcdef";

/// The file whose existence ends what the model does about "Watch".
const ENOUGH: &str = "enough";

/// A command that prints a line again and again, until there is [`ENOUGH`].
const WATCHING: &str = "i=0; while [ ! -e enough ]; do i=$((i+1)); echo line $i; sleep 0.2; done; echo over";

/// Central, a browser that shows its console, an administrator beside it.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) browser: Browser,
    pub(crate) central: Installation,
    pub(crate) admin: Admin,
    _gateway: ScriptedGateway,
    /// Given back last.
    _turn: SemaphorePermit<'static>,
}

/// What the model does: one task a session.
fn script(request: &Recorded) -> Turn {
    let results = request.tool_results();
    let prompt = request.last("user");
    match results.last() {
        None if prompt.starts_with("Clean up") => call("ReadFile", json!({"path": "notes.txt"})),
        Some(_) if prompt.starts_with("Clean up") && results.len() == 1 => {
            call("RunCommand", json!({"argv": CLEANING}))
        }
        None if prompt.starts_with("Watch") => {
            call("RunCommand", json!({"command": WATCHING, "timeoutSeconds": 300}))
        }
        None if prompt.starts_with("Change") => call(
            "WriteFile",
            json!({"path": "notes.txt", "content": format!("found from afar\n{CHANGED}\n")}),
        ),
        None if prompt.starts_with("Read") => call("ReadFile", json!({"path": "notes.txt"})),
        None => say("There is nothing to do."),
        Some(told) if told.starts_with("succeeded") => say(DONE),
        Some(told) => say(&format!("I was told: {told}")),
    }
}

/// Reads are free, commands ask.
pub(crate) fn careful() -> Value {
    document(json!([
        {"name": "LLM.Call", "requiresApproval": false},
        {"name": "Git.Status", "requiresApproval": false},
        {"name": "File.Read", "allowedPaths": ["${workspace}"], "requiresApproval": false},
        {"name": "File.Write", "allowedPaths": ["${workspace}"], "requiresApproval": false},
        {"name": "File.Delete", "allowedPaths": ["${workspace}"], "requiresApproval": false},
        {"name": "Shell.Exec", "requiresApproval": true, "approvalRuleId": "ask"},
        {"name": "Workspace.Upload", "requiresApproval": false},
    ]))
}

/// A turn for a scene of another kind.
pub(crate) async fn turn() -> Result<SemaphorePermit<'static>> {
    Ok(TURNS.acquire().await?)
}

/// Saves a version and puts it in force.
pub(crate) async fn activates(admin: &Admin, document: &Value, comment: &str) -> Result<()> {
    let document = serde_json::from_value(document.clone())?;
    let new = NewPolicy { document, comment: comment.to_owned(), activate: true, based_on: None };
    admin.post::<CreatePolicy>(&[], &new).await?;
    Ok(())
}

impl Scene {
    /// Everything but hosts, with [`careful`] in force.
    pub(crate) async fn begin() -> Result<Self> {
        let turn = turn().await?;
        let gateway = ScriptedGateway::start(Script::by(script));
        let mut central = Installation::prepare(Records::Sqlite)?;
        central.flag(&["--llm-endpoint", &gateway.url(), "--llm-model", "scripted-1"]);
        central.add().await?;
        let admin = central.operator().await?;
        activates(&admin, &careful(), "People are asked before programs run").await?;
        Ok(Self { browser: Browser::start().await?, central, admin, _gateway: gateway, _turn: turn })
    }

    /// Where the console is.
    pub(crate) fn console(&self) -> String {
        format!("{}/console/", self.central.url(0))
    }

    /// The operator at a browser of their own.
    pub(crate) async fn operator(&self, device: Device) -> Result<Page> {
        let token = self.central.sign_in_link().await?;
        self.person(device, &token).await
    }

    /// Somebody with a link at a browser of their own.
    pub(crate) async fn person(&self, device: Device, token: &str) -> Result<Page> {
        let page = self.browser.page(device).await?;
        page.open(&format!("{}#/sign-in/{token}", self.console())).await?;
        page.press("Sign in").await?;
        page.sees("Last 24 hours").await?;
        Ok(page)
    }

    /// The link of somebody who was invited.
    pub(crate) async fn invited(&self, name: &str, role: Role) -> Result<String> {
        let invitation = Invitation { name: name.to_owned(), email: None, role };
        let invited = self.admin.post::<InvitePerson>(&[], &invitation).await?;
        invited.link_token.context("no link")
    }

    /// A machine whose host runs and is enrolled by the command; what it is called at the centre.
    pub(crate) async fn host(&self, name: &str, allows: &[&str]) -> Result<(Machine, AgentId)> {
        let wanted = NewEnrolmentToken {
            user_id: None,
            class: "laptop".to_owned(),
            note: None,
            expires_in_seconds: None,
            max_uses: None,
        };
        let token = self.admin.post::<CreateEnrolmentToken>(&[], &wanted).await?.token;
        let machine = machine(name).await?;
        let agent = enrolled(&machine, &self.central.url(0), &token, allows).await?;
        until("the host is online", || async {
            let known = self.admin.get::<GetAgent>(&[agent.as_str()]).await?;
            Ok(known.heartbeat.map(|_| ()))
        })
        .await?;
        Ok((machine, agent))
    }

    /// Waits until every host has heard of the policy in force.
    pub(crate) async fn is_heard(&self) -> Result<()> {
        until("all hosts have confirmed the policy", || async {
            let rollout = self.admin.get::<CurrentPolicy>(&[]).await?.rollout;
            Ok((rollout.online > 0 && rollout.confirmed == rollout.online).then_some(()))
        })
        .await
    }
}

/// A machine whose host runs.
pub(crate) async fn machine(name: &str) -> Result<Machine> {
    let mut machine = Machine::here(name)?;
    machine.works_in("code/atlas")?;
    std::fs::create_dir(machine.workspace().join("old build"))?;
    std::fs::write(machine.workspace().join("notes.txt"), "found from afar\n")?;
    let workspace = machine.workspace().display().to_string();
    machine.set("LANYARD_WORKSPACES", &workspace);
    machine.host_up().await?;
    Ok(machine)
}

/// `lanyard enroll`, with the token on standard input.
pub(crate) async fn enrols(machine: &Machine, url: &str, token: &str, allows: &[&str]) -> Result<Ended> {
    let mut command = machine.command(&["enroll", url, "--token-file", "-"])?;
    command.args(allows).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut input = child.stdin.take().context("a pipe was asked for")?;
    input.write_all(token.as_bytes()).await?;
    drop(input);
    Ok(child.wait_with_output().await?.into())
}

/// The same, which must end well; what the host is called at the centre.
pub(crate) async fn enrolled(machine: &Machine, url: &str, token: &str, allows: &[&str]) -> Result<AgentId> {
    let ended = enrols(machine, url, token, allows).await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    let status = machine.connect().await?.call(GetCentral {}).await?;
    Ok(status.enrolment.context("it is not enrolled")?.agent_id.parse()?)
}

/// A task that the owner gives in a new session.
pub(crate) async fn gives(machine: &Machine, prompt: &str) -> Result<SessionId> {
    let mut owner = machine.connect().await?;
    let session = owner.session(&machine.workspace()).await?.session_id;
    owner.start(&session, prompt, TaskOptions::default()).await?;
    Ok(session)
}

/// Waits until the last task of a session has ended.
pub(crate) async fn ends(machine: &Machine, session: &SessionId) -> Result<()> {
    until("the task has ended", || async {
        let log = history(&mut machine.connect().await?, session).await?;
        Ok(log.last().is_some_and(|event| event.body.ends_task()).then_some(()))
    })
    .await
}

/// What the model does about "Watch" ends.
pub(crate) fn enough(machine: &Machine) -> Result<()> {
    machine.touch(ENOUGH)
}

/// Answers the question that waits as the owner does, in the terminal; the name of the question.
pub(crate) async fn answers(machine: &Machine, command: &str) -> Result<()> {
    let waiting = until("a question waits at the machine", || async {
        let listed = machine.asks(&["approvals"]).await?;
        let first = listed["approvals"].as_array().and_then(|all| all.first().cloned());
        Ok(first)
    })
    .await?;
    let id = waiting["request"]["approvalId"].as_str().or(waiting["approvalId"].as_str());
    machine.asks(&[command, id.with_context(|| waiting.to_string())?]).await?;
    Ok(())
}

/// Chooses from a group of radio buttons.
pub(crate) async fn choose(page: &Page, group: &str, item: &str) -> Result<()> {
    let script = format!(
        "const top = document.querySelector('dialog[open]') ?? document; \
         const group = [...top.querySelectorAll('fieldset')] \
           .find(f => f.querySelector('legend')?.textContent.trim() === {group:?}); \
         const label = [...group?.querySelectorAll('label') ?? []] \
           .find(l => l.querySelector('.choice-title').textContent.trim() === {item:?}); \
         if (!label) return false; label.click(); return label.querySelector('input').checked;"
    );
    page.comes_true(&script).await.with_context(|| format!("{group}: nothing is called {item}"))
}

/// Puts one text in the place of another in a field with several lines, as somebody who pastes does.
pub(crate) async fn replaces(page: &Page, label: &str, old: &str, new: &str) -> Result<()> {
    page.field(label).await?;
    let script = format!(
        "const label = [...document.querySelectorAll('label')].find(l => l.textContent.trim() === {label:?}); \
         const area = document.getElementById(label.htmlFor); \
         if (!area.value.includes({old:?})) return false; \
         area.value = area.value.replace({old:?}, {new:?}); \
         area.dispatchEvent(new Event('input', {{ bubbles: true }})); return true;"
    );
    page.comes_true(&script).await.with_context(|| format!("{label}: there is no {old:?}"))
}

/// Follows a link or presses a button of which these words are a part, in a list.
pub(crate) async fn follows(page: &Page, words: &str) -> Result<()> {
    page.press_row(words).await
}

/// No button and no link with these words can be seen.
pub(crate) async fn has_none_of(page: &Page, names: &[&str]) -> Result<()> {
    let script = "return [...document.querySelectorAll('button, a, [role=switch]')] \
        .map(e => (e.getAttribute('aria-label') ?? e.innerText).replace(/\\s+/g, ' ').trim())";
    let shown = page.eval(script).await?;
    let shown: Vec<&str> = shown.as_array().context("a list")?.iter().filter_map(Value::as_str).collect();
    for name in names {
        ensure!(!shown.iter().any(|one| one.starts_with(name)), "{name:?} is offered: {shown:?}");
    }
    Ok(())
}

/// One browser's album.
pub(crate) struct Album<'a> {
    page: &'a Page,
    /// What the names of its pictures begin with.
    of: &'static str,
    /// What is wrong with them; all of it is told at once.
    wrong: Mutex<Vec<String>>,
}

impl<'a> Album<'a> {
    /// An empty one.
    pub(crate) fn of(page: &'a Page) -> Self {
        let of = if page.device() == Device::Desktop { "desktop" } else { "phone" };
        Self { page, of, wrong: Mutex::new(Vec::new()) }
    }

    /// The page as it is now, in both themes: accessible, and no wider than the screen.
    pub(crate) async fn takes(&self, name: &str) -> Result<()> {
        for (theme, dark) in [("light", false), ("dark", true)] {
            self.page.dark(dark).await?;
            let still = "return document.getAnimations().every(a => a.playState !== 'running')";
            self.page.comes_true(still).await?;
            let file = format!("console-{}-{name}-{theme}.png", self.of);
            self.page.picture(&Page::pictures()?.join(Path::new(&file))).await?;
            let looked = self.page.is_accessible().await;
            self.notes(looked.with_context(|| format!("{} {name} {theme}", self.of)));
        }
        self.page.dark(false).await?;
        // Only what is made to scroll does: the frame around it stays where it is.
        let still = self
            .page
            .eval("return document.body.scrollHeight <= innerHeight && document.body.scrollTop === 0")
            .await?;
        if still != true {
            self.notes(Err(anyhow::anyhow!("{} {name}: the frame of the page can be scrolled", self.of)));
        }
        let fits = self.page.fits().await;
        self.notes(fits.with_context(|| format!("{} {name}", self.of)));
        Ok(())
    }

    /// Goes to a place, waits for what is to be seen there, and takes it.
    pub(crate) async fn visits(&self, name: &str, place: &str, sees: &str) -> Result<()> {
        self.page.goes(place).await?;
        self.page.sees(sees).await.with_context(|| name.to_owned())?;
        self.takes(name).await
    }

    fn notes(&self, looked: Result<()>) {
        if let Err(wrong) = looked {
            self.wrong.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{wrong:#}"));
        }
    }

    /// Nothing was wrong with any of them.
    pub(crate) fn verdict(self) -> Result<()> {
        let wrong = self.wrong.into_inner().unwrap_or_else(PoisonError::into_inner);
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    }
}
