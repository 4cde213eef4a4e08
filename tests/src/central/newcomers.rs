//! Enrolment in detail: tokens of any kind, a key that asks again, and what is answered instead of an identity.

use anyhow::{Context, Result};
use lanyard_governance_api::endpoint::{CreateEnrolmentToken, ExchangeToken, ListEnrolmentTokens};
use lanyard_governance_api::enrolment::{
    EnrolmentToken, ExchangeRequest, IssuedEnrolmentToken, IssuedIdentity, NewEnrolmentToken,
};
use rcgen::{KeyPair, PKCS_ED25519};

use super::{Admin, Refused, machine, nonce, request};

/// A token for so many hosts, good for so many seconds.
///
/// # Errors
/// Refused.
pub async fn token_for(admin: &Admin, uses: u32, seconds: Option<u32>) -> Result<IssuedEnrolmentToken> {
    let wanted = NewEnrolmentToken {
        user_id: None,
        class: "laptop".to_owned(),
        note: None,
        expires_in_seconds: seconds,
        max_uses: Some(uses),
    };
    admin.post::<CreateEnrolmentToken>(&[], &wanted).await
}

/// A token as the console shows it.
///
/// # Errors
/// It is not there.
pub async fn shown(admin: &Admin, token: &IssuedEnrolmentToken) -> Result<EnrolmentToken> {
    let page = admin.get::<ListEnrolmentTokens>(&[]).await?;
    let mut items = page.items.into_iter();
    items.find(|known| known.token_id == token.record.token_id).context("the token is not shown")
}

/// A machine with a key and one certificate request, which it may send again.
#[derive(Debug)]
pub struct Newcomer {
    csr: String,
    name: String,
}

impl Newcomer {
    /// With a fresh key.
    ///
    /// # Errors
    /// No key.
    pub fn new(name: &str) -> Result<Self> {
        let csr = request(&KeyPair::generate_for(&PKCS_ED25519)?)?;
        Ok(Self { csr, name: name.to_owned() })
    }

    /// Shows a token.
    ///
    /// # Errors
    /// Refused.
    pub async fn knocks(&self, base: &str, token: &str) -> Result<IssuedIdentity> {
        let body = ExchangeRequest {
            token: token.to_owned(),
            csr_pem: self.csr.clone(),
            nonce: nonce(),
            machine: machine(&self.name),
        };
        Admin::with(base, None)?.post::<ExchangeToken>(&[], &body).await
    }
}

/// The refusal that came instead.
///
/// # Errors
/// None did, or something else went wrong.
pub fn refusal<T>(answer: Result<T>) -> Result<Refused> {
    match answer {
        Ok(_) => anyhow::bail!("it was not refused"),
        Err(error) => match error.downcast_ref::<Refused>() {
            Some(refused) => Ok(refused.clone()),
            None => Err(error),
        },
    }
}
