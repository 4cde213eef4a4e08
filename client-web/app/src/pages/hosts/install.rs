//! How the page gets onto the home screen, in the words of the system it runs on.

use lanyard_web_ui::{Card, Section};
use lanyard_web_view::{component, view};
use leptos::prelude::*;

use crate::store::Store;

/// See the module. Nothing where it is there already.
#[component]
pub(super) fn Install() -> impl IntoView {
    let store = Store::take();
    let installed = window()
        .match_media("(display-mode: standalone)")
        .ok()
        .flatten()
        .is_some_and(|query| query.matches());
    let agent = window().navigator().user_agent().unwrap_or_default();
    let words = move || words(&agent, store.verified.get());
    (!installed).then(|| {
        view! {
            <Section title="On the home screen">
                <Card><p class="soft">{words}</p></Card>
            </Section>
        }
    })
}

fn words(agent: &str, verified: bool) -> &'static str {
    let is_apple = ["iPhone", "iPad"].iter().any(|word| agent.contains(word));
    match (is_apple, verified) {
        (true, _) => {
            "Share, then “Add to Home Screen”. The home screen keeps its own storage: the first time it opens, pair it with a \
             link from above. The system may forget it after weeks without use."
        }
        (false, true) => "In the browser's menu choose “Install” or “Add to home screen”.",
        (false, false) => {
            "In the browser's menu choose “Add to home screen”. As long as the page is unverified that is a bookmark: it \
             works, and shows the browser's address bar."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn each_system_is_told_its_own_way() {
        assert!(words("Mozilla/5.0 (iPhone; …)", false).contains("Share"));
        assert!(words("Mozilla/5.0 (Linux; Android 10)", true).contains("Install"));
        assert!(words("Mozilla/5.0 (Linux; Android 10)", false).contains("bookmark"));
    }
}
