//! The host's page: what a phone or another computer shows of a host, and the owner's desk on the host itself.

#[cfg(debug_assertions)]
mod gallery;
mod notify;
mod pages;
mod prefs;
mod route;
mod shell;
mod store;

/// What a fault of the page means for whoever uses it.
const MEANING: &str = "Its program has a fault. The host is not affected, and tasks go on. Load the page again; what was typed \
                         and not sent is lost.";

fn main() {
    lanyard_web_ui::panic::show(MEANING);
    leptos::mount::mount_to_body(shell::App);
}
