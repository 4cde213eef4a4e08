//! Tells the host that a question stood before a person: its head was on the screen, of a page that was on the screen,
//! for long enough to be noticed. Once.

use std::time::Duration;

use lanyard_protocol::id::{ApprovalId, SessionId};
use lanyard_protocol::method::AcknowledgeApproval;
use lanyard_web_view::Effect;
use leptos::html;
use leptos::leptos_dom::helpers::{TimeoutHandle, set_timeout_with_handle};
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen_futures::spawn_local;
use web_sys::{IntersectionObserver, IntersectionObserverEntry, VisibilityState};

use super::asking::me_now;
use crate::store::Store;

/// What flies past a scrolling eye is not seen.
const LONG_ENOUGH: Duration = Duration::from_millis(300);

/// Records that the question was shown, in the page or by a notification: the host is told once.
pub(crate) fn acknowledge(store: Store, session_id: SessionId, approval_id: ApprovalId) {
    let Some(me) = me_now(store) else { return };
    // Nothing on the page shows it; who watches the queue need not look again.
    let new = store.approvals.try_update_untracked(|queue| queue.shown(&approval_id, &me)) == Some(true);
    if !new {
        return;
    }
    spawn_local(async move {
        let call = AcknowledgeApproval { session_id, approval_id: approval_id.clone() };
        if store.call(call).await.is_err() {
            // Told again the next time it is seen; the question itself does not depend on it.
            let _ = store.approvals.try_update_untracked(|queue| queue.not_told(&approval_id));
        }
    });
}

/// Watches the head of a card, for as long as the current owner lives.
pub(super) fn tell_when_seen(head: NodeRef<html::Div>, store: Store, session: SessionId, id: ApprovalId) {
    let on_screen = StoredValue::new(false);
    let timer = StoredValue::new_local(None::<TimeoutHandle>);
    let stop = move || {
        if let Some(timer) = timer.try_update_value(Option::take).flatten() {
            timer.clear();
        }
    };
    let page_shown = || document().visibility_state() == VisibilityState::Visible;
    let tell = move || {
        if on_screen.try_get_value() == Some(true) && page_shown() {
            acknowledge(store, session.clone(), id.clone());
        }
    };
    let tell = StoredValue::new(tell);
    let look = move || {
        stop();
        if on_screen.try_get_value() == Some(true) && page_shown() {
            let over = move || {
                if let Some(tell) = tell.try_get_value() {
                    tell();
                }
            };
            // Without timers nothing is told: the host then knows less, never more than is true.
            timer.set_value(set_timeout_with_handle(over, LONG_ENOUGH).ok());
        }
    };
    let turned =
        window_event_listener(leptos::ev::Custom::<web_sys::Event>::new("visibilitychange"), move |_| look());
    on_cleanup(move || {
        stop();
        turned.remove();
    });
    let watched = StoredValue::new_local(None::<(IntersectionObserver, Closure<dyn FnMut(js_sys::Array)>)>);
    Effect::new(move |_| {
        let Some(head) = head.get() else { return };
        let crossed = Closure::<dyn FnMut(js_sys::Array)>::new(move |entries: js_sys::Array| {
            let last = entries.iter().last().map(|entry| entry.unchecked_into::<IntersectionObserverEntry>());
            let inside =
                last.is_some_and(|entry| entry.is_intersecting() && entry.intersection_ratio() > 0.9);
            on_screen.set_value(inside);
            look();
        });
        let options = web_sys::IntersectionObserverInit::new();
        options.set_threshold(&js_sys::Array::of2(&0.0.into(), &0.95.into()));
        let observer = IntersectionObserver::new_with_options(crossed.as_ref().unchecked_ref(), &options);
        if let Ok(observer) = observer {
            observer.observe(&head);
            watched.set_value(Some((observer, crossed)));
        }
    });
    on_cleanup(move || {
        if let Some((observer, _)) = watched.try_update_value(Option::take).flatten() {
            observer.disconnect();
        }
    });
}
