//! The five file tools, end to end: planned, judged by policy, carried out.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use lanyard_policy::decide::Verdict;
use lanyard_policy::demand::Demand;
use lanyard_ports::journal::Replay;
use lanyard_ports::router::Lane;
use lanyard_protocol::approval::{ApprovalDetail, ChangeKind};
use lanyard_protocol::error::ErrorCode;
use lanyard_protocol::tool::ToolStatus;
use serde_json::json;

use crate::content::hash;
use crate::testing::Bench;
use crate::{PreImage, preview};

/// No temporary file is left behind.
fn assert_tidy(bench: &Bench, directory: &str) {
    let left: Vec<String> = std::fs::read_dir(bench.at(directory))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_file_is_read_whole_or_by_lines() {
    let bench = Bench::new();
    bench.write("a.txt", "one\ntwo\nthree\n");
    let read = |arguments| bench.succeed("ReadFile", arguments);
    assert_eq!(read(json!({"path": "a.txt"})), "one\ntwo\nthree\n");
    assert_eq!(
        read(json!({"path": "a.txt", "offset": 2, "limit": 1})),
        "two\n[lines 2 to 2; more follows]\n"
    );
    assert_eq!(
        read(json!({"path": "a.txt", "offset": 2})),
        "two\nthree\n[lines 2 to 3; the file ends here]\n"
    );
    assert_eq!(read(json!({"path": "a.txt", "offset": 9})), "[the file has 3 lines: nothing at line 9]\n");
    bench.write("empty", "");
    assert_eq!(read(json!({"path": "empty"})), "[the file is empty]\n");
    assert!(bench.fail("ReadFile", json!({"path": "a.txt", "offset": 0})).contains("`offset`"));
    assert!(bench.fail("ReadFile", json!({"path": "missing"})).contains("does not exist"));
    assert!(bench.fail("ReadFile", json!({"path": "."})).contains("is a directory"));
}

#[test]
fn a_read_says_where_it_comes_from_and_what_it_demands() {
    let bench = Bench::new();
    let file = bench.write("docs/a.txt", "x\n");
    symlink("docs/a.txt", bench.at("link")).unwrap();
    let plan = bench.plan("ReadFile", json!({"path": "link"})).unwrap();
    // Both names are judged: the one asked for and the one it leads to.
    assert_eq!(plan.call.demands(), [Demand::ReadPath(file), Demand::ReadPath(bench.at("link"))]);
    assert_eq!((plan.lane.clone(), plan.replay.clone()), (Lane::Read, Replay::PureRead));
    assert_eq!(bench.run(plan).source, "file:docs/a.txt");
}

#[test]
fn what_is_no_utf8_text_is_said_to_be_so() {
    let bench = Bench::new();
    bench.write("data", b"\x7fELF\0\0");
    bench.write("latin1", b"caf\xe9\n");
    bench.write("bom", "\u{feff}x\n");
    let data = bench.succeed("ReadFile", json!({"path": "data"}));
    assert!(data.starts_with("[not text: 6 bytes of data, SHA-256 "), "{data}");
    let latin1 = bench.succeed("ReadFile", json!({"path": "latin1"}));
    assert_eq!(latin1, "caf\u{fffd}\n[bytes that are not UTF-8 are shown as \u{fffd}]\n");
    assert_eq!(bench.succeed("ReadFile", json!({"path": "bom"})), "x\n");
}

#[test]
fn a_huge_file_is_bounded() {
    let bench = Bench::new();
    let path = bench.write("huge", "first\n");
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    // Sparse, and one line without end.
    file.set_len(3 << 30).unwrap();
    std::fs::write(bench.at("wide"), "w".repeat(crate::MAX_OUTPUT_BYTES + 100)).unwrap();
    let wide = bench.succeed("ReadFile", json!({"path": "wide"}));
    assert!(wide.len() < crate::MAX_OUTPUT_BYTES + 100 && wide.ends_with("[lines 1 to 1; more follows]\n"));
    let huge = bench.succeed("ReadFile", json!({"path": "huge"}));
    assert!(huge.starts_with("[not text"), "{huge}");
    let reason = bench.fail("EditFile", json!({"path": "huge", "oldText": "first", "newText": "x"}));
    assert!(reason.contains("the limit here is"), "{reason}");
}

#[test]
fn a_write_creates_or_replaces_and_shows_the_exact_change() {
    let bench = Bench::new();
    let plan = bench.plan("WriteFile", json!({"path": "new/dir/a.rs", "content": "one\ntwo\n"})).unwrap();
    let path = bench.at("new/dir/a.rs");
    assert_eq!(plan.summary, "Create new/dir/a.rs (+2 \u{2212}0)");
    assert_eq!(plan.call.demands(), [Demand::WritePath { path: path.clone(), size: 8 }]);
    let post = Some(hash(b"one\ntwo\n"));
    assert_eq!(plan.replay, Replay::FileWrite { path: path.clone(), pre: None, post: post.clone() });
    assert_eq!(plan.baselines, [PreImage { path: path.clone(), content: None, change: ChangeKind::Created }]);
    assert_eq!(plan.lane, Lane::Write(vec![path.clone()]));
    let outcome = bench.run(plan);
    assert_eq!(outcome.status, ToolStatus::Succeeded, "{:?}", outcome.error);
    assert_eq!((outcome.changes[0].change, outcome.changes[0].lines_added), (ChangeKind::Created, 2));
    assert_eq!(bench.read("new/dir/a.rs"), "one\ntwo\n");

    let plan = bench.plan("WriteFile", json!({"path": "new/dir/a.rs", "content": "one\n2\n"})).unwrap();
    let ApprovalDetail::FileChange(detail) = &plan.detail else { panic!("{:?}", plan.detail) };
    assert_eq!(detail.diff, "--- a/new/dir/a.rs\n+++ b/new/dir/a.rs\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n");
    assert_eq!(plan.replay, Replay::FileWrite { path, pre: post, post: Some(hash(b"one\n2\n")) });
    assert_eq!(plan.baselines[0].content.as_deref(), Some(b"one\ntwo\n".as_slice()));
    bench.run(plan);
    assert_eq!(bench.read("new/dir/a.rs"), "one\n2\n");
    assert_tidy(&bench, "new/dir");
}

/// What a person is shown of a planned change.
fn shown(plan: crate::Plan) -> String {
    match lanyard_policy::approval::visible_detail(plan.detail) {
        ApprovalDetail::FileChange(change) => change.diff,
        other => panic!("{other:?}"),
    }
}

/// One NUL makes a file "data" for every tool that compares files; a person still has to see what is written.
#[test]
fn item_22_no_byte_hides_what_is_written_from_who_is_asked() {
    let bench = Bench::new();
    bench.write("old.bin", b"\x7fELF\0\0");
    bench.write("old.sh", "echo hello\n");
    let content = "#!/bin/sh\n# \0\nrm -r /work\n";
    for path in ["new.sh", "old.sh", "old.bin"] {
        let plan = bench.plan("WriteFile", json!({"path": path, "content": content})).unwrap();
        assert!(plan.summary.contains("+3"), "{path}: {}", plan.summary);
        let shown = shown(plan);
        assert!(
            shown.contains("+rm -r /work\n") && shown.contains("+# \u{27e6}U+0000\u{27e7}\n"),
            "{path}: {shown}"
        );
        assert!(shown.contains("has NUL characters"), "{path}: {shown}");
        assert_eq!(shown.contains("6 bytes of data, is replaced"), path == "old.bin", "{path}: {shown}");
    }
    // The same when data is replaced by plain text, and when an edit brings the NUL in.
    let plan = bench.plan("WriteFile", json!({"path": "old.bin", "content": "rm -r /work\n"})).unwrap();
    assert!(shown(plan).contains("+rm -r /work\n"));
    let edit = json!({"path": "old.sh", "oldText": "hello", "newText": "\0; rm -r /work"});
    assert!(shown(bench.plan("EditFile", edit).unwrap()).contains("; rm -r /work\n"));
}

#[test]
fn a_change_too_large_to_be_shown_is_a_high_risk() {
    let bench = Bench::new();
    let long = "0123456789\n".repeat(60_000);
    let plan = bench.plan("WriteFile", json!({"path": "long", "content": long})).unwrap();
    assert_eq!(plan.risk, lanyard_protocol::approval::RiskLevel::High);
    assert!(matches!(plan.detail, ApprovalDetail::FileChange(change) if change.truncated));
}

#[test]
fn a_replaced_file_keeps_its_mode_but_no_special_bits() {
    let bench = Bench::new();
    let path = bench.write("run.sh", "a");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o4750)).unwrap();
    let before = path.metadata().unwrap().ino();
    bench.succeed("WriteFile", json!({"path": "run.sh", "content": "b"}));
    let metadata = path.metadata().unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o750);
    assert_ne!(metadata.ino(), before, "a new file is renamed over the old one");
}

#[test]
fn item_04_nothing_is_written_when_the_file_changed_after_planning() {
    let bench = Bench::new();
    bench.write("a", "planned");
    for (tool, arguments) in [
        ("WriteFile", json!({"path": "a", "content": "new"})),
        ("EditFile", json!({"path": "a", "oldText": "planned", "newText": "new"})),
        ("DeleteFile", json!({"path": "a"})),
        ("MoveFile", json!({"path": "a", "newPath": "b"})),
    ] {
        bench.write("a", "planned");
        let plan = bench.plan(tool, arguments).unwrap();
        bench.write("a", "somebody else's");
        let outcome = bench.run(plan);
        assert_eq!(outcome.status, ToolStatus::Failed, "{tool}");
        assert!(outcome.error.unwrap().message.contains("changed since"), "{tool}");
        assert_eq!(bench.read("a"), "somebody else's", "{tool}");
    }
    let plan = bench.plan("WriteFile", json!({"path": "c", "content": "new"})).unwrap();
    bench.write("c", "appeared");
    assert_eq!(bench.run(plan).status, ToolStatus::Failed);
    assert_eq!(bench.read("c"), "appeared");
    assert_tidy(&bench, ".");
}

#[test]
fn item_04_a_link_put_in_after_planning_is_not_written_through() {
    let bench = Bench::new();
    let secret = bench.beside("outside/secret");
    std::fs::write(&secret, "planned").unwrap();
    bench.write("a", "planned");
    bench.write("dir/new", "");
    std::fs::remove_file(bench.at("dir/new")).unwrap();
    let replace = bench.plan("WriteFile", json!({"path": "a", "content": "x"})).unwrap();
    let create = bench.plan("WriteFile", json!({"path": "dir/new", "content": "x"})).unwrap();
    std::fs::remove_file(bench.at("a")).unwrap();
    symlink(&secret, bench.at("a")).unwrap();
    std::fs::remove_dir(bench.at("dir")).unwrap();
    symlink(bench.beside("outside"), bench.at("dir")).unwrap();
    assert_eq!(bench.run(replace).status, ToolStatus::Failed);
    assert_eq!(bench.run(create).status, ToolStatus::Failed);
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "planned");
    assert!(!bench.beside("outside/new").exists());
}

#[test]
fn item_05_the_other_name_of_a_hard_link_keeps_its_content() {
    let bench = Bench::new();
    let outside = bench.beside("outside/shared");
    std::fs::write(&outside, "old").unwrap();
    std::fs::hard_link(&outside, bench.at("a")).unwrap();
    let plan = bench.plan("WriteFile", json!({"path": "a", "content": "new"})).unwrap();
    let ApprovalDetail::FileChange(detail) = &plan.detail else { panic!() };
    assert!(detail.diff.contains("another name"), "the person is told: {}", detail.diff);
    let outcome = bench.run(plan);
    assert!(outcome.output.contains("keeps the old content"), "{}", outcome.output);
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "old");
    assert_eq!(bench.read("a"), "new");
}

#[test]
fn item_05_another_name_of_a_host_file_is_neither_read_nor_replaced() {
    let bench = Bench::new();
    let key = bench.beside("state/key");
    std::fs::write(&key, "key").unwrap();
    std::fs::hard_link(&key, bench.at("innocent")).unwrap();
    let outcome = bench.call("ReadFile", json!({"path": "innocent"}));
    assert_eq!(outcome.error.unwrap().code, ErrorCode::CapabilityDenied);
    for (tool, arguments) in [
        ("WriteFile", json!({"path": "innocent", "content": "x"})),
        ("EditFile", json!({"path": "innocent", "oldText": "key", "newText": "x"})),
        ("DeleteFile", json!({"path": "innocent"})),
    ] {
        assert_eq!(bench.plan(tool, arguments).unwrap_err().code(), ErrorCode::CapabilityDenied, "{tool}");
    }
}

#[test]
fn item_06_git_internals_are_refused_in_any_case() {
    let bench = Bench::new();
    bench.write(".git/config", "");
    for path in
        [".git/config", ".GIT/Config", ".git/hooks/pre-commit", "sub/.Git/config", ".g\u{131}t/config"]
    {
        let plan = bench.plan("WriteFile", json!({"path": path, "content": "x"})).unwrap();
        let (verdict, _) = bench.decide(plan);
        assert!(matches!(verdict, Verdict::Denied(_)), "{path}: {verdict:?}");
    }
}

#[test]
fn item_20_the_hosts_own_files_are_denied_whatever_the_tool() {
    let bench = Bench::new();
    let state = bench.beside("state");
    symlink(&state, bench.at("link")).unwrap();
    for path in [state.join("config.toml").to_str().unwrap(), "../state/store.redb", "link/new"] {
        for (tool, arguments) in [
            ("ReadFile", json!({"path": path})),
            ("WriteFile", json!({"path": path, "content": "x"})),
            ("EditFile", json!({"path": path, "oldText": "a", "newText": "x"})),
            ("DeleteFile", json!({"path": path})),
            ("MoveFile", json!({"path": path, "newPath": "x"})),
            ("ListDirectory", json!({"path": path})),
            ("GrepFiles", json!({"pattern": "x", "path": path})),
            ("FindFiles", json!({"pattern": "x", "path": path})),
            ("RunCommand", json!({"argv": ["ls"], "cwd": path})),
            ("GitStatus", json!({"path": path})),
        ] {
            let error = bench.plan(tool, arguments).unwrap_err();
            assert_eq!(error.code(), ErrorCode::CapabilityDenied, "{tool} {path}: {error}");
        }
    }
}

#[test]
fn item_22_the_summary_shows_what_cannot_be_seen() {
    let bench = Bench::new();
    let plan = bench.plan("WriteFile", json!({"path": "a", "content": "x\u{202e}\u{1b}[2K\n"})).unwrap();
    let detail = lanyard_policy::approval::visible_detail(plan.detail);
    let ApprovalDetail::FileChange(detail) = detail else { panic!() };
    assert!(detail.diff.contains("+x⟦U+202E⟧⟦U+001B⟧[2K\n"), "{}", detail.diff);
}

#[test]
fn an_edit_changes_one_place_and_says_when_it_cannot() {
    let bench = Bench::new();
    bench.write("a.rs", "fn a() {}\r\nfn b() {}\r\n");
    let output = bench
        .succeed("EditFile", json!({"path": "a.rs", "oldText": "fn b() {}\n", "newText": "fn c() {}\n\n"}));
    assert!(output.starts_with("Wrote a.rs"), "{output}");
    assert_eq!(bench.read("a.rs"), "fn a() {}\r\nfn c() {}\r\n\r\n");
    let edit = |old: &str| bench.fail("EditFile", json!({"path": "a.rs", "oldText": old, "newText": "x"}));
    assert!(edit("fn").contains("2 times (lines 1, 2)"));
    assert!(edit("nowhere").contains("does not occur"));
    assert!(edit("").contains("`oldText`"));
    assert!(
        bench.fail("EditFile", json!({"path": "b.rs", "oldText": "a", "newText": "b"})).contains("WriteFile")
    );
    bench.succeed(
        "EditFile",
        json!({"path": "a.rs", "oldText": "fn", "newText": "pub fn", "replaceAll": true}),
    );
    assert_eq!(bench.read("a.rs"), "pub fn a() {}\r\npub fn c() {}\r\n\r\n");
}

#[test]
fn a_failed_edit_tells_nothing_about_a_file_that_may_not_be_read() {
    let bench = Bench::new();
    bench.write(".env", "KEY=abc\nKEY=abd\n");
    let try_edit =
        |old: &str| bench.fail("EditFile", json!({"path": ".env", "oldText": old, "newText": "x"}));
    assert_eq!(try_edit("KEY="), try_edit("nothing like it"));
}

#[test]
fn a_deleted_file_can_be_restored_from_its_baseline() {
    let bench = Bench::new();
    let path = bench.write("a", "one\ntwo\n");
    let plan = bench.plan("DeleteFile", json!({"path": "a"})).unwrap();
    let wanted =
        PreImage { path: path.clone(), content: Some(b"one\ntwo\n".to_vec()), change: ChangeKind::Deleted };
    assert_eq!(plan.baselines, [wanted]);
    assert_eq!(plan.lane, Lane::Barrier);
    let pre = Some(hash(b"one\ntwo\n"));
    assert_eq!(plan.replay, Replay::FileWrite { path: path.clone(), pre, post: None });
    assert_eq!(bench.run(plan).changes[0].lines_removed, 2);
    assert!(!path.exists());
    assert!(bench.fail("DeleteFile", json!({"path": "."})).contains("not deleted"));
}

#[test]
fn deleting_a_link_leaves_what_it_leads_to() {
    let bench = Bench::new();
    let secret = bench.beside("outside/kept");
    std::fs::write(&secret, "kept").unwrap();
    symlink(&secret, bench.at("link")).unwrap();
    symlink("nowhere", bench.at("dangling")).unwrap();
    std::fs::create_dir(bench.at("empty")).unwrap();
    bench.write("full/x", "");
    for path in ["link", "dangling", "empty"] {
        bench.succeed("DeleteFile", json!({"path": path}));
        assert!(bench.at(path).symlink_metadata().is_err(), "{path}");
    }
    assert!(secret.exists());
    assert!(bench.fail("DeleteFile", json!({"path": "full"})).contains("with files in it"));
    // A link that points elsewhere by the time it runs is another link.
    symlink("a", bench.at("link")).unwrap();
    let plan = bench.plan("DeleteFile", json!({"path": "link"})).unwrap();
    std::fs::remove_file(bench.at("link")).unwrap();
    symlink("b", bench.at("link")).unwrap();
    assert_eq!(bench.run(plan).status, ToolStatus::Failed);
}

#[test]
fn a_move_never_replaces_anything() {
    let bench = Bench::new();
    bench.write("a", "a");
    bench.write("b", "b");
    assert!(bench.fail("MoveFile", json!({"path": "a", "newPath": "b"})).contains("already exists"));
    let plan = bench.plan("MoveFile", json!({"path": "a", "newPath": "new/a"})).unwrap();
    let wanted = [Demand::WritePath { path: bench.at("new/a"), size: 1 }, Demand::DeletePath(bench.at("a"))];
    assert_eq!(plan.call.demands(), wanted);
    assert_eq!(bench.run(plan).status, ToolStatus::Succeeded);
    assert_eq!(bench.read("new/a"), "a");
    let plan = bench.plan("MoveFile", json!({"path": "b", "newPath": "c"})).unwrap();
    bench.write("c", "appeared");
    assert_eq!(bench.run(plan).status, ToolStatus::Failed);
    assert_eq!((bench.read("b"), bench.read("c")), ("b".to_owned(), "appeared".to_owned()));
    assert!(
        bench
            .fail("MoveFile", json!({"path": "c", "newPath": "../outside/c"}))
            .contains("outside the workspace")
    );
}

#[test]
fn a_permit_for_one_call_does_not_start_another() {
    let bench = Bench::new();
    bench.write("a", "a");
    let harmless = bench.plan("ReadFile", json!({"path": "a"})).unwrap();
    let other = bench.plan("DeleteFile", json!({"path": "a"})).unwrap();
    let (Verdict::Allowed(permit), _) = bench.decide(harmless) else { panic!() };
    let cancel = tokio_util::sync::CancellationToken::new();
    let outcome = crate::testing::runtime().block_on(crate::execute(
        &bench.workspace,
        permit,
        other.prepared,
        &bench.sink(),
        &cancel,
    ));
    assert_eq!(outcome.error.unwrap().code, ErrorCode::InternalError);
    assert!(bench.at("a").exists());
}

#[test]
fn a_cancelled_call_does_nothing() {
    let bench = Bench::new();
    let plan = bench.plan("WriteFile", json!({"path": "a", "content": "x"})).unwrap();
    let cancel = tokio_util::sync::CancellationToken::new();
    cancel.cancel();
    assert_eq!(bench.run_until(plan, &cancel).status, ToolStatus::Cancelled);
    assert!(!bench.at("a").exists());
}

#[test]
fn the_preview_compares_with_the_state_at_the_start() {
    let bench = Bench::new();
    bench.write("changed", "one\ntwo\n");
    bench.write("moved", "m\n");
    bench.write("deleted", "d\n");
    bench.write("back", "same\n");
    let mut baselines = Vec::new();
    for (tool, arguments) in [
        ("WriteFile", json!({"path": "changed", "content": "one\n2\n"})),
        ("WriteFile", json!({"path": "created", "content": "c\n"})),
        ("MoveFile", json!({"path": "moved", "newPath": "there"})),
        ("DeleteFile", json!({"path": "deleted"})),
        ("WriteFile", json!({"path": "back", "content": "other\n"})),
    ] {
        let plan = bench.plan(tool, arguments).unwrap();
        baselines.extend(plan.baselines.clone());
        assert_eq!(bench.run(plan).status, ToolStatus::Succeeded);
    }
    bench.succeed("WriteFile", json!({"path": "changed", "content": "one\nthree\n"}));
    bench.succeed("WriteFile", json!({"path": "back", "content": "same\n"}));
    let files = preview(&bench.workspace, &baselines);
    let seen: Vec<(&str, ChangeKind)> = files.iter().map(|file| (file.path.as_str(), file.change)).collect();
    let wanted = [
        ("changed", ChangeKind::Modified),
        ("created", ChangeKind::Created),
        ("deleted", ChangeKind::Deleted),
        ("moved", ChangeKind::Moved),
        ("there", ChangeKind::Created),
    ];
    assert_eq!(seen, wanted);
    assert!(files[0].diff.contains("-two\n+three\n"), "{}", files[0].diff);
}
