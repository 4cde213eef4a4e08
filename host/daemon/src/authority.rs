//! Policy of a machine without a backend: the local default bundle over the session's own directories.

use std::path::PathBuf;

use lanyard_policy::bundle::LocalDefault;
use lanyard_policy::path::HostPath;
use lanyard_ports::authority::{
    Adopted, Issued, IssuedBundle, NewSession, PolicyNews, Reach, SessionAuthority, SessionClaim,
};
use lanyard_ports::source::Clock;
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::policy::{PolicyBundle, SandboxLevel};
use tokio::sync::watch;

/// Raised when the meaning of the local default changes, so that older remembered answers and approvals end.
const LOCAL_POLICY_EPOCH: u64 = 1;

/// Issues the local layer.
pub(crate) struct LocalAuthority<C> {
    /// The clock bundles are dated by.
    pub(crate) clock: C,
    /// The owner accepts children that are not fully confined.
    pub(crate) accept_unconfined: bool,
    /// Most tokens of one session.
    pub(crate) max_session_tokens: u64,
}

impl<C: Clock> LocalAuthority<C> {
    fn bundle(&self, claim: &SessionClaim) -> Result<PolicyBundle, WireError> {
        let bad = |text: String| WireError::new(ErrorCode::PolicyBundleInvalid, text);
        let host_path = |root: &PathBuf| {
            let text =
                root.to_str().ok_or_else(|| bad(format!("the workspace {} is not UTF-8", root.display())))?;
            HostPath::parse(text).map_err(|e| bad(format!("the workspace {text} cannot be used: {e}")))
        };
        let required_sandbox_level =
            if self.accept_unconfined { SandboxLevel::None } else { SandboxLevel::Full };
        LocalDefault {
            roots: claim.roots.iter().map(host_path).collect::<Result<_, _>>()?,
            policy_epoch: LOCAL_POLICY_EPOCH,
            required_sandbox_level,
            max_session_tokens: self.max_session_tokens,
        }
        .issue(claim.session_id.clone(), &claim.tenant_id, &claim.user_id, self.clock.now())
        .map_err(|e| bad(e.to_string()))
    }
}

#[async_trait::async_trait]
impl<C: Clock> SessionAuthority for LocalAuthority<C> {
    async fn adopt(&self, session: NewSession) -> Result<Adopted, WireError> {
        Ok(Adopted { session_id: session.session_id, workspace_id: session.workspace_id })
    }

    async fn issue(&self, claim: &SessionClaim) -> Result<Issued, WireError> {
        let bundles = vec![IssuedBundle { layer: "local", bundle: self.bundle(claim)? }];
        Ok(Issued { bundles, ..Issued::default() })
    }

    fn changes(&self) -> watch::Receiver<PolicyNews> {
        // Its sender is gone: there never is any.
        watch::channel(PolicyNews::default()).1
    }

    fn reach(&self) -> watch::Receiver<Reach> {
        watch::channel(Reach::default()).1
    }
}

/// Opens a session that is only to be ended, which needs nobody's leave: issues the machine's own layer once, and nothing
/// more once it is sealed, so that nobody else begins anything in it.
pub(crate) struct LastWord<A> {
    own: A,
    sealed: watch::Sender<PolicyNews>,
}

impl<A> LastWord<A> {
    /// By what the machine issues.
    pub(crate) fn new(own: A) -> Self {
        Self { own, sealed: watch::Sender::new(PolicyNews::default()) }
    }

    /// What was issued does not count any more, and nothing else will be.
    pub(crate) fn seal(&self) {
        let ended = Some("the session is being ended".to_owned());
        self.sealed.send_replace(PolicyNews { epoch: u64::MAX, revoked: ended });
    }
}

#[async_trait::async_trait]
impl<A: SessionAuthority> SessionAuthority for LastWord<A> {
    async fn adopt(&self, session: NewSession) -> Result<Adopted, WireError> {
        self.own.adopt(session).await
    }

    async fn issue(&self, claim: &SessionClaim) -> Result<Issued, WireError> {
        match &self.sealed.borrow().revoked {
            None => {}
            Some(why) => return Err(WireError::new(ErrorCode::SessionExpired, why.clone())),
        }
        self.own.issue(claim).await
    }

    fn changes(&self) -> watch::Receiver<PolicyNews> {
        self.sealed.subscribe()
    }

    fn reach(&self) -> watch::Receiver<Reach> {
        self.own.reach()
    }
}
