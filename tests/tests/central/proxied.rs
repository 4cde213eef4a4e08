//! Behind a proxy that passes connections through: whose they are, and who is believed about it.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use lanyard_tests::central::{HaProxy, Installation, Records, RoundRobin, announcement, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

/// Far more requests than anybody may send at once.
const MANY: usize = 60;

/// Who comes from an address and has not said who it is.
fn stranger(address: &str) -> Result<reqwest::Client> {
    let address: IpAddr = address.parse()?;
    Ok(reqwest::Client::builder().local_address(address).build()?)
}

async fn asks(stranger: &reqwest::Client, base: &str) -> Result<u16> {
    Ok(stranger.get(format!("{base}/openapi.json")).send().await?.status().as_u16())
}

/// Asks until it is told to slow down.
async fn asks_too_much(stranger: &reqwest::Client, base: &str) -> Result<()> {
    for _ in 0..MANY {
        if asks(stranger, base).await? == 429 {
            return Ok(());
        }
    }
    anyhow::bail!("{MANY} requests were answered")
}

/// What is answered to these bytes, from an address.
async fn answer(from: &str, to: SocketAddr, bytes: &[u8]) -> Result<String> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from.parse()?, 0))?;
    let mut stream = socket.connect(to).await?;
    stream.write_all(bytes).await?;
    let mut answer = Vec::new();
    // Whoever is cut off has no answer.
    let _ = stream.read_to_end(&mut answer).await;
    Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned())
}

async fn behind_a_proxy() -> Result<Installation> {
    let mut central = Installation::prepare(Records::Sqlite)?;
    central.flag(&["--requests-per-second", "1", "--proxy-protocol-from", "127.0.0.1,10.1.0.0/16"]);
    central.add().await?;
    Ok(central)
}

#[tokio::test]
async fn strangers_behind_one_proxy_do_not_share_a_pace() -> Result<()> {
    let central = behind_a_proxy().await?;
    let proxy = RoundRobin::announcing(vec![central.replica(0).address()?]).await?;
    let (one, other) = (stranger("127.0.0.2")?, stranger("127.0.0.3")?);
    asks_too_much(&one, &proxy.url()).await?;
    ensure!(asks(&other, &proxy.url()).await? == 200, "one stranger pays for another");
    Ok(())
}

#[tokio::test]
async fn only_the_proxy_is_believed_and_it_has_to_say_it() -> Result<()> {
    let central = behind_a_proxy().await?;
    let to = central.replica(0).address()?;
    let header = announcement("203.0.113.7:4711".parse()?, to);
    let request = b"GET /health HTTP/1.1\r\nhost: central\r\nconnection: close\r\n\r\n";
    let announced = [&header, request.as_slice()].concat();
    ensure!(answer("127.0.0.1", to, &announced).await?.contains(" 200 "));
    ensure!(answer("127.0.0.1", to, request).await?.is_empty(), "a proxy that says nothing is served");
    // Anybody else is served as he is, and a header of his is no request.
    ensure!(answer("127.0.0.9", to, request).await?.contains(" 200 "));
    let refused = answer("127.0.0.9", to, &announced).await?;
    ensure!(refused.is_empty() || refused.contains(" 400 "), "{refused}");
    Ok(())
}

#[tokio::test]
async fn the_proxy_that_is_shipped_says_whose_connections_are_and_outlives_a_replica() -> Result<()> {
    HaProxy::check(&HaProxy::shipped()).await?;
    let mut central = Installation::prepare(Records::Postgres)?;
    central.flag(&["--requests-per-second", "1", "--proxy-protocol-from", "127.0.0.1"]);
    central.add().await?;
    central.add().await?;
    let replicas = [central.replica(0).address()?, central.replica(1).address()?];
    let proxy = HaProxy::before(&replicas, central.path()).await?;
    let (one, other) = (stranger("127.0.0.2")?, stranger("127.0.0.3")?);
    until("both replicas are up", || async { Ok((asks(&one, &proxy.url()).await? == 200).then_some(())) })
        .await?;
    asks_too_much(&one, &proxy.url()).await?;
    ensure!(asks(&other, &proxy.url()).await? == 200, "one stranger pays for another");
    // Those who come while it is not yet known that a replica is gone are sent to the other one.
    central.kill(0).await?;
    for number in 10..16 {
        let late = stranger(&format!("127.0.0.{number}"))?;
        let status = asks(&late, &proxy.url()).await.context("a stranger that came late")?;
        ensure!(status == 200, "{status}");
    }
    Ok(())
}

/// The value after `NAME:` in a file of YAML.
fn value<'a>(text: &'a str, name: &str) -> Result<&'a str> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
    line.map(str::trim).with_context(|| format!("no {name}"))
}

#[test]
fn the_proxy_of_the_compose_file_is_the_one_that_is_believed() -> Result<()> {
    let compose = std::fs::read_to_string(HaProxy::shipped().with_file_name("compose.yaml"))?;
    let believed = value(&compose, "LANYARD_CENTRAL_PROXY_PROTOCOL_FROM")?;
    ensure!(value(&compose, "ipv4_address")? == believed, "{believed}");
    Ok(())
}
