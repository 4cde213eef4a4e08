//! A host that was killed is back, and devices learn at once that it does not know their connections.
//!
//! QUIC's stateless reset (RFC 9000 §10.3): a host answers packets of a connection it does not know with a token that it
//! had given the device when that connection began. The key of the tokens has to survive the process, so it is derived
//! from the host's identity; without this a device would wait for [`crate::limits::IDLE`] to pass.

use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, Mac};
use lanyard_pairing::IdentityKeys;
use quinn::crypto::{CryptoError, HmacKey};
use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig};
use rand_core::{OsRng, RngCore};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Separates this use of the seed from the signatures'.
const LABEL: &[u8] = b"lanyard-quic-reset-v1";

/// Bytes of a connection id: enough that nobody finds one by trying.
const ID_BYTES: usize = 8;

/// A host's endpoint.
pub(crate) fn endpoint_config(keys: &IdentityKeys) -> EndpointConfig {
    let seed = keys.signing_seed();
    let mut config = EndpointConfig::new(Arc::new(ResetKey(Zeroizing::new(hmac(&seed, LABEL)))));
    // quinn's own ids are bound to the process; packets with those of an earlier one would be dropped unanswered.
    config.cid_generator(|| Box::new(RandomIds));
    config
}

struct ResetKey(Zeroizing<[u8; 32]>);

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(&hmac(&self.0, data));
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        use subtle::ConstantTimeEq;
        if hmac(&self.0, data).ct_eq(signature).into() { Ok(()) } else { Err(CryptoError) }
    }
}

fn hmac(key: &[u8; 32], data: &[u8]) -> [u8; 32] {
    // The key has the length of a block at most, so it is used as it is.
    let mut padded = hmac::digest::generic_array::GenericArray::default();
    padded[..32].copy_from_slice(key);
    Hmac::<Sha256>::new(&padded).chain_update(data).finalize().into_bytes().into()
}

struct RandomIds;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID_BYTES];
        OsRng.fill_bytes(&mut id);
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::Ended;
    use crate::host::HostEndpoint;
    use crate::lab::{LabHost, device, keys};

    #[test]
    fn the_key_depends_on_the_identity_alone() {
        let token = |number| {
            let key = ResetKey(Zeroizing::new(hmac(&keys(number).signing_seed(), LABEL)));
            let mut token = [0; 32];
            key.sign(b"id", &mut token);
            assert!(key.verify(b"id", &token).is_ok() && key.verify(b"di", &token).is_err());
            token
        };
        assert_eq!(token(1), token(1));
        assert_ne!(token(1), token(2));
    }

    #[tokio::test]
    async fn a_device_learns_at_once_that_a_killed_host_is_back() {
        let (address_out, address) = tokio::sync::oneshot::channel();
        let (kill, killed) = tokio::sync::oneshot::channel::<()>();
        // A runtime of its own. Without it the host can say no goodbye.
        let first = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let host = runtime.block_on(async {
                let mut host = LabHost::start(1, &[2]);
                address_out.send(host.address()).unwrap();
                let peer = host.device().await;
                killed.await.unwrap();
                (host, peer)
            });
            drop(runtime);
            drop(host);
        });
        let address = address.await.unwrap();
        let peer = device(2).session(&[crate::lab::given(address)], crate::lab::signing(1)).await.unwrap();
        kill.send(()).unwrap();
        first.join().unwrap();
        let _second = HostEndpoint::bind(address, &keys(1)).unwrap();
        let (mut send, _recv) = peer.open().await.unwrap();
        send.write_all(&[0; 100]).await.unwrap();
        assert_eq!(peer.ended().await, Ended::Reset);
    }
}
