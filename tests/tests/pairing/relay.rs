//! The way between a device and its host, one datagram at a time: it can end after the N-th.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Longest datagram.
const LONGEST: usize = 65_536;

/// Passes datagrams on in both directions. Ends when dropped.
pub(crate) struct Relay {
    address: SocketAddr,
    way: Arc<Way>,
    _tasks: JoinSet<Result<()>>,
}

struct Way {
    front: UdpSocket,
    host: SocketAddr,
    /// Datagrams it passes on until nothing passes.
    left: watch::Sender<u64>,
}

impl Way {
    /// Whether one more may pass.
    fn passes(&self) -> bool {
        self.left.send_if_modified(|left| {
            let passes = *left > 0;
            *left = left.saturating_sub(1);
            passes
        })
    }
}

impl Relay {
    /// A way to a host that ends after so many datagrams, until it is mended.
    pub(crate) async fn to(host: SocketAddr, datagrams: u64) -> Result<Self> {
        let front = UdpSocket::bind((host.ip(), 0)).await?;
        let address = front.local_addr()?;
        let way = Arc::new(Way { front, host, left: watch::Sender::new(datagrams) });
        let mut tasks = JoinSet::new();
        tasks.spawn(forth(way.clone()));
        Ok(Self { address, way, _tasks: tasks })
    }

    /// Where devices find it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until nothing passes any more.
    pub(crate) async fn ended(&self) -> Result<()> {
        self.way.left.subscribe().wait_for(|left| *left == 0).await.context("the relay is gone").map(drop)
    }

    /// Everything passes from now on.
    pub(crate) fn mend(&self) {
        self.way.left.send_replace(u64::MAX);
    }
}

/// From devices to the host; each device has a socket of its own there.
async fn forth(way: Arc<Way>) -> Result<()> {
    let mut devices: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut tasks = JoinSet::new();
    let mut datagram = vec![0; LONGEST];
    loop {
        let (length, device) = way.front.recv_from(&mut datagram).await?;
        let back = match devices.get(&device) {
            Some(back) => back.clone(),
            None => {
                let back = Arc::new(UdpSocket::bind((way.host.ip(), 0)).await?);
                tasks.spawn(self::back(way.clone(), back.clone(), device));
                devices.insert(device, back.clone());
                back
            }
        };
        if way.passes() {
            // A host that is gone takes nothing; that is part of the scenarios.
            let _ = back.send_to(&datagram[..length], way.host).await;
        }
    }
}

/// From the host to one device.
async fn back(way: Arc<Way>, socket: Arc<UdpSocket>, device: SocketAddr) -> Result<()> {
    let mut datagram = vec![0; LONGEST];
    loop {
        // Nobody listening at the other end shows as an error here, once.
        let Ok(length) = socket.recv(&mut datagram).await else { continue };
        if way.passes() {
            // As above.
            let _ = way.front.send_to(&datagram[..length], device).await;
        }
    }
}
