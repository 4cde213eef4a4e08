//! Trusted mode in a browser that checks certificates: the host's own authority is taken for the host's name and for
//! nothing else.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use lanyard_tests::browser::{Browser, Device, Page};
use lanyard_tests::machine::Machine;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::scene::{self, Scene};

/// A person's home with an empty database of authorities.
async fn home() -> Result<tempfile::TempDir> {
    let home = tempfile::tempdir()?;
    let database = home.path().join(".pki/nssdb");
    std::fs::create_dir_all(&database)?;
    runs("certutil", &["-N", "--empty-password", "-d", &named(&database)], home.path()).await?;
    Ok(home)
}

/// The person installs an authority.
async fn installs(home: &Path, certificate: &Path) -> Result<()> {
    let database = named(&home.join(".pki/nssdb"));
    let certificate = certificate.display().to_string();
    runs("certutil", &["-A", "-d", &database, "-n", &certificate, "-t", "C,,", "-i", &certificate], home)
        .await
}

fn named(database: &Path) -> String {
    format!("sql:{}", database.display())
}

async fn runs(program: &str, words: &[&str], directory: &Path) -> Result<()> {
    let output = Command::new(program).args(words).current_dir(directory).stdin(Stdio::null()).output().await;
    let output = output.with_context(|| program.to_owned())?;
    ensure!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A browser that goes past no warning and finds names at an address.
async fn strict(browser: &Browser, names: &[(&str, &str)]) -> Result<Page> {
    let rules: Vec<_> = names.iter().map(|(name, at)| format!("MAP {name} {at}")).collect();
    browser.page_with(Device::Desktop, false, &[format!("--host-resolver-rules={}", rules.join(","))]).await
}

/// Whether a page is loaded without a warning.
async fn is_trusted(page: &Page, url: &str) -> Result<bool> {
    match page.client().goto(url).await {
        // The warning is a page of the browser's own.
        Ok(()) => Ok(page.eval("return location.protocol").await? == "https:"),
        Err(error) if error.to_string().contains("insecure certificate") => Ok(false),
        Err(error) => Err(error).with_context(|| url.to_owned()),
    }
}

/// A download as the pages link it, over plain HTTP: what it is worth says the fingerprint.
async fn downloaded(address: SocketAddr, path: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .context("an answer without an end of its head")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
    Ok(answer.split_off(end + 4))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_takes_the_hosts_authority_for_its_name_alone() -> Result<()> {
    let scene = Scene::of("Trusted").await?;
    let made = scene.host.asks(&["trust", "enable"]).await?;
    let name = made["authority"]["name"].as_str().with_context(|| made.to_string())?.to_owned();
    let address = scene.host.loopback()?;
    let url = format!("https://{name}:{}/", address.port());
    let home = home().await?;
    let ip = address.ip().to_string();

    // Before the authority is installed the browser warns.
    let browser = Browser::start_at(home.path()).await?;
    let page = strict(&browser, &[(&name, &ip)]).await?;
    ensure!(!is_trusted(&page, &url).await?, "nobody has installed the authority yet");
    // The pages that install it serve exactly the authority whose fingerprint the host shows.
    let warned = browser.page_with(Device::Desktop, true, &[]).await?;
    let origin = format!("https://{address}");
    warned.open(&format!("{origin}/trust")).await?;
    warned.sees("fingerprint").await?;
    let bytes = downloaded(address, "/trust/lanyard.crt").await?;
    let certificate = home.path().join("lanyard.crt");
    std::fs::write(&certificate, &bytes)?;
    warned.close().await?;
    page.close().await?;
    installs(home.path(), &certificate).await?;

    // Installed: the page under the name is loaded without a warning, and knows it.
    let browser = Browser::start_at(home.path()).await?;
    let page = strict(&browser, &[(&name, &ip)]).await?;
    ensure!(is_trusted(&page, &url).await?, "the host's name is not trusted");
    let mut window = scene.host.opens_window().await?;
    let secret = window.link.split_once('#').context("a link")?.1.to_owned();
    page.open(&format!("{url}#{secret}")).await?;
    scene::let_in(&page, &scene.host, &mut window).await?;
    let verified = async || {
        let devices = scene.devices().await?;
        anyhow::Ok(devices.iter().any(|device| device["page"]["verified"] == true))
    };
    scene::until("the page says that it is verified", verified).await?;
    // By its address the host is as unknown as before: the authority may not speak for addresses.
    ensure!(!is_trusted(&page, &origin).await?, "an address is trusted");
    Ok(())
}

/// A TLS server with a certificate; ends when dropped.
async fn serves(directory: &Path, leaf: &str, address: &str) -> Result<Child> {
    let child = Command::new("openssl")
        .args(["s_server", "-quiet", "-www", "-accept", address, "-cert"])
        .args([&format!("{leaf}.crt"), "-key", &format!("{leaf}.key")])
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let up = async || Ok(TcpStream::connect(address).await.is_ok());
    scene::until(&format!("openssl listens at {address}"), up).await?;
    Ok(child)
}

/// The host destroys its authority's key, so whether a browser keeps such an authority to its name is tried with one made
/// alike, by another program, whose key is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_refuses_what_an_authority_signs_beyond_its_name() -> Result<()> {
    let _turn = scene::turn().await?;
    let home = home().await?;
    let at = home.path();
    let constraints = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\nextendedKeyUsage=serverAuth\n\
        nameConstraints=critical,permitted;DNS:lanyard-abc.local,excluded;IP:0.0.0.0/0.0.0.0,\
        excluded;IP:0:0:0:0:0:0:0:0/0:0:0:0:0:0:0:0\n";
    std::fs::write(at.join("ca.ext"), constraints)?;
    let key = ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"];
    runs("openssl", &[&key[..], &["ca.key"]].concat(), at).await?;
    runs("openssl", &["req", "-new", "-key", "ca.key", "-subj", "/CN=constrained", "-out", "ca.csr"], at)
        .await?;
    let own = [
        "x509", "-req", "-in", "ca.csr", "-signkey", "ca.key", "-days", "30", "-extfile", "ca.ext", "-out",
        "ca.crt",
    ];
    runs("openssl", &own, at).await?;
    let named = Machine::here("unused")?.loopback()?.ip().to_string();
    let mut servers = Vec::new();
    for (leaf, san, address) in [
        ("within", "DNS:lanyard-abc.local", format!("{named}:8443")),
        ("beyond", "DNS:bank.local", format!("{named}:8444")),
        ("address", &format!("IP:{named}") as &str, format!("{named}:8445")),
    ] {
        runs("openssl", &[&key[..], &[&format!("{leaf}.key")]].concat(), at).await?;
        let request =
            ["req", "-new", "-key", &format!("{leaf}.key"), "-subj", "/CN=leaf", "-out", "leaf.csr"];
        runs("openssl", &request, at).await?;
        std::fs::write(at.join("leaf.ext"), format!("subjectAltName={san}\nextendedKeyUsage=serverAuth\n"))?;
        let out = format!("{leaf}.crt");
        let sign = [
            "x509",
            "-req",
            "-in",
            "leaf.csr",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "30",
            "-extfile",
            "leaf.ext",
            "-out",
            &out,
        ];
        runs("openssl", &sign, at).await?;
        servers.push(serves(at, leaf, &address).await?);
    }
    installs(at, &at.join("ca.crt")).await?;
    let browser = Browser::start_at(at).await?;
    let page = strict(&browser, &[("lanyard-abc.local", &named), ("bank.local", &named)]).await?;
    ensure!(is_trusted(&page, "https://lanyard-abc.local:8443/").await?, "the permitted name is refused");
    ensure!(!is_trusted(&page, "https://bank.local:8444/").await?, "another name is trusted");
    ensure!(!is_trusted(&page, &format!("https://{named}:8445/")).await?, "an address is trusted");
    Ok(())
}
