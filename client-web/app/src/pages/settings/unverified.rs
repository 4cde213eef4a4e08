//! "Page unverified": said where it is so, with what it means and the way out.

use lanyard_web_ui::{Button, Code, Kind, Sheet};
use lanyard_web_view::{component, view};
use leptos::prelude::*;

use crate::store::Store;

/// A small sign that opens the explanation; nothing where the page is verified.
#[component]
pub(crate) fn Unverified() -> impl IntoView {
    let store = Store::take();
    let open = RwSignal::new(false);
    let sign = move || {
        (!store.verified.get()).then(|| {
            view! {
                <button type="button" class="unverified" aria-haspopup="dialog" on:click=move |_| open.set(true)>
                    "page unverified"
                </button>
            }
        })
    };
    view! {
        {sign}
        <Sheet open title="This page is unverified" on_close=move || open.set(false)>
            <Meaning/>
            <Button kind=Kind::Primary on_press=move || open.set(false)>"Understood"</Button>
        </Sheet>
    }
}

#[component]
fn Meaning() -> impl IntoView {
    view! {
        <p>
            "Your browser could not check that this page came from your host. What you do here is encrypted for the host's own \
            key, so nobody on the network can read it or answer in its place. But whoever controls the network in the moment \
            the page is loaded could hand you a different page."
        </p>
        <p>
            "At home, among people you trust, that is a small risk. In a network you do not know, do not use it this way. \
            Questions that must be answered at the machine itself cannot be answered from here."
        </p>
        <p>"To change that, run this on the host. It makes a certificate and shows how this device learns to trust it:"</p>
        <Code text="lanyard trust enable"/>
    }
}
