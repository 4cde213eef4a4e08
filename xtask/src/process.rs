//! Starting other programs: where the workspace is, which cargo to use, how a failure is worded.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often a child under a time limit is looked at; far below any limit in use.
const POLL: Duration = Duration::from_millis(50);

/// The workspace's root directory.
pub(crate) fn root() -> PathBuf {
    // At run time cargo tells where the clone is now; the path compiled in is stale once it was moved.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// The cargo that runs this xtask, started in the workspace's root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// The command as a person would type it, without the directory of the program.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args()).map(OsStr::to_string_lossy);
    words.collect::<Vec<_>>().join(" ")
}

/// Starts a command, with an error that names the program.
pub(crate) fn start(command: &mut Command) -> Result<Child> {
    command.spawn().with_context(|| format!("`{}` could not be started", shown(command)))
}

/// Turns an exit status into an error that names the command.
pub(crate) fn check(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("`{}` ended with {status}", shown(command));
    }
    Ok(())
}

/// Prints and runs a command whose output goes straight to the terminal.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", shown(command));
    let status = start(command)?.wait()?;
    check(command, status)
}

/// Runs a command and returns what it printed; its error output goes to the terminal.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let child = start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let output = child.wait_with_output()?;
    check(command, output.status)?;
    Ok(output.stdout)
}

/// Whether a command runs and succeeds; nothing of it is shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether a command succeeds within `limit`; one that takes longer is killed with its children.
pub(crate) fn succeeds_within(command: &mut Command, limit: Duration) -> Result<bool> {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = start(command)?;
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if Instant::now() >= deadline {
            // The group, so that a helper the child started does not stay behind.
            #[cfg(unix)]
            succeeds(Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]));
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        std::thread::sleep(POLL);
    }
}

/// Where `program` is, looked up on PATH as a shell does.
pub(crate) fn find_on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let name = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(&path).map(|dir| dir.join(&name)).find(|candidate| candidate.is_file())
}

/// Seconds in words short enough for a table.
pub(crate) fn seconds(elapsed: Duration) -> String {
    format!("{:.1} s", elapsed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_without_the_directory_of_its_program() {
        let mut command = Command::new("/opt/tools/bin/cargo");
        command.args(["fmt", "--all"]);
        assert_eq!(shown(&command), "cargo fmt --all");
    }

    #[test]
    fn a_failing_command_is_named_in_the_error() {
        let mut command = Command::new("false");
        let status = command.status().unwrap();
        let error = check(&command, status).unwrap_err();
        assert!(error.to_string().contains("`false`"), "{error}");
    }

    #[test]
    fn a_missing_program_is_named_in_the_error() {
        let error = start(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(error.to_string().contains("no-such-program-here"), "{error}");
    }

    #[test]
    fn a_command_over_its_limit_is_ended() {
        let endless = &mut Command::new("sleep");
        assert!(!succeeds_within(endless.arg("600"), Duration::from_millis(20)).unwrap());
        assert!(succeeds_within(&mut Command::new("true"), Duration::from_secs(60)).unwrap());
    }

    #[test]
    fn the_root_holds_the_workspace() {
        assert!(root().join("xtask/src/main.rs").is_file());
    }
}
