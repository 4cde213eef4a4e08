//! What pages show, as values of one type.
//!
//! Leptos gives each view and each closure in it a type of its own, and the compiler writes the code that builds, updates,
//! mounts and drops it for each of them: with some three hundred closures that was half of the page's program. Here a
//! closure is boxed where it is written and everything behind it exists once. Signals, components and the words of
//! [`view!`] stay Leptos'.
//!
//! Pages name what they take from here in a `use`, which goes before Leptos' prelude. Where that is forgotten Leptos' own is
//! taken: it does the same and is larger.

#![cfg_attr(test, allow(clippy::panic, clippy::format_push_string, reason = "a test fails by panicking"))]

// The macro says where this crate is by its name.
#[cfg(test)]
extern crate self as lanyard_web_view;

mod content;
pub mod each;
mod effect;
mod element;
mod state;
mod steps;
mod value;

pub use content::{Content, View};
pub use each::{For, ForProps};
pub use effect::Effect;
pub use element::Element;
pub use lanyard_web_view_macro::{component, view};
pub use value::{Setting, Value};
