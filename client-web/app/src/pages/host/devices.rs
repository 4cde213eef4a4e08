//! Paired devices: who they are, what they may, and the end of a pairing.

use lanyard_protocol::device::Device;
use lanyard_protocol::method::{ListConnections, ListDevices};
use lanyard_protocol::principal::Scope;
use lanyard_web_state::{host, words};
use lanyard_web_ui::{Card, Clock, Empty, LinkRow, Pill, Problem, Row, Section, Sheet, Tone, Waiting};
use lanyard_web_view::{Effect, View, component, view};
use leptos::prelude::*;

use super::device::OneDevice;
use crate::route::Route;
use crate::shell::Page;
use crate::store::{Failed, Store};

/// Rows of the connection log that are shown.
const CONNECTIONS: u32 = 20;

/// See the module.
#[component]
pub(crate) fn Devices() -> impl IntoView {
    let store = Store::take();
    let found = RwSignal::new(None::<Result<Vec<Device>, Failed>>);
    let chosen = RwSignal::new(None::<Device>);
    Effect::new(move |_| {
        store.devices_changed.track();
        store.connections.track();
        store.ask(ListDevices {}, move |answer| found.set(Some(answer.map(|page| page.devices))));
    });
    let list = move || match found.get() {
        None => view! { <Waiting what="Asking the host"/> },
        Some(Err(failed)) if !store.holds(Scope::Admin) => {
            view! { <NotAllowed failed what="see who is paired"/> }
        }
        Some(Err(failed)) => view! {
            <Problem title="The devices could not be listed" meaning=failed.said.clone() code=failed.code_text()/>
        },
        Some(Ok(devices)) if devices.is_empty() => view! {
            <Card><Empty title="No device is paired">
                <p>"Show the QR code and scan it with a phone."</p>
                <a class="button button-primary" href=Route::Pairings.href()>"Pair a device"</a>
            </Empty></Card>
        },
        Some(Ok(devices)) => view! {
            {rows(devices, chosen)}
            <LinkRow title="Pair a device" href=Route::Pairings.href()/>
            <Connections/>
        },
    };
    let sheet =
        move || chosen.get().map(|device| view! { <OneDevice device on_done=move || chosen.set(None)/> });
    let title = Signal::derive(move || chosen.get().map(|device| device.name).unwrap_or_default());
    view! {
        <Page title="Devices" back=Route::Host>
            {list}
            <Sheet open=Signal::derive(move || chosen.with(Option::is_some)) title on_close=move || chosen.set(None)>
                {sheet}
            </Sheet>
        </Page>
    }
}

/// What only a device with more rights may do.
#[component]
pub(super) fn NotAllowed(
    /// What the host said, where it was asked.
    #[prop(optional)]
    failed: Option<Failed>,
    /// What was to be done.
    what: &'static str,
) -> impl IntoView {
    let meaning = format!(
        "This device may not {what}. Use the host's own page (run lanyard open there), or a device that may manage it."
    );
    view! { <Problem title="This device may not do that" meaning code=failed.and_then(|failed| failed.code_text()) waits=true/> }
}

fn rows(devices: Vec<Device>, chosen: RwSignal<Option<Device>>) -> View {
    let let_in_by = |device: &Device| {
        let maker = device.made_by.as_ref()?;
        let name = devices.iter().find(|other| other.device_id == *maker).map(|other| other.name.clone());
        Some(name.unwrap_or_else(|| maker.to_string()))
    };
    let row = |device: &Device| {
        let (device, maker) = (device.clone(), let_in_by(device));
        view! { <DeviceRow device maker chosen/> }
    };
    View::all(devices.iter().map(row).collect())
}

#[component]
fn DeviceRow(
    device: Device,
    /// The name of the device by whose link it came.
    maker: Option<String>,
    chosen: RwSignal<Option<Device>>,
) -> impl IntoView {
    let store = Store::take();
    let clock = Clock::take();
    let (line, id) = (device.clone(), device.device_id.clone());
    let by = maker.map(|name| format!(" · let in by {name}")).unwrap_or_default();
    let detail =
        Signal::derive(move || Some(host::device_line(&line, clock.now(), clock.zone()) + by.as_str()));
    // Not by the principal: a tab of the owner acts as the owner.
    let this = move || {
        let own = store.pairing.with(|own| own.as_ref().is_some_and(|own| own.device_id == id.as_str()));
        own.then(|| view! { <Pill tone=Tone::Run>"this one"</Pill> })
    };
    let careful = !host::device_cautions(&device).is_empty();
    let name = device.name.clone();
    view! {
        <Row title=name detail wrap=true on_press=Callback::new(move |()| chosen.set(Some(device.clone())))>
            {this}
            {careful.then(|| view! { <Pill>"look"</Pill> })}
        </Row>
    }
}

/// Who was connected when.
#[component]
fn Connections() -> impl IntoView {
    let store = Store::take();
    let clock = Clock::take();
    let rows = RwSignal::new(Vec::new());
    Effect::new(move |_| {
        store.devices_changed.track();
        store.connections.track();
        store.ask(ListConnections { limit: Some(CONNECTIONS) }, move |answer| match answer {
            Ok(page) => rows.set(page.connections),
            Err(failed) => store.warn(failed.said),
        });
    });
    let shown = move || {
        let (now, zone) = (clock.now(), clock.zone());
        let row = |row: lanyard_protocol::device::ConnectionRecord| {
            let detail = words::sentence(&host::connection_line(&row, now, zone));
            view! { <Row title=row.name.clone() detail wrap=true/> }
        };
        rows.get().into_iter().map(row).collect_view()
    };
    view! { <Section title="Who was connected">{shown}</Section> }
}
