//! Local OpenAI-compatible servers, found on their usual ports.

use std::sync::Arc;

use futures_util::future::join_all;

use crate::endpoint::Endpoint;
use crate::openai::{Gateway, GatewayOptions, Offered, Timings, models};
use crate::pace::RealPace;
use crate::retry::Fault;

/// Where a local server may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalServer {
    /// `ModelInfo::source` when it is used.
    pub source: &'static str,
    /// Its address.
    pub endpoint: Endpoint,
}

impl LocalServer {
    /// The three that are looked for, in this order.
    pub fn usual() -> Vec<Self> {
        const USUAL: [(&str, &str); 3] = [
            ("ollama", "http://127.0.0.1:11434"),
            ("lm-studio", "http://127.0.0.1:1234"),
            ("llama.cpp", "http://127.0.0.1:8080"),
        ];
        let server = |(source, address)| Some(Self { source, endpoint: Endpoint::parse(address).ok()? });
        USUAL.into_iter().filter_map(server).collect()
    }

    /// What is needed to call it with one of its models.
    pub(crate) fn options(&self, model: Option<String>, context_window: Option<u32>) -> GatewayOptions {
        GatewayOptions {
            endpoint: self.endpoint.clone(),
            // Never the configured token: it belongs to the configured gateway.
            token: None,
            model,
            context_window,
            source: self.source.to_owned(),
            found: true,
        }
    }

    /// Asks for its models, if it belongs to the host's user or to the system (see `owner`).
    pub(crate) async fn probe(&self, timings: Timings) -> Probe {
        let timings = Timings { connect: timings.probe, list: timings.probe, ..timings };
        let gateway = Gateway::with_pace(self.options(None, None), timings, Arc::new(RealPace));
        match gateway.list().await {
            Ok(offered) => Probe::Offers(offered),
            Err(Fault::Silent(_)) => Probe::Busy,
            Err(_) => Probe::Absent,
        }
    }
}

/// What a probe found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// A server with these models, possibly none.
    Offers(Vec<Offered>),
    /// Something that took the connection and said nothing in time.
    Busy,
    /// Nothing, or something else.
    Absent,
}

/// Probes all servers at once. One that offers `preferred` wins, else the first in order that offers anything.
pub(crate) async fn find(
    servers: &[LocalServer],
    preferred: Option<&str>,
    timings: Timings,
) -> Option<(LocalServer, Offered)> {
    let probes = join_all(servers.iter().map(|server| server.probe(timings))).await;
    let found: Vec<(&LocalServer, &Offered)> = servers
        .iter()
        .zip(&probes)
        .filter_map(|(server, probe)| match probe {
            Probe::Offers(offered) => Some((server, models::choose(offered, preferred)?)),
            Probe::Busy | Probe::Absent => None,
        })
        .collect();
    let named = |model: &Offered| preferred.is_some_and(|name| models::same(&model.name, name));
    let (server, model) = found.iter().find(|(_, model)| named(model)).or(found.first())?;
    Some(((*server).clone(), (*model).clone()))
}

#[cfg(test)]
mod tests {
    use super::LocalServer;

    #[test]
    fn the_usual_three_are_on_this_machine() {
        let usual = LocalServer::usual();
        assert_eq!(usual.iter().map(|s| s.source).collect::<Vec<_>>(), ["ollama", "lm-studio", "llama.cpp"]);
        assert!(usual.iter().all(|s| s.endpoint.is_loopback()));
    }
}
