//! Names with one reading, and what is protected.

use lanyard_protocol::approval::RiskLevel;
use proptest::prelude::*;

use super::{Access, HostPath, PathFault, Places, Protection, protection};

fn path(text: &str) -> HostPath {
    HostPath::parse(text).unwrap()
}

fn places() -> Places {
    Places::new(&path("/home/mia"), &[path("/home/mia/.local/share/lanyard"), path("/run/user/1000/lanyard")])
}

#[test]
fn item_01_parent_and_absolute_paths_end_where_they_lead() {
    let work = path("/work/app");
    assert_eq!(work.resolve("../../etc/passwd").unwrap().as_str(), "/etc/passwd");
    assert_eq!(work.resolve("/etc/./x/../passwd").unwrap().as_str(), "/etc/passwd");
    assert_eq!(work.resolve("src//./a/../lib.rs").unwrap().as_str(), "/work/app/src/lib.rs");
    assert!(!work.resolve("src/../../other").unwrap().is_within(&work));
    assert_eq!(work.resolve("../../../x"), Err(PathFault::AboveRoot));
    assert_eq!(HostPath::parse("src"), Err(PathFault::NotAbsolute("src".into())));
    assert_eq!(HostPath::parse("~/x"), Err(PathFault::NotAbsolute("~/x".into())));
}

#[test]
fn item_02_sibling_prefix_is_not_inside() {
    assert!(!path("/work-evil/x").is_within(&path("/work")));
    assert!(!path("/workspace").folded().is_within(&path("/work").folded()));
    assert!(path("/work").is_within(&path("/work")));
    assert!(path("/work/x").is_within(&path("/")));
    assert!(!path("/Work/x").is_within(&path("/work")));
}

#[test]
fn item_07_and_08_deceptive_spellings_are_refused() {
    for (text, fault) in [
        ("/w/a\0b", PathFault::Control(0)),
        ("/w/a\nb", PathFault::Control(10)),
        ("/w/a\u{200b}b", PathFault::Deceptive(0x200b)),
        ("/w/.gi\u{200c}t/config", PathFault::Deceptive(0x200c)),
        ("/w/\u{202e}x", PathFault::Deceptive(0x202e)),
        ("/w/a\u{fe0f}", PathFault::Deceptive(0xfe0f)),
        ("/w\u{ff0f}x", PathFault::Deceptive(0xff0f)),
        ("/w/\u{2024}\u{2024}/x", PathFault::Deceptive(0x2024)),
        ("/w/.git./config", PathFault::TrailingDotOrBlank(".git.".into())),
        ("/w/.git /config", PathFault::TrailingDotOrBlank(".git ".into())),
        ("/w/.../x", PathFault::TrailingDotOrBlank("...".into())),
        ("/w/f::$DATA", PathFault::DataStream("f::$DATA".into())),
        ("/w/.git:x/config", PathFault::DataStream(".git:x".into())),
        ("/w/GIT~1/config", PathFault::ShortName("GIT~1".into())),
        ("/w/progr~12.txt", PathFault::ShortName("progr~12.txt".into())),
        (r"\\?\C:\x", PathFault::Backslash),
        (r"\\server\share", PathFault::Backslash),
        ("//server/share", PathFault::NetworkShare),
        ("", PathFault::Empty),
    ] {
        assert_eq!(HostPath::parse(text), Err(fault), "{text:?}");
    }
    for fine in
        ["/w/file~", "/w/a~b", "/w/Foo::Bar.3pm", "/w/10:30.log", "/w/日本語（１）.txt", "/w/a b", "/w/..a"]
    {
        assert!(HostPath::parse(fine).is_ok(), "{fine}");
    }
    assert_eq!(HostPath::parse(&format!("/{}", "a/".repeat(3000))), Err(PathFault::TooLong));
    assert_eq!(HostPath::parse(&format!("/{}", "a".repeat(256))), Err(PathFault::TooLong));
}

#[test]
fn item_06_and_07_spellings_of_one_name_fold_together() {
    for other in ["/W/SE\u{301}CRET", "/w/s\u{e9}cret", "/ｗ/ｓｅ\u{301}ｃｒｅｔ", "/w/\u{17f}\u{e9}cret"]
    {
        assert_eq!(path(other).folded(), path("/w/s\u{e9}cret").folded(), "{other}");
    }
}

#[test]
fn item_06_and_20_git_internals_are_denied_in_any_case() {
    for text in [
        "/w/.git",
        "/w/.git/config",
        "/w/.GIT/Config",
        "/w/.git/hooks/pre-commit",
        "/w/sub/.Git/x",
        "/w/.ｇｉｔ/config",
        "/w/.g\u{131}t/config",
    ] {
        for access in [Access::Write, Access::Delete] {
            assert!(
                matches!(protection(&path(text), access, &places()), Some(Protection::Deny(_))),
                "{text}"
            );
        }
        assert_eq!(protection(&path(text), Access::Read, &places()), None, "{text}");
    }
    assert_eq!(protection(&path("/w/.gitignore"), Access::Write, &places()), None);
    assert_eq!(protection(&path("/w/git/config"), Access::Write, &places()), None);
}

#[test]
fn item_20_the_hosts_own_files_are_out_of_reach_and_so_is_what_holds_them() {
    for text in [
        "/home/mia/.local/share/lanyard",
        "/home/mia/.local/share/lanyard/store.redb",
        "/HOME/mia/.local/share/Lanyard/new",
    ] {
        for access in [Access::Read, Access::Write, Access::Delete] {
            assert!(
                matches!(protection(&path(text), access, &places()), Some(Protection::Deny(_))),
                "{text}"
            );
        }
    }
    for text in ["/home/mia/.local/share", "/home/mia", "/home", "/", "/run/user"] {
        assert!(
            matches!(protection(&path(text), Access::Delete, &places()), Some(Protection::Deny(_))),
            "{text}"
        );
    }
}

#[test]
fn item_20_files_obeyed_by_others_are_protected_before_they_exist() {
    for text in [
        "/home/mia/.bashrc",
        "/home/mia/.ssh/authorized_keys",
        "/home/mia/.config/systemd/user/x.service",
        "/home/mia/.claude/settings.json",
        "/home/mia/.config/autostart/x.desktop",
        "/home/mia/.gitconfig",
        "/home/mia/.local/bin/git",
        "/home/mia/.mcp.json",
        "/proc/self/mem",
    ] {
        assert!(
            matches!(protection(&path(text), Access::Write, &places()), Some(Protection::Deny(_))),
            "{text}"
        );
    }
    for text in [
        "/w/.vscode/tasks.json",
        "/w/.VSCode/Settings.json",
        "/w/.envrc",
        "/w/.mcp.json",
        "/w/.claude/settings.local.json",
        "/w/.codex/config.toml",
        "/w/.cursor/mcp.json",
        "/w/.husky/pre-commit",
        "/w/.gitattributes",
        "/w/AGENTS.md",
        "/w/deep/CLAUDE.md",
        "/w/.cargo/config.toml",
        "/w/dotfiles/.zshrc",
        "/w/x.code-workspace",
    ] {
        assert!(
            matches!(
                protection(&path(text), Access::Write, &places()),
                Some(Protection::MustAsk(RiskLevel::High, _))
            ),
            "{text}"
        );
    }
    assert!(matches!(
        protection(&path("/etc/hosts"), Access::Write, &places()),
        Some(Protection::MustAsk(RiskLevel::Critical, _))
    ));
    for fine in [
        "/w/src/main.rs",
        "/w/Makefile",
        "/w/package.json",
        "/home/mia/project/README.md",
        "/w/.github/workflows/ci.yml",
    ] {
        assert_eq!(protection(&path(fine), Access::Write, &places()), None, "{fine}");
    }
}

#[test]
fn credentials_are_asked_about_when_read() {
    assert!(matches!(
        protection(&path("/home/mia/.ssh/id_ed25519"), Access::Read, &places()),
        Some(Protection::MustAsk(RiskLevel::Critical, _))
    ));
    assert!(matches!(protection(&path("/w/.env"), Access::Read, &places()), Some(Protection::Ask(..))));
    assert_eq!(protection(&path("/w/.env.example"), Access::Read, &places()), None);
    assert!(matches!(
        protection(&path("/proc/self/environ"), Access::Read, &places()),
        Some(Protection::Deny(_))
    ));
}

proptest! {
    #[test]
    fn parsing_never_panics_and_is_idempotent(text in any::<String>()) {
        if let Ok(path) = HostPath::parse(&text) {
            prop_assert_eq!(HostPath::parse(path.as_str()).unwrap(), path.clone());
            prop_assert!(path.components().all(|name| name != "." && name != ".."));
        }
    }

    #[test]
    fn nothing_relative_without_parents_leaves_its_base(rest in "[a-c/. ]{0,20}") {
        let base = path("/work/app");
        if let Ok(found) = base.resolve(&rest) {
            let climbs = rest.starts_with('/') || rest.split('/').any(|name| name == "..");
            prop_assert!(climbs || found.is_within(&base), "{rest:?} -> {found}");
            prop_assert!(!found.is_within(&base) || found.folded().is_within(&base.folded()));
        }
    }
}
