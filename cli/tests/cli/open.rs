//! The owner's page, and links whose question is answered.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::home::{Home, PATIENCE};
use crate::pairing::{Host, next_line, pair_by_code, start, text};

/// A program that takes the browser's place: keeps what it was called with and what was in the file, and goes on to
/// live for a while.
fn browser(home: &Home) -> (String, PathBuf) {
    let seen = home.work().join("seen");
    let program = home.work().join("browser");
    let script = format!(
        "#!/bin/sh\necho \"$@\" > {0}.args\ncat \"$1\" > {0}.part\nmv {0}.part {0}\n",
        seen.display()
    );
    executable(&program, &script);
    (program.display().to_string(), seen)
}

/// Writes a program, by another process: what another test starts in that moment has open, until it has begun, what this
/// process has, and a file that is open for writing cannot be run.
fn executable(at: &Path, text: &str) {
    let script = r#"printf %s "$2" > "$1" && chmod 700 "$1""#;
    let wrote = Command::new("sh").args(["-c", script, "sh"]).arg(at).arg(text).status();
    assert!(wrote.unwrap().success());
}

fn until_there(path: &PathBuf) -> String {
    let give_up = Instant::now() + PATIENCE;
    while !path.exists() {
        assert!(Instant::now() < give_up, "{} did not come", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_link_is_in_a_file_of_the_owner_and_never_an_argument() {
    let host = Host::start();
    let (program, seen) = browser(&host.home);
    let mut open = host.home.lanyard(&["open"]).env("BROWSER", program).spawn().unwrap();
    let page = until_there(&seen);
    let port = host.address.rsplit_once(':').unwrap().1;
    assert!(page.contains(&format!("0;url=http://127.0.0.1:{port}/#P")), "{page}");
    let args = std::fs::read_to_string(seen.with_extension("args")).unwrap();
    let file = PathBuf::from(args.trim());
    assert!(!args.contains("#P") && !args.contains("http"), "{args}");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    // Nobody has come yet, so it waits; an interrupt takes the file away.
    let pid = rustix::process::Pid::from_child(&open);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(open.wait().unwrap().code(), Some(4));
    assert!(!file.exists());
}

#[test]
fn without_a_screen_it_is_said_what_to_do() {
    let host = Host::start();
    let (code, out, err) = host.home.run(&["open"]);
    assert!(code == 1 && out.is_empty(), "{out}");
    for way_out in ["open --print", "ssh -L", "lanyard --state-dir"] {
        assert!(err.contains(way_out), "{err}");
    }
    let failing = host.home.work().join("failing");
    executable(&failing, "#!/bin/sh\nexit 3\n");
    let output = host.home.lanyard(&["open"]).env("BROWSER", &failing).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && err.contains("open --print"), "{err}");
}

#[test]
fn a_link_is_printed_to_a_terminal_only_unless_it_is_meant() {
    let (host, device) = (Host::start(), Home::new());
    let (code, out, err) = host.home.run(&["open", "--print"]);
    assert!(code == 2 && out.is_empty() && err.contains("--force"), "{err}");
    let (code, out, err) = host.home.run(&["open", "--print", "--force", "--json"]);
    assert_eq!(code, 0, "{err}");
    let made: Value = serde_json::from_str(&out).unwrap();
    let link = text(&made, "link").to_owned();
    assert!(link.starts_with("http://127.0.0.1:"), "{link}");

    // It is for a browser on that machine: no other program takes it, and the host lets none in.
    let (code, _, err) = device.run(&["join", &link]);
    assert!(code == 2 && err.contains("owner's page"), "{err}");
    let disguised = link.replacen("http://", "https://", 1);
    let join = ["join", "--json", &disguised, "--address", &host.address];
    let (code, out, err) = device.run(&join);
    let failed: Value = serde_json::from_str(out.lines().last().unwrap_or_default()).unwrap();
    assert!(code != 0 && text(&failed, "reason") == "elsewhere", "{out}{err}");
    let (code, out, _) = device.run(&join);
    assert!(code != 0 && out.contains("not_open"), "it was withdrawn: {out}");
    assert_eq!(host.home.run(&["devices", "--json"]).1.trim(), "{\"devices\":[]}");
}

#[test]
fn a_host_without_a_network_side_says_how_to_get_one() {
    let home = Home::new();
    let (code, _, err) = home.run(&["open", "--print", "--force"]);
    assert!(code == 1 && err.contains("--listen"), "{err}");
}

/// What a paired page does when its user goes to another address of the host; here by QUIC on both sides.
#[test]
fn a_device_brings_its_next_one_in_with_its_own_rights_and_answers_for_it() {
    let (host, device, next) = (Host::start(), Home::new(), Home::new());
    pair_by_code(&host, &device);
    let origin = format!("https://{}", host.address);
    let call = |method: &str, params: Value| {
        let mut rpc = device.lanyard(&["rpc"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        rpc.stdin.take().unwrap().write_all(format!("{call}\n").as_bytes()).unwrap();
        let output = rpc.wait_with_output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let ask = |params: Value| call("CreateLink", params);
    let refused = ask(json!({ "origin": "https://evil.example" }));
    assert!(text(&refused["error"], "message").contains(&origin), "{refused}");
    assert_eq!(text(&ask(json!({}))["error"]["data"], "code"), "UNAUTHORIZED");

    let made = ask(json!({ "origin": origin }));
    let link = text(&made["result"], "link").to_owned();
    let (mut join, answers) = start(next.lanyard(&["join", "--json", &link]));
    assert_eq!(text(&next_line(&answers), "event"), "digits");
    let waiting = call("ListPairings", json!({}));
    let id = text(&waiting["result"]["pending"][0], "pairingId").to_owned();
    let decided = call("DecidePairing", json!({ "pairingId": id, "decision": "approved" }));
    assert_eq!(text(&decided["result"], "end"), "approved");
    let paired = next_line(&answers);
    assert_eq!(text(&paired, "event"), "paired");
    assert_eq!(paired["scopes"], json!(["observe", "operate", "approve"]));
    assert_eq!(join.wait().unwrap().code(), Some(0));
    assert_eq!(next.run(&["sessions"]).0, 0);
    let (_, out, _) = host.home.run(&["devices"]);
    assert!(out.contains("laptop (2)"), "{out}");

    let third = Home::new();
    let (code, out, _) = third.run(&["join", "--json", &link]);
    assert!(code != 0 && out.contains("\"failed\""), "a second use: {out}");
    let link = text(&ask(json!({ "origin": origin }))["result"], "link").to_owned();
    assert_eq!(host.home.run(&["devices", "revoke", "laptop"]).0, 0);
    let (code, out, _) = third.run(&["join", "--json", &link]);
    assert!(code != 0 && out.contains("\"failed\""), "its maker was revoked: {out}");
    assert_eq!(third.run(&["sessions"]).0, 5);
    assert_ne!(next.run(&["sessions"]).0, 0, "what it let in went with it");
}
