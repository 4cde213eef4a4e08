//! Other hosts on the network, for a page that offers them: heard for a moment, remembered for a moment.
//!
//! One browse at a time serves all who ask, and its result is kept for a while: whoever asks on and on, from however many
//! devices, makes the host send no more than one question in that time.

use std::time::Duration;

use lanyard_protocol::method::SeenHost;
use lanyard_transport::discovery::{self, DiscoveryError, Sighting};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long is listened. Hosts answer within some tens of milliseconds; asked again too soon, within a second (RFC 6762
/// §6).
const LISTEN: Duration = Duration::from_millis(1_200);

/// How long what was heard is told again.
const KEPT: Duration = Duration::from_secs(5);

/// Hosts told at most. A page shows some; a flood of made-up ones ends here.
const MAX_HOSTS: usize = 64;

/// Hosts last heard, and when.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    heard: Mutex<Option<(Instant, Vec<SeenHost>)>>,
}

impl Neighbours {
    /// Hosts on the network but the one of this short id. Cancel-safe.
    ///
    /// # Errors
    /// Nothing can be heard on this machine.
    pub(crate) async fn find(&self, own: &str) -> Result<Vec<SeenHost>, DiscoveryError> {
        self.find_by(own, || discovery::listen_for(LISTEN)).await
    }

    async fn find_by<F>(&self, own: &str, listen: impl FnOnce() -> F) -> Result<Vec<SeenHost>, DiscoveryError>
    where
        F: Future<Output = Result<Vec<Sighting>, DiscoveryError>>,
    {
        let mut heard = self.heard.lock().await;
        if let Some((_, hosts)) = heard.as_ref().filter(|(at, _)| at.elapsed() < KEPT) {
            return Ok(hosts.clone());
        }
        let others = listen().await?.into_iter().filter(|sighting| sighting.short_id != own);
        let hosts: Vec<SeenHost> = others.filter_map(|sighting| shown(&sighting)).take(MAX_HOSTS).collect();
        *heard = Some((Instant::now(), hosts.clone()));
        Ok(hosts)
    }
}

/// A sighting as people are told it: its page by name first, which stays the same origin when the address changes.
fn shown(sighting: &Sighting) -> Option<SeenHost> {
    let port = sighting.addresses.first()?.port();
    let by_name = format!("https://lanyard-{}.local:{port}", sighting.short_id);
    // A browser takes no address that needs an interface named.
    let scoped = |address: &std::net::SocketAddr| match address {
        std::net::SocketAddr::V4(_) => false,
        std::net::SocketAddr::V6(v6) => v6.ip().is_unicast_link_local(),
    };
    let by_address = sighting.addresses.iter().filter(|address| !scoped(address));
    let origins = std::iter::once(by_name).chain(by_address.map(|address| format!("https://{address}")));
    let name = lanyard_policy::visible::line(&sighting.name).into_owned();
    Some(SeenHost { name, origins: origins.collect() })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn sighting(name: &str, short_id: &str, addresses: &[&str]) -> Sighting {
        Sighting {
            name: name.to_owned(),
            short_id: short_id.to_owned(),
            version: Some(1),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        }
    }

    #[tokio::test]
    async fn the_host_itself_is_left_out_and_names_are_made_visible() {
        let neighbours = Neighbours::default();
        let heard = vec![
            sighting(
                "Studio\u{2066}",
                "abcdefg",
                &["192.168.1.7:7717", "[fe80::1%3]:7717", "[fd00::7]:7717"],
            ),
            sighting("me", "ownidxx", &["192.168.1.8:7717"]),
            sighting("nowhere", "bcdefgh", &[]),
        ];
        let hosts = neighbours.find_by("ownidxx", || async { Ok(heard) }).await.unwrap();
        let expected = SeenHost {
            name: "Studio\u{27e6}U+2066\u{27e7}".to_owned(),
            origins: [
                "https://lanyard-abcdefg.local:7717",
                "https://192.168.1.7:7717",
                "https://[fd00::7]:7717",
            ]
            .map(str::to_owned)
            .into(),
        };
        assert_eq!(hosts, [expected]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_browse_serves_all_who_ask_within_its_time() {
        let (neighbours, browses) = (Neighbours::default(), AtomicU32::new(0));
        let listen = || async {
            browses.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(LISTEN).await;
            Ok((0..200).map(|n| sighting(&format!("h{n}"), "abcdefg", &["10.0.0.1:1"])).collect())
        };
        let (a, b) = tokio::join!(neighbours.find_by("x", listen), neighbours.find_by("x", listen));
        assert_eq!(a.unwrap().len(), MAX_HOSTS);
        assert_eq!(b.unwrap().len(), MAX_HOSTS);
        assert_eq!(browses.load(Ordering::Relaxed), 1);
        tokio::time::advance(KEPT).await;
        neighbours.find_by("x", listen).await.unwrap();
        assert_eq!(browses.load(Ordering::Relaxed), 2);
        // What went wrong is told, and tried again.
        tokio::time::advance(KEPT).await;
        let broken = || async { Err(DiscoveryError("no multicast".to_owned())) };
        neighbours.find_by("x", broken).await.unwrap_err();
        neighbours.find_by("x", listen).await.unwrap();
    }
}
