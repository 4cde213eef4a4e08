//! Finds and starts the browser.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Why there is no browser.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoBrowser {
    /// Nothing to show it on.
    #[error("there is no screen here to show the page on (neither DISPLAY nor WAYLAND_DISPLAY is set)")]
    NoScreen,
    /// Nothing that opens one.
    #[error("nothing here opens a browser ({0} was not found); set BROWSER to one")]
    NotFound(String),
    /// It was started and gave up.
    #[error("the browser could not be started ({0} failed)")]
    Failed(String),
}

/// Ways to open a file in a browser, tried one after the other.
#[derive(Debug)]
pub(super) struct Browser {
    ways: VecDeque<Vec<OsString>>,
}

/// A browser that is being started.
#[derive(Debug)]
pub(super) struct Opening {
    rest: VecDeque<Vec<OsString>>,
    page: PathBuf,
    child: Option<Child>,
    name: String,
}

#[cfg(target_os = "macos")]
const OPENER: &str = "open";
#[cfg(not(target_os = "macos"))]
const OPENER: &str = "xdg-open";

impl Browser {
    /// `BROWSER` (programs separated by colons, `%s` stands for the page), else what the system has for that.
    pub(super) fn find() -> Result<Self, NoBrowser> {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let screen = cfg!(target_os = "macos") || set("DISPLAY") || set("WAYLAND_DISPLAY");
        let wanted = std::env::var_os("BROWSER");
        Self::among(wanted.as_deref(), screen, std::env::var_os("PATH").as_deref())
    }

    fn among(wanted: Option<&OsStr>, screen: bool, path: Option<&OsStr>) -> Result<Self, NoBrowser> {
        let wanted = wanted.and_then(OsStr::to_str).unwrap_or_default();
        let mut ways: VecDeque<Vec<OsString>> =
            wanted.split(':').map(|way| way.split_whitespace().map(OsString::from).collect()).collect();
        // Somebody who names a browser knows where it shows.
        let named = ways.iter().any(|way| !way.is_empty());
        if !named && !screen {
            return Err(NoBrowser::NoScreen);
        }
        if screen {
            ways.push_back(vec![OPENER.into()]);
        }
        let known: Vec<String> =
            ways.iter().filter_map(|way| Some(way.first()?.display().to_string())).collect();
        ways.retain(|way| way.first().is_some_and(|program| exists(program, path)));
        if ways.is_empty() { Err(NoBrowser::NotFound(known.join(", "))) } else { Ok(Self { ways }) }
    }

    /// Starts it with a page in a file. It outlives this command.
    ///
    /// # Errors
    /// In words.
    pub(super) fn open(self, page: &Path) -> Result<Opening, String> {
        let mut opening =
            Opening { rest: self.ways, page: page.to_owned(), child: None, name: String::new() };
        match opening.next() {
            None => Ok(opening),
            Some(why) => Err(why.to_string()),
        }
    }
}

impl Opening {
    /// Starts the next one there is; says why when none is left.
    fn next(&mut self) -> Option<NoBrowser> {
        while let Some(way) = self.rest.pop_front() {
            let mut words = command(&way, &self.page).into_iter();
            let Some(program) = words.next() else { continue };
            self.name = program.display().to_string();
            let mut command = Command::new(program);
            // A group of its own: Ctrl-C in this terminal is not meant for it.
            command
                .args(words)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .process_group(0);
            if let Ok(child) = command.spawn() {
                self.child = Some(child);
                return None;
            }
        }
        Some(NoBrowser::Failed(self.name.clone()))
    }

    /// Whether no browser could be started after all; tries the next one where there is one.
    pub(super) fn failed(&mut self) -> Option<NoBrowser> {
        let ended = self.child.as_mut()?.try_wait();
        match ended {
            // Most hand the page to a browser that runs, and end.
            Ok(Some(status)) if !status.success() => {
                self.child = None;
                self.next()
            }
            Ok(_) | Err(_) => None,
        }
    }
}

/// The words of a way, with the page where it belongs.
fn command(way: &[OsString], page: &Path) -> Vec<OsString> {
    let takes = |word: &&OsString| word.to_str().is_some_and(|word| word.contains("%s"));
    if !way.iter().any(|word| takes(&word)) {
        return way.iter().cloned().chain([page.into()]).collect();
    }
    let filled = |word: &OsString| match word.to_str() {
        Some(text) => text.replace("%s", &page.display().to_string()).into(),
        None => word.clone(),
    };
    way.iter().map(filled).collect()
}

fn exists(program: &OsStr, path: Option<&OsStr>) -> bool {
    if program.to_string_lossy().contains('/') {
        return Path::new(program).is_file();
    }
    path.is_some_and(|path| std::env::split_paths(path).any(|dir| dir.join(program).is_file()))
}

#[cfg(test)]
mod tests {
    use std::ffi::{OsStr, OsString};
    use std::path::Path;

    use super::{Browser, NoBrowser, OPENER, command};

    fn with_programs(names: &[&str]) -> (tempfile::TempDir, OsString) {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let path = dir.path().as_os_str().to_owned();
        (dir, path)
    }

    fn ways(wanted: Option<&str>, screen: bool, path: &OsStr) -> Result<Vec<Vec<OsString>>, NoBrowser> {
        Browser::among(wanted.map(OsStr::new), screen, Some(path)).map(|found| found.ways.into())
    }

    #[test]
    fn what_the_person_names_goes_before_what_the_system_has() {
        let (_dir, path) = with_programs(&["firefox", OPENER]);
        let found = ways(Some("chrome:firefox -P work"), true, &path).unwrap();
        assert_eq!(found, [vec!["firefox", "-P", "work"], vec![OPENER]]);
        assert_eq!(ways(Some("firefox"), false, &path).unwrap().len(), 1, "named: it may show elsewhere");
        assert_eq!(ways(None, true, &path).unwrap(), [vec![OPENER]]);
    }

    #[test]
    fn without_a_screen_or_a_browser_it_is_said_which() {
        let (_dir, path) = with_programs(&[]);
        assert_eq!(ways(None, false, &path), Err(NoBrowser::NoScreen));
        assert_eq!(ways(Some(""), false, &path), Err(NoBrowser::NoScreen));
        assert_eq!(ways(None, true, &path), Err(NoBrowser::NotFound(OPENER.to_owned())));
        let Err(NoBrowser::NotFound(names)) = ways(Some("chrome"), true, &path) else { panic!() };
        assert!(names.contains("chrome") && names.contains(OPENER));
    }

    #[test]
    fn the_page_goes_where_it_is_wanted() {
        let page = Path::new("/run/x.html");
        let words = |way: &[&str]| command(&way.iter().map(OsString::from).collect::<Vec<_>>(), page);
        assert_eq!(words(&["firefox"]), ["firefox", "/run/x.html"]);
        assert_eq!(words(&["b", "--app=file://%s", "-n"]), ["b", "--app=file:///run/x.html", "-n"]);
    }

    #[test]
    fn a_browser_that_fails_makes_room_for_the_next_one() {
        let (dir, path) = with_programs(&[]);
        let script = |name: &str, code: u8| {
            let path = dir.path().join(name);
            let text = format!("#!/bin/sh\n[ \"$1\" = /p.html ] && exit {code}\nexit 9\n");
            // Not by this process: what another test starts in that moment has the file open too, and then it cannot
            // be run.
            let write = r#"printf %s "$2" > "$1" && chmod 700 "$1""#;
            let mut shell = std::process::Command::new("sh");
            assert!(shell.args(["-c", write, "sh"]).arg(&path).arg(text).status().unwrap().success());
            path.display().to_string()
        };
        let wanted = format!("{}:{}", script("bad", 3), script("worse", 4));
        let browser = Browser::among(Some(OsStr::new(&wanted)), false, Some(&path)).unwrap();
        let mut opening = browser.open(Path::new("/p.html")).unwrap();
        let why = loop {
            match opening.failed() {
                Some(why) => break why,
                None => std::thread::sleep(std::time::Duration::from_millis(5)),
            }
        };
        assert!(matches!(&why, NoBrowser::Failed(name) if name.ends_with("worse")), "{why}");
        let browser = Browser::among(Some(OsStr::new(&script("good", 0))), false, Some(&path)).unwrap();
        let mut opening = browser.open(Path::new("/p.html")).unwrap();
        opening.child.as_mut().unwrap().wait().unwrap();
        assert_eq!(opening.failed(), None);
    }
}
