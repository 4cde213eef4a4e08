//! A question and its end in a person's words. What will happen is shown as it is, never paraphrased; the words around it
//! say where, with what, on whose behalf, and who is asked.

use std::collections::BTreeMap;

use lanyard_protocol::approval::{
    ApprovalDetail, ApprovalRecord, ApprovalRequest, ChangeKind, CommandDetail, Decision, RiskLevel,
};
use lanyard_protocol::id::PrincipalId;
use lanyard_protocol::overview::{Asker, PolicyOverview};
use lanyard_protocol::policy::{Approver, Remember, SandboxLevel};
use lanyard_protocol::principal::{CENTRE_PEOPLE, Scope};

use super::{Ending, Settled};
use crate::visible::{self, Marks};
use crate::words;

/// The host's name for whoever sits at the machine itself.
const OWNER: &str = "owner";

/// The owner in a person's words.
const AT_THE_MACHINE: &str = "the owner at the machine";

/// Who is who, as far as this device is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    me: PrincipalId,
    devices: BTreeMap<String, String>,
}

impl Names {
    /// Only this device itself is known; others are told to holders of `admin`.
    pub fn new(me: PrincipalId) -> Self {
        Self { me, devices: BTreeMap::new() }
    }

    /// Another device's name.
    pub fn add(&mut self, id: impl Into<String>, name: &str) {
        self.devices.insert(id.into(), visible::line(name, Marks::Missing).into_owned());
    }

    /// This device.
    pub fn me(&self) -> &PrincipalId {
        &self.me
    }

    /// "you", "the owner at the machine", "Work laptop", "another device (mfzwi3d)".
    pub fn who(&self, id: &PrincipalId) -> String {
        let text = id.as_str();
        if *id == self.me {
            return "you".to_owned();
        }
        if text == OWNER {
            return AT_THE_MACHINE.to_owned();
        }
        if let Some(name) = self.devices.get(text) {
            return name.clone();
        }
        if let Some(user) = text.strip_prefix(CENTRE_PEOPLE) {
            return format!("somebody at the central services ({user})");
        }
        // Ids of devices are grouped; the first group is what the list of devices shows too.
        format!("another device ({})", text.split('-').next().unwrap_or(text))
    }
}

/// One thing to know before answering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is about.
    pub label: &'static str,
    /// What it is.
    pub value: String,
    /// It deserves a second look.
    pub grave: bool,
    /// A path, a name of a variable: shown in the letters of code.
    pub code: bool,
}

impl Fact {
    fn new(label: &'static str, value: impl Into<String>) -> Self {
        Self { label, value: value.into(), grave: false, code: false }
    }

    fn code(label: &'static str, value: &str) -> Self {
        Self { code: true, ..Self::new(label, shown(value)) }
    }

    fn grave(self, grave: bool) -> Self {
        Self { grave, ..self }
    }
}

/// Text of an approval: the host has marked it; whatever would hide all the same is written out here.
fn shown(text: &str) -> String {
    visible::line(text, Marks::Written).into_owned()
}

/// Where and how it will happen; the first things to look at after what.
pub fn circumstances(request: &ApprovalRequest) -> Vec<Fact> {
    match &request.detail {
        ApprovalDetail::Command(command) => of_command(command, request.sandbox_level),
        ApprovalDetail::FileChange(change) => {
            let mut facts = vec![
                Fact::code("File", &change.path),
                Fact::new("Change", change_words(change.change)).grave(change.change == ChangeKind::Deleted),
            ];
            facts.extend(change.new_path.as_ref().map(|path| Fact::code("New name", path)));
            facts
        }
        ApprovalDetail::Http(_) => vec![Fact::new("Network", "goes online")],
        ApprovalDetail::Other(_) => {
            vec![
                Fact::new("Tool", shown(&request.tool_name)),
                Fact::new("May", words::capability(request.capability)),
            ]
        }
    }
}

fn of_command(command: &CommandDetail, sandbox: SandboxLevel) -> Vec<Fact> {
    let network = if command.network { "may use the network" } else { "no network" };
    let mut facts = vec![
        Fact::code("In", &command.cwd),
        Fact::new("Network", network).grave(command.network),
        Fact::new("Sandbox", sandbox_words(sandbox)).grave(sandbox != SandboxLevel::Full),
    ];
    facts.extend(command.environment.iter().map(|variable| Fact::code("With", variable)));
    facts
}

/// What confinement there is, and what follows.
pub fn sandbox_words(level: SandboxLevel) -> &'static str {
    match level {
        SandboxLevel::Full => "confined: it reaches its workspace, and nothing else of yours",
        SandboxLevel::Partial => "partly confined: parts of the protection are missing on this machine",
        SandboxLevel::None => "not confined: it can do whatever the host's user can",
    }
}

/// What happens to a file.
pub fn change_words(change: ChangeKind) -> &'static str {
    match change {
        ChangeKind::Created => "a new file",
        ChangeKind::Modified => "changed",
        ChangeKind::Deleted => "deleted",
        ChangeKind::Moved => "moved",
    }
}

/// On whose behalf, who asks, who may answer.
pub fn background(request: &ApprovalRequest, names: &Names, policy: Option<&PolicyOverview>) -> Vec<Fact> {
    let rule = match &request.approval_rule_id {
        Some(rule) => {
            format!("{} policy, rule {}", words::sentence(&shown(&request.layer)), shown(rule.as_str()))
        }
        None => format!("{} policy", words::sentence(&shown(&request.layer))),
    };
    vec![
        Fact::new("Task started by", names.who(&request.initiator)),
        Fact::new("Asked by", rule),
        Fact::new("Who can answer", answerers(request, names, policy)),
    ]
}

/// Before whom the question stood already.
pub fn shown_to(record: &ApprovalRecord, names: &Names) -> Option<Fact> {
    let seen: Vec<String> = record.receipts.iter().map(|receipt| names.who(&receipt.principal)).collect();
    (!seen.is_empty()).then(|| Fact::new("Shown to", words::list(&seen)))
}

/// Who else can answer, as far as it is known.
fn answerers(request: &ApprovalRequest, names: &Names, policy: Option<&PolicyOverview>) -> String {
    if request.is_answered_at_the_centre() {
        return "only somebody signed in at the central services".to_owned();
    }
    let general = match request.approver {
        Approver::Local => return "only somebody at the machine itself".to_owned(),
        Approver::NotInitiator => {
            let started = if request.initiator == *names.me() { "you, who" } else { "whoever" };
            return format!("anyone with the right to approve but {started} started the task");
        }
        Approver::Any => "anyone with the right to approve",
    };
    let Some(policy) = policy else { return general.to_owned() };
    let able: Vec<&Asker> =
        policy.askers.iter().filter(|asker| asker.scopes.contains(&Scope::Approve)).collect();
    let mut all: Vec<String> = Vec::new();
    if able.iter().any(|asker| asker.this) {
        all.push("you".to_owned());
    }
    let mut nameless = 0_usize;
    for asker in able.iter().filter(|asker| !asker.this) {
        match asker.name.as_deref() {
            Some(OWNER) => all.push(AT_THE_MACHINE.to_owned()),
            Some(name) => all.push(visible::line(name, Marks::Missing).into_owned()),
            None => nameless += 1,
        }
    }
    match (nameless, all.is_empty()) {
        (0, true) => return general.to_owned(),
        (0, false) => {}
        (1, _) => all.push("one other device".to_owned()),
        (many, _) => all.push(format!("{many} other devices")),
    }
    words::list(&all)
}

/// A word of a command, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// The text, quoted where its ends would not be seen otherwise.
    pub text: String,
    /// It is quoted.
    pub quoted: bool,
}

/// The words of a command, each so that it is seen where it begins and ends: `git commit -m 'two words' ''`.
pub fn arguments(argv: &[String]) -> Vec<Argument> {
    argv.iter()
        .map(|word| {
            let word = visible::block(word, Marks::Written);
            let plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,".contains(c);
            let quoted = word.is_empty() || !word.chars().all(plain);
            let text = if quoted { format!("'{}'", word.replace('\'', r"'\''")) } else { word.into_owned() };
            Argument { text, quoted }
        })
        .collect()
}

/// The question in one line: a command's own title, or the host's.
pub fn title(request: &ApprovalRequest) -> String {
    shown(&request.title)
}

/// What the right-hand button says.
pub fn approve_label(request: &ApprovalRequest) -> &'static str {
    match &request.detail {
        ApprovalDetail::FileChange(change) if change.change == ChangeKind::Deleted => "Approve deletion",
        ApprovalDetail::FileChange(_) => "Approve change",
        _ if request.max_remember > Remember::Once => "Approve once",
        _ => "Approve",
    }
}

/// How long an answer is remembered, as a choice.
pub fn remember_choice(remember: Remember) -> &'static str {
    match remember {
        Remember::Once => "Only this once",
        Remember::Task => "Until this task ends",
        Remember::Session => "In this session",
        Remember::Always => "On this machine, until it is revoked",
    }
}

/// What a remembered answer covers, spelled out.
pub fn scope_words(request: &ApprovalRequest, remember: Remember) -> String {
    let scope = shown(&request.remember_scope);
    match remember {
        Remember::Once => format!("Runs once: {scope}."),
        Remember::Task => format!("Runs without asking again until this task ends: {scope}."),
        Remember::Session => format!("Runs without asking again in this session: {scope}."),
        Remember::Always => {
            format!(
                "Runs without asking again in every session on this machine, until somebody revokes it: {scope}."
            )
        }
    }
}

/// Whether the risk is one to be shown in red.
pub fn is_grave(risk: RiskLevel) -> bool {
    risk >= RiskLevel::High
}

fn decided(decision: Decision) -> &'static str {
    match decision {
        Decision::Approved => "approved",
        Decision::Denied => "denied",
    }
}

/// What became of a question, in a sentence. Tells the truth about an answer given here that did not count.
pub fn ending(settled: &Settled, names: &Names) -> String {
    let beaten = settled.beaten(names.me());
    match &settled.ending {
        Ending::Answered { decision, by, remember, reason } => {
            let mut said = match (by == names.me(), beaten) {
                (true, None) => format!("You {} it", decided(*decision)),
                (_, Some(mine)) if mine == *decision => {
                    format!("Already {} by {}; you said the same", decided(*decision), names.who(by))
                }
                (_, Some(_)) => {
                    format!("Already {} by {}: your answer did not count", decided(*decision), names.who(by))
                }
                (false, None) => format!("{} by {}", words::sentence(decided(*decision)), names.who(by)),
            };
            if let (Decision::Approved, true) = (decision, *remember > Remember::Once) {
                said.push_str(&format!(", {}", remembered(*remember)));
            }
            match reason {
                Some(reason) => format!("{said}: “{}”", shown(reason)),
                None => format!("{said}."),
            }
        }
        Ending::Expired if beaten.is_some() => {
            "Your answer came too late: the time was up, so it was denied.".to_owned()
        }
        Ending::Expired => "Nobody answered in time, so it was denied.".to_owned(),
        Ending::Cancelled => "The task ended before anybody answered.".to_owned(),
        Ending::Unknown => "It does not wait any more.".to_owned(),
    }
}

/// How long an answer holds, after "You approved it".
pub fn remembered(remember: Remember) -> &'static str {
    match remember {
        Remember::Once => "this once",
        Remember::Task => "for this task",
        Remember::Session => "for this session",
        Remember::Always => "until it is revoked",
    }
}

/// What an answer on its way looks like.
pub fn sending(decision: Decision) -> &'static str {
    match decision {
        Decision::Approved => "Approving: waits for the host to confirm",
        Decision::Denied => "Denying: waits for the host to confirm",
    }
}

/// A failed answer.
pub fn failed(decision: Decision, why: &str) -> String {
    let what = match decision {
        Decision::Approved => "Not approved",
        Decision::Denied => "Not denied yet",
    };
    format!("{what}: {}", visible::line(why, Marks::Missing))
}
