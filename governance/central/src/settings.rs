//! What each service is set to, from the configuration.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
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

/// A secret of a line, from a file. Orchestrators mount secrets so that everybody in a container can read them, so that is
/// said and not refused.
fn secret(flag: &str, path: &Path) -> Result<String> {
    let meta = std::fs::metadata(path).with_context(|| format!("{flag} {}", path.display()))?;
    if meta.mode() & 0o007 != 0 {
        tracing::warn!(
            "{flag} {}: every user of this machine can read it; if that is not meant, run: chmod 600 {}",
            path.display(),
            path.display()
        );
    }
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

/// Lines like `Authorization: Bearer …`. What is wrong is told by its line's number: the rest may be a secret.
fn headers(text: &str) -> Result<Vec<(String, String)>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let pairs = lines.map(|(number, line)| {
        let wanted = || format!("--otlp-headers-file, line {}: Name: value is wanted", number + 1);
        let (name, value) = line.split_once(':').with_context(wanted)?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    });
    pairs.collect()
}

pub(crate) fn telemetry(config: &Config) -> Result<lanyard_service_telemetry::Settings> {
    let otlp = config.options.otlp_endpoint.as_deref();
    let headers = match &config.options.otlp_headers_file {
        Some(path) => headers(&secret("--otlp-headers-file", path)?)?,
        None => Vec::new(),
    };
    let otlp =
        otlp.map(|endpoint| lanyard_service_telemetry::OtlpSettings::new(endpoint, &headers)).transpose()?;
    Ok(lanyard_service_telemetry::Settings { otlp })
}

pub(crate) fn audit(config: &Config) -> lanyard_service_audit::Settings {
    let options = &config.options;
    lanyard_service_audit::Settings {
        least_days: options.audit_least_days,
        shortening_days: options.audit_shortening_days,
        ..lanyard_service_audit::Settings::default()
    }
}

pub(crate) fn tools(config: &Config, state: &StateDir) -> Result<lanyard_service_tools::Settings> {
    use lanyard_service_tools::{Reach, Settings};
    let allowed = config.options.allow_private_tools;
    let reach = Reach { private: allowed, loopback_http: allowed };
    Ok(Settings::open(&state.path().join("tools.key"), reach)?)
}

#[cfg(test)]
mod tests {
    use super::headers;

    #[test]
    fn headers_for_the_receiver_are_lines() {
        let read = headers("Authorization: Bearer a:b\n\n x-team : 7 \n").unwrap_or_default();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read, [pair("Authorization", "Bearer a:b"), pair("x-team", "7")]);
        let wrong = headers("a: b\nsecret").err().map(|error| error.to_string()).unwrap_or_default();
        assert!(wrong.contains("line 2") && !wrong.contains("secret"), "{wrong}");
    }
}
