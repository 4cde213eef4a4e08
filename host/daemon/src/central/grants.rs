//! The last grant of each open session, kept so that a host that restarts while the centre is away does what the
//! tenant's policy says and not what happens to be possible.
//!
//! A file of mode 0600 for each session, used only when the centre is not reached, and only while
//!
//! * the bundle has not run out, by the centre's clock as this host knew it;
//! * its offline grace lasts, counted from when the centre was last heard, on the boot clock, so that neither sleep nor
//!   a clock that is set back prolongs it;
//! * nothing newer was heard of the policy;
//! * the tenant wants sessions to go on while it is away.
//!
//! After a restart of the machine the boot clock begins anew; then the wall clock counts, and one that stands before the
//! grant makes it void.

use std::path::PathBuf;

use lanyard_governance_api::session::WhenAway;
use lanyard_ports::authority::{CENTRAL_LAYER, Issued, IssuedBundle, PolicyNews, SessionGateway};
use lanyard_protocol::Timestamp;
use lanyard_protocol::id::SessionId;
use lanyard_protocol::policy::PolicyBundle;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::consent::{FileError, Mark};
use crate::state_dir::{private_dir, write_private};

/// Grants kept at most. A session that is not among the last so many asks the centre before it goes on.
const MAX_KEPT: usize = 256;

/// Longest file that is read, in bytes; a bundle of the largest policy document fits several times.
const MAX_BYTES: u64 = 8 << 20;

/// A grant as the centre gave it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Granted {
    pub(crate) bundle: PolicyBundle,
    pub(crate) gateway: Option<SessionGateway>,
    pub(crate) when_away: WhenAway,
    /// Most steps of one task.
    pub(crate) max_steps: u32,
    /// The centre's clock when it answered.
    pub(crate) issuer_time: Timestamp,
}

impl Granted {
    /// As the session's policy takes it, beside the machine's own bundle.
    pub(crate) fn issued(self, local: IssuedBundle) -> Issued {
        Issued {
            bundles: vec![local, IssuedBundle { layer: CENTRAL_LAYER, bundle: self.bundle }],
            gateway: self.gateway,
            pause_when_away: self.when_away == WhenAway::Pause,
            issuer_time: Some(self.issuer_time),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Kept {
    session_id: SessionId,
    bundle: PolicyBundle,
    gateway: Option<KeptGateway>,
    when_away: WhenAway,
    max_steps: u32,
    issuer_time: Timestamp,
    mark: Mark,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeptGateway {
    endpoint: String,
    token: String,
    model: Option<String>,
    expires_at: Option<Timestamp>,
}

/// Why a kept grant is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoGrant {
    #[error("this machine holds no grant for the session")]
    None,
    #[error("the bundle it holds has run out")]
    Expired,
    #[error("the bundle it holds may be used for {0} s without them, and these are over")]
    GraceOver(u64),
    #[error("the policy has changed since the bundle it holds was issued")]
    Outdated,
    #[error("the tenant's policy is that sessions stand still without them")]
    Pauses,
}

/// The directory of grants.
#[derive(Debug, Clone)]
pub(crate) struct Grants {
    dir: PathBuf,
}

/// What a kept grant is measured by.
#[derive(Debug)]
pub(crate) struct Measure<'a> {
    pub(crate) now: &'a Mark,
    /// When the centre was last heard.
    pub(crate) heard: Option<&'a Mark>,
    pub(crate) news: &'a PolicyNews,
}

impl Grants {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Keeps what was granted just now, in place of what was kept for the session. Blocks.
    pub(crate) fn keep(&self, session: &SessionId, granted: &Granted, now: &Mark) -> Result<(), FileError> {
        private_dir(&self.dir)?;
        let gateway = granted.gateway.clone().map(|gateway| KeptGateway {
            endpoint: gateway.endpoint,
            token: gateway.token,
            model: gateway.model,
            expires_at: gateway.expires_at,
        });
        let kept = Kept {
            session_id: session.clone(),
            bundle: granted.bundle.clone(),
            gateway,
            when_away: granted.when_away,
            max_steps: granted.max_steps,
            issuer_time: granted.issuer_time,
            mark: now.clone(),
        };
        let path = self.path(session);
        let bytes = serde_json::to_vec(&kept)
            .map_err(|e| FileError::Unreadable { path: path.clone(), message: e.to_string() })?;
        write_private(&path, &bytes)?;
        self.bound();
        Ok(())
    }

    /// What may be used now although the centre is not reached; its grace is what is left of it. A grant that is void is
    /// deleted. Blocks.
    pub(crate) fn usable(&self, session: &SessionId, by: &Measure<'_>) -> Result<Granted, NoGrant> {
        let Some(kept) = self.read(session) else { return Err(NoGrant::None) };
        match judge(&kept, by) {
            Ok(granted) => Ok(granted),
            // The tenant may say otherwise in the next grant; this one is not void.
            Err(NoGrant::Pauses) => Err(NoGrant::Pauses),
            Err(why) => {
                self.forget(session);
                Err(why)
            }
        }
    }

    /// Deletes what is kept for a session. Blocks.
    pub(crate) fn forget(&self, session: &SessionId) {
        if let Err(error) = std::fs::remove_file(self.path(session))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, %session, "a kept grant could not be deleted");
        }
    }

    /// Deletes every grant. Blocks.
    pub(crate) fn wipe(&self) -> Result<(), FileError> {
        match std::fs::remove_dir_all(&self.dir) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(FileError::Unreadable { path: self.dir.clone(), message: e.to_string() }),
        }
    }

    fn read(&self, session: &SessionId) -> Option<Kept> {
        let path = self.path(session);
        let size = std::fs::symlink_metadata(&path).ok().filter(std::fs::Metadata::is_file)?.len();
        if size > MAX_BYTES {
            return None;
        }
        let kept: Kept = match serde_json::from_slice(&std::fs::read(&path).ok()?) {
            Ok(kept) => kept,
            Err(error) => {
                tracing::warn!(%error, file = %path.display(), "a kept grant cannot be read and is not used");
                return None;
            }
        };
        // The file's name is a hash; what is in it decides.
        (kept.session_id == *session && kept.bundle.session_id == *session).then_some(kept)
    }

    /// The oldest go first.
    fn bound(&self) {
        let Ok(entries) = std::fs::read_dir(&self.dir) else { return };
        let dated = |entry: std::fs::DirEntry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()));
        let mut files: Vec<_> = entries.flatten().filter_map(dated).collect();
        if files.len() <= MAX_KEPT {
            return;
        }
        files.sort();
        for (_, path) in files.iter().take(files.len() - MAX_KEPT) {
            // One that stays is deleted the next time.
            let _ = std::fs::remove_file(path);
        }
    }

    /// Ids may hold characters that file systems give a meaning to, and differ in case only.
    fn path(&self, session: &SessionId) -> PathBuf {
        let digest = Sha256::digest(session.as_str().as_bytes());
        let name = data_encoding::HEXLOWER.encode(digest.get(..16).unwrap_or_default());
        self.dir.join(format!("{name}.json"))
    }
}

fn judge(kept: &Kept, by: &Measure<'_>) -> Result<Granted, NoGrant> {
    let age = kept.mark.until(by.now).ok_or(NoGrant::Expired)?;
    let issuer_time = kept.issuer_time.plus_millis(i64::try_from(age).unwrap_or(i64::MAX));
    if issuer_time >= kept.bundle.expires_at {
        return Err(NoGrant::Expired);
    }
    if kept.bundle.policy_epoch < by.news.epoch || by.news.revoked.is_some() {
        return Err(NoGrant::Outdated);
    }
    if kept.when_away == WhenAway::Pause {
        return Err(NoGrant::Pauses);
    }
    let silent = by.heard.and_then(|heard| heard.until(by.now)).map_or(age, |heard| heard.min(age));
    let grace = kept.bundle.offline_grace_seconds;
    let left = grace.saturating_mul(1000).checked_sub(silent).ok_or(NoGrant::GraceOver(grace))?;
    let mut bundle = kept.bundle.clone();
    bundle.offline_grace_seconds = left / 1000;
    let gateway =
        kept.gateway.as_ref().filter(|gateway| gateway.expires_at.is_none_or(|at| at > issuer_time));
    let gateway = gateway.map(|gateway| SessionGateway {
        endpoint: gateway.endpoint.clone(),
        token: gateway.token.clone(),
        model: gateway.model.clone(),
        expires_at: gateway.expires_at,
    });
    let (when_away, max_steps) = (kept.when_away, kept.max_steps);
    Ok(Granted { bundle, gateway, when_away, max_steps, issuer_time })
}

#[cfg(test)]
mod tests;
