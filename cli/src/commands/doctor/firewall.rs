//! Firewalls of this machine, as far as they show to an ordinary user: rules themselves are root's to read, so that
//! this only says what to do if devices cannot connect.

use std::net::SocketAddr;
use std::path::Path;

use lanyard_protocol::health::{HealthCheck, HealthStatus};
use lanyard_transport::DEFAULT_PORT;

use super::checks::found;

/// A firewall that may be in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ufw,
    Firewalld,
    Nftables,
}

/// A hint where a firewall is in use and the host listens for others.
pub(super) fn firewall(listen: Option<SocketAddr>) -> Option<HealthCheck> {
    let port = match listen {
        Some(address) if address.ip().is_loopback() => return None,
        Some(address) if address.port() != 0 => address.port(),
        Some(_) => DEFAULT_PORT,
        None => return None,
    };
    look(Path::new("/")).map(|kind| hint(kind, port))
}

fn look(root: &Path) -> Option<Kind> {
    let says = |file: &str, wanted: &str| {
        std::fs::read_to_string(root.join(file))
            .is_ok_and(|text| text.lines().any(|line| line.trim() == wanted))
    };
    if says("etc/ufw/ufw.conf", "ENABLED=yes") {
        return Some(Kind::Ufw);
    }
    if root.join("run/firewalld").exists() {
        return Some(Kind::Firewalld);
    }
    // The service that loads this file is switched on by a link.
    let loaded = "etc/systemd/system/sysinit.target.wants/nftables.service";
    root.join(loaded).symlink_metadata().is_ok().then_some(Kind::Nftables)
}

fn hint(kind: Kind, port: u16) -> HealthCheck {
    let (name, command) = match kind {
        Kind::Ufw => ("ufw", format!("sudo ufw allow {port} && sudo ufw allow 5353/udp")),
        Kind::Firewalld => (
            "firewalld",
            format!(
                "sudo firewall-cmd --add-port={port}/udp --add-port={port}/tcp --add-service=mdns (and once more with \
                 --permanent)"
            ),
        ),
        Kind::Nftables => (
            "nftables",
            format!(
                "sudo nft 'add rule inet filter input udp dport {{ {port}, 5353 }} accept; add rule inet filter input tcp \
                 dport {port} accept' (and in /etc/nftables.conf)"
            ),
        ),
    };
    let text = format!(
        "{name} is in use; whether it lets port {port} in, UDP for machines and TCP for browsers (and UDP 5353, to be found \
         by name), is not seen from here"
    );
    found("firewall", HealthStatus::Ok, text, Some(format!("if devices cannot connect: {command}")))
}

#[cfg(test)]
mod tests {
    use super::{Kind, firewall, hint, look};

    #[test]
    fn firewalls_are_told_by_what_they_leave() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(look(root.path()), None);
        let wants = root.path().join("etc/systemd/system/sysinit.target.wants");
        std::fs::create_dir_all(&wants).unwrap();
        std::os::unix::fs::symlink("/nowhere", wants.join("nftables.service")).unwrap();
        assert_eq!(look(root.path()), Some(Kind::Nftables));
        std::fs::create_dir_all(root.path().join("run/firewalld")).unwrap();
        assert_eq!(look(root.path()), Some(Kind::Firewalld));
        std::fs::create_dir_all(root.path().join("etc/ufw")).unwrap();
        std::fs::write(root.path().join("etc/ufw/ufw.conf"), "# x\nENABLED=no\n").unwrap();
        assert_eq!(look(root.path()), Some(Kind::Firewalld), "ufw is off");
        std::fs::write(root.path().join("etc/ufw/ufw.conf"), "# x\nENABLED=yes\n").unwrap();
        assert_eq!(look(root.path()), Some(Kind::Ufw));
    }

    #[test]
    fn the_hint_names_the_port() {
        for kind in [Kind::Ufw, Kind::Firewalld, Kind::Nftables] {
            let check = hint(kind, 1234);
            let action = check.action.unwrap();
            assert!(
                action.contains("1234") && (action.contains("5353") || action.contains("mdns")),
                "{action}"
            );
            assert!(check.message.contains("UDP") && check.message.contains("TCP"), "{}", check.message);
            // ufw means both where none is named.
            assert!(kind == Kind::Ufw || action.contains("tcp"), "{action}");
        }
        assert_eq!(firewall(None), None);
        assert_eq!(firewall(Some("127.0.0.1:7717".parse().unwrap())), None, "loopback needs no rule");
    }
}
