//! How the connection stands: small, always there, honest. A tap tells more and tries at once.

use lanyard_protocol::Timestamp;
use lanyard_web_link::{CarrierKind, Status};
use lanyard_web_state::words;
use lanyard_web_ui::{Button, Dot, KeyValue, Kind, Sheet, Tone};
use lanyard_web_view::{component, view};
use leptos::prelude::*;

use crate::route::Route;
use crate::store::Store;

/// See the module. Reconnecting never blocks reading: this is all that changes.
#[component]
pub(crate) fn Connection(
    /// Only the dot while all is well: on pages whose head is full.
    #[prop(optional)]
    brief: bool,
) -> impl IntoView {
    let store = Store::take();
    let open = RwSignal::new(false);
    // A round trip is measured often; most of them change no word.
    let said = Memo::new(move |_| short(&store.status.get(), store.now_ms.get(), place()));
    let tone = Memo::new(move |_| store.status.with(tone_of));
    let unverified = move || {
        store.status.with(|status| matches!(status, Status::Connected { .. })) && !store.verified.get()
    };
    let hidden = move || brief && store.is_connected();
    view! {
        <button type="button" class="connection" aria-haspopup="dialog" on:click=move |_| open.set(true)>
            <Dot tone/>
            <span class="connection-words" class:unseen=hidden>
                <span class="unseen">"Connection: "</span>
                {move || said.get()}
            </span>
            {move || unverified().then(|| view! { <span class="connection-unverified" class:unseen=hidden>"unverified"</span> })}
        </button>
        <Sheet open title="Connection" on_close=move || open.set(false)>
            <Details open/>
        </Sheet>
    }
}

/// What the sheet tells.
#[component]
fn Details(open: RwSignal<bool>) -> impl IntoView {
    let store = Store::take();
    let rows = move || {
        let mut rows = vec![
            ("Host".to_owned(), store.host_name()),
            ("Address".to_owned(), location().host().unwrap_or_default()),
        ];
        if let Status::Connected { carrier, rtt_ms } = store.status.get() {
            rows.push(("Carried by".to_owned(), carrier_words(carrier).to_owned()));
            if let Some(rtt) = rtt_ms {
                rows.push(("There and back".to_owned(), format!("{rtt} ms")));
            }
        }
        rows
    };
    let meaning = move || meaning(&store.status.get(), store.now_ms.get());
    let retry = move || {
        matches!(store.status.get(), Status::Reconnecting { .. }).then(|| {
            view! {
                <Button kind=Kind::Primary on_press=move || { store.nudge(); open.set(false); }>"Try now"</Button>
            }
        })
    };
    let unverified = move || {
        (!store.verified.get()).then(|| {
            view! {
                <p class="soft">
                    "The browser could not check where this page came from. "
                    <a href=Route::Settings.href() on:click=move |_| open.set(false)>"What that means"</a>
                </p>
            }
        })
    };
    view! {
        <p>{meaning}</p>
        <KeyValue rows=Signal::derive(rows)/>
        {unverified}
        {retry}
    }
}

fn tone_of(status: &Status) -> Tone {
    match status {
        Status::Connected { .. } => Tone::Good,
        Status::Connecting | Status::Reconnecting { .. } => Tone::Ask,
        Status::Ended(_) => Tone::Bad,
    }
}

fn carrier_words(carrier: CarrierKind) -> &'static str {
    match carrier {
        CarrierKind::WebSocket => "WebSocket",
        CarrierKind::Fetch => "downloads, because WebSocket is refused here",
    }
}

/// How the host is reached, as far as the address tells.
fn place() -> &'static str {
    match location().hostname().as_deref() {
        Ok("localhost" | "[::1]") => "this machine",
        Ok(address) if address.starts_with("127.") => "this machine",
        _ => "LAN",
    }
}

/// Two or three words: `LAN · 3 ms`, `reconnecting · 12 s`.
fn short(status: &Status, now_ms: f64, place: &str) -> String {
    match status {
        Status::Connecting => "connecting".to_owned(),
        Status::Connected { rtt_ms: Some(rtt), .. } => format!("{place} · {rtt} ms"),
        Status::Connected { rtt_ms: None, .. } => place.to_owned(),
        Status::Reconnecting { since_ms, .. } => format!("reconnecting · {}", waited(*since_ms, now_ms)),
        Status::Ended(_) => "not connected".to_owned(),
    }
}

/// What it means for the person.
fn meaning(status: &Status, now_ms: f64) -> String {
    match status {
        Status::Connecting => "The first connection is being made.".to_owned(),
        Status::Connected { .. } => {
            "Connected. What you see is what the host says at this moment.".to_owned()
        }
        Status::Reconnecting { since_ms, attempt, why } => {
            let tries = words::count(u64::from(*attempt), "time");
            format!(
                "Not connected for {}, tried {tries}: {why}. Tasks on the host go on; what is shown here is from before. \
                 Everything missed is fetched when the connection is back.",
                waited(*since_ms, now_ms),
            )
        }
        Status::Ended(_) => "This page is not connected to its host any more.".to_owned(),
    }
}

/// Whole units: a second is shown as it passes, not in tenths.
fn waited(since_ms: f64, now_ms: f64) -> String {
    let since = Timestamp::from_millis(since_ms as i64);
    let passed = Timestamp::from_millis(now_ms as i64).millis_since(since);
    if passed < 10_000 { format!("{} s", passed / 1_000) } else { words::span(passed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lanyard_web_link::Ending;

    #[test]
    fn the_state_is_said_in_three_words() {
        let said = |status: &Status, now_ms| short(status, now_ms, "LAN");
        let connected = |rtt_ms| Status::Connected { carrier: CarrierKind::WebSocket, rtt_ms };
        assert_eq!(said(&connected(Some(3)), 0.0), "LAN · 3 ms");
        assert_eq!(said(&connected(None), 0.0), "LAN");
        let away =
            Status::Reconnecting { since_ms: 1_000.0, attempt: 1, why: "the network is away".to_owned() };
        assert_eq!(said(&away, 13_400.0), "reconnecting · 12 s");
        assert_eq!(said(&away, 4_000.0), "reconnecting · 3 s");
        assert_eq!(said(&away, 0.0), "reconnecting · 0 s", "clocks that go back");
        assert_eq!(said(&Status::Ended(Ending::Revoked), 0.0), "not connected");
    }

    #[test]
    fn a_lost_connection_says_what_it_means() {
        let away = Status::Reconnecting { since_ms: 0.0, attempt: 1, why: "the network is away".to_owned() };
        let said = meaning(&away, 61_000.0);
        assert!(
            said.contains("for 1 min, tried 1 time: the network is away.") && said.contains("go on"),
            "{said}"
        );
    }
}
