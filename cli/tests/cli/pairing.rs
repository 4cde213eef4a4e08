//! Two machines in one: a host, and a device with a state directory of its own, over loopback.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use serde_json::Value;

use crate::home::{Home, PATIENCE};

/// A host that listens on loopback, and its address.
pub(crate) struct Host {
    pub(crate) home: Home,
    up: Child,
    pub(crate) address: String,
}

impl Host {
    pub(crate) fn start() -> Self {
        let home = Home::new();
        let mut up = home
            .lanyard(&["up", "--json"])
            .arg("--workspace")
            .arg(home.work())
            .env("LANYARD_LISTEN", "127.0.0.1:0")
            .env("LANYARD_DISCOVERY", "false")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        next_line(&lines_of(&mut up));
        let (code, out, err) = home.run(&["health", "--json"]);
        assert_eq!(code, 0, "{err}");
        let report: Value = serde_json::from_str(&out).unwrap();
        let address = report["network"]["listening"].as_str().unwrap().to_owned();
        Self { home, up, address }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.home.run(&["stop"]);
        let _ = self.up.wait();
    }
}

/// The lines a command writes, as they come.
fn lines_of(child: &mut Child) -> mpsc::Receiver<Value> {
    let output = BufReader::new(child.stdout.take().unwrap());
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        output
            .lines()
            .map_while(Result::ok)
            .try_for_each(|line| sender.send(serde_json::from_str(&line).unwrap()))
    });
    lines
}

pub(crate) fn next_line(lines: &mpsc::Receiver<Value>) -> Value {
    lines.recv_timeout(PATIENCE).expect("a line")
}

/// The next line about an event of this name.
fn until_event(lines: &mpsc::Receiver<Value>, event: &str) -> Value {
    std::iter::repeat_with(|| next_line(lines)).find(|line| line["event"] == event).expect("one a line")
}

pub(crate) fn start(mut command: Command) -> (Child, mpsc::Receiver<Value>) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = lines_of(&mut child);
    (child, lines)
}

pub(crate) fn text<'a>(line: &'a Value, member: &str) -> &'a str {
    line[member].as_str().unwrap_or_else(|| panic!("{member} in {line}"))
}

/// Pairs a device by the code, as a person would with two terminals on the host.
pub(crate) fn pair_by_code(host: &Host, device: &Home) {
    let (mut pair, window) = start(host.home.lanyard(&["pair", "--json"]));
    let code = text(&next_line(&window), "code").to_owned();
    let join =
        ["join", "--json", "--code", &code.to_lowercase(), "--address", &host.address, "--name", "laptop"];
    let (mut join, answers) = start(device.lanyard(&join));
    let shown = next_line(&answers);
    let pending = next_line(&window);
    assert_eq!((text(&shown, "event"), text(&pending, "event")), ("digits", "pending"));
    assert_eq!((text(&pending, "name"), text(&pending, "method")), ("laptop", "code"));

    let (id, digits) = (text(&pending, "pairingId"), text(&shown, "digits"));
    assert_eq!(host.home.run(&["pairings", "approve", id]).0, 2, "not without the digits");
    let wrong = if digits == "000000" { "000001" } else { "000000" };
    let (code, _, err) = host.home.run(&["pairings", "approve", id, "--digits", wrong]);
    assert!(code == 1 && err.contains("PAIRING_DIGITS_WRONG"), "{err}");
    let (code, _, err) = host.home.run(&["pairings", "approve", id, "--digits", digits]);
    assert_eq!(code, 0, "{err}");

    let settled = next_line(&window);
    assert_eq!((text(&settled, "event"), text(&settled, "end")), ("settled", "approved"));
    assert_eq!(text(&next_line(&answers), "event"), "paired");
    assert_eq!((pair.wait().unwrap().code(), join.wait().unwrap().code()), (Some(0), Some(0)));
}

#[test]
fn a_paired_host_is_used_like_the_own_one() {
    let (host, device) = (Host::start(), Home::new());
    pair_by_code(&host, &device);

    let (code, out, err) = device.run(&["hosts", "--json"]);
    assert_eq!(code, 0, "{err}");
    let hosts: Value = serde_json::from_str(&out).unwrap();
    let alias = text(&hosts["hosts"][0], "name").to_owned();
    assert_eq!(text(&hosts["hosts"][0], "status"), "reachable");

    // The only paired host is meant without being named.
    let (code, out, err) = device.run(&["run", "write hello to a.txt", "--approve", "always"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(host.home.work().join("a.txt").exists(), "on the host's machine");
    assert!(out.contains(&format!("--host {alias}")), "commands to copy name it: {out}");
    let (code, out, _) = device.run(&["sessions", "--host", &alias]);
    assert!(code == 0 && out.contains("write hello"), "{out}");
    let (code, _, err) = device.run(&["devices"]);
    assert!(code == 3 && err.contains("admin"), "{err}");
    assert_eq!(device.run(&["up", "--host", &alias]).0, 2, "what is about this machine alone");

    let mut rpc = device.lanyard(&["rpc"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let call = b"{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"Identify\"}\n";
    rpc.stdin.take().unwrap().write_all(call).unwrap();
    let output = rpc.wait_with_output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), text(&answer, "id")), (Some(0), "x"));
    assert_eq!(text(&answer["result"]["principal"], "name"), "laptop");

    // New keys are followed by themselves.
    assert_eq!(host.home.run(&["identity", "rotate"]).0, 0);
    let (code, _, err) = device.run(&["sessions"]);
    assert!(code == 0 && err.contains("new keys"), "{err}");
    let (code, _, err) = device.run(&["sessions"]);
    assert!(code == 0 && !err.contains("new keys"), "once: {err}");
    assert!(err.contains(&format!("On {alias}")), "another machine than this one is named: {err}");

    let (mut watch, news) = start(device.lanyard(&["watch", "--json"]));
    until_event(&news, "reached");
    assert_eq!(host.home.run(&["devices", "scopes", "laptop", "observe"]).0, 0);
    assert_eq!(text(&until_event(&news, "away"), "reason"), "scopes_changed", "no fault of the network");
    until_event(&news, "reached");
    assert_eq!(host.home.run(&["devices", "revoke", "laptop"]).0, 0);
    until_event(&news, "over");
    assert_eq!(watch.wait().unwrap().code(), Some(3), "refused, as it is for `run`");
    let (code, _, err) = device.run(&["sessions"]);
    assert!(code == 5 && err.contains("lanyard join"), "{err}");
    assert_eq!(device.run(&["unpair", &alias]).0, 0);
    let (code, _, err) = device.run(&["sessions", "--host", &alias]);
    assert_eq!(code, 2, "{err}");
}

#[test]
fn a_link_is_enough_and_unpairing_tells_the_host() {
    let (host, device) = (Host::start(), Home::new());
    let (mut pair, window) = start(host.home.lanyard(&["pair", "--json"]));
    let link = text(&next_line(&window), "link").to_owned();
    let (mut join, answers) = start(device.lanyard(&["join", "--json", &link, "--name", "phone"]));
    let pending = next_line(&window);
    assert_eq!((text(&pending, "method"), pending["digits"].is_string()), ("link", true));
    let approve = ["pairings", "approve", text(&pending, "pairingId"), "--scopes", "approve"];
    assert_eq!(host.home.run(&approve).0, 0);
    assert_eq!(text(&next_line(&answers), "event"), "digits");
    let paired = next_line(&answers);
    assert_eq!(paired["scopes"], serde_json::json!(["observe", "approve"]), "narrowed");
    assert_eq!((pair.wait().unwrap().code(), join.wait().unwrap().code()), (Some(0), Some(0)));
    let (code, _, err) = device.run(&["run", "list the files here"]);
    assert!(code == 3 && err.contains("operate"), "{err}");

    let alias = text(&paired, "name");
    assert_eq!(device.run(&["unpair", alias]).0, 0);
    let (_, out, _) = host.home.run(&["devices", "--json"]);
    assert_eq!(out.trim(), "{\"devices\":[]}");
}

#[test]
fn a_killed_wait_is_gone_on_with() {
    let (host, device) = (Host::start(), Home::new());
    let (mut pair, window) = start(host.home.lanyard(&["pair", "--json"]));
    let code = text(&next_line(&window), "code").to_owned();
    let join = ["join", "--json", "--code", &code, "--address", &host.address];
    let (mut killed, answers) = start(device.lanyard(&join));
    let digits = text(&next_line(&answers), "digits").to_owned();
    let id = text(&next_line(&window), "pairingId").to_owned();
    killed.kill().unwrap();
    killed.wait().unwrap();

    // Answered while nobody waits.
    assert_eq!(host.home.run(&["pairings", "approve", &id, "--digits", &digits]).0, 0);
    let (code, out, err) = device.run(&["join", "--json"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains(&digits) && out.contains("\"paired\""), "{out}");
    assert_eq!(device.run(&["sessions"]).0, 0);
    assert_eq!(pair.wait().unwrap().code(), Some(0));
    assert_eq!(device.run(&["join", "--resume"]).0, 2, "nothing waits any more");
}

#[test]
fn a_denied_device_is_told_so() {
    let (host, device) = (Host::start(), Home::new());
    let (mut pair, window) = start(host.home.lanyard(&["pair", "--json"]));
    let code = text(&next_line(&window), "code").to_owned();
    let join = ["join", "--json", "--code", &code, "--address", &host.address];
    let (mut join, answers) = start(device.lanyard(&join));
    let id = text(&next_line(&window), "pairingId").to_owned();
    assert_eq!(host.home.run(&["pairings", "deny", &id]).0, 0);
    assert_eq!(text(&next_line(&answers), "event"), "digits");
    let failed = next_line(&answers);
    assert_eq!((text(&failed, "event"), text(&failed, "reason")), ("failed", "denied"));
    assert_eq!((pair.wait().unwrap().code(), join.wait().unwrap().code()), (Some(3), Some(3)));

    let wrong = ["join", "--json", "--code", "0000-0000", "--address", &host.address];
    let (code, out, _) = device.run(&wrong);
    assert!(code == 1 && out.contains("\"failed\""), "no window: {out}");
}
