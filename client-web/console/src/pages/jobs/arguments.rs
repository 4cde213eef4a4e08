//! What is filled in for a job, as the arguments of its tool. Pure.

use lanyard_web_state::words;
use serde_json::{Map, Value, json};

/// Longest run of a command, seconds. Source: the host's `RunCommand`.
const MAX_SECONDS: u64 = 600;

/// How the arguments are filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A program or a shell line.
    RunCommand,
    /// A file.
    ReadFile,
    /// A repository.
    GitStatus,
    /// Any tool, its arguments as JSON.
    Other,
}

impl Form {
    /// The tool's name, where the form is for one.
    pub(crate) fn tool(self) -> Option<&'static str> {
        match self {
            Self::RunCommand => Some("RunCommand"),
            Self::ReadFile => Some("ReadFile"),
            Self::GitStatus => Some("GitStatus"),
            Self::Other => None,
        }
    }
}

/// What was typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Typed {
    /// Another tool's name.
    pub(crate) tool: String,
    /// Its arguments.
    pub(crate) json: String,
    /// A command as a person types it.
    pub(crate) command: String,
    /// It is for a shell.
    pub(crate) shell: bool,
    /// Where it starts.
    pub(crate) cwd: String,
    /// How long it may run.
    pub(crate) seconds: String,
    /// A file or a repository.
    pub(crate) path: String,
}

/// The tool and its arguments; a sentence where something is missing.
pub(crate) fn of(form: Form, typed: &Typed) -> Result<(String, Value), String> {
    let mut arguments = Map::new();
    let mut put = |name: &str, text: &str| {
        if !text.trim().is_empty() {
            arguments.insert(name.to_owned(), Value::String(text.trim().to_owned()));
        }
    };
    match form {
        Form::RunCommand => {
            if typed.command.trim().is_empty() {
                return Err("Fill in the command.".to_owned());
            }
            put("cwd", &typed.cwd);
            if typed.shell {
                put("command", &typed.command);
            } else {
                arguments.insert("argv".to_owned(), json!(words_of(&typed.command)?));
            }
            if !typed.seconds.trim().is_empty() {
                let seconds =
                    typed.seconds.trim().parse().ok().filter(|seconds| (1..=MAX_SECONDS).contains(seconds));
                let seconds = seconds.ok_or_else(|| {
                    format!(
                        "A command may run for 1 to {} ({MAX_SECONDS} seconds).",
                        words::span(MAX_SECONDS * 1_000)
                    )
                })?;
                arguments.insert("timeoutSeconds".to_owned(), json!(seconds));
            }
        }
        Form::ReadFile => {
            if typed.path.trim().is_empty() {
                return Err("Fill in the file.".to_owned());
            }
            put("path", &typed.path);
        }
        Form::GitStatus => put("path", &typed.path),
        Form::Other => {
            let tool = typed.tool.trim();
            if tool.is_empty() {
                return Err("Fill in the tool's name.".to_owned());
            }
            let text = if typed.json.trim().is_empty() { "{}" } else { &typed.json };
            return match serde_json::from_str(text) {
                Ok(Value::Object(arguments)) => Ok((tool.to_owned(), Value::Object(arguments))),
                Ok(_) => Err("Arguments are an object: { \"name\": … }.".to_owned()),
                Err(error) => Err(format!("The arguments are no JSON: {error}.")),
            };
        }
    }
    Ok((form.tool().unwrap_or_default().to_owned(), Value::Object(arguments)))
}

/// The words of a command. Quotes keep words together and a backslash takes the next letter as it is; there is no shell, so
/// nothing else means anything.
pub(crate) fn words_of(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' | '"' => {
                let into = word.get_or_insert_default();
                loop {
                    match letters.next() {
                        None => return Err(format!("A quote ({letter}) is not closed.")),
                        Some(end) if end == letter => break,
                        Some('\\') if letter == '"' => into.extend(letters.next()),
                        Some(other) => into.push(other),
                    }
                }
            }
            '\\' => match letters.next() {
                Some(next) => word.get_or_insert_default().push(next),
                None => return Err("A backslash stands at the end.".to_owned()),
            },
            space if space.is_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_together_by_quotes() {
        let words = |line: &str| words_of(line).unwrap();
        assert_eq!(words("cargo test  -p x"), ["cargo", "test", "-p", "x"]);
        assert_eq!(
            words("git commit -m 'it is \"done\"' \"a \\\" b\" a\\ b ''"),
            ["git", "commit", "-m", "it is \"done\"", "a \" b", "a b", ""]
        );
        assert_eq!(words("echo $HOME | rm *"), ["echo", "$HOME", "|", "rm", "*"], "there is no shell");
        assert!(words(" ").is_empty());
        assert!(words_of("a 'b").unwrap_err().contains("not closed"));
        assert!(words_of("a \\").unwrap_err().contains("backslash"));
    }

    #[test]
    fn forms_become_arguments() {
        let typed = Typed {
            command: "ls -l".to_owned(),
            cwd: " src ".to_owned(),
            seconds: "30".to_owned(),
            ..Typed::default()
        };
        assert_eq!(
            of(Form::RunCommand, &typed).unwrap(),
            ("RunCommand".to_owned(), json!({ "argv": ["ls", "-l"], "cwd": "src", "timeoutSeconds": 30 }))
        );
        let shell = Typed { shell: true, cwd: String::new(), seconds: String::new(), ..typed.clone() };
        assert_eq!(of(Form::RunCommand, &shell).unwrap().1, json!({ "command": "ls -l" }));
        assert!(
            of(Form::RunCommand, &Typed { seconds: "601".to_owned(), ..typed })
                .unwrap_err()
                .contains("10 min")
        );
        assert_eq!(of(Form::GitStatus, &Typed::default()).unwrap().1, json!({}));
        for form in [Form::RunCommand, Form::ReadFile, Form::Other] {
            assert!(of(form, &Typed::default()).unwrap_err().starts_with("Fill in"), "{form:?}");
        }
        let other = |json: &str| {
            of(Form::Other, &Typed { tool: "Fetch".to_owned(), json: json.to_owned(), ..Typed::default() })
        };
        assert_eq!(other("").unwrap(), ("Fetch".to_owned(), json!({})));
        assert_eq!(other("{\"a\": 1}").unwrap().1, json!({ "a": 1 }));
        assert!(other("[]").unwrap_err().contains("object") && other("{").unwrap_err().contains("no JSON"));
    }
}
