//! What each service is set to, from the configuration.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use lanyard_service_enrolment::Authority;
use lanyard_service_identity::{InstallationKey, Oidc, OidcSettings};
use lanyard_service_session::gateway::{GatewaySettings, TokenKey, Tokens};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Tls};
use crate::state_dir::StateDir;

/// Lifetime of a token for the gateway, in seconds. Hosts resume their session for another.
const GATEWAY_TOKEN_SECONDS: u32 = 3_600;

/// A secret of a line, from a file that only its owner can read.
fn secret(flag: &str, path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{flag} {}", path.display()))?;
    Ok(text.trim().to_owned())
}

pub(crate) fn identity(
    config: &Config,
    state: &StateDir,
    url: &str,
) -> Result<lanyard_service_identity::Settings> {
    let options = &config.options;
    let oidc = match (&options.oidc_issuer, &options.oidc_client_id) {
        (Some(issuer), Some(client_id)) => {
            let file = options.oidc_client_secret_file.as_deref();
            let client_secret = file.map(|path| secret("--oidc-client-secret-file", path)).transpose()?;
            Some(Oidc::new(OidcSettings {
                issuer: issuer.clone(),
                client_id: client_id.clone(),
                client_secret,
                public_url: url.to_owned(),
            })?)
        }
        _ => None,
    };
    let key = InstallationKey(state.key("service.key")?);
    Ok(lanyard_service_identity::Settings { public_url: url.to_owned(), oidc, key })
}

pub(crate) fn enrolment(
    config: &Config,
    ca: &Arc<Authority>,
    stop: &CancellationToken,
) -> lanyard_service_enrolment::Settings {
    let tokens_name_ca = config.tls == Tls::Own;
    lanyard_service_enrolment::Settings { ca: ca.clone(), tokens_name_ca, stop: stop.clone() }
}

pub(crate) fn session(config: &Config, state: &StateDir) -> Result<lanyard_service_session::Settings> {
    let options = &config.options;
    let gateway = match &options.llm_endpoint {
        None => None,
        Some(endpoint) => {
            let tokens = match &options.llm_token_file {
                Some(path) => Tokens::Fixed {
                    tenants: BTreeMap::new(),
                    others: Some(secret("--llm-token-file", path)?),
                },
                None => Tokens::Minted {
                    key: TokenKey::new(state.key("gateway.key")?.to_vec())?,
                    seconds: GATEWAY_TOKEN_SECONDS,
                },
            };
            Some(GatewaySettings { endpoint: endpoint.clone(), model: options.llm_model.clone(), tokens })
        }
    };
    let defaults = lanyard_service_session::Settings::default();
    let session_seconds = options.session_seconds.unwrap_or(defaults.session_seconds);
    Ok(lanyard_service_session::Settings { session_seconds, gateway, ..defaults })
}

pub(crate) fn telemetry(config: &Config) -> Result<lanyard_service_telemetry::Settings> {
    let otlp = config.options.otlp_endpoint.as_deref();
    let otlp =
        otlp.map(|endpoint| lanyard_service_telemetry::OtlpSettings::new(endpoint, &[])).transpose()?;
    Ok(lanyard_service_telemetry::Settings { otlp })
}

pub(crate) fn tools(config: &Config, state: &StateDir) -> Result<lanyard_service_tools::Settings> {
    use lanyard_service_tools::{Reach, Settings};
    let allowed = config.options.allow_private_tools;
    let reach = Reach { private: allowed, loopback_http: allowed };
    Ok(Settings::open(&state.path().join("tools.key"), reach)?)
}
