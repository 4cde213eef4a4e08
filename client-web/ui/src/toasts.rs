//! Short messages at the edge of the screen.

use std::time::Duration;

use lanyard_web_view::{Effect, For, component, view};
use leptos::html;
use leptos::leptos_dom::helpers::set_timeout;
use leptos::prelude::*;

/// How long one stays: two lines are read in less.
const STAYS: Duration = Duration::from_secs(6);

/// Most at once; more would cover what they are about.
const MOST: usize = 3;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toast {
    /// Names it.
    pub id: u32,
    /// What to say.
    pub text: String,
    /// Something went wrong.
    pub bad: bool,
}

/// Those that are shown, oldest first. `Copy`.
#[derive(Debug, Clone, Copy)]
pub struct Notes {
    shown: RwSignal<Vec<Toast>>,
    next_id: StoredValue<u32>,
}

impl Default for Notes {
    fn default() -> Self {
        Self { shown: RwSignal::new(Vec::new()), next_id: StoredValue::new(0) }
    }
}

impl Notes {
    /// Says something, in place of the same said before. Bad news waits for a tap.
    pub fn note(self, text: String, bad: bool) {
        let id = self.next_id.try_update_value(|id| {
            *id = id.wrapping_add(1);
            *id
        });
        let Some(id) = id else { return };
        self.shown.update(|notes| {
            notes.retain(|note| note.text != text);
            notes.push(Toast { id, text, bad });
            let surplus = notes.len().saturating_sub(MOST);
            notes.drain(..surplus);
        });
        if !bad {
            set_timeout(move || self.unsay(id), STAYS);
        }
    }

    /// Takes one away.
    pub fn unsay(self, id: u32) {
        let _ = self.shown.try_update(|notes| notes.retain(|note| note.id != id));
    }
}

/// See the module. They cover nothing that is pressed, and go away by themselves or by a tap.
#[component]
pub fn Toasts(
    /// What is to be said.
    notes: Notes,
) -> impl IntoView {
    let one = move |note: Toast| {
        view! {
            <button type="button" class="toast" class:toast-bad=note.bad on:click=move |_| notes.unsay(note.id)>
                {note.text}
            </button>
        }
    };
    let frame = NodeRef::<html::Div>::new();
    Effect::new(move |_| {
        let some = notes.shown.with(|notes| !notes.is_empty());
        let Some(frame) = frame.get() else { return };
        // Whatever came to the front last is in front: a dialog that was opened meanwhile too. Both are refused only where
        // they change nothing, and by browsers that do not know them, where the notes simply stand on the page.
        let _ = frame.hide_popover();
        if some {
            let _ = frame.show_popover();
        }
    });
    view! {
        <div class="toasts" role="status" popover="manual" node_ref=frame>
            <For each=move || notes.shown.get() key=|note| note.id children=one/>
        </div>
    }
}
