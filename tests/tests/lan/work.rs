//! Two tasks of one device on one host, under way while something happens: one works and streams, one waits for a
//! person. And what must be true of them in the end, whatever it was.

use anyhow::{Context, Result, bail, ensure};
use lanyard_protocol::event::SessionEvent;
use lanyard_tests::gateway::errands::{self, ASKED, STREAMED};
use lanyard_tests::look;
use lanyard_tests::machine::{Machine, Program};
use lanyard_tests::newcomer::{Ended, Signal};
use lanyard_tests::stage::{eventually, gapless, history};
use serde_json::Value;

/// How often a person repeats a command that says the host cannot be reached, before giving up.
const PATIENCE: usize = 6;

/// See the module.
pub(crate) struct Work {
    host_alias: String,
    name: String,
    stream: Program,
    ask: Program,
    watch: Program,
    session_of_stream: String,
    session_of_ask: String,
    /// The question that waits.
    approval: String,
}

/// Whether the client is expected to have lost its connection meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connection {
    /// It must have been made anew.
    New,
    /// It must be the same.
    Same,
    /// Either.
    Any,
}

impl Work {
    /// Starts both tasks and waits until one streams and the other asks. `name` tells tasks of one host apart.
    pub(crate) async fn begin(device: &Machine, host: &Machine, alias: &str, name: &str) -> Result<Self> {
        let mut watch = device.follows(&["watch", "--host", alias])?;
        watch.until("the host", |line| line["event"] == "reached").await?;
        let workspace = host.workspace();
        let workspace = workspace.to_str().context("the path of a workspace")?;
        let run = |prompt: &str, approve: &str| {
            device.follows(&["run", prompt, "--host", alias, "--workspace", workspace, "--approve", approve])
        };
        let mut stream = run(&errands::streaming(name), "always")?;
        let mut ask = run(&errands::asking(name), "ask")?;
        let first = stream.event("tool_output_delta").await?;
        let asked = ask.event("approval_requested").await?;
        let session = |event: &Value| {
            Ok::<_, anyhow::Error>(event["sessionId"].as_str().context("no session")?.to_owned())
        };
        let approval = asked["payload"]["approval"]["approvalId"].as_str();
        Ok(Self {
            host_alias: alias.to_owned(),
            name: name.to_owned(),
            session_of_stream: session(&first)?,
            session_of_ask: session(&asked)?,
            approval: approval.with_context(|| format!("no question in {asked}"))?.to_owned(),
            stream,
            ask,
            watch,
        })
    }

    /// Sends a signal to everything that runs on the device.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        [&self.stream, &self.ask, &self.watch].iter().try_for_each(|program| program.signal(signal))
    }

    /// How many lines the task has written on the host.
    pub(crate) fn progress(&self, host: &Machine) -> usize {
        let ticks = std::fs::read_to_string(host.workspace().join(errands::ticks(&self.name)));
        ticks.unwrap_or_default().lines().count()
    }

    /// Waits until the task has done more on the host, whether or not anybody sees it.
    pub(crate) async fn goes_on(&self, host: &Machine) -> Result<()> {
        let before = self.progress(host);
        eventually("the task goes on", || self.progress(host) > before).await
    }

    /// Waits until the client shows what the task does from now on.
    pub(crate) async fn is_seen(&mut self, host: &Machine) -> Result<()> {
        let before = self.progress(host);
        let is_new = |line: &str| {
            line.strip_prefix("line ").is_some_and(|number| number.parse().is_ok_and(|n: usize| n > before))
        };
        let wanted = |line: &Value| {
            line["eventType"] == "tool_output_delta"
                && line["payload"]["text"].as_str().is_some_and(|text| text.lines().any(is_new))
        };
        self.stream.until("new output", wanted).await.map(drop)
    }

    /// Everything in the end: the question is still there and is answered from the device, both tasks complete, and
    /// nothing was missed, neither on the screens nor in the record.
    pub(crate) async fn ends(mut self, device: &Machine, host: &Machine, expected: Connection) -> Result<()> {
        let alias = self.host_alias.clone();
        let waiting = device_asks(device, &["approvals", "--host", &alias]).await?;
        let approvals = waiting["approvals"].as_array().context("no list of questions")?;
        let open: Vec<_> = approvals.iter().map(|one| &one["request"]["approvalId"]).collect();
        ensure!(open.contains(&&Value::from(self.approval.as_str())), "{} in {waiting}", self.approval);
        let asked = errands::asked_file(&self.name);
        ensure!(!host.workspace().join(&asked).exists(), "it was done before the answer");
        let outcome = device_asks(device, &["approve", &self.approval, "--host", &alias]).await?;
        ensure!(outcome["decision"] == "approved", "{outcome}");
        host.touch(&errands::enough(&self.name))?;
        let said = self.watch.errors();
        self.watch.runs()?;
        for (program, session, answer) in
            [(self.stream, &self.session_of_stream, STREAMED), (self.ask, &self.session_of_ask, ASKED)]
        {
            let (ended, shown) = program.finish().await?;
            completed(&ended, &shown, answer).with_context(|| format!("watch said {said}"))?;
            reconnected(&ended, expected)?;
            on_record(device, host, &alias, session, &shown).await?;
        }
        ensure!(host.workspace().join(&asked).exists(), "it was allowed and not done");
        self.watch.signal(Signal::INT)?;
        watched(self.watch, &self.session_of_ask).await
    }
}

/// A command that must succeed, typed again while the host cannot be reached.
pub(crate) async fn device_asks(device: &Machine, words: &[&str]) -> Result<Value> {
    let words: Vec<_> = words.iter().copied().chain(["--json"]).collect();
    let mut last = None;
    for _ in 0..PATIENCE {
        let ended = device.types(&words).await?;
        if ended.code != Some(5) {
            return ended.json();
        }
        last = Some(ended);
    }
    bail!("lanyard {}: {last:?}", words.join(" "))
}

fn completed(ended: &Ended, shown: &[SessionEvent], answer: &str) -> Result<()> {
    ensure!(ended.code == Some(0), "{:?} {}\n{}", ended.code, ended.err, look::names(shown).join(", "));
    ensure!(look::answer(shown) == answer, "{}", look::answer(shown));
    Ok(())
}

/// A client that lost its connection says so.
fn reconnected(ended: &Ended, expected: Connection) -> Result<()> {
    let lost = ended.err.contains("Reconnecting");
    ensure!(ended.err.contains("The host is back.") == lost, "{}", ended.err);
    match expected {
        Connection::New => ensure!(lost, "it never lost the connection: {}", ended.err),
        Connection::Same => ensure!(!lost, "it lost the connection: {}", ended.err),
        Connection::Any => {}
    }
    Ok(())
}

/// What a device showed is exactly what its host has on record, number by number.
async fn on_record(
    device: &Machine,
    host: &Machine,
    alias: &str,
    session: &str,
    shown: &[SessionEvent],
) -> Result<()> {
    let kept = history(&mut host.connect().await?, &session.parse()?).await?;
    gapless(&kept, 1)?;
    let shown: Vec<_> = shown.iter().filter(|event| event.seq.is_some()).cloned().collect();
    let first = shown.first().and_then(|event| event.seq).context("nothing was shown")?;
    gapless(&shown, first).context("on the device's screen")?;
    let from = usize::try_from(first - 1)?;
    ensure!(kept.get(from..) == Some(&shown), "shown:\n{shown:#?}\nkept:\n{kept:#?}");
    let whole = vec!["sessions", "show", session, "--events", "--host", alias, "--json"];
    let mut ended = device.types(&whole).await?;
    for _ in 1..PATIENCE {
        if ended.code != Some(5) {
            break;
        }
        ended = device.types(&whole).await?;
    }
    ensure!(ended.events()? == kept, "the device is told another history: {ended:?}");
    ensure!(ended.code == Some(0), "{ended:?}");
    Ok(())
}

/// What `lanyard watch` told of the host is numbered without gaps, and the question was among it.
async fn watched(watch: Program, session: &str) -> Result<()> {
    let ended = watch.end().await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    let lines: Vec<Value> = ended.out.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let numbers: Vec<u64> = lines.iter().filter_map(|line| line["hostEvent"]["hostSeq"].as_u64()).collect();
    let expected: Vec<u64> = (numbers.first().copied().unwrap_or(0)..).take(numbers.len()).collect();
    ensure!(numbers == expected && !numbers.is_empty(), "the host's events are numbered {numbers:?}");
    let names = lines.iter().filter(|line| line.to_string().contains(session));
    ensure!(names.count() > 0, "nothing was told of {session}");
    Ok(())
}
