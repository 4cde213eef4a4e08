//! The directories that a session works in, as the host's tools take them.

use std::path::PathBuf;
use std::sync::Arc;

use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_tools::sandbox::{Limits, PrivateTmp};
use lanyard_tools::{HttpClient, Workspace, WorkspaceOptions};

use crate::host::Host;

/// The client of every session's requests.
pub(super) fn http_client() -> Result<HttpClient, WireError> {
    HttpClient::new().map_err(|e| {
        let text = format!("HTTP requests cannot be made: {e}");
        WireError::new(ErrorCode::InternalError, text)
    })
}

/// Directories as a session works in them, with a scratch directory of its own.
pub(super) async fn private(
    host: &Arc<Host>,
    roots: Vec<PathBuf>,
    http: HttpClient,
) -> Result<(PrivateTmp, Arc<Workspace>), WireError> {
    let host = host.clone();
    let made = tokio::task::spawn_blocking(move || open_workspace(&host, roots, http)).await;
    made.unwrap_or_else(|e| Err(WireError::new(ErrorCode::InternalError, e.to_string())))
}

fn open_workspace(
    host: &Host,
    roots: Vec<PathBuf>,
    http: HttpClient,
) -> Result<(PrivateTmp, Arc<Workspace>), WireError> {
    let scratch = PrivateTmp::create_in(&host.paths.scratch).map_err(|e| {
        let text = format!("{} cannot be used: {e}", host.paths.scratch.display());
        WireError::new(ErrorCode::InternalError, text)
    })?;
    let workspace = opened(host, roots, scratch.path().to_owned(), http)?;
    Ok((scratch, workspace))
}

/// Directories opened for the host's tools. Blocks.
pub(super) fn opened(
    host: &Host,
    roots: Vec<PathBuf>,
    scratch: PathBuf,
    http: HttpClient,
) -> Result<Arc<Workspace>, WireError> {
    let options = WorkspaceOptions {
        roots,
        read: host.config.sandbox_read.clone(),
        scratch,
        protected: host.protected(),
        home: crate::state_dir::home(),
        sandbox: host.sandbox.clone(),
        limits: Limits::default(),
        http,
    };
    let workspace =
        Workspace::new(options).map_err(|e| WireError::new(ErrorCode::InvalidRequest, e.to_string()))?;
    Ok(Arc::new(workspace))
}
