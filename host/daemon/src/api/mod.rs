//! The agent API: one set of handlers for every transport.
//!
//! A transport authenticates a peer and hands [`serve::serve`] its principal and frames. Each request is checked
//! against the scope its method declares and then carried out by the handler of its resource.

mod approvals;
mod attachments;
mod central;
mod control;
mod devices;
mod files;
mod history;
mod hosts;
mod links;
mod models;
mod page;
mod pairings;
pub(crate) mod peer;
mod policy;
mod remote;
pub(crate) mod serve;
pub(crate) mod sessions;
pub(crate) mod streams;
mod subscription;
mod tasks;
mod trust;
mod workspaces;

use std::sync::Arc;

use lanyard_ports::journal::JournalError;
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::id::SessionId;
use lanyard_protocol::limits::{DEFAULT_PAGE, MAX_PAGE};
use lanyard_protocol::method::{Request, Response};
use lanyard_protocol::principal::Principal;

use crate::host::Host;

pub(crate) use tasks::changed_files;

/// What a handler gives back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Sent first.
    response: Response,
    /// Then carried out.
    follow: Follow,
}

/// A change to what the connection is subscribed to.
#[derive(Debug)]
pub(crate) enum Follow {
    /// None.
    Nothing,
    /// Events of a session after a number.
    Session(SessionId, u64),
    /// No more events of a session.
    Unfollow(SessionId),
    /// Host-wide events after a number.
    Host(u64),
}

impl Answer {
    /// For a caller that follows nothing.
    pub(crate) fn into_response(self) -> Response {
        self.response
    }
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self { response, follow: Follow::Nothing }
    }
}

/// Whether a request must wait for the ones before it on the same connection: everything that changes something,
/// or the connection's subscriptions. Reads overtake, those of files included: no approval waits behind a download.
pub(crate) fn is_ordered(request: &Request) -> bool {
    use lanyard_protocol::principal::Scope;
    if matches!(request, Request::ListFiles(_) | Request::GetFile(_)) {
        return false;
    }
    matches!(
        request,
        Request::Subscribe(_)
            | Request::Unsubscribe(_)
            | Request::SubscribeHost(_)
            | Request::ClosePairing(_)
            | Request::DecidePairing(_)
    ) || request.method().scope() != Scope::Observe
}

/// Carries out one request of an authenticated principal.
pub(crate) async fn handle(
    host: &Arc<Host>,
    principal: &Principal,
    request: Request,
) -> Result<Answer, WireError> {
    let scope = request.method().scope();
    if !principal.holds(scope) {
        let name = request.method().name();
        let text =
            format!("{name} needs the scope {:?}, which {} does not hold", scope.as_str(), principal.name);
        return Err(WireError::new(ErrorCode::Unauthorized, text).with("scope", scope.as_str()));
    }
    match request {
        Request::CreateSession(p) => sessions::create(host, principal, p).await,
        Request::ResumeSession(p) => sessions::resume(host, p).await,
        Request::GetSessionState(p) => {
            sessions::snapshot(host, &p.session_id).map(|s| Response::GetSessionState(s).into())
        }
        Request::ListSessions(p) => sessions::list(host, p).await,
        Request::EndSession(p) => sessions::end(host, p).await,
        Request::DeleteSession(p) => sessions::delete(host, p).await,
        Request::StartTask(p) => tasks::start(host, principal, p).await,
        Request::CancelTask(p) => tasks::cancel(host, principal, p).await,
        Request::GetPatchPreview(p) => tasks::preview(host, p).await,
        Request::ApproveAction(p) => approvals::answer(host, principal, p).await,
        Request::ListApprovals(p) => approvals::list(host, p).await,
        Request::AcknowledgeApproval(p) => approvals::acknowledge(host, principal, p).await,
        Request::ListRules(_) => approvals::rules(host),
        Request::RevokeRule(p) => approvals::revoke_rule(host, p).await,
        Request::GetHistory(p) => history::page(host, p).await,
        Request::GetArtifact(p) => history::artifact(host, p).await,
        Request::Subscribe(p) => history::subscribe(host, p),
        Request::Unsubscribe(p) => Ok(history::unsubscribe(p)),
        Request::SubscribeHost(p) => history::subscribe_host(host, p),
        Request::Health(_) => control::health(host).await,
        Request::Shutdown(_) => Ok(control::shutdown(host)),
        Request::Identify(p) => devices::identify(host, principal, p).await,
        Request::OpenPairing(p) => pairings::open_pairing(host, principal, p).await,
        Request::ClosePairing(p) => pairings::close_pairing(host, principal, p).await,
        Request::ListPairings(p) => pairings::list_pairings(host, principal, p).await,
        Request::DecidePairing(p) => pairings::decide_pairing(host, principal, p).await,
        Request::ListDevices(p) => devices::list_devices(host, principal, p).await,
        Request::RenameDevice(p) => devices::rename_device(host, principal, p).await,
        Request::SetDeviceScopes(p) => devices::set_device_scopes(host, principal, p).await,
        Request::RevokeDevice(p) => devices::revoke_device(host, principal, p).await,
        Request::ListConnections(p) => devices::list_connections(host, principal, p).await,
        Request::Unpair(p) => devices::unpair(host, principal, p).await,
        Request::RotateHostKey(p) => devices::rotate_host_key(host, principal, p).await,
        Request::ListWorkspaces(_) => workspaces::list(host, principal).await,
        Request::ListModels(_) => models::list(host).await,
        Request::ListFiles(p) => files::list(host, principal, p).await,
        Request::GetFile(p) => files::get(host, principal, p).await,
        Request::PutAttachment(p) => attachments::put(host, principal, p).await,
        Request::GetPolicy(_) => policy::get(host, principal).await,
        Request::FindHosts(_) => hosts::find(host).await,
        Request::ReportPage(p) => page::report(host, principal, p).await,
        Request::CreateLink(p) => links::create(host, principal, p).await,
        Request::GetTrust(p) => trust::get(host, principal, p).await,
        Request::EnableTrust(p) => trust::enable(host, principal, p).await,
        Request::DisableTrust(p) => trust::disable(host, principal, p).await,
        Request::GetCentral(_) => central::get(host).await,
        Request::EnrolHost(p) => central::enrol(host, principal, p).await,
        Request::UnenrolHost(p) => central::unenrol(host, principal, p).await,
        Request::SetCentralConsent(p) => central::consent(host, principal, p).await,
    }
}

/// The error a peer is told for a fault of the store.
pub(crate) fn store_error(error: JournalError) -> WireError {
    let code = match &error {
        JournalError::Full(_) => ErrorCode::StorageFull,
        JournalError::NotFound(_) | JournalError::Refused(_) | JournalError::Repeated(_) => {
            ErrorCode::InvalidRequest
        }
        JournalError::Poisoned(_) | JournalError::Corrupt(_) => ErrorCode::InternalError,
    };
    if code == ErrorCode::InternalError {
        tracing::error!(%error, "the store failed a request");
    }
    WireError::new(code, error.to_string())
}

/// The error for a session this host does not have.
pub(crate) fn session_error(session: &SessionId, error: JournalError) -> WireError {
    match error {
        JournalError::NotFound(_) => {
            let text = format!("there is no session {session}; `lanyard sessions` lists those there are");
            WireError::new(ErrorCode::SessionNotFound, text).with("sessionId", session.as_str())
        }
        other => store_error(other),
    }
}

/// Rows of a page: the caller's wish within bounds.
fn page_size(wish: Option<u32>) -> Result<usize, WireError> {
    match wish.unwrap_or(DEFAULT_PAGE) {
        0 => Err(WireError::new(ErrorCode::InvalidRequest, "limit must be at least 1")),
        n => Ok(n.min(MAX_PAGE) as usize),
    }
}

/// Runs a blocking read of the store off the event loop.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, WireError> {
    match tokio::task::spawn_blocking(read).await {
        Ok(result) => result.map_err(store_error),
        Err(e) => {
            Err(WireError::new(ErrorCode::InternalError, format!("a read of the store did not finish: {e}")))
        }
    }
}
