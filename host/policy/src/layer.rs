//! A validated policy bundle, compiled for quick decisions, and the layers that apply to a session.

use lanyard_protocol::{
    Timestamp,
    id::SessionId,
    policy::{ApprovalRule, Capability, CapabilityGrant, PolicyBundle, SandboxLevel},
};

use crate::{
    bundle::{self, BundleFault, GrantFault},
    commands::program_name,
    net::DomainPattern,
    path::{FoldedPath, HostPath},
};

/// The layer of bundles that central services issued.
pub use lanyard_protocol::policy::CENTRAL_LAYER as CENTRAL;

/// All bundles in force for a session, at least one. They are never merged: each is evaluated and the strictest
/// verdict wins.
#[derive(Clone, Debug)]
pub struct Layers {
    layers: Vec<Layer>,
}

impl Layers {
    /// Validates and compiles the bundles issued for `session`.
    ///
    /// # Errors
    /// [`BundleFault`] for the first bundle that does not hold, or when there is none: a session without policy does
    /// not start.
    pub fn validate(
        issued: Vec<(&'static str, PolicyBundle)>,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<Self, BundleFault> {
        if issued.is_empty() {
            return Err(BundleFault::Missing);
        }
        let compile = |(name, bundle)| Layer::compile(name, bundle, session, now);
        Ok(Self { layers: issued.into_iter().map(compile).collect::<Result<_, _>>()? })
    }

    /// The layers, in the order they were issued.
    pub fn iter(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter()
    }

    /// The instant at which the first layer runs out.
    pub fn expires_at(&self) -> Timestamp {
        self.layers.iter().map(|layer| layer.bundle.expires_at).min().unwrap_or_default()
    }

    /// The highest epoch of any layer, for display; approvals are bound to [`Layers::epochs`].
    pub fn epoch(&self) -> u64 {
        self.layers.iter().map(|layer| layer.bundle.policy_epoch).max().unwrap_or_default()
    }

    /// Name and epoch of every layer.
    pub fn epochs(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.layers.iter().map(|layer| (layer.name, layer.bundle.policy_epoch))
    }
}

/// One bundle and what was compiled from it.
#[derive(Clone, Debug)]
pub struct Layer {
    name: &'static str,
    bundle: PolicyBundle,
    grants: Vec<Grant>,
}

impl Layer {
    fn compile(
        name: &'static str,
        bundle: PolicyBundle,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<Self, BundleFault> {
        bundle::validate(&bundle, session, now)?;
        let compile = |grant: &CapabilityGrant| {
            Grant::compile(grant).map_err(|fault| BundleFault::Grant { capability: grant.name, fault })
        };
        let grants = bundle.capabilities.iter().map(compile).collect::<Result<_, _>>()?;
        Ok(Self { name, bundle, grants })
    }

    /// Which layer it is ("local", "central").
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The bundle as issued.
    pub fn bundle(&self) -> &PolicyBundle {
        &self.bundle
    }

    pub(crate) fn grants(&self, capability: Capability) -> impl Iterator<Item = &Grant> {
        self.grants.iter().filter(move |grant| grant.capability == capability)
    }

    pub(crate) fn required_sandbox(&self) -> SandboxLevel {
        self.bundle.required_sandbox_level
    }

    /// The rule a grant refers to. Validation has made sure that it exists.
    pub(crate) fn rule(&self, grant: &Grant) -> Option<&ApprovalRule> {
        let id = grant.limits.approval_rule_id.as_ref()?;
        self.bundle.approval_rules.iter().find(|rule| rule.approval_rule_id == *id)
    }
}

/// A grant with its lists parsed. An absent list is no limit, an empty one allows nothing.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) capability: Capability,
    pub(crate) allowed_paths: Option<Vec<HostPath>>,
    pub(crate) blocked_paths: Vec<FoldedPath>,
    pub(crate) allowed_commands: Option<Vec<Vec<String>>>,
    pub(crate) blocked_commands: Vec<Vec<String>>,
    pub(crate) allowed_domains: Option<Vec<DomainPattern>>,
    pub(crate) blocked_domains: Vec<DomainPattern>,
    pub(crate) allowed_cwds: Option<Vec<HostPath>>,
    pub(crate) repo_paths: Option<Vec<HostPath>>,
    /// The grant as issued, for the lists of plain names and the numbers.
    pub(crate) limits: CapabilityGrant,
}

impl Grant {
    fn compile(grant: &CapabilityGrant) -> Result<Self, GrantFault> {
        let is_file =
            matches!(grant.name, Capability::FileRead | Capability::FileWrite | Capability::FileDelete);
        let mut allowed_paths = paths("allowedPaths", grant.allowed_paths.as_ref())?;
        if is_file {
            allowed_paths.get_or_insert_default();
        }
        let blocked = paths("blockedPaths", grant.blocked_paths.as_ref())?.unwrap_or_default();
        Ok(Self {
            capability: grant.name,
            allowed_paths,
            blocked_paths: blocked.iter().map(HostPath::folded).collect(),
            allowed_commands: commands("allowedCommands", grant.allowed_commands.as_ref())?,
            blocked_commands: commands("blockedCommands", grant.blocked_commands.as_ref())?
                .unwrap_or_default(),
            allowed_domains: domains("allowedDomains", grant.allowed_domains.as_ref())?,
            blocked_domains: domains("blockedDomains", grant.blocked_domains.as_ref())?.unwrap_or_default(),
            allowed_cwds: paths("allowedCwds", grant.allowed_cwds.as_ref())?,
            repo_paths: paths("repoPaths", grant.repo_paths.as_ref())?,
            limits: grant.clone(),
        })
    }

    /// Whether `path` lies under an allowed path, or no list limits it.
    pub(crate) fn covers_path(&self, path: &HostPath) -> bool {
        within(self.allowed_paths.as_deref(), path)
    }

    /// Whether `path` is blocked, in any spelling.
    pub(crate) fn blocks_path(&self, path: &HostPath) -> bool {
        if self.blocked_paths.is_empty() {
            return false;
        }
        let folded = path.folded();
        self.blocked_paths.iter().any(|blocked| folded.is_within(blocked))
    }

    /// Whether a command may run in `cwd`.
    pub(crate) fn covers_cwd(&self, cwd: &HostPath) -> bool {
        within(self.allowed_cwds.as_deref(), cwd)
    }

    /// Whether a tool outside this host may be used.
    pub(crate) fn covers_tool(&self, tool: &str) -> bool {
        let names = self.limits.allowed_tool_names.as_deref();
        names.is_none_or(|names| names.iter().any(|name| name == tool))
    }

    /// Whether git may work in `repo`.
    pub(crate) fn covers_repo(&self, repo: &HostPath) -> bool {
        within(self.repo_paths.as_deref(), repo)
    }

    /// Whether `argv` begins with the words of an allowed entry; the program must be spelled as in the entry.
    pub(crate) fn covers_command(&self, argv: &[String]) -> bool {
        match &self.allowed_commands {
            None => true,
            Some(entries) => entries.iter().any(|entry| argv.starts_with(entry)),
        }
    }

    /// Whether `argv` begins with the words of a blocked entry; the program counts under any path and spelling.
    pub(crate) fn blocks_command(&self, argv: &[String]) -> bool {
        let Some((program, args)) = argv.split_first() else { return false };
        let name = program_name(program);
        self.blocked_commands.iter().any(|entry| match entry.split_first() {
            Some((blocked, rest)) => {
                (*blocked == *program || program_name(blocked) == name) && args.starts_with(rest)
            }
            None => false,
        })
    }
}

fn within(allowed: Option<&[HostPath]>, path: &HostPath) -> bool {
    allowed.is_none_or(|allowed| allowed.iter().any(|root| path.is_within(root)))
}

fn paths(list: &'static str, texts: Option<&Vec<String>>) -> Result<Option<Vec<HostPath>>, GrantFault> {
    let parse = |text: &String| {
        HostPath::parse(text).map_err(|why| GrantFault { list, entry: text.clone(), why: why.to_string() })
    };
    texts.map(|texts| texts.iter().map(parse).collect()).transpose()
}

fn domains(
    list: &'static str,
    texts: Option<&Vec<String>>,
) -> Result<Option<Vec<DomainPattern>>, GrantFault> {
    let parse = |text: &String| {
        DomainPattern::parse(text).map_err(|why| GrantFault {
            list,
            entry: text.clone(),
            why: why.to_string(),
        })
    };
    texts.map(|texts| texts.iter().map(parse).collect()).transpose()
}

/// Entries are words separated by single spaces; anything that looks like a pattern or a quote would be read as
/// more than it is and is refused.
fn commands(list: &'static str, texts: Option<&Vec<String>>) -> Result<Option<Vec<Vec<String>>>, GrantFault> {
    let parse = |text: &String| {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        let odd = |word: &String| {
            word.is_empty()
                || word.contains(['*', '?', '"', '\'', '`', '$', '\\', ';', '|', '&', '<', '>', '\t', '\n'])
        };
        match words.iter().any(odd) {
            true => Err(GrantFault {
                list,
                entry: text.clone(),
                why: "words separated by single spaces, no patterns".into(),
            }),
            false => Ok(words),
        }
    };
    texts.map(|texts| texts.iter().map(parse).collect()).transpose()
}
