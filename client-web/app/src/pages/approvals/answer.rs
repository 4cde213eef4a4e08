//! The answer to a question: how much time is left, two buttons that never change places, and what lies beyond them.

use lanyard_protocol::approval::Decision;
use lanyard_protocol::policy::Remember;
use lanyard_web_state::approvals::words;
use lanyard_web_state::approvals::{Answering, hidden_lines, remember_choices};
use lanyard_web_state::words::count;
use lanyard_web_ui::{Button, Choice, ChoiceItem, Countdown, Kind, Sheet, TextArea};
use lanyard_web_view::{component, view};
use leptos::prelude::*;

use super::asking::{Asking, Standing};

/// Characters of a reason that the host keeps.
const MAX_REASON: usize = 1_000;

/// What lies beyond the two buttons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Second {
    /// Nothing.
    None,
    /// For how long the answer is remembered.
    Remember,
    /// Why not.
    Reason,
}

/// See the module.
#[component]
pub(super) fn Answer(
    /// The question.
    asking: Asking,
    /// Changes whenever the card was moved: the buttons then take no press for a moment.
    #[prop(into)]
    moved: Signal<u64>,
) -> impl IntoView {
    let over = Memo::new(move |_| match asking.standing.get() {
        Standing::Over(said) => Some(said),
        Standing::Waits(_) => None,
    });
    move || match over.get() {
        Some(said) => view! { <p class="ask-over" role="status">{said}</p> },
        None => view! { <Open asking moved/> },
    }
}

/// It waits.
#[component]
fn Open(asking: Asking, moved: Signal<u64>) -> impl IntoView {
    let second = RwSignal::new(Second::None);
    let late = Memo::new(move |_| asking.is_late());
    let refused = Memo::new(move |_| asking.refused());
    let total = asking.request(|request| request.deadline.millis_since(request.requested_at)) as f64;
    let time = move || {
        if late.get() {
            return view! { <p class="ask-late">"The time is up: without an answer it counts as denied."</p> };
        }
        let until = Signal::derive(move || asking.until_ms());
        view! {
            <Countdown until_ms=until total_ms=total now=asking.store.now_ms before="Answer within" after="or it is denied."/>
        }
    };
    let buttons = move || match refused.get() {
        Some(why) => view! { <p class="ask-refused">{why.words()}</p> },
        None => view! { <Buttons asking moved second late/> },
    };
    view! {
        <div class="ask-answer">
            <Hidden asking/>
            {time}
            {move || failed(asking).map(|said| view! { <p class="ask-failed" role="alert">{said}</p> })}
            {buttons}
        </div>
        <RememberSheet asking second/>
        <ReasonSheet asking second/>
    }
}

/// What of the question is not on the screen, and the way to see it.
#[component]
fn Hidden(asking: Asking) -> impl IntoView {
    let hidden = asking.request(hidden_lines);
    move || {
        (hidden > 0 && !asking.whole.get()).then(|| {
            let lines = count(hidden as u64, "more line");
            let said = format!("{lines} {} not shown here.", if hidden == 1 { "is" } else { "are" });
            view! {
                <div class="ask-hidden" role="status">
                    <p>{said}</p>
                    <Button on_press=move || asking.whole.set(true)>"Show everything"</Button>
                </div>
            }
        })
    }
}

/// Why the last press came to nothing.
fn failed(asking: Asking) -> Option<String> {
    match asking.standing.get() {
        Standing::Waits(Answering::Failed { decision, why }) => Some(words::failed(decision, &why)),
        Standing::Waits(Answering::Open | Answering::Sending { .. }) | Standing::Over(_) => None,
    }
}

/// What is under way, or what a key chose: in place of what lies beyond the buttons, so that nothing moves.
fn said(asking: Asking) -> Option<String> {
    match asking.standing.get() {
        Standing::Waits(Answering::Sending { decision, .. }) => {
            let waits = if asking.store.is_connected() { "" } else { " (as soon as the connection is back)" };
            Some(format!("{}{waits} …", words::sending(decision)))
        }
        Standing::Waits(Answering::Open | Answering::Failed { .. }) => asking.chosen.get().map(|decision| {
            match decision {
                Decision::Approved => "Press a again to approve, any other key to leave it.",
                Decision::Denied => "Press d again to deny, any other key to leave it.",
            }
            .to_owned()
        }),
        Standing::Over(_) => None,
    }
}

#[component]
fn Buttons(asking: Asking, moved: Signal<u64>, second: RwSignal<Second>, late: Memo<bool>) -> impl IntoView {
    let sending = move |wanted: Decision| {
        Signal::derive(move || {
            matches!(asking.standing.get(),
                Standing::Waits(Answering::Sending { decision, .. }) if decision == wanted)
        })
    };
    let shut = Signal::derive(move || {
        late.get() || matches!(asking.standing.get(), Standing::Waits(Answering::Sending { .. }))
    });
    let remembers = move || {
        asking.store.me.with(|me| {
            me.as_ref().is_some_and(|me| {
                asking.request(|request| !remember_choices(request, &me.principal).is_empty())
            })
        })
    };
    let more = move || {
        remembers().then(|| {
            view! {
                <Button
                    kind=Kind::Quiet
                    label="Approve, and do not ask again for exactly this"
                    disabled=shut
                    fresh=moved
                    on_press=move || second.set(Second::Remember)
                >
                    "Do not ask again …"
                </Button>
            }
        })
    };
    view! {
        <div class="buttons" node_ref=asking.buttons>
            <Button
                kind=Kind::Danger
                consequential=true
                busy=sending(Decision::Denied)
                disabled=shut
                fresh=moved
                on_press=move || asking.answer(Decision::Denied, Remember::Once, None)
            >
                "Deny"
            </Button>
            <Button
                kind=Kind::Primary
                consequential=true
                busy=sending(Decision::Approved)
                disabled=shut
                fresh=moved
                on_press=move || asking.answer(Decision::Approved, Remember::Once, None)
            >
                {asking.request(words::approve_label)}
            </Button>
        </div>
        <div class="ask-beyond">
          <div class="ask-second" class:ask-covered=move || said(asking).is_some()>
            <Button
                kind=Kind::Quiet
                label="Deny, and say why"
                disabled=shut
                fresh=moved
                on_press=move || second.set(Second::Reason)
            >
                "Say why …"
            </Button>
            {more}
          </div>
          <p class="ask-said" role="status">{move || said(asking)}</p>
        </div>
    }
}

/// The second step of "always": what it covers, spelled out, before anything is remembered.
#[component]
fn RememberSheet(asking: Asking, second: RwSignal<Second>) -> impl IntoView {
    let open = Signal::derive(move || second.get() == Second::Remember);
    let held = move || {
        let choices = asking.store.me.with_untracked(|me| {
            me.as_ref()
                .map(|me| asking.request(|request| remember_choices(request, &me.principal)))
                .unwrap_or_default()
        });
        let shortest = choices.first().map_or(Remember::Once, |choice| choice.remember);
        let chosen = RwSignal::new(shortest);
        let offered = choices.iter().filter(|choice| choice.refused.is_none());
        let items: Vec<_> = offered
            .map(|choice| ChoiceItem::new(choice.remember, words::remember_choice(choice.remember)))
            .collect();
        let refused = choices.into_iter().filter_map(|choice| {
            choice
                .refused
                .map(|why| view! { <p class="soft">{words::remember_choice(choice.remember)}": "{why}</p> })
        });
        let refused = refused.collect_view();
        let scope = move || asking.request(|request| words::scope_words(request, chosen.get()));
        let approve = move || {
            second.set(Second::None);
            asking.answer(Decision::Approved, chosen.get_untracked(), None);
        };
        view! {
            <Choice label="For how long" options=items value=chosen on_change=move |wanted| chosen.set(wanted)/>
            {refused}
            <p class="ask-scope" aria-live="polite">{scope}</p>
            <p class="soft">
                "It never covers more than this: another command, another directory or changed files are asked about again. \
                 You can take it back under Approvals, Remembered answers."
            </p>
            <div class="buttons">
                <Button on_press=move || second.set(Second::None)>"Go back"</Button>
                <Button kind=Kind::Primary consequential=true on_press=approve>"Approve and remember"</Button>
            </div>
        }
    };
    view! { <Sheet open title="Do not ask again" on_close=move || second.set(Second::None)>{held()}</Sheet> }
}

/// A denial with words for the agent.
#[component]
fn ReasonSheet(asking: Asking, second: RwSignal<Second>) -> impl IntoView {
    let open = Signal::derive(move || second.get() == Second::Reason);
    let reason = RwSignal::new(String::new());
    let deny = move || {
        second.set(Second::None);
        let text: String = reason.with_untracked(|text| text.trim().chars().take(MAX_REASON).collect());
        asking.answer(Decision::Denied, Remember::Once, (!text.is_empty()).then_some(text));
    };
    view! {
        <Sheet open title="Deny" on_close=move || second.set(Second::None)>
            <TextArea
                label="Why"
                value=reason
                rows=3
                hint="The agent is told and goes on without it. It may try another way, which is asked about again."
            />
            <div class="buttons">
                <Button kind=Kind::Danger consequential=true on_press=deny>"Deny"</Button>
                <Button on_press=move || second.set(Second::None)>"Go back"</Button>
            </div>
        </Sheet>
    }
}
