//! One device: another name, other rights, the end of its pairing. Each step is confirmed by the host before it shows.

use lanyard_protocol::device::Device;
use lanyard_protocol::method::{RenameDevice, RevokeDevice, SetDeviceScopes};
use lanyard_protocol::principal::Scope;
use lanyard_web_state::{host, words};
use lanyard_web_ui::{Button, Clock, Field, KeyValue, Kind, Problem, Switch};
use lanyard_web_view::{component, view};
use leptos::prelude::*;

use crate::store::Store;

/// Rights that can be given and taken; `observe` belongs to every device.
const GIVEN: [Scope; 3] = [Scope::Operate, Scope::Approve, Scope::Admin];

/// See the module.
#[component]
pub(super) fn OneDevice(
    /// Which.
    device: Device,
    /// It has been removed.
    #[prop(into)]
    on_done: Callback<()>,
) -> impl IntoView {
    let cautions = host::device_cautions(&device);
    let caution = |text: String| view! { <p class="soft">{text}</p> };
    view! {
        <div class="stack">
            {cautions.into_iter().map(caution).collect_view()}
            <Facts device=device.clone()/>
            <Rename device=device.clone()/>
            <Rights device=device.clone()/>
            <Remove device on_done/>
        </div>
    }
}

#[component]
fn Facts(device: Device) -> impl IntoView {
    let clock = Clock::take();
    let rows = move || {
        let (now, zone) = (clock.now(), clock.zone());
        let named = |name: &str, value: String| (name.to_owned(), value);
        let mut rows = vec![
            named("Runs on", device.platform.clone()),
            named("Paired", words::ago(device.paired_at, now, zone)),
            named("Last address", device.last_address.clone().unwrap_or_else(|| "none yet".to_owned())),
            named("Id", device.device_id.to_string()),
        ];
        if let Some(page) = &device.page {
            rows.push(named("Page loaded from", page.origin.clone()));
            rows.push(named("Its key is kept", words::key_storage(page.key).to_owned()));
        }
        rows
    };
    view! { <KeyValue rows=Signal::derive(rows)/> }
}

#[component]
fn Rename(device: Device) -> impl IntoView {
    let store = Store::take();
    let name = RwSignal::new(device.name.clone());
    let busy = RwSignal::new(false);
    let (id, held) = (device.device_id, device.name);
    let same = Signal::derive(move || name.with(|name| name.trim() == held || name.trim().is_empty()));
    let rename = move || {
        let name = name.get_untracked().trim().to_owned();
        store.tell(busy, RenameDevice { device_id: id.clone(), name }, move |device| {
            store.say(format!("It is called {} now.", device.name));
        });
    };
    view! {
        <Field label="Name" value=name/>
        <Button busy disabled=same on_press=rename>"Rename"</Button>
    }
}

#[component]
fn Rights(device: Device) -> impl IntoView {
    let store = Store::take();
    // What the host has confirmed; a switch moves only then.
    let scopes = RwSignal::new(device.scopes.clone());
    let busy = RwSignal::new(false);
    let id = device.device_id;
    let set = move |scope: Scope, wanted: bool| {
        let mut next = scopes.get_untracked();
        next.retain(|held| *held != scope);
        if wanted {
            next.push(scope);
        }
        next.sort();
        let call = SetDeviceScopes { device_id: id.clone(), scopes: next };
        store.tell(busy, call, move |device| scopes.set(device.scopes));
    };
    let switch = move |scope: Scope| {
        let set = set.clone();
        view! {
            <Switch
                label=words::sentence(words::right(scope))
                on=Signal::derive(move || scopes.with(|scopes| scopes.contains(&scope)))
                disabled=busy
                on_change=move |wanted| set(scope, wanted)
            />
        }
    };
    view! {
        {GIVEN.map(switch).collect_view()}
        <p class="soft">{move || scopes.with(|scopes| words::rights(scopes))}</p>
    }
}

#[component]
fn Remove(device: Device, on_done: Callback<()>) -> impl IntoView {
    let store = Store::take();
    let sure = RwSignal::new(false);
    let busy = RwSignal::new(false);
    let (name, id) = (device.name, device.device_id);
    let title = format!("Remove {name}?");
    let remove = Callback::new(move |()| {
        let call = RevokeDevice { device_id: id.clone(), command_id: None };
        store.tell(busy, call, move |_| on_done.run(()));
    });
    move || match sure.get() {
        false => {
            view! { <Button kind=Kind::Danger on_press=move || sure.set(true)>"Remove this device"</Button> }
        }
        true => view! {
            <Problem
                title=title.clone()
                meaning="Its connections are cut at once, tasks it started are cancelled, and what it had answered with “always” is \
                         forgotten. It can be paired again."
                waits=true
            >
                <Button on_press=move || sure.set(false)>"Keep it"</Button>
                <Button kind=Kind::Danger busy on_press=remove>"Remove"</Button>
            </Problem>
        },
    }
}
