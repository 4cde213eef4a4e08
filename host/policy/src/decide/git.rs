//! Scope of the git tools: the repository they work in and the remote they publish to.

use lanyard_protocol::{
    approval::RiskLevel,
    policy::{Capability, Remember},
};

use super::{Denial, DenialReason, Findings, HOST_LAYER, Question, scope::Judge};
use crate::{
    gitname::Remote,
    layer::Grant,
    path::{Access, HostPath, Protection, protection},
};

impl Judge<'_> {
    pub(super) fn repository(
        &self,
        capability: Capability,
        repo: &HostPath,
        level: RiskLevel,
        covers: impl Fn(&Grant) -> bool,
        findings: &mut Findings,
    ) -> Result<(), Denial> {
        self.confined(capability)?;
        self.not_blocked(capability, repo)?;
        if let Some(Protection::Deny(why)) = protection(repo, Access::Read, self.terms.places) {
            return self.protected(capability, repo, Some(Protection::Deny(why)), findings);
        }
        let covers = |grant: &Grant| grant.covers_repo(repo) && grant.covers_path(repo) && covers(grant);
        let what = || format!("the repository {repo} with this branch and remote");
        self.granted(
            capability,
            level,
            covers,
            (what, "repoPaths, allowedBranches or allowedRemotes"),
            findings,
        )?;
        findings.note_risk(level, || match capability {
            Capability::GitPush => String::from("It publishes commits to another repository."),
            Capability::GitCommit => String::from("It adds a commit to the repository."),
            _ => String::from("It reads the repository."),
        });
        Ok(())
    }

    /// A push to another machine needs the network; one to a directory of this machine runs that repository's hooks,
    /// so a person is asked unless policy lists that very directory.
    pub(super) fn push_target(
        &self,
        target: &Remote,
        url: &str,
        findings: &mut Findings,
    ) -> Result<(), Denial> {
        let capability = Capability::GitPush;
        let path = match target {
            Remote::Network if self.terms.options.allow_network => return Ok(()),
            Remote::Network => return Err(self.deny(capability, DenialReason::NoNetwork)),
            Remote::Local(path) => path,
        };
        let denied = protection(path, Access::Read, self.terms.places)
            .filter(|found| matches!(found, Protection::Deny(_)));
        self.protected(capability, path, denied, findings)?;
        if self.layer.grants(capability).any(|grant| names_remote(grant, "", url) == Some(true)) {
            return Ok(());
        }
        findings.ask(Question {
            layer: HOST_LAYER,
            capability,
            must: true,
            level: RiskLevel::High,
            reason: format!("It pushes into {path} on this machine, and that repository's hooks run."),
            title: Some("Push into a repository on this machine?"),
            rule: None,
            longest: Remember::Once,
            at_the_centre: false,
        });
        Ok(())
    }
}

/// Whether the grant's list of remotes names this one, by name or address; `None` without a list.
pub(super) fn names_remote(grant: &Grant, remote: &str, url: &str) -> Option<bool> {
    let entries = grant.limits.allowed_remotes.as_deref()?;
    Some(entries.iter().any(|entry| entry == remote || entry == url))
}
