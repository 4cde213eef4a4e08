//! A port of loopback for a server that has to know its own before it starts.
//!
//! One that is asked for and given back may be anybody's before the server is up. This one stays bound, without
//! listening: nobody is given it, and a server that asks for it by number (with `SO_REUSEADDR`, as servers do) gets it,
//! as often as it starts. Until then connections are refused.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// Kept as long as the value lives.
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    _held: TcpSocket,
}

impl Port {
    /// A free one.
    ///
    /// # Errors
    /// The system has none left.
    pub fn reserve() -> io::Result<Self> {
        let held = TcpSocket::new_v4()?;
        held.set_reuseaddr(true)?;
        held.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        Ok(Self { address: held.local_addr()?, _held: held })
    }

    /// The address and number.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn nobody_is_given_it_and_a_server_takes_it_again_and_again() -> io::Result<()> {
        let port = Port::reserve()?;
        TcpStream::connect(port.address()).unwrap_err();
        for _ in 0..200 {
            let others = (0..100).map(|_| TcpListener::bind("127.0.0.1:0")?.local_addr());
            assert!(!others.collect::<io::Result<BTreeSet<_>>>()?.contains(&port.address()));
        }
        for _ in 0..2 {
            let server = TcpListener::bind(port.address())?;
            TcpStream::connect(port.address())?;
            drop(server);
            TcpStream::connect(port.address()).unwrap_err();
        }
        Ok(())
    }
}
