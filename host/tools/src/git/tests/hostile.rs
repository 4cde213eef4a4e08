//! Repositories that want programs run. Each trap first catches plain git, which shows that it works, and then must
//! not catch the tools (6-security.md, items 15 to 17).

use std::os::unix::fs::symlink;

use lanyard_protocol::error::ErrorCode;
use serde_json::json;

use super::{Repo, Trap};

/// All four tools' ways into a repository, failures included. Nothing of the repository's may run.
fn visit(repo: &Repo) {
    let bench = &repo.bench;
    for (tool, arguments) in [
        ("GitStatus", json!({})),
        ("GitDiff", json!({})),
        ("GitDiff", json!({"staged": true})),
        ("GitCommit", json!({"message": "tool", "paths": ["."]})),
        ("GitCommit", json!({"message": "tool"})),
        ("GitPush", json!({"remote": "nowhere"})),
    ] {
        if let Ok(plan) = bench.plan(tool, arguments) {
            bench.run(plan);
        }
    }
}

/// `plain` springs the trap when run by plain git, and the tools do not.
fn assert_harmless(repo: &Repo, trap: &Trap, plain: &[&str]) {
    // As long as before: git has to look inside to see the change.
    repo.bench.write("a.txt", "two\n");
    repo.try_git(&repo.bench.at(""), plain);
    assert!(trap.sprung(), "the trap does not work: git {plain:?} left no mark");
    trap.reset();
    repo.bench.write("a.txt", "six\n");
    visit(repo);
    assert!(!trap.sprung(), "the tools were caught by what git {plain:?} runs");
}

fn set(repo: &Repo, key: &str, value: &str) {
    repo.git(&["config", key, value]);
}

#[test]
fn item_16_the_watcher_of_a_repository_is_not_run() {
    let repo = Repo::new();
    let trap = repo.trap("fsmonitor");
    set(&repo, "core.fsmonitor", &trap.command());
    assert_harmless(&repo, &trap, &["status"]);
}

#[test]
fn item_17_hooks_are_not_run() {
    for (hook, plain) in [
        ("pre-commit", &["commit", "--quiet", "-am", "x"][..]),
        ("prepare-commit-msg", &["commit", "--quiet", "-am", "x"]),
        ("commit-msg", &["commit", "--quiet", "-am", "x"]),
        ("post-commit", &["commit", "--quiet", "-am", "x"]),
        ("reference-transaction", &["commit", "--quiet", "-am", "x"]),
        ("post-index-change", &["add", "a.txt"]),
    ] {
        let repo = Repo::new();
        let trap = repo.trap(hook);
        repo.program(&repo.bench.at(&format!(".git/hooks/{hook}")), &trap.mark);
        assert_harmless(&repo, &trap, plain);
    }
}

#[test]
fn item_16_hooks_from_elsewhere_are_not_run() {
    let repo = Repo::new();
    let trap = repo.trap("hookspath");
    repo.program(&repo.bench.at("tools/pre-commit"), &trap.mark);
    set(&repo, "core.hooksPath", "tools");
    assert_harmless(&repo, &trap, &["commit", "--quiet", "-am", "x"]);
}

#[test]
fn item_16_content_filters_are_not_run() {
    for (variable, plain) in
        [("clean", &["status"][..]), ("clean", &["add", "a.txt"]), ("process", &["add", "a.txt"])]
    {
        let repo = Repo::new();
        let trap = repo.trap(variable);
        repo.bench.write(".gitattributes", "*.txt filter=odd.na=me\n");
        // Written by hand: such a name is beyond `-c`, and must not be beyond us.
        let config = repo.bench.read(".git/config");
        let quoted = trap.command().replace('\\', "\\\\").replace('"', "\\\"");
        let section = format!("{config}[filter \"odd.na=me\"]\n\t{variable} = \"{quoted}\"\n");
        repo.bench.write(".git/config", section);
        assert_harmless(&repo, &trap, plain);
    }
}

#[test]
fn item_16_a_required_filter_does_not_stop_the_tools() {
    let repo = Repo::new();
    repo.bench.write(".gitattributes", "*.txt filter=must\n");
    set(&repo, "filter.must.clean", "cat");
    set(&repo, "filter.must.required", "true");
    repo.bench.write("a.txt", "two\n");
    let status = repo.bench.succeed("GitStatus", json!({}));
    assert!(
        status.contains(" M a.txt\n") && status.contains("content filters are not run (must)"),
        "{status}"
    );
    let error = repo.bench.fail("GitCommit", json!({"message": "x", "paths": ["a.txt"]}));
    assert!(error.contains("content filter must"), "{error}");
    // As with git-lfs, whose filter is the owner's setting and not the repository's.
    repo.bench.write(".gitattributes", "*.txt filter=lfs\n");
    let error = repo.bench.fail("GitCommit", json!({"message": "x", "paths": ["a.txt"]}));
    assert!(error.contains("content filter lfs"), "{error}");
}

#[test]
fn item_15_16_diff_programs_are_not_run() {
    for key in ["diff.external", "diff.odd.command", "diff.odd.textconv"] {
        let repo = Repo::new();
        let trap = repo.trap(key);
        repo.bench.write(".gitattributes", "*.txt diff=odd\n");
        set(&repo, key, &trap.command());
        assert_harmless(&repo, &trap, &["diff"]);
    }
}

#[test]
fn item_16_signing_programs_are_not_run() {
    let repo = Repo::new();
    let trap = repo.trap("gpg");
    set(&repo, "gpg.program", trap.program.to_str().unwrap());
    set(&repo, "commit.gpgSign", "true");
    assert_harmless(&repo, &trap, &["commit", "--quiet", "-am", "x"]);
}

#[test]
fn item_16_editors_are_not_run() {
    let repo = Repo::new();
    let trap = repo.trap("editor");
    set(&repo, "core.editor", trap.program.to_str().unwrap());
    assert_harmless(&repo, &trap, &["commit", "--quiet", "-a"]);
}

#[test]
fn item_16_settings_taken_in_from_elsewhere_are_refused() {
    for key in ["include.path", "includeIf.onbranch:main.path"] {
        let repo = Repo::new();
        let trap = repo.trap("include");
        let hidden = format!("[core]\n\tfsmonitor = \"{}\"\n", trap.command());
        repo.bench.write("hidden.cfg", hidden);
        set(&repo, key, "../hidden.cfg");
        assert_harmless(&repo, &trap, &["status"]);
        let error = repo.bench.fail("GitStatus", json!({}));
        assert!(error.contains("takes in settings from another file"), "{error}");
    }
}

#[test]
fn item_16_submodules_are_not_entered() {
    let repo = Repo::new();
    let trap = repo.trap("submodule");
    let inner = repo.bench.beside("outside/inner");
    std::fs::create_dir(&inner).unwrap();
    for args in [&["init", "--quiet"][..], &["commit", "--quiet", "--allow-empty", "-m", "x"]] {
        assert!(repo.try_git(&inner, args).0);
    }
    repo.git(&[
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        inner.to_str().unwrap(),
        "sub",
    ]);
    repo.git(&["commit", "--quiet", "-am", "submodule"]);
    let (ok, text) = repo.try_git(&repo.bench.at("sub"), &["config", "core.fsmonitor", &trap.command()]);
    assert!(ok, "{text}");
    repo.bench.write("sub/new", "");
    assert_harmless(&repo, &trap, &["status"]);
}

#[test]
fn item_16_a_missing_object_calls_no_remote() {
    let repo = Repo::new();
    let trap = repo.trap("promisor");
    let blob = repo.git(&["rev-parse", "HEAD:a.txt"]);
    std::fs::remove_file(repo.bench.at(&format!(".git/objects/{}/{}", &blob[..2], &blob[2..]))).unwrap();
    set(&repo, "core.repositoryFormatVersion", "1");
    set(&repo, "extensions.partialClone", "origin");
    set(&repo, "remote.origin.url", "ssh://host.invalid/x");
    set(&repo, "remote.origin.promisor", "true");
    // One that answers nothing, or plain git waits for it.
    set(&repo, "core.sshCommand", &format!("touch '{}'; false", trap.mark.display()));
    assert_harmless(&repo, &trap, &["diff"]);
}

#[test]
fn item_16_attributes_from_a_tree_bring_no_filter_in() {
    let repo = Repo::new();
    let trap = repo.trap("attrtree");
    repo.bench.write(".gitattributes", "*.txt filter=x\n");
    repo.git(&["add", ".gitattributes"]);
    let tree = repo.git(&["write-tree"]);
    repo.git(&["rm", "--quiet", "--force", ".gitattributes"]);
    set(&repo, "attr.tree", &tree);
    set(&repo, "filter.x.clean", &trap.command());
    assert_harmless(&repo, &trap, &["add", "a.txt"]);
}

#[test]
fn item_16_a_work_tree_elsewhere_is_not_obeyed() {
    let repo = Repo::new();
    std::fs::write(repo.bench.beside("outside/secret-name"), "x").unwrap();
    set(&repo, "core.worktree", repo.bench.beside("outside").to_str().unwrap());
    repo.bench.write("b.txt", "new\n");
    assert!(repo.git(&["status", "--short"]).contains("secret-name"), "plain git obeys");
    let status = repo.bench.succeed("GitStatus", json!({}));
    assert!(status.contains("?? b.txt") && !status.contains("secret"), "{status}");
}

#[test]
fn item_16_a_git_directory_outside_the_workspace_is_refused() {
    let repo = Repo::new();
    let elsewhere = repo.bench.beside("outside/gitdir");
    std::fs::rename(repo.bench.at(".git"), &elsewhere).unwrap();
    let refused = |what: &str| {
        for tool in ["GitStatus", "GitDiff"] {
            let error = repo.bench.plan(tool, json!({})).unwrap_err();
            assert_eq!(error.code(), ErrorCode::CapabilityDenied, "{what}: {error}");
        }
    };
    repo.bench.write(".git", format!("gitdir: {}\n", elsewhere.display()));
    assert!(repo.git(&["status", "--short"]).is_empty(), "plain git obeys");
    refused("a .git file");
    std::fs::remove_file(repo.bench.at(".git")).unwrap();
    symlink(&elsewhere, repo.bench.at(".git")).unwrap();
    assert!(repo.git(&["status", "--short"]).is_empty(), "plain git obeys");
    refused("a .git link");
    std::fs::remove_file(repo.bench.at(".git")).unwrap();
    std::fs::create_dir(repo.bench.at(".git")).unwrap();
    repo.bench.write(".git/HEAD", "ref: refs/heads/main\n");
    repo.bench.write(".git/commondir", elsewhere.to_str().unwrap());
    refused("a commondir file");
}

#[test]
fn item_16_settings_reached_by_a_link_are_refused() {
    let repo = Repo::new();
    let trap = repo.trap("configlink");
    let config = repo.bench.read(".git/config") + &format!("[core]\n\tfsmonitor = \"{}\"\n", trap.command());
    let elsewhere = repo.bench.beside("outside/config");
    std::fs::write(&elsewhere, config).unwrap();
    std::fs::remove_file(repo.bench.at(".git/config")).unwrap();
    symlink(&elsewhere, repo.bench.at(".git/config")).unwrap();
    assert_harmless(&repo, &trap, &["status"]);
    assert!(repo.bench.fail("GitStatus", json!({})).contains("not a regular file"));
}

#[test]
fn item_16_a_bare_repository_among_the_files_is_just_files() {
    let repo = Repo::new();
    let trap = repo.trap("bare");
    let bare = repo.bench.at("bare");
    repo.git(&["init", "--quiet", "--bare", "bare"]);
    for (key, value) in [("core.bare", "false"), ("core.worktree", ".."), ("core.fsmonitor", &trap.command())]
    {
        assert!(repo.try_git(&bare, &["config", "--file", "config", key, value]).0);
    }
    repo.try_git(&bare, &["status"]);
    assert!(trap.sprung(), "plain git takes it for a repository");
    trap.reset();
    for path in ["bare", "bare/refs"] {
        let status = repo.bench.succeed("GitStatus", json!({"path": path}));
        assert!(status.starts_with("## main\n"), "the repository around it: {status}");
    }
    assert!(!trap.sprung());
}

#[test]
fn item_18_variables_of_the_owner_do_not_reach_git() {
    let repo = Repo::new();
    // The sandbox starts from nothing; what is checked here is that nothing of ours lets them in again.
    let answer = super::super::invoke::wait(async {
        let workspace = &repo.bench.workspace;
        let found = workspace.ground.resolve(".", crate::ground::LastLink::Follow).unwrap();
        let repository = super::super::Repository::find(&workspace.ground, &found)?;
        let git =
            super::super::invoke::Git::planning(workspace, &repository, super::super::invoke::Access::Look);
        git.run(&["var", "-l"], None).await
    });
    let text = answer.unwrap().text();
    assert!(text.contains("core.hookspath=/dev/null") && text.contains("GIT_EDITOR=false"), "{text}");
    assert!(!text.contains("mia@example.org"), "the owner's own settings are not read: {text}");
}
