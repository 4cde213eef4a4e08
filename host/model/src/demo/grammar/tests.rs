//! The grammar as a table, and that nothing written to it does harm.

use proptest::prelude::*;

use super::{MAX_REQUESTS, Prompt, Request, understand};

fn list(path: &str) -> Request {
    Request::List { path: path.into() }
}

fn read(paths: &[&str]) -> Request {
    Request::Read { paths: paths.iter().map(|p| (*p).to_owned()).collect() }
}

fn write(path: &str, text: &str) -> Request {
    Request::Write { path: path.into(), text: text.into() }
}

fn append(path: &str, text: &str) -> Request {
    Request::Append { path: path.into(), text: text.into() }
}

fn replace(path: &str, old: &str, new: &str) -> Request {
    Request::Replace { path: path.into(), old: old.into(), new: new.into() }
}

fn delete(paths: &[&str]) -> Request {
    Request::Delete { paths: paths.iter().map(|p| (*p).to_owned()).collect() }
}

fn moved(from: &str, to: &str) -> Request {
    Request::Move { from: from.into(), to: to.into() }
}

fn run(command: &str) -> Request {
    Request::Run { command: command.into() }
}

fn find(pattern: &str, path: Option<&str>) -> Request {
    Request::Find { pattern: pattern.into(), path: path.map(str::to_owned) }
}

fn grep(pattern: &str, path: Option<&str>) -> Request {
    Request::Grep { pattern: pattern.into(), path: path.map(str::to_owned) }
}

fn summarise(path: &str) -> Request {
    Request::Summarise { path: path.into() }
}

fn commit(message: &str, everything: bool) -> Request {
    Request::Commit { message: message.into(), everything }
}

fn push(branch: &str, remote: &str) -> Request {
    Request::Push { branch: branch.into(), remote: remote.into() }
}

#[test]
fn one_request() {
    for (prompt, wanted) in [
        ("list", list(".")),
        ("list the files", list(".")),
        ("List the files here, please!", list(".")),
        ("Please list the files in this directory.", list(".")),
        ("list the files in src", list("src")),
        ("list the files in the src directory", list("src")),
        ("list src/", list("src/")),
        ("ls 'my dir'", list("my dir")),
        ("what is here?", list(".")),
        ("What's here?", list(".")),
        ("what is in this folder?", list(".")),
        ("What's in this directory?", list(".")),
        ("what’s in the folder", list(".")),
        ("whats here", list(".")),
        ("What files are in this folder?", list(".")),
        ("What files are there?", list(".")),
        ("read README.md", read(&["README.md"])),
        ("Read the file README.md.", read(&["README.md"])),
        ("show me a.txt", read(&["a.txt"])),
        ("could you show me the contents of a.txt?", read(&["a.txt"])),
        ("cat a.txt, b.txt and 'c d.txt'", read(&["a.txt", "b.txt", "c d.txt"])),
        ("read ../secret", read(&["../secret"])),
        ("write 'hello' to a.txt", write("a.txt", "hello")),
        ("write \"line 1\\nline 2\\n\" into notes/a.txt.", write("notes/a.txt", "line 1\nline 2\n")),
        ("write it's nice to be here to a.txt", write("a.txt", "it's nice to be here")),
        ("write 'to be or not to be' to the file a.txt", write("a.txt", "to be or not to be")),
        ("put “hi” in a.txt", write("a.txt", "hi")),
        ("create a.txt with 'hello'", write("a.txt", "hello")),
        ("create a file called a.txt with the text 'hello'", write("a.txt", "hello")),
        ("create an file a.txt containing hello you", write("a.txt", "hello you")),
        ("create a.txt", write("a.txt", "")),
        ("create a file Makefile", write("Makefile", "")),
        ("append 'more' to a.txt", append("a.txt", "more")),
        ("add 'more' to a.txt", append("a.txt", "more")),
        ("replace 'a b' with 'c d' in x.txt", replace("x.txt", "a b", "c d")),
        ("replace old with new in x.txt", replace("x.txt", "old", "new")),
        ("change 'a' to '' in x.txt", replace("x.txt", "a", "")),
        ("in x.txt replace 'in a' with 'in b'", replace("x.txt", "in a", "in b")),
        ("delete a.txt", delete(&["a.txt"])),
        ("remove the files a.txt and b.txt", delete(&["a.txt", "b.txt"])),
        ("rename a.txt to b.txt", moved("a.txt", "b.txt")),
        ("move 'a b' into 'c d/e'", moved("a b", "c d/e")),
        ("run `cargo test`", run("cargo test")),
        ("run cargo test -p x", run("cargo test -p x")),
        ("run ls .", run("ls .")),
        ("run the command 'echo hi'", run("echo hi")),
        ("run `rm -rf / # it's fine`", run("rm -rf / # it's fine")),
        ("run `echo a && echo b > c`", run("echo a && echo b > c")),
        ("$ ls -l", run("ls -l")),
        ("run ```sh\nls -l\npwd\n```", run("ls -l\npwd\n")),
        ("find *.rs", find("*.rs", None)),
        ("find files named '*.rs' in src", find("*.rs", Some("src"))),
        ("search for 'fn main' in src", grep("fn main", Some("src"))),
        ("grep FROM", grep("FROM", None)),
        ("search for needle in the workspace", grep("needle", None)),
        ("fetch https://example.com/a?b=c", Request::Fetch { url: "https://example.com/a?b=c".into() }),
        ("git status", Request::Status),
        ("what changed?", Request::Status),
        ("git diff", Request::Diff { staged: false }),
        ("git diff --staged", Request::Diff { staged: true }),
        ("commit with message 'all first steps'", commit("all first steps", false)),
        ("git commit -m 'first'", commit("first", false)),
        ("commit everything saying first steps", commit("first steps", true)),
        ("commit all changes as 'x'", commit("x", true)),
        ("push main to origin", push("main", "origin")),
        ("push to origin main", push("main", "origin")),
        ("git push origin main", push("main", "origin")),
        ("push main", push("main", "origin")),
        ("summarise README.md", summarise("README.md")),
        ("Please summarize the file README.md.", summarise("README.md")),
        ("sum up notes.txt", summarise("notes.txt")),
        ("tour", Request::Tour),
        ("Give me a tour", Request::Tour),
        ("show me around", Request::Tour),
        ("start the guided tour", Request::Tour),
    ] {
        assert_eq!(understand(prompt), Prompt::Do(vec![wanted]), "{prompt}");
    }
}

#[test]
fn several_requests() {
    for (prompt, wanted) in [
        (
            "create a.txt with 'x then y' and then run `cat a.txt`, then delete a.txt",
            vec![write("a.txt", "x then y"), run("cat a.txt"), delete(&["a.txt"])],
        ),
        ("read a.txt\nrun true\n", vec![read(&["a.txt"]), run("true")]),
        ("Read a.txt. Then summarise it.txt.", vec![read(&["a.txt"]), summarise("it.txt")]),
        ("run `true` 3 times", vec![run("true"), run("true"), run("true")]),
        ("run `true` 2 times then git status", vec![run("true"), run("true"), Request::Status]),
        ("delete everything.txt\n\nread a.txt", vec![read(&["a.txt"])]),
        ("write 'a\n\nb' to x", vec![write("x", "a\n\nb")]),
    ] {
        assert_eq!(understand(prompt), Prompt::Do(wanted), "{prompt}");
    }
}

#[test]
fn help_and_the_rest() {
    for prompt in ["", "  \n", "help", "What can you do?", "Who are you?", "please"] {
        assert_eq!(understand(prompt), Prompt::Help, "{prompt}");
    }
    for prompt in [
        "make the tests pass",
        "make me a sandwich",
        "why is the sky blue?",
        "read",
        "read the file",
        "delete it",
        "delete",
        "write",
        "write 'x'",
        "write to a.txt",
        "replace '' with 'x' in a.txt",
        "replace a with b",
        "rename a.txt",
        "run",
        "run ''",
        "fetch ftp://x",
        "get lost",
        "commit",
        "commit ''",
        "push everything to everywhere at once",
        "read a.txt then dance",
    ] {
        assert!(matches!(understand(prompt), Prompt::Unknown(_)), "{prompt}: {:?}", understand(prompt));
    }
}

#[test]
fn repetition_is_bounded() {
    let Prompt::Do(requests) = understand("run true 999999999999 times\nrun true 500 times") else {
        panic!()
    };
    assert_eq!(requests.len(), MAX_REQUESTS);
}

proptest! {
    #[test]
    fn no_prompt_panics(prompt in "\\PC{0,80}") {
        understand(&prompt);
    }

    #[test]
    fn no_sequence_of_its_own_words_panics(
        words in prop::collection::vec(prop::sample::select(vec![
            "read", "write", "create", "append", "replace", "in", "to", "with", "and", "then", "run", "find", "search",
            "for", "delete", "rename", "commit", "push", "git", "diff", "list", "the", "files", "file", "please", "tour",
            "summarise", "up", "times", "3", "'", "\"", "`", "'a b'", "`x`", "a.txt", ",", ".", "..", "\n", "\n\n", "$", "a,",
            "message", "-m", "fetch", "http://x", "'a", "b'", "’", "‘",
        ]), 0..14),
    ) {
        understand(&words.join(" "));
        understand(&words.concat());
    }

    /// Whatever a quoted text holds, it reaches the request whole and nothing in it is taken for a request.
    #[test]
    fn quoted_text_is_never_read_as_a_request(text in "[^`]{0,60}") {
        prop_assume!(!text.trim().is_empty());
        prop_assert_eq!(understand(&format!("run `{text}`")), Prompt::Do(vec![run(&text)]));
        prop_assert_eq!(understand(&format!("write `{text}` to a.txt")), Prompt::Do(vec![write("a.txt", &text)]));
    }
}
