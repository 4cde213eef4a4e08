//! One document while it is edited, as a form and as text: what is changed in one is there in the other at once. Central
//! says what is wrong with it whenever the typing pauses.

use std::time::Duration;

use lanyard_governance_api::endpoint::ValidatePolicy;
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::policy::{PolicyDocument, PolicyProblem, ValidateRequest};
use lanyard_protocol::Json;
use leptos::leptos_dom::helpers::{TimeoutHandle, set_timeout_with_handle};
use leptos::prelude::*;
use serde_json::Value;
use wasm_bindgen_futures::spawn_local;

use super::doc::{self, Kind};
use super::json::{self, BadJson};
use crate::api;

/// A pause in typing after which it is worth asking.
const PAUSE: Duration = Duration::from_millis(400);

/// What central says of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Checked {
    /// It is being asked.
    Asking,
    /// It has said what is in `problems`.
    Yes,
    /// It could not be asked: a sentence.
    No(String),
}

/// See the module. `Copy`: handles to signals.
#[derive(Debug, Clone, Copy)]
pub(super) struct Editor {
    /// The document, as far as the text can be read.
    pub(super) doc: RwSignal<Value>,
    /// The text.
    pub(super) text: RwSignal<String>,
    /// Why the text cannot be read.
    pub(super) bad: RwSignal<Option<BadJson>>,
    /// What is wrong with the document.
    pub(super) problems: RwSignal<Vec<PolicyProblem>>,
    /// Whether these are about what is shown.
    pub(super) checked: RwSignal<Checked>,
}

impl Editor {
    /// Begins with a document.
    pub(super) fn open(document: &PolicyDocument) -> Self {
        // The type becomes JSON in any case.
        let value = serde_json::to_value(document).unwrap_or_default();
        let text = json::pretty(&value);
        let editor = Self {
            // Without what is absent, as the text has it.
            doc: RwSignal::new(json::parse(&text).unwrap_or_default()),
            text: RwSignal::new(text),
            bad: RwSignal::new(None),
            problems: RwSignal::new(Vec::new()),
            checked: RwSignal::new(Checked::Asking),
        };
        editor.follow();
        editor
    }

    /// A change by the form. Not while the text cannot be read: what is typed there would be lost.
    pub(super) fn edit(self, change: impl FnOnce(&mut Value)) {
        if self.bad.with_untracked(Option::is_some) {
            return;
        }
        let mut doc = self.doc.get_untracked();
        change(&mut doc);
        if self.doc.with_untracked(|now| *now != doc) {
            self.text.set(json::pretty(&doc));
            self.doc.set(doc);
        }
    }

    /// A change of the text.
    pub(super) fn typed(self, text: String) {
        match json::parse(&text) {
            Ok(value) => {
                self.bad.set(None);
                self.doc.maybe_update(|doc| {
                    let other = *doc != value;
                    *doc = value;
                    other
                });
            }
            Err(bad) => self.bad.set(Some(bad)),
        }
        self.text.set(text);
    }

    /// Whether it may be put in force as far as is known: central judges again.
    pub(super) fn is_sound(self) -> bool {
        self.bad.with(Option::is_none)
            && self.problems.with(|problems| problems.iter().all(|problem| !problem.fatal))
    }

    /// Asks central about it whenever the typing pauses.
    fn follow(self) {
        let timer = StoredValue::new_local(None::<TimeoutHandle>);
        let stop = move || {
            if let Some(timer) = timer.try_update_value(Option::take).flatten() {
                timer.clear();
            }
        };
        let number = StoredValue::new(0_u64);
        Effect::new(move |_| {
            let document = self.doc.get();
            stop();
            self.checked.set(Checked::Asking);
            let own = number.try_update_value(|number| {
                *number += 1;
                *number
            });
            let ask = move || {
                spawn_local(async move {
                    let body = ValidateRequest { document: Json(document) };
                    let answer = api::call::<ValidatePolicy>(&[], &Nothing {}, &body).await;
                    // Something was typed since, or the page was left.
                    if number.try_get_value() != own {
                        return;
                    }
                    match answer {
                        Ok(validation) => {
                            let _ = self.problems.try_set(validation.problems);
                            let _ = self.checked.try_set(Checked::Yes);
                        }
                        Err(failed) => {
                            let _ = self.checked.try_set(Checked::No(failed.said));
                        }
                    }
                });
            };
            timer.set_value(set_timeout_with_handle(ask, PAUSE).ok());
        });
        on_cleanup(stop);
    }

    /// A field of the form: what it shows, tied to its place in the document, and what is wrong there.
    pub(super) fn field(
        self,
        pointer: Signal<Option<String>>,
        kind: Kind,
    ) -> (RwSignal<String>, Signal<Option<String>>) {
        let shown = move |doc: &Value| {
            pointer.get().map(|pointer| doc::read(doc, &pointer, kind)).unwrap_or_default()
        };
        let value = RwSignal::new(untrack(|| self.doc.with(shown)));
        // From the document, where it says something else than the field would write.
        Effect::new(move |_| {
            let now = self.doc.with(shown);
            let same = value.with_untracked(|typed| {
                *typed == now
                    || pointer
                        .get_untracked()
                        .is_some_and(|pointer| self.writes(&pointer, kind, typed).is_none())
            });
            if !same {
                value.set(now);
            }
        });
        // To the document, where somebody typed something else than it says.
        Effect::new(move |before: Option<()>| {
            let typed = value.get();
            let Some(pointer) = pointer.get_untracked().filter(|_| before.is_some()) else { return };
            let same = self.doc.with_untracked(|doc| doc::read(doc, &pointer, kind)) == typed;
            if !same && self.writes(&pointer, kind, &typed).is_some() {
                self.edit(|doc| doc::write(doc, &pointer, kind, &typed));
            }
        });
        let wrong = Signal::derive(move || {
            let pointer = pointer.get()?;
            self.problems.with(|problems| {
                let said =
                    doc::problems_at(problems, &pointer).into_iter().map(|problem| problem.message.clone());
                Some(said.collect::<Vec<_>>().join(" ")).filter(|said| !said.is_empty())
            })
        });
        (value, wrong)
    }

    /// What a text would make of the document; none where that is what it is.
    fn writes(self, pointer: &str, kind: Kind, text: &str) -> Option<Value> {
        self.doc.with_untracked(|doc| {
            let mut changed = doc.clone();
            doc::write(&mut changed, pointer, kind, text);
            (changed != *doc).then_some(changed)
        })
    }
}
