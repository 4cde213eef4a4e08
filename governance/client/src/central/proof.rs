//! Proofs of possession, and what to do when the clock they were made by turns out to be wrong.

use lanyard_governance_api::endpoint::Call;
use lanyard_governance_api::enrolment::{Proof, Purpose, proof_text};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{CallError, Central, Credential, http};

/// By how much the clock must have moved for a refused proof to be worth making again, in milliseconds. The server takes
/// five minutes.
const WORTH_ANOTHER_MILLIS: u64 = 60_000;

impl Central {
    /// A call that its proof alone authenticates; made once more when the refusal taught us that our clock was wrong.
    pub(crate) async fn call_with_proof<C: Call>(
        &self,
        purpose: Purpose,
        request: impl Fn(Proof) -> C::Request + Send + Sync,
    ) -> Result<C::Response, CallError>
    where
        C::Query: Serialize + Default,
        C::Request: Serialize,
        C::Response: DeserializeOwned,
    {
        let proof = self.proof(purpose)?;
        let signed = proof.timestamp;
        let first = self.call_by::<C>(Credential::None, &request(proof)).await;
        let moved = self.clock().now().as_millis().abs_diff(signed.as_millis()) > WORTH_ANOTHER_MILLIS;
        match first {
            Err(CallError::Refused { .. }) if moved => {
                self.call_by::<C>(Credential::None, &request(self.proof(purpose)?)).await
            }
            other => other,
        }
    }

    fn proof(&self, purpose: Purpose) -> Result<Proof, CallError> {
        let timestamp = self.clock().now();
        let nonce = http::nonce()?;
        let text = proof_text(purpose, self.agent_id(), timestamp, &nonce);
        let signature = self.inner.connection().identity.key.sign_text(&text);
        Ok(Proof { timestamp, nonce, signature })
    }
}
