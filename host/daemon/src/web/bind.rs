//! One number for two ports: the endpoint's, by UDP, and the page's, by TCP.

use std::net::{SocketAddr, TcpListener};

use lanyard_pairing::IdentityKeys;
use lanyard_transport::host::{BindError, HostEndpoint, listen};

/// Attempts to find a number that is free for both, where any will do. On a machine with a thousand busy TCP ports one in
/// thirty fails.
const ATTEMPTS: u32 = 8;

/// What is bound.
#[derive(Debug)]
pub(crate) struct Bound {
    /// For devices that speak QUIC.
    pub(crate) endpoint: HostEndpoint,
    /// For browsers; the words say why there is nothing for them.
    pub(crate) page: Result<TcpListener, String>,
}

/// Binds both. Where somebody else has the TCP port and nobody has chosen the address (`may_go_without`), the host does
/// without its page. Needs a tokio runtime.
///
/// # Errors
/// One of them cannot be bound.
pub(crate) fn bind(
    address: SocketAddr,
    may_go_without: bool,
    keys: &IdentityKeys,
) -> Result<Bound, BindError> {
    let (mut endpoint, mut page) = bind_once(address, keys)?;
    for _ in 1..ATTEMPTS {
        let again = address.port() == 0 && matches!(page, Err(BindError::Taken { .. }));
        if !again {
            break;
        }
        (endpoint, page) = bind_once(address, keys)?;
    }
    let page = match page {
        Ok(listener) => Ok(listener),
        Err(taken @ BindError::Taken { .. }) if may_go_without => {
            Err(format!("Browsers cannot open the page: {taken}"))
        }
        Err(error) => return Err(error),
    };
    Ok(Bound { endpoint, page })
}

fn bind_once(
    address: SocketAddr,
    keys: &IdentityKeys,
) -> Result<(HostEndpoint, Result<TcpListener, BindError>), BindError> {
    let endpoint = HostEndpoint::bind(address, keys)?;
    let page = listen(endpoint.local_address());
    Ok((endpoint, page))
}
