//! Names and places of files that come from elsewhere. LocalSend CVE-2025-27142 and magic-wormhole CVE-2026-32116 let the
//! sender choose where a received file was written; here the sender chooses neither the place nor, in the end, the name.

use std::os::unix::fs::symlink;
use std::path::Path;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testing::Bench;

fn put(bench: &Bench, name: &str, content: &[u8]) -> Result<String, AttachError> {
    attach(&bench.workspace, name, &mut &*content)
}

/// Everything below a directory, links not followed.
fn everything(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        found.push(entry.path().display().to_string());
        if entry.file_type().unwrap().is_dir() {
            found.extend(everything(&entry.path()));
        }
    }
    found.sort();
    found
}

#[test]
fn a_file_lies_where_it_is_said_to_and_git_passes_over_it() {
    let bench = Bench::new();
    let path = put(&bench, "photo.jpg", b"content").unwrap();
    assert_eq!(path, ".lanyard/attachments/photo.jpg");
    assert_eq!(bench.read(&path), "content");
    assert_eq!(bench.read(".lanyard/.gitignore"), "*\n");
    assert!(
        everything(&bench.at("")).iter().all(|name| !name.ends_with(".tmp")),
        "nothing is left beside it"
    );
    // The tools read it, searches pass over it.
    assert_eq!(bench.succeed("ReadFile", json!({ "path": path })), "content");
    let found = bench.succeed("FindFiles", json!({ "pattern": "**/*.jpg" }));
    assert!(!found.contains("photo"), "{found}");
    assert!(attached(&bench.workspace, &path).is_ok());
}

#[test]
fn nothing_that_is_there_is_written_over() {
    let bench = Bench::new();
    for (n, name) in ["photo.jpg", "photo (2).jpg", "photo (3).jpg"].into_iter().enumerate() {
        assert_eq!(
            put(&bench, "photo.jpg", &[b'0' + u8::try_from(n).unwrap()]).unwrap(),
            format!(".lanyard/attachments/{name}")
        );
    }
    assert_eq!(bench.read(".lanyard/attachments/photo.jpg"), "0");
    assert_eq!(put(&bench, "notes", b"").unwrap(), ".lanyard/attachments/notes");
    assert_eq!(put(&bench, "notes", b"").unwrap(), ".lanyard/attachments/notes (2)");
    // Somebody's own wish about what git sees stands.
    bench.write(".lanyard/.gitignore", "mine\n");
    put(&bench, "x", b"").unwrap();
    assert_eq!(bench.read(".lanyard/.gitignore"), "mine\n");
}

#[test]
fn replay_cve_2025_27142_no_name_leads_out() {
    let bench = Bench::with_roots(&["work"]);
    let before = everything(&bench.beside("outside"));
    for (wish, name) in [
        ("../../outside/evil", "evil"),
        ("../../../.ssh/authorized_keys", "authorized_keys"),
        ("/etc/cron.d/evil", "evil"),
        ("C:\\Windows\\evil.exe", "evil.exe"),
        ("..\\..\\evil.bat", "evil.bat"),
        ("a/b/c.txt", "c.txt"),
        ("..", "file"),
        (".", "file"),
        ("", "file"),
        ("///", "file"),
        (".bashrc", "bashrc"),
        ("...hidden", "hidden"),
        ("dir/", "dir"),
    ] {
        let path = put(&bench, wish, b"x").unwrap();
        let found = path.strip_prefix(".lanyard/attachments/").unwrap();
        assert!(found.starts_with(name.split('.').next().unwrap()), "{wish:?} became {found:?}");
        assert!(!found.contains('/') && !found.starts_with('.'), "{found:?}");
        assert!(bench.at(&path).symlink_metadata().unwrap().is_file());
        assert_eq!(file_name(wish), name, "{wish:?}");
    }
    assert_eq!(everything(&bench.beside("outside")), before);
    let below = format!("{}/", bench.at(".lanyard").display());
    let in_work = everything(&bench.at(""));
    assert!(in_work.iter().skip(1).all(|path| path.starts_with(&below)), "{in_work:?}");
}

#[test]
fn replay_cve_2026_32116_no_link_leads_out() {
    for (at, target) in [
        (".lanyard", "../outside"),
        (".lanyard/attachments", "../../outside"),
        (".lanyard/attachments", "/tmp"),
        (".lanyard", "."),
    ] {
        let bench = Bench::new();
        std::fs::create_dir_all(bench.at(at).parent().unwrap()).unwrap();
        symlink(target, bench.at(at)).unwrap();
        let before = everything(&bench.beside("outside"));
        let error = put(&bench, "evil", b"x").unwrap_err();
        assert!(
            matches!(&error, AttachError::Refused(text) if text.contains("symbolic link")),
            "{at}: {error}"
        );
        assert_eq!(everything(&bench.beside("outside")), before);
    }
    // A link under the very name is not followed and not replaced.
    let bench = Bench::new();
    bench.write(".lanyard/attachments/other", "");
    std::fs::write(bench.beside("outside/target"), "old").unwrap();
    symlink(bench.beside("outside/target"), bench.at(".lanyard/attachments/photo.jpg")).unwrap();
    assert_eq!(put(&bench, "photo.jpg", b"new").unwrap(), ".lanyard/attachments/photo (2).jpg");
    assert_eq!(std::fs::read_to_string(bench.beside("outside/target")).unwrap(), "old");
    // Nor is it an attachment.
    attached(&bench.workspace, ".lanyard/attachments/photo.jpg").unwrap_err();
    assert!(picture(&bench.workspace, ".lanyard/attachments/photo.jpg").is_err());
}

#[test]
fn a_file_in_the_place_of_the_directory_is_said() {
    let bench = Bench::new();
    bench.write(".lanyard", "I am a file");
    assert!(matches!(put(&bench, "x", b""), Err(AttachError::Refused(_))));
    assert_eq!(bench.read(".lanyard"), "I am a file");
}

#[test]
fn names_keep_what_is_harmless_and_lose_what_is_not() {
    for (wish, name) in [
        ("Büro Ω 写真.jpeg", "Büro Ω 写真.jpeg"),
        ("a.tar.gz", "a.tar.gz"),
        ("in\u{202e}gpj.exe", "ingpj.exe"),
        ("a\u{200b}b\u{feff}.txt", "ab.txt"),
        ("a\nb\u{1b}[31m.txt", "ab[31m.txt"),
        ("what?.txt", "what_.txt"),
        ("a:b|c<d>e\"f*.txt", "a_b_c_d_e_f_.txt"),
        ("trailing. . ", "trailing"),
        ("ends.txt. .", "ends.txt"),
        ("con", "_con"),
        ("NUL.txt", "_NUL.txt"),
        ("com1.tar.gz", "_com1.tar.gz"),
        ("LPT\u{b9}", "_LPT\u{b9}"),
        ("common.txt", "common.txt"),
        ("com10.txt", "com10.txt"),
        ("GIT~1", "GIT-1"),
        ("ends\u{2026}.pdf", "ends_.pdf"),
        ("no\u{a0}break.txt", "no break.txt"),
        ("\u{ff0f}etc\u{2044}passwd", "_etc_passwd"),
        (".lanyard-0.tmp", "lanyard-0.tmp"),
    ] {
        assert_eq!(file_name(wish), name, "{wish:?}");
    }
    let long = file_name(&format!("{}.jpeg", "ä".repeat(500)));
    assert!(long.len() <= MAX_NAME_BYTES && long.ends_with("ä.jpeg"), "{long}");
    let odd = file_name(&format!("x.{}", "y".repeat(500)));
    assert_eq!(odd.len(), MAX_NAME_BYTES, "no ending is as long as that");
}

proptest! {
    #[test]
    fn whatever_is_wished_for_the_name_is_plain(wish in any::<String>()) {
        let name = file_name(&wish);
        prop_assert!(!name.is_empty() && name.len() <= MAX_NAME_BYTES + 1);
        prop_assert!(!name.starts_with('.') && !name.ends_with(['.', ' ']));
        prop_assert!(!name.contains(|c: char| c.is_control() || is_invisible(c) || "/\\:<>\"|?*".contains(c)));
        prop_assert!(is_plain(&name) && !is_reserved(&name), "{name:?}");
        prop_assert_eq!(file_name(&name), name.clone());
        let (stem, ending) = split(&name);
        prop_assert!(is_plain(&format!("{stem} (999){ending}")), "{}", name);
    }
}

#[test]
fn only_what_was_attached_is_an_attachment() {
    let bench = Bench::new();
    bench.write("in.txt", "");
    put(&bench, "x", b"").unwrap();
    std::fs::create_dir(bench.at(".lanyard/attachments/dir")).unwrap();
    for path in [
        "in.txt",
        "/etc/passwd",
        ".lanyard/.gitignore",
        ".lanyard/attachments",
        ".lanyard/attachments/",
        ".lanyard/attachments/..",
        ".lanyard/attachments/../../in.txt",
        ".lanyard/attachments/dir",
        ".lanyard/attachments/dir/x",
        ".lanyard/attachments/gone",
        ".lanyard//attachments/x",
        "./.lanyard/attachments/x",
    ] {
        let error = attached(&bench.workspace, path).unwrap_err();
        assert!(!error.to_string().is_empty(), "{path}");
    }
    attached(&bench.workspace, ".lanyard/attachments/x").unwrap();
}

#[test]
fn pictures_are_known_by_their_bytes() {
    let bench = Bench::new();
    let of = |name: &str, content: &[u8]| {
        let path = put(&bench, name, content).unwrap();
        picture(&bench.workspace, &path).unwrap()
    };
    let png = b"\x89PNG\r\n\x1a\nrest";
    assert_eq!(of("a.txt", png), Some(("image/png", png.to_vec())));
    assert_eq!(of("a", b"\xff\xd8\xff\xe0").unwrap().0, "image/jpeg");
    assert_eq!(of("a", b"GIF89a").unwrap().0, "image/gif");
    assert_eq!(of("a", b"RIFF\0\0\0\0WEBPVP8").unwrap().0, "image/webp");
    for none in [&b"<svg/>"[..], b"", b"RIFF\0\0\0\0WAVE", b"\x89PN"] {
        assert_eq!(of("a.png", none), None);
    }
    let mut large = png.to_vec();
    large.resize(usize::try_from(MAX_PICTURE_BYTES).unwrap() + 1, 0);
    assert_eq!(of("large.png", &large), None, "larger than providers take");
}
