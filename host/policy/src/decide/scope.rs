//! Scope of a demand within one layer.

use std::path::Path;

use lanyard_protocol::{
    approval::RiskLevel,
    policy::{Capability, Remember},
};

use super::{Denial, DenialReason, Findings, HOST_LAYER, Question, Terms, git};
use crate::{
    demand::{Demand, Exec, PlannedCall},
    gitname::{Remote, branch_matches, check_name, check_remote_url},
    layer::{CENTRAL, Grant, Layer},
    net::{HttpHost, HttpTarget, allowed_address},
    path::{Access, HostPath, Protection, protection},
    reading::Reading,
    visible,
};

/// Longest part of a path or command shown in a refusal.
const SHOWN_CHARS: usize = 200;

/// A demand with its texts parsed, once for all layers.
pub(super) enum Subject<'d> {
    File { capability: Capability, access: Access, path: HostPath, size: Option<u64> },
    Exec { exec: &'d Exec, reading: Reading },
    Http { method: &'d str, target: HttpTarget },
    GitRead { capability: Capability, repo: HostPath },
    GitCommit { repo: HostPath, branch: Option<&'d str> },
    GitPush { repo: HostPath, remote: &'d str, url: &'d str, target: Remote, branch: &'d str },
    Backend { tool: &'d str },
}

/// Parses the demands.
///
/// # Errors
/// A [`Denial`] by the host for the first text that has no single reading.
pub(super) fn subjects(demands: &[Demand]) -> Result<Vec<Subject<'_>>, Denial> {
    demands.iter().map(subject).collect()
}

fn subject(demand: &Demand) -> Result<Subject<'_>, Denial> {
    let capability = demand.capability();
    let deny = |reason| Denial { layer: HOST_LAYER, capability: Some(capability), reason };
    let path = |path: &Path| {
        let shown = || visible::clipped_line(&path.to_string_lossy(), SHOWN_CHARS);
        let text = path.to_str().ok_or_else(|| {
            deny(DenialReason::OutOfScope { what: shown(), limit: "the paths that can be written as text" })
        })?;
        HostPath::parse(text).map_err(|fault| deny(DenialReason::Path { path: shown(), fault }))
    };
    let file =
        |access, target: &Path, size| Ok(Subject::File { capability, access, path: path(target)?, size });
    match demand {
        Demand::ReadPath(target) => file(Access::Read, target, None),
        Demand::WritePath { path, size } => file(Access::Write, path, Some(*size)),
        Demand::DeletePath(target) => file(Access::Delete, target, None),
        Demand::Exec(exec) => Ok(Subject::Exec { exec, reading: Reading::of(exec, &path(&exec.cwd)?) }),
        Demand::Http { method, url } => {
            let target = HttpTarget::parse(url).map_err(|fault| deny(DenialReason::Url(fault)))?;
            const METHODS: &[&str] = &["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];
            if !METHODS.contains(&method.as_str()) {
                return Err(deny(DenialReason::Method(visible::clipped_line(method, 40))));
            }
            Ok(Subject::Http { method, target })
        }
        Demand::GitStatus { repo } | Demand::GitDiff { repo } => {
            Ok(Subject::GitRead { capability, repo: path(repo)? })
        }
        Demand::GitCommit { repo, branch } => {
            if let Some(branch) = branch {
                check_name(branch).map_err(|fault| deny(DenialReason::GitName(fault)))?;
            }
            Ok(Subject::GitCommit { repo: path(repo)?, branch: branch.as_deref() })
        }
        Demand::GitPush { repo, remote, url, branch } => {
            let names = check_name(remote).and_then(|()| check_name(branch));
            let target = names.and_then(|()| check_remote_url(url));
            let target = target.map_err(|fault| deny(DenialReason::GitName(fault)))?;
            Ok(Subject::GitPush { repo: path(repo)?, remote, url, target, branch })
        }
        Demand::Backend { tool, .. } => Ok(Subject::Backend { tool }),
    }
}

/// One layer judging one call.
pub(super) struct Judge<'j> {
    pub(super) layer: &'j Layer,
    pub(super) terms: &'j Terms<'j>,
    pub(super) call: &'j PlannedCall,
}

impl Judge<'_> {
    pub(super) fn subject(&self, subject: &Subject<'_>, findings: &mut Findings) -> Result<(), Denial> {
        match subject {
            Subject::File { capability, access, path, size } => {
                self.file(*capability, *access, path, *size, findings)
            }
            Subject::Exec { exec, reading } => self.exec(exec, reading, findings),
            Subject::Http { method, target } => self.http(method, target, findings),
            Subject::GitRead { capability, repo } => {
                self.repository(*capability, repo, RiskLevel::Low, |_| true, findings)
            }
            Subject::GitCommit { repo, branch } => {
                let covers = |grant: &Grant| match (&grant.limits.allowed_branches, branch) {
                    (None, _) => true,
                    (Some(entries), Some(branch)) => {
                        entries.iter().any(|entry| branch_matches(entry, branch))
                    }
                    (Some(_), None) => false,
                };
                self.repository(Capability::GitCommit, repo, RiskLevel::Medium, covers, findings)
            }
            Subject::GitPush { repo, remote, url, target, branch } => {
                let covers = |grant: &Grant| {
                    let branches = grant.limits.allowed_branches.as_deref();
                    branches.is_none_or(|entries| entries.iter().any(|entry| branch_matches(entry, branch)))
                        && git::names_remote(grant, remote, url) != Some(false)
                };
                self.push_target(target, url, findings)?;
                self.repository(Capability::GitPush, repo, RiskLevel::Critical, covers, findings)
            }
            Subject::Backend { tool } => self.backend(tool, findings),
        }
    }

    pub(super) fn deny(&self, capability: Capability, reason: DenialReason) -> Denial {
        Denial { layer: self.layer.name(), capability: Some(capability), reason }
    }

    /// Applies the grants that cover the subject; refuses when none does.
    pub(super) fn granted(
        &self,
        capability: Capability,
        level: RiskLevel,
        covers: impl Fn(&Grant) -> bool,
        (what, limit): (impl Fn() -> String, &'static str),
        findings: &mut Findings,
    ) -> Result<(), Denial> {
        let mut any = false;
        let mut covered = false;
        for grant in self.layer.grants(capability) {
            any = true;
            if covers(grant) {
                covered = true;
                findings.apply(self.layer, grant, level);
            }
        }
        match (any, covered) {
            (false, _) => Err(self.deny(capability, DenialReason::CapabilityMissing(capability))),
            (true, false) => Err(self.deny(capability, DenialReason::OutOfScope { what: what(), limit })),
            (true, true) => Ok(()),
        }
    }

    fn file(
        &self,
        capability: Capability,
        access: Access,
        path: &HostPath,
        size: Option<u64>,
        findings: &mut Findings,
    ) -> Result<(), Denial> {
        let (level, sentence) = match access {
            Access::Read => (RiskLevel::Low, "It only reads."),
            Access::Write => (RiskLevel::Medium, "It changes a file in the workspace."),
            Access::Delete => (RiskLevel::High, "It deletes a file."),
        };
        self.not_blocked(capability, path)?;
        self.granted(
            capability,
            level,
            |grant| grant.covers_path(path),
            (|| path.to_string(), "allowedPaths"),
            findings,
        )?;
        findings.note_risk(level, || sentence.to_owned());
        if let (Some(size), Some(limit)) = (size, findings.limits.max_file_size_bytes)
            && size > limit
        {
            return Err(self.deny(capability, DenialReason::TooLarge { bytes: size, limit }));
        }
        self.protected(capability, path, protection(path, access, self.terms.places), findings)
    }

    pub(super) fn not_blocked(&self, capability: Capability, path: &HostPath) -> Result<(), Denial> {
        match self.layer.grants(capability).any(|grant| grant.blocks_path(path)) {
            true => Err(self.deny(capability, DenialReason::Blocked(path.to_string()))),
            false => Ok(()),
        }
    }

    /// Turns the protection of a path into a refusal or a question.
    pub(super) fn protected(
        &self,
        capability: Capability,
        path: &HostPath,
        found: Option<Protection>,
        findings: &mut Findings,
    ) -> Result<(), Denial> {
        let (must, level, concern) = match found {
            None => return Ok(()),
            Some(Protection::Deny(concern)) => {
                let reason = DenialReason::Protected { path: path.to_string(), why: concern.why() };
                return Err(Denial { layer: HOST_LAYER, capability: Some(capability), reason });
            }
            Some(Protection::MustAsk(level, concern)) => (true, level, concern),
            Some(Protection::Ask(level, concern)) => (false, level, concern),
        };
        // A command does more than touch this path: its question keeps the title of commands.
        let access = match capability {
            Capability::FileRead => Some(Access::Read),
            Capability::FileWrite => Some(Access::Write),
            Capability::FileDelete => Some(Access::Delete),
            _ => None,
        };
        let reason = format!("{path}: {}.", concern.why());
        findings.note_risk(level, || reason.clone());
        findings.ask(Question {
            layer: HOST_LAYER,
            capability,
            must,
            level,
            reason,
            title: access.map(|access| concern.title(access)),
            rule: None,
            longest: if must { Remember::Once } else { Remember::Session },
            at_the_centre: false,
        });
        Ok(())
    }

    /// The layer's demand on the sandbox, for everything that starts a child.
    pub(super) fn confined(&self, capability: Capability) -> Result<(), Denial> {
        let (required, enforced) = (self.layer.required_sandbox(), self.terms.sandbox);
        if enforced >= required {
            return Ok(());
        }
        Err(self.deny(capability, DenialReason::Sandbox { required, enforced }))
    }

    /// A tool outside this host. The central services check again what their own layer wants, and take nobody's word for an
    /// answer but that of a person signed in there: the question is put so that no other answer is given in vain.
    fn backend(&self, tool: &str, findings: &mut Findings) -> Result<(), Denial> {
        let capability = Capability::BackendToolInvoke;
        if !self.terms.options.allow_network {
            return Err(self.deny(capability, DenialReason::NoNetwork));
        }
        findings.note_risk(RiskLevel::High, || String::from("A tool outside this host acts on its own."));
        let what = || format!("the tool {}", visible::clipped_line(tool, SHOWN_CHARS));
        let covers = |grant: &Grant| grant.covers_tool(tool);
        self.granted(capability, RiskLevel::High, covers, (what, "allowedToolNames"), findings)?;
        match self.layer.name() == CENTRAL && findings.leave_to_the_centre(capability) {
            true => Err(self.deny(capability, DenialReason::NobodyToAsk)),
            false => Ok(()),
        }
    }

    fn http(&self, method: &str, target: &HttpTarget, findings: &mut Findings) -> Result<(), Denial> {
        let capability = Capability::NetworkHttp;
        if !self.terms.options.allow_network {
            return Err(self.deny(capability, DenialReason::NoNetwork));
        }
        let host = target.host();
        let blocked = |grant: &Grant| grant.blocked_domains.iter().any(|pattern| pattern.blocks(host));
        if self.layer.grants(capability).any(blocked) {
            return Err(self.deny(capability, DenialReason::Blocked(host.to_string())));
        }
        let covers = |grant: &Grant| {
            grant
                .allowed_domains
                .as_deref()
                .is_none_or(|allowed| allowed.iter().any(|pattern| pattern.allows(host)))
        };
        self.granted(capability, RiskLevel::High, covers, (|| host.to_string(), "allowedDomains"), findings)?;
        // A private address is reached only where an allowing list names that very address.
        if let HttpHost::Address(address) = host
            && let Err(private) = allowed_address(*address)
        {
            let named = |grant: &Grant| {
                grant.allowed_domains.as_deref().is_some_and(|allowed| allowed.iter().any(|p| p.allows(host)))
            };
            if !self.layer.grants(capability).any(named) {
                return Err(self.deny(capability, DenialReason::PrivateAddress(private)));
            }
        }
        let sends = !matches!(method, "GET" | "HEAD" | "OPTIONS");
        findings.note_risk(RiskLevel::High, || match sends {
            true => format!("It sends data to {host}."),
            false => format!("It requests an address from {host}, which learns what the address contains."),
        });
        Ok(())
    }
}
