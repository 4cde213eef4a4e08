//! `lanyard doctor`: what is wrong, and what to do about it, with and without a running host.

mod checks;
mod firewall;
mod network;

use std::path::PathBuf;

use lanyard_daemon::{Config, ConfigSources};
use lanyard_protocol::codec::to_json_value;
use lanyard_protocol::health::{HealthCheck, HealthStatus};
use lanyard_protocol::method::{Health, ListDevices};

use crate::exit::{Exit, Failure};
use crate::host::{Connection, Patience, attach};
use crate::invocation::Invocation;
use crate::render;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// The exit code is 1 when something does not work.
pub(crate) async fn run(_: Args, invocation: &mut Invocation) -> Result<Exit, Failure> {
    let state_dir = invocation.state_dir()?;
    let mut found = vec![checks::state_dir(&state_dir)];
    let sources = ConfigSources { state_dir: Some(state_dir.clone()), ..ConfigSources::default() };
    let config = Config::load(sources);
    found.push(checks::config(&config));
    let mut listen = config.as_ref().ok().and_then(|config| config.listen.address());
    match attach(&state_dir) {
        Ok(stream) => {
            let mut connection = Connection::new(stream, state_dir.clone(), Patience::None)?;
            match connection.call(Health {}).await {
                Ok(report) => {
                    found.push(checks::running(&report));
                    listen = report.network.listening.as_ref().and_then(|address| address.parse().ok());
                    // What the host says of its network is said here at more length.
                    let ours = network::of_running(&report.network, &report.checks);
                    let theirs = report.checks.into_iter();
                    found.extend(theirs.filter(|one| ours.iter().all(|check| check.name != one.name)));
                    found.extend(ours);
                    if let Ok(page) = connection.call(ListDevices {}).await {
                        found.extend(network::pages(&page.devices));
                    }
                }
                Err(failure) => found.push(checks::not_answering(&failure)),
            }
        }
        Err(error) => {
            found.push(checks::not_running(&state_dir, &error));
            found.push(checks::socket_path(
                &state_dir,
                std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).as_deref(),
            ));
            found.push(checks::sandbox());
            found.push(checks::store(&state_dir));
            if let Ok(config) = &config {
                found.push(checks::model(config));
                found.extend(network::of_none(config));
            }
        }
    }
    found.extend(firewall::firewall(listen));
    found.extend(network::paired(&state_dir).await);
    found.push(checks::disk(&state_dir));
    show(invocation, &found)?;
    let bad = found.iter().any(|check| check.status == HealthStatus::Bad);
    Ok(if bad { Exit::Failed } else { Exit::Completed })
}

fn show(invocation: &mut Invocation, found: &[HealthCheck]) -> Result<(), Failure> {
    let text = match invocation.json() {
        true => format!("{}\n", to_json_value(found).map_err(std::io::Error::from)?),
        false => {
            let (paint, width) = (invocation.terminal.paint, invocation.terminal.width());
            found.iter().map(|one| render::check(paint, width, one)).collect()
        }
    };
    Ok(invocation.terminal.print(&text)?)
}
