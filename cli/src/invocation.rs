//! What a command is called with: the global options, the terminal, and the ways to the host they lead to.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use lanyard_protocol::method::Response;

use crate::args::Global;
use crate::exit::Failure;
use crate::host::{Connection, Named, Patience, Route, attach, attach_or_start, named, only_paired};
use crate::known::{HostsFile, KnownHost, LOCAL};
use crate::render;
use crate::terminal::Terminal;

/// See the module.
#[derive(Debug)]
pub(crate) struct Invocation {
    global: Global,
    pub(crate) terminal: Terminal,
    /// The paired host the command talks to.
    chosen: Option<String>,
}

/// The host a command talks to.
#[derive(Debug)]
pub(crate) enum Target {
    /// This machine's, which runs.
    Running(UnixStream),
    /// This machine's, which is to be started.
    ToStart,
    /// A paired one.
    Paired(KnownHost),
}

impl Invocation {
    pub(crate) fn new(global: Global) -> Self {
        Self { global, terminal: Terminal::detect(), chosen: None }
    }

    /// Whether a script reads the output.
    pub(crate) fn json(&self) -> bool {
        self.global.json
    }

    /// `--state-dir` as given.
    pub(crate) fn given_state_dir(&self) -> Option<PathBuf> {
        self.global.state_dir.clone()
    }

    /// The state directory, absolute.
    pub(crate) fn state_dir(&self) -> Result<PathBuf, Failure> {
        let dir = self.given_state_dir().or_else(lanyard_daemon::default_state_dir).ok_or_else(|| {
            Failure::Usage("no home directory is known; pass --state-dir DIR or set LANYARD_STATE_DIR".into())
        })?;
        std::path::absolute(&dir).map_err(|e| Failure::Usage(format!("--state-dir {}: {e}", dir.display())))
    }

    /// What this device remembers of paired hosts.
    pub(crate) fn hosts_file(&self) -> Result<HostsFile, Failure> {
        Ok(HostsFile::of(&self.state_dir()?))
    }

    /// A command line of `lanyard` for people to copy: it reaches the same host.
    pub(crate) fn command(&self, rest: &str) -> String {
        let mut line = "lanyard".to_owned();
        if let (Some(dir), None) = (&self.global.state_dir, std::env::var_os("LANYARD_STATE_DIR")) {
            line.push_str(&format!(" --state-dir {}", render::shell_word(&dir.display().to_string())));
        }
        if let Some(host) = self.chosen.as_ref().or(self.global.host.as_ref()) {
            line.push_str(&format!(" --host {}", render::shell_word(host)));
        }
        format!("{line} {rest}")
    }

    /// `--host` as given.
    pub(crate) fn given_host(&self) -> Option<&str> {
        self.global.host.as_deref()
    }

    /// Whether `--host` names another machine's.
    pub(crate) fn names_other_host(&self) -> bool {
        self.given_host().is_some_and(|host| host != LOCAL)
    }

    /// Which host the command talks to (see [`crate::host::named`]).
    ///
    /// # Errors
    /// There is none, or several may be meant.
    pub(crate) fn target(&self, starts_one: bool) -> Result<Target, Failure> {
        let state_dir = self.state_dir()?;
        let file = HostsFile::of(&state_dir);
        let mut this_machine = false;
        if let Some(given) = &self.global.host {
            match named(&file.read()?.hosts, given)? {
                Named::Local => this_machine = true,
                Named::Paired(host) => return Ok(Target::Paired(host.clone())),
            }
        }
        let absent = match attach(&state_dir) {
            Ok(stream) => return Ok(Target::Running(stream)),
            Err(error) if error.is_absence() => error,
            Err(error) => return Err(error.into()),
        };
        if !this_machine && let Some(host) = only_paired(&file.read()?.hosts)? {
            return Ok(Target::Paired(host.clone()));
        }
        if starts_one { Ok(Target::ToStart) } else { Err(absent.into()) }
    }

    /// A connection to a host that was chosen; a local one may be started, and outlives the command.
    pub(crate) async fn connect_to(
        &mut self,
        target: Target,
        patience: Patience,
    ) -> Result<Connection, Failure> {
        let state_dir = self.state_dir()?;
        match target {
            Target::Running(stream) => Connection::new(stream, state_dir, patience),
            Target::ToStart => Connection::new(self.start(&state_dir)?, state_dir, patience),
            Target::Paired(host) => {
                self.chosen = Some(host.alias.clone());
                if self.global.host.is_none() {
                    self.terminal.note(&format!("On {}: no host of this machine runs.", host.alias))?;
                }
                let route = Route::new(host, self.hosts_file()?)?;
                let reached = route.reach().await?;
                if let Some(notice) = &reached.notice {
                    self.terminal.note(notice)?;
                }
                Ok(Connection::over(reached, patience))
            }
        }
    }

    fn start(&mut self, state_dir: &Path) -> Result<UnixStream, Failure> {
        let terminal = &mut self.terminal;
        let stream = attach_or_start(state_dir, || {
            if terminal.stderr_is_terminal {
                // Nobody may be listening on standard error; that is no reason not to start.
                let _ = terminal.note(
                    "No host runs yet: starting one. It stays when this command ends (`lanyard stop`).",
                );
            }
        })?;
        Ok(stream)
    }

    /// A connection to the host that is meant, which must be there.
    pub(crate) async fn connect(&mut self) -> Result<Connection, Failure> {
        let target = self.target(false)?;
        self.connect_to(target, Patience::None).await
    }

    /// A connection to the host that is meant; where none is, to a local one started now.
    pub(crate) async fn connect_or_start(&mut self, patience: Patience) -> Result<Connection, Failure> {
        let target = self.target(true)?;
        self.connect_to(target, patience).await
    }

    /// A connection to this machine's own host, started where none runs, whatever `--host` says.
    pub(crate) fn connect_local_or_start(&mut self, patience: Patience) -> Result<Connection, Failure> {
        let state_dir = self.state_dir()?;
        Connection::new(self.start(&state_dir)?, state_dir, patience)
    }

    /// Writes the result of a call: as on the wire for scripts, else as the text `words` makes of it.
    pub(crate) fn show(
        &mut self,
        response: Response,
        words: impl FnOnce(&Terminal) -> String,
    ) -> Result<(), Failure> {
        let text = match self.json() {
            true => format!("{}\n", response.result_json().map_err(std::io::Error::from)?),
            false => words(&self.terminal),
        };
        Ok(self.terminal.print(&text)?)
    }
}
