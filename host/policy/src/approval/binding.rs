//! What an approval is bound to: a digest over everything that will happen, and the smaller one a remembered rule
//! matches.

use lanyard_protocol::{
    id::{ApprovalId, HostId, IdError, PrincipalId},
    tool::ToolRequest,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    demand::{ContentHash, Demand, PlannedCall, Program},
    layer::Layers,
};

/// Digest over one call exactly as it will run: host, session, task, step, call, initiator, tool, canonical
/// arguments, what policy was asked for (variables and standard input of programs among it), contents of the
/// executable and of files named, and the policy epochs. Equal bindings are the same call under the same policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding([u8; 32]);

impl Binding {
    pub(crate) fn of(call: &PlannedCall, host: &HostId, initiator: &PrincipalId, layers: &Layers) -> Self {
        let request = call.request();
        let mut digest = Fields::new("lanyard approval binding 2");
        digest.text(host.as_str());
        digest.text(request.session_id.as_str());
        digest.text(request.task_id.as_str());
        digest.text(request.step_id.as_str());
        digest.text(request.tool_call_id.as_str());
        digest.text(initiator.as_str());
        what_happens(&mut digest, call);
        for (name, epoch) in layers.epochs() {
            digest.text(name);
            digest.bytes(&epoch.to_be_bytes());
        }
        Self(digest.finish())
    }

    /// The approval's id.
    ///
    /// # Errors
    /// None in practice: hex digits satisfy the id grammar.
    pub fn approval_id(&self) -> Result<ApprovalId, IdError> {
        ApprovalId::new(format!("apr-{}", data_encoding::HEXLOWER.encode(&self.0)))
    }

    pub(crate) fn is_of(&self, id: &ApprovalId) -> bool {
        self.approval_id().is_ok_and(|own| own == *id)
    }
}

/// Hex digest over what a remembered rule covers: workspace, tool, canonical arguments, demands and contents. It
/// leaves out who asked when, and nothing else, so a rule can never cover more than what was seen.
pub fn fingerprint(call: &PlannedCall, host: &HostId) -> String {
    let mut digest = Fields::new("lanyard remembered rule 2");
    digest.text(host.as_str());
    what_happens(&mut digest, call);
    data_encoding::HEXLOWER.encode(&digest.finish())
}

fn what_happens(digest: &mut Fields, call: &PlannedCall) {
    let request: &ToolRequest = call.request();
    digest.text(request.workspace_id.as_str());
    digest.text(&request.tool_name);
    canonical(digest, &request.arguments.0);
    digest.count(call.demands().len());
    for demand in call.demands() {
        demanded(digest, demand);
    }
    let mut contents: Vec<&ContentHash> = call.contents().iter().collect();
    contents.sort();
    digest.count(contents.len());
    for content in contents {
        digest.path(&content.path);
        digest.text(content.sha256.as_deref().unwrap_or("absent"));
    }
}

fn demanded(digest: &mut Fields, demand: &Demand) {
    digest.text(demand.capability().as_str());
    match demand {
        Demand::ReadPath(path) | Demand::DeletePath(path) => digest.path(path),
        Demand::WritePath { path, size } => {
            digest.path(path);
            digest.bytes(&size.to_be_bytes());
        }
        Demand::Exec(exec) => {
            match &exec.program {
                Program::Argv(argv) => {
                    digest.text("argv");
                    digest.count(argv.len());
                    argv.iter().for_each(|word| digest.text(word));
                }
                Program::Shell(text) => {
                    digest.text("shell");
                    digest.text(text);
                }
            }
            digest.path(&exec.cwd);
            digest.bytes(&exec.timeout_seconds.to_be_bytes());
            digest.bytes(&[u8::from(exec.network)]);
            digest.count(exec.environment.len());
            for (name, value) in &exec.environment {
                digest.text(name);
                digest.text(value);
            }
            digest.bytes(&[u8::from(exec.stdin.is_some())]);
            digest.text(exec.stdin.as_deref().unwrap_or_default());
        }
        Demand::Http { method, url } => {
            digest.text(method);
            digest.text(url);
        }
        Demand::GitStatus { repo } | Demand::GitDiff { repo } => digest.path(repo),
        Demand::GitCommit { repo, branch } => {
            digest.path(repo);
            digest.bytes(&[u8::from(branch.is_some())]);
            digest.text(branch.as_deref().unwrap_or_default());
        }
        Demand::GitPush { repo, remote, url, branch } => {
            digest.path(repo);
            [remote, url, branch].into_iter().for_each(|text| digest.text(text));
        }
        Demand::Backend { tool, definition } => {
            digest.text(tool);
            digest.text(definition);
        }
    }
}

/// Every value with its kind and length, objects sorted by key, so that no two values give the same bytes.
fn canonical(digest: &mut Fields, value: &Value) {
    match value {
        Value::Null => digest.text("null"),
        Value::Bool(yes) => digest.text(if *yes { "true" } else { "false" }),
        Value::Number(number) => {
            digest.text("number");
            digest.text(&number.to_string());
        }
        Value::String(text) => {
            digest.text("string");
            digest.text(text);
        }
        Value::Array(items) => {
            digest.text("array");
            digest.count(items.len());
            items.iter().for_each(|item| canonical(digest, item));
        }
        Value::Object(members) => {
            digest.text("object");
            digest.count(members.len());
            // The order of the map depends on features other crates switch on; sorted here, always.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            for (key, member) in members {
                digest.text(key);
                canonical(digest, member);
            }
        }
    }
}

/// A digest over length-prefixed fields.
struct Fields(Sha256);

impl Fields {
    fn new(purpose: &str) -> Self {
        let mut fields = Self(Sha256::new());
        fields.text(purpose);
        fields
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn path(&mut self, path: &std::path::Path) {
        self.bytes(path.as_os_str().as_encoded_bytes());
    }

    fn count(&mut self, count: usize) {
        self.bytes(&(count as u64).to_be_bytes());
    }

    fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}
