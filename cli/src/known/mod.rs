//! What this device remembers: the hosts it is paired with, the pairings that wait for an answer, and its own key.
//!
//! A host is known by its keys; names and addresses are only the way to find it. Everything lies in the state
//! directory, in files of mode 0600: `hosts.toml` and `device.key`; `hosts.lock` keeps concurrent commands apart.

mod alias;
mod file;
mod key;
mod raw;

use std::net::SocketAddr;
use std::path::PathBuf;

use lanyard_pairing::device::PendingJoin;
use lanyard_pairing::{Fingerprint, Grant, PublicIdentity};
use lanyard_protocol::Timestamp;
use lanyard_protocol::principal::Scope;
use lanyard_transport::keyfile::KeyFileError;

pub(crate) use alias::{LOCAL, fits_alias};
pub(crate) use file::HostsFile;
pub(crate) use key::{device_key, device_key_or_new};

/// Addresses remembered of one host, most recent first: a laptop's few networks, over IPv4 and IPv6.
pub(crate) const MAX_ADDRESSES: usize = 8;

/// Why what is remembered cannot be used. Nothing is overwritten then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KnownError {
    /// A file cannot be read or written, or others could have done so.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// A file does not hold what it should.
    #[error("{}: {message}; mend it, or move it away and pair again with `lanyard join` (nothing was changed)", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The directory or the lock cannot be used.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another command holds the lock.
    #[error("another command is changing {}; try again when it has ended", path.display())]
    Busy {
        /// The locked file.
        path: PathBuf,
    },
    /// This machine has never been paired with a host.
    #[error(
        "this machine is paired with no host yet: run `lanyard pair` on the host, then `lanyard join` here"
    )]
    NoDeviceKey,
}

/// A host this device is paired with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownHost {
    /// What it is called on this machine; unique.
    pub(crate) alias: String,
    /// What it calls itself. Foreign text.
    pub(crate) name: String,
    /// Its keys: what it has to prove.
    pub(crate) identity: PublicIdentity,
    /// Where it was, most recent first; at most [`MAX_ADDRESSES`].
    pub(crate) addresses: Vec<SocketAddr>,
    /// Rights as granted; the host may have changed them since.
    pub(crate) scopes: Vec<Scope>,
    /// When.
    pub(crate) paired_at: Timestamp,
}

impl KnownHost {
    /// The hash of its keys.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.identity.fingerprint()
    }
}

/// A pairing both machines have agreed on and nobody has answered yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PendingHost {
    /// What the host will be called.
    pub(crate) alias: String,
    /// Where it was.
    pub(crate) addresses: Vec<SocketAddr>,
    /// When the digits were agreed on.
    pub(crate) started_at: Timestamp,
    /// What the wait goes on with. Secret.
    pub(crate) join: PendingJoin,
}

/// The content of `hosts.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KnownHosts {
    /// Paired, in the order of pairing.
    pub(crate) hosts: Vec<KnownHost>,
    /// Waiting, oldest first.
    pub(crate) pending: Vec<PendingHost>,
}

impl KnownHosts {
    /// The host of a fingerprint.
    pub(crate) fn host_mut(&mut self, fingerprint: Fingerprint) -> Option<&mut KnownHost> {
        self.hosts.iter_mut().find(|host| host.fingerprint() == fingerprint)
    }

    /// Keeps a pairing that waits, in place of an older one with the same host.
    pub(crate) fn wait_for(&mut self, join: PendingJoin, address: SocketAddr, now: Timestamp) -> String {
        let of = join.host().fingerprint();
        self.pending.retain(|pending| pending.join.host().fingerprint() != of);
        let alias = self.alias_for(join.host_name(), of);
        let pending = PendingHost { alias: alias.clone(), addresses: vec![address], started_at: now, join };
        self.pending.push(pending);
        alias
    }

    /// A person has said yes: the pending entry becomes a host. A host that was paired before keeps its alias and the
    /// addresses it was found at.
    pub(crate) fn granted(
        &mut self,
        join: &PendingJoin,
        grant: &Grant,
        address: Option<SocketAddr>,
    ) -> KnownHost {
        let of = join.host().fingerprint();
        let alias = self.alias_for(join.host_name(), of);
        self.pending.retain(|pending| pending.join.host().fingerprint() != of);
        let mut host = KnownHost {
            alias,
            name: join.host_name().to_owned(),
            identity: *join.host(),
            addresses: Vec::new(),
            scopes: grant.scopes.clone(),
            paired_at: grant.granted_at,
        };
        if let Some(before) = self.hosts.iter().position(|known| known.fingerprint() == of) {
            host.addresses = self.hosts.remove(before).addresses;
        }
        if let Some(address) = address {
            to_front(&mut host.addresses, address);
        }
        self.hosts.push(host.clone());
        host
    }

    /// The pairing came to nothing.
    pub(crate) fn abandon(&mut self, host: Fingerprint) {
        self.pending.retain(|pending| pending.join.host().fingerprint() != host);
    }

    /// The host was reached at an address.
    pub(crate) fn reached(&mut self, host: Fingerprint, address: SocketAddr) {
        if let Some(host) = self.host_mut(host) {
            to_front(&mut host.addresses, address);
        }
    }

    /// A host has new keys, proven to follow from the ones known.
    pub(crate) fn follow(&mut self, old: Fingerprint, new: PublicIdentity) {
        let known_already = self.hosts.iter().any(|host| host.fingerprint() == new.fingerprint());
        if let (Some(host), false) = (self.host_mut(old), known_already) {
            host.identity = new;
        }
    }

    /// Forgets a host and what waits of it.
    pub(crate) fn forget(&mut self, host: Fingerprint) {
        self.hosts.retain(|known| known.fingerprint() != host);
        self.abandon(host);
    }

    /// An alias for a host: the one it has, or a free one made of its name.
    fn alias_for(&self, name: &str, host: Fingerprint) -> String {
        let paired = self.hosts.iter().map(|known| (known.fingerprint(), &known.alias));
        let pending = self.pending.iter().map(|one| (one.join.host().fingerprint(), &one.alias));
        let all: Vec<_> = paired.chain(pending).collect();
        match all.iter().find(|(of, _)| *of == host) {
            Some((_, alias)) => (*alias).clone(),
            None => alias::free(name, |wanted| all.iter().any(|(_, alias)| *alias == wanted)),
        }
    }
}

/// Puts the address that worked last first.
fn to_front(addresses: &mut Vec<SocketAddr>, address: SocketAddr) {
    addresses.retain(|known| *known != address);
    addresses.insert(0, address);
    addresses.truncate(MAX_ADDRESSES);
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
