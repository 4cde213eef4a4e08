//! Access tokens: got by proof of possession when first needed, renewed before they run out, by one call at a time.

use std::time::Duration;

use futures_util::future::BoxFuture;
use lanyard_governance_api::endpoint::CreateAccessToken;
use lanyard_governance_api::enrolment::{AccessTokenRequest, Purpose};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{CallError, Central};
use crate::secret::Secret;

/// How long before its end a token is no longer used, so that it does not run out under way.
const MARGIN: Duration = Duration::from_secs(60);

/// The token in use. The lock is held while one is fetched: whoever needs one meanwhile waits for the same.
#[derive(Debug, Default)]
pub(crate) struct AccessTokens {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    token: Option<(Secret, Instant)>,
    /// The last failure and when it came: those who were waiting then share it, instead of failing one by one.
    failed: Option<(Instant, CallError)>,
}

impl Central {
    /// A token that is good for a while; another than `refused`, which the centre does not take any more. Cancel-safe.
    pub(super) async fn access_token(&self, refused: Option<&Secret>) -> Result<Secret, CallError> {
        let asked = Instant::now();
        let mut held = self.inner.access.held.lock().await;
        if let Some((token, fresh_until)) = &held.token
            && refused != Some(token)
            && Instant::now() < *fresh_until
        {
            return Ok(token.clone());
        }
        if let Some((when, error)) = &held.failed
            && *when > asked
        {
            return Err(error.clone());
        }
        let begun = Instant::now();
        match self.fetch_access_token().await {
            Ok((token, life)) => {
                // A token that lives shorter than the margin is used for half of its life.
                let fresh = life.saturating_sub(MARGIN).max(life / 2);
                *held = Held { token: Some((token.clone(), begun + fresh)), failed: None };
                Ok(token)
            }
            Err(error) => {
                *held = Held { token: None, failed: Some((Instant::now(), error.clone())) };
                Err(error)
            }
        }
    }

    /// A new token and how long it lives. Boxed because getting one is itself a call.
    fn fetch_access_token(&self) -> BoxFuture<'_, Result<(Secret, Duration), CallError>> {
        Box::pin(async {
            let request = |proof| AccessTokenRequest { proof };
            let made = self.call_with_proof::<CreateAccessToken>(Purpose::AccessToken, request).await?;
            self.inner.clock.learn(made.server_time);
            // By the server's own clock at both ends, so that ours does not matter.
            let life = Duration::from_millis(made.expires_at.millis_since(made.server_time));
            Ok((Secret::new(made.token), life))
        })
    }
}
