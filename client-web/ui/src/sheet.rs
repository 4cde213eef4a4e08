//! A second step over the page: from below on phones, in the middle on wide screens.
//!
//! It is the browser's own `dialog`: what lies behind is out of reach, Escape closes it, and the focus returns to where it
//! was.

use lanyard_web_view::{Effect, component, view};
use leptos::html;
use leptos::prelude::*;

/// See the module. Its children exist only while it is open.
#[component]
pub fn Sheet(
    /// Whether it is there.
    #[prop(into)]
    open: Signal<bool>,
    /// What it is about.
    #[prop(into)]
    title: Signal<String>,
    /// Asked to go away: by Escape, the cross, or a tap beside it.
    #[prop(into)]
    on_close: Callback<()>,
    /// What it holds.
    children: ChildrenFn,
) -> impl IntoView {
    let dialog = NodeRef::<html::Dialog>::new();
    Effect::new(move |_| {
        let open = open.get();
        let Some(dialog) = dialog.get() else { return };
        if open && !dialog.open() {
            // Refused only where the page is being left: then there is nobody to show it to.
            let _ = dialog.show_modal();
        } else if !open && dialog.open() {
            dialog.close();
        }
    });
    // The dialog itself is hit only outside of what it holds.
    let outside = move |event: &web_sys::Event| {
        let target = event.target();
        dialog.get_untracked().is_some_and(|dialog| target.as_ref() == Some(dialog.as_ref()))
    };
    // Who selects a text in it and lets go beside it does not want it gone: some are shown once only.
    let began_outside = StoredValue::new(false);
    let down = move |event: web_sys::PointerEvent| began_outside.set_value(outside(&event));
    let beside = move |event: web_sys::MouseEvent| {
        if outside(&event) && began_outside.get_value() {
            on_close.run(());
        }
    };
    let cancel = move |event: web_sys::Event| {
        event.prevent_default();
        on_close.run(());
    };
    let held = move || open.get().then(|| children());
    view! {
        <dialog
            node_ref=dialog
            class="sheet"
            aria-modal="true"
            aria-label=move || title.get()
            on:pointerdown=down
            on:click=beside
            on:cancel=cancel
        >
            <div class="sheet-body">
                <div class="sheet-head">
                    <h2 class="sheet-title">{move || title.get()}</h2>
                    <crate::IconButton
                        label="Close"
                        icon=crate::Glyph::Close
                        on_press=move || on_close.run(())
                    />
                </div>
                {held}
            </div>
        </dialog>
    }
}
