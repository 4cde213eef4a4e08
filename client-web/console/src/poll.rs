//! What is asked of central again and again while somebody looks: every five seconds, not at all while the page is hidden,
//! and less often while it fails.

use std::time::Duration;

use lanyard_web_view::Effect;
use leptos::leptos_dom::helpers::set_interval_with_handle;
use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::VisibilityState;

use crate::api::Failed;
use crate::central::Central;

/// Between two questions. A person does not notice less; a hundred open consoles are twenty requests a second.
const EVERY: Duration = Duration::from_secs(5);

/// Most rounds left out after failures: a minute.
const MAX_SKIPPED: u32 = 12;

/// One thing that is kept current. `Copy`: handles to signals. Goes with its owner.
#[derive(Debug)]
pub(crate) struct Poll<T: Send + Sync + 'static> {
    /// What central said last.
    pub(crate) now: RwSignal<Option<T>>,
    /// Why it says no more.
    pub(crate) failed: RwSignal<Option<Failed>>,
    turn: RwSignal<u64>,
    asked: StoredValue<u64>,
    answered: StoredValue<u64>,
    skips: StoredValue<(u32, u32)>,
}

impl<T: Send + Sync + 'static> Clone for Poll<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Send + Sync + 'static> Copy for Poll<T> {}

impl<T: Clone + PartialEq + Send + Sync + 'static> Poll<T> {
    /// Begins. `ask` is called anew whenever a signal that it reads before its first wait changes.
    pub(crate) fn start<F, A>(ask: F) -> Self
    where
        F: Fn() -> A + 'static,
        A: Future<Output = Result<T, Failed>> + 'static,
    {
        let poll = Self::once(ask);
        let tick = move || {
            let visible = document().visibility_state() == VisibilityState::Visible;
            let idle = poll.asked.try_get_value() == poll.answered.try_get_value();
            if visible && idle && poll.is_turn() {
                poll.again();
            }
        };
        // A browser without timers shows what was there when the page was opened.
        if let Ok(timer) = set_interval_with_handle(tick, EVERY) {
            on_cleanup(move || timer.clear());
        }
        let shown =
            window_event_listener(leptos::ev::Custom::<web_sys::Event>::new("visibilitychange"), move |_| {
                tick()
            });
        on_cleanup(move || shown.remove());
        poll
    }

    /// Asks once, and again only when told to or when what `ask` reads changes.
    pub(crate) fn once<F, A>(ask: F) -> Self
    where
        F: Fn() -> A + 'static,
        A: Future<Output = Result<T, Failed>> + 'static,
    {
        let central = Central::take();
        let poll = Self {
            now: RwSignal::new(None),
            failed: RwSignal::new(None),
            turn: RwSignal::new(0),
            asked: StoredValue::new(0),
            answered: StoredValue::new(0),
            skips: StoredValue::new((0, 0)),
        };
        Effect::new(move |_| {
            poll.turn.track();
            let answer = ask();
            let number = poll.asked.try_update_value(|asked| {
                *asked += 1;
                *asked
            });
            spawn_local(async move {
                let answer = answer.await;
                // Another question was put since, or whoever asked is gone.
                if poll.asked.try_get_value() == number && number.is_some() {
                    poll.answered.set_value(number.unwrap_or_default());
                    poll.take(answer, central);
                }
            });
        });
        poll
    }

    /// Asks now.
    pub(crate) fn again(self) {
        let _ = self.turn.try_update(|turn| *turn += 1);
    }

    /// Central has said it in answer to something else. What was asked before that and comes later is older.
    pub(crate) fn told(self, value: T) {
        let number = self.asked.try_update_value(|asked| {
            *asked += 1;
            *asked
        });
        let Some(number) = number else { return };
        self.answered.set_value(number);
        self.now.set(Some(value));
    }

    fn take(self, answer: Result<T, Failed>, central: Central) {
        match answer {
            Ok(value) => {
                self.skips.set_value((0, 0));
                self.failed.maybe_update(|failed| failed.take().is_some());
                self.now.maybe_update(|now| {
                    let other = now.as_ref() != Some(&value);
                    *now = Some(value);
                    other
                });
            }
            Err(failed) if failed.is_signed_out() => central.signed_out(),
            Err(failed) => {
                self.skips.update_value(|(left, size)| {
                    *size = (*size * 2).clamp(1, MAX_SKIPPED);
                    *left = *size;
                });
                self.failed.maybe_update(|known| {
                    let other = known.as_ref() != Some(&failed);
                    *known = Some(failed);
                    other
                });
            }
        }
    }

    fn is_turn(self) -> bool {
        self.skips
            .try_update_value(|(left, _)| {
                let due = *left == 0;
                *left = left.saturating_sub(1);
                due
            })
            .unwrap_or_default()
    }
}
