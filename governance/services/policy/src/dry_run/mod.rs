//! "What would this get?" A bundle is issued as for a session, and the code that hosts decide with is asked.
//!
//! What only the machine knows is imagined and said: where links lead, which file a program's name stands for, what a
//! name resolves to, where its owner's home is.

mod imagined;

#[cfg(test)]
mod tests;

use lanyard_governance_api::endpoint::DryRunPolicy;
use lanyard_governance_api::policy::{DryAction, DryRun, DryVerdict, PolicyDocument};
use lanyard_governance_foundation::{Ask, Fault};
use lanyard_policy::decide::{Verdict, decide};
use lanyard_policy::demand::Demand;
use lanyard_policy::layer::Layers;
use lanyard_policy::net::{HttpHost, HttpTarget};
use lanyard_policy::path::HostPath;
use lanyard_policy::permit::Ask as Question;
use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::{ApprovalDetail, OtherDetail};
use lanyard_protocol::overview::Standing;
use lanyard_protocol::policy::{ApprovalRule, Capability, PolicyBundle, SandboxLevel};

use crate::issue::{Claim, Source, directories, issue};
use crate::validate::LAYER;
use crate::{State, store, validate};
use imagined::{Imagined, session};

/// `POST /policies/dry-run`.
pub(crate) async fn run(state: State, ask: Ask<DryRunPolicy>) -> Result<DryVerdict, Fault> {
    let DryRun { document, version, workspace, action, sandbox_level } = ask.body;
    let tenant = ask.caller.tenant()?;
    let (standing, in_force) = store::in_force(&state.foundation, tenant).await?;
    let (document, number) = match (document, version) {
        (Some(_), Some(_)) => return Err(Fault::invalid("give a document or a version, not both")),
        (Some(document), None) => (document, standing.last_version + 1),
        (None, Some(number)) => {
            let mut tx = state.foundation.database.read(&ask.caller).await?;
            (store::one(&mut tx, number).await?.document, number)
        }
        (None, None) => match &standing.revoked {
            Some(reason) => {
                let reason = format!("No policy is in force; it was revoked: {reason}");
                return Ok(DryVerdict {
                    standing: Standing::Never,
                    reasons: vec![reason],
                    needs: vec![],
                    rule: None,
                });
            }
            None => (in_force.document, in_force.version),
        },
    };
    let (workspace, now) = (directories(&workspace)?, state.foundation.clock.now());
    let look = move || {
        validate::must_hold(&document)?;
        let (epoch, sandbox) = (standing.epoch, sandbox_level);
        World { document: &document, version: number, epoch, workspace, sandbox, now }.verdict(&action)
    };
    state.beside(tenant, look).await?
}

/// An imagined session.
pub(crate) struct World<'w> {
    document: &'w PolicyDocument,
    version: u64,
    epoch: u64,
    workspace: Vec<HostPath>,
    sandbox: SandboxLevel,
    now: Timestamp,
}

impl World<'_> {
    /// The bundle of the imagined session.
    fn bundle(&self) -> Result<PolicyBundle, Fault> {
        let session = session()?;
        let claim =
            Claim { tenant: "imagined", user: "imagined", session: &session, directories: &self.workspace };
        let source = Source { document: self.document, version: self.version, epoch: self.epoch };
        issue(source, claim, self.now).map_err(|problem| Fault::invalid(problem.to_string()))
    }

    fn verdict(&self, action: &DryAction) -> Result<DryVerdict, Fault> {
        let bundle = self.bundle()?;
        let rules = bundle.approval_rules.clone();
        let layers = Layers::validate(vec![(LAYER, bundle)], &session()?, self.now)
            .map_err(|fault| Fault::from(fault.to_wire()))?;
        let (demand, place) = match self.demand(action, &layers)? {
            Ok(found) => found,
            Err(refused) => return Ok(refused),
        };
        let needs = needs(&demand);
        let imagined = Imagined::new(&self.workspace, place.as_ref(), self.sandbox)?;
        let call = imagined.call(action, demand.clone())?;
        let mut verdict = match decide(&layers, call, &imagined.terms(self.now)) {
            Verdict::Denied(denial) => {
                return Ok(never(format!("{denial}."), needs));
            }
            Verdict::Ask(question) => asked(&question, &rules, needs, self.now),
            Verdict::Allowed(_) => {
                let reason = "The policy allows it without a question.".to_owned();
                DryVerdict { standing: Standing::Free, reasons: vec![reason], needs, rule: None }
            }
        };
        if let Some(place) = place.filter(|place| !self.holds(place)) {
            return Ok(never(self.outside(&place), verdict.needs));
        }
        verdict.reasons.extend(self.unknown(&demand));
        Ok(verdict)
    }

    /// What the action would want, and the place that must lie in the session's directories.
    fn demand(&self, action: &DryAction, layers: &Layers) -> Result<Result<Wanted, DryVerdict>, Fault> {
        let parse = |what: &str, text: &str| {
            HostPath::parse(text).map_err(|fault| Fault::invalid(format!("{what}: {fault}")))
        };
        let wanted = match action {
            DryAction::Command { line, cwd } => {
                let cwd = match cwd {
                    Some(cwd) => parse("cwd", cwd)?,
                    None => self.workspace.first().cloned().ok_or_else(|| {
                        Fault::invalid("say where the command runs: cwd, or a directory of the session")
                    })?,
                };
                (imagined::exec(line, &cwd, layers)?, Some(cwd))
            }
            DryAction::Path { capability, path } => {
                let path = parse("path", path)?;
                (imagined::file(*capability, &path)?, Some(path))
            }
            DryAction::Url { method, url } => match HttpTarget::parse(url) {
                // What is judged is what is requested, not another spelling of it.
                Ok(target) => {
                    let url = target.as_str().to_owned();
                    (Demand::Http { method: method.to_uppercase(), url }, None)
                }
                Err(fault) => {
                    let reason = format!("The address is refused: {fault}.");
                    return Ok(Err(never(reason, vec![Capability::NetworkHttp])));
                }
            },
            DryAction::Tool { name } => {
                if name.trim().is_empty() {
                    return Err(Fault::invalid("the name of the tool is empty"));
                }
                (Demand::Backend { tool: name.clone(), definition: String::new() }, None)
            }
        };
        Ok(Ok(wanted))
    }

    fn holds(&self, place: &HostPath) -> bool {
        self.workspace.iter().any(|directory| place.is_within(directory))
    }

    fn outside(&self, place: &HostPath) -> String {
        if self.workspace.is_empty() {
            return format!(
                "{place} is not reached: a session without directories works in an empty one of its own."
            );
        }
        let directories: Vec<&str> = self.workspace.iter().map(HostPath::as_str).collect();
        format!(
            "{place} lies outside the session's directories ({}): hosts reach nothing elsewhere, whatever policy says.",
            directories.join(", ")
        )
    }

    /// What only the machine knows.
    fn unknown(&self, demand: &Demand) -> Vec<String> {
        let text = match demand {
            Demand::ReadPath(_) | Demand::WritePath { .. } | Demand::DeletePath(_) => {
                "Not imagined: symbolic links. A host follows them first and judges where they lead."
            }
            Demand::Exec(_) if self.sandbox < SandboxLevel::Full => {
                "Not imagined: which file a program's name stands for, and where links lead. A host that does not \
                 confine programs fully refuses them unless its owner has accepted that."
            }
            Demand::Exec(_) => {
                "Not imagined: which file a program's name stands for, and where links lead. A host refuses a program \
                 that it would take from where the agent can write."
            }
            Demand::Http { url, .. } => match HttpTarget::parse(url).map(|target| target.host().clone()) {
                Ok(HttpHost::Name(_)) => {
                    "Not imagined: the addresses behind the name. A host refuses private ones unless policy lists them."
                }
                _ => return Vec::new(),
            },
            _ => return Vec::new(),
        };
        vec![text.to_owned()]
    }
}

type Wanted = (Demand, Option<HostPath>);

fn needs(demand: &Demand) -> Vec<Capability> {
    let mut needs = vec![demand.capability()];
    if matches!(demand, Demand::Exec(exec) if exec.network) {
        needs.push(Capability::NetworkHttp);
    }
    needs
}

fn never(reason: String, needs: Vec<Capability>) -> DryVerdict {
    DryVerdict { standing: Standing::Never, reasons: vec![reason], needs, rule: None }
}

fn asked(question: &Question, rules: &[ApprovalRule], needs: Vec<Capability>, now: Timestamp) -> DryVerdict {
    let detail = ApprovalDetail::Other(OtherDetail { text: String::new() });
    let id = question.request("dry run", detail, now, now).approval_rule_id;
    let rule = rules.iter().find(|rule| Some(&rule.approval_rule_id) == id.as_ref()).cloned();
    DryVerdict { standing: Standing::Asks, reasons: question.reasons().to_vec(), needs, rule }
}
