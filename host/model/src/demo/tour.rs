//! The guided tour: looks, reads, writes, runs, explains.

use serde_json::json;

use super::plan::{Call, Past, Stand, Taken};
use super::thread::Outcome;
use super::words::{fenced, lost, trouble};

/// The file the tour writes.
const FILE: &str = "lanyard-tour.txt";

const LOOKS: &str = "Welcome. I am the demo model, a script without any intelligence; the host around me is the real \
                     one. First I look around. Reading in the workspace is free by policy, so nobody is asked.";

const WRITES: &str = "Next I change something: a small text file. That is what you are asked about, with the exact \
                      text in view. Approve it, or deny it and see what happens.";

const RUNS: &str = "Now a program. It runs confined, as far as this system can do that: it reaches neither the host's \
                    own socket nor its state, so that no program can approve its own request.";

/// Where the tour stands.
pub(super) fn stand(past: &mut Past<'_>) -> Stand {
    let list = [Call::new("ListDirectory", json!({"path": "."}))];
    let listing = match outcome(past, &list) {
        Step::Open => return Stand::Asks(LOOKS.to_owned(), list.into()),
        Step::Lost => return Stand::Stopped(lost()),
        Step::Ended(Outcome::Succeeded(output)) => output,
        Step::Ended(other) => return Stand::Stopped(trouble("Looking around", other)),
    };
    if let Some(readme) = readme(listing) {
        let read = [Call::new("ReadFile", json!({"path": readme}))];
        match outcome(past, &read) {
            Step::Open => return Stand::Asks(format!("There is a {readme}; I read it."), read.into()),
            Step::Lost => return Stand::Stopped(lost()),
            // Whatever it says, the tour goes on.
            Step::Ended(_) => {}
        }
    }
    let write = [Call::new("WriteFile", json!({"path": FILE, "content": text(listing)}))];
    match outcome(past, &write) {
        Step::Open => return Stand::Asks(WRITES.to_owned(), write.into()),
        Step::Lost => return Stand::Stopped(lost()),
        Step::Ended(Outcome::Succeeded(_)) => {}
        Step::Ended(other) => {
            let ends = "Here the tour ends early. A real model meets a refusal the same way: its call does not run, and \
                        it is told so.";
            return Stand::Stopped(format!("{}\n\n{ends}", trouble("Writing the file", other)));
        }
    }
    let run = [Call::new("RunCommand", json!({"argv": ["cat", FILE]}))];
    match outcome(past, &run) {
        Step::Open => Stand::Asks(RUNS.to_owned(), run.into()),
        Step::Lost => Stand::Stopped(lost()),
        Step::Ended(Outcome::Succeeded(output)) => {
            Stand::Done(format!("{}\n\n{}", fenced(output), explained()))
        }
        Step::Ended(other) => {
            Stand::Done(format!("{}\n\n{}", trouble("Running the program", other), explained()))
        }
    }
}

enum Step<'a> {
    Open,
    Lost,
    Ended(&'a Outcome),
}

fn outcome<'a>(past: &mut Past<'a>, call: &[Call; 1]) -> Step<'a> {
    match past.take(call) {
        Taken::Open => Step::Open,
        Taken::Lost => Step::Lost,
        Taken::Ended(outcomes) => outcomes.first().map_or(Step::Lost, |outcome| Step::Ended(outcome)),
    }
}

/// The name of a README in a listing, whatever stands around it.
fn readme(listing: &str) -> Option<&str> {
    let names = listing.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')));
    let is_readme = |name: &&str| {
        let stem = name.split('.').next().unwrap_or_default();
        stem.eq_ignore_ascii_case("readme")
    };
    names.map(|name| name.trim_end_matches('.')).find(is_readme)
}

fn text(listing: &str) -> String {
    let entries = listing.lines().filter(|line| !line.trim().is_empty()).count();
    let saw = match entries {
        0 => "nothing yet".to_owned(),
        1 => "one entry".to_owned(),
        count => format!("{count} entries"),
    };
    format!(
        "Lanyard tour\n\
         ============\n\n\
         The demo model looked at this workspace and saw {saw}.\n\
         It then asked to write this file, and somebody said yes.\n\n\
         To remove it: lanyard run \"delete {FILE}\"\n"
    )
}

fn explained() -> String {
    format!(
        "That was the whole way: a model asks for a tool, the host judges the call by its policy, a person answers where \
         the policy says so, the tool runs confined, its result goes back to the model, and every step is written down \
         before it counts. If the host is killed in between, it goes on from there; nothing runs twice.\n\n\
         Try: `delete {FILE}`, `run ls -l`, `summarise README.md`, or `help`. `lanyard sessions` shows what happened."
    )
}

#[cfg(test)]
mod tests {
    use super::readme;

    #[test]
    fn a_readme_is_found_in_any_listing() {
        for (listing, wanted) in [
            ("README.md\nsrc/\n", Some("README.md")),
            ("file  readme.txt (12 bytes)\n", Some("readme.txt")),
            ("[f] README", Some("README")),
            ("READMEs/\nnot-readme.md\n", None),
            ("", None),
        ] {
            assert_eq!(readme(listing), wanted, "{listing:?}");
        }
    }
}
