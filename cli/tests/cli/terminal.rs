//! The approval prompt in a real terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::home::{Home, PATIENCE};

/// A command in a terminal of its own.
struct InTerminal {
    child: Child,
    screen: File,
    seen: String,
}

impl InTerminal {
    fn start(home: &Home, args: &[&str]) -> Self {
        let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&screen).unwrap();
        unlockpt(&screen).unwrap();
        let path = ptsname(&screen, Vec::new()).unwrap();
        let end = || -> OwnedFd {
            let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
            rustix::fs::open(path.as_c_str(), flags, rustix::fs::Mode::empty()).unwrap()
        };
        let mut command = home.lanyard(args);
        command
            .env("TERM", "xterm")
            .env("LANYARD_DISCOVERY", "false")
            .stdin(Stdio::from(end()))
            .stdout(Stdio::from(end()))
            .stderr(Stdio::from(end()));
        rustix::io::ioctl_fionbio(&screen, true).unwrap();
        Self { child: command.spawn().unwrap(), screen: File::from(screen), seen: String::new() }
    }

    /// Reads until a text is on the screen after the last one waited for.
    fn until(&mut self, text: &str) {
        let give_up = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            assert!(Instant::now() < give_up, "{text:?} did not come; there is {:?}", self.seen);
            self.read();
        }
    }

    fn read(&mut self) {
        let mut bytes = [0; 4096];
        match self.screen.read(&mut bytes) {
            Ok(length) => self.seen.push_str(&String::from_utf8_lossy(&bytes[..length])),
            // Nothing now, or (EIO) everybody has left.
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }

    /// Presses a key until it has an effect: right after a question keys are not taken.
    fn press_until(&mut self, key: &str, text: &str) {
        let give_up = Instant::now() + PATIENCE;
        while !self.seen.contains(text) {
            assert!(Instant::now() < give_up, "{key:?} did nothing; there is {:?}", self.seen);
            self.screen.write_all(key.as_bytes()).unwrap();
            let look = Instant::now() + Duration::from_millis(150);
            while Instant::now() < look && !self.seen.contains(text) {
                self.read();
            }
        }
        self.until(text);
    }

    fn exit_code(&mut self) -> i32 {
        let give_up = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(Instant::now() < give_up, "it does not end; there is {:?}", self.seen);
            self.read();
        }
    }
}

impl Drop for InTerminal {
    fn drop(&mut self) {
        // Ended already, unless the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_diff_is_in_view_and_y_approves() {
    let home = Home::new();
    let mut run = InTerminal::start(&home, &["run", "write hello to a.txt"]);
    run.until("Waits for approval");
    run.until("+hello");
    run.until("[y] yes [n] no");
    run.press_until("?", "the agent is told and goes on without it");
    run.press_until("y", "approved by owner this once");
    run.until("Done in");
    assert_eq!(run.exit_code(), 0);
    assert!(home.work().join("a.txt").exists());
}

#[test]
fn n_denies() {
    let home = Home::new();
    let mut run = InTerminal::start(&home, &["run", "write hello to a.txt"]);
    run.until("[y] yes [n] no");
    run.press_until("n", "denied by owner");
    assert_eq!(run.exit_code(), 3);
    assert!(!home.work().join("a.txt").exists());
}

#[test]
fn an_answer_from_elsewhere_takes_the_question_away() {
    let home = Home::new();
    let mut run = InTerminal::start(&home, &["run", "write hello to a.txt"]);
    run.until("Id: ");
    run.until("[y] yes [n] no");
    let (_, out, _) = home.run(&["approvals", "--json"]);
    let page: serde_json::Value = serde_json::from_str(&out).unwrap();
    let id = page["approvals"][0]["request"]["approvalId"].as_str().unwrap().to_owned();
    let (code, out, err) = home.run(&["approve", &id[..16]]);
    assert_eq!(code, 0, "{out}{err}");
    run.until("approved by owner");
    assert_eq!(run.exit_code(), 0);
    assert!(!run.seen.contains("[y]"), "{:?}", run.seen);
    assert_eq!(home.run(&["deny", &id]).0, 1, "the first answer counts");
}

#[test]
fn the_line_at_the_bottom_is_taken_away_however_a_command_ends() {
    let home = Home::new();
    let mut watch = InTerminal::start(&home, &["watch"]);
    watch.until("Ctrl-C ends it");
    // No way out of its own: whoever ends a command from outside finds a clean line all the same.
    let pid = rustix::process::Pid::from_child(&watch.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    watch.until("\r\u{1b}[2K");
    assert_eq!(watch.exit_code(), 4);
}

#[test]
fn an_interrupt_cancels_the_task() {
    let home = Home::new();
    let mut run = InTerminal::start(&home, &["run", "write hello to a.txt"]);
    run.until("[y] yes [n] no");
    let pid = rustix::process::Pid::from_child(&run.child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    run.until("Cancelled by owner");
    assert_eq!(run.exit_code(), 4);
    assert!(!home.work().join("a.txt").exists());
}

#[test]
fn a_token_is_not_shown_and_what_is_allowed_is_asked() {
    let home = Home::new();
    let mut enroll = InTerminal::start(&home, &["enroll", "http://127.0.0.1:9"]);
    enroll.until("(it is not shown)");
    // Right after a question keys are not taken.
    std::thread::sleep(Duration::from_secs(2));
    enroll.screen.write_all(b"tok-5ecrex\x7ft\r").unwrap();
    let give_up = Instant::now() + PATIENCE;
    while !enroll.seen.contains("[y] allow") {
        assert!(Instant::now() < give_up, "nothing is asked; there is {:?}", enroll.seen);
        enroll.read();
    }
    assert!(!enroll.seen.contains("5ecre"), "{:?}", enroll.seen);
    enroll.until("have this machine do work?");
    enroll.press_until("n", "cannot have this machine do anything");
    enroll.until("May the centre answer for you?");
    enroll.press_until("y", "the centre may answer approvals and pairings");
    assert_eq!(enroll.exit_code(), 1, "nobody is there");
    assert!(!enroll.seen.contains("5ecre"), "{:?}", enroll.seen);

    let mut enroll = InTerminal::start(&home, &["enroll", "http://127.0.0.1:9"]);
    enroll.until("(it is not shown)");
    let pid = rustix::process::Pid::from_child(&enroll.child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(enroll.exit_code(), 4);
}

/// A command that does not outlive its test.
struct Gone(Child);

impl Drop for Gone {
    fn drop(&mut self) {
        // Ended already, unless the test has failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_new_host_shows_what_the_first_device_scans_and_asks_about_it() {
    let (home, device) = (Home::new(), Home::new());
    let mut up = InTerminal::start(&home, &["up", "--listen", "127.0.0.1:0"]);
    up.until("The host is ready");
    up.until("lanyard --state-dir");
    up.until("Pair a device");
    up.until("(open for ");
    up.until("\u{2588}");
    up.until("  link  ");
    up.until("#P");
    up.until("Ctrl-C stops the host");
    // Nobody is in the way of other commands.
    let (_, out, _) = home.run(&["pairings", "--json"]);
    let page: serde_json::Value = serde_json::from_str(&out).unwrap();
    let link = page["window"]["link"].as_str().unwrap().to_owned();
    let join = device.lanyard(&["join", "--json", &link, "--name", "phone"]).stdout(Stdio::null()).spawn();
    let mut join = Gone(join.unwrap());
    up.until("A device asks to be paired");
    up.until("Pair this device? [y] yes");
    up.press_until("y", "phone is paired");
    up.until("Pair another device: lanyard --state-dir");
    assert_eq!(join.0.wait().unwrap().code(), Some(0));
    assert_eq!(home.run(&["stop"]).0, 0);
    assert_eq!(up.exit_code(), 0);

    // One is paired: it is not offered again.
    let mut up = InTerminal::start(&home, &["up", "--listen", "127.0.0.1:0"]);
    up.until("Ctrl-C stops the host.");
    assert_eq!(home.run(&["health"]).0, 0);
    assert_eq!(home.run(&["stop"]).0, 0);
    assert_eq!(up.exit_code(), 0);
    assert!(!up.seen.contains("(open for "), "{}", up.seen);
}

#[test]
fn a_new_host_offers_nothing_where_that_is_not_wanted_and_a_signal_ends_it_at_any_moment() {
    let home = Home::new();
    let mut up = InTerminal::start(&home, &["up", "--listen", "127.0.0.1:0", "--no-pair"]);
    up.until("Ctrl-C stops the host.");
    assert_eq!(home.run(&["stop"]).0, 0);
    assert_eq!(up.exit_code(), 0);
    assert!(!up.seen.contains("Pair a device"), "{}", up.seen);

    let mut up = InTerminal::start(&home, &["up", "--listen", "127.0.0.1:0"]);
    up.until("Ctrl-C stops the host.");
    up.until("Waiting for a device; Ctrl-C stops the host");
    let pid = rustix::process::Pid::from_child(&up.child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(up.exit_code(), 0);
}
