//! Coming back to the page: what somebody sees then is as new to them as what has just appeared.
//!
//! A window that lay over this one may close under the first of two clicks, so that the second meets a button here which
//! nobody chose to press. Buttons of consequence take no press for a moment after each return
//! ([`Button`](crate::Button), `consequential`).

use leptos::prelude::*;
use web_sys::VisibilityState;

/// Whether the person was here, from what the browser tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Presence {
    focused: bool,
    visible: bool,
}

impl Presence {
    /// The window has, or has not, the focus. Whether that is a return.
    fn focus(&mut self, now: bool) -> bool {
        let returned = now && !self.focused;
        self.focused = now;
        returned
    }

    /// The page can, or cannot, be seen. Whether that is a return.
    fn show(&mut self, now: bool) -> bool {
        let returned = now && !self.visible;
        self.visible = now;
        returned
    }
}

/// Counts the returns. `Copy`.
#[derive(Debug, Clone, Copy)]
pub struct Returns(RwSignal<u64>);

impl Returns {
    /// Watches the window, for everything below the current owner.
    pub fn provide() -> Self {
        let returns = Self(RwSignal::new(0));
        let seen = || document().visibility_state() == VisibilityState::Visible;
        // A page without the focus may lie under another window from its first moment on.
        let focused = document().has_focus().unwrap_or(false);
        let presence = StoredValue::new(Presence { focused, visible: seen() });
        let tell = move |change: fn(&mut Presence, bool) -> bool, now: bool| {
            if presence.try_update_value(|presence| change(presence, now)) == Some(true) {
                returns.0.update(|count| *count += 1);
            }
        };
        let heard = [
            window_event_listener(leptos::ev::blur, move |_| tell(Presence::focus, false)),
            window_event_listener(leptos::ev::focus, move |_| tell(Presence::focus, true)),
            window_event_listener(leptos::ev::Custom::<web_sys::Event>::new("visibilitychange"), move |_| {
                tell(Presence::show, seen());
            }),
        ];
        on_cleanup(move || heard.into_iter().for_each(|listener| listener.remove()));
        provide_context(returns);
        returns
    }

    /// The one provided above.
    pub fn take() -> Self {
        use_context().unwrap_or_else(|| Self(RwSignal::new(0)))
    }

    /// How many there were; changes with each.
    pub fn count(self) -> u64 {
        self.0.get()
    }
}

#[cfg(test)]
mod tests {
    use super::Presence;

    #[test]
    fn only_coming_back_is_a_return() {
        let mut presence = Presence { focused: true, visible: true };
        assert!(!presence.focus(true), "the focus was here already: an ordinary click");
        assert!(!presence.focus(false));
        assert!(presence.focus(true), "a window over this one was closed");
        assert!(!presence.show(true));
        assert!(!presence.show(false));
        assert!(presence.show(true), "another tab lay over this one");
        let mut under = Presence { focused: false, visible: true };
        assert!(under.focus(true), "opened under another window");
    }
}
