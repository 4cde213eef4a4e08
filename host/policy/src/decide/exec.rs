//! Running programs: the hardest demand to judge, because its words can mean more than they say.

use lanyard_protocol::{
    approval::RiskLevel,
    policy::{Capability, Remember, SandboxLevel},
};

use super::{Denial, DenialReason, Findings, HOST_LAYER, Question, Terms, Unconfined, scope::Judge};
use crate::{
    demand::Exec,
    layer::{Grant, Layers},
    path::{Access, Concern, HostPath, Protection, protection},
    reading::{NamedPath, ReadCommand, Reading, Usage},
    shell, visible,
};

pub(super) const EXEC: Capability = Capability::ShellExec;

/// The longest memory of an answer about a command that writes files, as for the file tools.
const WRITES_REMEMBERED: Remember = Remember::Session;

/// Longest command shown in a refusal or reason.
const SHOWN_CHARS: usize = 200;

/// Directories whose programs may be named by path without leaving the workspace.
const PROGRAM_DIRECTORIES: &[&str] = &["/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin"];

/// Whether commands may be given the network: the task allows it, and every layer grants Network.Http without
/// limiting it to certain hosts, which could not be enforced on a program.
pub fn commands_may_use_network(layers: &Layers, allow_network: bool) -> bool {
    let open = |grant: &Grant| grant.allowed_domains.is_none() && grant.blocked_domains.is_empty();
    allow_network
        && layers.iter().all(|layer| {
            let mut grants = layer.grants(Capability::NetworkHttp).peekable();
            grants.peek().is_some() && grants.all(open)
        })
}

impl Judge<'_> {
    pub(super) fn exec(&self, exec: &Exec, reading: &Reading, findings: &mut Findings) -> Result<(), Denial> {
        if self.layer.grants(EXEC).next().is_none() {
            return Err(self.deny(EXEC, DenialReason::CapabilityMissing(EXEC)));
        }
        self.confined(EXEC)?;
        host_confines(self.terms)?;
        let risk = reading.risk();
        findings.note_risk(risk.level, || sentence(&risk.sentence));
        // First, so that no number of other reasons pushes these out of sight.
        self.inputs(reading, findings)?;
        self.unbound(reading, findings);
        match reading.opaque() {
            Some(why) => self.opaque(exec, why, findings)?,
            None if reading.commands().is_empty() => self.only_directories(exec, findings)?,
            None => {
                for command in reading.commands() {
                    self.command(command, risk.level, findings)?;
                }
            }
        }
        if reading.writes_files() {
            findings.remember_at_most(WRITES_REMEMBERED);
        }
        if exec.network {
            self.network(reading, risk.level, findings)?;
        }
        if let Some(oddity) = reading.oddity() {
            self.question(RiskLevel::High, false, sentence(oddity), findings);
        }
        Ok(())
    }

    pub(super) fn question(&self, level: RiskLevel, must: bool, reason: String, findings: &mut Findings) {
        let longest = if must { Remember::Once } else { Remember::Session };
        self.question_at_most(longest, level, must, reason, findings);
    }

    /// A question whose answer holds for this one call: what it is about can be something else the next time.
    pub(super) fn question_once(&self, level: RiskLevel, reason: String, findings: &mut Findings) {
        self.question_at_most(Remember::Once, level, false, reason, findings);
    }

    fn question_at_most(
        &self,
        longest: Remember,
        level: RiskLevel,
        must: bool,
        reason: String,
        findings: &mut Findings,
    ) {
        findings.note_risk(level, || reason.clone());
        findings.ask(Question {
            layer: HOST_LAYER,
            capability: EXEC,
            must,
            level,
            reason,
            title: None,
            rule: None,
            longest,
            at_the_centre: false,
        });
    }

    fn network(&self, reading: &Reading, level: RiskLevel, findings: &mut Findings) -> Result<(), Denial> {
        let capability = Capability::NetworkHttp;
        if !self.terms.options.allow_network {
            return Err(self.deny(capability, DenialReason::NoNetwork));
        }
        let mut granted = false;
        for grant in self.layer.grants(capability) {
            if grant.allowed_domains.is_some() || !grant.blocked_domains.is_empty() {
                return Err(self.deny(capability, DenialReason::NoNetworkForCommands));
            }
            granted = true;
            // The rule's own words are about requests; a command that only reads has nothing to send.
            let instead = reading.only_reads().then_some("It may use the network.");
            findings.apply_saying(self.layer, grant, level, instead);
        }
        if granted { Ok(()) } else { Err(self.deny(capability, DenialReason::NoNetworkForCommands)) }
    }

    pub(super) fn only_directories(&self, exec: &Exec, findings: &mut Findings) -> Result<(), Denial> {
        let shown = exec.cwd.to_string_lossy().into_owned();
        let cwd = HostPath::parse(&shown)
            .map_err(|fault| self.deny(EXEC, DenialReason::Path { path: shown.clone(), fault }))?;
        self.directory(&cwd)?;
        self.granted(
            EXEC,
            RiskLevel::High,
            |grant| grant.covers_cwd(&cwd),
            (|| shown.clone(), "allowedCwds"),
            findings,
        )
    }

    fn command(
        &self,
        command: &ReadCommand,
        level: RiskLevel,
        findings: &mut Findings,
    ) -> Result<(), Denial> {
        let shown = || visible::clipped_line(&shell::join(&command.argv), SHOWN_CHARS);
        if self.layer.grants(EXEC).any(|grant| grant.blocks_command(&command.argv)) {
            return Err(self.deny(EXEC, DenialReason::Blocked(format!("`{}`", shown()))));
        }
        let in_directory = |grant: &Grant| grant.covers_cwd(&command.cwd);
        if !self.layer.grants(EXEC).any(in_directory) {
            let what = command.cwd.to_string();
            return Err(self.deny(EXEC, DenialReason::OutOfScope { what, limit: "allowedCwds" }));
        }
        self.directory(&command.cwd)?;
        let covers = |grant: &Grant| in_directory(grant) && grant.covers_command(&command.argv);
        self.granted(EXEC, level, covers, (|| format!("`{}`", shown()), "allowedCommands"), findings)?;
        self.effects(command, findings);
        if let Some(word) = &command.unclear_path {
            self.question(RiskLevel::High, false, format!("It cannot be told where {word} leads."), findings);
        }
        self.looked_up(command)?;
        for named in &command.paths {
            self.named_path(command, named, findings)?;
        }
        Ok(())
    }

    /// Every word of a command may name something in its directory, so the directory must be readable itself.
    fn directory(&self, cwd: &HostPath) -> Result<(), Denial> {
        if self
            .layer
            .grants(EXEC)
            .chain(self.layer.grants(Capability::FileRead))
            .any(|grant| grant.blocks_path(cwd))
        {
            return Err(self.deny(EXEC, DenialReason::Blocked(cwd.to_string())));
        }
        match protection(cwd, Access::Read, self.terms.places) {
            Some(Protection::Deny(concern)) => {
                let reason = DenialReason::Protected { path: cwd.to_string(), why: concern.why() };
                Err(Denial { layer: HOST_LAYER, capability: Some(EXEC), reason })
            }
            _ => Ok(()),
        }
    }

    /// A program looked up by name must not come from where the agent writes (6-security.md, item 19).
    fn looked_up(&self, command: &ReadCommand) -> Result<(), Denial> {
        let Some(program) = command.argv.first().filter(|program| !program.contains('/')) else {
            return Ok(());
        };
        for content in self.call.contents() {
            let same_name = content.path.file_name().is_some_and(|name| name == program.as_str());
            let runnable = content.sha256.is_some();
            let Some(path) = content.path.to_str().and_then(|text| HostPath::parse(text).ok()) else {
                continue;
            };
            let writable = self.layer.grants(Capability::FileWrite).any(|grant| grant.covers_path(&path));
            let argument = command.paths.iter().any(|named| named.path == path);
            if same_name && runnable && writable && !argument {
                let reason =
                    DenialReason::ProgramInWorkspace { program: program.clone(), path: path.to_string() };
                return Err(self.deny(EXEC, reason));
            }
        }
        Ok(())
    }

    fn named_path(
        &self,
        command: &ReadCommand,
        named: &NamedPath,
        findings: &mut Findings,
    ) -> Result<(), Denial> {
        let NamedPath { path, usage } = named;
        let own = || self.layer.grants(EXEC);
        let files: &[Capability] = match usage {
            Usage::Reads => &[Capability::FileRead],
            Usage::Writes => &[Capability::FileWrite],
            Usage::Unknown => &[Capability::FileRead, Capability::FileWrite, Capability::FileDelete],
        };
        let blocked = own().any(|grant| grant.blocks_path(path))
            || files.iter().any(|file| self.layer.grants(*file).any(|grant| grant.blocks_path(path)));
        if blocked {
            return Err(self.deny(EXEC, DenialReason::Blocked(path.to_string())));
        }
        if !own().any(|grant| grant.covers_path(path)) {
            let reason =
                DenialReason::OutOfScope { what: path.to_string(), limit: "allowedPaths of Shell.Exec" };
            return Err(self.deny(EXEC, reason));
        }
        let covered = |file: Capability| self.layer.grants(file).any(|grant| grant.covers_path(path));
        let program = command.argv.first().is_some_and(|program| program == path.as_str())
            && PROGRAM_DIRECTORIES.iter().any(|dir| path.as_str().starts_with(dir));
        if !program && !covered(files[0]) {
            let verb = if *usage == Usage::Writes { "writes" } else { "names" };
            let reason = format!("It {verb} {path}, which lies outside the directories allowed.");
            self.question(RiskLevel::High, false, reason, findings);
        }
        self.protected(EXEC, path, exec_protection(path, *usage, self.terms), findings)
    }
}

/// The protection of a path named by a command. What is only perhaps written is asked about instead of refused, and
/// so are the kernel's files, which commands read for ordinary reasons; the sandbox is the boundary there.
fn exec_protection(path: &HostPath, usage: Usage, terms: &Terms<'_>) -> Option<Protection> {
    let read = protection(path, Access::Read, terms.places);
    if path.is_kernel_interface() {
        return Some(Protection::Ask(RiskLevel::High, Concern::KernelInterface));
    }
    match (usage, read) {
        (_, Some(Protection::Deny(why))) => Some(Protection::Deny(why)),
        (Usage::Reads, read) => read,
        (Usage::Writes, _) => protection(path, Access::Write, terms.places),
        (Usage::Unknown, read) => match protection(path, Access::Write, terms.places) {
            Some(Protection::Deny(why)) => Some(Protection::MustAsk(RiskLevel::High, why)),
            found => found.or(read),
        },
    }
}

/// Where children could reach the host's own socket, approval is no boundary; the owner must have accepted that.
fn host_confines(terms: &Terms<'_>) -> Result<(), Denial> {
    if terms.sandbox >= SandboxLevel::Full || terms.unconfined != Unconfined::Refused {
        return Ok(());
    }
    Err(Denial { layer: HOST_LAYER, capability: Some(EXEC), reason: DenialReason::Unconfined })
}

/// A reason as a sentence: capital letter, full stop.
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let rest = chars.as_str();
    let stop = if rest.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{rest}{stop}")
}
