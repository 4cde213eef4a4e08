//! What the demo model understands: tokens in, requests out.

mod clause;

use super::lexer::{Gap, Kind, Token, tokens};
use clause::{Clause, is_filler};

/// Most repetitions by `N times`, and most requests of one prompt: a task has at most 200 steps.
const MAX_REQUESTS: usize = 200;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    List { path: String },
    Read { paths: Vec<String> },
    Write { path: String, text: String },
    Append { path: String, text: String },
    Replace { path: String, old: String, new: String },
    Delete { paths: Vec<String> },
    Move { from: String, to: String },
    Run { command: String },
    Find { pattern: String, path: Option<String> },
    Grep { pattern: String, path: Option<String> },
    Fetch { url: String },
    Status,
    Diff { staged: bool },
    Commit { message: String, everything: bool },
    Push { branch: String, remote: String },
    Summarise { path: String },
    Tour,
}

/// A prompt as understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Prompt {
    /// These, in order.
    Do(Vec<Request>),
    /// What can you do?
    Help,
    /// This part is not understood.
    Unknown(String),
}

/// Words around a directory that mean the workspace itself.
const HERE: &[&str] =
    &["here", "workspace", "project", "repository", "repo", "directory", "folder", "it", "there", "."];

/// Reads a prompt: its last paragraph, split at `then` and at line ends.
pub(super) fn understand(prompt: &str) -> Prompt {
    let all = tokens(prompt);
    let start = all.iter().rposition(|token| token.gap == Gap::Paragraph).unwrap_or(0);
    let mut requests = Vec::new();
    for clause in clauses(&all[start..]) {
        let clause = Clause { source: prompt, tokens: clause };
        let (clause, times) = clause.times();
        let clause = clause.without_courtesy();
        if clause.tokens.is_empty() {
            continue;
        }
        if clause.is_help() {
            return Prompt::Help;
        }
        let Some(request) = clause.request() else {
            return Prompt::Unknown(clause.raw().to_owned());
        };
        let room = MAX_REQUESTS.saturating_sub(requests.len());
        requests.extend(std::iter::repeat_n(request, times.min(room)));
    }
    if requests.is_empty() { Prompt::Help } else { Prompt::Do(requests) }
}

/// Splits at `then` and at line ends.
fn clauses(tokens: &[Token]) -> Vec<&[Token]> {
    let mut clauses = Vec::new();
    let mut start = 0;
    for (at, token) in tokens.iter().enumerate() {
        if token.gap >= Gap::Line && at > start {
            clauses.push(&tokens[start..at]);
            start = at;
        }
        if token.keyword() == "then" {
            clauses.push(&tokens[start..at]);
            start = at + 1;
        }
    }
    clauses.push(&tokens[start..]);
    clauses
}

impl Clause<'_> {
    fn is_help(self) -> bool {
        let phrase = self.phrase();
        let questions = ["what can you", "who are you", "what are you"];
        matches!(phrase.as_str(), "help" | "?") || questions.iter().any(|begin| phrase.starts_with(begin))
    }

    fn request(self) -> Option<Request> {
        self.whole_phrase().or_else(|| self.by_verb())
    }

    /// Requests recognised by all their words.
    fn whole_phrase(self) -> Option<Request> {
        let words: Vec<String> = self.tokens.iter().map(Token::keyword).collect();
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        if matches!(words.first(), Some(&("what's" | "what\u{2019}s" | "whats"))) {
            words.splice(..1, ["what", "is"]);
        }
        if let ["what", "is", "in", place @ ..] | ["what", "files", "are", "in", place @ ..] =
            words.as_slice()
            && place.iter().all(|word| HERE.contains(word) || matches!(*word, "this" | "the" | "my"))
            && !place.is_empty()
        {
            return Some(here());
        }
        Some(match words.as_slice() {
            ["what", "is" | "are", "here"] | ["ls" | "list" | "dir"] => here(),
            ["what", "files", "are", "here" | "there"] | ["look", "around"] => here(),
            ["tour"] | ["guided", "tour"] | ["show", "around"] | ["show", "me", "around"] | ["demo"] => {
                Request::Tour
            }
            [.., "a" | "the" | "guided", "tour"] | ["tour", "please"] => Request::Tour,
            ["git", "status"] | ["show", "the", "git", "status"] | ["show", "git", "status"] => {
                Request::Status
            }
            ["what", "changed"] | ["what", "has", "changed"] | ["status"] => Request::Status,
            ["git", "diff"] | ["show", "the", "diff"] | ["show", "the", "git", "diff"] | ["diff"] => {
                Request::Diff { staged: false }
            }
            ["git", "diff", "staged" | "--staged" | "--cached"] | ["show", "the", "staged", "diff"] => {
                Request::Diff { staged: true }
            }
            _ => return None,
        })
    }

    /// Requests recognised by their first word.
    fn by_verb(self) -> Option<Request> {
        let rest = self.from(1);
        match self.keyword(0).as_str() {
            "list" | "ls" => rest.list(),
            "read" | "show" | "cat" | "print" | "open" | "display" | "view" => {
                Some(Request::Read { paths: rest.names()? })
            }
            "write" | "put" | "save" => rest.write(&["to", "into", "in", "as"]),
            "create" | "make" => rest.create(),
            "append" | "add" => match rest.write(&["to"])? {
                Request::Write { path, text } => Some(Request::Append { path, text }),
                _ => None,
            },
            "replace" | "change" => rest.replace(),
            "in" => self.replace_in(),
            "delete" | "remove" | "rm" => Some(Request::Delete { paths: rest.names()? }),
            "rename" | "move" | "mv" => rest.relocate(),
            "run" | "execute" | "exec" | "$" => rest.run(),
            "find" => rest.find(),
            "search" | "grep" => rest.grep(),
            "fetch" | "get" | "download" | "visit" => rest.fetch(),
            "summarise" | "summarize" | "sum" => rest.summarise(),
            "commit" => rest.commit(),
            "push" => rest.push(),
            "git" if matches!(self.keyword(1).as_str(), "commit" | "push") => rest.by_verb(),
            _ => None,
        }
    }

    fn list(self) -> Option<Request> {
        let named = match self.position(&["in", "of", "under", "inside"]) {
            Some(at) => self.from(at + 1),
            None => self,
        };
        match named.name() {
            Some(path) if !HERE.contains(&path.as_str()) => Some(Request::List { path }),
            Some(_) => Some(here()),
            None => {
                named.tokens.iter().all(|t| is_filler(t) || HERE.contains(&t.keyword().as_str())).then(here)
            }
        }
    }

    /// `TEXT to NAME`.
    fn write(self, links: &[&str]) -> Option<Request> {
        // The last link that has a single name behind it: the text may hold the same words.
        let at = (0..self.tokens.len())
            .rev()
            .find(|at| links.contains(&self.keyword(*at).as_str()) && self.from(at + 1).name().is_some())?;
        let text = self.until(at).text().filter(|_| at > 0)?;
        Some(Request::Write { path: self.from(at + 1).name()?, text })
    }

    /// `NAME with TEXT`, or for an empty file `NAME` alone, where it looks like the name of a file.
    fn create(self) -> Option<Request> {
        let Some(at) = self.position(&["with", "containing", "saying", "that"]) else {
            let path = self.name()?;
            let says_so = self.position(&["file"]).is_some() || path.contains(['.', '/']);
            return says_so.then_some(Request::Write { path, text: String::new() });
        };
        let mut text = self.from(at + 1);
        while matches!(
            text.keyword(0).as_str(),
            "the" | "content" | "contents" | "text" | "says" | "contains" | "line"
        ) {
            text = text.from(1);
        }
        Some(Request::Write { path: self.until(at).name()?, text: text.text()? })
    }

    /// `OLD with NEW in NAME`.
    fn replace(self) -> Option<Request> {
        let into = self.position(&["in"])?;
        let (texts, path) = (self.until(into), self.from(into + 1).name()?);
        texts.replace_texts(path)
    }

    /// `in NAME replace OLD with NEW`.
    fn replace_in(self) -> Option<Request> {
        let verb = self.position(&["replace", "change"])?;
        let path = self.from(1).until(verb - 1).name()?;
        self.from(verb + 1).replace_texts(path)
    }

    fn replace_texts(self, path: String) -> Option<Request> {
        let at = self.position(&["with", "by", "to"])?;
        let old = self.until(at).text().filter(|old| !old.is_empty())?;
        Some(Request::Replace { path, old, new: self.from(at + 1).text()? })
    }

    fn relocate(self) -> Option<Request> {
        let at = self.position(&["to", "into", "as"])?;
        Some(Request::Move { from: self.until(at).name()?, to: self.from(at + 1).name()? })
    }

    fn run(self) -> Option<Request> {
        let rest = if matches!((self.keyword(0).as_str(), self.keyword(1).as_str()), ("the", "command")) {
            self.from(2)
        } else if self.keyword(0) == "command" {
            self.from(1)
        } else {
            self
        };
        let command = rest.text()?;
        (!command.trim().is_empty()).then_some(Request::Run { command })
    }

    fn find(self) -> Option<Request> {
        let (what, path) = self.place();
        let what = match what.position(&["named", "called", "matching", "like"]) {
            Some(at) => what.from(at + 1),
            None => what,
        };
        Some(Request::Find { pattern: what.name()?, path })
    }

    fn grep(self) -> Option<Request> {
        let (what, path) = self.place();
        let what = if what.keyword(0) == "for" { what.from(1) } else { what };
        let pattern = what.text().filter(|pattern| !pattern.is_empty())?;
        Some(Request::Grep { pattern, path })
    }

    /// Takes `in NAME` off the end.
    fn place(self) -> (Self, Option<String>) {
        let Some(at) = self.position(&["in", "under", "below"]).filter(|at| *at > 0) else {
            return (self, None);
        };
        let path = self.from(at + 1).name().filter(|path| !HERE.contains(&path.as_str()));
        (self.until(at), path)
    }

    fn fetch(self) -> Option<Request> {
        let url = self.name()?;
        (url.starts_with("http://") || url.starts_with("https://")).then_some(Request::Fetch { url })
    }

    fn summarise(self) -> Option<Request> {
        let rest = if self.keyword(0) == "up" { self.from(1) } else { self };
        Some(Request::Summarise { path: rest.name()? })
    }

    /// `[everything] [with message] TEXT`.
    fn commit(self) -> Option<Request> {
        let quoted = self.tokens.iter().rfind(|token| token.kind == Kind::Quoted);
        let message = match (quoted, self.position(&["message", "saying", "-m", "as"])) {
            (Some(token), _) => token.text.clone(),
            (None, Some(at)) => self.from(at + 1).text()?,
            (None, None) => return None,
        };
        let everything = self.position(&["everything", "all", "changes"]).is_some();
        (!message.trim().is_empty()).then_some(Request::Commit { message, everything })
    }

    /// `BRANCH to REMOTE`, `to REMOTE BRANCH`, `REMOTE BRANCH`.
    fn push(self) -> Option<Request> {
        let names: Vec<String> = self.tokens.iter().map(|token| token.name().to_owned()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (branch, remote) = match names.as_slice() {
            [branch, "to", remote] | ["to", remote, branch] | [remote, branch] => (*branch, *remote),
            [branch] => (*branch, "origin"),
            _ => return None,
        };
        Some(Request::Push { branch: branch.to_owned(), remote: remote.to_owned() })
    }
}

fn here() -> Request {
    Request::List { path: ".".to_owned() }
}

#[cfg(test)]
mod tests;
