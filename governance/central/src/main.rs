//! `lanyard-central`: the central services in one process, or some of them, over one database.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

mod authenticate;
mod compose;
mod config;
mod console;
mod front;
mod health;
mod openapi;
mod proxy;
mod serve;
mod settings;
mod state_dir;
mod tls;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use tokio_util::sync::CancellationToken;

use config::{Cli, Command, Options};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Some(Command::Openapi) => print(&openapi::document()),
        Some(Command::SignInLink) => in_runtime(sign_in_link(cli.options)),
        None => in_runtime(run(cli.options)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn in_runtime(work: impl Future<Output = Result<()>>) -> Result<()> {
    // Only fails when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

fn print(value: &serde_json::Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    Ok(writeln!(out)?)
}

fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("LANYARD_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,sqlx=warn"));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
}

/// Runs until it is told to stop.
async fn run(options: Options) -> Result<()> {
    log();
    let config = options.check()?;
    let stop = CancellationToken::new();
    let signalled = stop.clone();
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        signalled.cancel();
    });
    let ready_file = std::env::var_os("LANYARD_CENTRAL_READY_FILE").map(PathBuf::from);
    // What is not a terminal is a log: read by others, and kept for longer than a link is good for.
    let somebody_looks = std::io::stdout().is_terminal();
    compose::run(config, stop, somebody_looks, |ready| {
        println!("Central is ready: {}/console/", ready.url);
        if let Some(link) = &ready.first_link {
            println!("Sign in (once, within a day): {}/console/#/sign-in/{link}", ready.url);
        } else {
            println!(
                "A link to sign in: lanyard-central sign-in-link --state-dir {}",
                ready.state_dir.display()
            );
        }
        println!("OpenAPI: {}/openapi.json   Stop with Ctrl-C.", ready.url);
        if let Some(file) = &ready_file
            && let Err(error) = std::fs::write(file, ready.bound.to_string())
        {
            tracing::warn!(%error, file = %file.display(), "where this listens cannot be told");
        }
    })
    .await
}

/// Prints a link with which the operator signs in, from beside a running central.
async fn sign_in_link(options: Options) -> Result<()> {
    let public_url = options.public_url.clone();
    let config = options.check()?;
    let token = compose::sign_in_link(&config).await.context("no link could be made")?;
    let url = public_url.unwrap_or_else(|| config.url(config.listen));
    println!("Sign in (once, within a day): {url}/console/#/sign-in/{token}");
    Ok(())
}
