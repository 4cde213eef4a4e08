//! TLS 1.3 with raw Ed25519 public keys (RFC 7250, RFC 8410), for both ends.
//!
//! What TLS proves is that the peer owns a key, nothing else. The device compares the host's key within the handshake;
//! the host lets any key through it, because a verifier does not see the ALPN, and compares afterwards, before any
//! stream ([`crate::host`]). No session is ever resumed and nothing is sent early: every connection proves both keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ed25519_dalek::VerifyingKey;
use ed25519_dalek::pkcs8::{DecodePublicKey, EncodePrivateKey, EncodePublicKey};
use lanyard_pairing::IdentityKeys;
use quinn::crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use subtle::ConstantTimeEq;

use crate::dial::Expect;
use crate::{ALPN_PAIRING, ALPN_SESSION};

/// What the TLS stack wants instead of a name. An address, because those are not sent (RFC 6066 §3).
pub(crate) const NO_NAME: &str = "0.0.0.0";

/// An identity as the TLS stack holds it.
pub(crate) fn certified(keys: &IdentityKeys) -> Result<Arc<CertifiedKey>, Error> {
    let signing = ed25519_dalek::SigningKey::from_bytes(&keys.signing_seed());
    // Wiped when dropped, as is the seed.
    let private = signing.to_pkcs8_der().map_err(|error| Error::General(error.to_string()))?;
    let private = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(private.as_bytes()))?;
    let public =
        signing.verifying_key().to_public_key_der().map_err(|error| Error::General(error.to_string()))?;
    Ok(Arc::new(CertifiedKey::new(vec![CertificateDer::from(public.into_vec())], private)))
}

/// The host's side.
pub(crate) fn host(keys: &IdentityKeys) -> Result<QuicServerConfig, Error> {
    let resolver = AlwaysResolvesServerRawPublicKeys::new(certified(keys)?);
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(AnyDevice))
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![ALPN_SESSION.to_vec(), ALPN_PAIRING.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    QuicServerConfig::try_from(config).map_err(|error| Error::General(error.to_string()))
}

/// The device's side of one connection, and whether the host turned out to have another key.
pub(crate) fn device(
    key: &Arc<CertifiedKey>,
    alpn: &[u8],
    expect: Expect,
) -> Result<(QuicClientConfig, OtherKey), Error> {
    let other = OtherKey::default();
    let verifier = ExpectedHost { expect, other: other.clone() };
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(key.clone())));
    config.alpn_protocols = vec![alpn.to_vec()];
    config.enable_sni = false;
    config.enable_early_data = false;
    config.resumption = Resumption::disabled();
    let config = QuicClientConfig::try_from(config).map_err(|error| Error::General(error.to_string()))?;
    Ok((config, other))
}

/// Set by the verifier when a handshake failed because of the key: an error of TLS does not tell.
#[derive(Debug, Clone, Default)]
pub(crate) struct OtherKey(Arc<AtomicBool>);

impl OtherKey {
    pub(crate) fn was_presented(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The key the peer has proven; `None` before the end of the handshake.
pub(crate) fn peer_key(connection: &quinn::Connection) -> Option<[u8; 32]> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    let [only] = chain.as_slice() else { return None };
    raw_key(only).ok()
}

/// The protocol agreed upon.
pub(crate) fn alpn(connection: &quinn::Connection) -> Option<Vec<u8>> {
    connection.handshake_data()?.downcast::<HandshakeData>().ok()?.protocol
}

/// Reads an Ed25519 SubjectPublicKeyInfo. Keys of small order, under which anybody can sign, are no keys.
fn raw_key(spki: &[u8]) -> Result<[u8; 32], Error> {
    let key = VerifyingKey::from_public_key_der(spki)
        .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    if key.is_weak() {
        return Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
    }
    Ok(key.to_bytes())
}

/// Whether the peer owns the key it presented.
fn verify(
    provider: &CryptoProvider,
    message: &[u8],
    spki: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    if signed.scheme != SignatureScheme::ED25519 {
        return Err(Error::PeerMisbehaved(rustls::PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme));
    }
    let spki = SubjectPublicKeyInfoDer::from(spki.as_ref());
    rustls::crypto::verify_tls13_signature_with_raw_key(
        message,
        &spki,
        signed,
        &provider.signature_verification_algorithms,
    )
}

fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOffered))
}

/// The device's opinion of a host's key.
#[derive(Debug)]
struct ExpectedHost {
    expect: Expect,
    other: OtherKey,
}

impl ServerCertVerifier for ExpectedHost {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let key = alone(end_entity, intermediates)?;
        if let Expect::Key(expected) = &self.expect
            && !bool::from(expected.ct_eq(&key))
        {
            self.other.0.store(true, Ordering::Release);
            return Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify(&ring::default_provider(), message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// The host asks for a key and takes any.
#[derive(Debug)]
struct AnyDevice;

impl ClientCertVerifier for AnyDevice {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        alone(end_entity, intermediates)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify(&ring::default_provider(), message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// A raw public key comes alone (RFC 7250 §3).
fn alone(end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Result<[u8; 32], Error> {
    if !intermediates.is_empty() {
        return Err(Error::InvalidCertificate(CertificateError::BadEncoding));
    }
    raw_key(end_entity)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Takes any host.
    pub(crate) fn trusting() -> Arc<dyn ServerCertVerifier> {
        Arc::new(ExpectedHost { expect: Expect::Anybody, other: OtherKey::default() })
    }

    #[test]
    fn a_key_is_read_back_and_nothing_else_is_a_key() {
        let signing = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
        let spki = signing.verifying_key().to_public_key_der().unwrap().into_vec();
        assert_eq!(raw_key(&spki).unwrap(), signing.verifying_key().to_bytes());
        assert!(raw_key(&spki[1..]).is_err());
        assert!(raw_key(&[&spki[..], &[0]].concat()).is_err(), "bytes left over");
        let mut other_algorithm = spki.clone();
        other_algorithm[8] ^= 1;
        assert!(raw_key(&other_algorithm).is_err());
    }

    #[test]
    fn a_key_under_which_anybody_can_sign_is_refused() {
        let identity = VerifyingKey::from_bytes(&{
            let mut point = [0; 32];
            point[0] = 1;
            point
        })
        .unwrap();
        let spki = identity.to_public_key_der().unwrap().into_vec();
        assert!(raw_key(&spki).is_err());
    }
}
