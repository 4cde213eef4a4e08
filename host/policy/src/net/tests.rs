//! Addresses and names in every disguise.

use std::net::IpAddr;

use proptest::prelude::*;

use super::{DomainPattern, HttpHost, HttpTarget, UrlFault, allowed_address};

fn host(url: &str) -> HttpHost {
    HttpTarget::parse(url).unwrap_or_else(|why| panic!("{url}: {why}")).host().clone()
}

fn pattern(text: &str) -> DomainPattern {
    DomainPattern::parse(text).unwrap()
}

#[test]
fn names_have_one_form() {
    for url in [
        "https://Example.COM/x",
        "https://example.com./x",
        "HTTPS://EXAMPLE.com:443/x",
        "https://ｅxample.com/",
    ] {
        assert_eq!(host(url), HttpHost::Name("example.com".into()), "{url}");
    }
    assert_eq!(host("https://münchen.de/"), HttpHost::Name("xn--mnchen-3ya.de".into()));
    assert_eq!(host("https://xn--mnchen-3ya.de/"), host("https://MÜNCHEN.de/"));
    assert_eq!(HttpTarget::parse("https://example.com./a?b#c").unwrap().as_str(), "https://example.com/a?b");
}

#[test]
fn item_25_deceptive_addresses_are_refused() {
    for url in [
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://x/",
        "example.com",
        "//example.com",
        "http:/example.com",
        "http:example.com",
        "javascript:0",
        "https://user@example.com/",
        "https://user:pw@example.com/",
        "https://@example.com/",
        "https://example.com@evil.com/",
        "https://example.com%40evil.com/",
        "https://ex%61mple.com/",
        "https://example.com\\@evil.com/",
        "https://exam\tple.com/",
        "https://example.com/\n",
        "https://example.com\0.evil.com/",
        "https://example.com%00.evil.com/",
        "https://exa\u{200b}mple.com/",
        "https://exa\u{202e}mple.com/",
        "https://a..b/",
        "https://example.com../",
        "https:///x",
        "https://example.com:0/",
        " https://example.com/",
        "https://[::1%25eth0]/",
        "https://0x7f.1/",
        "https://017700000001/",
        "https://2130706433/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://0x7f000001/",
        "https://１２７.0.0.1/",
        "https://127.0.0.1./",
    ] {
        assert!(HttpTarget::parse(url).is_err(), "{url:?} -> {:?}", HttpTarget::parse(url));
    }
    assert_eq!(HttpTarget::parse("http://0x7f.1/"), Err(UrlFault::AddressForm("127.0.0.1".parse().unwrap())));
    assert_eq!(HttpTarget::parse(&format!("https://e.com/{}", "a".repeat(2048))), Err(UrlFault::TooLong));
}

#[test]
fn item_25_names_match_by_label() {
    let exact = pattern("example.com");
    let below = pattern("*.example.com");
    for (url, by_exact, by_below) in [
        ("https://example.com/", true, false),
        ("https://api.example.com/", false, true),
        ("https://a.b.example.com/", false, true),
        ("https://evilexample.com/", false, false),
        ("https://example.com.evil.net/", false, false),
        ("https://example.co/", false, false),
        ("https://1.2.3.4/", false, false),
    ] {
        assert_eq!((exact.allows(&host(url)), below.allows(&host(url))), (by_exact, by_below), "{url}");
    }
    assert!(exact.blocks(&host("https://deep.example.com/")));
    assert!(below.blocks(&host("https://example.com/")));
    assert!(pattern("München.DE").allows(&host("https://xn--mnchen-3ya.de/")));
    assert!(pattern("127.0.0.1").allows(&host("http://127.0.0.1:3000/")));
    assert!(pattern("[::1]").allows(&host("http://[::1]:3000/")));
    for bad in [
        "*",
        "*.",
        "a.*.com",
        "*example.com",
        "https://example.com",
        "example.com/x",
        "example.com:80",
        "0x7f.1",
        "",
        "a..b",
    ] {
        assert!(DomainPattern::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn item_25_only_public_addresses_are_connected_to() {
    for private in [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.251",
        "255.255.255.255",
        "240.0.0.1",
        "168.63.129.16",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "2001::1",
        "2001:db8::1",
        "3fff::1",
        "fe80::1",
        "fec0::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::fb",
        "100::1",
        "5f00::1",
        "4000::1",
    ] {
        let address: IpAddr = private.parse().unwrap();
        assert!(allowed_address(address).is_err(), "{private}");
    }
    for public in [
        "1.1.1.1",
        "8.8.8.8",
        "172.32.0.1",
        "100.128.0.1",
        "168.63.129.17",
        "2606:4700::1111",
        "64:ff9b::808:808",
        "::ffff:8.8.8.8",
    ] {
        let address: IpAddr = public.parse().unwrap();
        assert!(allowed_address(address).is_ok(), "{public}");
    }
}

proptest! {
    #[test]
    fn parsing_never_panics_and_is_idempotent(text in "(https?://)?[a-zA-Z0-9.:/@%\\[\\]ä-]{0,30}") {
        if let Ok(target) = HttpTarget::parse(&text) {
            let again = HttpTarget::parse(target.as_str()).unwrap();
            prop_assert_eq!(again.host(), target.host());
        }
        let _ = DomainPattern::parse(&text);
    }
}
