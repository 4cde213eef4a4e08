//! A real OpenID Connect provider (npm `oidc-provider`), and a browser's way through it without a browser.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::install::npm;

/// The version that is installed.
const PACKAGE: &str = "oidc-provider@9.13.3";

/// A provider. Killed when dropped.
#[derive(Debug)]
pub struct Provider {
    issuer: String,
    _child: Child,
}

impl Provider {
    /// Starts one for a client called `central` with the secret `a-secret-of-the-test`.
    ///
    /// # Errors
    /// It cannot be installed or does not start.
    pub async fn start(redirect: &str) -> Result<Self> {
        let home = npm("npm-oidc", PACKAGE).await?;
        let script = home.join("provider.mjs");
        // Put in place whole: another test may be reading it.
        let mut written = tempfile::NamedTempFile::new_in(&home)?;
        written.write_all(include_bytes!("provider.mjs"))?;
        written.persist(&script)?;
        let mut node = Command::new("node");
        node.arg(&script).arg(redirect).current_dir(&home);
        node.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = node.spawn().context("node (Debian: npm)")?;
        let out = child.stdout.take().context("a pipe was asked for")?;
        let mut lines = BufReader::new(out).lines();
        let issuer = tokio::time::timeout(crate::host::PATIENCE, lines.next_line()).await??;
        let issuer = issuer.context("the provider ended at its start")?;
        // It goes on talking, and would end if nobody listened.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { issuer, _child: child })
    }

    /// Its issuer URL.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }
}

/// Somebody with a browser's memory: cookies by origin, redirects followed one by one.
#[derive(Debug)]
pub struct Wanderer {
    http: reqwest::Client,
    cookies: BTreeMap<(String, String), String>,
}

/// Where a wanderer stands.
#[derive(Debug)]
pub struct Place {
    /// The address.
    pub url: url::Url,
    /// Its status.
    pub status: u16,
    /// What is shown.
    pub text: String,
}

impl Wanderer {
    /// Without any cookie.
    ///
    /// # Errors
    /// No HTTP client.
    pub fn new() -> Result<Self> {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { http, cookies: BTreeMap::new() })
    }

    /// A cookie of an origin.
    pub fn cookie(&self, url: &str, name: &str) -> Option<&str> {
        let origin = url::Url::parse(url).ok()?.origin().ascii_serialization();
        self.cookies.get(&(origin, name.to_owned())).map(String::as_str)
    }

    /// Opens an address, or posts a form to it, and follows where it leads, until the path begins with `until`.
    ///
    /// # Errors
    /// It leads nowhere.
    pub async fn go(&mut self, url: &str, form: Option<&[(&str, &str)]>, until: &str) -> Result<Place> {
        let mut url = url::Url::parse(url)?;
        let mut form = form.map(|fields| {
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields.iter()).finish()
        });
        for _ in 0..20 {
            let origin = url.origin().ascii_serialization();
            let mine = self.cookies.iter().filter(|((of, _), _)| *of == origin);
            let cookie: Vec<String> = mine.map(|((_, name), value)| format!("{name}={value}")).collect();
            let mut request = match form.take() {
                Some(body) => self
                    .http
                    .post(url.clone())
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(body),
                None => self.http.get(url.clone()),
            };
            if !cookie.is_empty() {
                request = request.header("cookie", cookie.join("; "));
            }
            let answer = request.send().await?;
            for value in answer.headers().get_all("set-cookie") {
                let (name, rest) = value.to_str()?.split_once('=').context("a cookie without a value")?;
                let value = rest.split(';').next().unwrap_or_default();
                let key = (origin.clone(), name.to_owned());
                if value.is_empty() {
                    self.cookies.remove(&key)
                } else {
                    self.cookies.insert(key, value.to_owned())
                };
            }
            let status = answer.status().as_u16();
            match answer.headers().get("location") {
                Some(to) if answer.status().is_redirection() => {
                    url = url.join(to.to_str()?)?;
                    if url.path().starts_with(until) {
                        return Ok(Place { url, status, text: String::new() });
                    }
                }
                _ => return Ok(Place { url, status, text: answer.text().await? }),
            }
        }
        anyhow::bail!("{url}: redirected in a circle")
    }

    /// Signs in at the provider under a name, from where `start` leads to, and consents. Ends at the path `until`.
    ///
    /// # Errors
    /// The provider shows something else than its forms.
    pub async fn sign_in(&mut self, start: &str, name: &str, until: &str) -> Result<Place> {
        let mut place = self.go(start, None, until).await?;
        for _ in 0..4 {
            if place.url.path().starts_with(until) || !place.text.contains("name=\"prompt\"") {
                return Ok(place);
            }
            let prompt = if place.text.contains("value=\"login\"") { "login" } else { "consent" };
            let fields = [("prompt", prompt), ("login", name), ("password", "any")];
            let action = place.text.split("action=\"").nth(1).and_then(|rest| rest.split('"').next());
            let action = place.url.join(action.context("no form")?)?.to_string();
            place = self.go(&action, Some(&fields), until).await?;
        }
        ensure!(false, "{}: {}", place.url, place.text);
        Ok(place)
    }
}
