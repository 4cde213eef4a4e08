//! This device's name and rights, and the end of its pairing.

use lanyard_protocol::method::Unpair;
use lanyard_protocol::principal::Scope;
use lanyard_web_state::words;
use lanyard_web_ui::{Button, Card, Kind, LinkRow, Section, Sheet};
use lanyard_web_view::{component, view};
use leptos::prelude::*;

use crate::route::Route;
use crate::store::Store;

/// See the module.
#[component]
pub(super) fn ThisDevice() -> impl IntoView {
    let store = Store::take();
    let name = move || {
        let now = store.me.with(|me| me.as_ref().map(|me| me.principal.name.clone()));
        let then =
            || store.pairing.with(|pairing| pairing.as_ref().map(|pairing| pairing.device_name.clone()));
        now.or_else(then).unwrap_or_default()
    };
    // Rights may have changed since the pairing: only the host's own word is shown.
    let rights = move || {
        store.me.with(|me| match me {
            Some(me) => words::rights(&me.principal.scopes),
            None => "What it may do is told by the host when it is connected.".to_owned(),
        })
    };
    let change = move || {
        if store.holds(Scope::Admin) {
            view! { <LinkRow title="Devices" detail="Names and rights, and who may no longer connect" href=Route::Devices.href()/> }
        } else {
            view! { <p class="soft">"Name and rights are changed on the host's own page, or with a device that may manage it."</p> }
        }
    };
    let sure = RwSignal::new(false);
    view! {
        <Section title="This device">
            <Card>
                <p><b>{name}</b></p>
                <p class="soft">{rights}</p>
            </Card>
            {change}
            <Button kind=Kind::Danger on_press=move || sure.set(true)>"Unpair this device"</Button>
            <Sheet open=sure title="Unpair this device?" on_close=move || sure.set(false)>
                <Sure sure/>
            </Sheet>
        </Section>
    }
}

/// The second step.
#[component]
fn Sure(sure: RwSignal<bool>) -> impl IntoView {
    let store = Store::take();
    let busy = RwSignal::new(false);
    // The host ends the connection with the word that it is over; the page then forgets its keys.
    let unpair = move || store.tell(busy, Unpair {}, move |_| sure.set(false));
    let host = untrack(|| store.host_name());
    let away = move || {
        (!store.is_connected()).then(|| {
            view! {
                <p class="soft">"There is no connection at this moment: the host is told as soon as there is one."</p>
            }
        })
    };
    view! {
        <p>{format!("It can no longer see or start anything on {host}, and its tasks there are cancelled. Sessions stay on the host. To come back, pair it again.")}</p>
        {away}
        <div class="buttons">
            <Button kind=Kind::Danger busy on_press=unpair>"Unpair"</Button>
            <Button on_press=move || sure.set(false)>"Keep it"</Button>
        </div>
    }
}
