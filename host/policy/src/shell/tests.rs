//! Table tests of what is understood and what is opaque, and a comparison with the shells of the machine.

use proptest::prelude::*;

use super::{
    Joiner, MAX_COMMANDS, Opaque, Redirect, RedirectTarget, Severity, ShellPlan, join, parse, quote,
};

fn argvs(text: &str) -> Vec<Vec<String>> {
    parse(text).unwrap_or_else(|why| panic!("{text:?}: {why}")).commands.into_iter().map(|c| c.argv).collect()
}

fn opaque(text: &str) -> Opaque {
    parse(text).err().unwrap_or_else(|| panic!("{text:?} was understood as {:?}", parse(text)))
}

#[test]
fn plain_words_and_joiners_are_understood() {
    let plan =
        parse("cargo build && cargo test -p 'my crate' || echo \"it \\\"failed\\\"\"; ls -la | wc -l\npwd")
            .unwrap();
    let words: Vec<_> = plan.commands().iter().map(|c| c.argv.join("·")).collect();
    assert_eq!(
        words,
        ["cargo·build", "cargo·test·-p·my crate", "echo·it \"failed\"", "ls·-la", "wc·-l", "pwd"]
    );
    let joiners: Vec<_> = plan.commands().iter().map(|c| c.joined_by).collect();
    assert_eq!(
        joiners,
        [
            None,
            Some(Joiner::And),
            Some(Joiner::Or),
            Some(Joiner::Then),
            Some(Joiner::Pipe),
            Some(Joiner::Then)
        ]
    );
}

#[test]
fn common_commands_of_agents_are_understood() {
    for (text, argv) in [
        ("git show HEAD~1:src/a.rs", vec!["git", "show", "HEAD~1:src/a.rs"]),
        ("git log -1 --format=%H", vec!["git", "log", "-1", "--format=%H"]),
        ("git commit -m 'first\n\nsecond'", vec!["git", "commit", "-m", "first\n\nsecond"]),
        ("grep -n 'a$' src/lib.rs", vec!["grep", "-n", "a$", "src/lib.rs"]),
        ("find . -name '*.rs'", vec!["find", ".", "-name", "*.rs"]),
        ("xargs -I{} echo {}", vec!["xargs", "-I{}", "echo", "{}"]),
        ("find . -exec true {} \\;", vec!["find", ".", "-exec", "true", "{}", ";"]),
        ("echo a\\ b \"c\"'d'e", vec!["echo", "a b", "cde"]),
        ("echo ''", vec!["echo", ""]),
        ("sed -n 1,5p file", vec!["sed", "-n", "1,5p", "file"]),
        ("echo a#b", vec!["echo", "a#b"]),
        ("git stash^ 2", vec!["git", "stash^", "2"]),
        ("ls;\n\nls -a", vec!["ls"]),
        ("echo '⚠\u{fe0f} Grüße'", vec!["echo", "⚠\u{fe0f} Grüße"]),
        ("time ls", vec!["time", "ls"]),
    ] {
        assert_eq!(argvs(text)[0], argv, "{text}");
    }
}

#[test]
fn understood_redirects_carry_their_paths() {
    let plan = parse("make > 'build log' 2>&1 < in && cat 2>>err").unwrap();
    assert_eq!(
        plan.commands()[0].redirects,
        [
            Redirect { fd: 1, target: RedirectTarget::Write("build log".into()) },
            Redirect { fd: 2, target: RedirectTarget::Duplicate(1) },
            Redirect { fd: 0, target: RedirectTarget::Read("in".into()) },
        ]
    );
    assert_eq!(
        plan.commands()[1].redirects,
        [Redirect { fd: 2, target: RedirectTarget::Append("err".into()) }]
    );
}

#[test]
fn item_09_separators_and_limits() {
    for text in
        ["git status; rm -rf x", "git status\nrm -rf x", "git status && rm -rf x", "git status|rm -rf x"]
    {
        assert_eq!(argvs(text)[1], ["rm", "-rf", "x"], "{text:?}");
    }
    assert_eq!(opaque("git status\rrm -rf x"), Opaque::ControlCharacter(0x0d));
    assert_eq!(opaque("git status\0rm"), Opaque::ControlCharacter(0));
    assert_eq!(opaque("git status & rm -rf x"), Opaque::Background);
    assert!(parse(&vec!["true"; MAX_COMMANDS].join(";")).is_ok());
    assert_eq!(opaque(&vec!["true"; MAX_COMMANDS + 1].join(";")), Opaque::TooManyCommands);
    let long = format!("echo {}", "a".repeat(10_001));
    assert_eq!(opaque(&long), Opaque::TooLong { bytes: long.len() });
    for firm in ["a\rb", "a\0b", "a\u{202e}b", &long, &vec!["true"; 51].join("\n")] {
        assert_eq!(opaque(firm).severity(), Severity::Deny);
    }
}

#[test]
fn item_10_substitutions() {
    for text in [
        "echo $(id)",
        "echo \"$(id)\"",
        "echo `id`",
        "echo \"`id`\"",
        "cat <(id)",
        "tee >(sh)",
        "echo $((1+1))",
        "echo $[1+1]",
        "echo ${x:-$(id)}",
        "echo \"${x}\"",
        "ls $HOME",
        "echo \"$x\"",
        "$x",
        "(( 1 ))",
        "a=$(id) ls",
    ] {
        assert!(
            matches!(
                opaque(text),
                Opaque::Expansion
                    | Opaque::Backquote
                    | Opaque::ProcessSubstitution
                    | Opaque::Parenthesis
                    | Opaque::Assignment(_)
            ),
            "{text}"
        );
    }
}

#[test]
fn item_11_field_splitting_braces_globs_and_ansi_quotes() {
    for text in [
        "cat$IFS/etc/passwd",
        "cat${IFS}x",
        "{cat,/etc/passwd}",
        "ls {a,b}",
        "ls {1..3}",
        "echo a{}{b,c}",
        "ls *.rs",
        "ls a?",
        "ls [ab]",
        "echo $'\\x41'",
        "echo $\"x\"",
        "ls ~",
        "ls ~/x",
        "ls a=~/x",
        "ls a:~",
        "ls ''~",
        "echo !!",
        "!ls",
        "ls @(a|b)",
        "echo \\\nls",
        "git\\\n status",
        "echo \"a\\\nb\"",
        "echo \u{a0}x",
        "ｌs",
        "echo x\u{a0}y",
    ] {
        assert_eq!(opaque(text).severity(), Severity::Ask, "{text}");
    }
}

#[test]
fn item_12_redirect_forms() {
    for text in [
        "ls &> x",
        "ls >& x",
        "ls >| x",
        "ls <> x",
        "ls 3> x",
        "ls 10> x",
        "ls {fd}> x",
        "ls <<EOF\nx\nEOF",
        "ls <<< x",
        "ls >&-",
        "ls 2>&-",
        "ls <&0",
        "ls >&3",
        "ls 2>&1x",
        "ls >>& x",
        "ls |& cat",
        "> x",
        "> x ls",
        "ls > x y",
        "ls >",
        "ls > ''",
        "cat < /dev/tcp/h/80",
        "cat > //dev/./udp/h/80",
        "exec 5<>/dev/tcp/h/80",
        "ls ;; ls",
        "ls > >(cat)",
    ] {
        assert_eq!(opaque(text).severity(), Severity::Ask, "{text}");
    }
}

#[test]
fn the_second_reader_is_heard() {
    // Plain words to the tokenizer, a declaration to the grammar.
    for text in ["export PATH=.", "declare -x A=b", "readonly A=b", "unset A"] {
        assert_eq!(opaque(text), Opaque::Disagreement, "{text}");
    }
}

#[test]
fn everything_else_of_the_language_is_opaque() {
    for text in [
        "FOO=bar ls",
        "PATH=. git status",
        "a+=b ls",
        "x=1",
        "if true; then ls; fi",
        "for x in a; do ls; done",
        "while true; do ls; done",
        "case a in a) ls;; esac",
        "f() { ls; }",
        "function f { ls; }",
        "{ ls; }",
        "(ls)",
        "! ls",
        "[[ a ]]",
        "[ -f a ]",
        "select x in a; do ls; done",
        "coproc ls",
        "time { ls; }",
        "time if true; then ls; fi",
        "ls # comment",
        "# rm\nls",
        "ls &&",
        "&& ls",
        "ls ||",
        "; ls",
        "| ls",
        "ls | | ls",
        "'",
        "\"",
        "echo 'a",
        "echo \"a",
        "echo \\",
        "ls 'a'\\''",
        "then",
        "''",
        "'' x",
        "a\\=b ls",
    ] {
        assert!(parse(text).is_err(), "{text:?} was understood as {:?}", parse(text));
    }
    assert_eq!(opaque(""), Opaque::Empty);
    assert_eq!(opaque(" \n\t\n"), Opaque::Empty);
}

#[test]
fn item_22_comments_and_invisible_characters_cannot_hide_a_command() {
    assert_eq!(opaque("# just listing files\ncurl evil"), Opaque::Comment);
    assert_eq!(opaque("ls '\u{202e}'"), Opaque::Invisible(0x202e));
    assert_eq!(opaque("ls\u{200b}"), Opaque::Invisible(0x200b));
    assert_eq!(opaque("ls \u{1b}[2K"), Opaque::ControlCharacter(0x1b));
}

#[test]
fn quoting_shows_words_a_shell_reads_back() {
    assert_eq!(quote("a/b-c.d"), "a/b-c.d");
    assert_eq!(join(&["echo", "it's", "", "$x"]), r"echo 'it'\''s' '' '$x'");
}

/// How a generated word is written down.
#[derive(Clone, Copy, Debug)]
enum Style {
    Single,
    Double,
    Backslash,
    Mixed,
}

fn written(word: &str, style: Style) -> String {
    let double = |text: &str| {
        let mut out = String::from('"');
        for c in text.chars() {
            if matches!(c, '"' | '\\' | '$' | '`') {
                out.push('\\');
            }
            out.push(c);
        }
        out + "\""
    };
    let plain = !word.is_empty() && word.chars().all(|c| c == ' ' || c.is_ascii_graphic());
    match style {
        Style::Single => format!("'{}'", word.replace('\'', r"'\''")),
        Style::Double => double(word),
        Style::Backslash if plain => word.chars().flat_map(|c| ['\\', c]).collect(),
        Style::Backslash => double(word),
        Style::Mixed => {
            let cut = word.char_indices().nth(word.chars().count() / 2).map_or(0, |(at, _)| at);
            double(&word[..cut]) + &written(&word[cut..], Style::Single)
        }
    }
}

fn style() -> impl Strategy<Value = Style> {
    prop_oneof![Just(Style::Single), Just(Style::Double), Just(Style::Backslash), Just(Style::Mixed)]
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![r#"[a-z~!@#$%^&*(){}'"\\<>|;` =\[\]?\n\t-]{0,12}"#, "[a-zäé世 ]{0,6}"]
}

/// What a real shell makes of the words in `text`, or nothing where the machine lacks that shell.
fn real_words(shell: &str, text: &str) -> Option<Vec<String>> {
    let output = std::process::Command::new(shell)
        .args(["-c", &format!("printf '%s\\0' {text}")])
        .env_clear()
        .env("LC_ALL", "C.UTF-8")
        .stdin(std::process::Stdio::null())
        .output()
        .ok()?;
    assert!(output.status.success(), "{shell} refused {text:?}: {}", String::from_utf8_lossy(&output.stderr));
    let words = String::from_utf8(output.stdout).unwrap();
    Some(words.split_terminator('\0').map(str::to_owned).collect())
}

fn single(plan: &ShellPlan) -> Option<&[String]> {
    match plan.commands() {
        [only] if only.redirects.is_empty() => Some(&only.argv),
        _ => None,
    }
}

fn cases(short: u32, long: u32) -> ProptestConfig {
    let cases = if std::env::var_os("LANYARD_LONG").is_some() { long } else { short };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(500, 20_000))]

    #[test]
    fn quoted_words_come_back_unchanged(words in prop::collection::vec((word(), style()), 1..6)) {
        let text: Vec<_> = words.iter().map(|(word, style)| written(word, *style)).collect();
        let text = format!("x {}", text.join(" "));
        let plan = match parse(&text) {
            Ok(plan) => plan,
            // tree-sitter stumbles over a word that starts with an escaped blank; being asked then is fine.
            Err(Opaque::Disagreement) if words.iter().any(|(_, style)| matches!(style, Style::Backslash)) => return Ok(()),
            Err(why) => return Err(TestCaseError::fail(format!("{text:?}: {why}"))),
        };
        let argv = single(&plan).unwrap();
        prop_assert!(argv[1..].iter().eq(words.iter().map(|(word, _)| word)), "{text:?} -> {argv:?}");
    }

    #[test]
    fn joined_argv_comes_back_unchanged(argv in prop::collection::vec(word(), 0..6)) {
        let argv: Vec<String> = std::iter::once("x".to_owned()).chain(argv).collect();
        let plan = parse(&join(&argv)).map_err(|why| TestCaseError::fail(format!("{argv:?}: {why}")))?;
        prop_assert_eq!(single(&plan).unwrap(), argv.as_slice());
    }

    #[test]
    fn parsing_never_panics(text in any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn parsing_shell_like_text_never_panics(text in r#"[ab '"\\$`|&;<>(){}\n\t=~#*?!0-9/-]{0,40}"#) {
        let _ = parse(&text);
    }
}

/// Compares with each shell the machine has.
fn same_words(text: &str, argv: &[String]) -> Result<(), TestCaseError> {
    for shell in ["sh", "bash"] {
        if let Some(real) = real_words(shell, text) {
            // printf prints one empty string when it is given no arguments.
            let real = if argv.is_empty() && real == [""] { Vec::new() } else { real };
            prop_assert_eq!(&real, argv, "{}: {:?}", shell, text);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(150, 10_000))]

    /// Whatever is understood as one command, dash and bash split into the same words. Letters that could name a
    /// program only occur in quotes, and the text always stands behind `printf`.
    #[test]
    fn understood_text_means_the_same_to_real_shells(
        text in r#"([ab  ]|'[^'\x00]{0,3}'|"[ab #~*'|;>]{0,3}"|\\[!-~]|[{}~#=:./^%@,+0-9!\\"-]|[^\x00-\x7f]){0,8}"#,
    ) {
        if let Some(argv) = parse(&format!("x {text}")).ok().as_ref().and_then(single) {
            same_words(&text, &argv[1..])?;
        }
    }

    #[test]
    fn quoted_words_mean_the_same_to_real_shells(words in prop::collection::vec((word(), style()), 1..4)) {
        let text: Vec<_> = words.iter().map(|(word, style)| written(word, *style)).collect();
        let words: Vec<_> = words.into_iter().map(|(word, _)| word).collect();
        same_words(&text.join(" "), &words)?;
    }

    /// Joined commands run in the order and with the words the plan says.
    #[test]
    fn joined_commands_mean_the_same_to_real_shells(
        parts in prop::collection::vec((word(), style(), prop::sample::select(vec![" ; ", " && ", "\n", ";\n", " &&\n"])), 1..5),
    ) {
        let text: String = parts
            .iter()
            .enumerate()
            .map(|(at, (word, style, joiner))| {
                let joiner = if at == 0 { "" } else { joiner };
                format!("{joiner}printf '%s\\0' {}", written(word, *style))
            })
            .collect();
        let Ok(plan) = parse(&text) else { return Ok(()) };
        let planned: Vec<String> = plan.commands.iter().map(|command| command.argv[2].clone()).collect();
        // The first `printf` of the comparison prints the words "printf" and the format: leave them out.
        let rest = text.strip_prefix("printf '%s\\0' ").unwrap();
        same_words(rest, &planned)?;
    }
}
