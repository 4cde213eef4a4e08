//! What can be pressed.
//!
//! A button that has just appeared does nothing for [`INERT`]: a finger that was on its way to something else presses
//! nothing it has not seen. While that lasts the button carries `data-fresh`. One of consequence counts as just appeared
//! whenever somebody comes back to the page, too (see [`crate::returns`]).

use std::time::Duration;

use lanyard_web_view::{Effect, component, view};
use leptos::leptos_dom::helpers::set_timeout_with_handle;
use leptos::prelude::*;

use crate::icon::{Glyph, Icon};
use crate::returns::Returns;

/// Longer than a tap that is under way takes to land, shorter than reading the word on the button.
const INERT: Duration = Duration::from_millis(400);

/// How a button looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// The one thing to do on a screen.
    Primary,
    /// Anything else.
    #[default]
    Plain,
    /// Refuses, ends or removes.
    Danger,
    /// A word that can be pressed, without a frame.
    Quiet,
}

impl Kind {
    fn class(self) -> &'static str {
        match self {
            Kind::Primary => "button button-primary",
            Kind::Plain => "button",
            Kind::Danger => "button button-danger",
            Kind::Quiet => "button button-quiet",
        }
    }
}

/// Whether something counts as just appeared. Begins anew whenever `again` changes, and with each of the `returns`.
fn freshness(again: Signal<u64>, returns: Option<Returns>) -> RwSignal<bool> {
    let fresh = RwSignal::new(true);
    let timer = StoredValue::new_local(None::<leptos::leptos_dom::helpers::TimeoutHandle>);
    let stop = move || {
        if let Some(timer) = timer.try_update_value(Option::take).flatten() {
            timer.clear();
        }
    };
    Effect::new(move |_| {
        again.track();
        returns.map(Returns::count);
        stop();
        fresh.set(true);
        let over = set_timeout_with_handle(
            move || {
                // Gone with its page in the meantime.
                let _ = fresh.try_set(false);
            },
            INERT,
        );
        match over {
            Ok(handle) => timer.set_value(Some(handle)),
            // A button that is never pressed would be worse.
            Err(_) => fresh.set(false),
        }
    });
    on_cleanup(stop);
    fresh
}

/// A button, 50 px high.
#[component]
pub fn Button(
    /// How it looks.
    #[prop(optional)]
    kind: Kind,
    /// What it began has not been confirmed yet: it shows that and takes no further press.
    #[prop(optional, into)]
    busy: Signal<bool>,
    /// It cannot be pressed.
    #[prop(optional, into)]
    disabled: Signal<bool>,
    /// It counts as just appeared whenever this changes: for buttons whose meaning changes under the finger.
    #[prop(optional, into)]
    fresh: Signal<u64>,
    /// What it does is not taken back: it counts as just appeared also when somebody comes back to the page, so that a
    /// click meant for a window above it presses nothing.
    #[prop(optional)]
    consequential: bool,
    /// For screen readers, where the children do not say it.
    #[prop(optional, into)]
    label: MaybeProp<String>,
    /// What happens.
    #[prop(into)]
    on_press: Callback<()>,
    /// What it says.
    children: Children,
) -> impl IntoView {
    let fresh = freshness(fresh, consequential.then(Returns::take));
    let press = move |_| {
        if !fresh.get_untracked() && !busy.get_untracked() && !disabled.get_untracked() {
            on_press.run(());
        }
    };
    view! {
        <button
            type="button"
            class=kind.class()
            class:button-busy=move || busy.get()
            disabled=move || disabled.get()
            aria-busy=move || busy.get().then_some("true")
            aria-label=move || label.get()
            data-fresh=move || fresh.get().then_some("")
            on:click=press
        >
            <span class="button-says">{children()}</span>
        </button>
    }
}

/// A picture to press, 44 px wide and high.
#[component]
pub fn IconButton(
    /// What it does, for screen readers and as a tip.
    #[prop(into)]
    label: Signal<String>,
    /// What is drawn.
    #[prop(into)]
    icon: Signal<Glyph>,
    /// It is the main thing to do here (send).
    #[prop(optional)]
    primary: bool,
    /// What it began has not been confirmed yet.
    #[prop(optional, into)]
    busy: Signal<bool>,
    /// It cannot be pressed.
    #[prop(optional, into)]
    disabled: Signal<bool>,
    /// What happens.
    #[prop(into)]
    on_press: Callback<()>,
) -> impl IntoView {
    let press = move |_| {
        if !busy.get_untracked() && !disabled.get_untracked() {
            on_press.run(());
        }
    };
    view! {
        <button
            type="button"
            class="icon-button"
            class:icon-button-primary=primary
            class:button-busy=move || busy.get()
            disabled=move || disabled.get()
            aria-busy=move || busy.get().then_some("true")
            aria-label=move || label.get()
            title=move || label.get()
            on:click=press
        >
            {move || view! { <Icon name=icon.get()/> }}
        </button>
    }
}
