//! What the tools are for.

use lanyard_policy::demand::Demand;
use lanyard_protocol::approval::ApprovalDetail;
use lanyard_protocol::tool::ToolStatus;
use serde_json::json;

use super::Repo;
use crate::{PlanError, Searchable};

fn detail(repo: &Repo, arguments: serde_json::Value) -> String {
    let plan = repo.bench.plan("GitCommit", arguments).unwrap();
    let ApprovalDetail::Other(detail) = plan.detail else { panic!() };
    detail.text
}

#[test]
fn status_and_diff_tell_what_changed() {
    let repo = Repo::new();
    assert_eq!(repo.bench.succeed("GitStatus", json!({})), "## main\n");
    assert_eq!(repo.bench.succeed("GitDiff", json!({})), "[no differences]\n");
    repo.bench.write("a.txt", "two\n");
    repo.bench.write("sub/b.txt", "new\n");
    assert_eq!(repo.bench.succeed("GitStatus", json!({})), "## main\n M a.txt\n?? sub/\n");
    assert_eq!(repo.bench.succeed("GitStatus", json!({"path": "sub"})), "## main\n?? sub/\n");
    let diff = repo.bench.succeed("GitDiff", json!({}));
    assert!(diff.starts_with("diff --git a/a.txt b/a.txt\n") && diff.contains("-one\n+two\n"), "{diff}");
    assert_eq!(repo.bench.succeed("GitDiff", json!({"staged": true})), "[no differences]\n");
    repo.git(&["add", "sub"]);
    assert!(repo.bench.succeed("GitDiff", json!({"staged": true})).contains("+new\n"));
    assert_eq!(repo.bench.succeed("GitDiff", json!({"paths": ["sub"]})), "[no differences]\n");
    let plan = repo.bench.plan("GitDiff", json!({"path": "sub"})).unwrap();
    assert_eq!(plan.call.demands(), [Demand::GitDiff { repo: repo.bench.at("").components().collect() }]);
}

/// The repository is granted as a whole; its files are judged one by one.
#[test]
fn a_diff_withholds_what_may_not_be_read_without_asking() {
    let mut repo = Repo::new();
    repo.bench.terms.searchable = Searchable::new(|path| !path.as_str().contains("/blocked/"));
    for file in [".env", "blocked/b.txt", "moved.txt"] {
        repo.bench.write(file, "DB_PASSWORD=old\n");
    }
    repo.git(&["add", "--force", "."]);
    repo.git(&["commit", "--quiet", "-m", "second"]);
    repo.bench.write("a.txt", "two\n");
    for file in [".env", "blocked/b.txt"] {
        repo.bench.write(file, "DB_PASSWORD=new\n");
    }
    let plain = repo.git(&["diff"]);
    assert_eq!(plain.matches("DB_PASSWORD=new").count(), 2, "there is something to withhold: {plain}");
    let check = |arguments: serde_json::Value, shown: bool| {
        let diff = repo.bench.succeed("GitDiff", arguments.clone());
        assert!(!diff.contains("DB_PASSWORD"), "{arguments}: {diff}");
        assert_eq!(diff.contains("-one\n+two\n"), shown, "{arguments}: {diff}");
        assert!(diff.contains(".env") && !diff.contains("[no differences]"), "{arguments}: {diff}");
        diff
    };
    let diff = check(json!({}), true);
    assert!(diff.contains("[2 changed files not shown") && diff.contains("blocked/b.txt"), "{diff}");
    check(json!({"paths": [".env"]}), false);
    check(json!({"paths": ["."]}), true);
    repo.git(&["add", "--all", "."]);
    check(json!({"staged": true}), true);
    // What was protected under its old name is not shown under the new one as a rename.
    repo.git(&["mv", ".env", "blocked/moved"]);
    check(json!({"staged": true}), true);
}

#[test]
fn git_is_not_run_for_a_plan_where_programs_may_not_run() {
    let mut repo = Repo::new();
    repo.bench.write("a.txt", "two\n");
    repo.bench.terms.programs_allowed = false;
    for (tool, arguments) in
        [("GitCommit", json!({"message": "x", "paths": ["a.txt"]})), ("GitPush", json!({}))]
    {
        let refused = repo.bench.plan(tool, arguments).unwrap_err();
        assert!(matches!(refused, PlanError::Denied { .. }), "{tool}: {refused}");
        // Running git makes the session's private home.
        assert!(!repo.bench.beside("scratch/home").exists(), "{tool} started something");
    }
    repo.bench.plan("GitStatus", json!({})).unwrap();
}

#[test]
fn looking_changes_nothing() {
    let repo = Repo::new();
    repo.bench.write("a.txt", "two\n");
    let index = std::fs::read(repo.bench.at(".git/index")).unwrap();
    repo.bench.succeed("GitStatus", json!({}));
    repo.bench.succeed("GitDiff", json!({}));
    let objects = repo.git(&["count-objects"]);
    repo.bench.plan("GitCommit", json!({"message": "x", "paths": ["a.txt"]})).unwrap();
    assert_eq!(std::fs::read(repo.bench.at(".git/index")).unwrap(), index);
    assert_eq!(repo.git(&["count-objects"]), objects);
    let left = std::fs::read_dir(repo.bench.beside("scratch")).unwrap();
    let left: Vec<_> =
        left.map(|entry| entry.unwrap().file_name()).filter(|name| name != "home" && name != "tmp").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_commit_takes_the_named_paths_and_nothing_else() {
    let repo = Repo::new();
    repo.bench.write("b.txt", "gone\n");
    repo.git(&["add", "b.txt"]);
    repo.git(&["commit", "--quiet", "-m", "second"]);
    repo.bench.write("a.txt", "two\n");
    repo.bench.write("new/c.txt", "new\n");
    repo.bench.write("staged.txt", "staged\n");
    repo.bench.write("untouched.txt", "x\n");
    repo.git(&["add", "staged.txt"]);
    std::fs::remove_file(repo.bench.at("b.txt")).unwrap();
    let arguments = json!({"message": "subject\n\n# not a comment\n", "paths": ["a.txt", "b.txt", "new"]});
    let text = detail(&repo, arguments.clone());
    for part in ["Commit to main in .", "# not a comment", "-one\n+two", "+new", "-gone"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("staged"), "{text}");
    let plan = repo.bench.plan("GitCommit", arguments).unwrap();
    assert_eq!(plan.summary, "Commit to main in .: subject");
    let outcome = repo.bench.run(plan);
    assert_eq!(outcome.status, ToolStatus::Succeeded, "{:?}", outcome.error);
    assert!(outcome.output.contains("3 files changed"), "{}", outcome.output);
    let log = repo.git(&["log", "-1", "--format=%an <%ae>%n%cn%n%B", "--name-status"]);
    let wanted = "Mia Owner <mia@example.org>\nMia Owner\nsubject\n\n# not a comment\n\n\nM\ta.txt\nD\tb.txt\nA\tnew/c.txt";
    assert_eq!(log, wanted);
    assert_eq!(repo.git(&["status", "--short"]), "A  staged.txt\n?? untouched.txt");
    assert_eq!(repo.git(&["rev-parse", "--abbrev-ref", "HEAD"]), "main");
    repo.git(&["fsck", "--strict"]);
}

#[test]
fn without_paths_what_is_staged_is_committed() {
    let repo = Repo::new();
    assert!(repo.bench.fail("GitCommit", json!({"message": "x"})).contains("nothing is staged"));
    repo.bench.write("a.txt", "staged\n");
    repo.git(&["add", "a.txt"]);
    repo.bench.write("a.txt", "later\n");
    repo.bench.succeed("GitCommit", json!({"message": "x"}));
    assert_eq!(repo.git(&["show", "HEAD:a.txt"]), "staged");
    assert_eq!(repo.git(&["status", "--short"]), " M a.txt");
    repo.bench.succeed("GitCommit", json!({"message": "x", "paths": ["."]}));
    let nothing = repo.bench.fail("GitCommit", json!({"message": "x", "paths": ["."]}));
    assert!(nothing.contains("nothing in these paths differs"), "{nothing}");
}

#[test]
fn the_first_commit_and_a_detached_head_work() {
    let bench = Repo { bench: crate::testing::Bench::new() };
    bench.git(&["init", "--quiet", "--initial-branch=trunk"]);
    bench.git(&["config", "user.name", "Local"]);
    bench.git(&["config", "user.email", "local@example.org"]);
    bench.bench.write("a", "a\n");
    bench.bench.succeed("GitCommit", json!({"message": "first", "paths": ["a"]}));
    assert_eq!(bench.git(&["log", "--format=%an %s %D"]), "Local first HEAD -> trunk");
    bench.git(&["checkout", "--quiet", "--detach"]);
    bench.bench.write("a", "b\n");
    let plan = bench.bench.plan("GitCommit", json!({"message": "second", "paths": ["a"]})).unwrap();
    assert!(matches!(plan.call.demands(), [Demand::GitCommit { branch: None, .. }]));
    assert_eq!(bench.bench.run(plan).status, ToolStatus::Succeeded);
    assert_eq!(bench.git(&["log", "-1", "--format=%s"]), "second");
    assert_eq!(bench.git(&["log", "-1", "--format=%s", "trunk"]), "first");
}

#[test]
fn a_commit_is_of_exactly_what_was_shown() {
    let repo = Repo::new();
    repo.bench.write("a.txt", "shown\n");
    let arguments = json!({"message": "x", "paths": ["a.txt"]});
    let head = repo.git(&["rev-parse", "HEAD"]);
    let refused = |change: &dyn Fn()| {
        let plan = repo.bench.plan("GitCommit", arguments.clone()).unwrap();
        change();
        let outcome = repo.bench.run(plan);
        assert_eq!(outcome.status, ToolStatus::Failed);
        outcome.error.unwrap().message
    };
    let text = refused(&|| drop(repo.bench.write("a.txt", "other\n")));
    assert!(text.contains("changed since the call was planned"), "{text}");
    let text = refused(&|| drop(repo.git(&["checkout", "--quiet", "-b", "elsewhere"])));
    assert!(text.contains("changed since the call was planned"), "{text}");
    let text = refused(&|| drop(repo.git(&["config", "core.autocrlf", "true"])));
    assert!(text.contains("config"), "{text}");
    assert_eq!(repo.git(&["rev-parse", "HEAD"]), head);
}

#[test]
fn what_stands_in_the_way_of_a_commit_is_said() {
    let repo = Repo::new();
    repo.bench.write("a.txt", "two\n");
    let commit = |arguments| repo.bench.fail("GitCommit", arguments);
    assert!(commit(json!({"message": " "})).contains("`message`"));
    assert!(commit(json!({"message": "x", "paths": []})).contains("`paths`"));
    // CVE-2026-27735: a path that climbs out of the repository.
    assert!(commit(json!({"message": "x", "paths": ["../outside"]})).contains("outside the workspace"));
    assert!(
        commit(json!({"message": "x", "paths": [".git/config"]})).contains("does not lie in the repository")
    );
    assert!(commit(json!({"message": "x", "paths": ["missing"]})).contains("missing"));
    repo.bench.write(".git/MERGE_HEAD", repo.git(&["rev-parse", "HEAD"]));
    assert!(commit(json!({"message": "x", "paths": ["a.txt"]})).contains("merge is under way"));
    std::fs::remove_file(repo.bench.at(".git/MERGE_HEAD")).unwrap();
    std::fs::remove_file(repo.bench.beside("home/.gitconfig")).unwrap();
    assert!(commit(json!({"message": "x", "paths": ["a.txt"]})).contains("user.name"));
    std::fs::remove_dir_all(repo.bench.at(".git")).unwrap();
    assert!(repo.bench.fail("GitStatus", json!({})).contains("no git repository"));
}

#[test]
fn item_15_paths_that_look_like_options_or_patterns_are_just_paths() {
    let repo = Repo::new();
    for name in ["--output=x", "-A", ":(glob)**", "*"] {
        repo.bench.write(name, "x\n");
    }
    repo.bench.write("a.txt", "two\n");
    repo.bench
        .succeed("GitCommit", json!({"message": "--amend", "paths": ["--output=x", "-A", ":(glob)**", "*"]}));
    assert_eq!(repo.git(&["status", "--short"]), " M a.txt");
    assert_eq!(repo.git(&["log", "-1", "--format=%s"]), "--amend");
    assert!(!repo.bench.at("x").exists());
}

#[test]
fn a_linked_work_tree_works_when_both_lie_in_the_workspace() {
    let repo = Repo::new();
    repo.git(&["worktree", "add", "--quiet", "tree", "-b", "side"]);
    repo.bench.write("tree/b.txt", "b\n");
    assert_eq!(repo.bench.succeed("GitStatus", json!({"path": "tree"})), "## side\n?? b.txt\n");
    repo.bench.succeed("GitCommit", json!({"message": "side", "path": "tree", "paths": ["tree/b.txt"]}));
    assert_eq!(repo.git(&["log", "-1", "--format=%s", "side"]), "side");
}
