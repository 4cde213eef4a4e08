//! What the host may do, whom it asks, and who may ask it, in the short form.

use std::sync::Arc;

use lanyard_policy::decide::programs_may_run;
use lanyard_policy::layer::Layers;
use lanyard_policy::{overview, visible};
use lanyard_ports::authority::SessionClaim;
use lanyard_protocol::error::WireError;
use lanyard_protocol::method::Response;
use lanyard_protocol::overview::{Asker, PolicyOverview};
use lanyard_protocol::principal::{Principal, Scope};

use super::Answer;
use crate::host::Host;
use crate::ids::fresh;
use crate::principals::owner;

/// `GetPolicy`: of a session about all of the host's workspaces, begun by whoever asks.
pub(super) async fn get(host: &Arc<Host>, principal: &Principal) -> Result<Answer, WireError> {
    // Without a workspace, sessions have directories of their own.
    let roots = match host.config.workspaces.as_slice() {
        [] => vec![host.paths.general.clone()],
        roots => roots.to_vec(),
    };
    let claim = SessionClaim {
        session_id: fresh(host, "look")?,
        workspace_id: fresh(host, "ws")?,
        roots,
        tenant_id: host.centre.tenant_id(),
        user_id: host.centre.user_id(principal.id.as_str()),
    };
    let now = host.clock.now();
    let mut issued = host.authority.issue(&claim).await?.bundles;
    // What the centre last said of a session; the next one may be told otherwise.
    issued.extend(host.centre.last_bundle(&claim.session_id, now));
    let issued = issued.into_iter().map(|one| (one.layer, one.bundle)).collect();
    let layers = Layers::validate(issued, &claim.session_id, now).map_err(|fault| fault.to_wire())?;
    let sandbox_level = host.sandbox.report().level;
    let programs = programs_may_run(&layers, sandbox_level, host.unconfined());
    let first = layers.iter().next().map(|layer| layer.bundle().policy_bundle_version.clone());
    let overview = PolicyOverview {
        layers: layers.iter().map(|layer| layer.name().to_owned()).collect(),
        version: first.unwrap_or_default(),
        expires_at: layers.expires_at(),
        grants: overview::grants(&layers, programs),
        protected: overview::protected(),
        sandbox_level,
        approval_seconds: host.config.approval_seconds,
        askers: askers(host, principal),
    };
    Ok(Response::GetPolicy(overview).into())
}

/// The owner, then devices by name. Whoever may not list devices learns how many there are and what they may do, not
/// what they are called.
fn askers(host: &Host, caller: &Principal) -> Vec<Asker> {
    let names = caller.local || caller.holds(Scope::Admin);
    let owner = owner().ok().map(|owner| {
        // In whichever way the owner asks: a tab of this machine may hold fewer rights.
        let this = owner.id == caller.id;
        let scopes = if this { caller.scopes.clone() } else { owner.scopes };
        Asker { name: Some(owner.name), scopes, this }
    });
    let devices = host.network.devices().list().into_iter().map(|device| {
        let this = device.device_id.as_str() == caller.id.as_str();
        let name = (names || this).then(|| visible::line(&device.name).into_owned());
        Asker { name, scopes: device.scopes, this }
    });
    owner.into_iter().chain(devices).collect()
}
