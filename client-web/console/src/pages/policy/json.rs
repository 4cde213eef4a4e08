//! Documents as text: written in an order that people read, read with the place of what is wrong, and where in a text a
//! part of the document stands. Pure.

use serde_json::Value;

/// The order of members in a policy; others follow by name.
const ORDER: &[&str] = &[
    "capabilities",
    "name",
    "approvalRuleId",
    "title",
    "description",
    "requiresApproval",
    "mustAsk",
    "approver",
    "maxRemember",
    "allowedPaths",
    "blockedPaths",
    "allowedCommands",
    "blockedCommands",
    "allowedCwds",
    "allowedDomains",
    "blockedDomains",
    "repoPaths",
    "allowedBranches",
    "allowedRemotes",
    "allowedToolNames",
    "maxFileSizeBytes",
    "maxOutputBytes",
    "maxExecutionTimeSeconds",
    "approvalRules",
    "llmPolicy",
    "allowedModels",
    "maxInputTokens",
    "maxOutputTokens",
    "maxSessionTokens",
    "mcpServers",
    "command",
    "redactionRules",
    "pattern",
    "replacement",
    "requiredSandboxLevel",
    "bundleSeconds",
    "offlineGraceSeconds",
    "whenAway",
    "timeline",
    "minHostVersion",
    "requiredTools",
    "featureFlags",
];

/// Why a text is no JSON, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadJson {
    /// Counted from 1.
    pub(crate) line: usize,
    /// What is wrong.
    pub(crate) message: String,
}

/// Reads a text.
pub(crate) fn parse(text: &str) -> Result<Value, BadJson> {
    serde_json::from_str(text).map_err(|error| {
        let said = error.to_string();
        let what = said.split(" at line ").next().unwrap_or_default();
        let at = format!("line {}, column {}", error.line(), error.column());
        BadJson { line: error.line(), message: format!("This is not JSON yet: {what} ({at}).") }
    })
}

/// Writes a document, two spaces a step; members that are `null` are left out, because absent means the same.
pub(crate) fn pretty(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, &mut text);
    text.push('\n');
    text
}

fn write(value: &Value, depth: usize, text: &mut String) {
    let line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.push_str(&"  ".repeat(depth));
    };
    match value {
        Value::Array(items) if !items.is_empty() => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                line(text, depth + 1);
                write(item, depth + 1, text);
            }
            line(text, depth);
            text.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().filter(|(_, value)| !value.is_null()).collect();
            if members.is_empty() {
                text.push_str("{}");
                return;
            }
            let rank = |name: &str| ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len());
            members.sort_by_key(|(name, _)| (rank(name), (*name).clone()));
            text.push('{');
            for (at, (name, value)) in members.into_iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                line(text, depth + 1);
                text.push_str(&Value::String(name.clone()).to_string());
                text.push_str(": ");
                write(value, depth + 1, text);
            }
            line(text, depth);
            text.push('}');
        }
        other => text.push_str(&other.to_string()),
    }
}

/// The line, counted from 1, in which the part that a JSON pointer names stands in a text, or the closest part around it
/// that is there. None where the text is no JSON.
pub(crate) fn line_of(text: &str, pointer: &str) -> Option<usize> {
    let wanted: Vec<String> =
        pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect();
    let mut reader = Reader { bytes: text.as_bytes(), at: 0, path: Vec::new(), wanted: &wanted, best: None };
    reader.value()?;
    let (_, at) = reader.best?;
    Some(1 + text.as_bytes().get(..at)?.iter().filter(|byte| **byte == b'\n').count())
}

/// Walks through JSON and remembers where the wanted part begins. The walk is as deep as the text nests; serde_json, which
/// has read the same text, allows 128 levels, and so does this.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    path: Vec<String>,
    wanted: &'a [String],
    /// How many steps of the way match, and where that part begins.
    best: Option<(usize, usize)>,
}

/// Levels of nesting that are followed. Source: serde_json's recursion limit.
const MAX_DEPTH: usize = 128;

impl Reader<'_> {
    fn value(&mut self) -> Option<()> {
        self.space();
        let matches =
            self.wanted.starts_with(&self.path) && self.best.is_none_or(|(depth, _)| self.path.len() > depth);
        if matches || self.best.is_none() {
            self.best = Some((self.path.len(), self.at));
        }
        if self.path.len() > MAX_DEPTH {
            return None;
        }
        match self.bytes.get(self.at)? {
            b'{' => self.members(),
            b'[' => self.items(),
            b'"' => self.string().map(|_| ()),
            _ => {
                let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace();
                let rest = self.bytes.get(self.at..)?;
                self.at += rest.iter().position(ends).unwrap_or(rest.len());
                Some(())
            }
        }
    }

    fn members(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            self.space();
            match self.bytes.get(self.at)? {
                b'}' => return self.over(),
                b',' => self.at += 1,
                b'"' => {
                    let name = self.string()?;
                    self.space();
                    self.at += 1;
                    self.path.push(name);
                    self.value()?;
                    self.path.pop();
                }
                _ => return None,
            }
        }
    }

    fn items(&mut self) -> Option<()> {
        self.at += 1;
        let mut number = 0_usize;
        loop {
            self.space();
            match self.bytes.get(self.at)? {
                b']' => return self.over(),
                b',' => self.at += 1,
                _ => {
                    self.path.push(number.to_string());
                    self.value()?;
                    self.path.pop();
                    number += 1;
                }
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        let from = self.at;
        self.at += 1;
        loop {
            match self.bytes.get(self.at)? {
                b'\\' => self.at += 2,
                b'"' => break,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        serde_json::from_slice(self.bytes.get(from..self.at)?).ok()
    }

    fn space(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn over(&mut self) -> Option<()> {
        self.at += 1;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_are_written_in_a_readers_order_without_what_is_absent() {
        let text = pretty(&json!({
            "timeline": true,
            "capabilities": [{ "allowedPaths": ["/a"], "name": "File.Read", "blockedPaths": null, "zed": [], "abc": {} }],
        }));
        let expected = "{\n  \"capabilities\": [\n    {\n      \"name\": \"File.Read\",\n      \"allowedPaths\": [\n        \
                        \"/a\"\n      ],\n      \"abc\": {},\n      \"zed\": []\n    }\n  ],\n  \"timeline\": true\n}\n";
        assert_eq!(text, expected);
        assert_eq!(pretty(&parse(&text).unwrap()), text, "what was written reads the same");
    }

    #[test]
    fn what_is_wrong_is_found_in_its_line() {
        let text = "{\n  \"a\": [\n    1,\n    { \"b/c\": \"}\\\"[\" }\n  ],\n  \"d\": true\n}";
        for (pointer, line) in [
            ("", 1),
            ("/a", 2),
            ("/a/0", 3),
            ("/a/1", 4),
            ("/a/1/b~1c", 4),
            ("/d", 6),
            ("/a/7", 2),
            ("/nothing/x", 1),
        ] {
            assert_eq!(line_of(text, pointer), Some(line), "{pointer}");
        }
        let bad = parse("{\n \"a\": ,\n}").unwrap_err();
        assert_eq!(bad.line, 2);
        assert!(bad.message.starts_with("This is not JSON yet: expected value (line 2"), "{}", bad.message);
    }

    #[test]
    fn no_text_breaks_the_search() {
        for text in
            ["", "{", "[[[[", "{\"a\"", "{\"a\":", "\"", "\"\\", "{a}", "[1,", "nul", &"[".repeat(5_000)]
        {
            let _ = line_of(text, "/a/0");
        }
    }
}
