//! The environment and the search path of children.

use lanyard_tools::process::{End, Invocation, RunError, run};
use lanyard_tools::sandbox::{EnvironmentError, PrepareError, ResolveError};
use tokio_util::sync::CancellationToken;

use crate::fixture::{Fixture, os, run_in, seconds, shell};

#[test]
fn only_what_is_meant_is_passed() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec();
    spec.env.push((os("CI"), os("1")));
    let confinement = fixture.sandbox.prepare(&spec).unwrap();
    let output = run_in(&confinement, Invocation::new("env", [""; 0], seconds(60))).stdout.to_text();
    let names: Vec<_> =
        output.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    // Cargo sets this for test binaries, so the host here has it.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_none() || !names.contains(&"CARGO_MANIFEST_DIR"));
    for name in ["PATH", "HOME", "TMPDIR", "LANG", "TERM", "CI"] {
        assert!(names.contains(&name), "{name} is missing: {output}");
    }
    let known = ["_HOME", "_ROOT", "_DIR", "SANDBOX_PROBE", "TMP", "TEMP", "SHELL"];
    for name in names {
        let expected = ["PATH", "HOME", "TMPDIR", "LANG", "TERM", "CI"].contains(&name)
            || known.iter().any(|end| name.ends_with(end));
        assert!(expected, "{name} was passed on");
    }
}

#[test]
fn home_is_private_and_writable() {
    let fixture = Fixture::new();
    let finished =
        fixture.shell("set -e; echo x > ~/.cache; cat ~/.cache; case $HOME in /root*|/home/*) exit 3;; esac");
    assert_eq!((finished.end, finished.stdout.to_text().as_str()), (End::Exited { code: 0 }, "x\n"));
}

#[test]
fn variables_that_run_code_are_refused_by_name() {
    let fixture = Fixture::new();
    for name in ["LD_PRELOAD", "NODE_OPTIONS", "GIT_SSH_COMMAND", "PATH", "BASH_ENV"] {
        let mut spec = fixture.spec();
        spec.env.push((os(name), os("x")));
        let refused = fixture.sandbox.prepare(&spec).unwrap_err();
        let expected = EnvironmentError::Refused { name: name.into() };
        assert!(matches!(refused, PrepareError::Environment(error) if error == expected), "{name}");
    }
}

/// 6-security.md, rows 18 and 19: neither `PATH=.` of the host nor a program of the same name in the working directory.
#[test]
fn a_program_of_the_working_directory_is_not_taken_for_the_systems() {
    let fixture = Fixture::new();
    let planted = fixture.work.join("ls");
    // Not by this process: what another test starts in that moment has the file open too, and then it cannot be run.
    let script = "printf '#!/bin/sh\\necho planted\\n' > \"$1\" && chmod 755 \"$1\"";
    let wrote = std::process::Command::new("sh").args(["-c", script, "sh"]).arg(&planted).status();
    assert!(wrote.unwrap().success());
    let confinement = fixture.confinement();
    assert_ne!(
        run_in(&confinement, Invocation::new("ls", [""; 0], seconds(60))).stdout.to_text(),
        "planted\n"
    );
    assert_ne!(shell(&confinement, "ls").stdout.to_text(), "planted\n");
    // Named by its path it is meant.
    assert_eq!(
        run_in(&confinement, Invocation::new("./ls", [""; 0], seconds(60))).stdout.to_text(),
        "planted\n"
    );
}

#[test]
fn a_search_path_never_leads_where_children_write() {
    let fixture = Fixture::new();
    let mut setup = crate::fixture::setup(&fixture.state);
    let mut path = fixture.library.clone().into_os_string();
    path.push(":.:");
    path.push(&fixture.work);
    path.push(":/usr/bin");
    setup.search_path = Some(path);
    let sandbox = lanyard_tools::sandbox::Sandbox::start(&setup).unwrap();
    let mut spec = fixture.spec();
    // A toolchain in the home becomes writable by a careless configuration.
    spec.write.push("/usr/local".into());
    let Ok(confinement) = sandbox.prepare(&spec) else { panic!("refused") };
    let path = shell(&confinement, "printf %s \"$PATH\"").stdout.to_text();
    assert!(path.starts_with("/usr/bin"), "{path}");
    assert!(!path.contains("/usr/local") && !path.contains("work") && !path.contains(":.:"), "{path}");
}

#[test]
fn a_missing_program_is_named() {
    let fixture = Fixture::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let try_to_run = |program: &str| {
        let invocation = Invocation::new(program, [""; 0], seconds(1));
        runtime
            .block_on(run(&fixture.confinement(), invocation, None, &CancellationToken::new()))
            .unwrap_err()
    };
    let error = try_to_run("no-such-program");
    assert!(matches!(error, RunError::Resolve(ResolveError::NotFound { .. })), "{error}");
    let error = try_to_run("./no-such-program");
    assert!(matches!(error, RunError::Resolve(ResolveError::NotExecutable { .. })), "{error}");
    let error = try_to_run("/etc/passwd");
    assert!(matches!(error, RunError::Resolve(ResolveError::NotExecutable { .. })), "{error}");
}
