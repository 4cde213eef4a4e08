//! A proxy by connection, round robin, that can be cut: what stands before several replicas, and a network that fails. It
//! may say whose connection it is, by the PROXY protocol.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::io::{AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken as Token;

/// See the module. Ends when dropped.
#[derive(Debug)]
pub struct RoundRobin {
    address: SocketAddr,
    targets: Arc<Mutex<Vec<SocketAddr>>>,
    open: Arc<AtomicBool>,
    cut: Arc<Mutex<Token>>,
    task: JoinHandle<()>,
}

impl RoundRobin {
    /// Listens on loopback.
    ///
    /// # Errors
    /// No port.
    pub async fn before(targets: Vec<SocketAddr>) -> Result<Self> {
        Self::between(targets, false).await
    }

    /// One that begins each connection with from where it came.
    ///
    /// # Errors
    /// As [`RoundRobin::before`].
    pub async fn announcing(targets: Vec<SocketAddr>) -> Result<Self> {
        Self::between(targets, true).await
    }

    async fn between(targets: Vec<SocketAddr>, announces: bool) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let targets = Arc::new(Mutex::new(targets));
        let (open, cut) = (Arc::new(AtomicBool::new(true)), Arc::new(Mutex::new(Token::default())));
        let (own_targets, own_open, own_cut) = (targets.clone(), open.clone(), cut.clone());
        let task = tokio::spawn(async move {
            let next = AtomicUsize::new(0);
            while let Ok((mut stream, from)) = listener.accept().await {
                if !own_open.load(Ordering::Relaxed) {
                    continue;
                }
                let target = {
                    let targets = own_targets.lock().unwrap_or_else(PoisonError::into_inner);
                    let Some(number) = next.fetch_add(1, Ordering::Relaxed).checked_rem(targets.len()) else {
                        continue;
                    };
                    targets[number]
                };
                let token = own_cut.lock().unwrap_or_else(PoisonError::into_inner).clone();
                tokio::spawn(async move {
                    let Ok(mut there) = TcpStream::connect(target).await else { return };
                    if announces && there.write_all(&announcement(from, target)).await.is_err() {
                        return;
                    }
                    tokio::select! {
                        () = token.cancelled() => {}
                        _ = copy_bidirectional(&mut stream, &mut there) => {}
                    }
                });
            }
        });
        Ok(Self { address, targets, open, cut, task })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends connections elsewhere from here on.
    pub fn point_to(&self, targets: Vec<SocketAddr>) {
        *self.targets.lock().unwrap_or_else(PoisonError::into_inner) = targets;
    }

    /// Ends every connection and takes no other until [`RoundRobin::mend`].
    pub fn cut(&self) {
        self.open.store(false, Ordering::Relaxed);
        let mut cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *cut).cancel();
    }

    /// Takes connections again.
    pub fn mend(&self) {
        self.open.store(true, Ordering::Relaxed);
    }
}

/// The header of the PROXY protocol, version 2, for a connection over IPv4 or IPv6.
pub fn announcement(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let octets = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    let addresses = [octets(from.ip()), octets(to.ip()), ports].concat();
    let family = if from.is_ipv4() { 0x11 } else { 0x21 };
    // 12 or 36 bytes.
    let length = [0, u8::try_from(addresses.len()).unwrap_or(u8::MAX)];
    [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[0x21, family], &length, &addresses].concat()
}

impl Drop for RoundRobin {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}
