//! The model of a session whose gateway the session's authority names, with a token for that session alone.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use lanyard_ports::authority::{SessionGateway, TokenSource};
use lanyard_ports::model::{Model, ModelAnswer, ModelError, ModelProgress, ModelRequest};
use lanyard_protocol::session::ModelInfo;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::endpoint::{Endpoint, EndpointError, Token, TokenError};
use crate::openai::renewal::Renewal;
use crate::openai::{Gateway, GatewayOptions, Offered, Timings};
use crate::pace::{Pace, RealPace};

/// [`ModelInfo::source`] of a model that central services named.
const SOURCE: &str = "central";

/// Why a granted gateway cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionModelError {
    /// Nothing was granted.
    #[error("the central services grant this session no model gateway")]
    NotGranted,
    /// The address.
    #[error("the model gateway that the central services name cannot be used: {0}")]
    Endpoint(#[from] EndpointError),
    /// The token.
    #[error("the model gateway's token cannot be used: {0}")]
    Token(#[from] TokenError),
}

/// A model behind the gateway that a session was granted. Each task holds on to the gateway of its beginning
/// ([`Model::held`]); only its token changes under way: a call takes over what was granted last, and a refused token is
/// renewed once a call.
pub struct SessionModel {
    tokens: Arc<dyn TokenSource>,
    allowed: Vec<String>,
    timings: Timings,
    pace: Arc<dyn Pace>,
    current: Mutex<Current>,
}

/// The gateway in use, and the grant it was made from.
struct Current {
    granted: SessionGateway,
    gateway: Arc<Gateway>,
}

impl fmt::Debug for SessionModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionModel").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

impl SessionModel {
    /// The model behind the gateway granted now. `allowed` are the models of the bundle, first choice first; they count
    /// where the grant names none.
    ///
    /// # Errors
    /// [`SessionModelError`] when nothing, or nothing usable, is granted.
    pub fn new(tokens: Arc<dyn TokenSource>, allowed: Vec<String>) -> Result<Self, SessionModelError> {
        Self::with_pace(tokens, allowed, Timings::default(), Arc::new(RealPace))
    }

    /// [`SessionModel::new`] with timings and clock handed in.
    pub fn with_pace(
        tokens: Arc<dyn TokenSource>,
        allowed: Vec<String>,
        timings: Timings,
        pace: Arc<dyn Pace>,
    ) -> Result<Self, SessionModelError> {
        let granted = tokens.gateway().ok_or(SessionModelError::NotGranted)?;
        let gateway = gateway(&granted, &tokens, &allowed, timings, &pace)?;
        let current = Mutex::new(Current { granted, gateway: Arc::new(gateway) });
        Ok(Self { tokens, allowed, timings, pace, current })
    }

    /// The gateway granted last; the one before while the new one cannot be used, whose calls then say why.
    fn current(&self) -> Arc<Gateway> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(granted) = self.tokens.gateway() else { return current.gateway.clone() };
        let (before, now) = (&current.granted, &granted);
        if (&before.endpoint, &before.model) != (&now.endpoint, &now.model) {
            match gateway(&granted, &self.tokens, &self.allowed, self.timings, &self.pace) {
                Ok(gateway) => *current = Current { granted, gateway: Arc::new(gateway) },
                Err(error) => tracing::warn!(%error, "another model gateway was granted"),
            }
        }
        current.gateway.clone()
    }

    /// Learns the model's name where the grant names none. A failure is not reported here; the next call meets it again.
    pub async fn resolve(&self) {
        self.current().resolve().await;
    }
}

fn gateway(
    granted: &SessionGateway,
    tokens: &Arc<dyn TokenSource>,
    allowed: &[String],
    timings: Timings,
    pace: &Arc<dyn Pace>,
) -> Result<Gateway, SessionModelError> {
    let options = GatewayOptions {
        endpoint: Endpoint::parse(&granted.endpoint)?,
        token: Some(Token::new(&granted.token)?),
        model: granted.model.clone(),
        context_window: None,
        source: SOURCE.to_owned(),
        found: false,
    };
    let renewal = Renewal::new(tokens.clone());
    Ok(Gateway::for_session(options, timings, pace.clone(), allowed.to_vec(), renewal))
}

#[async_trait::async_trait]
impl Model for SessionModel {
    fn info(&self) -> ModelInfo {
        self.current().info()
    }

    fn context_window(&self) -> u32 {
        self.current().context_window()
    }

    fn held(&self) -> Option<Arc<dyn Model>> {
        Some(self.current())
    }

    /// Whether policy allows the name is asked before each call.
    fn named(&self, name: &str) -> Option<Arc<dyn Model>> {
        let offered = Offered { name: name.to_owned(), context_window: None };
        Some(Arc::new(self.current().other(offered)))
    }

    async fn answer(
        &self,
        request: &ModelRequest,
        progress: &mpsc::Sender<ModelProgress>,
        cancel: &CancellationToken,
    ) -> Result<ModelAnswer, ModelError> {
        self.current().answer(request, progress, cancel).await
    }
}

#[cfg(test)]
mod tests;
