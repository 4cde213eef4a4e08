//! What the command may do to its terminal, and the one place that writes to it.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use anstream::{AutoStream, ColorChoice};

use crate::render::{Paint, width_of};

/// Columns assumed when the terminal does not tell.
const DEFAULT_WIDTH: usize = 80;

/// Longest answer read: a link of many addresses has half of it.
const MAX_ANSWER_BYTES: u64 = 2_048;

/// Standard output and standard error, with one line at the bottom that may change (a countdown, a prompt's keys).
#[derive(Debug)]
pub(crate) struct Terminal {
    /// Colours for standard output.
    pub(crate) paint: Paint,
    /// Colours for standard error.
    pub(crate) error_paint: Paint,
    /// Standard input, output and error are a person's terminal.
    pub(crate) stdin_is_terminal: bool,
    pub(crate) stdout_is_terminal: bool,
    /// Standard output is a terminal that can erase a line.
    pub(crate) can_erase: bool,
    pub(crate) stderr_is_terminal: bool,
    status: String,
    /// The last thing written to standard output did not end its line.
    line_open: bool,
}

impl Terminal {
    /// Looks at the environment: `NO_COLOR`, `CLICOLOR_FORCE`, `TERM`, and what the streams are.
    pub(crate) fn detect() -> Self {
        let colours = |choice| Paint::new(choice != ColorChoice::Never);
        Self {
            paint: colours(AutoStream::choice(&io::stdout())),
            error_paint: colours(AutoStream::choice(&io::stderr())),
            stdin_is_terminal: io::stdin().is_terminal(),
            stdout_is_terminal: io::stdout().is_terminal(),
            can_erase: io::stdout().is_terminal()
                && std::env::var_os("TERM").is_none_or(|term| term != "dumb"),
            stderr_is_terminal: io::stderr().is_terminal(),
            status: String::new(),
            line_open: false,
        }
    }

    /// Writes text to standard output as it is, above the status line.
    pub(crate) fn print(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        out.write_all(self.erase_status().as_bytes())?;
        out.write_all(text.as_bytes())?;
        self.line_open = !text.ends_with('\n');
        out.write_all(self.draw_status().as_bytes())?;
        out.flush()
    }

    /// Writes a line to standard output.
    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        self.print(&format!("{text}\n"))
    }

    /// Writes a note to standard error; the status line, if any, is drawn again below it.
    pub(crate) fn note(&mut self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(self.erase_status().as_bytes())?;
        if self.line_open && self.stdout_is_terminal {
            out.write_all(b"\n")?;
            self.line_open = false;
        }
        out.flush()?;
        // Nobody may be listening on standard error; that is no reason to end the command.
        let _ = writeln!(io::stderr().lock(), "{text}");
        out.write_all(self.draw_status().as_bytes())?;
        out.flush()
    }

    /// Asks for a line on standard error and reads it from standard input; `None` at its end. Blocks.
    pub(crate) fn ask(&mut self, question: &str) -> io::Result<Option<String>> {
        let mut errors = io::stderr().lock();
        errors.write_all(question.as_bytes())?;
        errors.flush()?;
        let mut line = String::new();
        let read = io::stdin().lock().take(MAX_ANSWER_BYTES).read_line(&mut line)?;
        Ok((read > 0).then(|| line.trim().to_owned()))
    }

    /// Sets the status line; empty removes it. Only a terminal shows it, and never inside an open line.
    pub(crate) fn status(&mut self, text: &str) -> io::Result<()> {
        if !self.can_erase || self.status == text {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        out.write_all(self.erase_status().as_bytes())?;
        self.status = text.to_owned();
        out.write_all(self.draw_status().as_bytes())?;
        out.flush()
    }

    /// Takes the status line away when the command ends; with `message` to come, that begins a line of its own.
    pub(crate) fn leave(&mut self, message: bool) {
        // Nobody may be reading by now; how the command ended is not changed by that.
        let _ = self.status("");
        if message && self.line_open && self.stdout_is_terminal {
            let _ = self.line("");
        }
    }

    fn erase_status(&self) -> &'static str {
        if self.status.is_empty() || self.line_open { "" } else { "\r\x1b[2K" }
    }

    /// The status line, cut to one row so that it can be erased again.
    fn draw_status(&self) -> String {
        if self.status.is_empty() || self.line_open {
            return String::new();
        }
        let columns = self.columns().saturating_sub(1);
        let mut used = 0;
        let fits: String = self
            .status
            .chars()
            .take_while(|c| {
                used += width_of(*c);
                used <= columns
            })
            .collect();
        self.paint.status(&fits)
    }

    /// Columns of the terminal standard output goes to; `None` where it goes elsewhere.
    pub(crate) fn width(&self) -> Option<usize> {
        self.stdout_is_terminal.then(|| self.columns())
    }

    fn columns(&self) -> usize {
        let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout());
        match size {
            Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
            _ => DEFAULT_WIDTH,
        }
    }
}
