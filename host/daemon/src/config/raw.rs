//! The configuration file as written: every key optional, nothing unknown.

use std::path::PathBuf;

use lanyard_model::ModelConfig;
use serde::Deserialize;

use super::{ConfigError, Listen, ResumePolicy, only_mine_to_read};

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $key:ident: $ty:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name { $($(#[$fdoc])* pub(super) $key: Option<$ty>,)* }

        impl $name {
            /// Takes every value that `over` sets.
            fn overlay(&mut self, over: Self) {
                $(if over.$key.is_some() { self.$key = over.$key; })*
            }
        }
    )*};
}

tables! {
    /// `[host]`
    Host {
        /// Name for people; the machine's name when absent.
        name: String,
        /// Directories sessions may be about.
        workspaces: Vec<PathBuf>,
        /// Address of the network surfaces, or `off`.
        listen: Listen,
        /// `auto` or `ask`.
        resume: ResumePolicy,
    }
    /// `[model]`
    Model {
        /// Base address of an OpenAI-compatible gateway.
        endpoint: String,
        /// Token for it; better kept in `token_file`.
        token: String,
        /// File that holds the token.
        token_file: PathBuf,
        /// Model asked for.
        name: String,
        /// Whether to look for a local server when no endpoint is set.
        detect: bool,
        /// Tokens that fit into a request and its answer.
        context_window: u32,
    }
    /// `[policy]`
    Policy {
        /// Directories children may read besides the system's and the workspace.
        sandbox_read: Vec<PathBuf>,
        /// See `Config::accept_unconfined`.
        accept_unconfined: bool,
        /// Seconds an approval waits.
        approval_seconds: u32,
        /// See `Config::backend_tools`.
        backend_tools: Vec<String>,
    }
    /// `[limits]`
    Limits {
        /// Most tokens of one session.
        max_session_tokens: u64,
    }
    /// `[discovery]`
    Discovery {
        /// Whether the host can be found by name.
        enabled: bool,
    }
    /// `[central]`
    Central {
        /// Jobs of the central services at once.
        jobs: u32,
    }
    /// `[store]`
    Store {
        /// Most bytes of store and artifacts.
        max_bytes: u64,
    }
}

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawConfig {
    pub(super) host: Host,
    pub(super) model: Model,
    pub(super) policy: Policy,
    pub(super) limits: Limits,
    pub(super) discovery: Discovery,
    pub(super) store: Store,
    pub(super) central: Central,
}

impl RawConfig {
    /// Takes every value that a stronger source sets.
    pub(super) fn overlay(&mut self, over: Self) {
        self.host.overlay(over.host);
        // An endpoint from a stronger source must not be sent a token that was meant for another one.
        if over.model.endpoint.is_some() {
            self.model.token = None;
            self.model.token_file = None;
        }
        self.model.overlay(over.model);
        self.policy.overlay(over.policy);
        self.limits.overlay(over.limits);
        self.discovery.overlay(over.discovery);
        self.store.overlay(over.store);
        self.central.overlay(over.central);
    }
}

fn read_token(path: PathBuf) -> Result<String, ConfigError> {
    only_mine_to_read(&path)?;
    let text = std::fs::read_to_string(&path).map_err(|source| ConfigError::Unreadable { path, source })?;
    Ok(text.trim().to_owned())
}

impl Model {
    /// Checks the table; reads the token file.
    pub(super) fn check(self) -> Result<ModelConfig, ConfigError> {
        let token = match (self.token, self.token_file) {
            (Some(_), Some(_)) => {
                let message = "set either model.token or model.token_file, not both".to_owned();
                return Err(ConfigError::Value { key: "model.token", message });
            }
            (Some(token), None) => Some(token),
            (None, Some(path)) => Some(read_token(path)?),
            (None, None) => None,
        };
        if token.is_some() && self.endpoint.is_none() {
            let message = "a token needs model.endpoint (or LANYARD_GATEWAY_URL), else nobody may be sent it"
                .to_owned();
            return Err(ConfigError::Value { key: "model.token", message });
        }
        Ok(ModelConfig {
            endpoint: self.endpoint,
            token,
            model: self.name,
            detect: self.detect.unwrap_or(true),
            context_window: self.context_window,
            ..ModelConfig::default()
        })
    }
}
