//! Connections that come through a proxy of connections: whose they are, the proxy says in a header before anything else.
//!
//! Only from addresses that were named, and from those it is required: a proxy that stopped saying it would otherwise go
//! unnoticed, and all strangers would share one pace again. From anybody else such a header is what it is: nonsense where
//! TLS or HTTP should begin.

mod header;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use header::{HeaderError, START_BYTES, Start};

/// How long a header may take. Proxies send it with their first packet.
const SLOW: Duration = Duration::from_secs(5);

/// Why a connection of a proxy is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("the PROXY header did not come: {0}")]
    Io(#[from] std::io::Error),
    #[error("the PROXY header did not come within {} seconds", SLOW.as_secs())]
    Slow,
}

/// A network, like 10.1.0.0/16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        // A socket for both families shows addresses of IPv4 as mapped ones.
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (u32::from(own) ^ u32::from(other)).leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (u128::from(own) ^ u128::from(other)).leading_zeros() >= u32::from(self.bits)
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let wanted = || format!("{text:?}: an address or a network like 10.1.0.0/16 is wanted");
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.trim().parse().with_context(wanted)?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map(str::parse::<u8>).transpose().with_context(wanted)?.unwrap_or(all);
        if bits > all {
            bail!(wanted());
        }
        if bits == 0 {
            bail!(
                "{text:?} is everybody, and whoever is named may say that it calls for anybody; name the proxy"
            );
        }
        Ok(Self { address, bits })
    }
}

/// From where a connection came: where it is one of a named proxy, its header is read off the stream and believed.
pub(crate) async fn source<S: AsyncRead + Unpin>(
    proxies: &[Network],
    stream: &mut S,
    from: SocketAddr,
) -> Result<SocketAddr, ProxyError> {
    if !proxies.iter().any(|network| network.contains(from.ip())) {
        return Ok(from);
    }
    let named = tokio::time::timeout(SLOW, read(stream)).await.map_err(|_| ProxyError::Slow)??;
    Ok(named.unwrap_or(from))
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Option<SocketAddr>, ProxyError> {
    let mut start = [0; START_BYTES];
    stream.read_exact(&mut start).await?;
    let start = Start::read(&start)?;
    let mut rest = vec![0; start.rest_bytes()];
    stream.read_exact(&mut rest).await?;
    Ok(start.source(&rest)?)
}
