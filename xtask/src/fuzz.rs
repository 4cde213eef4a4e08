//! Runs the fuzz targets of `tests/fuzz` on stable Rust: libFuzzer, with LLVM's coverage pass switched on by hand.
//!
//! How to add a target stands in `tests/fuzz/Cargo.toml`.

use crate::metadata::Metadata;
use crate::process;
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The fuzz targets' own workspace, so that the usual build neither compiles nor resolves libFuzzer.
pub(crate) const MANIFEST: &str = "tests/fuzz/Cargo.toml";
/// Inputs kept in the tree: one folder a target.
const SEEDS: &str = "tests/fuzz/seeds";

/// Words of a target's input language, `NAME.dict` in libFuzzer's format. Where they are compared as whole strings,
/// coverage cannot lead the fuzzer to them letter by letter.
const DICTIONARIES: &str = "tests/fuzz/dictionaries";

/// What `cargo fuzz` passes on nightly, without its sanitizers: edge counters to steer by, the table that names
/// edges, and compares, so that libFuzzer learns constants. Checks for undefined behaviour are not among them.
const RUSTFLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

const DEFAULT_SECONDS: u64 = 60;
/// One input that takes longer is a finding. Decoders take microseconds; the machine may be busy.
const INPUT_SECONDS: u64 = 10;
/// A target that grows beyond this is a finding: the host has to fit small machines.
const MEMORY_MIB: u64 = 1024;

/// Builds every target and runs each for FUZZ_SECONDS.
///
/// # Errors
/// At the first finding, with the file that holds the input.
pub(crate) fn run() -> Result<()> {
    let seconds = seconds()?;
    let dir = Metadata::workspace()?.target_directory.join("fuzz");
    let targets = targets()?;
    let bin_dir = build(&dir)?;
    for (number, target) in (1..).zip(&targets) {
        println!("--> fuzz {number}/{}: {target} for {seconds} s", targets.len());
        fuzz(target, &bin_dir.join(target), &dir, seconds)?;
    }
    Ok(())
}

fn seconds() -> Result<u64> {
    match std::env::var("FUZZ_SECONDS") {
        Ok(text) => {
            text.parse().with_context(|| format!("FUZZ_SECONDS is `{text}`, not a number of seconds"))
        }
        Err(_) => Ok(DEFAULT_SECONDS),
    }
}

/// The binaries of the fuzz workspace, or the one FUZZ_TARGET names.
fn targets() -> Result<Vec<String>> {
    let metadata = Metadata::of(&process::root().join(MANIFEST))?;
    let targets = metadata.packages.iter().flat_map(|package| &package.targets);
    let names: Vec<_> =
        targets.filter(|target| target.kind == ["bin"]).map(|target| target.name.clone()).collect();
    pick(names, std::env::var("FUZZ_TARGET").ok().as_deref())
}

fn pick(names: Vec<String>, wanted: Option<&str>) -> Result<Vec<String>> {
    let all = names.join(", ");
    let picked: Vec<_> =
        names.into_iter().filter(|name| wanted.is_none_or(|wanted| wanted == name)).collect();
    match (picked.is_empty(), wanted) {
        (false, _) => Ok(picked),
        (true, Some(wanted)) => bail!("FUZZ_TARGET is `{wanted}`; there are: {all}"),
        (true, None) => bail!("{MANIFEST} has no targets"),
    }
}

/// Builds all targets; returns the directory of their binaries.
fn build(dir: &Path) -> Result<PathBuf> {
    let host = process::output(Command::new("rustc").args(["--print", "host-tuple"]))?;
    let host = String::from_utf8(host).context("rustc printed a host that is not text")?;
    let build_dir = dir.join("build");
    let mut cargo = process::cargo();
    cargo
        .args(["build", "--release", "--locked", "--manifest-path", MANIFEST, "--target-dir"])
        .arg(&build_dir);
    // With a target named, the flags reach the code under test but neither build scripts nor macros.
    cargo.args(["--target", host.trim()]).env("RUSTFLAGS", RUSTFLAGS).env_remove("CARGO_ENCODED_RUSTFLAGS");
    process::run(&mut cargo)?;
    Ok(build_dir.join(host.trim()).join("release"))
}

/// Runs one target; its whole output goes to a log, without the noise also to the terminal.
fn fuzz(target: &str, program: &Path, dir: &Path, seconds: u64) -> Result<()> {
    let corpus = dir.join("corpus").join(target);
    let findings = dir.join("findings").join(target);
    for folder in [&corpus, &findings] {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{} could not be created", folder.display()))?;
    }
    let mut command = Command::new(program);
    command.current_dir(process::root()).arg(&corpus);
    if process::root().join(SEEDS).join(target).is_dir() {
        command.arg(Path::new(SEEDS).join(target));
    }
    let dictionary = Path::new(DICTIONARIES).join(format!("{target}.dict"));
    if process::root().join(&dictionary).is_file() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-timeout={INPUT_SECONDS}"));
    command.arg(format!("-rss_limit_mb={MEMORY_MIB}")).arg("-print_final_stats=1");
    command.arg(format!("-artifact_prefix={}/", findings.display()));
    let log = dir.join(format!("{target}.log"));
    let mut log_file =
        std::fs::File::create(&log).with_context(|| format!("{} could not be written", log.display()))?;
    let mut child =
        process::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()))?;
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            writeln!(log_file, "{line}")?;
            if !noise(&line) {
                println!("{line}");
            }
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!(
            "{target} found something ({status}). The input is in {}, the log is {}. Repeat it with `{} FILE`; \
             once mended, keep the input in {SEEDS}/{target}/",
            findings.display(),
            log.display(),
            program.display(),
        );
    }
    Ok(())
}

/// The lines libFuzzer prints for every new input, and the constants it learnt.
fn noise(line: &str) -> bool {
    let event = line.split_whitespace().nth(1).unwrap_or_default();
    line.starts_with('#') && matches!(event, "NEW" | "REDUCE" | "RELOAD")
        || line.trim_start().starts_with("NEW_FUNC")
        || line.contains(" # Uses: ")
        || line.contains("ecommended dictionary.")
        // Sanitizers exist on nightly only.
        || line.starts_with("WARNING: Failed to find function \"__sanitizer_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_every_new_input_is_noise_and_a_verdict_is_not() {
        assert!(noise(
            "#1024\tNEW    cov: 12 ft: 13 corp: 2/2b lim: 4 exec/s: 0 rss: 31Mb L: 1/1 MS: 1 ShuffleBytes-"
        ));
        assert!(noise("\tNEW_FUNC[1/2]: 0x55d0"));
        assert!(noise("\"sessionId\" # Uses: 438"));
        for line in [
            "#2097152\tpulse  cov: 12",
            "#9\tDONE   cov: 12",
            "thread panicked at src/lib.rs",
            "==12== ERROR",
        ] {
            assert!(!noise(line), "{line}");
        }
    }

    #[test]
    fn a_target_is_picked_by_name() {
        let names = || vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(pick(names(), None).unwrap(), names());
        assert_eq!(pick(names(), Some("b")).unwrap(), ["b"]);
        assert!(pick(names(), Some("c")).unwrap_err().to_string().contains("a, b"));
        assert!(pick(Vec::new(), None).is_err());
    }
}
