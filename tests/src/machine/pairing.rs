//! Two machines are paired, with the commands people use: `lanyard pair` on one, `lanyard join` on the other,
//! `lanyard pairings approve` on the first.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Machine, Program};
use crate::newcomer::Signal;

/// How a device finds a host and shows that it is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By name, heard on the network, with the typed code.
    Name,
    /// At an address, with the typed code.
    Address(SocketAddr),
    /// With the link of the QR code.
    Link,
}

/// A pairing window somebody has opened with `lanyard pair`.
#[derive(Debug)]
pub struct Window {
    /// The command, which says what happens.
    pub pair: Program,
    /// The code shown.
    pub code: String,
    /// The link shown.
    pub link: String,
}

/// A device that has shown that it is meant, and waits.
#[derive(Debug)]
pub struct Joining {
    /// The command, which waits for the answer.
    pub join: Program,
    /// The digits it shows.
    pub digits: String,
}

fn text(value: &Value, name: &str) -> Result<String> {
    Ok(value[name].as_str().with_context(|| format!("no {name} in {value}"))?.to_owned())
}

impl Window {
    /// Closes it, as Ctrl-C does.
    ///
    /// # Errors
    /// The command does not end.
    pub async fn closes(self) -> Result<()> {
        self.pair.signal(Signal::INT)?;
        let ended = self.pair.end().await?;
        ensure!(ended.code == Some(4), "{ended:?}");
        Ok(())
    }

    /// Waits until a device asks, and returns the question.
    ///
    /// # Errors
    /// None does.
    pub async fn question(&mut self) -> Result<Value> {
        self.pair.until("a device", |line| line["event"] == "pending").await
    }
}

impl Machine {
    /// Opens a window.
    ///
    /// # Errors
    /// The host refuses.
    pub async fn opens_window(&self) -> Result<Window> {
        let mut pair = self.follows(&["pair"])?;
        let shown = pair.until("the window", |line| line["event"] == "window").await?;
        Ok(Window { pair, code: text(&shown, "code")?, link: text(&shown, "link")? })
    }

    /// What is typed on this machine to join a host.
    pub fn join_words(&self, host: &Machine, window: &Window, way: Way) -> Vec<String> {
        let mut words = vec!["join".to_owned(), "--name".to_owned(), self.name.clone()];
        match way {
            Way::Name => words.extend([host.name.clone(), "--code".to_owned(), window.code.clone()]),
            Way::Address(address) => {
                words.extend(["--address".to_owned(), address.to_string()]);
                words.extend(["--code".to_owned(), window.code.clone()]);
            }
            Way::Link => words.push(window.link.clone()),
        }
        words
    }

    /// Joins a host as far as the digits.
    ///
    /// # Errors
    /// It does not come so far.
    pub async fn joins(&self, host: &Machine, window: &Window, way: Way) -> Result<Joining> {
        let words = self.join_words(host, window, way);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let mut join = self.follows(&words)?;
        let shown = join.until("the digits", |line| line["event"] == "digits").await?;
        Ok(Joining { join, digits: text(&shown, "digits")? })
    }

    /// Answers a question with yes, typing the digits where they are needed.
    ///
    /// # Errors
    /// The host refuses.
    pub async fn approves(&self, question: &Value, digits: &str) -> Result<Value> {
        let id = text(question, "pairingId")?;
        let mut words = vec!["pairings", "approve", &id];
        if question["method"] == "code" {
            ensure!(question.get("digits").is_none_or(Value::is_null), "the host shows them: {question}");
            words.extend(["--digits", digits]);
        } else {
            ensure!(question["digits"].as_str().is_some_and(|shown| plain(shown) == digits), "{question}");
        }
        self.asks(&words).await
    }

    /// The whole of a pairing. Returns what the host is called on this machine.
    ///
    /// # Errors
    /// Any step fails.
    pub async fn pairs_with(&self, host: &Machine, way: Way) -> Result<String> {
        let mut window = host.opens_window().await?;
        let mut joining = self.joins(host, &window, way).await?;
        let question = window.question().await?;
        let decided = host.approves(&question, &joining.digits).await?;
        ensure!(decided["end"] == "approved", "{decided}");
        let paired = joining.join.until("the answer", |line| line["event"] == "paired").await?;
        let ended = joining.join.end().await?;
        ensure!(ended.code == Some(0), "{ended:?}");
        let ended = window.pair.end().await?;
        ensure!(ended.code == Some(0) && ended.out.contains(r#""end":"approved""#), "{ended:?}");
        text(&paired, "name")
    }
}

/// Digits without the gap.
fn plain(digits: &str) -> String {
    digits.chars().filter(char::is_ascii_digit).collect()
}
