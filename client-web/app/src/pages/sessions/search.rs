//! Looking for a session by what its name, a prompt or an answer says. The host searches; here it is asked once the typing
//! pauses.

use std::time::Duration;

use lanyard_protocol::method::ListSessions;
use lanyard_protocol::session::SessionSummary;
use lanyard_web_state::sessions::{PAGE_ROWS, detail, standing, title};
use lanyard_web_ui::{Button, Clock, Field, Kind, Pill, Problem, Row, Waiting};
use lanyard_web_view::{Effect, For, View, component, view};
use leptos::leptos_dom::helpers::{TimeoutHandle, set_timeout_with_handle};
use leptos::prelude::*;

use crate::pages::session::tone;
use crate::route::Route;
use crate::store::{Failed, Store};

/// A pause in typing after which it is worth asking.
const PAUSE: Duration = Duration::from_millis(250);

/// What is looked for.
#[component]
pub(super) fn Search(query: RwSignal<String>) -> impl IntoView {
    view! { <Field label="Search sessions" value=query kind="search" placeholder="Search" bare=true max=200/> }
}

/// What a search has found so far.
#[derive(Debug, Clone)]
enum Stage {
    Asking,
    Found,
    Failed(Failed),
}

/// One search. `Copy`: handles to its signals.
#[derive(Clone, Copy)]
struct Asked {
    store: Store,
    query: RwSignal<String>,
    rows: RwSignal<Vec<SessionSummary>>,
    next: RwSignal<Option<String>>,
    stage: RwSignal<Stage>,
    /// Answers to what was typed before are not for what is typed now.
    number: StoredValue<u32>,
}

impl Asked {
    fn new(query: RwSignal<String>) -> Self {
        Self {
            store: Store::take(),
            query,
            rows: RwSignal::new(Vec::new()),
            next: RwSignal::new(None),
            stage: RwSignal::new(Stage::Asking),
            number: StoredValue::new(0),
        }
    }

    /// Asks, from the beginning without a cursor.
    fn ask(self, cursor: Option<String>) {
        let number = self.number.try_update_value(|number| {
            *number = number.wrapping_add(1);
            *number
        });
        self.stage.set(Stage::Asking);
        let anew = cursor.is_none();
        let text = self.query.get_untracked().trim().to_owned();
        self.store.ask(ListSessions { limit: Some(PAGE_ROWS), cursor, query: Some(text) }, move |answer| {
            if number != self.number.try_get_value() {
                return;
            }
            match answer {
                Ok(page) => {
                    self.rows.update(|rows| {
                        if anew {
                            rows.clear();
                        }
                        rows.extend(page.sessions);
                    });
                    self.next.set(page.next_cursor);
                    self.stage.set(Stage::Found);
                }
                Err(failed) => self.stage.set(Stage::Failed(failed)),
            }
        });
    }

    /// Asks anew whenever the typing pauses, for as long as the current owner lives.
    fn follow(self) {
        let timer = StoredValue::new_local(None::<TimeoutHandle>);
        let stop = move || {
            if let Some(timer) = timer.try_update_value(Option::take).flatten() {
                timer.clear();
            }
        };
        // What a timer asks belongs to this search as well.
        let owner = Owner::current();
        Effect::new(move |_| {
            self.query.track();
            stop();
            let owner = owner.clone();
            let later = move || match &owner {
                Some(owner) => owner.with(|| self.ask(None)),
                None => self.ask(None),
            };
            match set_timeout_with_handle(later, PAUSE) {
                Ok(handle) => timer.set_value(Some(handle)),
                Err(_) => self.ask(None),
            }
        });
        on_cleanup(stop);
    }
}

/// See the module.
#[component]
pub(super) fn Found(query: RwSignal<String>) -> impl IntoView {
    let asked = Asked::new(query);
    asked.follow();
    let clock = Clock::take();
    let row = move |row: SessionSummary| {
        let standing = standing(&row);
        let (name, href) = (title(&row), Route::Session(row.session_id.clone()).href());
        let below = Signal::derive(move || Some(detail(&row, clock.now(), clock.zone())));
        view! {
            <Row title=name detail=below href>
                <Pill tone=tone(standing)>{standing.word()}</Pill>
            </Row>
        }
    };
    view! {
        <div class="stack" role="status">
            <For each=move || asked.rows.get() key=|row| (row.session_id.clone(), row.last_seq) children=row/>
            {move || further(asked)}
        </div>
    }
}

/// Below what was found: how far it is, and the way on.
fn further(asked: Asked) -> View {
    match asked.stage.get() {
        Stage::Asking => view! { <Waiting what="Searching"/> },
        Stage::Failed(failed) => view! {
            <Problem title="The search did not work" meaning=failed.said.clone() code=failed.code_text()>
                <Button on_press=move || asked.ask(None)>"Try again"</Button>
            </Problem>
        },
        Stage::Found => match asked.next.get() {
            Some(cursor) => {
                let on = move || asked.ask(Some(cursor.clone()));
                view! { <Button kind=Kind::Quiet on_press=on>"Look further back"</Button> }
            }
            None if asked.rows.with(Vec::is_empty) => {
                view! { <p class="soft center">"Nothing found: no name, prompt or answer says that."</p> }
            }
            None => View::none(),
        },
    }
}
