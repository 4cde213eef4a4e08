//! A real browser, driven as a person would use it: Debian's Chromium by its chromedriver.
//!
//! A [`Browser`] is one chromedriver; each [`Page`] has a Chromium of its own with a fresh profile, so two phones are two
//! browsers. Things on a page are found by what a person, or a screen reader, calls them.

mod accessible;
mod driver;
mod hand;
mod page;
mod proxy;
mod situation;

pub use accessible::Finding;
pub use driver::{Browser, Device};
pub use page::Page;
pub use proxy::{Proxy, Refuses};
pub use situation::Network;
