//! Ways out of the workspace, each tried for real (6-security.md, items 1 to 8 and 20).

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

struct Machine {
    base: TempDir,
    ground: Ground,
}

impl Machine {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        for name in ["work/src", "work-evil", "state/keys", "outside"] {
            std::fs::create_dir_all(base.path().join(name)).unwrap();
        }
        std::fs::write(base.path().join("outside/secret"), "secret").unwrap();
        std::fs::write(base.path().join("work-evil/secret"), "secret").unwrap();
        std::fs::write(base.path().join("work/src/a.rs"), "a").unwrap();
        std::fs::write(base.path().join("state/keys/id"), "key").unwrap();
        let ground = Ground::open(&[base.path().join("work")], &[base.path().join("state")]).unwrap();
        Self { base, ground }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.base.path().canonicalize().unwrap().join(path)
    }

    fn link(&self, at: &str, to: impl AsRef<Path>) {
        symlink(to, self.path(at)).unwrap();
    }

    fn resolve(&self, text: &str) -> Result<Found, PathError> {
        self.ground.resolve(text, LastLink::Follow)
    }

    fn denied(&self, text: &str) {
        let error = self.resolve(text).unwrap_err();
        assert!(error.is_denial(), "{text:?}: {error}");
    }

    fn read(&self, place: &Place) -> Result<Vec<u8>, PathError> {
        let (dir, name) = self.ground.open_parent(place)?;
        open_regular(&dir, name, place.path(), &Aliases::new(&self.ground))?.read(1000)
    }
}

#[test]
fn ordinary_paths_are_found() {
    let machine = Machine::new();
    let file = machine.path("work/src/a.rs");
    for text in ["src/a.rs", "./src//a.rs", "src/../src/a.rs", file.to_str().unwrap()] {
        let found = machine.resolve(text).unwrap();
        assert_eq!((found.kind, found.place.path()), (Kind::File, file.as_path()), "{text}");
        assert_eq!(machine.read(&found.place).unwrap(), b"a");
    }
    assert_eq!(machine.resolve(".").unwrap().kind, Kind::Directory);
    assert_eq!(machine.resolve("new/dir/file").unwrap().kind, Kind::Missing);
    assert_eq!(machine.ground.shown(&file), "src/a.rs");
}

#[test]
fn item_01_climbing_and_absolute_paths_lead_nowhere() {
    let machine = Machine::new();
    let outside = machine.path("outside/secret");
    for text in ["../outside/secret", "src/../../outside/secret", "/etc/passwd", outside.to_str().unwrap()] {
        machine.denied(text);
    }
    assert!(machine.resolve("../../../../../../../../../../../../etc/passwd").is_err());
}

#[test]
fn item_02_a_sibling_with_the_same_prefix_is_outside() {
    // CVE-2025-53110: `/work-evil` starts with `/work`.
    let machine = Machine::new();
    machine.denied(machine.path("work-evil/secret").to_str().unwrap());
    machine.denied("../work-evil/secret");
}

#[test]
fn item_03_links_out_of_the_workspace_are_refused() {
    // CVE-2025-53109: a link inside the workspace that points outside.
    let machine = Machine::new();
    machine.link("work/file", machine.path("outside/secret"));
    machine.link("work/dir", machine.path("outside"));
    machine.link("work/up", "../outside");
    machine.link("work/far", "../../../../../../../../../../etc");
    machine.link("work/evil", machine.path("work-evil"));
    machine.link("work/chain", "dir");
    for text in
        ["file", "dir/secret", "dir", "up/secret", "far/passwd", "evil/secret", "chain/secret", "dir/new"]
    {
        machine.denied(text);
    }
}

#[test]
fn item_03_nothing_is_created_through_a_dangling_link() {
    let machine = Machine::new();
    machine.link("work/out", machine.path("outside/created"));
    machine.link("work/in", "src/created");
    machine.denied("out");
    assert!(matches!(machine.resolve("in"), Err(PathError::Dangling { .. })));
    assert!(matches!(machine.ground.resolve("in", LastLink::Keep).unwrap().kind, Kind::Link));
}

#[test]
fn item_03_a_circle_of_links_ends() {
    let machine = Machine::new();
    machine.link("work/a", "b");
    machine.link("work/b", "a");
    assert!(matches!(machine.resolve("a/x"), Err(PathError::TooManyLinks { .. })));
}

#[test]
fn links_that_stay_inside_are_followed_to_where_they_lead() {
    let machine = Machine::new();
    machine.link("work/code", "src");
    machine.link("work/absolute", machine.path("work/src/a.rs"));
    machine.link("work/src/round", "../../work/src/a.rs");
    let file = machine.path("work/src/a.rs");
    for text in ["code/a.rs", "absolute", "code/round"] {
        let found = machine.resolve(text).unwrap();
        assert_eq!(found.place.path(), file, "{text}");
        assert_ne!(found.asked, file);
        assert_eq!(machine.read(&found.place).unwrap(), b"a");
    }
    // A new file in a directory reached by a link is an ordinary new file.
    let found = machine.resolve("code/new.rs").unwrap();
    assert_eq!((found.kind, found.place.path()), (Kind::Missing, machine.path("work/src/new.rs").as_path()));
}

#[test]
fn item_04_what_is_swapped_after_planning_is_not_followed() {
    let machine = Machine::new();
    let file = machine.resolve("src/a.rs").unwrap().place;
    std::fs::remove_file(machine.path("work/src/a.rs")).unwrap();
    machine.link("work/src/a.rs", machine.path("outside/secret"));
    assert!(matches!(machine.read(&file), Err(PathError::Changed { .. })));

    let new = machine.resolve("src/sub/new.rs").unwrap().place;
    std::fs::remove_file(machine.path("work/src/a.rs")).unwrap();
    std::fs::remove_dir(machine.path("work/src")).unwrap();
    machine.link("work/src", machine.path("outside"));
    assert!(matches!(machine.read(&file), Err(PathError::Changed { .. })));
    assert!(matches!(machine.ground.make_parent(&new), Err(PathError::Changed { .. })));
    assert!(!machine.path("outside/sub").exists());
}

#[test]
fn item_04_a_swapped_root_does_not_move_the_ground() {
    let machine = Machine::new();
    let place = machine.resolve("src/a.rs").unwrap().place;
    std::fs::rename(machine.path("work"), machine.path("moved")).unwrap();
    machine.link("work", machine.path("outside"));
    std::fs::create_dir(machine.path("outside/src")).unwrap();
    std::fs::write(machine.path("outside/src/a.rs"), "secret").unwrap();
    assert_eq!(machine.read(&place).unwrap(), b"a");
}

#[test]
fn item_05_another_name_of_a_host_file_is_refused() {
    let machine = Machine::new();
    std::fs::hard_link(machine.path("state/keys/id"), machine.path("work/innocent")).unwrap();
    std::fs::hard_link(machine.path("work/src/a.rs"), machine.path("work/src/b.rs")).unwrap();
    let place = machine.resolve("innocent").unwrap().place;
    assert!(matches!(machine.read(&place), Err(PathError::Alias { .. })));
    let place = machine.resolve("src/b.rs").unwrap().place;
    assert_eq!(machine.read(&place).unwrap(), b"a");
}

#[test]
fn item_07_08_names_with_more_than_one_reading_are_refused() {
    let machine = Machine::new();
    for text in [
        "src/a.rs.",
        "src/a.rs ",
        "a\u{200b}",
        "a\u{202e}b",
        "f::$DATA",
        "PROGRA~1",
        "a\\b",
        "\\\\?\\C:\\x",
        "//server/x",
        "a\0b",
        "a\nb",
        "\u{ff0e}\u{ff0e}/x",
        "a\u{2044}b",
    ] {
        let error = machine.resolve(text).unwrap_err();
        assert!(error.is_fault(), "{text:?}: {error}");
    }
}

#[test]
fn item_07_a_new_name_must_not_look_like_an_existing_one() {
    let machine = Machine::new();
    std::fs::write(machine.path("work/caf\u{e9}"), "").unwrap();
    assert!(matches!(machine.resolve("cafe\u{301}"), Err(PathError::LookAlike { .. })));
    assert_eq!(machine.resolve("caf\u{e9}").unwrap().kind, Kind::File);
    assert_eq!(machine.resolve("th\u{e9}").unwrap().kind, Kind::Missing);
}

#[test]
fn item_20_the_hosts_own_directories_are_reached_by_no_name() {
    let base = tempfile::tempdir().unwrap();
    let path = |name: &str| base.path().canonicalize().unwrap().join(name);
    std::fs::create_dir_all(path("work/.state/inner")).unwrap();
    std::fs::write(path("work/.state/id"), "key").unwrap();
    let protected = [path("work/.state"), path("work/.later")];
    let ground = Ground::open(&[path("work")], &protected).unwrap();
    symlink(path("work/.state"), path("work/alias")).unwrap();
    for text in
        [".state", ".state/id", ".state/new", "alias/id", ".STATE/id", ".later", ".later/x", ".Later/x"]
    {
        let error = ground.resolve(text, LastLink::Follow).unwrap_err();
        assert!(matches!(error, PathError::Protected { .. }), "{text}: {error}");
    }
    // Moved under another name it is still the same directory.
    std::fs::rename(path("work/.state"), path("work/plain")).unwrap();
    let error = ground.resolve("plain/id", LastLink::Follow).unwrap_err();
    assert!(matches!(error, PathError::Protected { .. }), "{error}");
    assert!(matches!(
        Ground::open(&[path("work/plain")], &[path("work/plain")]),
        Err(GroundError::Protected { .. })
    ));
}

#[test]
fn pipes_and_devices_are_refused_without_waiting() {
    let machine = Machine::new();
    let pipe = machine.path("work/pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let found = machine.resolve("pipe").unwrap();
    assert_eq!(found.kind, Kind::Special);
    assert!(matches!(machine.read(&found.place), Err(PathError::Special { .. })));
    // Swapped in after planning.
    let place = machine.resolve("src/a.rs").unwrap().place;
    std::fs::remove_file(machine.path("work/src/a.rs")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        machine.path("work/src/a.rs"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    assert!(matches!(machine.read(&place), Err(PathError::Special { .. })));
}

#[test]
fn several_roots_are_one_ground() {
    let base = tempfile::tempdir().unwrap();
    let path = |name: &str| base.path().canonicalize().unwrap().join(name);
    for name in ["one", "two/deep"] {
        std::fs::create_dir_all(path(name)).unwrap();
    }
    std::fs::write(path("two/deep/x"), "x").unwrap();
    let ground = Ground::open(&[path("one"), path("two"), path("two/deep")], &[]).unwrap();
    symlink(path("two/deep"), path("one/link")).unwrap();
    symlink("../two/deep/x", path("one/relative")).unwrap();
    for text in [path("two/deep/x").to_str().unwrap(), "link/x", "relative"] {
        let found = ground.resolve(text, LastLink::Follow).unwrap();
        assert_eq!(found.place.path(), path("two/deep/x"), "{text}");
        assert_eq!(found.kind, Kind::File);
    }
    assert!(ground.resolve("../two", LastLink::Follow).unwrap().place.names().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn whatever_is_asked_for_stays_inside(parts in prop::collection::vec("(\\.\\.|\\.|src|a\\.rs|loop|out|in|x|state|/|[a-zé]{1,3})", 0..8)) {
        let machine = Machine::new();
        machine.link("work/out", machine.path("outside"));
        machine.link("work/in", "src");
        machine.link("work/src/loop", "..");
        let text = parts.join("/");
        for last in [LastLink::Follow, LastLink::Keep] {
            if let Ok(found) = machine.ground.resolve(&text, last) {
                prop_assert!(found.place.path().starts_with(machine.path("work")), "{} {:?}", text, found);
                if found.kind == Kind::File {
                    prop_assert_eq!(found.place.path().canonicalize().unwrap(), found.place.path());
                }
            }
        }
    }
}

/// Stored paths were resolved once; a link put into one of them later is not followed (the way out of a session
/// through another one that may write above its directory).
#[test]
fn a_root_that_became_a_link_is_not_opened() {
    let base = tempfile::tempdir().unwrap();
    let path = |name: &str| base.path().canonicalize().unwrap().join(name);
    std::fs::create_dir_all(path("above/root")).unwrap();
    std::fs::create_dir_all(path("secret/root")).unwrap();
    let open = || Ground::open(&[path("above/root")], &[]);
    open().unwrap();
    for (swapped, target) in [("above/root", "secret"), ("above", "secret")] {
        std::fs::rename(path(swapped), path("aside")).unwrap();
        symlink(path(target), path(swapped)).unwrap();
        match open() {
            Err(GroundError::Moved { path: root, at }) => {
                assert_eq!((root, at), (path("above/root"), path(swapped)));
            }
            other => panic!("{swapped}: {other:?}"),
        }
        std::fs::remove_file(path(swapped)).unwrap();
        std::fs::rename(path("aside"), path(swapped)).unwrap();
    }
    open().unwrap();
    std::fs::write(path("file"), "").unwrap();
    assert!(matches!(Ground::open(&[path("file")], &[]), Err(GroundError::Moved { .. })));
    assert!(matches!(Ground::open(&[path("missing")], &[]), Err(GroundError::Open { .. })));
    for unresolved in [PathBuf::from("relative"), path("above/../above/root")] {
        assert!(matches!(Ground::open(&[unresolved], &[]), Err(GroundError::Name { .. })));
    }
}

/// `/home` often lets nobody but root list it.
#[test]
fn a_root_below_a_directory_that_cannot_be_listed_is_opened() {
    use std::os::unix::fs::PermissionsExt;
    let base = tempfile::tempdir().unwrap();
    let root = base.path().canonicalize().unwrap().join("closed/root");
    std::fs::create_dir_all(&root).unwrap();
    let closed = root.parent().unwrap();
    std::fs::set_permissions(closed, std::fs::Permissions::from_mode(0o111)).unwrap();
    let opened = Ground::open(std::slice::from_ref(&root), &[]);
    std::fs::set_permissions(closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    opened.unwrap();
}
