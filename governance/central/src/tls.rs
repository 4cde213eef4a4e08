//! TLS with a certificate of the installation's own CA, renewed while it runs; client certificates are welcome and
//! optional. Hosts know the CA by the hash in their enrolment token and trust no other; browsers are told to trust it, or
//! reach the console through a proxy that has a certificate they know.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use lanyard_governance_foundation::Clock;
use lanyard_service_enrolment::Authority;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// How often a fresh configuration is made; certificates live far longer.
const RENEW: Duration = Duration::from_secs(3_600);

/// Makes configurations.
pub(crate) struct Maker {
    names: Vec<String>,
    ca: Arc<Authority>,
    clock: Arc<dyn Clock>,
}

impl Maker {
    pub(crate) fn new(config: &Config, ca: Arc<Authority>, clock: Arc<dyn Clock>) -> Self {
        Self { names: config.names(), ca, clock }
    }

    /// A configuration with a fresh certificate.
    pub(crate) fn make(&self) -> Result<Arc<ServerConfig>> {
        let made = self.ca.issue_server(&self.names, self.clock.now())?;
        let chain = vec![CertificateDer::from(made.certificate_der)];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.key_der));
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.ca.certificate_der().to_vec()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            // Browsers have none; hosts renew without one when theirs has run out.
            .allow_unauthenticated()
            .build()?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A resumed session would skip the client certificate.
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// Replaces the configuration now and then, until stopped. A failure keeps the old one.
    pub(crate) async fn renew(self, current: watch::Sender<Arc<ServerConfig>>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RENEW) => {}
            }
            match self.make() {
                Ok(fresh) => {
                    current.send_replace(fresh);
                }
                Err(error) => tracing::error!("the certificate could not be renewed: {error:#}"),
            }
        }
    }
}
