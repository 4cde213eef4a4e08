//! Exit codes, what goes to which stream, and what else scripts rely on.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::home::{Home, PATIENCE};

#[test]
fn a_wrong_command_line_is_2_and_says_so_on_standard_error() {
    let home = Home::new();
    for args in
        [&["fly"] as &[&str], &["run"], &["run", "x", "--workspace", "missing"], &["up", "--listen", "here"]]
    {
        let (code, out, err) = home.run(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(!err.is_empty());
    }
    let (_, _, err) = home.run(&["run", "x", "--workspace", "missing"]);
    assert!(err.contains("workspace missing does not exist: create it or pass --workspace DIR"), "{err}");
    let (code, _, err) = home.run(&["up", "--workspace", "missing"]);
    assert_eq!(code, 2, "{err}");
}

#[test]
fn without_a_host_the_code_is_5_and_the_way_out_is_named() {
    let home = Home::new();
    let commands: [&[&str]; 10] = [
        &["sessions"],
        &["sessions", "show", "s"],
        &["approvals"],
        &["approve", "a"],
        &["deny", "a"],
        &["rules"],
        &["cancel", "s"],
        &["diff", "s"],
        &["artifact", "a"],
        &["health"],
    ];
    for args in commands {
        let (code, out, err) = home.run(args);
        assert_eq!((code, out.as_str()), (5, ""), "{args:?}");
        assert!(err.contains("lanyard up"), "{args:?}: {err}");
    }
    assert_eq!(home.run(&["stop"]).0, 0, "nothing to stop is what was wanted");
    assert_eq!(home.run(&["doctor"]).0, 0);
    assert!(!home.state().exists(), "looking changes nothing");
}

#[test]
fn a_host_that_cannot_start_is_5_and_its_words_are_shown() {
    let home = Home::new();
    std::fs::create_dir(home.state()).unwrap();
    std::fs::write(home.state().join("config.toml"), "[polices]\n").unwrap();
    let (code, _, err) = home.run(&["run", "list the files here"]);
    assert_eq!(code, 5, "{err}");
    assert!(err.contains("polices") && err.contains("host.log"), "{err}");
    let (code, out, _) = home.run(&["doctor"]);
    assert_eq!(code, 1);
    assert!(out.contains("polices"), "{out}");
}

#[test]
fn completions_and_manual_pages() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, out, _) = home.run(&["completions", shell]);
        assert!(code == 0 && out.contains("approvals"), "{shell}");
    }
    let dir = home.work();
    assert_eq!(home.run(&["man", dir.to_str().unwrap()]).0, 0);
    assert!(dir.join("lanyard.1").exists() && dir.join("lanyard-run.1").exists());
    assert_eq!(home.run(&["man", "/nonexistent/dir"]).0, 2);
}

#[test]
fn a_task_and_its_exit_codes() {
    let home = Home::new();
    let (code, out, err) = home.run(&["run", "write hello to a.txt", "--approve", "always"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(std::fs::read_to_string(home.work().join("a.txt")).unwrap().starts_with("hello"));
    assert!(out.contains("no AI") && out.contains("+hello"), "the demo is named, the diff is seen: {out}");
    assert!(!out.contains('\u{1b}') && !err.contains('\u{1b}'), "no colours into a pipe");

    let (code, out, _) = home.run(&["run", "write hello to b.txt", "--approve", "never"]);
    assert_eq!(code, 3, "{out}");
    assert!(!home.work().join("b.txt").exists());

    let session = session_of(&home);
    let (code, out, _) = home.run(&["diff", &session]);
    assert!(code == 0 && out.contains("no file"), "{out}");
    let (code, out, _) = home.run(&["sessions", "show", &session[..session.len() - 1], "--events"]);
    assert!(code == 0 && out.contains("denied by owner"), "{out}");
    assert_eq!(home.run(&["sessions", "show", "no-such-session"]).0, 1);
    assert_eq!(home.run(&["sessions", "delete", &session]).0, 0);
    assert_eq!(home.run(&["cancel", &session]).0, 1, "it is gone");
    assert_eq!(home.run(&["stop"]).0, 0);
    assert_eq!(home.run(&["health"]).0, 5);
}

/// The session changed last.
fn session_of(home: &Home) -> String {
    let (_, out, _) = home.run(&["sessions", "--json", "--limit", "1"]);
    let page: serde_json::Value = serde_json::from_str(&out).unwrap();
    page["sessions"][0]["sessionId"].as_str().unwrap().to_owned()
}

#[test]
fn json_is_one_event_a_line_to_the_last() {
    let home = Home::new();
    let (code, out, _) = home.run(&["run", "list the files here", "--json"]);
    assert_eq!(code, 0);
    let events: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<u64> = events.iter().filter_map(|event| event["seq"].as_u64()).collect();
    assert!(!numbers.is_empty() && numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    assert_eq!(events.last().unwrap()["eventType"], "task_completed");
}

#[test]
fn rpc_starts_a_host_answers_and_ends_with_its_input() {
    let home = Home::new();
    let mut rpc = home
        .lanyard(&["rpc"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let calls = "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"Health\"}\nnonsense\n";
    rpc.stdin.take().unwrap().write_all(calls.as_bytes()).unwrap();
    let output = rpc.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
    let mut ids: Vec<serde_json::Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].take())
        .collect();
    ids.sort_by_key(ToString::to_string);
    assert_eq!(ids, [serde_json::json!("a"), serde_json::Value::Null]);
    assert_eq!(home.run(&["health"]).0, 0, "the host outlives the command");
}

#[test]
fn rpc_answers_while_its_input_stays_open() {
    let home = Home::new();
    let mut rpc = home.lanyard(&["rpc"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = rpc.stdin.take().unwrap();
    let output = BufReader::new(rpc.stdout.take().unwrap());
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || output.lines().try_for_each(|line| sender.send(line.unwrap())));
    let answer = || lines.recv_timeout(PATIENCE).expect("an answer while the input is open");
    for id in 0..3 {
        writeln!(input, "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"ListRules\"}}").unwrap();
        let answer: serde_json::Value = serde_json::from_str(&answer()).unwrap();
        assert_eq!(answer["id"], id, "each call is answered before the next is made");
    }
    writeln!(input, "{{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"Shutdown\"}}").unwrap();
    assert!(answer().contains("\"id\":3"));
    // The input is still open: it is the host that has gone.
    assert_eq!(rpc.wait().unwrap().code(), Some(5));
}

#[test]
fn two_commands_that_start_a_host_at_once_share_one() {
    let home = Home::new();
    let start = || home.lanyard(&["run", "list the files here"]).stdout(Stdio::null()).spawn().unwrap();
    let mut both = [start(), start()];
    for run in &mut both {
        assert_eq!(run.wait().unwrap().code(), Some(0));
    }
    let (_, out, _) = home.run(&["sessions", "--json"]);
    let page: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(page["sessions"].as_array().unwrap().len(), 2);
}
