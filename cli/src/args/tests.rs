//! Which command lines are understood, and which end with code 2.

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use super::{Cli, Command};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("lanyard").chain(line.split_whitespace()))
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn what_is_understood() {
    for line in [
        "up",
        "up --workspace /a --workspace /b --listen 127.0.0.1:0",
        "up --listen [::]:7717 --state-dir /s",
        "up --listen off",
        "run hello",
        "run hello --workspace /a --approve ask --json",
        "run hello --approve always --max-steps 200 --no-network",
        "run hello --model meta/llama-3:8b",
        "models",
        "models --json --host nas",
        "run --approve never --state-dir /s -- -starts-with-a-dash",
        "run -",
        "run more --session s1",
        "--state-dir /s --json run hello",
        "sessions",
        "sessions --limit 5",
        "sessions list --limit 5 --json",
        "sessions show s1 --events",
        "sessions search text",
        "sessions delete s1",
        "sessions end s1",
        "approvals",
        "approvals --all",
        "approvals apr1",
        "approve apr1 --remember always --reason because",
        "deny apr1 --reason because",
        "rules",
        "rules list",
        "rules revoke r1",
        "cancel s1",
        "cancel s1 t1",
        "resume s1 --approve always",
        "diff s1",
        "diff s1 t1",
        "artifact sha256-ab",
        "rpc",
        "rpc --state-dir /s",
        "doctor --json",
        "health",
        "stop",
        "completions bash",
        "man /d",
        "--host nas run hello",
        "run hello --host nas --workspace /elsewhere",
        "sessions --host local",
        "pair",
        "pair --scopes observe,operate --keep-open --no-qr --json",
        "pairings",
        "pairings list",
        "pairings approve p1 --digits 123456 --scopes observe,approve --name phone",
        "pairings deny p1",
        "devices",
        "devices rename phone tablet",
        "devices scopes phone observe,admin",
        "devices scopes phone observe admin",
        "devices revoke phone",
        "devices connections --limit 5",
        "discover",
        "discover --watch --json",
        "join",
        "join --resume",
        "join --resume --address 10.0.0.1",
        "join https://192.168.1.7:7717/#x --name me",
        "join nas --code K7QX-92MD --scopes observe",
        "join --code K7QX-92MD --address 192.168.1.7 --address [fe80::1%3]:7717",
        "hosts",
        "hosts --offline",
        "hosts list --offline",
        "hosts rename nas storage",
        "hosts forget nas",
        "unpair nas --force",
        "watch --json",
        "identity",
        "identity show --host nas",
        "identity rotate --compromised",
        "enroll https://central.example:7720",
        "enrol https://central.example --token-file /f --accept-jobs --accept-answers --share-earlier-sessions",
        "enroll http://127.0.0.1:7720 --token-file -",
        "unenroll",
        "unenrol --force --reason moved",
        "sync",
        "sync status --json",
        "sync consent --jobs on",
        "sync consent --jobs off --answers on",
    ] {
        if let Err(error) = parse(line) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn what_is_not() {
    for line in [
        "fly",
        "run",
        "run a b",
        "run hello --approve perhaps",
        "run hello --max-steps 0",
        "run hello --max-steps 201",
        "run hello --workspace /a --session s1",
        "up --listen here",
        "up extra",
        "sessions show",
        "sessions --limit 0",
        "sessions --limit 1001",
        "approve",
        "approve a --remember sometimes",
        "deny a --remember once",
        "rules revoke",
        "rules revoke not/an/id",
        "completions csh",
        "rpc now",
        "--state-dir",
        "--host",
        "pair --scopes everything",
        "pairings approve",
        "devices scopes phone",
        "join a b",
        "join --address nas",
        "join --address 1.2.3.4:0",
        "join nas --resume",
        "hosts rename nas",
        "unpair",
        "identity rotate now",
        "enroll",
        "enroll central.example --token secret",
        "enroll https://central.example the-token",
        "sync consent",
        "sync consent --jobs perhaps",
        "sync now",
    ] {
        let error = parse(line).err().unwrap_or_else(|| panic!("{line} was understood"));
        assert_eq!(error.exit_code(), 2, "{line}: {error}");
        assert!(error.use_stderr(), "{line}");
    }
    assert!(Cli::try_parse_from(["lanyard", "run", ""]).is_err(), "an empty prompt");
}

#[test]
fn help_and_version_are_no_failures() {
    for (line, kind) in [
        ("--help", ErrorKind::DisplayHelp),
        ("run --help", ErrorKind::DisplayHelp),
        ("--version", ErrorKind::DisplayVersion),
    ] {
        let shown = parse(line).unwrap_err();
        assert_eq!((shown.kind(), shown.exit_code()), (kind, 0), "{line}");
    }
    assert_eq!(parse("").unwrap_err().exit_code(), 2, "no command at all");
}

#[test]
fn global_options_work_on_either_side() {
    for line in ["--state-dir /s --json stop", "stop --state-dir /s --json", "--json stop --state-dir /s"] {
        let cli = parse(line).unwrap();
        assert_eq!(cli.global.state_dir.as_deref(), Some("/s".as_ref()), "{line}");
        assert!(cli.global.json && matches!(cli.command, Command::Stop(_)), "{line}");
    }
}

#[test]
fn what_a_command_names_itself_is_not_the_global_option() {
    for line in ["join nas", "unpair nas", "hosts forget nas", "hosts rename nas storage"] {
        assert_eq!(parse(line).unwrap().global.host, None, "{line}");
    }
    assert_eq!(parse("sessions --host nas").unwrap().global.host.as_deref(), Some("nas"));
}
