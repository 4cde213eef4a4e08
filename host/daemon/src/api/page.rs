//! What a web client says of the page it runs in.

use std::sync::Arc;

use lanyard_protocol::error::WireError;
use lanyard_protocol::id::DeviceId;
use lanyard_protocol::method::{Done, ReportPage, Response};
use lanyard_protocol::principal::Principal;

use super::Answer;
use crate::host::Host;
use crate::ids::invalid;
use crate::principals::is_in_a_tab;

/// Longest origin, in bytes. A name has at most 253; those of hosts have some thirty.
const MAX_ORIGIN_BYTES: usize = 128;

/// `ReportPage`.
pub(super) async fn report(
    host: &Arc<Host>,
    principal: &Principal,
    params: ReportPage,
) -> Result<Answer, WireError> {
    if !is_origin(&params.page.origin) {
        return Err(invalid(format!(
            "page.origin: a web origin such as https://192.168.1.7:7717, at most {MAX_ORIGIN_BYTES} bytes"
        )));
    }
    // A tab of the owner asks as the owner; what it is, the list of devices says by itself.
    if is_in_a_tab(principal) {
        return Ok(Response::ReportPage(Done {}).into());
    }
    if principal.local {
        return Err(invalid("only a paired device has a page to report on"));
    }
    let device = DeviceId::new(principal.id.as_str()).map_err(|e| invalid(e.to_string()))?;
    host.network.desk().report_page(device, params.page).await?;
    Ok(Response::ReportPage(Done {}).into())
}

/// Whether a text can be a web origin: scheme, host, perhaps a port, and nothing behind them. It is shown to people.
fn is_origin(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return false;
    };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let is_host = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(name),
    };
    text.len() <= MAX_ORIGIN_BYTES
        && is_host
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|p| p > 0))
}

#[cfg(test)]
mod tests {
    use super::is_origin;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_a_port() {
        for good in [
            "https://192.168.1.7:7717",
            "https://lanyard-abcdefg.local:7717",
            "http://localhost:7717",
            "https://[fd00::7]:7717",
            "https://[::1]",
            "https://host",
        ] {
            assert!(is_origin(good), "{good}");
        }
        let long = format!("https://{}", "a".repeat(121));
        for bad in [
            "",
            "host",
            "ftp://host",
            "https://",
            "https://host/",
            "https://host/path",
            "https://host?x",
            "https://user@host",
            "https://host:0",
            "https://host:99999",
            "https://host:x",
            "https://[zz]:1",
            "https://a b",
            "https://h\u{f6}st",
            "https://h\u{202e}st",
            "javascript:alert(1)",
            &long,
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
