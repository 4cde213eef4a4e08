//! The host's page: what a phone or another computer shows of a host, and the owner's desk on the host itself.

#![expect(unreachable_pub, reason = "the component macro makes the builders of a part's properties public")]

#[cfg(debug_assertions)]
mod gallery;
mod notify;
mod pages;
mod panic;
mod prefs;
mod route;
mod shell;
mod store;

fn main() {
    panic::show();
    leptos::mount::mount_to_body(shell::App);
}
