//! How this device makes itself noticed when something waits.

use lanyard_web_ui::{Card, Section, Switch};
use lanyard_web_view::{component, view};
use leptos::prelude::*;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Notification, NotificationPermission};

use crate::store::Store;

/// Why the system cannot show that something waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Obstacle {
    /// Browsers offer it to verified pages only.
    Unverified,
    /// This one does not offer it at all; on phones of one maker only pages on the home screen have it.
    Missing,
    /// The person has refused it once; only the browser's own settings take that back.
    Refused,
}

impl Obstacle {
    fn words(self) -> &'static str {
        match self {
            Self::Unverified => "Browsers allow this to verified pages only: see “page unverified” below.",
            Self::Missing => {
                "This browser does not offer it here. On an iPhone or iPad, add the page to the home screen first."
            }
            Self::Refused => {
                "Refused in the browser's settings for this page; it can be allowed there again."
            }
        }
    }
}

fn has(object: &JsValue, name: &str) -> bool {
    js_sys::Reflect::has(object, &name.into()).unwrap_or(false)
}

fn obstacle(verified: bool) -> Option<Obstacle> {
    if !verified || !window().is_secure_context() {
        return Some(Obstacle::Unverified);
    }
    if !has(&window(), "Notification") {
        return Some(Obstacle::Missing);
    }
    (Notification::permission() == NotificationPermission::Denied).then_some(Obstacle::Refused)
}

/// See the module.
#[component]
pub(super) fn Notify() -> impl IntoView {
    let store = Store::take();
    let prefs = store.prefs;
    // Counts up when the browser's answer may have changed.
    let asked = RwSignal::new(0_u32);
    let obstacle = Memo::new(move |_| {
        asked.track();
        obstacle(store.verified.get())
    });
    let granted = move || {
        asked.track();
        obstacle.get().is_none() && Notification::permission() == NotificationPermission::Granted
    };
    let wanted = move |on: bool| {
        if !on {
            return prefs.notify.set(false);
        }
        spawn_local(async move {
            let Ok(asking) = Notification::request_permission() else { return };
            let allowed = JsFuture::from(asking)
                .await
                .is_ok_and(|answer| answer.as_string().as_deref() == Some("granted"));
            prefs.notify.set(allowed);
            let _ = asked.try_update(|asked| *asked += 1);
        });
    };
    let can_vibrate = has(&window().navigator(), "vibrate");
    let on = Signal::derive(move || prefs.notify.get() && granted());
    view! {
        <Section title="When something waits">
            <Card>
                <Switch
                    label="Notifications"
                    hint=Signal::derive(move || {
                        Some(obstacle.get().map_or("While this page is open, also behind other ones.", Obstacle::words).to_owned())
                    })
                    on
                    disabled=Signal::derive(move || obstacle.get().is_some())
                    on_change=wanted
                />
                <Switch
                    label="Say what is asked"
                    hint="The command or the file stands on the notification, also on a locked screen."
                    on=prefs.show_content
                    disabled=Signal::derive(move || !on.get())
                    on_change=move |on| prefs.show_content.set(on)
                />
                <Switch
                    label="Vibration"
                    hint=(!can_vibrate).then(|| "This browser does not offer it.".to_owned())
                    on=Signal::derive(move || can_vibrate && prefs.vibrate.get())
                    disabled=!can_vibrate
                    on_change=move |on| prefs.vibrate.set(on)
                />
            </Card>
        </Section>
    }
}
