//! Values of attributes, classes, styles and properties.

use std::borrow::Cow;

use leptos::prelude::{Get, MaybeProp, Memo, RwSignal, Signal};

/// What an attribute has for a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// The attribute is not there.
    Absent,
    /// It is there, or is not, without words.
    Flag(bool),
    /// Its words.
    Text(Cow<'static, str>),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Into::into)
    }
}

/// A value, or what computes it.
pub enum Given {
    /// It stays.
    Fixed(Value),
    /// It is computed again whenever what was read for it changes.
    Live(Box<dyn FnMut() -> Value + Send>),
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(value) => value.fmt(f),
            Self::Live(_) => f.write_str("Live"),
        }
    }
}

/// What can be the value of an attribute: words, flags, either of them or nothing, and closures and signals of these.
pub trait Setting {
    /// As one type.
    fn given(self) -> Given;
}

macro_rules! fixed {
    ($($of:ty),*) => {$(
        impl Setting for $of {
            fn given(self) -> Given {
                Given::Fixed(self.into())
            }
        }
    )*};
}

fixed!(&'static str, String, bool);

impl<T: Into<Value>> Setting for Option<T> {
    fn given(self) -> Given {
        Given::Fixed(self.into())
    }
}

impl<F, T> Setting for F
where
    F: FnMut() -> T + Send + 'static,
    T: Into<Value>,
{
    fn given(mut self) -> Given {
        Given::Live(Box::new(move || self().into()))
    }
}

macro_rules! live {
    ($($of:ident),*) => {$(
        impl<T> Setting for $of<T>
        where
            T: Send + Sync + 'static,
            Self: Get<Value: Into<Value>>,
        {
            fn given(self) -> Given {
                Given::Live(Box::new(move || self.get().into()))
            }
        }
    )*};
}

live!(Signal, Memo, RwSignal, MaybeProp);
