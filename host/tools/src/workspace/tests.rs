//! What the programs of a session reach, tried for real.

use std::os::unix::fs::symlink;

use lanyard_protocol::tool::ToolStatus;
use serde_json::json;

use crate::PlanError;
use crate::testing::Bench;

/// Another session may write above one of this session's directories and put something else in its place.
struct Swapped {
    bench: Bench,
}

impl Swapped {
    fn new() -> Self {
        let bench = Bench::with_roots(&["work", "shared/sub"]);
        std::fs::write(bench.beside("outside/secret"), "the secret").unwrap();
        std::fs::write(bench.beside("shared/sub/own"), "own").unwrap();
        Self { bench }
    }

    fn swap(&self) {
        std::fs::rename(self.bench.beside("shared/sub"), self.bench.beside("shared/aside")).unwrap();
        symlink(self.bench.beside("outside"), self.bench.beside("shared/sub")).unwrap();
    }

    fn swap_back(&self) {
        std::fs::remove_file(self.bench.beside("shared/sub")).unwrap();
        std::fs::rename(self.bench.beside("shared/aside"), self.bench.beside("shared/sub")).unwrap();
    }

    fn shell(&self) -> serde_json::Value {
        let sub = self.bench.beside("shared/sub");
        let sub = sub.display();
        json!({"command": format!("cat {sub}/own; cat {sub}/secret; echo planted > {sub}/planted")})
    }
}

#[test]
fn a_root_swapped_for_a_link_gives_programs_nothing() {
    let session = Swapped::new();
    let bench = &session.bench;
    let before = bench.call("RunCommand", session.shell());
    assert!(before.output.contains("own"), "{before:?}");
    let planned = bench.plan("RunCommand", session.shell()).unwrap();
    session.swap();
    // What was planned before holds what was opened then.
    let outcome = bench.run(planned);
    assert!(!outcome.output.contains("the secret"), "{outcome:?}");
    // Nothing new is started; in the sub directory itself neither.
    for cwd in [".", "../shared/sub"] {
        let mut arguments = session.shell();
        arguments["cwd"] = json!(bench.at(cwd).canonicalize().unwrap_or_else(|_| bench.at(cwd)));
        match bench.plan("RunCommand", arguments) {
            Err(PlanError::Impossible { reason }) => {
                assert!(reason.contains("not the directory"), "{reason}")
            }
            Err(PlanError::Denied { reason }) => assert!(reason.contains("outside"), "{reason}"),
            other => panic!("{cwd}: {other:?}"),
        }
    }
    assert!(bench.fail("GitStatus", json!({"path": bench.beside("shared/aside")})).contains("outside"));
    assert!(!bench.beside("outside/planted").exists());
    session.swap_back();
    assert!(bench.succeed("RunCommand", json!({"argv": ["cat", "../shared/sub/own"]})).contains("own"));
}

/// The first preparation is checked like every later one.
#[test]
fn a_root_swapped_before_the_first_command_gives_nothing_either() {
    let session = Swapped::new();
    session.swap();
    let error = session.bench.fail("RunCommand", session.shell());
    assert!(error.contains("not the directory this session was opened on"), "{error}");
    // Nor is an ordinary directory taken for the one that was opened.
    std::fs::remove_file(session.bench.beside("shared/sub")).unwrap();
    std::fs::create_dir(session.bench.beside("shared/sub")).unwrap();
    let error = session.bench.fail("RunCommand", session.shell());
    assert!(error.contains("not the directory this session was opened on"), "{error}");
}

#[test]
fn further_directories_are_read_by_programs_and_not_written() {
    let bench = Bench::with(&["work"], &["outside", "later"]);
    std::fs::write(bench.beside("outside/tool"), "tool").unwrap();
    let tool = bench.beside("outside/tool");
    let read = json!({"argv": ["cat", &tool]});
    assert_eq!(bench.succeed("RunCommand", read.clone()), "tool");
    let write = bench.call("RunCommand", json!({"command": format!("echo x > {}", tool.display())}));
    assert_ne!(write.status, ToolStatus::Succeeded);
    // Tools that run no program stay in the workspace.
    assert!(bench.fail("ReadFile", json!({"path": &tool})).contains("outside the workspace"));
    // What was not there is opened once it is.
    std::fs::create_dir(bench.beside("later")).unwrap();
    std::fs::write(bench.beside("later/b"), "later").unwrap();
    assert_eq!(bench.succeed("RunCommand", json!({"argv": ["cat", bench.beside("later/b")]})), "later");
    // Without being named it is closed.
    let bare = Bench::new();
    let closed = bare.call("RunCommand", json!({"argv": ["cat", &tool]}));
    assert_ne!(closed.status, ToolStatus::Succeeded);
}

/// A sandbox is kept between calls; what is replaced meanwhile must not be lost, and what belongs to one call not kept.
#[test]
fn a_kept_sandbox_serves_every_call_as_a_new_one_would() {
    let bench = Bench::with(&["work"], &["outside/file"]);
    let file = bench.beside("outside/file");
    std::fs::write(&file, "one").unwrap();
    let read = json!({"argv": ["cat", &file]});
    assert_eq!(bench.succeed("RunCommand", read.clone()), "one");
    std::fs::write(bench.beside("outside/new"), "two").unwrap();
    std::fs::rename(bench.beside("outside/new"), &file).unwrap();
    assert_eq!(bench.succeed("RunCommand", read), "two");

    bench.write("sub/x", "");
    let set = json!({"command": "pwd; echo $CI", "cwd": "sub", "environment": {"CI": "1"}});
    assert_eq!(bench.succeed("RunCommand", set), format!("{}\n1\n", bench.at("sub").display()));
    let unset = json!({"command": "pwd; echo $CI; rm -rf ~; echo removed"});
    let top = bench.beside("work");
    assert_eq!(bench.succeed("RunCommand", unset), format!("{}\n\nremoved\n", top.display()));
    assert_eq!(bench.succeed("RunCommand", json!({"command": "echo x > ~/x; cat ~/x"})), "x\n");
}
