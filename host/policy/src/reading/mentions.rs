//! Texts of a demand that may name files. An answer is bound to what those contain (finding them is up to whoever
//! has the file system), so that a script cannot be swapped between question and start.

use std::collections::BTreeSet;

use super::{ReadCommand, Reading, command::candidates};
use crate::path::HostPath;

/// A text that may name a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mention {
    /// The directory it starts from.
    pub base: HostPath,
    /// As written; relative or absolute.
    pub text: String,
    /// The content of the file is run, so that it counts however large it is, and also that there is none.
    pub runs: bool,
}

impl Reading {
    /// Every text that may name a file, each once, in the order of the commands. Those of commands started by others
    /// and those in redirects are among them; of texts that are run but not read, every part that could be a word.
    pub fn mentions(&self) -> Vec<Mention> {
        let mut found = Found::default();
        for argv in &self.top {
            // `cd` at the start is followed and is no command any more; its words name directories.
            argv.iter().skip(1).for_each(|word| found.word(&self.cwd, word));
        }
        for command in &self.commands {
            self.command(command, &mut found);
        }
        if self.is_open() {
            for text in &self.unread {
                found.fragments(&self.cwd, text);
            }
        }
        found.mentions
    }

    /// Whether what is run may name further files and directories, so that each directory named may be where any of
    /// the names starts from.
    pub fn is_open(&self) -> bool {
        let open = |command: &ReadCommand| {
            let about = &command.assessment;
            about.unbound || about.project_code || about.runs_input || !about.runs.is_empty()
        };
        self.opaque.is_some() || self.commands.iter().any(open)
    }

    /// Programs named without a path, each once.
    pub fn programs(&self) -> BTreeSet<&str> {
        let names = self.commands.iter().filter_map(|command| command.argv.first().map(String::as_str));
        names.filter(|name| !name.is_empty() && !name.contains('/')).collect()
    }

    fn command(&self, command: &ReadCommand, found: &mut Found) {
        let (about, base) = (&command.assessment, &command.cwd);
        for (at, word) in command.argv.iter().enumerate() {
            match at {
                // A bare program name is looked up, not opened.
                0 if word.contains('/') => found.add(base, word, true),
                0 => {}
                _ => found.word(base, word),
            }
            if about.unbound {
                found.fragments(base, word);
            }
        }
        about.runs.iter().for_each(|script| found.add(base, script, true));
        // Input of whatever runs: `sh < script`.
        let runs = self.is_open();
        about.reads.iter().chain(&command.read).for_each(|file| found.add(base, file, runs));
    }
}

#[derive(Default)]
struct Found {
    mentions: Vec<Mention>,
    known: BTreeSet<Mention>,
}

impl Found {
    fn add(&mut self, base: &HostPath, text: &str, runs: bool) {
        if text.is_empty() {
            return;
        }
        let mention = Mention { base: base.clone(), text: text.to_owned(), runs };
        if self.known.insert(mention.clone()) {
            self.mentions.push(mention);
        }
    }

    fn word(&mut self, base: &HostPath, word: &str) {
        candidates(word).into_iter().for_each(|part| self.add(base, part, false));
    }

    /// The parts of a text in a language that is not read. Cut both ways: as a shell would, where quotes hold a name
    /// with blanks together, and at everything that is no part of a plain name.
    fn fragments(&mut self, base: &HostPath, text: &str) {
        shell_words(text).iter().for_each(|word| self.word(base, word));
        let outside = |c: char| c.is_whitespace() || "\"'`$;|&<>(){}[]\\=,:!*?#".contains(c);
        text.split(outside).for_each(|part| self.word(base, part));
    }
}

/// Words between blanks and operators, quotes and backslashes resolved as far as that goes.
fn shell_words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let next = match (quote, c) {
            (Some(open), _) if c == open => {
                quote = None;
                continue;
            }
            (None, '"' | '\'') => {
                quote = Some(c);
                continue;
            }
            (None | Some('"'), '\\') => chars.next(),
            (None, _) if c.is_whitespace() || ";|&<>()`".contains(c) => None,
            _ => Some(c),
        };
        match (next, words.last_mut()) {
            (Some(c), Some(word)) => word.push(c),
            _ => words.push(String::new()),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{fed, path};

    fn reading(text: &str, stdin: Option<&str>) -> Reading {
        let crate::demand::Demand::Exec(exec) = fed(text, &[], stdin) else { unreachable!() };
        Reading::of(&exec, &path("/home/mia/app"))
    }

    fn mentions(text: &str, stdin: Option<&str>) -> Vec<(String, bool)> {
        let found = reading(text, stdin).mentions();
        found.into_iter().map(|mention| (mention.text, mention.runs)).collect()
    }

    #[test]
    fn a_script_is_mentioned_however_it_is_run() {
        for text in [
            "./t.sh $HOME",
            "\"./t.sh\" $HOME",
            ". ./t.sh",
            "sh < ./t.sh",
            "timeout 5 sh < ./t.sh",
            "sh -c './t.sh; true'",
            "sh -c './t.sh $HOME'",
            "sh -c 'sh < ./t.sh'",
            "timeout 5 sh -c '. ./t.sh'",
            "flock x sh -c './t.sh; true'",
            "find . -exec ./t.sh {} +",
            "(./t.sh)",
            "x=`./t.sh`",
            "git -c core.pager='./t.sh -x' log",
            "env A=1 ./t.sh",
            "python3 -c 'exec(open(\"./t.sh\").read())'",
            "cat ./t.sh | sh",
            "eval './t.sh'",
        ] {
            let found = mentions(text, None);
            assert!(found.iter().any(|(name, _)| name == "./t.sh"), "{text}: {found:?}");
        }
        assert!(mentions("'./a b.sh' $HOME", None).contains(&("./a b.sh".to_owned(), false)));
        assert!(mentions("./a\\ b.sh $HOME", None).contains(&("./a b.sh".to_owned(), false)));
        assert!(mentions("sh -s", Some("cd x\n./t.sh\n")).contains(&("./t.sh".to_owned(), false)));
        assert!(!mentions("cat", Some("./t.sh\n")).contains(&("./t.sh".to_owned(), false)));
    }

    #[test]
    fn what_runs_counts_even_where_there_is_none() {
        for text in [
            "./t.sh",
            "sh ./t.sh",
            ". ./t.sh",
            "sh < ./t.sh",
            "nice ./t.sh",
            "sh -c ./t.sh",
            "python3 ./t.sh",
        ] {
            let found = mentions(text, None);
            assert!(found.contains(&("./t.sh".to_owned(), true)), "{text}: {found:?}");
        }
        assert!(mentions("cat < a b", None).iter().all(|(_, runs)| !runs));
    }

    #[test]
    fn names_start_from_where_the_command_runs() {
        let found = reading("cd sub && sh x.sh", None).mentions();
        assert!(
            found
                .iter()
                .any(|mention| mention.text == "x.sh" && mention.base.as_str() == "/home/mia/app/sub")
        );
        assert_eq!(
            reading("timeout 5 nice foo | ./x", None).programs().into_iter().collect::<Vec<_>>(),
            ["foo", "nice", "timeout"]
        );
        assert!(reading("sh -c 'cd sub; ls'", None).is_open() && !reading("ls sub", None).is_open());
    }

    proptest! {
        #[test]
        fn a_plain_name_is_found_in_any_text_that_is_not_read(before in "[ -~]{0,20}", after in "[ -~]{0,20}") {
            let text = format!("$X {before}\n ./t.sh \n{after}");
            let found = mentions(&text, None);
            prop_assert!(found.iter().any(|(name, _)| name == "./t.sh"), "{:?}", found);
        }
    }
}
