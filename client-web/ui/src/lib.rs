//! The parts of which pages are made, and the design tokens behind them (`css/`).
//!
//! Parts hold no knowledge of where hosts and sessions are: words, records and callbacks go in, elements come out. Looks are in the style
//! sheets alone; colours, distances and sizes come from the tokens (`css/00-tokens.css`), so that light, dark and other
//! text sizes need no second rule.

pub mod asks;
pub mod clock;
pub mod copying;
pub mod diff;
pub mod draw;
pub mod form;
pub mod frame;
pub mod icon;
pub mod keys;
pub mod list;
pub mod output;
pub mod panic;
pub mod press;
pub mod prose;
pub mod returns;
pub mod sheet;
pub mod surface;
pub mod text;
pub mod time;
pub mod timeline;
pub mod toasts;

pub use asks::Facts;
pub use clock::Clock;
pub use copying::copy;
pub use diff::{DiffView, Layout};
pub use draw::{Digits, QrCode, Sparkline};
pub use form::{Choice, ChoiceItem, Field, Select, Switch, TextArea};
pub use frame::{Frame, SkipLink, TabLink, Wide};
pub use icon::{Glyph, Icon};
pub use keys::KeyHelp;
pub use list::VirtualList;
pub use output::output_line;
pub use press::{Button, IconButton, Kind};
pub use prose::Prose;
pub use returns::Returns;
pub use sheet::Sheet;
pub use surface::{Card, Dot, Empty, KeyValue, LinkRow, Pill, Problem, Row, Section, Tone};
pub use text::{Code, Fold, FoldButton, Long, Mono};
pub use time::{Ago, Countdown, Progress, Waiting};
pub use toasts::{Notes, Toast, Toasts};
