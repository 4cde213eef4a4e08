//! Whom a request means, and who asks: the decisions alone, so that a peer can be anywhere.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::web::own::{Origin, Refusal, Scheme, Standing, Way, asked_by_page, read_by_page, standing};

const NAME: &str = "lanyard-p56ioi7.local";

fn way(scheme: Scheme, peer: &str, local: &str) -> Way {
    Way { scheme, peer: peer.parse().unwrap(), local: local.parse().unwrap(), port: 7717 }
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn judged(way: &Way, host: &str) -> Result<Standing, Refusal> {
    standing(way, NAME, &Uri::from_static("/"), &headers(&[("host", host)]))
}

fn text(standing: Result<Standing, Refusal>) -> String {
    match standing {
        Ok(Standing::Served(origin)) => format!("page at {origin}"),
        Ok(Standing::Elsewhere(origin)) => format!("go to {origin}"),
        Err(refusal) => refusal.to_string(),
    }
}

#[test]
fn the_own_name_and_the_address_in_use_are_ours() {
    let lan = way(Scheme::Https, "192.168.1.9", "192.168.1.5");
    for (host, at) in [
        ("lanyard-p56ioi7.local:7717", "https://lanyard-p56ioi7.local:7717"),
        ("LANYARD-P56IOI7.Local:7717", "https://lanyard-p56ioi7.local:7717"),
        ("192.168.1.5:7717", "https://192.168.1.5:7717"),
    ] {
        assert_eq!(text(judged(&lan, host)), format!("page at {at}"), "{host}");
    }
    let six = way(Scheme::Https, "2001:db8::9", "2001:db8::5");
    for host in
        ["[2001:db8::5]:7717", "[2001:DB8:0:0::5]:7717", "[2001:0db8:0000:0000:0000:0000:0000:0005]:7717"]
    {
        assert_eq!(text(judged(&six, host)), "page at https://[2001:db8::5]:7717", "{host}");
    }
    assert!(judged(&lan, "[::ffff:192.168.1.5]:7717").is_ok(), "the same address, written for IPv6");
    let plain = Way { scheme: Scheme::Http, ..lan };
    assert_eq!(text(judged(&plain, "192.168.1.5:7717")), "go to https://192.168.1.5:7717");
    assert_eq!(
        text(judged(&plain, "lanyard-p56ioi7.local:7717")),
        "go to https://lanyard-p56ioi7.local:7717"
    );
}

#[test]
fn a_port_may_be_left_out_only_where_it_is_the_schemes_own() {
    let secure = Way { port: 443, ..way(Scheme::Https, "192.168.1.9", "192.168.1.5") };
    assert_eq!(text(judged(&secure, "192.168.1.5")), "page at https://192.168.1.5");
    assert_eq!(text(judged(&secure, "192.168.1.5:443")), "page at https://192.168.1.5");
    let plain = Way { scheme: Scheme::Http, port: 80, ..secure };
    assert_eq!(text(judged(&plain, NAME)), format!("go to https://{NAME}:80"));
    assert_eq!(judged(&secure, "192.168.1.5:7717"), Err(Refusal::OtherHost));
    let usual = way(Scheme::Https, "192.168.1.9", "192.168.1.5");
    assert_eq!(judged(&usual, "192.168.1.5"), Err(Refusal::OtherHost));
}

/// DNS rebinding: the browser believes that it talks to the attacker's site.
#[test]
fn every_other_name_is_refused_whoever_brings_it() {
    for (peer, local) in [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("192.168.1.9", "192.168.1.5")] {
        for scheme in [Scheme::Http, Scheme::Https] {
            for host in [
                "evil.example:7717",
                "lanyard-p56ioi7.local.evil.example:7717",
                "evil-lanyard-p56ioi7.local:7717",
                "lanyard-aaaaaaa.local:7717",
                "lanyard-p56ioi7.local.:7717",
                "localhost.:7717",
                "localhost.evil.example:7717",
                "127.0.0.1.nip.io:7717",
                "192.168.1.6:7717",
                "0.0.0.0:7717",
                "[::]:7717",
                "2130706433:7717",
                "127.1:7717",
            ] {
                let refused = judged(&way(scheme, peer, local), host);
                assert_eq!(refused, Err(Refusal::OtherHost), "{host} from {peer}");
            }
        }
    }
}

#[test]
fn this_machine_is_told_by_both_ends_and_the_name() {
    for host in ["localhost:7717", "LocalHost:7717", "127.0.0.1:7717", "[::1]:7717"] {
        for (peer, local) in [("127.0.0.1", "127.0.0.1"), ("::1", "::1")] {
            let here = judged(&way(Scheme::Http, peer, local), host);
            assert!(matches!(&here, Ok(Standing::Served(origin)) if !origin.is_secure()), "{host}: {here:?}");
            assert!(matches!(judged(&way(Scheme::Https, peer, local), host), Ok(Standing::Served(_))));
        }
        // Who writes our own name from elsewhere is not here, whichever way he came.
        for (peer, local) in [
            ("192.168.1.9", "192.168.1.5"),
            ("192.168.1.9", "127.0.0.1"),
            ("127.0.0.1", "192.168.1.5"),
            ("fe80::9", "fe80::5"),
            ("2001:db8::9", "::1"),
        ] {
            for scheme in [Scheme::Http, Scheme::Https] {
                let spoofed = judged(&way(scheme, peer, local), host);
                let local: IpAddr = local.parse().unwrap();
                // An address that is the connection's own end is at most worth what it is elsewhere: never the page
                // by plain HTTP.
                let harmless = match &spoofed {
                    Err(Refusal::OtherHost) => true,
                    Ok(Standing::Elsewhere(_)) => local.is_loopback(),
                    Ok(Standing::Served(origin)) => local.is_loopback() && origin.is_secure(),
                    Err(_) => false,
                };
                assert!(harmless, "{host} from {peer} to {local}: {spoofed:?}");
            }
        }
    }
    // By the name that others use, somebody here is treated like others.
    let named = judged(&way(Scheme::Http, "127.0.0.1", "127.0.0.1"), &format!("{NAME}:7717"));
    assert_eq!(text(named), format!("go to https://{NAME}:7717"));
}

#[test]
fn what_is_no_host_is_refused() {
    let way = way(Scheme::Https, "192.168.1.9", "192.168.1.5");
    for host in [
        "",
        ":7717",
        "a b:7717",
        "user@192.168.1.5:7717",
        "192.168.1.5:",
        "192.168.1.5:+7717",
        "192.168.1.5:77170",
        "192.168.1.5:7717:7717",
        "[192.168.1.5]:7717",
        "[fe80::1%eth0]:7717",
        "[::1:7717",
        "::1:7717",
        "<script>:7717",
        "h\"o:7717",
        "192.168.1.5:7717/",
        "192.168.1.5,evil:7717",
    ] {
        assert_eq!(judged(&way, host), Err(Refusal::NoHost), "{host:?}");
    }
    let long = format!("{}:7717", "a".repeat(300));
    assert_eq!(judged(&way, &long), Err(Refusal::NoHost));
    let of = |lines: &[(&'static str, &str)]| standing(&way, NAME, &Uri::from_static("/"), &headers(lines));
    assert_eq!(of(&[]), Err(Refusal::NoHost));
    assert_eq!(of(&[("host", "192.168.1.5:7717"), ("host", "192.168.1.5:7717")]), Err(Refusal::NoHost));
    let proxied = Uri::from_static("http://192.168.1.5:7717/");
    let host = headers(&[("host", "192.168.1.5:7717")]);
    assert_eq!(standing(&way, NAME, &proxied, &host), Err(Refusal::Proxy));
}

fn own() -> Origin {
    Origin::named(NAME, 7717)
}

#[test]
fn only_the_own_origin_may_change_anything() {
    let origin = own().to_string();
    asked_by_page(&own(), &headers(&[("origin", &origin)])).unwrap();
    asked_by_page(&own(), &headers(&[("origin", &origin), ("sec-fetch-site", "same-origin")])).unwrap();
    for bad in [
        "null",
        "",
        "https://evil.example",
        "http://lanyard-p56ioi7.local:7717",
        "https://lanyard-p56ioi7.local",
        "https://lanyard-p56ioi7.local:7718",
        "https://lanyard-p56ioi7.local:7717/",
        "https://lanyard-p56ioi7.local:7717.evil.example",
        "https://lanyard-p56ioi7.local:7717@evil.example",
        "https://192.168.1.5:7717",
        "wss://lanyard-p56ioi7.local:7717",
        "lanyard-p56ioi7.local:7717",
    ] {
        let refused = asked_by_page(&own(), &headers(&[("origin", bad)]));
        assert_eq!(refused, Err(Refusal::OtherOrigin), "{bad}");
    }
    let refused = |lines: &[(&'static str, &str)]| asked_by_page(&own(), &headers(lines)).unwrap_err();
    assert_eq!(refused(&[]), Refusal::OtherOrigin, "nobody says who asks");
    assert_eq!(refused(&[("sec-fetch-site", "same-origin")]), Refusal::OtherOrigin);
    refused(&[("origin", &origin), ("origin", &origin)]);
    for site in ["cross-site", "same-site", "none", ""] {
        refused(&[("origin", &origin), ("sec-fetch-site", site)]);
    }
    refused(&[("origin", &origin), ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")]);
}

#[test]
fn a_get_without_origin_needs_the_browsers_word() {
    let origin = own().to_string();
    let of = |lines: &[(&'static str, &str)]| read_by_page(&own(), &headers(lines));
    of(&[("sec-fetch-site", "same-origin")]).unwrap();
    of(&[("origin", &origin)]).unwrap();
    of(&[]).unwrap_err();
    of(&[("sec-fetch-site", "cross-site")]).unwrap_err();
    of(&[("sec-fetch-site", "none")]).unwrap_err();
    of(&[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")]).unwrap_err();
    of(&[("origin", "null")]).unwrap_err();
}

#[test]
fn an_origin_is_written_as_browsers_do() {
    assert_eq!(Origin::named("Lanyard-A.Local", 443).to_string(), "https://lanyard-a.local");
    assert_eq!(Origin::at("2001:DB8::0:5".parse().unwrap(), 7717).to_string(), "https://[2001:db8::5]:7717");
    assert_eq!(Origin::at("::ffff:10.0.0.1".parse().unwrap(), 7717).to_string(), "https://10.0.0.1:7717");
    assert_eq!(own().socket(), format!("wss://{NAME}:7717"));
}
