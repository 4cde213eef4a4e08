//! A proxy by connection, round robin, that can be cut: what stands before several replicas, and a network that fails.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::io::copy_bidirectional;
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
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let targets = Arc::new(Mutex::new(targets));
        let (open, cut) = (Arc::new(AtomicBool::new(true)), Arc::new(Mutex::new(Token::default())));
        let (own_targets, own_open, own_cut) = (targets.clone(), open.clone(), cut.clone());
        let task = tokio::spawn(async move {
            let next = AtomicUsize::new(0);
            while let Ok((mut stream, _)) = listener.accept().await {
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

impl Drop for RoundRobin {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}
