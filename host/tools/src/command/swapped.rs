//! A script changed between the question and the start. However it is named, the answer is bound to its content.

use std::os::unix::fs::symlink;

use serde_json::json;

use super::tests::script;
use crate::testing::Bench;

const GOOD: &str = "echo good\n";
const EVIL: &str = "echo evil\n";

/// Plans, changes `t.sh`, and says what became of the call.
fn run_swapped(bench: &Bench, arguments: serde_json::Value, swap: impl Fn()) -> Result<String, String> {
    let plan = bench.plan("RunCommand", arguments).unwrap();
    swap();
    let outcome = bench.run(plan);
    match outcome.error {
        None => Ok(outcome.output),
        Some(error) => Err(error.message),
    }
}

#[test]
fn a_swapped_script_does_not_run() {
    for arguments in [
        json!({"command": "./t.sh $HOME"}),
        json!({"command": "sh < t.sh"}),
        json!({"command": "sh -c './t.sh; true'"}),
        json!({"command": "timeout 5 sh -c '. ./t.sh'"}),
        json!({"command": "sh -c './t.sh $HOME'"}),
        json!({"command": "cat t.sh | sh"}),
        json!({"command": "eval ./t.sh"}),
        json!({"command": "cd sub; ../t.sh"}),
        json!({"command": "sh", "stdin": "./t.sh\n"}),
        json!({"argv": ["./t.sh"]}),
        json!({"argv": ["sh", "t.sh"]}),
        json!({"argv": ["timeout", "5", "./t.sh"]}),
        json!({"argv": ["sh", "-c", "(./t.sh)"]}),
        json!({"argv": ["env", "A=1", "sh", "-c", ". ./t.sh"]}),
        json!({"argv": ["find", ".", "-maxdepth", "0", "-exec", "./t.sh", "{}", "+"]}),
    ] {
        let bench = Bench::new();
        let path = script(&bench, "t.sh", &format!("#!/bin/sh\n{GOOD}"));
        std::fs::create_dir(bench.at("sub")).unwrap();
        let same = run_swapped(&bench, arguments.clone(), || {});
        assert!(same.as_ref().is_ok_and(|output| output.contains("good")), "{arguments}: {same:?}");
        let swap = || std::fs::write(&path, format!("#!/bin/sh\n{EVIL}")).unwrap();
        let swapped = run_swapped(&bench, arguments.clone(), swap);
        assert!(swapped.as_ref().is_err_and(|error| error.contains("t.sh")), "{arguments}: {swapped:?}");
        assert!(!bench.output.lock().unwrap().contains("evil"), "{arguments}");
    }
}

#[test]
fn a_script_that_was_not_there_does_not_run_either() {
    for text in ["./t.sh", "sh < t.sh", "sh t.sh; true", "sh -c '. ./t.sh'", "true && timeout 5 ./t.sh"] {
        let bench = Bench::new();
        let plant = || drop(script(&bench, "t.sh", EVIL));
        let planted = run_swapped(&bench, json!({"command": text}), plant);
        assert!(planted.as_ref().is_err_and(|error| error.contains("t.sh")), "{text}: {planted:?}");
    }
}

#[test]
fn a_script_in_a_directory_gone_to_is_bound() {
    for text in ["cd sub && sh t.sh", "cd sub; sh t.sh", "sh -c 'cd sub && . ./t.sh'", "(cd sub; ./t.sh)"] {
        let bench = Bench::new();
        let path = script(&bench, "sub/t.sh", GOOD);
        let swap = || std::fs::write(&path, EVIL).unwrap();
        let swapped = run_swapped(&bench, json!({"command": text}), swap);
        assert!(swapped.as_ref().is_err_and(|error| error.contains("t.sh")), "{text}: {swapped:?}");
    }
}

#[test]
fn a_link_set_anew_is_a_change() {
    for (link, named) in [("alias", "sh alias"), ("dir", "sh dir/t.sh"), ("alias", "sh -c '. ./alias; true'")]
    {
        let bench = Bench::new();
        script(&bench, "a/t.sh", GOOD);
        script(&bench, "b/t.sh", EVIL);
        let target = |root: &str| if link == "dir" { root.to_owned() } else { format!("{root}/t.sh") };
        symlink(target("a"), bench.at(link)).unwrap();
        let same = run_swapped(&bench, json!({"command": named}), || {});
        assert_eq!(same.as_deref(), Ok("good\n"), "{named}");
        let swap = || {
            std::fs::remove_file(bench.at(link)).unwrap();
            symlink(target("b"), bench.at(link)).unwrap();
        };
        let swapped = run_swapped(&bench, json!({"command": named}), swap);
        assert!(swapped.is_err(), "{named}: {swapped:?}");
    }
}

#[test]
fn a_script_is_bound_however_large_it_is() {
    let bench = Bench::new();
    let padded = |first: &str| format!("{first}exit\n{}", "#".repeat(33 << 20));
    let path = script(&bench, "t.sh", &padded(GOOD));
    let swap = || std::fs::write(&path, padded(EVIL)).unwrap();
    let swapped = run_swapped(&bench, json!({"command": "sh -c '. ./t.sh'"}), swap);
    assert!(swapped.is_err(), "{swapped:?}");
}

#[test]
fn words_beyond_count_are_refused_not_skipped() {
    let bench = Bench::new();
    let many: String = (0..20_000).map(|n| format!("w{n} ")).collect();
    let error = bench.plan("RunCommand", json!({"argv": ["python3", "-c", &many[..60_000]]}));
    let small = bench.plan("RunCommand", json!({"argv": ["python3", "-c", &many[..6_000]]}));
    let missing = |result: &Result<crate::Plan, crate::PlanError>| {
        result.as_ref().is_err_and(|error| error.to_string().contains("no program"))
    };
    if !missing(&small) {
        assert!(small.is_ok(), "{small:?}");
        assert!(error.unwrap_err().to_string().contains("put it into a script file"));
    }
}

#[test]
fn a_remembered_answer_does_not_cover_another_content() {
    let host = lanyard_protocol::id::HostId::new("host-1").unwrap();
    for text in ["sh -c './t.sh; true'", "sh t.sh", "nice ./t.sh"] {
        let bench = Bench::new();
        let path = script(&bench, "t.sh", GOOD);
        let fingerprint = || {
            let plan = bench.plan("RunCommand", json!({"command": text})).unwrap();
            lanyard_policy::approval::fingerprint(&plan.call, &host)
        };
        let before = fingerprint();
        assert_eq!(before, fingerprint(), "{text}");
        std::fs::write(&path, EVIL).unwrap();
        assert_ne!(before, fingerprint(), "{text}");
    }
}
