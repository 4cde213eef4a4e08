//! The same suite as an ordinary user, when it runs as root.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::fixture::is_root;

const NOBODY: u32 = 65534;

#[test]
fn everything_holds_for_an_ordinary_user() {
    if !is_root() {
        return;
    }
    // Where this binary lies may be closed to others.
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let binary = directory.path().join("suite");
    // Not by this process: what another test starts in that moment has the file open too, and then it cannot be run.
    let copy = Command::new("install")
        .args(["-m", "755"])
        .arg(std::env::current_exe().unwrap())
        .arg(&binary)
        .status();
    assert!(copy.unwrap().success());
    let output = Command::new("setpriv")
        .args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".into()])
        .arg(&binary)
        .args(["--skip", "everything_holds_for_an_ordinary_user", "--test-threads=2"])
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", "/nonexistent")
        .current_dir("/")
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            eprintln!("skipped: setpriv (util-linux) cannot be run: {error}");
            return;
        }
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}
