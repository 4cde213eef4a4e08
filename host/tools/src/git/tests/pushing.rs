//! GitPush, to repositories in the workspace: the network is not used in tests.

use std::path::PathBuf;

use lanyard_policy::demand::Demand;
use lanyard_protocol::approval::ApprovalDetail;
use lanyard_protocol::tool::ToolStatus;
use serde_json::json;

use super::Repo;
use crate::execute::{Bounds, Outcome, carry_out};
use crate::{OutputSink, Plan};

fn with_remote() -> (Repo, PathBuf) {
    let repo = Repo::new();
    repo.git(&["init", "--quiet", "--bare", "remote.git"]);
    repo.git(&["remote", "add", "origin", repo.bench.at("remote.git").to_str().unwrap()]);
    let remote = repo.bench.at("remote.git");
    (repo, remote)
}

fn push(repo: &Repo, plan: Plan) -> Outcome {
    let bounds = Bounds { cancel: Default::default(), limits: Default::default() };
    let silent = OutputSink::silent();
    crate::testing::runtime().block_on(carry_out(&repo.bench.workspace, plan.prepared, &silent, &bounds))
}

#[test]
fn a_push_sends_the_commit_that_was_shown() {
    let (repo, remote) = with_remote();
    repo.git(&["tag", "-a", "-m", "t", "v1"]);
    repo.git(&["config", "push.followTags", "true"]);
    let plan = repo.bench.plan("GitPush", json!({})).unwrap();
    let url = remote.to_str().unwrap().to_owned();
    let first = repo.git(&["rev-parse", "main"]);
    let [Demand::GitPush { url: judged, branch, remote: name, .. }] = plan.call.demands() else { panic!() };
    assert_eq!((judged, branch.as_str(), name.as_str()), (&url, "main", "origin"));
    let ApprovalDetail::Other(detail) = &plan.detail else { panic!() };
    assert!(detail.text.contains(&url) && detail.text.contains(&first) && detail.text.contains(" first\n"));
    let outcome = push(&repo, plan);
    assert_eq!(outcome.status, ToolStatus::Succeeded, "{:?}", outcome.error);
    assert_eq!(
        repo.try_git(&remote, &["for-each-ref", "--format=%(refname) %(objectname)"]).1,
        format!("refs/heads/main {first}")
    );
    assert_eq!(repo.git(&["rev-parse", "origin/main"]), first);

    // A branch that moved after planning is not what was shown.
    repo.git(&["commit", "--quiet", "--allow-empty", "-m", "second"]);
    let plan = repo.bench.plan("GitPush", json!({})).unwrap();
    repo.git(&["commit", "--quiet", "--allow-empty", "-m", "third"]);
    let outcome = push(&repo, plan);
    assert!(outcome.error.unwrap().message.contains("changed since"), "{}", outcome.output);
    // And history is never rewritten.
    repo.git(&["reset", "--quiet", "--hard", "HEAD~2"]);
    repo.git(&["commit", "--quiet", "--amend", "-m", "rewritten"]);
    let outcome = push(&repo, repo.bench.plan("GitPush", json!({})).unwrap());
    assert_eq!(outcome.status, ToolStatus::Failed);
    assert_eq!(repo.try_git(&remote, &["rev-parse", "main"]).1, first);
}

#[test]
fn item_17_no_hook_of_either_side_is_run() {
    for (hook, at) in [
        ("pre-push", ".git/hooks"),
        ("pre-receive", "remote.git/hooks"),
        ("update", "remote.git/hooks"),
        ("post-receive", "remote.git/hooks"),
        ("post-update", "remote.git/hooks"),
        ("reference-transaction", "remote.git/hooks"),
    ] {
        let (repo, _) = with_remote();
        let trap = repo.trap(hook);
        repo.program(&repo.bench.at(&format!("{at}/{hook}")), &trap.mark);
        repo.git(&["push", "--quiet", "origin", "main:control"]);
        assert!(trap.sprung(), "the trap does not work: {hook}");
        trap.reset();
        let outcome = push(&repo, repo.bench.plan("GitPush", json!({})).unwrap());
        assert_eq!(outcome.status, ToolStatus::Succeeded, "{:?}", outcome.error);
        assert!(!trap.sprung(), "{hook} was run");
    }
}

#[test]
fn item_15_settings_that_steer_a_push_are_refused() {
    for (key, value) in [
        ("core.sshCommand", "touch x"),
        ("credential.helper", "!touch x"),
        ("remote.origin.receivepack", "touch x; git-receive-pack"),
        ("remote.origin.vcs", "x"),
        ("http.proxy", "http://proxy.invalid"),
        ("http.sslVerify", "false"),
    ] {
        let (repo, _) = with_remote();
        repo.git(&["config", key, value]);
        let error = repo.bench.plan("GitPush", json!({})).unwrap_err().to_string();
        assert!(error.contains(&key.to_lowercase()), "{key}: {error}");
    }
}

#[test]
fn a_receiving_repository_that_would_act_is_refused() {
    for (key, value) in
        [("core.fsmonitor", "x"), ("receive.denyCurrentBranch", "updateInstead"), ("filter.x.smudge", "x")]
    {
        let (repo, remote) = with_remote();
        assert!(repo.try_git(&remote, &["config", key, value]).0);
        let error = repo.bench.plan("GitPush", json!({})).unwrap_err().to_string();
        assert!(error.contains(&key.to_lowercase()), "{key}: {error}");
    }
}

#[test]
fn item_15_addresses_and_names_that_run_something_are_refused() {
    let (repo, _) = with_remote();
    for url in [
        "ext::sh -c 'touch x'",
        "file:///etc",
        "/etc",
        "../outside",
        "-oProxyCommand=touch x",
        "ssh://-oProxyCommand=x/y",
        "git://example.org/x",
        "fd::3",
    ] {
        repo.git(&["config", "remote.origin.url", url]);
        assert!(repo.bench.plan("GitPush", json!({})).is_err(), "{url}");
    }
    // What is shown is where it really goes.
    repo.git(&["config", "remote.origin.url", "https://example.org/x.git"]);
    repo.git(&["config", "url.ext::sh -c id #.pushInsteadOf", "https://example.org/"]);
    assert!(repo.bench.plan("GitPush", json!({})).is_err());
    for (argument, value) in [
        ("remote", "--receive-pack=touch x"),
        ("remote", "https://example.org/x.git"),
        ("branch", "--force"),
        ("branch", "+main"),
        ("branch", "main:other"),
        ("remote", "missing"),
        ("branch", "missing"),
    ] {
        assert!(repo.bench.plan("GitPush", json!({argument: value})).is_err(), "{value}");
    }
}

#[test]
fn a_network_remote_is_planned_with_its_password_hidden() {
    let (mut repo, _) = with_remote();
    repo.git(&["config", "remote.origin.url", "https://mia:hunter2@example.org/x.git"]);
    let plan = repo.bench.plan("GitPush", json!({})).unwrap();
    let ApprovalDetail::Other(detail) = &plan.detail else { panic!() };
    assert!(!detail.text.contains("hunter2") && !plan.summary.contains("hunter2"));
    assert!(detail.text.contains("https://mia:***@example.org/x.git"), "{}", detail.text);
    repo.bench.terms.allow_network = false;
    assert!(
        repo.bench.plan("GitPush", json!({})).unwrap_err().to_string().contains("may not use the network")
    );
}
