//! The numbered attacks of the design's security list, each against the decision.

use lanyard_protocol::{approval::RiskLevel, policy::Capability, session::ApprovalMode};

use super::{DenialReason, Verdict, tests::*};
use crate::{demand::Demand, filter::ReadFilter, testing::*};

#[test]
fn item_01_to_03_paths_outside_the_roots_are_denied() {
    for outside in ["/etc/passwd", "/home/mia/app-evil/x", "/home/mia/app/../x", "/home/mia", "/"] {
        for demand in [read(outside), write(outside), Demand::DeletePath(outside.into())] {
            assert!(
                matches!(reason(free(|_| ()), demand.clone()), DenialReason::OutOfScope { .. }),
                "{demand:?}"
            );
        }
    }
    for unreadable in ["relative/path", "/home/mia/app/a\u{200b}", "/home/mia/app/f::$DATA", "//h/share", ""]
    {
        assert!(
            matches!(reason(free(|_| ()), read(unreadable)), DenialReason::Path { .. }),
            "{unreadable:?}"
        );
    }
}

#[test]
fn blocked_wins_over_allowed_in_any_spelling() {
    let bundle =
        || free_with(Capability::FileRead, |g| g.blocked_paths = Some(vec!["/home/mia/app/secret".into()]));
    for blocked in
        ["/home/mia/app/secret", "/home/mia/app/secret/x", "/home/mia/app/SECRET/x", "/home/mia/app/ｓecret"]
    {
        assert!(matches!(reason(bundle(), read(blocked)), DenialReason::Blocked(_)), "{blocked}");
    }
    assert!(is_allowed(bundle(), read("/home/mia/app/secrets")));
    assert!(matches!(reason(bundle(), shell("cat secret/x")), DenialReason::Blocked(_)));
    assert!(matches!(reason(bundle(), shell("cd secret && ls")), DenialReason::Blocked(_)));
    assert!(matches!(reason(bundle(), shell("grep -f./Secret/x a")), DenialReason::Blocked(_)));
    let layers = layers(vec![bundle()]);
    let world = World::new();
    let filter = ReadFilter::new(&layers, &world.places);
    assert!(filter.admits(&path("/home/mia/app/a")));
    for hidden in ["/home/mia/app/secret/x", "/home/mia/app/.env", "/etc/passwd"] {
        assert!(!filter.admits(&path(hidden)), "{hidden}");
    }
}

#[test]
fn item_09_every_command_of_a_text_must_be_allowed() {
    assert!(is_allowed(only(&["git status", "ls"]), shell("git status --short && ls -la | ls; ls")));
    for text in [
        "git status; rm x",
        "git status && rm x",
        "git status\nrm x",
        "git status | tee x",
        "git stash",
        "gitx status",
        "git  log",
    ] {
        assert!(
            matches!(reason(only(&["git status", "ls"]), shell(text)), DenialReason::OutOfScope { .. }),
            "{text}"
        );
    }
    assert!(matches!(
        reason(only(&["git status"]), argv(&["git", "statusx"])),
        DenialReason::OutOfScope { .. }
    ));
    assert!(matches!(
        reason(only(&["git status"]), argv(&["./git", "status"])),
        DenialReason::OutOfScope { .. }
    ));
}

#[test]
fn item_09_to_12_what_is_not_understood_is_asked_or_denied() {
    for text in ["ls $(id)", "ls `id`", "ls *", "FOO=1 ls", "ls > >(x)", "ls &", "f() { ls; }"] {
        assert!(is_asked(free(|_| ()), shell(text)), "{text}");
        assert!(matches!(reason(only(&["ls"]), shell(text)), DenialReason::NotUnderstood(_)), "{text}");
        assert!(matches!(reason(blocking(&["rm"]), shell(text)), DenialReason::NotUnderstood(_)), "{text}");
    }
    let many = vec!["true"; 51].join(";");
    for text in ["ls\rrm x", "ls \0", "ls \u{202e}", "", &many] {
        assert!(matches!(reason(local(), shell(text)), DenialReason::NotUnderstood(_)), "{text:?}");
    }
    assert!(matches!(reason(local(), argv(&[])), DenialReason::NotUnderstood(_)));
    assert!(matches!(reason(local(), argv(&["a\0b"])), DenialReason::NotUnderstood(_)));
    assert!(is_asked(free(|_| ()), argv(&["echo", "\u{202e}x"])));
}

#[test]
fn item_12_redirects_are_judged_as_the_files_they_touch() {
    assert!(is_allowed(free(|_| ()), shell("ls > out 2>&1")));
    assert!(is_allowed(free(|_| ()), shell("ls 2>/dev/null")));
    assert!(is_asked(free(|_| ()), shell("echo x > /etc/hosts")));
    assert!(is_asked(free(|_| ()), shell("echo x > ../other")));
    assert!(is_asked(free(|_| ()), shell("cat < /etc/shadow")));
    for text in [
        "echo x > .git/config",
        "echo x >> .GIT/hooks/x",
        "echo x | tee .git/config",
        "cp x .git/hooks/y",
        "sh -c 'echo > .git/config'",
    ] {
        assert!(matches!(reason(free(|_| ()), shell(text)), DenialReason::Protected { .. }), "{text}");
    }
}

#[test]
fn every_path_like_word_of_a_command_is_checked() {
    for text in [
        "cat /etc/shadow",
        "cat ../x",
        "grep --file=/etc/shadow x",
        "grep -f/etc/shadow x",
        "grep -f../../x x",
        "head @/etc/shadow",
        "ls file:///etc",
        "cat 'a\\b/../../../../etc/shadow'",
        "cat '/a\\b'",
        "cat ../../../../../../../../x",
        // The first command may fail, and then the last one runs elsewhere.
        "cd sub/deep && true; cat ../../x",
        "cd sub/deep || true && cat ../../x",
        "cd sub/deep | true && cat ../../x",
    ] {
        assert!(is_asked(free(|_| ()), shell(text)), "{text}");
    }
    for text in [
        "cd sub/deep && cat ../../x | head",
        "cat src/../a",
        "grep -n 'a/b' --include=x src",
        "git log origin/HEAD~1 -- a",
        "ls /home/mia/app/src",
        "/usr/bin/ls",
    ] {
        assert!(is_allowed(free(|_| ()), shell(text)), "{text}");
    }
    let narrow =
        free_with(Capability::ShellExec, |g| g.allowed_paths = Some(vec!["/home/mia/app/src".into()]));
    assert!(matches!(reason(narrow, shell("cat docs/a")), DenialReason::OutOfScope { .. }));
}

#[test]
fn item_13_wrapper_and_wrapped_must_both_be_allowed() {
    assert!(is_allowed(only(&["timeout", "ls"]), shell("timeout 5 ls")));
    assert!(matches!(reason(only(&["timeout"]), shell("timeout 5 rm x")), DenialReason::OutOfScope { .. }));
    assert!(matches!(reason(only(&["ls"]), shell("timeout 5 ls")), DenialReason::OutOfScope { .. }));
    assert!(matches!(
        reason(only(&["sh", "ls"]), shell("sh -c 'ls; rm x'")),
        DenialReason::OutOfScope { .. }
    ));
    for text in [
        "rm x",
        "/bin/rm x",
        "RM x",
        "timeout 5 rm x",
        "env rm x",
        "sh -c 'ls && rm x'",
        "busybox rm x",
        "find . -exec rm {} +",
        "nohup nice rm x",
    ] {
        assert!(matches!(reason(blocking(&["rm"]), shell(text)), DenialReason::Blocked(_)), "{text}");
    }
    assert!(is_asked(only(&["env", "ls"]), shell("env PATH=. ls")));
}

#[test]
fn item_14_and_15_dangerous_options_are_asked_even_when_the_program_is_allowed() {
    for text in [
        "git -c core.pager=x log",
        "git log --output=x",
        "git diff --ext-diff",
        "git fetch --upload-pack=x",
        "rg --pre x y",
        "sort --compress-program=x a",
        "sed 'e id' a",
        "tar -I x -xf a",
        "find . -delete",
    ] {
        assert!(is_asked(only(&["git", "rg", "sort", "sed", "tar", "find"]), shell(text)), "{text}");
    }
}

#[test]
fn item_15_names_like_options_are_not_given_to_git() {
    let push = |remote: &str, url: &str, branch: &str| Demand::GitPush {
        repo: "/home/mia/app".into(),
        remote: remote.into(),
        url: url.into(),
        branch: branch.into(),
    };
    for demand in [
        push("--exec=id", "git@h.example:a", "main"),
        push("origin", "ext::sh -c id", "main"),
        push("origin", "git@h.example:a", "--force"),
        push("origin", "git@h.example:a", "+main"),
        Demand::GitCommit { repo: "/home/mia/app".into(), branch: Some("-x".into()) },
    ] {
        assert!(matches!(reason(free(|_| ()), demand.clone()), DenialReason::GitName(_)), "{demand:?}");
    }
}

#[test]
fn item_17_a_push_into_a_directory_runs_its_hooks_and_is_asked_about() {
    let push = |url: &str| Demand::GitPush {
        repo: "/home/mia/app".into(),
        remote: "origin".into(),
        url: url.into(),
        branch: "main".into(),
    };
    let ask =
        asked(World::mode(ApprovalMode::Never).decide(&layers(vec![free(|_| ())]), call(push("/srv/a.git"))));
    assert!(ask.must_ask());
    let listed = free_with(Capability::GitPush, |g| g.allowed_remotes = Some(vec!["/srv/a.git".into()]));
    assert!(is_allowed(listed.clone(), push("/srv/a.git")));
    assert!(matches!(reason(listed, push("/srv/b.git")), DenialReason::OutOfScope { .. }));
    let own = push("/home/mia/.local/share/lanyard/x.git");
    assert!(matches!(reason(free(|_| ()), own), DenialReason::Protected { .. }));
}

#[test]
fn item_17_project_code_needs_an_entry_that_names_it() {
    for text in ["npm test", "pytest", "make", "./run.sh", "cargo test"] {
        assert!(is_asked(free(|_| ()), shell(text)), "{text}");
    }
    assert!(is_allowed(only(&["npm test"]), shell("npm test -- --watch")));
    assert!(matches!(reason(only(&["npm test"]), shell("npm run evil")), DenialReason::OutOfScope { .. }));
}

#[test]
fn item_19_a_program_from_the_workspace_does_not_pass_for_the_systems() {
    let found = |at: &str| call_with(shell("git status"), vec![content(at, "aa")]);
    let layers = layers(vec![only(&["git"])]);
    let denial = denied(World::new().decide(&layers, found("/home/mia/app/git")));
    assert!(matches!(denial.reason, DenialReason::ProgramInWorkspace { .. }));
    assert!(matches!(World::new().decide(&layers, found("/usr/bin/git")), Verdict::Allowed(_)));
}

#[test]
fn item_20_protected_places() {
    for demand in [
        read("/home/mia/.local/share/lanyard/store.redb"),
        write("/home/mia/app/.git/hooks/pre-commit"),
        write("/home/mia/.bashrc"),
        write("/home/mia/.ssh/authorized_keys"),
        Demand::DeletePath("/home/mia/.local".into()),
        shell("cat /home/mia/.local/share/lanyard/config.toml"),
        shell("cd /home/mia/.local/share/lanyard && ls"),
    ] {
        let everywhere = free(|grant| {
            grant.allowed_paths = grant.allowed_paths.is_some().then(|| vec!["/".into()]);
            grant.allowed_cwds = None;
        });
        assert!(matches!(reason(everywhere, demand.clone()), DenialReason::Protected { .. }), "{demand:?}");
    }
    for demand in [
        write("/home/mia/app/.vscode/tasks.json"),
        write("/home/mia/app/.mcp.json"),
        shell("cd .claude && echo x > settings.json"),
        shell("mv x .envrc"),
    ] {
        let mut never = World::mode(ApprovalMode::Never);
        never.initiator = owner();
        let ask = asked(never.decide(&layers(vec![free(|_| ())]), call(demand)));
        assert!(ask.must_ask() && ask.risk_level() >= RiskLevel::High);
    }
}

#[test]
fn item_25_requests_are_limited_by_name_and_kind_of_address() {
    let bundle = || {
        free_with(Capability::NetworkHttp, |g| {
            g.allowed_domains = Some(vec!["*.example.com".into(), "127.0.0.1".into()]);
            g.blocked_domains = Some(vec!["bad.example.com".into()]);
        })
    };
    assert!(is_allowed(bundle(), http("https://api.example.com/")));
    assert!(is_allowed(bundle(), http("http://127.0.0.1:3000/")));
    for (url, blocked) in [
        ("https://example.org/", false),
        ("https://bad.example.com/", true),
        ("https://x.bad.example.com./", true),
        ("http://10.0.0.1/", false),
    ] {
        let found = reason(bundle(), http(url));
        assert_eq!(matches!(found, DenialReason::Blocked(_)), blocked, "{url}: {found:?}");
    }
    assert!(matches!(
        reason(free(|_| ()), http("http://169.254.169.254/latest")),
        DenialReason::PrivateAddress(_)
    ));
    assert!(matches!(
        reason(free(|_| ()), http("http://[::ffff:127.0.0.1]/")),
        DenialReason::PrivateAddress(_)
    ));
    assert!(matches!(reason(free(|_| ()), http("https://a@b.example/")), DenialReason::Url(_)));
    let connect = Demand::Http { method: "CONNECT".into(), url: "https://example.com/".into() };
    assert!(matches!(reason(free(|_| ()), connect), DenialReason::Method(_)));
}
