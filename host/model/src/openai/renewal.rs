//! Tokens given out for one session: taken over when others have renewed them, renewed when a gateway refuses them.

use std::sync::Arc;

use lanyard_ports::authority::{SessionGateway, TokenSource};
use lanyard_ports::model::ModelError;

use super::link::Link;
use crate::endpoint::{Endpoint, Token};

/// See the module.
#[derive(Clone)]
pub(crate) struct Renewal(Arc<dyn TokenSource>);

impl Renewal {
    pub(crate) fn new(tokens: Arc<dyn TokenSource>) -> Self {
        Self(tokens)
    }

    /// Uses the token last granted: the session's policy may have been renewed meanwhile, and with it the token.
    pub(super) fn catch_up(&self, link: &Link) -> Result<(), ModelError> {
        match self.0.gateway() {
            Some(gateway) => adopt(link, &gateway),
            None => Err(ModelError::Refused(
                "the session is granted no model gateway any more; start the task again".to_owned(),
            )),
        }
    }

    /// Gets a token that is not the one just refused.
    pub(super) async fn renew(&self, link: &Link) -> Result<(), ModelError> {
        let refused = link.token();
        let refused = refused.as_ref().map_or("", Token::reveal);
        let gateway = self.0.renew(refused).await.map_err(|error| {
            let text =
                format!("the model's gateway refused its token and there is no other: {}", error.message);
            if error.retryable { ModelError::Unavailable(text) } else { ModelError::Refused(text) }
        })?;
        adopt(link, &gateway)
    }
}

/// A token is sent to the gateway it was granted for, and nowhere else.
fn adopt(link: &Link, gateway: &SessionGateway) -> Result<(), ModelError> {
    let refused = |text: String| ModelError::Refused(text);
    let endpoint = Endpoint::parse(&gateway.endpoint).map_err(|error| refused(error.to_string()))?;
    if endpoint != link.endpoint {
        return Err(refused(format!(
            "the session's model gateway moved from {} to {endpoint}; start the task again",
            link.endpoint
        )));
    }
    link.swap_token(Token::new(&gateway.token).map_err(|error| refused(error.to_string()))?);
    Ok(())
}
