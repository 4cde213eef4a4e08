//! The `LANYARD_*` environment.

use std::path::PathBuf;

use super::ConfigError;
use super::raw::RawConfig;

/// Read by other parts (command line, tests, benches); not configuration.
const NOT_OURS: &[&str] = &[
    "LANYARD_LONG",
    "LANYARD_BLESS",
    "LANYARD_LOG",
    "LANYARD_FAULT",
    "LANYARD_HOST",
    "LANYARD_BIN",
    "LANYARD_ENROLL_TOKEN",
];

/// What the variables of `lanyard-central` begin with, which may run on the same machine.
const CENTRAL: &str = "LANYARD_CENTRAL_";

/// What the environment sets.
#[derive(Debug, Default)]
pub(super) struct FromEnvironment {
    pub(super) state_dir: Option<PathBuf>,
    pub(super) raw: RawConfig,
}

/// Reads `LANYARD_*` pairs.
pub(super) fn read(pairs: &[(String, String)]) -> Result<FromEnvironment, ConfigError> {
    let mut found = FromEnvironment::default();
    for (name, value) in pairs {
        let raw = &mut found.raw;
        match name.as_str() {
            "LANYARD_STATE_DIR" => found.state_dir = Some(PathBuf::from(value)),
            "LANYARD_HOST_NAME" => raw.host.name = Some(value.clone()),
            "LANYARD_WORKSPACES" => raw.host.workspaces = Some(std::env::split_paths(value).collect()),
            "LANYARD_LISTEN" => {
                raw.host.listen = Some(parse(name, value, "an address like [::]:7717, or off")?)
            }
            "LANYARD_DISCOVERY" => raw.discovery.enabled = Some(parse(name, value, "true or false")?),
            "LANYARD_GATEWAY_URL" => raw.model.endpoint = Some(value.clone()),
            "LANYARD_GATEWAY_TOKEN" => raw.model.token = Some(value.clone()),
            "LANYARD_MODEL" => raw.model.name = Some(value.clone()),
            "LANYARD_MODEL_DETECT" => raw.model.detect = Some(parse(name, value, "true or false")?),
            "LANYARD_CONTEXT_WINDOW" => {
                raw.model.context_window = Some(parse(name, value, "a number of tokens")?)
            }
            "LANYARD_APPROVAL_SECONDS" => raw.policy.approval_seconds = Some(parse(name, value, "seconds")?),
            "LANYARD_MAX_SESSION_TOKENS" => {
                raw.limits.max_session_tokens = Some(parse(name, value, "a number of tokens")?);
            }
            "LANYARD_STORE_MAX_BYTES" => raw.store.max_bytes = Some(parse(name, value, "a number of bytes")?),
            other if NOT_OURS.contains(&other) || other.starts_with(CENTRAL) => {}
            _ => {
                let message =
                    "this variable is not known; see the configuration page of the user guide".to_owned();
                return Err(ConfigError::Environment { name: name.clone(), message });
            }
        }
    }
    Ok(found)
}

fn parse<T: std::str::FromStr>(name: &str, value: &str, wanted: &str) -> Result<T, ConfigError> {
    value.parse().map_err(|_| ConfigError::Environment {
        name: name.to_owned(),
        message: format!("{value:?} is not {wanted}"),
    })
}
