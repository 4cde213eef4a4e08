//! Pairings across hosts: devices that ask to be let in, and devices that are.

use lanyard_governance_api::command::CommandsQueued;
use lanyard_governance_api::endpoint::{DecidePairing, ListPairings, RevokeDevice};
use lanyard_governance_api::id::AgentId;
use lanyard_governance_api::page::{Nothing, PageQuery};
use lanyard_governance_api::pairing::{AskingDevice, HostPairings, PairedDevice, PairingDecision};
use lanyard_governance_api::people::Role;
use lanyard_protocol::Timestamp;
use lanyard_protocol::id::DeviceId;
use lanyard_web_state::visible::{Marks, line};
use lanyard_web_state::words::{ago, left, level, rights};
use lanyard_web_ui::{Button, Card, Clock, Empty, Field, Glyph, Kind, Row, Section, Tone};
use leptos::prelude::*;

use crate::api;
use crate::central::Central;
use crate::parts::{State, Sure, loaded, opened_by, pill};
use crate::poll::Poll;
use crate::route::Route;
use crate::shell::Page;

/// Digits that a device shows.
const DIGITS: usize = 6;

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
        let known = hosts.now.with(|now| now.as_ref().map(|page| asking(&page.items, clock.now_untracked())));
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
    let ended = RwSignal::new(None::<(AgentId, DeviceId, String)>);
    let paired = loaded(hosts, "paired devices", move |page| {
        let with: Vec<_> = page.items.into_iter().filter(|host| !host.snapshot.devices.is_empty()).collect();
        if with.is_empty() {
            return view! { <p class="soft">"No device is paired with any host."</p> }.into_any();
        }
        with.into_iter().map(|host| paired_view(host, ended, clock)).collect_view().into_any()
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
    let sent = RwSignal::new(None::<bool>);
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
        central.tell(busy, what, move |queued: CommandsQueued| {
            sent.set(Some(approve));
            if queued.agents == 0 {
                central.warn("The host takes no answers from here.");
            }
            again.run(());
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
        sent.get().map(|approve| {
            let what = if approve { "Letting it in" } else { "Turning it away" };
            view! { <p role="status" class="ask-over">{what}": on its way to the host, which decides."</p> }
        })
    };
    let answer = {
        let (approve, deny) = (StoredValue::new(approve), StoredValue::new(deny));
        move || {
            (sent.get().is_none() && central.may(Role::Approver)).then(|| view! {
                {needs.then(|| view! {
                    <Field label="Digits that the device shows" value=typed keyboard="numeric" mono=true max=9
                        hint="Ask whoever holds it to read them out. They are different for somebody in between."/>
                })}
                <div class="buttons">
                    <Button kind=Kind::Danger consequential=true busy on_press=move || deny.with_value(|deny| deny())>"Turn away"</Button>
                    <Button kind=Kind::Primary consequential=true busy disabled=Signal::derive(move || !ready.get())
                        on_press=move || approve.with_value(|approve| approve())>"Let it in"</Button>
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
    host: HostPairings,
    ended: RwSignal<Option<(AgentId, DeviceId, String)>>,
    clock: Clock,
) -> impl IntoView {
    let central = Central::take();
    let can = central.may(Role::Approver);
    let agent = host.agent_id.clone();
    let name = line(&host.host_name, Marks::Missing).into_owned();
    let one = |device: PairedDevice| {
        let title = line(&device.name, Marks::Missing).into_owned();
        let rights = device.scopes.iter().map(|scope| level(*scope)).collect::<Vec<_>>().join(", ");
        let seen = match device.last_seen_at {
            Some(at) if !device.connected => {
                format!(" · seen {}", ago(at, clock.now_untracked(), clock.zone()))
            }
            _ => String::new(),
        };
        let detail = line(&format!("{} · {rights}{seen}", device.platform), Marks::Missing).into_owned();
        let label = format!("End the pairing of {title}");
        let (agent, id, called) = (agent.clone(), device.device_id, title.clone());
        let press = move || ended.set(Some((agent.clone(), id.clone(), called.clone())));
        view! {
            <Row title detail icon=Glyph::Phone wrap=true>
                {device.connected.then(|| pill((Tone::Good, "connected")))}
                {can.then(|| view! { <Button kind=Kind::Quiet label=label on_press=press>"End"</Button> })}
            </Row>
        }
    };
    let devices = host.snapshot.devices.into_iter().map(one).collect_view();
    let href = Route::Host(host.agent_id).href();
    view! {
        <section class="stack-tight">
            <h3 class="group-head"><a href=href>{name}</a></h3>
            <div class="rows">{devices}</div>
        </section>
    }
}

/// The second step before a pairing ends.
#[component]
fn End(
    ended: RwSignal<Option<(AgentId, DeviceId, String)>>,
    #[prop(into)] again: Callback<()>,
) -> impl IntoView {
    let central = Central::take();
    let open = opened_by(ended);
    let busy = RwSignal::new(false);
    let title = Signal::derive(move || {
        let name = ended.with(|ended| ended.as_ref().map(|(_, _, name)| name.clone())).unwrap_or_default();
        format!("End the pairing of {name}?")
    });
    let act = move || {
        let Some((agent, device, name)) = ended.get_untracked() else { return };
        let what = async move {
            api::call::<RevokeDevice>(&[agent.as_str(), device.as_str()], &Nothing {}, &Nothing {}).await
        };
        central.tell(busy, what, move |_| {
            open.set(false);
            central.say(format!("The host is told to end the pairing of {name}."));
            again.run(());
        });
    };
    let meaning = "The host forgets the device's key and ends its connection as soon as it hears of it. To come back, the \
                   device must be paired anew. The list here follows when the host reports.";
    view! { <Sure open title meaning act="End the pairing" danger=true busy on_act=act/> }
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
