//! The `lanyard` command: the host of this machine (`up`) and everything a person or a script does with it.
//!
//! `commands/` has one file for each command; they reach the host through `host/` and the API client, and write
//! through `render/` (pure) and `terminal`.

mod args;
mod commands;
mod exit;
mod follow;
mod host;
mod invocation;
mod keys;
mod known;
mod render;
mod resolve;
mod terminal;

use std::io::Write;

use clap::Parser;

use args::Cli;
use exit::{Exit, Failure};

fn main() {
    let exit = match Cli::try_parse() {
        Ok(cli) => commands::run(cli).unwrap_or_else(|failure| report(&failure)),
        Err(refused) => {
            // Nobody may be reading; the exit code says it all.
            let _ = refused.print();
            if refused.use_stderr() { Exit::Usage } else { Exit::Completed }
        }
    };
    // Nobody may be reading by now.
    let _ = std::io::stdout().flush();
    // Not a return: threads that wait for input would keep the process.
    std::process::exit(exit.code().into());
}

/// Says what went wrong; foreign text in it is made harmless.
fn report(failure: &Failure) -> Exit {
    if !matches!(failure, Failure::OutputClosed) {
        let mut text = format!("lanyard: {}", render::visible::block(&failure.to_string()));
        if let Failure::Refused(error) = failure {
            text = format!("lanyard: {}\n  code: {}", render::visible::block(&error.message), error.code);
        }
        // Nobody may be listening.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }
    failure.exit()
}
