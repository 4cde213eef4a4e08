//! The connection is over for good: what happened, what it means, what can be done.

use lanyard_web_link::Ending;
use lanyard_web_ui::{Button, Kind, Problem};
use lanyard_web_view::{component, view};
use leptos::prelude::*;

use crate::store::Store;

/// What to say, and what to do about it.
struct Words {
    title: String,
    meaning: &'static str,
    code: Option<String>,
    /// Loading the page again is the way out; otherwise pairing again is.
    reload: bool,
}

fn words(ending: &Ending, host: &str) -> Words {
    let words = |title: String, meaning| Words { title, meaning, code: None, reload: false };
    match ending {
        Ending::NotPaired => words(
            format!("{host} does not know this device"),
            "It was removed while this page was away, or the host was set up anew. Sessions on the host are not \
             affected. To use it again, pair again.",
        ),
        Ending::Revoked => words(
            format!("This device was removed on {host}"),
            "It can no longer see or start anything there. Tasks it had started were cancelled. If that was a mistake, \
             pair again: somebody at the host has to agree.",
        ),
        Ending::Unpaired => words(
            format!("This device is no longer paired with {host}"),
            "Nothing of the pairing is kept here. Sessions stay on the host.",
        ),
        Ending::AnotherHost => words(
            format!("Something else answers in place of {host}"),
            "Its key is not the one this device was paired with, and nothing leads from one to the other. Either the host \
             was set up anew, or somebody on this network pretends to be it. Nothing was sent. Ask whoever runs the host; \
             only if it was set up anew, pair again.",
        ),
        Ending::Version(why) => Words {
            title: "This page and its host are of different versions".to_owned(),
            meaning: "The host was updated, or this page is old. Loading it again brings the one that fits; nothing is \
                      lost.",
            code: Some(why.clone()),
            reload: true,
        },
    }
}

/// See the module.
#[component]
pub(super) fn Ended(ending: Ending) -> impl IntoView {
    let store = Store::take();
    let words = words(&ending, &untrack(|| store.host_name()));
    let action = if words.reload {
        let reload = move || {
            // Refused only by a page that is being left already.
            let _ = location().reload();
        };
        view! { <Button kind=Kind::Primary on_press=reload>"Load again"</Button> }
    } else {
        view! { <Button kind=Kind::Primary on_press=move || store.forget()>"Pair again"</Button> }
    };
    view! {
        <main class="full-page">
            <h1 class="unseen">"Not connected"</h1>
            <Problem title=words.title meaning=words.meaning code=words.code>
                {action}
            </Problem>
        </main>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_impostor_is_never_an_invitation_to_click_on() {
        let said = words(&Ending::AnotherHost, "Study Linux");
        assert!(said.title.contains("Study Linux") && said.meaning.contains("pretends"), "{}", said.meaning);
        assert!(!said.reload);
        assert!(words(&Ending::Version("host 3, page 2".to_owned()), "h").reload);
    }
}
