//! Looking at files, and all that is not to be seen (6-security.md, items 1 to 5, 7 and 20).

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use lanyard_policy::decide::Verdict;
use lanyard_protocol::session::ApprovalMode;
use serde_json::json;

use super::*;
use crate::testing::{Bench, request};

/// What a person gets to see, or why not.
fn look<T>(
    bench: &Bench,
    path: &str,
    look: impl FnOnce(&Permitted<PlannedCall>, &Located) -> Result<T, BrowseError>,
) -> Result<T, String> {
    let located = locate(&bench.workspace, request("Browse", json!({})), path).map_err(|e| e.to_string())?;
    match bench.judge(located.call().clone(), ApprovalMode::OnRiskyActions) {
        Verdict::Allowed(permit) => look(&permit, &located).map_err(|e| e.to_string()),
        Verdict::Denied(denial) => Err(format!("denied: {denial}")),
        Verdict::Ask(ask) => Err(format!("asks: {}", ask.reasons().join(" "))),
    }
}

fn listing(bench: &Bench, path: impl AsRef<Path>) -> Result<Listing, String> {
    look(bench, path.as_ref().to_str().unwrap(), |permit, located| list(&bench.workspace, permit, located))
}

fn piece(bench: &Bench, path: impl AsRef<Path>, offset: u64, length: u32) -> Result<Piece, String> {
    look(bench, path.as_ref().to_str().unwrap(), |permit, located| {
        read(&bench.workspace, permit, located, offset, length)
    })
}

fn names(listing: &Listing) -> Vec<(&str, FileKind)> {
    listing.entries.iter().map(|entry| (entry.name.as_str(), entry.kind)).collect()
}

fn pipe(path: &Path) {
    rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
}

#[test]
fn directories_come_first_and_everything_says_what_it_is() {
    let bench = Bench::new();
    bench.write("b.txt", "hello");
    bench.write("z/inner.txt", "");
    symlink("b.txt", bench.at("a-link")).unwrap();
    pipe(&bench.at("c-pipe"));
    let found = listing(&bench, bench.at("")).unwrap();
    assert_eq!(
        (found.path.as_path(), &found.parent, found.truncated),
        (bench.at("").as_path(), &None, false)
    );
    let expected = [
        ("z", FileKind::Directory),
        ("a-link", FileKind::Link),
        ("b.txt", FileKind::File),
        ("c-pipe", FileKind::Other),
    ];
    assert_eq!(names(&found), expected);
    let file = &found.entries[2];
    assert!(file.size == Some(5) && file.modified.is_some(), "{file:?}");
    assert!(found.entries.iter().all(|entry| entry.kind == FileKind::File || entry.size.is_none()));
    let below = listing(&bench, bench.at("z")).unwrap();
    assert_eq!(below.parent.as_deref(), Some(bench.at("").as_path()));
}

#[test]
fn a_file_comes_in_pieces_and_says_whether_it_is_text() {
    let bench = Bench::new();
    bench.write("text", "0123456789");
    bench.write("data", [0, 159, 146, 150]);
    assert_eq!(
        piece(&bench, bench.at("text"), 3, 4).unwrap(),
        Piece { bytes: b"3456".into(), total: 10, text: true }
    );
    assert_eq!(piece(&bench, bench.at("text"), 8, u32::MAX).unwrap().bytes, b"89");
    for beyond in [10, 11, u64::MAX] {
        assert!(piece(&bench, bench.at("text"), beyond, 5).unwrap().bytes.is_empty());
    }
    assert!(!piece(&bench, bench.at("data"), 2, 1).unwrap().text, "whatever piece is asked for");
    let large = vec![b'x'; 2 * MAX_FILE_PIECE_BYTES as usize];
    bench.write("large", &large);
    let first = piece(&bench, bench.at("large"), 0, u32::MAX).unwrap();
    assert_eq!(first.bytes.len(), MAX_FILE_PIECE_BYTES as usize);
}

#[test]
fn what_lies_outside_is_not_reached_by_whatever_name() {
    let bench = Bench::new();
    std::fs::create_dir(bench.beside("work-evil")).unwrap();
    std::fs::write(bench.beside("work-evil/secret"), "s3cret").unwrap();
    std::fs::write(bench.beside("outside/secret"), "s3cret").unwrap();
    bench.write("in.txt", "x");
    symlink(bench.beside("outside"), bench.at("way-out")).unwrap();
    symlink(bench.beside("outside/secret"), bench.at("file-out")).unwrap();
    symlink("../outside/secret", bench.at("climbing")).unwrap();
    symlink("/etc/passwd", bench.at("passwd")).unwrap();
    symlink("loop", bench.at("loop")).unwrap();
    let work = bench.at("");
    let work = work.to_str().unwrap().trim_end_matches('/').to_owned();
    for path in [
        format!("{work}/../outside/secret"),
        format!("{work}/way-out/secret"),
        format!("{work}/file-out"),
        format!("{work}/climbing"),
        format!("{work}/passwd"),
        format!("{work}/loop"),
        format!("{work}/in.txt/../../outside/secret"),
        format!("{work}-evil/secret"),
        "/etc/passwd".to_owned(),
        "in.txt".to_owned(),
        "../outside/secret".to_owned(),
        String::new(),
    ] {
        let error = piece(&bench, &path, 0, 10).unwrap_err();
        assert!(!error.contains("s3cret"), "{path}: {error}");
        listing(&bench, &path).unwrap_err();
    }
    // A link that stays inside is followed, and the real place is what is shown.
    symlink("in.txt", bench.at("inside")).unwrap();
    assert_eq!(piece(&bench, bench.at("inside"), 0, 9).unwrap().bytes, b"x");
}

#[test]
fn the_hosts_own_files_are_never_shown() {
    let bench = Bench::with_roots(&["."]);
    std::fs::write(bench.beside("state/host.key"), "key").unwrap();
    for path in ["state", "state/host.key", "state/nothing-yet"] {
        let error = piece(&bench, bench.beside(path), 0, 9).unwrap_err();
        assert!(error.contains("belongs to the host itself"), "{error}");
        listing(&bench, bench.beside(path)).unwrap_err();
    }
    // Nor under another name of the same file.
    std::fs::hard_link(bench.beside("state/host.key"), bench.beside("outside/innocent")).unwrap();
    let error = piece(&bench, bench.beside("outside/innocent"), 0, 9).unwrap_err();
    assert!(error.contains("another name of a file of the host"), "{error}");
}

#[test]
fn what_policy_would_ask_about_is_asked_about_nowhere() {
    let bench = Bench::with_roots(&["home/app"]);
    let env = bench.beside("home/app/.env");
    std::fs::write(&env, "TOKEN=1").unwrap();
    let error = piece(&bench, &env, 0, 9).unwrap_err();
    assert!(error.starts_with("asks: ") && error.contains("credentials"), "{error}");
}

#[test]
fn pipes_and_devices_are_not_opened() {
    let bench = Bench::new();
    pipe(&bench.at("pipe"));
    let error = piece(&bench, bench.at("pipe"), 0, 1).unwrap_err();
    assert!(error.contains("pipe, socket or device"), "{error}");
    let socket = std::os::unix::net::UnixListener::bind(bench.at("socket")).unwrap();
    let error = piece(&bench, bench.at("socket"), 0, 1).unwrap_err();
    assert!(error.contains("pipe, socket or device"), "{error}");
    drop(socket);
    // Swapped in between the two looks: seen again at the opening, and nothing waits for a writer.
    bench.write("file", "x");
    let error = look(&bench, bench.at("file").to_str().unwrap(), |permit, located| {
        std::fs::remove_file(bench.at("file")).unwrap();
        pipe(&bench.at("file"));
        read(&bench.workspace, permit, located, 0, 1)
    });
    assert!(error.unwrap_err().contains("pipe, socket or device"));
}

#[test]
fn what_is_swapped_after_policy_has_spoken_is_not_followed() {
    let bench = Bench::new();
    std::fs::write(bench.beside("outside/secret"), "s3cret").unwrap();
    bench.write("dir/secret", "mine");
    let error = look(&bench, bench.at("dir/secret").to_str().unwrap(), |permit, located| {
        std::fs::remove_dir_all(bench.at("dir")).unwrap();
        symlink(bench.beside("outside"), bench.at("dir")).unwrap();
        read(&bench.workspace, permit, located, 0, 9)
    });
    assert!(error.unwrap_err().contains("look again"));
}

#[test]
fn a_permit_is_for_one_thing_only() {
    let bench = Bench::new();
    bench.write("a", "x");
    bench.write("b", "y");
    let other =
        locate(&bench.workspace, request("Browse", json!({})), bench.at("b").to_str().unwrap()).unwrap();
    let error = look(&bench, bench.at("a").to_str().unwrap(), |permit, _| {
        read(&bench.workspace, permit, &other, 0, 1)
    });
    assert!(error.unwrap_err().contains("not what was asked for"));
}

#[test]
fn kinds_are_not_mistaken_for_each_other() {
    let bench = Bench::new();
    bench.write("file", "x");
    assert!(listing(&bench, bench.at("file")).unwrap_err().contains("is not a directory"));
    assert!(piece(&bench, bench.at(""), 0, 1).unwrap_err().contains("is a directory"));
    for missing in ["nothing", "no/where", "file/below"] {
        piece(&bench, bench.at(missing), 0, 1).unwrap_err();
        listing(&bench, bench.at(missing)).unwrap_err();
    }
}

#[test]
fn names_that_are_not_unicode_are_listed_with_what_can_be_read() {
    let bench = Bench::new();
    std::fs::write(bench.at("").join(std::ffi::OsStr::from_bytes(b"a\xffb")), "").unwrap();
    assert_eq!(names(&listing(&bench, bench.at("")).unwrap()), [("a\u{fffd}b", FileKind::File)]);
}

#[test]
fn a_large_directory_is_cut_in_entries_and_in_bytes() {
    let bench = Bench::new();
    for n in 0..MAX_FILE_ENTRIES + 10 {
        std::fs::write(bench.at(&format!("{n:06}")), "").unwrap();
    }
    let found = listing(&bench, bench.at("")).unwrap();
    assert!(found.truncated && found.entries.len() == MAX_FILE_ENTRIES);
    assert_eq!(found.entries[0].name, "000000");

    let bench = Bench::new();
    for n in 0..2_000 {
        // As bytes they fit into a frame; written as JSON, each control character takes six.
        std::fs::write(bench.at(&format!("{}{n:05}", "\u{1}".repeat(250))), "").unwrap();
    }
    let found = listing(&bench, bench.at("")).unwrap();
    assert!(found.truncated && found.entries.len() < 2_000);
    assert!(serde_json::to_string(&found.entries).unwrap().len() < MAX_FRAME_BYTES);
}
