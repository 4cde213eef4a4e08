//! What a command is called with: the global options, the terminal, and the ways to the host they lead to.

use std::path::PathBuf;

use lanyard_protocol::method::Response;

use crate::args::Global;
use crate::exit::Failure;
use crate::host::{Connection, Patience, attach, attach_or_start};
use crate::render;
use crate::terminal::Terminal;

/// See the module.
#[derive(Debug)]
pub(crate) struct Invocation {
    global: Global,
    pub(crate) terminal: Terminal,
}

impl Invocation {
    pub(crate) fn new(global: Global) -> Self {
        Self { global, terminal: Terminal::detect() }
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

    /// A command line of `lanyard` for people to copy: it reaches the same host.
    pub(crate) fn command(&self, rest: &str) -> String {
        match &self.global.state_dir {
            Some(dir) if std::env::var_os("LANYARD_STATE_DIR").is_none() => {
                let dir = dir.display().to_string();
                format!("lanyard --state-dir {} {rest}", render::shell_word(&dir))
            }
            _ => format!("lanyard {rest}"),
        }
    }

    /// A connection to the running host.
    pub(crate) fn connect(&self) -> Result<Connection, Failure> {
        let state_dir = self.state_dir()?;
        Connection::new(attach(&state_dir)?, state_dir, Patience::None)
    }

    /// A connection to the running host, or to one started now that outlives the command.
    pub(crate) fn connect_or_start(&mut self, patience: Patience) -> Result<Connection, Failure> {
        let state_dir = self.state_dir()?;
        let terminal = &mut self.terminal;
        let stream = attach_or_start(&state_dir, || {
            if terminal.stderr_is_terminal {
                // Nobody may be listening on standard error; that is no reason not to start.
                let _ = terminal.note(
                    "No host runs yet: starting one. It stays when this command ends (`lanyard stop`).",
                );
            }
        })?;
        Connection::new(stream, state_dir, patience)
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
