//! Whether a document can be put in force: first its shape, then its meaning, and at the end what hosts say to a bundle
//! issued from it.

mod grants;
mod meaning;
mod shape;

#[cfg(test)]
mod tests;

use lanyard_governance_api::policy::{PolicyDocument, PolicyProblem};
use lanyard_governance_foundation::Fault;
use lanyard_protocol::ErrorCode;
use serde_json::Value;

pub(crate) use meaning::LAYER;

/// Problems told at once; a document with more is read again when these are mended.
const MAX_PROBLEMS: usize = 200;

/// Problems as they are found.
#[derive(Debug, Default)]
struct Problems(Vec<PolicyProblem>);

impl Problems {
    fn fatal(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.add(pointer.into(), message.into(), true);
    }

    fn advice(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.add(pointer.into(), message.into(), false);
    }

    fn add(&mut self, pointer: String, message: String, fatal: bool) {
        // Advice leaves room for what must be mended.
        let room = if fatal { MAX_PROBLEMS } else { MAX_PROBLEMS / 2 };
        if self.0.len() < room {
            self.0.push(PolicyProblem { pointer, message, fatal });
        }
    }

    fn any_fatal(&self) -> bool {
        self.0.iter().any(|problem| problem.fatal)
    }
}

/// What is wrong with a document as it stands in an editor.
pub(crate) fn text(document: &Value) -> Vec<PolicyProblem> {
    match shape::read(document) {
        Ok(document) => problems(&document),
        Err(problems) => problems,
    }
}

/// What is wrong with a document that parses.
pub(crate) fn problems(document: &PolicyDocument) -> Vec<PolicyProblem> {
    let mut problems = Problems::default();
    meaning::check(document, &mut problems);
    problems.0
}

/// Refuses a document that hosts would refuse.
///
/// # Errors
/// `POLICY_BUNDLE_INVALID` with the problems in the details.
pub(crate) fn must_hold(document: &PolicyDocument) -> Result<(), Fault> {
    let problems: Vec<PolicyProblem> =
        problems(document).into_iter().filter(|problem| problem.fatal).collect();
    let Some(first) = problems.first() else { return Ok(()) };
    let at = if first.pointer.is_empty() { String::new() } else { format!(" at {}", first.pointer) };
    let more = match problems.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    let text = format!("this policy cannot be put in force{at}: {}{more}", first.message);
    let details = serde_json::to_value(&problems).unwrap_or_default();
    Err(Fault::new(ErrorCode::PolicyBundleInvalid, text).with("problems", details))
}
