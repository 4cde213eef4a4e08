//! Whether devices can reach this machine's host, and this machine its paired hosts. Clocks are not looked at: nothing
//! in pairing or connecting depends on one.

use std::net::SocketAddr;
use std::path::Path;

use lanyard_daemon::{Config, Listen};
use lanyard_pairing::IdentityKeys;
use lanyard_protocol::device::Device;
use lanyard_protocol::health::{DiscoveryState, HealthCheck, HealthStatus, NetworkHealth};
use lanyard_transport::discovery::{obstacle, own_addresses};
use lanyard_transport::host::{self, BindError, HostEndpoint};
use tokio::task::JoinSet;

use super::checks::{bad, degraded, found, ok};
use crate::commands::hosts::standing;
use crate::host::Route;
use crate::known::HostsFile;
use crate::render::{Standing, address, network_trouble};

/// What works where nothing is heard.
const WAY_ROUND: &str = "devices reach it all the same: by the QR code of `lanyard pair`, by \
                         `lanyard join --address IP:PORT`, and paired ones by the address they remember";

/// What a running host says about itself.
pub(super) fn of_running(network: &NetworkHealth, checks: &[HealthCheck]) -> Vec<HealthCheck> {
    let Some(listening) = &network.listening else {
        // It says itself why it could not start.
        return if network_trouble(network, checks).is_some() { Vec::new() } else { vec![off()] };
    };
    let reach = match network.reachable_at.as_slice() {
        [] => nowhere(),
        addresses => {
            ok("network", format!("listens on {listening}; devices reach it at {}", shown(addresses)))
        }
    };
    let detail = &network.discovery.detail;
    let discovery = match network.discovery.state {
        DiscoveryState::Advertising => ok("discovery", detail.clone()),
        DiscoveryState::Starting => ok("discovery", "about to be announced"),
        DiscoveryState::Off => {
            found("discovery", HealthStatus::Ok, "switched off by configuration", Some(WAY_ROUND.to_owned()))
        }
        DiscoveryState::Failed => degraded("discovery", format!("not found by name: {detail}"), WAY_ROUND),
    };
    vec![reach, discovery]
}

/// What devices say of the pages they run in, where that is worth a word.
pub(super) fn pages(devices: &[Device]) -> Option<HealthCheck> {
    let in_pages =
        || devices.iter().filter(|device| !device.temporary).filter_map(|device| device.page.as_ref());
    let unverified = in_pages().filter(|page| !page.verified).count();
    if unverified == 0 {
        return (in_pages().count() > 0).then(|| ok("pages", "browsers check the pages that devices run in"));
    }
    let message = format!(
        "{} of {} devices in browsers run a page that the browser could not check: whoever controls the network could \
         have changed it",
        unverified,
        in_pages().count()
    );
    let action =
        "`lanyard trust enable` makes browsers able to; the approvals they give count as they are until then";
    Some(found("pages", HealthStatus::Ok, message, Some(action.to_owned())))
}

/// What a host would find that were started now.
pub(super) fn of_none(config: &Config) -> Vec<HealthCheck> {
    let Listen::At(listen) = config.listen else {
        return vec![off()];
    };
    let port = match HostEndpoint::bind(listen, &IdentityKeys::generate(&mut rand_core::OsRng)) {
        Ok(endpoint) => match host::listen(endpoint.local_address()) {
            Ok(_) => port_is_free(listen),
            Err(error) => degraded("network", error.to_string(), "without it no browser opens the page"),
        },
        Err(error @ (BindError::Taken { .. } | BindError::Address { .. })) => {
            bad("network", error.to_string(), "without it no device reaches a host started here")
        }
        Err(error) => bad("network", error.to_string(), "this is a fault of the program; please report it"),
    };
    let discovery = match (config.discovery, obstacle()) {
        (false, _) => ok("discovery", "switched off by configuration"),
        (true, None) => ok("discovery", "nothing stands in its way on this machine"),
        (true, Some(why)) => degraded("discovery", why, WAY_ROUND),
    };
    vec![port, discovery]
}

fn port_is_free(listen: SocketAddr) -> HealthCheck {
    let addresses = own_addresses(listen.port());
    if addresses.is_empty() && !listen.ip().is_loopback() {
        return nowhere();
    }
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    match listen.ip().is_unspecified() {
        true => ok(
            "network",
            format!("port {} is free (UDP and TCP); devices would use {}", listen.port(), shown(&addresses)),
        ),
        false => ok("network", format!("{listen} is free (UDP and TCP)")),
    }
}

fn shown(addresses: &[String]) -> String {
    let all: Vec<String> = addresses.iter().map(|one| address(one)).collect();
    all.join(", ")
}

fn off() -> HealthCheck {
    found(
        "network",
        HealthStatus::Ok,
        "switched off (`listen = \"off\"`): only this machine reaches the host",
        None,
    )
}

fn nowhere() -> HealthCheck {
    degraded(
        "network",
        "this machine has no address but loopback: no device can reach it",
        "connect it to a network; nothing has to be restarted",
    )
}

/// Whether paired hosts answer.
pub(super) async fn paired(state_dir: &Path) -> Vec<HealthCheck> {
    let file = HostsFile::of(state_dir);
    let hosts = match file.read() {
        Ok(known) => known.hosts,
        Err(error) => return vec![bad("hosts", error.to_string(), "paired hosts are not known until then")],
    };
    let Some(first) = hosts.first() else { return Vec::new() };
    let way = match Route::new(first.clone(), file) {
        Ok(way) => way,
        Err(failure) => return vec![bad("hosts", failure.to_string(), "mend that to reach paired hosts")],
    };
    let mut tries = JoinSet::new();
    for (at, host) in hosts.iter().enumerate() {
        let route = way.for_host(host.clone());
        tries.spawn(async move { (at, standing(route).await.standing) });
    }
    let mut tried = tries.join_all().await;
    tried.sort_unstable_by_key(|(at, _)| *at);
    let told = tried.into_iter().filter_map(|(at, standing)| Some((&hosts.get(at)?.alias, standing)));
    told.map(|(alias, standing)| host_check(alias, &standing)).collect()
}

fn host_check(alias: &str, standing: &Standing) -> HealthCheck {
    match standing {
        Standing::Reachable { address, millis } => {
            ok("paired host", format!("{alias} answers at {address} ({millis} ms)"))
        }
        Standing::Silent(why) => degraded(
            "paired host",
            format!("{alias}: {why}"),
            "look whether it is on and on this network, then at its own `lanyard doctor`. Guest and some mesh \
             networks keep devices apart: use another one",
        ),
        Standing::Refuses(why) => degraded(
            "paired host",
            format!("{alias}: {why}"),
            format!(
                "pair again (`lanyard pair` there, `lanyard join` here), or `lanyard hosts forget {alias}`"
            ),
        ),
        // The reason names what to update or to mend; to pair again would not help.
        Standing::Unfit(why) => found("paired host", HealthStatus::Degraded, format!("{alias}: {why}"), None),
        Standing::NotTried => ok("paired host", format!("{alias} was not tried")),
    }
}

#[cfg(test)]
mod tests {
    use lanyard_protocol::device::{KeyStorage, PageReport};
    use lanyard_protocol::health::{DiscoveryState, HealthStatus};

    use super::{degraded, host_check, of_running, pages, paired, port_is_free};
    use crate::known::HostsFile;
    use crate::known::samples::host;
    use crate::render::Standing;
    use crate::render::samples::{device, network_health};

    #[test]
    fn pages_that_no_browser_could_check_are_named() {
        let with_page = |verified, temporary| {
            let mut phone = device("Pixel", "abcdefg-x");
            let origin = "https://192.168.1.7:7717".into();
            phone.page = Some(PageReport { origin, verified, key: KeyStorage::Wrapped });
            phone.temporary = temporary;
            phone
        };
        assert!(pages(&[device("laptop", "l")]).is_none(), "programs have no page");
        assert!(pages(&[with_page(true, false)]).unwrap().action.is_none());
        let check =
            pages(&[with_page(true, false), with_page(false, false), with_page(false, true)]).unwrap();
        assert!(check.message.starts_with("1 of 2 devices") && check.action.is_some(), "{check:?}");
    }

    #[test]
    fn what_a_running_host_says() {
        let well = of_running(&network_health(), &[]);
        assert!(well.iter().all(|check| check.status == HealthStatus::Ok), "{well:?}");
        assert!(well[0].message.contains("192.168.1.7:7717"));

        let mut unheard = network_health();
        unheard.discovery.state = DiscoveryState::Failed;
        unheard.discovery.detail = "no interface".into();
        let check = &of_running(&unheard, &[])[1];
        assert_eq!(check.status, HealthStatus::Degraded);
        assert!(
            check.message.contains("no interface") && check.action.as_ref().unwrap().contains("--address")
        );

        let mut alone = network_health();
        alone.reachable_at = Vec::new();
        assert_eq!(of_running(&alone, &[])[0].status, HealthStatus::Degraded);
        alone.listening = None;
        assert_eq!(of_running(&alone, &[]).len(), 1, "switched off is no fault");
        let taken = [degraded("network", "port 7717 is taken", "end the other one")];
        assert_eq!(of_running(&alone, &taken), [], "the host's own words stand");

        let mut linked = network_health();
        linked.reachable_at = vec!["[fe80::7%2]:7717".into()];
        assert!(of_running(&linked, &[])[0].message.ends_with("reach it at [fe80::7]:7717"));
    }

    #[test]
    fn each_standing_names_its_way_out() {
        let silent = host_check("nas", &Standing::Silent("no answer".into()));
        assert!(silent.status == HealthStatus::Degraded && silent.message.starts_with("nas: no answer"));
        let refuses = host_check("nas", &Standing::Refuses("identity changed".into()));
        assert!(refuses.action.unwrap().contains("lanyard hosts forget nas"));
        let unfit = host_check("nas", &Standing::Unfit("version 3 of the protocol: update the host".into()));
        assert!(unfit.status == HealthStatus::Degraded && unfit.action.is_none(), "{unfit:?}");
        assert_eq!(unfit.message, "nas: version 3 of the protocol: update the host");
        let there = Standing::Reachable { address: "10.0.0.1:1".into(), millis: 3 };
        assert_eq!(host_check("nas", &there).status, HealthStatus::Ok);
    }

    #[test]
    fn a_loopback_port_needs_no_network() {
        assert_eq!(port_is_free("127.0.0.1:7717".parse().unwrap()).status, HealthStatus::Ok);
    }

    #[tokio::test]
    async fn nothing_paired_is_nothing_to_look_at() {
        let dir = tempfile::tempdir().unwrap();
        assert!(paired(dir.path()).await.is_empty());
        HostsFile::of(dir.path()).change(|known| known.hosts.push(host("nas", 1))).unwrap();
        let checks = paired(dir.path()).await;
        assert_eq!(checks[0].status, HealthStatus::Bad, "hosts without this device's key");
    }
}
