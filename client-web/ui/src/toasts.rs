//! Short messages at the edge of the screen.

use leptos::html;
use leptos::prelude::*;

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

/// See the module. They cover nothing that is pressed, and go away by themselves or by a tap.
#[component]
pub fn Toasts(
    /// What is to be said, oldest first.
    #[prop(into)]
    notes: Signal<Vec<Toast>>,
    /// One was tapped away.
    #[prop(into)]
    on_close: Callback<(u32,)>,
) -> impl IntoView {
    let one = move |note: Toast| {
        view! {
            <button type="button" class="toast" class:toast-bad=note.bad on:click=move |_| on_close.run((note.id,))>
                {note.text}
            </button>
        }
    };
    let frame = NodeRef::<html::Div>::new();
    Effect::new(move |_| {
        let some = notes.with(|notes| !notes.is_empty());
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
            <For each=move || notes.get() key=|note| note.id children=one/>
        </div>
    }
}
