//! Enrolment from the command line: where the token comes from, and where it does not go.

use std::io::Write;
use std::process::Stdio;

use crate::home::Home;

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:9";

const TOKEN: &str = "tok-5ec-never-shown-of-the-test";

#[test]
fn a_host_of_its_own_says_so_and_how_to_change_it() {
    let home = Home::new();
    assert_eq!(home.run(&["sync"]).0, 5, "looking starts nothing");
    assert_eq!(home.run(&["run", "list the files here"]).0, 0);
    let (code, out, err) = home.run(&["sync"]);
    assert!(code == 0 && out.contains("works by itself") && out.contains("enroll URL"), "{out}{err}");
    let (code, out, _) = home.run(&["sync", "status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(code == 0 && status["enrolment"].is_null() && status["acceptJobs"] == false, "{out}");
    assert_eq!(status["waiting"]["auditRecords"], 0);
}

#[test]
fn without_a_token_nothing_is_started() {
    let home = Home::new();
    for (args, says) in [
        (&["enroll", NOWHERE] as &[&str], "there is no token"),
        (&["enroll", NOWHERE, "--token-file", "missing"], "missing"),
        (&["enroll", NOWHERE, "--token-file", "-"], "there is no token"),
        (&["enroll", "central.example"], "not a URL"),
        (&["enroll", "https://me:5ec-never-shown@central.example"], "must not hold a user name"),
    ] {
        let (code, out, err) = home.run(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(err.contains(says) && !err.contains("5ec-never-shown"), "{args:?}: {err}");
    }
    assert!(!home.state().exists(), "a host was started for nothing");
    let (code, _, err) = home.run(&["--host", "nas", "enroll", NOWHERE]);
    assert!(code == 2 && err.contains("at the machine itself"), "{err}");
}

#[test]
fn a_token_that_leads_nowhere_is_told_and_not_repeated() {
    let home = Home::new();
    let file = home.work().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let by_file =
        home.lanyard(&["enroll", NOWHERE, "--token-file", file.to_str().unwrap()]).output().unwrap();
    let by_variable = home.lanyard(&["enrol", NOWHERE]).env("LANYARD_ENROLL_TOKEN", TOKEN).output().unwrap();
    let mut piped = home.lanyard(&["enroll", NOWHERE, "--accept-jobs"]);
    let mut piped =
        piped.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    writeln!(piped.stdin.take().unwrap(), "{TOKEN}").unwrap();
    let by_pipe = piped.wait_with_output().unwrap();
    for output in [&by_file, &by_variable, &by_pipe] {
        let said = [output.stdout.clone(), output.stderr.clone()].concat();
        let said = String::from_utf8(said).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(!said.contains(TOKEN), "{said}");
    }
    let allowed = String::from_utf8(by_pipe.stderr).unwrap();
    assert!(allowed.contains("the centre may have this machine do work"), "said, if not asked: {allowed}");
    assert!(!String::from_utf8(by_file.stderr).unwrap().contains("may have this machine do work"));
    let (_, out, _) = home.run(&["sync", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(status["enrolment"].is_null(), "{out}");
    // Nor is it in anything the host keeps.
    for entry in std::fs::read_dir(home.state()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
}
