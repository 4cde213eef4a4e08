//! Makes the page noticed while it is open: the number on its icon, a vibration, a notification of the system.
//!
//! What is to be done is decided by [`lanyard_web_state::notices`]; here it is done, as far as the browser has the means.
//! A notification that was really shown is the one thing the host is told of it: then the question stood before a person.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use lanyard_protocol::Timestamp;
use lanyard_protocol::id::{ApprovalId, SessionId};
use lanyard_web_state::notices::{Act, Notice, Notices, Situation, VIBRATION, Wishes};
use lanyard_web_view::Effect;
use leptos::prelude::*;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    Notification, NotificationOptions, NotificationPermission, ServiceWorkerRegistration, VisibilityState,
};

use crate::pages::approvals::acknowledge;
use crate::route::{Route, Routes};
use crate::store::Store;

/// Notifications on the screen that this page made itself, by name.
type Shown = Rc<RefCell<HashMap<String, Own>>>;

/// One of them, with what listens to it.
struct Own {
    notification: Notification,
    _heard: [Closure<dyn FnMut()>; 2],
}

/// Watches the queue, for as long as the current owner lives.
pub(crate) fn watch(store: Store, routes: Routes) {
    let shown: Shown = Rc::default();
    let notices = StoredValue::new(Notices::default());
    Effect::new(move |_| {
        let prefs = store.prefs;
        let wishes = Wishes {
            vibrate: prefs.vibrate.get(),
            notify: prefs.notify.get(),
            show_content: prefs.show_content.get(),
        };
        let host = store.host_name();
        let acts = store.approvals.with(|queue| {
            let now = queue.host_time(Timestamp::from_millis(js_sys::Date::now() as i64));
            notices.try_update_value(|notices| notices.plan(queue, &host, wishes, situation(), now))
        });
        for act in acts.unwrap_or_default() {
            match act {
                Act::Badge(count) => {
                    badge(count);
                    mark_icon(count);
                }
                Act::Vibrate => vibrate(),
                Act::Show(notice) => show(store, routes, notice, &shown),
                Act::Close(tag) => close(&tag, &shown),
            }
        }
    });
}

/// How things are at this moment.
fn situation() -> Situation {
    let document = document();
    let reduced = window().match_media("(prefers-reduced-motion: reduce)").ok().flatten();
    Situation {
        looking: document.visibility_state() == VisibilityState::Visible
            && document.has_focus().unwrap_or(false),
        still: reduced.is_some_and(|query| query.matches()),
        allowed: has(&window(), "Notification")
            && Notification::permission() == NotificationPermission::Granted,
    }
}

fn has(object: &JsValue, name: &str) -> bool {
    js_sys::Reflect::has(object, &name.into()).unwrap_or(false)
}

/// The number on the icon of a page that was added to the home screen.
fn badge(count: usize) {
    let navigator: JsValue = window().navigator().into();
    let set = js_sys::Reflect::get(&navigator, &"setAppBadge".into()).ok();
    let Some(set) = set.and_then(|set| set.dyn_into::<js_sys::Function>().ok()) else { return };
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    // Refused where the page is only a page: there is no icon then.
    if let Ok(promise) = set.call1(&navigator, &count.into())
        && let Ok(promise) = promise.dyn_into::<js_sys::Promise>()
    {
        spawn_local(async move {
            let _ = JsFuture::from(promise).await;
        });
    }
}

/// A dot on the icon in the browser's tab.
fn mark_icon(count: usize) {
    const ICON: &str = "link[rel~='icon']";
    const PLAIN: &str = "data-plain";
    let Some(link) = document().query_selector(ICON).ok().flatten() else { return };
    let Some(plain) = link.get_attribute(PLAIN).or_else(|| link.get_attribute("href")) else { return };
    let icon = if count == 0 { plain.clone() } else { MARKED_ICON.to_owned() };
    // Attributes of plain names are never refused.
    let _ = link.set_attribute(PLAIN, &plain);
    let _ = link.set_attribute("href", &icon);
}

/// The page's colour with an amber dot.
const MARKED_ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect \
                           width='32' height='32' rx='8' fill='%230b6e5f'/%3E%3Ccircle cx='22' cy='10' r='8' \
                           fill='%23f0b35a'/%3E%3C/svg%3E";

fn vibrate() {
    let navigator = window().navigator();
    if has(&navigator, "vibrate") && touched(&navigator) {
        let pattern: js_sys::Array = VIBRATION.iter().map(|ms| JsValue::from(*ms)).collect();
        // Off where the person switched it off.
        let _ = navigator.vibrate_with_pattern(&pattern);
    }
}

/// Whether the person has touched the page since it was loaded: before that Chromium refuses to vibrate and writes an error.
/// Browsers that do not tell are asked all the same.
fn touched(navigator: &JsValue) -> bool {
    let activation = js_sys::Reflect::get(navigator, &"userActivation".into()).ok();
    let active =
        activation.and_then(|told| js_sys::Reflect::get(&told, &"hasBeenActive".into()).ok()?.as_bool());
    active.unwrap_or(true)
}

/// Shows a notification: by the page itself where that is allowed, else (on Android) by the service worker, which leads to
/// the question by `data` when it is tapped.
fn show(store: Store, routes: Routes, notice: Notice, shown: &Shown) {
    let options = NotificationOptions::new();
    options.set_body(&notice.body);
    options.set_tag(&notice.tag);
    let (session, approval) = notice.about;
    let href = Route::Approval(approval.clone()).href();
    options.set_data(&href.into());
    match Notification::new_with_options(&notice.title, &options) {
        Ok(notification) => {
            let own = own(store, routes, notification, session, approval);
            shown.borrow_mut().insert(notice.tag, own);
        }
        Err(_) => spawn_local(async move {
            let Some(worker) = worker().await else { return };
            let Ok(showing) = worker.show_notification_with_options(&notice.title, &options) else { return };
            if JsFuture::from(showing).await.is_ok() {
                acknowledge(store, session, approval);
            }
        }),
    }
}

/// A notification of the page's own: shown, it is told to the host; tapped, it leads to the question.
fn own(
    store: Store,
    routes: Routes,
    notification: Notification,
    session: SessionId,
    approval: ApprovalId,
) -> Own {
    let route = Route::Approval(approval.clone());
    let on_show = Closure::<dyn FnMut()>::new(move || acknowledge(store, session.clone(), approval.clone()));
    let tapped = notification.clone();
    let on_click = Closure::<dyn FnMut()>::new(move || {
        // Some systems do not let a page come forward; the question is open in it all the same.
        let _ = window().focus();
        routes.go(&route);
        tapped.close();
    });
    notification.set_onshow(Some(on_show.as_ref().unchecked_ref()));
    notification.set_onclick(Some(on_click.as_ref().unchecked_ref()));
    Own { notification, _heard: [on_show, on_click] }
}

fn close(tag: &str, shown: &Shown) {
    if let Some(own) = shown.borrow_mut().remove(tag) {
        own.notification.close();
        return;
    }
    let tag = tag.to_owned();
    spawn_local(async move {
        let Some(worker) = worker().await else { return };
        let Ok(asked) = worker.get_notifications() else { return };
        if let Ok(found) = JsFuture::from(asked).await {
            let found: js_sys::Array = found.unchecked_into();
            let all = found.iter().map(|one| one.unchecked_into::<Notification>());
            all.filter(|one| one.tag() == Some(tag.clone())).for_each(|one| one.close());
        }
    });
}

/// The page's service worker; only verified pages have one.
async fn worker() -> Option<ServiceWorkerRegistration> {
    let navigator = window().navigator();
    if !has(&navigator, "serviceWorker") {
        return None;
    }
    let found = JsFuture::from(navigator.service_worker().get_registration()).await.ok()?;
    found.dyn_into().ok()
}
