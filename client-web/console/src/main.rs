//! The console of central: what an organisation's people see of their hosts, and how they steer them.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

mod api;
mod central;
mod keys;
mod listing;
mod pages;
mod parts;
mod poll;
mod prefs;
mod route;
mod shell;
mod who;
mod words;

/// What a fault of the page means for whoever uses it.
const MEANING: &str = "Its program has a fault. Central and the hosts are not affected. Load the page again; what was typed and \
                         not saved is lost.";

fn main() {
    lanyard_web_ui::panic::show(MEANING);
    leptos::mount::mount_to_body(shell::App);
}
