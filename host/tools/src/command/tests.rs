//! RunCommand, end to end. What the sandbox keeps children from is tested there.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use lanyard_policy::decide::Verdict;
use lanyard_policy::demand::{Demand, Program};
use lanyard_ports::journal::Replay;
use lanyard_ports::router::Lane;
use lanyard_protocol::approval::{ApprovalDetail, RiskLevel};
use lanyard_protocol::error::ErrorCode;
use lanyard_protocol::tool::ToolStatus;
use serde_json::json;

use crate::content::hash;
use crate::testing::{Bench, executable};

pub(super) fn script(bench: &Bench, path: &str, text: &str) -> PathBuf {
    let path = bench.at(path);
    executable(&path, text);
    path
}

#[test]
fn a_program_runs_and_its_output_comes_back_in_order() {
    let bench = Bench::new();
    let text = "echo one; echo two >&2; echo three; exit 3";
    let outcome = bench.call("RunCommand", json!({"command": text}));
    assert_eq!(outcome.output, "one\ntwo\nthree\n[exit code 3]\n");
    assert_eq!((outcome.status, outcome.exit_code), (ToolStatus::Failed, Some(3)));
    assert_eq!(outcome.error.unwrap().message, "exit code 3");
    assert_eq!(outcome.sandbox_level, bench.workspace.sandbox_level());
    assert_eq!(outcome.source, "tool:RunCommand");
    assert_eq!(*bench.output.lock().unwrap(), "one\ntwo\nthree\n");
    assert_eq!(bench.succeed("RunCommand", json!({"argv": ["true"]})), "[no output]\n");
    assert_eq!(bench.succeed("RunCommand", json!({"argv": ["printf", "%s|", "a b", "$HOME"]})), "a b|$HOME|");
}

#[test]
fn the_plan_shows_exactly_what_will_run() {
    let bench = Bench::new();
    std::fs::create_dir(bench.at("sub")).unwrap();
    let arguments = json!({
        "command": "cargo test && ls", "cwd": "sub", "timeoutSeconds": 7, "stdin": "in", "environment": {"A": "b c"},
    });
    let plan = bench.plan("RunCommand", arguments).unwrap();
    assert_eq!(plan.summary, "Run cargo test && ls (in sub)");
    assert_eq!((plan.lane, plan.replay), (Lane::Barrier, Replay::Opaque));
    let ApprovalDetail::Command(detail) = plan.detail else { panic!() };
    assert_eq!(detail.argv, [vec!["cargo".to_owned(), "test".to_owned()], vec!["ls".to_owned()]]);
    assert_eq!(detail.shell.as_deref(), Some("cargo test && ls"));
    assert_eq!((detail.stdin.as_deref(), detail.environment), (Some("in"), vec!["A=b c".to_owned()]));
    assert_eq!(detail.cwd, bench.at("sub").to_str().unwrap());
    let [Demand::Exec(exec)] = plan.call.demands() else { panic!() };
    assert_eq!((exec.timeout_seconds, exec.network, &exec.cwd), (7, false, &bench.at("sub")));
    assert_eq!(exec.program, Program::Shell("cargo test && ls".to_owned()));
    let opaque = bench.plan("RunCommand", json!({"command": "echo $(id)"})).unwrap();
    let ApprovalDetail::Command(detail) = opaque.detail else { panic!() };
    assert!(detail.argv.is_empty() && detail.opaque_reason.is_some());
}

#[test]
fn directory_input_and_variables_reach_the_program() {
    let bench = Bench::new();
    std::fs::create_dir(bench.at("sub")).unwrap();
    let arguments = json!({"command": "pwd; cat; echo $A", "cwd": "sub", "stdin": "from stdin\n", "environment": {"A": "b"}});
    let wanted = format!("{}\nfrom stdin\nb\n", bench.at("sub").display());
    assert_eq!(bench.succeed("RunCommand", arguments), wanted);
    // Without input there is an end, not a wait.
    assert_eq!(bench.succeed("RunCommand", json!({"argv": ["cat"]})), "[no output]\n");
}

#[test]
fn arguments_are_checked_before_anything_runs() {
    let bench = Bench::new();
    for (arguments, named) in [
        (json!({}), "`argv`"),
        (json!({"argv": ["a"], "command": "b"}), "`argv`"),
        (json!({"argv": []}), "`argv`"),
        (json!({"argv": [""]}), "`argv`"),
        (json!({"argv": ["a\u{0}b"]}), "NUL"),
        (json!({"command": "a\u{0}b"}), "NUL"),
        (json!({"command": "  "}), "`command`"),
        (json!({"argv": ["true"], "timeoutSeconds": 0}), "`timeoutSeconds`"),
        (json!({"argv": ["true"], "timeoutSeconds": 601}), "`timeoutSeconds`"),
        (json!({"argv": ["true"], "cwd": "missing"}), "does not exist"),
        (json!({"argv": ["no-such-program-here"]}), "no program"),
        (json!({"argv": ["./missing"]}), "not an executable file"),
    ] {
        let error = bench.plan("RunCommand", arguments.clone()).unwrap_err().to_string();
        assert!(error.contains(named), "{arguments}: {error}");
    }
}

#[test]
fn item_01_03_a_working_directory_outside_is_refused() {
    let bench = Bench::new();
    symlink(bench.beside("outside"), bench.at("link")).unwrap();
    for cwd in ["..", "/", "/etc", "link", bench.beside("state").to_str().unwrap()] {
        let error = bench.plan("RunCommand", json!({"argv": ["ls"], "cwd": cwd})).unwrap_err();
        assert_eq!(error.code(), ErrorCode::CapabilityDenied, "{cwd}: {error}");
    }
}

#[test]
fn item_18_variables_that_change_what_runs_are_refused() {
    let bench = Bench::new();
    for name in
        ["LD_PRELOAD", "NODE_OPTIONS", "GIT_SSH_COMMAND", "PATH", "BASH_ENV", "PYTHONPATH", "HOME", "A=B", ""]
    {
        let arguments = json!({"argv": ["true"], "environment": {name: "x"}});
        let error = bench.plan("RunCommand", arguments).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidRequest, "{name}");
        assert!(error.to_string().contains("`environment`"), "{name}: {error}");
    }
}

#[test]
fn item_19_a_program_is_never_taken_from_the_working_directory_by_name() {
    let bench = Bench::new();
    script(&bench, "ls", "#!/bin/sh\necho planted\n");
    script(&bench, "lonely", "#!/bin/sh\necho planted\n");
    for arguments in [json!({"argv": ["ls", "-a"]}), json!({"command": "ls -a"})] {
        let output = bench.succeed("RunCommand", arguments);
        assert!(!output.contains("planted") && output.contains("lonely"), "{output}");
    }
    assert!(
        bench.plan("RunCommand", json!({"argv": ["lonely"]})).unwrap_err().to_string().contains("no program")
    );
    let outcome = bench.call("RunCommand", json!({"command": "lonely"}));
    assert_eq!(outcome.exit_code, Some(127), "{}", outcome.output);
    // By path it is what was asked for.
    assert_eq!(bench.succeed("RunCommand", json!({"argv": ["./ls"]})), "planted\n");
}

#[test]
fn the_approval_is_bound_to_the_content_of_what_runs() {
    let bench = Bench::new();
    let run = script(&bench, "run.sh", "#!/bin/sh\necho good\n");
    let data = bench.write("data.txt", "data");
    let plan = bench.plan("RunCommand", json!({"argv": ["./run.sh", "--input=data.txt", "other"]})).unwrap();
    let contents: Vec<(PathBuf, String)> = plan
        .call
        .contents()
        .iter()
        .map(|content| (content.path.clone(), content.sha256.clone().unwrap()))
        .collect();
    assert_eq!(contents, [(data, hash(b"data")), (run.clone(), hash(b"#!/bin/sh\necho good\n"))]);
    std::fs::write(&run, "#!/bin/sh\necho evil\n").unwrap();
    let outcome = bench.run(plan);
    assert_eq!(outcome.status, ToolStatus::Failed);
    assert!(outcome.error.unwrap().message.contains("run.sh"));
    assert!(bench.output.lock().unwrap().is_empty());

    let named = |arguments| {
        let plan = bench.plan("RunCommand", arguments).unwrap();
        plan.call.contents().iter().map(|content| bench.workspace.shown(&content.path)).collect::<Vec<_>>()
    };
    assert!(named(json!({"command": "sh ./run.sh"})).contains(&"run.sh".to_owned()));
    bench.write("sub/inner.sh", "x");
    assert!(named(json!({"command": "cd sub && sh inner.sh"})).contains(&"sub/inner.sh".to_owned()));
    assert!(named(json!({"argv": ["grep", "-fdata.txt", "x"]})).contains(&"data.txt".to_owned()));
    symlink("run.sh", bench.at("alias")).unwrap();
    assert!(named(json!({"argv": ["sh", "alias"]})).contains(&"run.sh".to_owned()));
    let many: Vec<String> = (0..300).map(|n| format!("f{n}")).collect();
    many.iter().for_each(|name| drop(bench.write(name, "")));
    let argv: Vec<String> = std::iter::once("ls".to_owned()).chain(many).collect();
    assert!(bench.plan("RunCommand", json!({"argv": argv})).unwrap_err().to_string().contains("at most 256"));
}

#[test]
fn a_text_that_begins_with_a_dash_is_no_option_of_the_shell() {
    let bench = Bench::new();
    let outcome = bench.call("RunCommand", json!({"command": "-c 'echo hi'"}));
    assert_eq!(outcome.exit_code, Some(127), "{}", outcome.output);
}

#[test]
fn item_22_a_command_cannot_hide_behind_its_first_line() {
    let bench = Bench::new();
    let text = "ls # harmless\n\u{1b}[2Krm -rf x\u{202e}";
    let plan = bench.plan("RunCommand", json!({"command": text})).unwrap();
    assert_eq!(plan.summary, "Run ls # harmless⟦U+000A⟧⟦U+001B⟧[2Krm -rf x⟦U+202E⟧");
    let ApprovalDetail::Command(detail) = lanyard_policy::approval::visible_detail(plan.detail) else {
        panic!()
    };
    assert_eq!(detail.shell.as_deref(), Some("ls # harmless\n⟦U+001B⟧[2Krm -rf x⟦U+202E⟧"));
}

#[test]
fn item_20_a_command_that_names_a_host_file_is_denied() {
    let bench = Bench::new();
    let state = bench.beside("state/store.redb");
    let plan = bench.plan("RunCommand", json!({"argv": ["cat", state]})).unwrap();
    assert!(matches!(bench.decide(plan).0, Verdict::Denied(_)));
}

#[test]
fn item_21_a_command_ends_with_its_time() {
    let bench = Bench::new();
    let outcome =
        bench.call("RunCommand", json!({"command": "echo begun; exec sleep 100", "timeoutSeconds": 8}));
    assert_eq!(outcome.status, ToolStatus::Failed);
    assert_eq!(outcome.output, "begun\n[ended after its timeout of 8 s]\n");
    assert_eq!(outcome.exit_code, None);
}

#[test]
fn policy_may_allow_less_time_than_asked_for() {
    let bench = Bench::new();
    let plan = bench.plan("RunCommand", json!({"argv": ["sleep", "100"]})).unwrap();
    let limits = lanyard_policy::decide::Limits { max_execution_time_seconds: Some(1), ..Default::default() };
    let bounds = crate::execute::Bounds { cancel: Default::default(), limits };
    let silent = crate::OutputSink::silent();
    let work = crate::execute::carry_out(&bench.workspace, plan.prepared, &silent, &bounds);
    let outcome = crate::testing::runtime().block_on(work);
    assert!(outcome.output.contains("timeout of 1 s"), "{}", outcome.output);
}

#[test]
fn item_18_variables_and_input_reach_policy() {
    let bench = Bench::new();
    let arguments = json!({"argv": ["tar", "cf", "a", "b"], "environment": {"OPTIONS_OF_TAR": "x", "CI": "1"}, "stdin": "in"});
    let plan = bench.plan("RunCommand", arguments).unwrap();
    let [Demand::Exec(exec)] = plan.call.demands() else { panic!() };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(exec.environment, [pair("CI", "1"), pair("OPTIONS_OF_TAR", "x")]);
    assert_eq!(exec.stdin.as_deref(), Some("in"));
    assert_eq!(plan.risk, RiskLevel::High);
    let refused =
        json!({"argv": ["true"], "environment": {"TAR_OPTIONS": "--checkpoint-action=exec=./e.sh"}});
    assert_eq!(bench.plan("RunCommand", refused).unwrap_err().code(), ErrorCode::InvalidRequest);
}
