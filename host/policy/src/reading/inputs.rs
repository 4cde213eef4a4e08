//! What reaches a program besides its words: variables and standard input. Both can decide what it does as much as
//! the words (`TAR_OPTIONS`, `sh` fed with commands), so what is not known to be harmless is asked about.

use super::Reading;
use crate::{commands::program_name, demand::Exec, shell, visible};

/// Variables that change how output looks or how much of it there is. Everything else can be read by some program
/// as an option, a command or a place to take code from; a list of the dangerous ones would never be complete.
const HARMLESS: &[&str] = &[
    "CI",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "COLORTERM",
    "COLUMNS",
    "FORCE_COLOR",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_COLLATE",
    "LC_CTYPE",
    "LC_MESSAGES",
    "LC_NUMERIC",
    "LC_TIME",
    "LINES",
    "NO_COLOR",
    "RUST_BACKTRACE",
    "RUST_LOG",
    "TERM",
    "TZ",
];

/// Longest value of a harmless variable; real ones are a word or two.
const MAX_HARMLESS_BYTES: usize = 200;

/// Variables named in the question; the detail shows all.
const SHOWN_VARIABLES: usize = 5;

/// Something that reaches a program and is not known to be harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Input {
    /// Why, for the person asked.
    pub(crate) sentence: String,
    /// It can make the program do anything, so that judging the words proves nothing.
    pub(crate) decides: bool,
}

pub(super) fn of(exec: &Exec, reading: &Reading) -> Vec<Input> {
    variables(&exec.environment).into_iter().chain(stdin(exec.stdin.as_deref(), reading)).collect()
}

fn variables(environment: &[(String, String)]) -> Option<Input> {
    let odd: Vec<String> = environment
        .iter()
        .filter(|(name, value)| !is_harmless(name, value))
        .map(|(name, _)| visible::clipped_line(name, 60))
        .collect();
    if odd.is_empty() {
        return None;
    }
    let mut names = odd.iter().take(SHOWN_VARIABLES).cloned().collect::<Vec<_>>().join(", ");
    if odd.len() > SHOWN_VARIABLES {
        names.push_str(&format!(" and {} more", odd.len() - SHOWN_VARIABLES));
    }
    let sentence = format!("it sets the environment variable {names}, which can make a program do anything");
    Some(Input { sentence, decides: true })
}

/// The value counts too: a path in one of these (`TZ`, `LANG`) names a file to be loaded.
fn is_harmless(name: &str, value: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || " _-.,:=+@".contains(c);
    HARMLESS.contains(&name) && value.len() <= MAX_HARMLESS_BYTES && value.chars().all(plain)
}

fn stdin(text: Option<&str>, reading: &Reading) -> Option<Input> {
    text.filter(|text| !text.is_empty())?;
    if reading.opaque().is_some() {
        let sentence = "its standard input goes to commands that are not understood".to_owned();
        return Some(Input { sentence, decides: true });
    }
    let commands = || reading.commands().iter();
    let named = |argv: &[String]| {
        let name = argv.first().map(|program| program_name(program)).unwrap_or_default();
        visible::clipped_line(&shell::quote(&name), 80)
    };
    if let Some(command) = commands().find(|command| command.assessment.runs_input) {
        let sentence = format!("its standard input is run as code by `{}`", named(&command.argv));
        return Some(Input { sentence, decides: true });
    }
    let command = commands().find(|command| !command.passes_input_on)?;
    let sentence = format!("its standard input goes to `{}`, which may act on it", named(&command.argv));
    Some(Input { sentence, decides: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{fed, path};

    fn inputs(text: &str, environment: &[(&str, &str)], stdin: Option<&str>) -> Vec<Input> {
        let crate::demand::Demand::Exec(exec) = fed(text, environment, stdin) else { unreachable!() };
        Reading::of(&exec, &path("/home/mia/app")).inputs().to_vec()
    }

    #[test]
    fn item_18_every_variable_outside_the_short_list_is_told() {
        for (name, value) in [
            ("TAR_OPTIONS", "--checkpoint-action=exec=./e.sh"),
            ("NODE_ENV", "test"),
            ("A", ""),
            ("ci", "1"),
            ("TZ", "/home/mia/app/zone"),
            ("LANG", "../x"),
            ("RUST_LOG", "a\u{202e}"),
        ] {
            let found = inputs("tar cf a b", &[("CI", "1"), (name, value)], None);
            assert_eq!(found.len(), 1, "{name}={value}");
            assert!(found[0].decides && found[0].sentence.contains(name), "{found:?}");
        }
        let quiet =
            [("CI", "true"), ("NO_COLOR", "1"), ("RUST_LOG", "debug,a::b=info"), ("LANG", "de_DE.UTF-8")];
        assert_eq!(inputs("tar cf a b", &quiet, None), []);
        let many: Vec<(&str, &str)> = ["A", "B", "C", "D", "E", "F", "G"].map(|name| (name, "")).into();
        assert!(inputs("ls", &many, None)[0].sentence.contains("A, B, C, D, E and 2 more"));
    }

    #[test]
    fn standard_input_counts_where_it_can_change_something() {
        for text in ["sh", "sh -s", "timeout 5 bash", "cat | sh", "python3 -", "node", "xargs ls", "ls $(x)"]
        {
            let found = inputs(text, &[], Some("./t.sh"));
            assert!(found.len() == 1 && found[0].decides, "{text}: {found:?}");
            assert_eq!(inputs(text, &[], None), [], "{text}");
            assert_eq!(inputs(text, &[], Some("")), [], "{text}");
        }
        for text in ["patch", "git commit -F -", "make -f -", "npm test", "frobnicate"] {
            let found = inputs(text, &[], Some("x"));
            assert!(found.len() == 1 && !found[0].decides, "{text}: {found:?}");
        }
        for text in ["cat", "timeout 5 grep -f - x", "wc -l | sort"] {
            assert_eq!(inputs(text, &[], Some("x")), [], "{text}");
        }
    }
}
