//! Files: what is outside the allowed paths cannot be read, written, listed, truncated, renamed or linked.

use std::os::unix::fs::symlink;
use std::path::Path;

use lanyard_tools::process::End;
use lanyard_tools::sandbox::{PrepareError, Sandbox, SandboxSetup};

use crate::fixture::{Fixture, is_root, outside, setup};
use crate::probe::Answer;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

const DENIED: Answer = Answer::Errno(libc::EACCES);

#[test]
fn allowed_paths_work() {
    let fixture = Fixture::new();
    let finished = fixture.shell(
        "set -e; cat ../library/data; echo new > file; mkdir -p a/b; mv file a/b/; ln a/b/file a/hard; \
         ln -s b/file a/soft; cat a/soft; rm -r a; mkfifo pipe; echo x > /dev/null; head -c1 /dev/urandom > r; \
         cat /proc/self/comm; cp /bin/true mine; ./mine; echo $((1+1)) > \"$TMPDIR/t\"; cat \"$TMPDIR/t\"; pwd",
    );
    let expected = format!("datanew\ncat\n2\n{}\n", fixture.work.display());
    assert_eq!((finished.end, finished.stdout.to_text()), (End::Exited { code: 0 }, expected));
}

#[test]
fn the_state_directory_and_other_files_are_closed() {
    let fixture = Fixture::new();
    for file in [fixture.state.join("store"), fixture.secret.join("key")] {
        for attempt in ["read", "write"] {
            outside(attempt, &[text(&file)]).expect();
            assert_eq!(fixture.inside(attempt, &[text(&file)]), DENIED, "{attempt} {}", file.display());
        }
        for attempt in ["truncate", "remove"] {
            assert_eq!(fixture.inside(attempt, &[text(&file)]), DENIED, "{attempt} {}", file.display());
            outside(attempt, &[text(&file)]).expect();
        }
    }
}

#[test]
fn other_directories_cannot_be_listed_or_changed() {
    let fixture = Fixture::new();
    for directory in [&fixture.state, &fixture.secret] {
        outside("list", &[text(directory)]).expect();
        assert_eq!(fixture.inside("list", &[text(directory)]), DENIED);
        for attempt in ["create", "mkdir"] {
            let new = directory.join(attempt);
            assert_eq!(fixture.inside(attempt, &[text(&new)]), DENIED, "{attempt}");
            outside(attempt, &[text(&new)]).expect();
        }
    }
}

#[test]
fn readable_is_not_writable() {
    let fixture = Fixture::new();
    let data = fixture.library.join("data");
    assert_eq!(fixture.inside("read", &[text(&data)]), Answer::Ok("data".into()));
    for attempt in ["write", "truncate", "remove"] {
        assert_eq!(fixture.inside(attempt, &[text(&data)]), DENIED, "{attempt}");
    }
}

#[test]
fn links_lead_nowhere() {
    let fixture = Fixture::new();
    let key = fixture.secret.join("key");
    let (soft, hard, moved) =
        (fixture.work.join("soft"), fixture.work.join("hard"), fixture.work.join("moved"));
    assert_eq!(fixture.inside("symlink_and_read", &[text(&key), text(&soft)]), DENIED);
    outside("read", &[text(&soft)]).expect();
    // A hard link or a move into the workspace would give the file the workspace's rights.
    for (attempt, target) in [("link", &hard), ("rename", &moved)] {
        let answer = fixture.inside(attempt, &[text(&key), text(target)]);
        assert!(matches!(answer, Answer::Errno(libc::EXDEV | libc::EACCES)), "{attempt}: {answer:?}");
        outside(attempt, &[text(&key), text(target)]).expect();
    }
}

#[test]
fn a_readable_file_gets_no_more_rights_by_a_link() {
    let fixture = Fixture::new();
    let (data, link) = (fixture.library.join("data"), fixture.work.join("link"));
    let answer = fixture.inside("link", &[text(&data), text(&link)]);
    assert!(matches!(answer, Answer::Errno(libc::EXDEV | libc::EACCES)), "{answer:?}");
}

#[test]
fn secrets_of_the_system_and_the_owner_are_closed() {
    let fixture = Fixture::new();
    for secret in ["/etc/shadow", "/etc/gshadow"] {
        if is_root() {
            outside("read", &[secret]).expect();
        }
        assert_eq!(fixture.inside("read", &[secret]), DENIED, "{secret}");
    }
    let home = std::env::home_dir().unwrap();
    for directory in [home.clone(), home.join(".ssh"), "/run".into(), "/var".into(), "/tmp".into()] {
        if std::fs::read_dir(&directory).is_ok() {
            assert_eq!(fixture.inside("list", &[text(&directory)]), DENIED, "{}", directory.display());
        }
    }
    // While what everybody needs is there.
    fixture.inside("read", &["/etc/passwd"]).expect();
    fixture.inside("read", &["/proc/meminfo"]).expect();
}

#[test]
fn a_spec_that_exposes_a_protected_directory_is_refused() {
    let fixture = Fixture::new();
    let base = fixture.state.parent().unwrap().to_owned();
    let inside = fixture.state.join("workspace");
    std::fs::create_dir(&inside).unwrap();
    let link = base.join("link");
    symlink(&fixture.state, &link).unwrap();
    for exposed in [base, fixture.state.clone(), inside, link, "/".into()] {
        for writing in [false, true] {
            let mut spec = fixture.spec();
            if writing { &mut spec.write } else { &mut spec.read }.push(exposed.clone());
            let refused = fixture.sandbox.prepare(&spec).unwrap_err();
            assert!(matches!(refused, PrepareError::Protected { .. }), "{}: {refused}", exposed.display());
        }
    }
    // The sibling with the same beginning is another directory.
    let sibling = fixture.state.with_file_name("state-of-the-art");
    std::fs::create_dir(&sibling).unwrap();
    let mut spec = fixture.spec();
    spec.write.push(sibling);
    fixture.sandbox.prepare(&spec).unwrap();
}

#[test]
fn directories_named_at_the_start_are_protected_too() {
    let fixture = Fixture::new();
    let setup = SandboxSetup { protected: vec![fixture.secret.clone()], ..setup(&fixture.state) };
    let sandbox = Sandbox::start(&setup).unwrap();
    let mut spec = fixture.spec();
    sandbox.prepare(&spec).unwrap();
    spec.read.push(fixture.secret.clone());
    assert!(matches!(sandbox.prepare(&spec), Err(PrepareError::Protected { .. })));
}

#[test]
fn missing_paths_are_named_never_passed_over() {
    let fixture = Fixture::new();
    let missing = fixture.work.join("missing");
    let mut spec = fixture.spec();
    spec.read.push(missing.clone());
    let confinement = fixture.sandbox.prepare(&spec).unwrap();
    assert!(confinement.is_current());
    std::fs::create_dir(&missing).unwrap();
    assert!(!confinement.is_current(), "what appears later is noticed");
    std::fs::remove_dir(&missing).unwrap();
    spec.write.push(missing.clone());
    assert!(
        matches!(fixture.sandbox.prepare(&spec), Err(PrepareError::Path { path, .. }) if path == missing)
    );

    let mut spec = fixture.spec();
    spec.cwd = missing.clone();
    assert!(
        matches!(fixture.sandbox.prepare(&spec), Err(PrepareError::Path { path, .. }) if path == missing)
    );
    spec.cwd = fixture.secret.clone();
    assert!(matches!(fixture.sandbox.prepare(&spec), Err(PrepareError::WorkingDirectory { .. })));
    spec.cwd = "work".into();
    assert!(matches!(fixture.sandbox.prepare(&spec), Err(PrepareError::Relative { .. })));
}

/// The directory that was checked is entered, whatever its name leads to by then.
#[test]
fn a_working_directory_swapped_after_the_check_is_not_entered() {
    let fixture = Fixture::new();
    let (cwd, aside) = (fixture.work.join("cwd"), fixture.work.join("aside"));
    std::fs::create_dir(&cwd).unwrap();
    let mut spec = fixture.spec();
    spec.cwd = cwd.clone();
    let confinement = fixture.sandbox.prepare(&spec).unwrap();
    std::fs::rename(&cwd, &aside).unwrap();
    symlink(&fixture.secret, &cwd).unwrap();
    let finished = crate::fixture::shell(&confinement, "pwd -P");
    assert_eq!(finished.stdout.to_text().trim_end(), text(&aside));
}
