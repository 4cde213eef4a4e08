//! Looking at files of a workspace from elsewhere: what the host's tools may read without a question, and no more.

use std::path::PathBuf;
use std::sync::Arc;

use lanyard_dispatch::SessionPolicy;
use lanyard_policy::decide::{Terms, Verdict, decide};
use lanyard_policy::demand::PlannedCall;
use lanyard_policy::layer::Layers;
use lanyard_policy::path::HostPath;
use lanyard_policy::permit::Permitted;
use lanyard_policy::visible;
use lanyard_ports::authority::SessionClaim;
use lanyard_protocol::Json;
use lanyard_protocol::bytes::Bytes;
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::id::SessionId;
use lanyard_protocol::limits::MAX_FILE_PIECE_BYTES;
use lanyard_protocol::method::{FilePage, FilePiece, GetFile, ListFiles, Response};
use lanyard_protocol::policy::Capability;
use lanyard_protocol::principal::Principal;
use lanyard_protocol::session::TaskOptions;
use lanyard_protocol::tool::ToolRequest;
use lanyard_tools::Workspace;
use lanyard_tools::browse::{self, Located};
use serde_json::json;

use super::{Answer, workspaces};
use crate::host::Host;
use crate::ids::{fresh, invalid};

/// Workspaces named in a refusal.
const NAMED: usize = 3;

/// `ListFiles`.
pub(super) async fn list(
    host: &Arc<Host>,
    principal: &Principal,
    params: ListFiles,
) -> Result<Answer, WireError> {
    let look = Look::at(host, principal, &params.path).await?;
    let listing = look.permitted(browse::list).await?;
    let page = FilePage {
        path: listing.path.display().to_string(),
        parent: listing.parent.map(|parent| parent.display().to_string()),
        entries: listing.entries,
        truncated: listing.truncated,
    };
    Ok(Response::ListFiles(page).into())
}

/// `GetFile`.
pub(super) async fn get(
    host: &Arc<Host>,
    principal: &Principal,
    params: GetFile,
) -> Result<Answer, WireError> {
    let (offset, length) = (params.offset, params.length.unwrap_or(MAX_FILE_PIECE_BYTES));
    let look = Look::at(host, principal, &params.path).await?;
    let piece = look
        .permitted(move |workspace, permit, located| browse::read(workspace, permit, located, offset, length))
        .await?;
    if offset == 0 {
        tracing::info!(by = %principal.id, path = %visible::line(&params.path), "a file was looked at");
    }
    let piece = FilePiece { bytes: Bytes(piece.bytes), total: piece.total, text: piece.text };
    Ok(Response::GetFile(piece).into())
}

/// Somebody about to look at something, with all that decides whether they may.
struct Look {
    host: Arc<Host>,
    principal: Principal,
    layers: Layers,
    workspace: Arc<Workspace>,
    request: ToolRequest,
    path: String,
}

impl Look {
    /// Finds the workspace that a path lies in and the policy over it.
    async fn at(host: &Arc<Host>, principal: &Principal, path: &str) -> Result<Self, WireError> {
        let root = root_of(host, principal, path).await?;
        // There is no session: the ids are of this look alone, so that no answer given elsewhere covers it.
        let session_id: SessionId = fresh(host, "look")?;
        let claim = SessionClaim {
            session_id: session_id.clone(),
            workspace_id: fresh(host, "ws")?,
            roots: vec![root.clone()],
            tenant_id: host.centre.tenant_id(),
            user_id: host.centre.user_id(principal.id.as_str()),
        };
        let layers = SessionPolicy::layers(&*host.authority, &claim, host.clock.now()).await?;
        let workspace = host.sessions.look_at(host, vec![root]).await?;
        let request = ToolRequest {
            tool_name: "Browse".to_owned(),
            arguments: Json(json!({ "path": path })),
            workspace_id: claim.workspace_id,
            session_id,
            task_id: fresh(host, "task")?,
            step_id: fresh(host, "step")?,
            tool_call_id: fresh(host, "call")?,
            capability: Some(Capability::FileRead),
        };
        let (host, principal, path) = (host.clone(), principal.clone(), path.to_owned());
        Ok(Self { host, principal, layers, workspace, request, path })
    }

    /// Finds the thing, asks policy, and looks, where blocking is allowed.
    async fn permitted<T: Send + 'static>(
        self,
        look: impl FnOnce(&Workspace, &Permitted<PlannedCall>, &Located) -> Result<T, browse::BrowseError>
        + Send
        + 'static,
    ) -> Result<T, WireError> {
        let looked = tokio::task::spawn_blocking(move || {
            let located = browse::locate(&self.workspace, self.request.clone(), &self.path)?;
            let permit = self.judge(located.call().clone())?;
            Ok(look(&self.workspace, &permit, &located)?)
        });
        looked.await.unwrap_or_else(|e| Err(WireError::new(ErrorCode::InternalError, e.to_string())))
    }

    /// Policy's word on reading it. Nobody is asked: a question per click would be answered without a thought.
    fn judge(&self, call: PlannedCall) -> Result<Permitted<PlannedCall>, WireError> {
        let options = TaskOptions { allow_network: false, ..TaskOptions::default() };
        let terms = Terms {
            host: &self.host.network.host_id(),
            initiator: &self.principal,
            options: &options,
            sandbox: self.workspace.sandbox_level(),
            unconfined: self.host.unconfined(),
            places: self.workspace.places(),
            now: self.host.clock.now(),
        };
        match decide(&self.layers, call, &terms) {
            Verdict::Allowed(permit) => Ok(permit),
            Verdict::Denied(denial) => Err(denial.to_wire()),
            Verdict::Ask(ask) => {
                let text = format!(
                    "{} can be read only after a question ({}), and looking at files asks nobody; give the agent a \
                     task that reads it, or look at it on the machine itself",
                    visible::line(&self.path),
                    ask.reasons().join(" ")
                );
                Err(WireError::new(ErrorCode::CapabilityDenied, text))
            }
        }
    }
}

/// The outermost workspace that a path lies in, those of the configuration first: a file comes in many pieces, and
/// sessions are not looked through for each.
async fn root_of(host: &Arc<Host>, principal: &Principal, path: &str) -> Result<PathBuf, WireError> {
    let asked = HostPath::parse(path).map_err(|e| invalid(format!("path: {e}")))?;
    if let Some(root) = outermost(&asked, host.config.workspaces.iter()) {
        return Ok(root);
    }
    let known = workspaces::known(host, principal).await?;
    if let Some(root) = outermost(&asked, known.iter().map(|known| &known.path)) {
        return Ok(root);
    }
    let mut there: Vec<String> = known
        .iter()
        .filter(|known| !known.of_a_session)
        .map(|known| known.path.display().to_string())
        .collect();
    there.truncate(NAMED);
    let there = match there.as_slice() {
        [] => "there is none yet; its owner can add one with `lanyard up --workspace`".to_owned(),
        there => format!("those are {}", visible::line(&there.join(", "))),
    };
    let text = format!("{} lies in no workspace of this host: {there}", visible::line(asked.as_str()));
    Err(WireError::new(ErrorCode::CapabilityDenied, text))
}

fn outermost<'a>(asked: &HostPath, roots: impl Iterator<Item = &'a PathBuf>) -> Option<PathBuf> {
    let holds = |root: &&PathBuf| {
        let root = root.to_str().and_then(|root| HostPath::parse(root).ok());
        root.is_some_and(|root| asked.is_within(&root))
    };
    roots.filter(holds).min_by_key(|root| root.as_os_str().len()).cloned()
}
