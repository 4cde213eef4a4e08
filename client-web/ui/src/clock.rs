//! The time, for everything that shows it: one timer for the whole page, and none while nobody looks.

use std::time::Duration;

use lanyard_protocol::Timestamp;
use lanyard_web_state::words::Zone;
use leptos::leptos_dom::helpers::set_interval_with_handle;
use leptos::prelude::*;

/// What is shown is exact to a second.
const TICK: Duration = Duration::from_secs(1);

/// The wall clock as a signal. `Copy`.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    now: RwSignal<f64>,
}

impl Clock {
    /// Starts it, for everything below the current owner. It stands still while the page is hidden and is right again in
    /// the moment it is shown.
    pub fn provide() -> Self {
        let clock = Self { now: RwSignal::new(js_sys::Date::now()) };
        let tick = move || {
            if document().visibility_state() == web_sys::VisibilityState::Visible {
                clock.now.set(js_sys::Date::now());
            }
        };
        // A browser without timers shows times that stand still; everything else works.
        if let Ok(timer) = set_interval_with_handle(tick, TICK) {
            on_cleanup(move || timer.clear());
        }
        let shown =
            window_event_listener(leptos::ev::Custom::<web_sys::Event>::new("visibilitychange"), move |_| {
                tick()
            });
        on_cleanup(move || shown.remove());
        provide_context(clock);
        clock
    }

    /// The one provided above.
    pub fn take() -> Self {
        use_context().unwrap_or_else(|| Self { now: RwSignal::new(js_sys::Date::now()) })
    }

    /// Milliseconds of `Date.now()`, once a second.
    pub fn now_ms(self) -> f64 {
        self.now.get()
    }

    /// The same as a signal.
    pub fn signal(self) -> Signal<f64> {
        self.now.into()
    }

    /// The same as an instant.
    pub fn now(self) -> Timestamp {
        instant(self.now_ms())
    }

    /// The instant, without following the clock.
    pub fn now_untracked(self) -> Timestamp {
        instant(js_sys::Date::now())
    }

    /// Where the person is, as the browser tells.
    pub fn zone(self) -> Zone {
        // Safe: the browser gives minutes within a day, west of Greenwich positive.
        Zone::minutes(-(js_sys::Date::new_0().get_timezone_offset() as i32))
    }
}

fn instant(ms: f64) -> Timestamp {
    Timestamp::from_millis(ms as i64)
}
