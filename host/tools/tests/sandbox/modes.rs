//! File modes: changed where children may write, and nowhere else.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use lanyard_tools::process::End;

use crate::fixture::{Fixture, outside};
use crate::probe::Answer;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

const DENIED: Answer = Answer::Errno(libc::EACCES);

#[test]
fn modes_outside_the_writable_paths_stay() {
    let fixture = Fixture::new();
    let files = [fixture.state.join("store"), fixture.secret.join("key"), fixture.library.join("data")];
    for path in files.iter().chain([&fixture.state, &fixture.secret, &fixture.library]) {
        let before = mode(path);
        assert_eq!(fixture.inside("chmod", &[text(path)]), DENIED, "{}", path.display());
        let (directory, name) = (path.parent().unwrap(), path.file_name().unwrap().to_str().unwrap());
        let relative = format!("../{}/../{name}", fixture.work.file_name().unwrap().to_str().unwrap());
        if directory == fixture.work.parent().unwrap() {
            assert_eq!(fixture.inside("chmod", &[&relative]), DENIED, "{relative}");
        }
        assert_eq!(mode(path), before);
        outside("chmod", &[text(path)]).expect();
        assert_eq!(mode(path), 0o777);
    }
}

#[test]
fn a_descriptor_or_a_link_gives_no_more() {
    let fixture = Fixture::new();
    let (data, key) = (fixture.library.join("data"), fixture.secret.join("key"));
    // What is readable can be opened.
    for attempt in ["fchmod", "chmod_of_descriptor"] {
        assert_eq!(fixture.inside(attempt, &[text(&data)]), DENIED, "{attempt}");
    }
    assert_eq!(fixture.inside("chmod_beneath", &[text(&fixture.library), "data"]), DENIED);
    let link = fixture.work.join("link");
    symlink(&key, &link).unwrap();
    assert_eq!(fixture.inside("chmod", &[text(&link)]), DENIED);
    assert_eq!(fixture.inside("chmod_beneath", &[text(&fixture.work), "link"]), DENIED);
    for file in [&data, &key] {
        assert_ne!(mode(file), 0o777);
    }
    for attempt in ["fchmod", "chmod_of_descriptor"] {
        outside(attempt, &[text(&data)]).expect();
    }
    outside("chmod", &[text(&link)]).expect();
}

#[test]
fn modes_in_the_workspace_are_changed_by_every_way() {
    let fixture = Fixture::new();
    for attempt in ["chmod", "fchmod", "chmod_of_descriptor"] {
        let file = fixture.work.join(attempt);
        std::fs::write(&file, "").unwrap();
        fixture.inside(attempt, &[text(&file)]).expect();
        assert_eq!(mode(&file), 0o777, "{attempt}");
    }
    let file = fixture.work.join("beneath");
    std::fs::write(&file, "").unwrap();
    fixture.inside("chmod_beneath", &[text(&fixture.work), "beneath"]).expect();
    assert_eq!(mode(&file), 0o777);
    let missing = fixture.work.join("missing");
    assert_eq!(fixture.inside("chmod", &[text(&missing)]), Answer::Errno(libc::ENOENT));
}

#[test]
fn tools_that_change_modes_work() {
    let fixture = Fixture::new();
    let finished = fixture.shell(
        "set -e; echo 'echo ran' > run; chmod +x run; ./run; mkdir a; cd a; install -m 640 ../run b; cp -p b c; \
         ln -s c d; chmod -R u=rwX,go= .; cd ..; tar cf t a; mkdir x; tar xpf t -C x; \
         stat -c %a run a a/b x/a/c; for i in $(seq 300); do chmod 7$((i%10%8))0 run; done; stat -c %a run",
    );
    let expected = "ran\n755\n700\n600\n600\n700\n";
    assert_eq!(finished.end, End::Exited { code: 0 }, "{}", finished.stdout.to_text());
    assert_eq!(finished.stdout.to_text(), expected);
}

/// Where no filter stands in the way a child could do it: what it left is undone when the call ends.
#[test]
fn the_hosts_own_directory_is_as_before_after_every_call() {
    let fixture = Fixture::new();
    let before = mode(&fixture.state);
    assert_eq!(fixture.inside("chmod", &[text(&fixture.state)]), DENIED);
    assert!(fixture.shell("true").restored.is_empty());
    outside("chmod", &[text(&fixture.state)]).expect();
    assert_eq!(mode(&fixture.state), 0o777);
    assert_eq!(fixture.shell("true").restored, std::slice::from_ref(&fixture.state));
    assert_eq!(mode(&fixture.state), before);
    assert!(fixture.shell("true").restored.is_empty());
}

/// A program left behind that runs as its owner for whoever starts it.
#[test]
fn no_program_is_made_to_run_as_its_owner() {
    let fixture = Fixture::new();
    let file = fixture.work.join("copy");
    for bits in ["4755", "2755", "6755", "4000"] {
        for way in ["chmod", "fchmod", "fchmodat", "fchmodat2"] {
            std::fs::write(&file, "").unwrap();
            let attempt = || fixture.inside("special_mode", &[text(&file), way, bits]);
            assert_eq!(attempt(), Answer::Errno(libc::EPERM), "{way} {bits}");
            assert_eq!(mode(&file) & 0o6000, 0, "{way} {bits}");
            let outside = outside("special_mode", &[text(&file), way, bits]);
            // The newest of the calls is missing in kernels before 6.6.
            if outside != Answer::Errno(libc::ENOSYS) {
                outside.expect();
            }
            std::fs::remove_file(&file).unwrap();
        }
    }
    let finished = fixture.shell("cp /bin/true mine; chmod u+s mine; chmod 1777 .; stat -c %a mine .");
    assert_eq!(finished.stdout.to_text().lines().last(), Some("1777"));
    assert!(finished.stdout.to_text().contains("\n755\n"), "{}", finished.stdout.to_text());
}

/// A request is answered also while nobody reads the output, and by many at once.
#[test]
fn many_processes_change_modes_at_once() {
    let fixture = Fixture::new();
    let finished = fixture.shell(
        "for i in 1 2 3 4 5 6 7 8; do (for j in $(seq 50); do : > f$i; chmod 700 f$i; echo $i; done) & done; wait",
    );
    assert_eq!(finished.end, End::Exited { code: 0 });
    assert_eq!(finished.stdout.to_text().lines().count(), 400);
}

/// An access list is a mode by another name.
#[test]
fn extended_attributes_are_not_set() {
    let fixture = Fixture::new();
    let refused = Answer::Errno(libc::EOPNOTSUPP);
    assert_eq!(fixture.inside("setxattr", &[text(&fixture.work)]), refused);
    if outside("setxattr", &[text(&fixture.work)]) == refused {
        eprintln!("shows nothing: this file system has no extended attributes");
    }
}
