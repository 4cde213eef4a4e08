//! Renewal of the certificate by proof of possession, with the same key.
//!
//! Never with a client certificate: one that has run out would end the handshake, and a laptop that slept for a month
//! could not come back.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use lanyard_governance_api::endpoint::RenewIdentity;
use lanyard_governance_api::enrolment::{Purpose, RenewRequest};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::central::state::Connection;
use crate::central::{CallError, Central, http};
use crate::identity::{Identity, IdentityError};

/// How long before its end a certificate is no longer shown, in milliseconds.
const MARGIN_MILLIS: i64 = 60_000;

/// Least time between attempts that calls make because the certificate has run out.
const PAUSE: Duration = Duration::from_secs(5);

/// Why the identity was not renewed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RenewError {
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// What came does not fit the key, cannot be used, or could not be kept. Nothing was replaced.
    #[error("the renewed identity was not taken over: {0}")]
    Unfit(String),
}

impl From<IdentityError> for RenewError {
    fn from(error: IdentityError) -> Self {
        Self::Unfit(error.to_string())
    }
}

impl RenewError {
    fn into_call(self) -> CallError {
        match self {
            Self::Call(error) => error,
            Self::Unfit(reason) => CallError::Protocol(reason),
        }
    }
}

/// One renewal at a time.
#[derive(Debug, Default)]
pub(crate) struct Renewals {
    under_way: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// The request that was sent and not answered: repeated as it is, it uses nothing.
    request: Option<String>,
    /// The last attempt that failed.
    failed: Option<(Instant, RenewError)>,
}

impl Central {
    /// Renews the certificate now, and keeps the renewed identity before it is used. One at a time: who comes meanwhile
    /// waits and renews again. Not cancelled half-way: a call that was dropped may have renewed at the centre, which the
    /// next one repeats.
    ///
    /// # Errors
    /// See [`RenewError`].
    pub async fn renew(&self) -> Result<(), RenewError> {
        let mut progress = self.inner.renewals.under_way.lock().await;
        self.renew_now(&mut progress).await.map(drop)
    }

    /// The connection with a certificate that has not run out; renewed first when it has.
    pub(crate) async fn with_valid_certificate(
        &self,
        connection: Arc<Connection>,
    ) -> Result<Arc<Connection>, CallError> {
        if !self.has_run_out(&connection.identity) {
            return Ok(connection);
        }
        let mut progress = self.inner.renewals.under_way.lock().await;
        let connection = self.inner.connection();
        if !self.has_run_out(&connection.identity) {
            return Ok(connection);
        }
        if let Some((when, error)) = &progress.failed
            && when.elapsed() < PAUSE
        {
            return Err(error.clone().into_call());
        }
        self.renew_now(&mut progress).await.map_err(RenewError::into_call)
    }

    fn has_run_out(&self, identity: &Identity) -> bool {
        self.clock().now() >= identity.not_after.plus_millis(-MARGIN_MILLIS)
    }

    /// Boxed because renewing is itself a call.
    fn renew_now<'a>(
        &'a self,
        progress: &'a mut Progress,
    ) -> BoxFuture<'a, Result<Arc<Connection>, RenewError>> {
        Box::pin(async {
            let renewed = self.exchange(progress).await;
            match &renewed {
                Ok(_) => *progress = Progress::default(),
                Err(error) => progress.failed = Some((Instant::now(), error.clone())),
            }
            renewed
        })
    }

    async fn exchange(&self, progress: &mut Progress) -> Result<Arc<Connection>, RenewError> {
        let old = self.identity();
        let csr_pem = match &progress.request {
            Some(request) => request.clone(),
            None => {
                let request = old.key.request(old.agent_id.as_str(), &http::nonce()?);
                request.map_err(|error| RenewError::Unfit(error.to_string()))?
            }
        };
        progress.request = Some(csr_pem.clone());
        let nonce = http::nonce()?;
        let request = |proof| RenewRequest { csr_pem: csr_pem.clone(), nonce: nonce.clone(), proof };
        let issued = self.call_with_proof::<RenewIdentity>(Purpose::Renew, request).await?;
        self.clock().learn(issued.server_time);
        if issued.nonce != nonce || issued.agent_id != old.agent_id || issued.tenant_id != old.tenant_id {
            return Err(RenewError::Unfit("the answer belongs to another request".to_owned()));
        }
        let identity = Identity::from_issued(old.central.clone(), old.key.clone(), issued)?;
        let (store, kept) = (self.inner.store.clone(), identity.clone());
        // On disk first: the centre may take the old service token no longer.
        let saved = tokio::task::spawn_blocking(move || store.save(&kept)).await;
        saved.map_err(|error| RenewError::Unfit(error.to_string()))??;
        let connection = self.inner.replace(identity);
        connection.map_err(|error| RenewError::Unfit(error.to_string()))
    }
}
