//! The three searching tools.

use std::os::unix::fs::symlink;

use lanyard_protocol::tool::ToolStatus;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::testing::Bench;

#[test]
fn a_directory_is_listed_without_going_in() {
    let bench = Bench::new();
    bench.write("b.txt", "12345");
    bench.write("a/inner", "");
    bench.write("target/x", "");
    bench.write(".gitignore", "target/\n");
    symlink("b.txt", bench.at("link")).unwrap();
    std::fs::write(bench.at("two\nlines"), "").unwrap();
    let wanted = ".gitignore  8 bytes\na/\nb.txt  5 bytes\nlink -> b.txt\ntarget/  (ignored by git)\n\
                  two⟦U+000A⟧lines  0 bytes\n";
    assert_eq!(bench.succeed("ListDirectory", json!({})), wanted);
    assert_eq!(bench.succeed("ListDirectory", json!({"path": "a"})), "inner  0 bytes\n");
    std::fs::create_dir(bench.at("empty")).unwrap();
    assert_eq!(bench.succeed("ListDirectory", json!({"path": "empty"})), "[the directory is empty]\n");
    assert!(bench.fail("ListDirectory", json!({"path": "b.txt"})).contains("not a directory"));
}

#[test]
fn files_are_found_by_name_or_path() {
    let bench = Bench::new();
    for path in ["a.rs", "src/b.rs", "src/deep/c.rs", "src/d.txt", "target/e.rs", ".git/f.rs", ".hidden/g.rs"]
    {
        bench.write(path, "");
    }
    bench.write(".gitignore", "target/\n");
    let find = |pattern: &str| bench.succeed("FindFiles", json!({"pattern": pattern}));
    assert_eq!(find("*.rs"), ".hidden/g.rs\na.rs\nsrc/b.rs\nsrc/deep/c.rs\n");
    assert_eq!(find("src/*.rs"), "src/b.rs\n");
    assert_eq!(find("src/**/*.{rs,txt}"), "src/b.rs\nsrc/d.txt\nsrc/deep/c.rs\n");
    assert_eq!(find("*.none"), "[no file matches]\n");
    assert_eq!(bench.succeed("FindFiles", json!({"pattern": "*.rs", "path": "src/deep"})), "src/deep/c.rs\n");
    // What is asked for by name is searched even if it is ignored.
    assert_eq!(bench.succeed("FindFiles", json!({"pattern": "*.rs", "path": "target"})), "target/e.rs\n");
    assert!(bench.fail("FindFiles", json!({"pattern": "a[b"})).contains("not a glob"));
}

#[test]
fn nearer_ignore_files_count_more() {
    let bench = Bench::new();
    bench.write(".gitignore", "*.log\n/only-top\n");
    bench.write("sub/.gitignore", "!keep.log\n");
    for path in ["a.log", "sub/keep.log", "sub/b.log", "only-top", "sub/only-top"] {
        bench.write(path, "");
    }
    assert_eq!(
        bench.succeed("FindFiles", json!({"pattern": "{*.log,only-top}"})),
        "sub/keep.log\nsub/only-top\n"
    );
    assert_eq!(bench.succeed("FindFiles", json!({"pattern": "*.log", "path": "sub"})), "sub/keep.log\n");
}

#[test]
fn lines_are_found_with_path_and_number() {
    let bench = Bench::new();
    bench.write("a.rs", "fn one() {}\r\nfn two() {}\r\n");
    bench.write("src/b.rs", "// FN three\n");
    bench.write("c.txt", "fn four\n");
    bench.write("data", b"fn\0five\n");
    let grep = |arguments| bench.succeed("GrepFiles", arguments);
    assert_eq!(grep(json!({"pattern": "^fn t"})), "a.rs:2: fn two() {}\n");
    assert_eq!(
        grep(json!({"pattern": "fn", "ignoreCase": true, "glob": "*.rs"})),
        "a.rs:1: fn one() {}\na.rs:2: fn two() {}\nsrc/b.rs:1: // FN three\n"
    );
    assert_eq!(grep(json!({"pattern": "fn", "path": "c.txt"})), "c.txt:1: fn four\n");
    assert_eq!(grep(json!({"pattern": "absent"})), "[no line matches]\n");
    assert!(bench.fail("GrepFiles", json!({"pattern": "("})).contains("`pattern`"));
}

#[test]
fn a_hostile_pattern_costs_a_refusal_not_the_machine() {
    let bench = Bench::new();
    bench.write("a", format!("{}!\n", "a".repeat(30_000)));
    assert!(bench.fail("GrepFiles", json!({"pattern": "(a{1000}){1000}"})).contains("`pattern`"));
    // Catastrophic for engines that backtrack.
    assert_eq!(bench.succeed("GrepFiles", json!({"pattern": "^(a+)+$"})), "[no line matches]\n");
}

#[test]
fn long_lines_and_long_results_are_cut() {
    let bench = Bench::new();
    bench.write("wide", format!("x{}\n", "é".repeat(10_000)));
    let output = bench.succeed("GrepFiles", json!({"pattern": "^x", "path": "wide"}));
    assert!(output.len() < 500 && output.contains("more bytes]"), "{output}");
    bench.write("many", "hit\n".repeat(5000));
    let output = bench.succeed("GrepFiles", json!({"pattern": "hit"}));
    assert_eq!(output.lines().count(), super::MAX_RESULTS + 1);
    assert!(output.ends_with("narrow the pattern or name a path]\n"));
}

#[test]
fn item_03_searches_follow_no_link() {
    let bench = Bench::new();
    std::fs::write(bench.beside("outside/secret.txt"), "secret\n").unwrap();
    symlink(bench.beside("outside"), bench.at("dir")).unwrap();
    symlink(bench.beside("outside/secret.txt"), bench.at("file.txt")).unwrap();
    symlink("..", bench.at("loop")).unwrap();
    assert_eq!(bench.succeed("GrepFiles", json!({"pattern": "secret"})), "[no line matches]\n");
    assert_eq!(bench.succeed("FindFiles", json!({"pattern": "*.txt"})), "file.txt\n");
    assert!(
        bench
            .fail("GrepFiles", json!({"pattern": "secret", "path": "dir"}))
            .contains("outside the workspace")
    );
    assert!(
        bench
            .fail("GrepFiles", json!({"pattern": "x", "path": "file.txt"}))
            .contains("outside the workspace")
    );
}

#[test]
fn item_20_searches_pass_over_credentials_and_host_files() {
    let bench = Bench::with_roots(&["work", "."]);
    bench.write("a.txt", "needle\n");
    bench.write(".env", "needle\n");
    bench.write(".git/config", "needle\n");
    std::fs::write(bench.beside("state/key"), "needle\n").unwrap();
    std::fs::hard_link(bench.beside("state/key"), bench.at("innocent")).unwrap();
    let output = bench.succeed("GrepFiles", json!({"pattern": "needle", "path": bench.beside("")}));
    assert!(output.contains("a.txt:1: needle\n"), "{output}");
    assert_eq!(output.matches("needle").count(), 1, "{output}");
    assert!(output.contains("[2 files may hold credentials or belong to the host"), "{output}");
}

#[test]
fn searches_leave_out_what_policy_blocks() {
    let mut bench = Bench::new();
    bench.write("a.txt", "needle\n");
    bench.write("blocked/b.txt", "needle\n");
    bench.write("c.blocked.txt", "needle\n");
    bench.terms.searchable = crate::Searchable::new(|path| !path.as_str().contains("blocked"));
    let output = bench.succeed("GrepFiles", json!({"pattern": "needle"}));
    assert!(
        output.starts_with("a.txt:1: needle\n[1 files") && output.contains("[1 directories may not"),
        "{output}"
    );
    let output = bench.succeed("FindFiles", json!({"pattern": "*.txt"}));
    assert_eq!(output, "a.txt\nc.blocked.txt\n[1 directories may not be searched: name them]\n");
}

#[test]
fn a_cancelled_search_ends() {
    let bench = Bench::new();
    (0..50).for_each(|n| drop(bench.write(&format!("{n}/file"), "x\n")));
    for (tool, arguments) in [
        ("GrepFiles", json!({"pattern": "x"})),
        ("FindFiles", json!({"pattern": "*"})),
        ("ListDirectory", json!({})),
    ] {
        let plan = bench.plan(tool, arguments).unwrap();
        let crate::execute::Operation::Blocking(operation) = plan.prepared.operation else { panic!() };
        let cancel = CancellationToken::new();
        cancel.cancel();
        let bounds = crate::execute::Bounds { cancel, limits: Default::default() };
        assert_eq!(operation.run(&bench.workspace, &bounds).status, ToolStatus::Cancelled, "{tool}");
    }
}

#[test]
fn a_deep_tree_is_searched_to_a_depth() {
    let bench = Bench::new();
    let deep = vec!["d"; 80].join("/");
    bench.write(&format!("{deep}/bottom"), "");
    bench.write("d/top", "");
    let output = bench.succeed("FindFiles", json!({"pattern": "{top,bottom}"}));
    assert_eq!(output, "d/top\n[1 directories could not be entered]\n");
}
