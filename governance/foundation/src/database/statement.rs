//! One statement and its values.

use std::borrow::Cow;

use lanyard_protocol::Timestamp;
use serde::Serialize;

/// A value, typed so that an absent one has a type too.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// TEXT
    Text(Option<String>),
    /// BIGINT
    Int(Option<i64>),
    /// BYTEA or BLOB
    Bytes(Option<Vec<u8>>),
}

/// What is said of a text with a NUL character: PostgreSQL keeps none.
pub(super) const NUL: &str = "a text holds a NUL character, which cannot be stored";

impl Value {
    pub(super) fn holds_nul(&self) -> bool {
        matches!(self, Value::Text(Some(text)) if text.as_bytes().contains(&0))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Value::Text(Some(value.to_owned()))
    }
}
impl From<String> for Value {
    fn from(value: String) -> Self {
        Value::Text(Some(value))
    }
}
impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        Value::Text(value)
    }
}
impl From<Option<&str>> for Value {
    fn from(value: Option<&str>) -> Self {
        Value::Text(value.map(str::to_owned))
    }
}
impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Int(Some(value))
    }
}
impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Value::Int(value)
    }
}
impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Value::Int(Some(i64::from(value)))
    }
}
impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Int(Some(i64::from(value)))
    }
}
impl From<Timestamp> for Value {
    fn from(value: Timestamp) -> Self {
        Value::Int(Some(value.as_millis()))
    }
}
impl From<Option<Timestamp>> for Value {
    fn from(value: Option<Timestamp>) -> Self {
        Value::Int(value.map(Timestamp::as_millis))
    }
}
impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Value::Bytes(Some(value))
    }
}
impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Value::Bytes(Some(value.to_vec()))
    }
}

/// SQL and what is bound to it. In a tenant's transaction `$1` is the tenant and the first [`Statement::bind`] is `$2`.
#[derive(Debug, Clone)]
pub struct Statement {
    pub(super) sql: Cow<'static, str>,
    pub(super) values: Vec<Value>,
    pub(super) problem: Option<String>,
}

impl Statement {
    /// A statement. The text is made of literals only; what comes from outside is bound.
    pub fn new(sql: impl Into<Cow<'static, str>>) -> Self {
        Self { sql: sql.into(), values: Vec::new(), problem: None }
    }

    /// Binds the next value. A text with a NUL character makes the statement fail as invalid: PostgreSQL keeps none.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        let value = value.into();
        if value.holds_nul() {
            self.problem = Some(NUL.to_owned());
        }
        self.values.push(value);
        self
    }

    /// Binds an id.
    #[must_use]
    pub fn bind_id(self, id: &impl std::fmt::Display) -> Self {
        self.bind(id.to_string())
    }

    /// Binds an id that may be absent.
    #[must_use]
    pub fn bind_opt_id(self, id: Option<&impl std::fmt::Display>) -> Self {
        self.bind(id.map(|id| id.to_string()))
    }

    /// Binds a number; one beyond 2^63 makes the statement fail as invalid.
    #[must_use]
    pub fn bind_u64(mut self, number: u64) -> Self {
        let value = i64::try_from(number).unwrap_or_else(|_| {
            self.problem = Some(format!("the number {number} is too large"));
            i64::MAX
        });
        self.bind(value)
    }

    /// Binds a value as JSON text.
    #[must_use]
    pub fn bind_json(mut self, value: &impl Serialize) -> Self {
        match serde_json::to_string(value) {
            Ok(text) => self.bind(text),
            Err(error) => {
                self.problem = Some(format!("a value cannot be written as JSON: {error}"));
                self.bind(None::<String>)
            }
        }
    }

    /// The number of the placeholder that the next bind in a tenant's transaction belongs to; for text put together
    /// from optional conditions.
    pub fn next_placeholder(&self) -> usize {
        self.values.len() + 2
    }

    /// Adds text made of literals.
    #[must_use]
    pub fn push(mut self, sql: &str) -> Self {
        self.sql.to_mut().push_str(sql);
        self
    }

    /// Adds ` AND {column_and_operator} ${n}` and binds the value, if there is one.
    #[must_use]
    pub fn and_if(self, column_and_operator: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            None => self,
            Some(value) => {
                let placeholder = self.next_placeholder();
                self.push(&format!(" AND {column_and_operator} ${placeholder}")).bind(value)
            }
        }
    }
}

/// The value a clean JSON column is read back as.
pub(super) fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(text)
}
