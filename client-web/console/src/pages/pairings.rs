//! Pairings across hosts: devices that ask to be let in, and devices that are.

use lanyard_governance_api::endpoint::{DecidePairing, ListPairings, RevokeDevice};
use lanyard_governance_api::id::AgentId;
use lanyard_governance_api::page::{Nothing, PageQuery};
use lanyard_governance_api::pairing::{AskingDevice, HostPairings, PairedDevice, PairingDecision};
use lanyard_governance_api::people::Role;
use lanyard_protocol::Timestamp;
use lanyard_protocol::id::DeviceId;
use lanyard_web_state::visible::{Marks, line};
use lanyard_web_state::words::{ago, count, left, level, rights};
use lanyard_web_ui::{
    Button, Card, Choice, ChoiceItem, Clock, Empty, Field, Glyph, Kind, Row, Section, Sheet, Tone,
};
use lanyard_web_view::{Effect, For, View, component, view};
use leptos::leptos_dom::helpers::set_timeout;
use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use std::time::Duration;

use crate::api;
use crate::central::Central;
use crate::parts::{State, loaded, opened_by, pill};
use crate::poll::Poll;
use crate::route::Route;
use crate::shell::Page;

/// Digits that a device shows.
const DIGITS: usize = 6;

/// How long an answer is on its way before the question counts as one that still waits: a host that is reached decides
/// and reports within a second or two.
const ON_ITS_WAY: Duration = Duration::from_secs(10);

/// How far an answer to a device has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answered {
    /// Nobody has answered.
    Not,
    /// It is on its way; whether it lets the device in.
    Sent(bool),
    /// It was sent, and the device asks on.
    InVain,
}

/// A pairing that somebody is about to end.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ending {
    /// The device, and what it is called.
    device: DeviceId,
    name: String,
    /// The host it was chosen at, and what that is called.
    agent: AgentId,
    host: String,
    /// Every host that knows the device, the one it was chosen at among them.
    hosts: Vec<AgentId>,
}

/// The hosts that a device is paired with.
fn hosts_of(hosts: &[HostPairings], device: &DeviceId) -> Vec<AgentId> {
    let knows = |host: &&HostPairings| host.snapshot.devices.iter().any(|one| one.device_id == *device);
    hosts.iter().filter(knows).map(|host| host.agent_id.clone()).collect()
}

/// Every host's, as far as one answer of central goes.
pub(crate) fn all() -> PageQuery {
    PageQuery { limit: Some(lanyard_governance_api::limits::MAX_PAGE), next_token: None }
}

/// Devices that ask now, with the host and its name; what has run out is left out.
pub(crate) fn asking(hosts: &[HostPairings], now: Timestamp) -> Vec<(AgentId, String, AskingDevice)> {
    let of = |host: &HostPairings| {
        let name = line(&host.host_name, Marks::Missing).into_owned();
        let waits = host.snapshot.asking.iter().filter(move |device| device.expires_at > now).cloned();
        let id = host.agent_id.clone();
        waits.map(move |device| (id.clone(), name.clone(), device)).collect::<Vec<_>>()
    };
    hosts.iter().flat_map(of).collect()
}

/// The digits of what was typed, where they are as many as a device shows.
fn digits(typed: &str) -> Option<String> {
    let digits: String = typed.chars().filter(char::is_ascii_digit).collect();
    let only = typed.chars().all(|c| c.is_ascii_digit() || c.is_whitespace() || c == '-');
    (only && digits.len() == DIGITS).then_some(digits)
}

/// See the module.
#[component]
pub(crate) fn Pairings() -> impl IntoView {
    let clock = Clock::take();
    let hosts = Poll::start(|| async { api::get::<ListPairings>(&[], &all()).await });
    let waiting = Memo::new(move |_| {
        let known = hosts.now.with(|now| now.as_ref().map(|page| asking(&page.items, clock.now())));
        known.unwrap_or_default()
    });
    let ids = Memo::new(move |_| {
        waiting.with(|waiting| {
            waiting.iter().map(|(_, _, device)| device.pairing_id.clone()).collect::<Vec<_>>()
        })
    });
    let card = move |id: lanyard_protocol::id::PairingId| {
        let found = waiting
            .with_untracked(|waiting| waiting.iter().find(|(_, _, device)| device.pairing_id == id).cloned());
        found.map(|(agent, host, device)| view! { <Asks agent host device again=move || hosts.again()/> })
    };
    let nobody = move || {
        (hosts.now.with(Option::is_some) && ids.with(Vec::is_empty)).then(|| view! {
            <Card><Empty title="No device asks">
                <p>"When somebody scans a host's QR code or types its code, the device asks here too. Whoever lets it in, here or at the machine, decides."</p>
            </Empty></Card>
        })
    };
    let ended = RwSignal::new(None::<Ending>);
    let paired = loaded(hosts, "paired devices", move |page| {
        let with: Vec<_> = page.items.into_iter().filter(|host| !host.snapshot.devices.is_empty()).collect();
        if with.is_empty() {
            return view! { <p class="soft">"No device is paired with any host."</p> };
        }
        View::all(with.iter().map(|host| paired_view(host, &with, ended, clock)).collect())
    });
    view! {
        <Page title="Pairings">
            <Section title="Asking">
                <State poll=hosts what="pairings"/>
                {nobody}
                <div class="asks-list"><For each=move || ids.get() key=|id| id.clone() children=card/></div>
            </Section>
            <Section title="Paired">{paired}</Section>
            <End ended again=move || hosts.again()/>
        </Page>
    }
}

/// One device that asks.
#[component]
fn Asks(
    agent: AgentId,
    host: String,
    device: AskingDevice,
    #[prop(into)] again: Callback<()>,
) -> impl IntoView {
    let central = Central::take();
    let clock = Clock::take();
    let busy = RwSignal::new(false);
    let typed = RwSignal::new(String::new());
    let answered = RwSignal::new(Answered::Not);
    let needs = device.needs_digits;
    let name = line(&device.name, Marks::Missing).into_owned();
    let about = line(&format!("{}, from {}", device.platform, device.address), Marks::Missing).into_owned();
    let place = Route::Host(agent.clone()).href();
    let pairing = device.pairing_id.clone();
    let decide = move |approve: bool| {
        let (agent, pairing) = (agent.clone(), pairing.clone());
        let body =
            PairingDecision { approve, digits: digits(&typed.get_untracked()).filter(|_| approve && needs) };
        let what = async move {
            api::call::<DecidePairing>(&[agent.as_str(), pairing.as_str()], &Nothing {}, &body).await
        };
        central.tell(busy, what, move |_| {
            answered.set(Answered::Sent(approve));
            again.run(());
            // The card is gone with the question; while it is here, the question waits.
            let still = move || {
                let _ = answered.try_set(Answered::InVain);
                let _ = typed.try_set(String::new());
            };
            set_timeout(still, ON_ITS_WAY);
        });
    };
    let approve = {
        let decide = decide.clone();
        move || decide(true)
    };
    let deny = move || decide(false);
    let ready = Signal::derive(move || !needs || typed.with(|typed| digits(typed).is_some()));
    let rest = move || left(device.expires_at.millis_since(clock.now()));
    let said = move || {
        let said = match answered.get() {
            Answered::Not => return None,
            Answered::Sent(true) => "Letting it in: on its way to the host, which decides.",
            Answered::Sent(false) => "Turning it away: on its way to the host, which decides.",
            Answered::InVain if needs => {
                "The host has not taken that: it is not reached, or these were not the digits that the device shows. \
                 After three wrong ones it turns the device away."
            }
            Answered::InVain => "The host has not taken that yet: it may not be reached at this moment.",
        };
        Some(view! { <p role="status" class="ask-over">{said}</p> })
    };
    let answer = {
        let (approve, deny) = (StoredValue::new(approve), StoredValue::new(deny));
        move || {
            (!matches!(answered.get(), Answered::Sent(_)) && central.may(Role::Approver)).then(|| view! {
                <div class="stack ask-digits">
                    {needs.then(|| view! {
                        <Field label="Digits that the device shows" value=typed keyboard="numeric" mono=true max=9
                            hint="Ask whoever holds it to read them out. They are different for somebody in between."/>
                    })}
                    <div class="buttons">
                        <Button kind=Kind::Danger consequential=true busy on_press=move || deny.with_value(|deny| deny())>"Turn away"</Button>
                        <Button kind=Kind::Primary consequential=true busy disabled=Signal::derive(move || !ready.get())
                            on_press=move || approve.with_value(|approve| approve())>"Let it in"</Button>
                    </div>
                </div>
            })
        }
    };
    view! {
        <Card tone=Tone::Ask>
            <article class="stack">
                <h3 class="asks-name">{name}</h3>
                <p>{about}" · asks "<a href=place>{host}</a></p>
                <p>"It would be able to: "{rights(&device.scopes)}</p>
                <p class="soft">"Counts as turned away in "<span class="tabular">{rest}</span></p>
                {said}
                {answer}
            </article>
        </Card>
    }
}

fn paired_view(
    host: &HostPairings,
    all: &[HostPairings],
    ended: RwSignal<Option<Ending>>,
    clock: Clock,
) -> View {
    let central = Central::take();
    let can = central.may(Role::Approver);
    let name = line(&host.host_name, Marks::Missing).into_owned();
    let one = |device: &PairedDevice| {
        let title = line(&device.name, Marks::Missing).into_owned();
        let label = format!("End the pairing of {title} with {name}");
        let ending = Ending {
            device: device.device_id.clone(),
            name: title.clone(),
            agent: host.agent_id.clone(),
            host: name.clone(),
            hosts: hosts_of(all, &device.device_id),
        };
        let press = move || ended.set(Some(ending.clone()));
        let (detail, connected) = (detail(device, clock), device.connected);
        view! {
            <Row title detail icon=Glyph::Phone wrap=true>
                {connected.then(|| pill((Tone::Good, "connected")))}
                {can.then(|| view! { <Button kind=Kind::Quiet label=label on_press=press>"End"</Button> })}
            </Row>
        }
    };
    let devices = host.snapshot.devices.iter().map(one).collect_view();
    let href = Route::Host(host.agent_id.clone()).href();
    view! {
        <section class="stack-tight">
            <h3 class="group-head"><a href=href>{name}</a></h3>
            <div class="rows">{devices}</div>
        </section>
    }
}

/// What is said of a paired device in its second line.
pub(crate) fn detail(device: &PairedDevice, clock: Clock) -> String {
    let rights = device.scopes.iter().map(|scope| level(*scope)).collect::<Vec<_>>().join(", ");
    let seen = match device.last_seen_at {
        Some(at) if !device.connected => format!(" · seen {}", ago(at, clock.now_untracked(), clock.zone())),
        _ => String::new(),
    };
    line(&format!("{} · {rights}{seen}", device.platform), Marks::Missing).into_owned()
}

/// The second step before a pairing ends: on which hosts, where it is more than one.
#[component]
fn End(ended: RwSignal<Option<Ending>>, #[prop(into)] again: Callback<()>) -> impl IntoView {
    let central = Central::take();
    let open = opened_by(ended);
    let (busy, everywhere) = (RwSignal::new(false), RwSignal::new(false));
    Effect::new(move |_| {
        ended.track();
        everywhere.set(false);
    });
    let title = Signal::derive(move || {
        let name = ended.with(|ended| ended.as_ref().map(|ending| ending.name.clone())).unwrap_or_default();
        format!("End the pairing of {name}?")
    });
    let act = move || {
        let Some(ending) = ended.get_untracked() else { return };
        let Ending { device, name, agent, hosts, .. } = ending;
        let hosts = if everywhere.get_untracked() { hosts } else { vec![agent] };
        let told = hosts.len() as u64;
        busy.set(true);
        spawn_local(async move {
            let mut failed = None;
            for host in hosts {
                let path = [host.as_str(), device.as_str()];
                match api::call::<RevokeDevice>(&path, &Nothing {}, &Nothing {}).await {
                    // Ended there meanwhile: that is what was wanted.
                    Ok(_) => {}
                    Err(error) if error.is_gone() => {}
                    Err(error) => failed = Some(error),
                }
            }
            let _ = busy.try_set(false);
            match failed {
                Some(failed) if failed.is_signed_out() => central.signed_out(),
                Some(failed) => central.warn(failed.said),
                None => {
                    ended.try_set(None);
                    let hosts =
                        if told == 1 { "The host is".to_owned() } else { format!("{told} hosts are") };
                    central.say(format!("{hosts} told to end the pairing of {name}."));
                }
            }
            again.try_run(());
        });
    };
    let place = move || {
        let ending = ended.get().filter(|ending| ending.hosts.len() > 1)?;
        let all = count(ending.hosts.len() as u64, "host");
        let options = vec![
            ChoiceItem::new(false, format!("Only on {}", ending.host)),
            ChoiceItem::new(true, format!("On all {all} that know it")).about("For a device that was lost"),
        ];
        Some(view! {
            <Choice label="Ends where" options value=everywhere on_change=move |chosen| everywhere.set(chosen)/>
        })
    };
    view! {
        <Sheet open title on_close=move || open.set(false)>
            <p>
                "A host forgets the device's key and ends its connection as soon as it hears of it. To come back, the device \
                 must be paired anew. The list here follows when the host reports."
            </p>
            {place}
            <div class="buttons">
                <Button on_press=move || open.set(false)>"Back"</Button>
                <Button kind=Kind::Danger consequential=true busy on_press=act>"End the pairing"</Button>
            </div>
        </Sheet>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lanyard_governance_api::pairing::PairingSnapshot;
    use lanyard_protocol::id::PairingId;

    #[test]
    fn digits_are_six_and_nothing_else() {
        assert_eq!(digits("407 192").as_deref(), Some("407192"));
        assert_eq!(digits("407-192").as_deref(), Some("407192"));
        for typed in ["", "40719", "4071922", "40719x", "４０７１９２"] {
            assert_eq!(digits(typed), None, "{typed}");
        }
    }

    #[test]
    fn a_device_is_ended_where_it_is_known() {
        let device = |id: &str| PairedDevice {
            device_id: DeviceId::new(id).unwrap(),
            name: "Phone".to_owned(),
            platform: "Android".to_owned(),
            scopes: Vec::new(),
            paired_at: Timestamp::from_millis(0),
            last_seen_at: None,
            connected: false,
        };
        let host = |id: &str, devices: Vec<PairedDevice>| HostPairings {
            agent_id: AgentId::new(id).unwrap(),
            host_name: id.to_owned(),
            snapshot: PairingSnapshot { asking: Vec::new(), devices },
            reported_at: Timestamp::from_millis(0),
        };
        let hosts =
            [host("a", vec![device("d-1")]), host("b", vec![device("d-2")]), host("c", vec![device("d-1")])];
        let found = hosts_of(&hosts, &DeviceId::new("d-1").unwrap());
        assert_eq!(found.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    }

    #[test]
    fn who_asks_is_shown_until_the_time_is_up() {
        let device = AskingDevice {
            pairing_id: PairingId::new("p-1").unwrap(),
            name: "Phone".to_owned(),
            platform: "Android".to_owned(),
            address: "192.168.1.9".to_owned(),
            scopes: Vec::new(),
            needs_digits: true,
            expires_at: Timestamp::from_millis(1_000),
        };
        let host = HostPairings {
            agent_id: AgentId::new("a-1").unwrap(),
            host_name: "Study".to_owned(),
            snapshot: PairingSnapshot { asking: vec![device], devices: Vec::new() },
            reported_at: Timestamp::from_millis(0),
        };
        assert_eq!(asking(std::slice::from_ref(&host), Timestamp::from_millis(999)).len(), 1);
        assert!(asking(&[host], Timestamp::from_millis(1_000)).is_empty());
    }
}
