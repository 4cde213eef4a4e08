//! The questions that wait, across sessions: the soonest in full, the others below it, and what became of earlier ones.
//!
//! [`ApprovalCard`] is one question with its answer; the page of a session shows it too.

mod answer;
mod asking;
mod body;
mod rules;
mod seen;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use lanyard_protocol::approval::ApprovalRecord;
use lanyard_protocol::id::ApprovalId;
use lanyard_protocol::principal::Scope;
use lanyard_web_state::approvals::words::{self, Names};
use lanyard_web_state::approvals::{Question, Settled, Want};
use lanyard_web_state::words::{left, risk};
use lanyard_web_ui::{Ago, Button, Card, Empty, Kind, Pill, Problem, Row, Section, Tone, Waiting};
use lanyard_web_view::{Effect, For, component, view};
use leptos::prelude::*;

use crate::route::{Route, Routes, Tab};
use crate::shell::Page;
use crate::store::Store;

pub(crate) use seen::acknowledge;

use answer::Answer;
use asking::{Asking, instant, me};
use body::Body;

/// Questions that just ended and are shown without being asked for.
const JUST_ENDED: usize = 5;

/// Within this the host has told of earlier questions; later than that one is called missing.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// One question with its answer. The record is what it shows; how it stands comes from the store.
#[component]
pub(crate) fn ApprovalCard(
    /// The question.
    record: Arc<ApprovalRecord>,
    /// Changes whenever the card was moved: its buttons then take no press for a moment.
    #[prop(optional, into)]
    moved: Signal<u64>,
) -> impl IntoView {
    let asking = Asking::new(record, moved);
    let label = asking.request(words::title);
    view! {
        <article
            class="ask card"
            tabindex="0"
            data-key-row=""
            aria-label=label
            on:keydown=move |event| asking.key(&event)
        >
            <Body asking/>
            <Answer asking moved/>
            <p class="ask-keys" aria-hidden="true">"a approves, d denies: once to choose, again to answer"</p>
        </article>
    }
}

/// Everything that waits.
#[component]
pub(crate) fn Approvals() -> impl IntoView {
    let store = Store::take();
    let routes = Routes::take();
    let aside = untrack(move || routes.current().tab() != Tab::Approvals);
    let rules = RwSignal::new(false);
    let loaded = Memo::new(move |_| store.approvals.with(|queue| queue.is_loaded()));
    let empty = Memo::new(move |_| store.approvals.with(|queue| queue.waiting().is_empty()));
    let queue = move || match (empty.get(), loaded.get()) {
        (false, _) => view! { <Queue/> },
        (true, false) => view! { <Waiting what="Asking the host"/> },
        (true, true) => view! { <Nothing/> },
    };
    let more = move || {
        (!aside).then(|| {
            view! {
                <Earlier/>
                <Button kind=Kind::Quiet on_press=move || rules.set(true)>"Remembered answers …"</Button>
                <rules::Rules open=rules/>
            }
        })
    };
    view! {
        <Page title="Approvals" aside>
            <div class="stack">
                {queue}
                <Ended/>
                {more}
            </div>
        </Page>
    }
}

/// Nothing waits; what would.
#[component]
fn Nothing() -> impl IntoView {
    let store = Store::take();
    let look = move || {
        (store.me.with(Option::is_some) && !store.holds(Scope::Approve)).then(
            || view! { <p>"This device may look, not answer: it does not have the right to approve."</p> },
        )
    };
    view! {
        <Empty title="Nothing waits for you">
            <p>
                "Before a task runs a program, changes a file or goes online in a way that policy does not allow by \
                 itself, it asks here. You see exactly what would happen, and nothing happens without an answer."
            </p>
            {look}
        </Empty>
    }
}

/// The soonest in full, the others as rows.
#[component]
fn Queue() -> impl IntoView {
    let store = Store::take();
    let ids = Memo::new(move |_| {
        store
            .approvals
            .with(|queue| queue.waiting().iter().map(|q| q.approval_id.clone()).collect::<Vec<_>>())
    });
    // Whatever changes the order may move a card under a finger.
    let moved = Memo::new(move |_| {
        let mut hasher = DefaultHasher::new();
        ids.with(|ids| ids.hash(&mut hasher));
        hasher.finish()
    });
    let soonest = Memo::new(move |_| ids.with(|ids| ids.first().cloned()));
    let first = move || soonest.get().map(|id| view! { <Soonest id moved/> });
    let others = move || ids.with(|ids| ids.iter().skip(1).cloned().collect::<Vec<_>>());
    let count = Memo::new(move |_| ids.with(Vec::len));
    let next = move || {
        (count.get() > 1).then(|| {
            view! {
                <Section title="Next">
                    <For each=others key=Clone::clone children=|id| view! { <Other id/> }/>
                </Section>
            }
        })
    };
    let announced = move || {
        let count = count.get();
        if count == 1 {
            "One question waits for you".to_owned()
        } else {
            format!("{count} questions wait for you")
        }
    };
    view! {
        <p class="unseen" role="status">{announced}</p>
        {first}
        {next}
    }
}

/// A record, once it is there. `None` while the host is asked for it, or when it does not wait any more.
fn record_of(store: Store, id: ApprovalId) -> Memo<Option<Arc<ApprovalRecord>>> {
    Memo::new(move |_| {
        store.approvals.with(|queue| queue.find(&id).and_then(|question| question.record.clone()))
    })
}

#[component]
fn Soonest(id: ApprovalId, #[prop(into)] moved: Signal<u64>) -> impl IntoView {
    let store = Store::take();
    let record = record_of(store, id.clone());
    // A record that only gained a receipt is no reason to build the card anew.
    let there = Memo::new(move |_| record.with(Option::is_some));
    move || match (there.get(), record.get_untracked()) {
        (true, Some(record)) => view! { <ApprovalCard record moved/> },
        _ => view! { <Announced id=id.clone()/> },
    }
}

/// What the log told of a question whose record has not come yet.
#[component]
fn Announced(id: ApprovalId) -> impl IntoView {
    let store = Store::take();
    let told = store.approvals.with_untracked(|queue| queue.find(&id).cloned());
    told.map(|question| {
        let again = {
            let session = question.session_id.clone();
            move || store.want_approvals(Want::Pending(session.clone()))
        };
        view! {
            <Card tone=Tone::Ask>
                <p class="ask-title">{question.summary}</p>
                <p>{risk(question.risk)}</p>
                <Waiting what="Fetching the question"/>
                <Button kind=Kind::Quiet on_press=again>"Ask the host again"</Button>
            </Card>
        }
    })
}

/// A question that waits behind another.
#[component]
fn Other(id: ApprovalId) -> impl IntoView {
    let store = Store::take();
    let href = Route::Approval(id.clone()).href();
    let question = Memo::new(move |_| store.approvals.with(|queue| queue.find(&id).cloned()));
    let title =
        Signal::derive(move || question.with(|q| q.as_ref().map(|q| q.summary.clone()).unwrap_or_default()));
    let detail = Signal::derive(move || {
        let now = store.approvals.with(|queue| queue.host_time(instant(store.now_ms.get())));
        question.with(|question| question.as_ref().map(|question| row_words(question, now)))
    });
    let grave =
        Signal::derive(move || question.with(|q| q.as_ref().is_some_and(|q| words::is_grave(q.risk))));
    let pill = move || {
        let tone = if grave.get() { Tone::Bad } else { Tone::Ask };
        let level = question.with(|question| question.as_ref().map(|question| question.risk));
        level.map(|level| view! { <Pill tone>{risk(level)}</Pill> })
    };
    view! { <Row title detail href>{pill}</Row> }
}

fn row_words(question: &Question, now: lanyard_protocol::Timestamp) -> String {
    match question.left_ms(now) {
        Some(rest) => format!("{} left to answer", left(rest)),
        None => "the time is up".to_owned(),
    }
}

/// What ended while somebody could see it: it does not just disappear.
#[component]
fn Ended() -> impl IntoView {
    let store = Store::take();
    let ended = Memo::new(move |_| {
        store.approvals.with(|queue| {
            queue.settled().filter(|settled| settled.here).take(JUST_ENDED).cloned().collect::<Vec<_>>()
        })
    });
    move || {
        let rows = ended.get();
        (!rows.is_empty()).then(|| {
            let rows = rows.into_iter().map(|settled| view! { <EndedRow settled/> });
            view! { <Section title="Just answered">{rows.collect_view()}</Section> }
        })
    }
}

#[component]
fn EndedRow(settled: Settled) -> impl IntoView {
    let store = Store::take();
    let href = Route::Approval(settled.approval_id.clone()).href();
    let at = settled.at;
    let at = Signal::derive(move || store.approvals.with(|queue| queue.page_time(at)));
    let title = settled.summary.clone();
    let detail = Signal::derive(move || me(store).map(|me| words::ending(&settled, &Names::new(me))));
    view! { <Row title detail href wrap=true><Ago at/></Row> }
}

/// Those from before this page was opened, fetched when somebody wants them.
#[component]
fn Earlier() -> impl IntoView {
    let store = Store::take();
    let asked = RwSignal::new(false);
    let ask = move || {
        asked.set(true);
        store.want_approvals(Want::Earlier);
    };
    let rows = move || {
        store
            .approvals
            .with(|queue| queue.settled().filter(|settled| !settled.here).cloned().collect::<Vec<_>>())
    };
    move || {
        if !asked.get() {
            return view! { <Button kind=Kind::Quiet on_press=ask>"Earlier answers …"</Button> };
        }
        let rows = rows();
        let none =
            rows.is_empty().then(|| view! { <p class="soft">"None from before this page was opened."</p> });
        let rows = rows.into_iter().map(|settled| view! { <EndedRow settled/> }).collect_view();
        view! { <Section title="Earlier">{none}{rows}</Section> }
    }
}

/// One question on a page of its own, its buttons under the thumb.
#[component]
pub(crate) fn Approval(
    /// Which.
    id: ApprovalId,
) -> impl IntoView {
    let store = Store::take();
    let (looked, missing) = (RwSignal::new(false), RwSignal::new(false));
    let known = {
        let id = id.clone();
        Memo::new(move |_| {
            store.approvals.with(|queue| {
                let waiting = queue.find(&id).and_then(|question| question.record.clone());
                waiting.or_else(|| queue.find_settled(&id).and_then(|settled| settled.record.clone()))
            })
        })
    };
    let there = Memo::new(move |_| known.with(Option::is_some));
    // A link may lead to a question of long ago: looked for once, when the host has told what waits.
    Effect::new(move |_| {
        if store.approvals.with(|queue| queue.is_loaded()) && !there.get() && !looked.get_untracked() {
            looked.set(true);
            store.want_approvals(Want::Earlier);
            set_timeout(
                move || {
                    // The page may be another by now.
                    let _ = missing.try_set(true);
                },
                PATIENCE,
            );
        }
    });
    move || match (there.get(), known.get_untracked()) {
        (true, Some(record)) => view! { <Whole record/> },
        _ => {
            let body = move || {
                if missing.get() {
                    view! { <Missing/> }
                } else {
                    view! { <Waiting what="Looking for the question"/> }
                }
            };
            view! { <Page title="Approval" back=Route::Approvals>{body}</Page> }
        }
    }
}

/// A link to a question that the host does not show any more.
#[component]
fn Missing() -> impl IntoView {
    view! {
        <Problem
            waits=true
            title="This question is not among those the host still shows"
            meaning="It may have been answered long ago, or its session was deleted."
        />
    }
}

#[component]
fn Whole(record: Arc<ApprovalRecord>) -> impl IntoView {
    let asking = Asking::new(record, Signal::stored(0));
    let title = asking.request(words::title);
    view! {
        <Page
            title=title.clone()
            back=Route::Approvals
            foot=move || {
                view! {
                    <div class="ask-foot" on:keydown=move |event| asking.key(&event)>
                        <Answer asking moved=Signal::stored(0)/>
                    </div>
                }
            }
        >
            <article class="ask" tabindex="0" data-key-row="" aria-label=title on:keydown=move |event| asking.key(&event)>
                <Body asking bare=true/>
            </article>
        </Page>
    }
}
