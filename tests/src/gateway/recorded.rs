//! A request as the gateway saw it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

/// One request.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// `GET`, `POST`.
    pub method: String,
    /// Path, query included.
    pub path: String,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body as JSON; null when it is not.
    pub body: Value,
    /// The other end of the connection; equal for two requests on one connection.
    pub peer: SocketAddr,
}

impl Recorded {
    /// The token, if one was sent.
    pub fn token(&self) -> Option<&str> {
        self.headers.get("authorization")?.strip_prefix("Bearer ")
    }

    /// The messages of the thread.
    pub fn messages(&self) -> &[Value] {
        self.body["messages"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// The text of the last message of a role, the first one where it has several parts; empty when there is none.
    pub fn last(&self, role: &str) -> &str {
        let message = self.messages().iter().rev().find(|message| message["role"] == role);
        let Some(content) = message.map(|message| &message["content"]) else { return "" };
        let part = || content.as_array()?.iter().find_map(|part| part["text"].as_str());
        content.as_str().or_else(part).unwrap_or_default()
    }

    /// The texts of all tool results, in order.
    pub fn tool_results(&self) -> Vec<&str> {
        let results = self.messages().iter().filter(|message| message["role"] == "tool");
        results.map(|message| message["content"].as_str().unwrap_or_default()).collect()
    }

    /// Names of the tools offered.
    pub fn tools(&self) -> Vec<&str> {
        let tools = self.body["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
        tools.iter().filter_map(|tool| tool["function"]["name"].as_str()).collect()
    }
}
